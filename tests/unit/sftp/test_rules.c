/* The rules of a user's record where requests, SCP and commands meet them: file patterns, bandwidth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/sys.h"
#include "sftp/stream.h"
#include "tests/unit/sftp/bed.h"

enum { READ = 1, WRITE = 2, CREATE = 8, TRUNCATE = 16 };

/* "/": no *.exe; "/in": only *.txt. */
static struct pattern_filter *filters(struct bed *b)
{
    static char root[] = "/", in[] = "/in", exe[] = "*.exe", txt[] = "*.txt";
    static char *no_exe[] = { exe }, *only_txt[] = { txt };
    static struct pattern_filter list[2];

    list[0] = (struct pattern_filter){ .path = root, .denied_patterns = { no_exe, 1 } };
    list[1] = (struct pattern_filter){ .path = in, .allowed_patterns = { only_txt, 1 } };
    b->user.filters.file_patterns = (struct objects){ .v = list, .n = 2 };
    return list;
}

static uint32_t do_open(struct bed *b, const char *path, uint32_t flags)
{
    char handle[8];
    uint32_t status = bed_open(b, path, flags, handle);
    return status == FX_OK ? bed_close(b, handle) : status;
}

static uint32_t do_read(struct bed *b, const char *path)
{
    return do_open(b, path, READ);
}

static uint32_t do_overwrite(struct bed *b, const char *path)
{
    return do_open(b, path, WRITE | CREATE | TRUNCATE);
}

static uint32_t do_resume(struct bed *b, const char *path)
{
    return do_open(b, path, WRITE);
}

static uint32_t do_remove(struct bed *b, const char *path)
{
    return bed_path(b, FXP_REMOVE, path);
}

static uint32_t do_rename_from(struct bed *b, const char *path)
{
    return bed_two(b, FXP_RENAME, path, "/target.txt");
}

static uint32_t do_rename_to(struct bed *b, const char *path)
{
    bed_file(b, "source.txt", "source");
    return bed_two(b, FXP_RENAME, "/source.txt", path);
}

static uint32_t do_link(struct bed *b, const char *path)
{
    return bed_extended(b, "hardlink@openssh.com", path, "/hard.txt");
}

static uint32_t do_stat(struct bed *b, const char *path)
{
    return bed_path(b, FXP_LSTAT, path);
}

/* An SSH command with all its input; its exit status as 0 or FX_PERMISSION_DENIED. */
static uint32_t command(struct bed *b, const char *name, const char *path, const char *in, size_t len)
{
    struct stream s = { 0 };
    char line[128];
    size_t n;
    int r;

    assert_true(strlen(name) + strlen(path) < sizeof(line));
    memcpy(line, name, strlen(name));
    memcpy(line + strlen(name), path, strlen(path) + 1);
    assert_int_equal(stream_command(&b->account, line, &s), 0);
    assert_int_equal(s.ops->feed(s.s, in, len), 0);
    s.ops->eof(s.s);
    do {
        r = s.ops->step(s.s);
        s.ops->output(s.s, &n);
        s.ops->sent(s.s, n);
    } while (r == STREAM_MORE);
    assert_int_equal(r, STREAM_ENDED);
    r = s.ops->status(s.s);
    stream_free(&s);
    return r ? FX_PERMISSION_DENIED : FX_OK;
}

static uint32_t do_scp_get(struct bed *b, const char *path)
{
    return command(b, "scp -f ", path, "\0\0\0", 3);
}

static uint32_t do_scp_put(struct bed *b, const char *path)
{
    return command(b, "scp -t ", path, "C0644 1 x\nx\0", 12);
}

static uint32_t do_sum(struct bed *b, const char *path)
{
    return command(b, "md5sum ", path, "", 0);
}

static void patterns_hold_for_every_way_to_a_file(void **state)
{
    static const struct {
        const char *name;
        uint32_t (*act)(struct bed *b, const char *path);
        uint32_t refusal;
    } acts[] = {
        { "read", do_read, FX_PERMISSION_DENIED },
        { "overwrite", do_overwrite, FX_PERMISSION_DENIED },
        { "resume", do_resume, FX_PERMISSION_DENIED },
        { "remove", do_remove, FX_PERMISSION_DENIED },
        { "rename from", do_rename_from, FX_PERMISSION_DENIED },
        { "rename to", do_rename_to, FX_PERMISSION_DENIED },
        { "hard link", do_link, FX_PERMISSION_DENIED },
        { "scp download", do_scp_get, FX_PERMISSION_DENIED },
        { "scp upload", do_scp_put, FX_PERMISSION_DENIED },
        { "sum", do_sum, FX_PERMISSION_DENIED },
        { "stat", do_stat, FX_OK }, /* it is seen, as in SFTPGo */
    };
    static const struct {
        const char *path;
        bool allowed;
    } paths[] = {
        { "/a.txt", true },     { "/a.exe", false },  { "/A.EXE", false },    { "/in/a.txt", true },
        { "/in/a.csv", false }, { "/in/exe", false }, { "/link.txt", false }, /* to a.exe: its target counts, too */
    };
    struct bed *b = *state;
    bed_run(b, (const char *const[]){ "mkdir", "in", NULL });
    filters(b);
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
        for (size_t k = 0; k < ARRAY_SIZE(paths); k++) {
            const char *name = paths[k].path + 1;
            bool is_link = strcmp(name, "link.txt") == 0;
            if (is_link && acts[i].act != do_read && acts[i].act != do_overwrite && acts[i].act != do_sum)
                continue; /* these are about the link itself */
            bed_file(b, is_link ? "a.exe" : name, "content");
            if (is_link)
                bed_run(b, (const char *const[]){ "ln", "-sf", "a.exe", "link.txt", NULL });
            uint32_t status = acts[i].act(b, paths[k].path);
            if (status != (paths[k].allowed ? FX_OK : acts[i].refusal))
                fail_msg("%s %s: %u %s", acts[i].name, paths[k].path, status, b->text);
            bed_run(b, (const char *const[]){ "rm", "-f", "target.txt", "hard.txt", "source.txt", NULL });
        }
    assert_int_equal(bed_path(b, FXP_MKDIR, "/dir.exe"), FX_OK); /* directories are not meant */
    b->user.filters.file_patterns = (struct objects){ 0 };
}

/* ---- bandwidth, on a clock that the test turns ---- */

static uint64_t clock_ns;

static uint64_t clock_now(void)
{
    return clock_ns;
}

static size_t answers(struct bed *b)
{
    size_t len, n = 0;
    while (engine_step(b->engine) == 1)
        ;
    const uint8_t *out = engine_output(b->engine, &len);
    for (struct packet_in in = { .p = out, .left = len }; in.left > 0; n++) {
        size_t one;
        assert_non_null(packet_bytes(&in, &one));
    }
    engine_sent(b->engine, len);
    return n;
}

static void feed_write(struct bed *b, const char handle[8], uint64_t off, size_t len)
{
    static uint8_t zeros[8192];
    bed_ask(b, FXP_WRITE);
    packet_put_bytes(&b->request, handle, 8);
    packet_put_u64(&b->request, off);
    packet_put_bytes(&b->request, zeros, len);
    packet_end(&b->request, 0);
    assert_int_equal(engine_feed(b->engine, queue_bytes(&b->request), b->request.len), 0);
}

static void feed_read(struct bed *b, const char handle[8], uint32_t len)
{
    bed_ask(b, FXP_READ);
    packet_put_bytes(&b->request, handle, 8);
    packet_put_u64(&b->request, 0);
    packet_put_u32(&b->request, len);
    packet_end(&b->request, 0);
    assert_int_equal(engine_feed(b->engine, queue_bytes(&b->request), b->request.len), 0);
}

/* One second's worth at once, then a debt that time pays. */
static void a_rate_is_kept_each_way_and_nothing_is_lost(void **state)
{
    static struct sys clocked;
    struct bed *b = *state;
    char handle[8];
    clocked = sys_real;
    clocked.now_ns = clock_now;
    clock_ns = UINT64_C(1000000000000);
    assert_int_equal(bed_open(b, "/f", READ | WRITE | CREATE, handle), FX_OK);
    sys = &clocked;
    for (int up = 0; up < 2; up++) {
        b->account.up = (struct bucket){ .rate = up ? 1000 : 0 };
        b->account.down = (struct bucket){ .rate = up ? 0 : 1000 };
        bed_file(b, "f", "");
        if (!up)
            bed_run(b, (const char *const[]){ "truncate", "-s", "8192", "f", NULL });
        for (int i = 0; i < 3; i++) {
            if (up)
                feed_write(b, handle, (uint64_t)i * 3000, 3000);
            else
                feed_read(b, handle, 3000);
        }
        size_t done = answers(b);
        assert_int_equal(done, 1); /* the first takes the second's worth, and two more seconds */
        assert_true(engine_waits(b->engine));
        for (unsigned ms = 0; ms < 10000 && done < 3; ms += 100) {
            clock_ns += 100000000;
            done += answers(b);
            size_t expected = ms + 100 >= 5000 ? 3 : ms + 100 >= 2000 ? 2 : 1; /* 1,000 bytes a second */
            assert_int_equal(done, expected);
        }
        assert_int_equal(done, 3);
    }
    sys = &sys_real;
}

static int teardown(void **state)
{
    sys = &sys_real;
    return bed_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(patterns_hold_for_every_way_to_a_file, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(a_rate_is_kept_each_way_and_nothing_is_lost, bed_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
