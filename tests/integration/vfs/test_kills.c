/* The server dies at random moments and at fault points, in the midst of the work of clients who check every answer:
 * none sees an error, nothing is done twice, the number is right, and nobody waits long.
 *
 *   KILLS=1000 integration_vfs_kills      more of it; the times are told at the end
 *
 * A fault point is before or after a system call that changes something: "begun" and "executed, but not replied". */
#include "tests/integration/vfs/mounted.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { KILLS = 50, KILLS_MAX = 10000, CLIENTS = 3, POINTS_APART = 40, PAUSE_MS = 30 };

/* Shared with the clients. */
struct watch {
    _Atomic bool stop;
    _Atomic uint64_t calls;
    _Atomic uint64_t slowest_us; /* of any call since it was reset */
};
static struct watch *watch;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int64_t timed(uint64_t since, int64_t r)
{
    uint64_t took = now_us() - since, was = watch->slowest_us;

    watch->calls++;
    while (was < took && !atomic_compare_exchange_weak(&watch->slowest_us, &was, took))
        ;
    return r;
}
#define T(call)                                                                                                        \
    ({                                                                                                                 \
        uint64_t since_us = now_us();                                                                                  \
        timed(since_us, (call));                                                                                       \
    })

/* ---- clients ---------------------------------------------------------------------------------------------------- */

/* Each round leaves nothing behind but what it knows; the step that failed is the exit status. */
static int names_round(int dir)
{
    struct stat st;

    if (T(mkdirat(dir, "d", 0755)) < 0)
        return 1;
    if (T(symlinkat("x", dir, "d/l")) < 0 || T(mknodat(dir, "d/n", S_IFREG | 0600, 0)) < 0)
        return 2;
    if (T(linkat(dir, "d/n", dir, "d/m", 0)) < 0 || T(fstatat(dir, "d/m", &st, 0)) < 0 || st.st_nlink != 2)
        return 3;
    if (T(renameat2(dir, "d/n", dir, "d/l", RENAME_EXCHANGE)) < 0)
        return 4;
    if (T(fstatat(dir, "d/n", &st, AT_SYMLINK_NOFOLLOW)) < 0 || !S_ISLNK(st.st_mode))
        return 5;
    if (T(renameat2(dir, "d/m", dir, "d/k", RENAME_NOREPLACE)) < 0 || T(unlinkat(dir, "d/l", 0)) < 0)
        return 6;
    if (T(unlinkat(dir, "d/n", 0)) < 0 || T(renameat(dir, "d/k", dir, "k")) < 0)
        return 7;
    return T(unlinkat(dir, "k", 0)) < 0 || T(unlinkat(dir, "d", AT_REMOVEDIR)) < 0 ? 8 : 0;
}

static int bytes_round(int dir)
{
    char buf[64] = "";
    int fd = (int)T(openat(dir, "a", O_CREAT | O_EXCL | O_RDWR | O_APPEND | O_CLOEXEC, 0644));

    if (fd < 0)
        return 11;
    for (int i = 0; i < 4; i++)
        if (T(write(fd, &"0123456789"[i], 5)) != 5)
            return 12;
    if (T(pread(fd, buf, sizeof buf, 0)) != 20 || memcmp(buf, "01234123452345634567", 20) != 0)
        return 13; /* a record that was written twice makes it longer */
    if (T(ftruncate(fd, 12)) < 0 || T(fallocate(fd, 0, 0, 30)) < 0 || size_of(dir, "a") != 30)
        return 14;
    if (T(fsync(fd)) < 0 || T(fchmod(fd, 0600)) < 0)
        return 15;
    if (T(unlinkat(dir, "a", 0)) < 0 || T(write(fd, "end", 3)) != 3)
        return 16;
    if (T(pread(fd, buf, 4, 29)) != 4 || memcmp(buf, "\0end", 4) != 0)
        return 17;
    close(fd);
    return 0;
}

static int files_round(int dir)
{
    if (T(put(dir, "b", 3000)) != 3000 || T(put(dir, "c", 500)) != 500)
        return 21;
    if (T(renameat(dir, "c", dir, "b")) < 0 || size_of(dir, "b") != 500 || size_of(dir, "c") != -ENOENT)
        return 22;
    if (T(append(dir, "b", 100)) != 100 || T(write_at(dir, "b", 200, 700)) != 200 || size_of(dir, "b") != 900)
        return 23;
    int fd = (int)T(openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd < 0 || T(write(fd, "tmp", 3)) != 3)
        return 24;
    close(fd);
    return T(unlinkat(dir, "b", 0)) < 0 ? 25 : 0;
}

static int client(int home, int number)
{
    static int (*const rounds[])(int dir) = { names_round, bytes_round, files_round };
    char name[24];
    int r = 0;

    snprintf(name, sizeof name, "client%d", number);
    int dir = openat(home, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = number; !watch->stop && r == 0; i++)
        r = rounds[i % 3](dir);
    if (r != 0)
        fprintf(stderr, "client %d: step %d: %s\n", number, r, strerror(errno)); /* banned strerror: a test prints it */
    return r;
}

static void clients_start(const struct home_of *h, pid_t *pids)
{
    char name[24];

    *watch = (struct watch){ 0 };
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(name, sizeof name, "client%d", i);
        assert_int_equal(mkdirat(h->dir, name, 0755), 0);
        if ((pids[i] = fork()) == 0)
            _exit(client(h->dir, i));
    }
}

static int clients_end(pid_t *pids)
{
    int failed = 0, status = 0;

    watch->stop = true;
    for (int i = 0; i < CLIENTS; i++) {
        waitpid(pids[i], &status, 0);
        failed += status != 0;
    }
    return failed;
}

/* ---- kills ------------------------------------------------------------------------------------------------------ */

static int kills_wanted(void)
{
    const char *text = getenv("KILLS");
    int n = 0;

    return text != NULL && sscanf(text, "%d", &n) == 1 && n > 0 && n <= KILLS_MAX ? n : KILLS;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void clients_go_on(void)
{
    uint64_t was = watch->calls;
    uint64_t until = now_us() + 10000000;

    while (watch->calls < was + 3 * CLIENTS && now_us() < until)
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
    assert_true(watch->calls >= was + 3 * CLIENTS);
}

/* How long the slowest call took that was under way when the server died, for each kill. */
static void times_tell(const char *what, uint64_t *us, int n)
{
    int middle = n / 2, most = n * 9 / 10;

    qsort(us, (size_t)n, sizeof *us, compare);
    print_message("%s: %d kills, %llu calls; slowest call of each: median %.1f ms, 90%% %.1f ms, worst %.1f ms\n", what,
                  n, (unsigned long long)watch->calls, (double)us[middle] / 1e3, (double)us[most] / 1e3,
                  (double)us[n - 1] / 1e3);
}

static void kill_again_and_again(struct vfs_bed *b, const char *what,
                                 void (*kill_once)(struct vfs_bed *b, unsigned *seed))
{
    static uint64_t took[KILLS_MAX];
    int n = kills_wanted() / 2;
    pid_t pids[CLIENTS];
    unsigned seed = 11;
    struct home_of h;

    home_new(b, &h, 1 << 20, 1000);
    clients_start(&h, pids);
    for (int i = 0; i < n; i++) {
        clients_go_on();
        watch->slowest_us = 0;
        kill_once(b, &seed);
        clients_go_on();
        took[i] = watch->slowest_us;
    }
    assert_int_equal(clients_end(pids), 0);
    assert_agrees(&h);
    assert_int_equal(bed_recount(b, DOMAIN_USER, h.id, true), 0);
    times_tell(what, took, n);
    home_close(&h);
}

static void kill_at_random(struct vfs_bed *b, unsigned *seed)
{
    nanosleep(&(struct timespec){ .tv_nsec = (rand_r(seed) % PAUSE_MS) * 1000000L }, NULL); /* the moment is the test */
    bed_crash(b);
}

static void kill_at_a_point(struct vfs_bed *b, unsigned *seed)
{
    bed_fault(b, 1 + (unsigned)rand_r(seed) % POINTS_APART);
    bed_revive(b);
}

static void a_kill_at_any_moment_costs_no_error_and_no_byte(void **state)
{
    kill_again_and_again(*state, "at random", kill_at_random);
}

static void a_kill_between_executed_and_replied_does_nothing_twice(void **state)
{
    kill_again_and_again(*state, "at fault points", kill_at_a_point);
}

static int setup(void **state)
{
    watch = mmap(NULL, sizeof *watch, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return watch == MAP_FAILED ? -1 : mounted_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_at_any_moment_costs_no_error_and_no_byte),
        cmocka_unit_test(a_kill_between_executed_and_replied_does_nothing_twice),
    };

    return cmocka_run_group_tests(tests, setup, mounted_teardown);
}
