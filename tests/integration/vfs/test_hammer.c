/* Many processes at once, with and without crashes of the server: the counters are exact afterwards, and no client
 * sees an error that is not part of what it does. */
#include "tests/integration/vfs/mounted.h"

#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { PROCESSES = 8, SECONDS = 6, NAMES = 12, KILLS = 25 };

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Errors that a race with the other processes, or a limit, explains. */
static bool is_fair(int r)
{
    return r >= 0 || r == -ENOENT || r == -EEXIST || r == -EDQUOT || r == -ENOTEMPTY || r == -EISDIR || r == -ENOTDIR ||
           r == -EINVAL || r == -ESTALE;
}

struct step {
    int dir;
    char a[16], b[16];
    size_t len;
    off_t off;
};

static int s_put(struct step *s)
{
    return (int)put(s->dir, s->a, s->len);
}
static int s_append(struct step *s)
{
    return (int)append(s->dir, s->a, s->len);
}
static int s_write(struct step *s)
{
    return (int)write_at(s->dir, s->a, s->len, s->off);
}
static int s_unlink(struct step *s)
{
    return err(unlinkat(s->dir, s->a, 0));
}
static int s_link(struct step *s)
{
    return err(linkat(s->dir, s->a, s->dir, s->b, 0));
}
static int s_rename(struct step *s)
{
    return err(renameat(s->dir, s->a, s->dir, s->b));
}
static int s_exchange(struct step *s)
{
    return err(renameat2(s->dir, s->a, s->dir, s->b, RENAME_EXCHANGE));
}
static int s_mkdir(struct step *s)
{
    return err(mkdirat(s->dir, "d", 0755));
}
static int s_rmdir(struct step *s)
{
    return err(unlinkat(s->dir, "d", AT_REMOVEDIR));
}
static int s_into(struct step *s)
{
    return err(renameat(s->dir, s->a, s->dir, "d/x"));
}
static int s_out(struct step *s)
{
    return err(renameat(s->dir, "d/x", s->dir, s->a));
}

static int with_open(struct step *s, int (*fn)(int fd, struct step *s))
{
    int fd = openat(s->dir, s->a, O_RDWR);
    int r = fd < 0 ? -errno : fn(fd, s);

    if (fd >= 0)
        close(fd);
    return r;
}

static int o_truncate(int fd, struct step *s)
{
    return err(ftruncate(fd, s->off));
}
static int o_allocate(int fd, struct step *s)
{
    return err(fallocate(fd, 0, s->off, (off_t)s->len + 1));
}
static int o_unlinked(int fd, struct step *s)
{
    int r = err(unlinkat(s->dir, s->a, 0));

    return r < 0 ? r : err(pwrite(fd, "unlinked", 8, s->off));
}
static int s_truncate(struct step *s)
{
    return with_open(s, o_truncate);
}
static int s_allocate(struct step *s)
{
    return with_open(s, o_allocate);
}
static int s_unlinked(struct step *s)
{
    return with_open(s, o_unlinked);
}

static int (*const steps[])(struct step *s) = { s_put,    s_put,  s_append,   s_append,   s_write,   s_write,
                                                s_unlink, s_link, s_rename,   s_exchange, s_mkdir,   s_rmdir,
                                                s_into,   s_out,  s_truncate, s_allocate, s_unlinked };

static int hammer(int dir, unsigned seed, int64_t until_ms)
{
    struct step s = { .dir = dir };

    while (now_ms() < until_ms) {
        snprintf(s.a, sizeof s.a, "f%d", rand_r(&seed) % NAMES);
        snprintf(s.b, sizeof s.b, "f%d", rand_r(&seed) % NAMES);
        s.len = (size_t)(rand_r(&seed) % 20000);
        s.off = rand_r(&seed) % 40000;
        size_t which = (size_t)rand_r(&seed) % ARRAY_SIZE(steps);
        int r = steps[which](&s);
        if (!is_fair(r)) {
            fprintf(stderr, "step %zu on %s, %s: %s\n", which, s.a, s.b, strerror(-r)); /* banned strerror: a test */
            return 1;
        }
    }
    return 0;
}

static void hammer_start(const struct home_of *h, pid_t *pids)
{
    int64_t until = now_ms() + SECONDS * 1000;

    for (unsigned i = 0; i < PROCESSES; i++)
        if ((pids[i] = fork()) == 0)
            _exit(hammer(h->dir, 17 * i + 1, until));
}

static int hammer_wait(pid_t *pids)
{
    int failed = 0;

    for (unsigned i = 0; i < PROCESSES; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        failed += status != 0;
    }
    return failed;
}

static void random_operations_of_many_processes_leave_no_drift(void **state)
{
    struct home_of h;
    pid_t pids[PROCESSES];

    home_new(*state, &h, 150000, 10);
    hammer_start(&h, pids);
    assert_int_equal(hammer_wait(pids), 0);
    assert_agrees(&h);
    assert_int_equal(bed_recount(*state, DOMAIN_USER, h.id, true), 0);
    home_close(&h);
}

static void a_server_that_is_killed_again_and_again_costs_no_client_an_error_and_no_byte(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;
    pid_t pids[PROCESSES];
    unsigned seed = 7;

    home_new(b, &h, 150000, 10);
    hammer_start(&h, pids);
    for (int i = 0; i < KILLS; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = (rand_r(&seed) % 150) * 1000000L },
                  NULL); /* the kill's moment is the test */
        bed_crash(b);
    }
    assert_int_equal(hammer_wait(pids), 0);
    assert_agrees(&h);
    assert_int_equal(bed_recount(b, DOMAIN_USER, h.id, true), 0);
    home_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_of_many_processes_leave_no_drift),
        cmocka_unit_test(a_server_that_is_killed_again_and_again_costs_no_client_an_error_and_no_byte),
    };

    return cmocka_run_group_tests(tests, mounted_setup, mounted_teardown);
}
