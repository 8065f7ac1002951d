/* Open files are a good that one user could take from all others: it is shared out. */
#include "tests/integration/vfs/mounted.h"

#include <errno.h>
#include <grp.h>
#include <sys/wait.h>

enum { DESCRIPTORS = 1500, WRITERS = 2000, MAX_OPEN = 5000 };

static int setup(void **state)
{
    static struct vfs_bed bed = { .max_open_files = MAX_OPEN, .max_descriptors = DESCRIPTORS };

    bed_start(&bed);
    *state = &bed;
    return 0;
}

static int teardown(void **state)
{
    bed_stop(*state);
    return 0;
}

static void the_server_serves_more_writers_than_it_may_have_descriptors(void **state)
{
    static int fds[WRITERS];
    struct home_of h;
    char name[24], byte;

    home_new(*state, &h, 0, 0);
    for (int i = 0; i < WRITERS; i++) {
        snprintf(name, sizeof name, "w%d", i);
        fds[i] = openat(h.dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
        if (fds[i] < 0)
            fail_msg("%d files are open: %s", i, strerror(errno)); /* banned strerror: a test prints it */
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pwrite(fds[i], "abc", 3, 0), 3);
        assert_int_equal(pread(fds[i], &byte, 1, 2), 1);
        assert_int_equal(byte, 'c');
    }
    assert_counts(&h, 3 * WRITERS, WRITERS);
    bed_crash(*state);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pwrite(fds[i], "d", 1, 3), 1);
        close(fds[i]);
    }
    assert_agrees(&h);
    home_close(&h);
}

/* A user that opens all it can, says what stopped it, and keeps it until `go_fd` ends. */
struct greedy {
    int dir, go_fd, said_fd;
    uid_t uid;
};

static void greedy_main(const struct greedy *g)
{
    int r = 0;
    char c;

    if (setgroups(0, NULL) < 0 || setgid(g->uid) < 0 || setuid(g->uid) < 0)
        _exit(1);
    while (r == 0)
        r = openat(g->dir, "f", O_RDONLY) < 0 ? -errno : 0;
    if (write(g->said_fd, &r, sizeof r) != sizeof r)
        _exit(2);
    IGNORE(read(g->go_fd, &c, 1), "its end is awaited");
    _exit(0);
}

static void nobody_takes_the_places_of_others(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of greedy_home, other;
    int go[2], said[2], r = 0;
    pid_t pid;

    home_new(b, &greedy_home, 0, 0);
    home_new(b, &other, 0, 0);
    assert_int_equal(fchmod(greedy_home.dir, 0755), 0);
    assert_int_equal(put(greedy_home.dir, "f", 1), 1);
    assert_int_equal(put(other.dir, "f", 1), 1);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    if ((pid = fork()) == 0) {
        close(go[1]);
        greedy_main(&(struct greedy){ greedy_home.dir, go[0], said[1], 2001 });
    }
    close(go[0]);
    assert_int_equal(read(said[0], &r, sizeof r), sizeof r);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(err(openat(greedy_home.dir, "f", O_RDONLY)), -EMFILE); /* its home has its share, too */
    bed_crash(b);                                                           /* the shares are those of the open files */
    assert_int_equal(err(openat(greedy_home.dir, "f", O_RDONLY)), -EMFILE);
    int fd = openat(other.dir, "f", O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    close(go[1]);
    waitpid(pid, NULL, 0);
    close(said[0]);
    close(said[1]);
    home_close(&greedy_home);
    home_close(&other);
}

static void a_program_that_has_its_share_may_open_again_what_it_has_closed(void **state)
{
    static int fds[MAX_OPEN];
    struct home_of h;
    int n = 0, fd;

    home_new(*state, &h, 0, 0);
    assert_int_equal(put(h.dir, "f", 1), 1);
    while (n < MAX_OPEN && (fd = openat(h.dir, "f", O_RDONLY)) >= 0)
        fds[n++] = fd;
    assert_int_equal(errno, EMFILE);
    assert_in_range(n, MAX_OPEN / 2 - 1, MAX_OPEN / 2 + 1);
    for (int i = 0; i < n; i++)
        close(fds[i]);
    assert_int_equal(append(h.dir, "f", 9), 9);
    assert_agrees(&h);
    home_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_serves_more_writers_than_it_may_have_descriptors),
        cmocka_unit_test(nobody_takes_the_places_of_others),
        cmocka_unit_test(a_program_that_has_its_share_may_open_again_what_it_has_closed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
