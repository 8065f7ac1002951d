#include "tests/unit/sftp/bed.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int bed_setup(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    snprintf(b->dir, sizeof(b->dir), "/tmp/tally-sftp-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    b->user.username = strdup("bed");
    b->user.permissions.v = b->perms;
    b->request = (struct queue)QUEUE(8 << 20);
    b->account = (struct account){ .home.fd = open(b->dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                   .user = &b->user,
                                   .activity = &b->activity };
    bed_allow(b, "/", MAY_ALL);
    bed_restart(b);
    *state = b;
    return 0;
}

int bed_teardown(void **state)
{
    struct bed *b = *state;
    engine_free(b->engine);
    close(b->account.home.fd);
    bed_run(b, (const char *const[]){ "rm", "-rf", b->dir, NULL });
    queue_done(&b->request);
    free(b->user.username);
    free(b);
    return 0;
}

void bed_allow(struct bed *b, const char *path, uint32_t perms)
{
    static char paths[8][32];
    if (strcmp(path, "/") == 0)
        b->user.permissions.n = 0;
    size_t i = b->user.permissions.n++;
    assert_true(i < 8);
    snprintf(paths[i], sizeof(paths[i]), "%s", path);
    b->perms[i] = (struct dir_perms){ paths[i], perms };
}

static void run(struct bed *b)
{
    int r;
    while ((r = engine_step(b->engine)) == 1)
        ;
    assert_int_equal(r, 0);
}

void bed_restart(struct bed *b)
{
    size_t len;
    engine_free(b->engine);
    assert_int_equal(engine_new(&b->account, &b->engine), 0);
    assert_int_equal(engine_feed(b->engine, "\0\0\0\5\1\0\0\0\3", 9), 0);
    run(b);
    assert_non_null(engine_output(b->engine, &len));
    engine_sent(b->engine, len);
}

void bed_ask(struct bed *b, uint8_t type)
{
    queue_cut(&b->request, 0);
    packet_put_u32(&b->request, 0);
    packet_put_u8(&b->request, type);
    packet_put_u32(&b->request, ++b->next_id);
}

static void read_reply(struct bed *b)
{
    size_t len;
    const uint8_t *out = engine_output(b->engine, &len);
    assert_non_null(out);
    struct packet_in in = { .p = out, .left = len };
    assert_int_equal(packet_u32(&in), len - 4); /* one reply and no more */
    b->type = packet_u8(&in);
    assert_int_equal(packet_u32(&in), b->next_id);
    b->status = b->type == FXP_STATUS ? packet_u32(&in) : 0;
    b->text[0] = '\0';
    b->data_len = in.left;
    memcpy(b->data, in.p, in.left);
    if (b->type == FXP_STATUS) {
        size_t n;
        const uint8_t *text = packet_bytes(&in, &n);
        snprintf(b->text, sizeof(b->text), "%.*s", (int)n, (const char *)text);
    }
    engine_sent(b->engine, len);
}

void bed_send(struct bed *b)
{
    packet_end(&b->request, 0);
    assert_int_equal(engine_feed(b->engine, queue_bytes(&b->request), b->request.len), 0);
    run(b);
    read_reply(b);
}

uint32_t bed_path(struct bed *b, uint8_t type, const char *path)
{
    bed_ask(b, type);
    packet_put_text(&b->request, path);
    if (type == FXP_MKDIR)
        packet_put_u32(&b->request, 0);
    bed_send(b);
    return b->status;
}

uint32_t bed_open(struct bed *b, const char *path, uint32_t flags, char ret_handle[8])
{
    bed_ask(b, FXP_OPEN);
    packet_put_text(&b->request, path);
    packet_put_u32(&b->request, flags);
    packet_put_u32(&b->request, 0);
    bed_send(b);
    if (b->type == FXP_HANDLE)
        memcpy(ret_handle, b->data + 4, 8);
    return b->status;
}

uint32_t bed_write(struct bed *b, const char handle[8], uint64_t off, const char *s)
{
    bed_ask(b, FXP_WRITE);
    packet_put_bytes(&b->request, handle, 8);
    packet_put_u64(&b->request, off);
    packet_put_text(&b->request, s);
    bed_send(b);
    return b->status;
}

uint32_t bed_close(struct bed *b, const char handle[8])
{
    bed_ask(b, FXP_CLOSE);
    packet_put_bytes(&b->request, handle, 8);
    bed_send(b);
    return b->status;
}

uint32_t bed_two(struct bed *b, uint8_t type, const char *one, const char *two)
{
    bed_ask(b, type);
    packet_put_text(&b->request, one);
    packet_put_text(&b->request, two);
    bed_send(b);
    return b->status;
}

uint32_t bed_extended(struct bed *b, const char *name, const char *one, const char *two)
{
    bed_ask(b, FXP_EXTENDED);
    packet_put_text(&b->request, name);
    packet_put_text(&b->request, one);
    if (two)
        packet_put_text(&b->request, two);
    bed_send(b);
    return b->status;
}

static int home_dir(struct bed *b)
{
    int dir = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    return dir;
}

void bed_file(struct bed *b, const char *path, const char *content)
{
    int dir = home_dir(b), fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    close(dir);
}

bool bed_exists(struct bed *b, const char *path)
{
    struct stat st;
    int dir = home_dir(b);
    bool exists = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    close(dir);
    return exists;
}

void bed_content(struct bed *b, const char *path, const char *expected)
{
    char buf[4096];
    int dir = home_dir(b), fd = openat(dir, path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    assert_true(n >= 0);
    buf[n] = '\0';
    assert_string_equal(buf, expected);
    close(fd);
    close(dir);
}

size_t bed_entries(struct bed *b)
{
    DIR *d = opendir(b->dir);
    size_t n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

void bed_run(struct bed *b, const char *const *argv)
{
    pid_t pid;
    int status = 1;
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addchdir_np(&a, b->dir);
    assert_int_equal(posix_spawnp(&pid, argv[0], &a, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    posix_spawn_file_actions_destroy(&a);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
