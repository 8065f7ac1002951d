/* After each kind of operation the counters are what a walk of the backing directory finds. */
#include "tests/integration/vfs/mounted.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* Each step starts from a home with these files: a (1000 bytes), b (500), d/c (70), l -> a. */
static void fill(int dir)
{
    assert_int_equal(put(dir, "a", 1000), 1000);
    assert_int_equal(put(dir, "b", 500), 500);
    assert_int_equal(mkdirat(dir, "d", 0755), 0);
    assert_int_equal(put(dir, "d/c", 70), 70);
    assert_int_equal(symlinkat("a", dir, "l"), 0);
}

static int64_t with_fd(int dir, const char *name, int flags, int64_t (*fn)(int fd))
{
    int fd = openat(dir, name, flags | O_CLOEXEC, 0644);
    int64_t r = fd < 0 ? -errno : fn(fd);

    if (fd >= 0)
        close(fd);
    return r;
}

static int64_t fd_grow(int fd)
{
    return err(ftruncate(fd, 5000));
}
static int64_t fd_shrink(int fd)
{
    return err(ftruncate(fd, 10));
}
static int64_t fd_sparse(int fd)
{
    return err(pwrite(fd, "x", 1, 1 << 20));
}
static int64_t fd_allocate(int fd)
{
    return err(fallocate(fd, 0, 0, 9000));
}
static int64_t fd_keep_size(int fd)
{
    return err(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 90000));
}
static int64_t fd_punch(int fd)
{
    return err(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100));
}
static int64_t fd_zero(int fd)
{
    return err(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4000));
}
static int64_t fd_inside(int fd)
{
    return err(pwrite(fd, "inside", 6, 0));
}

static int64_t fd_mapped(int fd)
{
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    memset(p, 'm', 1000);
    munmap(p, 4096);
    return 0;
}

static int64_t copy_range(int dir)
{
    int from = openat(dir, "a", O_RDONLY);
    int to = openat(dir, "b", O_WRONLY);
    off_t in = 0, out = 300;
    int64_t r = err(copy_file_range(from, &in, to, &out, 1000, 0));

    close(from);
    close(to);
    return r;
}

static int64_t tmpfile_linked(int dir)
{
    char path[64];
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR, 0644);

    if (fd < 0)
        return -errno;
    int64_t r = err(write(fd, "temporary", 9));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (r == 9)
        r = err(linkat(AT_FDCWD, path, dir, "kept", AT_SYMLINK_FOLLOW));
    close(fd);
    return r;
}

static int64_t tmpfile_dropped(int dir)
{
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR, 0644);
    int64_t r = fd < 0 ? -errno : err(write(fd, "temporary", 9));

    if (fd >= 0)
        close(fd);
    return r == 9 ? 0 : r;
}

static int64_t empty_dir_replaced(int dir)
{
    if (mkdirat(dir, "e", 0755) < 0)
        return -errno;
    return err(renameat(dir, "d", dir, "e"));
}

static int64_t links_and_unlinks(int dir)
{
    if (linkat(dir, "a", dir, "d/a2", 0) < 0 || unlinkat(dir, "a", 0) < 0)
        return -errno;
    return 0;
}

static int64_t op_create(int dir)
{
    return put(dir, "new", 0);
}
static int64_t op_put(int dir)
{
    return put(dir, "new", 12345) - 12345;
}
static int64_t op_overwrite(int dir)
{
    return put(dir, "a", 3) - 3;
}
static int64_t op_append(int dir)
{
    return append(dir, "a", 10) - 10;
}
static int64_t op_inside(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_inside) - 6;
}
static int64_t op_sparse(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_sparse) - 1;
}
static int64_t op_grow(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_grow);
}
static int64_t op_shrink(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_shrink);
}
static int64_t op_allocate(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_allocate);
}
static int64_t op_keep_size(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_keep_size);
}
static int64_t op_punch(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_punch);
}
static int64_t op_zero(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_zero);
}
static int64_t op_mapped(int dir)
{
    return with_fd(dir, "a", O_RDWR, fd_mapped);
}
static int64_t op_copy_range(int dir)
{
    return copy_range(dir) - 1000;
}
static int64_t op_mknod(int dir)
{
    return err(mknodat(dir, "n", S_IFREG | 0644, 0));
}
static int64_t op_fifo(int dir)
{
    return err(mknodat(dir, "f", S_IFIFO | 0644, 0));
}
static int64_t op_unlink(int dir)
{
    return err(unlinkat(dir, "a", 0));
}
static int64_t op_unlink_symlink(int dir)
{
    return err(unlinkat(dir, "l", 0));
}
static int64_t op_link(int dir)
{
    return err(linkat(dir, "a", dir, "a2", 0));
}
static int64_t op_rename(int dir)
{
    return err(renameat(dir, "a", dir, "d/a"));
}
static int64_t op_rename_over(int dir)
{
    return err(renameat(dir, "a", dir, "b"));
}
static int64_t op_rename_dir(int dir)
{
    return err(renameat(dir, "d", dir, "d2"));
}
static int64_t op_rename_symlink_over(int dir)
{
    return err(renameat(dir, "l", dir, "b"));
}
static int64_t op_exchange(int dir)
{
    return err(renameat2(dir, "a", dir, "d", RENAME_EXCHANGE));
}
static int64_t op_noreplace(int dir)
{
    return err(renameat2(dir, "a", dir, "b", RENAME_NOREPLACE));
}
static int64_t op_whiteout(int dir)
{
    return err(renameat2(dir, "a", dir, "b2", RENAME_WHITEOUT));
}

static const struct {
    const char *name;
    int64_t (*op)(int dir);
    int64_t r;
    uint64_t bytes, files;
} rows[] = {
    { "create", op_create, 0, 1570, 4 },
    { "a new file", op_put, 0, 13915, 4 },
    { "overwrite with less", op_overwrite, 0, 573, 3 },
    { "append", op_append, 0, 1580, 3 },
    { "write inside", op_inside, 0, 1570, 3 },
    { "write far behind the end", op_sparse, 0, 1049147, 3 },
    { "truncate up", op_grow, 0, 5570, 3 },
    { "truncate down", op_shrink, 0, 580, 3 },
    { "allocate", op_allocate, 0, 9570, 3 },
    { "allocate, keep the size", op_keep_size, 0, 1570, 3 },
    { "punch a hole", op_punch, 0, 1570, 3 },
    { "zero a range", op_zero, 0, 4570, 3 },
    { "write through a mapping", op_mapped, 0, 1570, 3 },
    { "copy a range", op_copy_range, 0, 2370, 3 },
    { "mknod of a regular file", op_mknod, 0, 1570, 4 },
    { "a fifo", op_fifo, 0, 1570, 3 },
    { "unlink", op_unlink, 0, 570, 2 },
    { "unlink a symlink", op_unlink_symlink, 0, 1570, 3 },
    { "link", op_link, 0, 1570, 3 },
    { "link, then unlink the first name", links_and_unlinks, 0, 1570, 3 },
    { "rename into a directory", op_rename, 0, 1570, 3 },
    { "rename over", op_rename_over, 0, 1070, 2 },
    { "rename a directory", op_rename_dir, 0, 1570, 3 },
    { "rename a directory over an empty one", empty_dir_replaced, 0, 1570, 3 },
    { "rename a symlink over a file", op_rename_symlink_over, 0, 1070, 2 },
    { "exchange a file and a directory", op_exchange, 0, 1570, 3 },
    { "rename onto itself, no replacing", op_noreplace, -EEXIST, 1570, 3 },
    { "whiteout", op_whiteout, -EINVAL, 1570, 3 },
    { "a temporary file that gets a name", tmpfile_linked, 0, 1579, 4 },
    { "a temporary file that does not", tmpfile_dropped, 0, 1570, 3 },
};

static void counters_are_what_a_walk_finds_after_each_operation(void **state)
{
    struct home_of h;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        home_new(*state, &h, 0, 0);
        fill(h.dir);
        rows_equal(rows[i].name, rows[i].op(h.dir), rows[i].r);
        if (!bed_agrees(*state, DOMAIN_USER, h.id, h.backing))
            fail_msg("%s: the counters are wrong", rows[i].name);
        rows_equal(rows[i].name, (int64_t)bed_counted(*state, DOMAIN_USER, h.id).bytes, (int64_t)rows[i].bytes);
        rows_equal(rows[i].name, (int64_t)bed_counted(*state, DOMAIN_USER, h.id).files, (int64_t)rows[i].files);
        home_close(&h);
    }
}

static void a_file_counts_until_its_last_close_after_it_lost_its_name(void **state)
{
    struct home_of h;

    home_new(*state, &h, 0, 0);
    assert_int_equal(put(h.dir, "a", 1000), 1000);
    int fd = openat(h.dir, "a", O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(unlinkat(h.dir, "a", 0), 0);
    assert_counts(&h, 1000, 1);
    assert_int_equal(pwrite(fd, "more", 4, 1000), 4); /* still writable, still counted */
    assert_counts(&h, 1004, 1);
    close(fd);
    assert_counts(&h, 0, 0);
    home_close(&h);
}

static int open_again(int fd, int flags)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return err(open(path, flags | O_CLOEXEC));
}

/* Looked up before its last name went, opened after. */
static void an_inode_without_a_name_is_charged_again_when_it_is_opened(void **state)
{
    struct home_of h;

    home_new(*state, &h, 1500, 0);
    assert_int_equal(put(h.dir, "a", 1000), 1000);
    assert_counts(&h, 1000, 1);
    int seen = openat(h.dir, "a", O_PATH | O_CLOEXEC);
    assert_int_equal(unlinkat(h.dir, "a", 0), 0);
    assert_int_equal(bed_counted(*state, DOMAIN_USER, h.id).bytes, 0); /* at once: nobody has it open */
    assert_int_equal(bed_counted(*state, DOMAIN_USER, h.id).files, 0);

    int fd = open_again(seen, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(bed_counted(*state, DOMAIN_USER, h.id).bytes, 1000);
    assert_int_equal(pwrite(fd, "more", 4, 1000), 4);
    assert_int_equal(put(h.dir, "b", 600), 496);
    close(fd);
    assert_counts(&h, 496, 1);

    assert_int_equal(put(h.dir, "b", 600), 600);
    assert_int_equal(open_again(seen, O_RDONLY), -ESTALE); /* no room for it any more */
    assert_int_equal(unlinkat(h.dir, "b", 0), 0);
    fd = open_again(seen, O_RDONLY);
    assert_true(fd >= 0);
    assert_counts(&h, 1004, 1);
    close(fd);
    close(seen);
    assert_counts(&h, 0, 0);
    home_close(&h);
}

enum { REPLACED = 3000 };

static void replace_and_exit(int dir)
{
    for (int i = 0; i < REPLACED; i++)
        if (put(dir, "new", 100) != 100 || renameat(dir, "new", dir, "f") < 0)
            _exit(1);
    _exit(0);
}

static void a_file_that_is_replaced_can_always_be_opened(void **state)
{
    struct home_of h;
    int status = 0;

    home_new(*state, &h, 0, 0);
    assert_int_equal(put(h.dir, "f", 100), 100);
    pid_t pid = fork();
    if (pid == 0)
        replace_and_exit(h.dir);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int fd = err(openat(h.dir, "f", O_RDONLY | O_CLOEXEC));
        if (fd < 0)
            rows_equal("open", fd, 0);
        close(fd);
    }
    assert_int_equal(status, 0);
    assert_counts(&h, 100, 1);
    home_close(&h);
}

static void files_that_were_there_before_are_counted_when_the_home_is_first_touched(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;
    char dir[256];

    snprintf(dir, sizeof dir, "%s/early", b->data);
    assert_int_equal(mkdir(dir, 0755), 0);
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(put(fd, "old", 4321), 4321);
    close(fd);
    home_open(b, &h, "early", bed_quota(b, "early", 0, 0));
    assert_counts(&h, 4321, 1);
    assert_int_equal(unlinkat(h.dir, "old", 0), 0);
    assert_counts(&h, 0, 0);
    home_close(&h);
}

static void a_recount_finds_no_drift(void **state)
{
    struct home_of h;

    home_new(*state, &h, 0, 0);
    fill(h.dir);
    assert_agrees(&h);
    assert_int_equal(bed_recount(*state, DOMAIN_USER, h.id, true), 0);
    home_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_what_a_walk_finds_after_each_operation),
        cmocka_unit_test(a_file_counts_until_its_last_close_after_it_lost_its_name),
        cmocka_unit_test(an_inode_without_a_name_is_charged_again_when_it_is_opened),
        cmocka_unit_test(a_file_that_is_replaced_can_always_be_opened),
        cmocka_unit_test(files_that_were_there_before_are_counted_when_the_home_is_first_touched),
        cmocka_unit_test(a_recount_finds_no_drift),
    };

    return cmocka_run_group_tests(tests, mounted_setup, mounted_teardown);
}
