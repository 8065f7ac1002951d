/* Limits: hard to the byte, shrinking always allowed, changed at once. */
#include "tests/integration/vfs/mounted.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

static const struct {
    const char *name;
    uint64_t size, limit, off, len;
    int64_t wrote;
} writes[] = {
    { "grows within the limit", 4096, 8192, 4096, 1024, 1024 },
    { "uses the last byte", 4096, 5120, 4096, 1024, 1024 },
    { "writes the part that fits", 4096, 5120, 4096, 4096, 1024 },
    { "refuses the byte after the last", 5120, 5120, 5120, 1, -EDQUOT },
    { "a hole and one byte that fit", 100, 1001, 1000, 1, 1 },
    { "a hole that does not fit", 100, 1000, 1000, 1, -EDQUOT },
    { "writes inside", 4096, 4096, 0, 4096, 4096 },
    { "writes over the end up to the limit", 4096, 5000, 4000, 2000, 1000 },
};

static void writes_use_the_last_byte_and_never_pass_the_limit(void **state)
{
    struct home_of h;

    for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
        home_new(*state, &h, writes[i].limit, 0);
        rows_equal(writes[i].name, put(h.dir, "f", writes[i].size), (int64_t)writes[i].size);
        rows_equal(writes[i].name, write_at(h.dir, "f", writes[i].len, (off_t)writes[i].off), writes[i].wrote);
        assert_agrees(&h);
        home_close(&h);
    }
}

static int64_t at_limit_append(int dir)
{
    return append(dir, "f", 10);
}
static int64_t at_limit_put(int dir)
{
    return put(dir, "new", 1);
}
static int64_t at_limit_empty(int dir)
{
    return put(dir, "new", 0);
}
static int64_t at_limit_shrink(int dir)
{
    return put(dir, "f", 10);
}
static int64_t at_limit_same(int dir)
{
    return put(dir, "f", 1000);
}
static int64_t at_limit_unlink(int dir)
{
    return err(unlinkat(dir, "f", 0));
}

static int64_t at_limit_fd(int dir, int64_t (*fn)(int fd))
{
    int fd = openat(dir, "f", O_RDWR);
    int64_t r = fn(fd);

    close(fd);
    return r;
}

static int64_t fd_truncate_up(int fd)
{
    return err(ftruncate(fd, 1001));
}
static int64_t fd_truncate_same(int fd)
{
    return err(ftruncate(fd, 1000));
}
static int64_t fd_allocate(int fd)
{
    return err(fallocate(fd, 0, 0, 1001));
}
static int64_t fd_allocate_kept(int fd)
{
    return err(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
}
static int64_t fd_copy(int fd)
{
    off_t in = 0, out = 1000;
    return err(copy_file_range(fd, &in, fd, &out, 500, 0));
}
static int64_t at_limit_truncate_up(int dir)
{
    return at_limit_fd(dir, fd_truncate_up);
}
static int64_t at_limit_truncate_same(int dir)
{
    return at_limit_fd(dir, fd_truncate_same);
}
static int64_t at_limit_allocate(int dir)
{
    return at_limit_fd(dir, fd_allocate);
}
static int64_t at_limit_allocate_kept(int dir)
{
    return at_limit_fd(dir, fd_allocate_kept);
}
static int64_t at_limit_copy(int dir)
{
    return at_limit_fd(dir, fd_copy);
}

static const struct {
    const char *name;
    int64_t (*op)(int dir);
    int64_t r;
} full[] = {
    { "append", at_limit_append, -EDQUOT },
    { "a new file with a byte", at_limit_put, -EDQUOT },
    { "a new empty file", at_limit_empty, 0 },
    { "overwrite with less", at_limit_shrink, 10 },
    { "overwrite with as much", at_limit_same, 1000 },
    { "unlink", at_limit_unlink, 0 },
    { "truncate up", at_limit_truncate_up, -EDQUOT },
    { "truncate to the same", at_limit_truncate_same, 0 },
    { "allocate", at_limit_allocate, -EDQUOT },
    { "allocate and keep the size", at_limit_allocate_kept, 0 },
    { "copy a range behind the end", at_limit_copy, -EDQUOT },
};

static void a_full_home_refuses_growth_only(void **state)
{
    struct home_of h;

    for (size_t i = 0; i < ARRAY_SIZE(full); i++) {
        home_new(*state, &h, 1000, 0);
        rows_equal(full[i].name, put(h.dir, "f", 1000), 1000);
        rows_equal(full[i].name, full[i].op(h.dir), full[i].r);
        assert_agrees(&h);
        home_close(&h);
    }
}

static void the_number_of_files_is_limited(void **state)
{
    struct home_of h;

    home_new(*state, &h, 0, 2);
    assert_int_equal(put(h.dir, "1", 1), 1);
    assert_int_equal(put(h.dir, "2", 1), 1);
    assert_int_equal(put(h.dir, "3", 1), -EDQUOT);
    assert_int_equal(size_of(h.dir, "3"), -ENOENT);
    assert_int_equal(err(mknodat(h.dir, "3", S_IFREG | 0644, 0)), -EDQUOT);
    assert_int_equal(err(openat(h.dir, ".", O_TMPFILE | O_RDWR, 0644)), -EDQUOT);
    assert_int_equal(mkdirat(h.dir, "d", 0755), 0);
    assert_int_equal(linkat(h.dir, "1", h.dir, "d/1", 0), 0); /* a name is no file */
    assert_int_equal(put(h.dir, "2", 5), 5);
    assert_int_equal(unlinkat(h.dir, "2", 0), 0);
    assert_int_equal(put(h.dir, "3", 1), 1);
    assert_counts(&h, 2, 2);
    home_close(&h);
}

static void limits_that_change_count_at_once_for_open_files(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_new(b, &h, 100, 0);
    int fd = openat(h.dir, "f", O_CREAT | O_WRONLY, 0644);
    char buf[200] = { 0 };
    assert_int_equal(write(fd, buf, 200), 100);
    assert_int_equal(err(write(fd, buf, 1)), -EDQUOT);
    assert_int_equal(bed_quota(b, h.name, 150, 0), h.id); /* raised */
    assert_int_equal(write(fd, buf, 200), 50);
    assert_int_equal(bed_quota(b, h.name, 10, 0), h.id); /* lowered below what is used */
    assert_int_equal(pwrite(fd, buf, 150, 0), 150);
    assert_int_equal(err(pwrite(fd, buf, 1, 150)), -EDQUOT);
    assert_int_equal(ftruncate(fd, 20), 0);
    assert_int_equal(err(pwrite(fd, buf, 1, 20)), -EDQUOT);
    assert_int_equal(bed_quota(b, h.name, 0, 0), h.id); /* taken away */
    assert_int_equal(pwrite(fd, buf, 200, 20), 200);
    close(fd);
    assert_counts(&h, 220, 1);
    home_close(&h);
}

enum { WRITERS = 6 };

/* Each appends single bytes to a file of its own until the quota stops it; the number that fitted is its exit status.
 * */
static int writer(int dir, int which)
{
    char name[16];
    int n = 0;

    snprintf(name, sizeof name, "w%d", which);
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_APPEND, 0644);
    while (n < 255 && write(fd, "x", 1) == 1)
        n++;
    return n;
}

static void writers_together_get_exactly_the_limit(void **state)
{
    struct home_of h;
    pid_t pids[WRITERS];
    int sum = 0;

    home_new(*state, &h, 600, 0);
    for (int i = 0; i < WRITERS; i++)
        if ((pids[i] = fork()) == 0)
            _exit(writer(h.dir, i));
    for (int i = 0; i < WRITERS; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        sum += WEXITSTATUS(status);
    }
    assert_int_equal(sum, 600);
    assert_counts(&h, 600, WRITERS);
    home_close(&h);
}

static void statfs_shows_what_the_quota_leaves(void **state)
{
    struct home_of h;
    struct statvfs s;

    home_new(*state, &h, 1 << 20, 10);
    assert_int_equal(put(h.dir, "f", 1 << 19), 1 << 19);
    assert_int_equal(fstatvfs(h.dir, &s), 0);
    assert_int_equal(s.f_blocks * s.f_frsize, 1 << 20);
    assert_int_equal(s.f_bavail * s.f_frsize, 1 << 19);
    assert_int_equal(s.f_files, 10);
    assert_int_equal(s.f_favail, 9);
    home_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_use_the_last_byte_and_never_pass_the_limit),
        cmocka_unit_test(a_full_home_refuses_growth_only),
        cmocka_unit_test(the_number_of_files_is_limited),
        cmocka_unit_test(limits_that_change_count_at_once_for_open_files),
        cmocka_unit_test(writers_together_get_exactly_the_limit),
        cmocka_unit_test(statfs_shows_what_the_quota_leaves),
    };

    return cmocka_run_group_tests(tests, mounted_setup, mounted_teardown);
}
