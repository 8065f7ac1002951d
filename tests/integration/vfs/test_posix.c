/* What a local file system offers works through the mount. */
#include "tests/integration/vfs/mounted.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static int as_user(uid_t uid, gid_t gid, int (*fn)(int dir), int dir)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
            _exit(99);
        _exit(fn(dir));
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int64_t total(int dir, const char *path, const char *name)
{
    char full[128], text[32] = "";

    snprintf(full, sizeof full, "/proc/self/fd/%d/%s", dir, path);
    ssize_t n = getxattr(full, name, text, sizeof text - 1);
    return n < 0 ? -errno : atoll(text);
}

static void directories_know_the_totals_of_their_subtree(void **state)
{
    struct home_of h;

    home_new(*state, &h, 0, 0);
    assert_int_equal(mkdirat(h.dir, "a", 0755), 0);
    assert_int_equal(mkdirat(h.dir, "a/b", 0755), 0);
    assert_int_equal(put(h.dir, "a/b/f", 1000), 1000);
    assert_int_equal(put(h.dir, "a/g", 10), 10);
    assert_int_equal(total(h.dir, "a", "user.tally.rbytes"), 1010);
    assert_int_equal(total(h.dir, "a", "user.tally.rfiles"), 2);
    assert_int_equal(total(h.dir, "a/b", "user.tally.rbytes"), 1000);
    assert_int_equal(total(h.dir, ".", "user.tally.rbytes"), 1010);
    assert_int_equal(renameat(h.dir, "a/b", h.dir, "b"), 0);
    assert_int_equal(total(h.dir, "a", "user.tally.rbytes"), 10);
    assert_int_equal(total(h.dir, "a/g", "user.tally.rbytes"), -ENODATA);
    assert_int_equal(err(fsetxattr(h.dir, "user.tally.rbytes", "1", 1, 0)), -EPERM);
    assert_int_equal(err(fremovexattr(h.dir, "user.tally.rbytes")), -EPERM);
    home_close(&h);
}

static int trusted_is_hidden(int dir)
{
    char buf[64];
    int fd = openat(dir, "f", O_RDONLY);

    if (fd < 0 || fgetxattr(fd, "trusted.t", buf, sizeof buf) >= 0 || errno != ENODATA)
        return 1;
    ssize_t n = flistxattr(fd, buf, sizeof buf);
    return n == 7 && memcmp(buf, "user.u", 7) == 0 ? 0 : 2;
}

static void extended_attributes_are_kept_and_trusted_ones_are_roots(void **state)
{
    struct home_of h;
    char buf[64];

    home_new(*state, &h, 0, 0);
    assert_int_equal(fchmod(h.dir, 0755), 0);
    assert_int_equal(put(h.dir, "f", 1), 1);
    int fd = openat(h.dir, "f", O_RDWR);
    assert_int_equal(fsetxattr(fd, "user.u", "value", 5, XATTR_CREATE), 0);
    assert_int_equal(err(fsetxattr(fd, "user.u", "again", 5, XATTR_CREATE)), -EEXIST);
    assert_int_equal(fsetxattr(fd, "trusted.t", "root", 4, 0), 0);
    assert_int_equal(fgetxattr(fd, "user.u", buf, sizeof buf), 5);
    assert_int_equal(fgetxattr(fd, "trusted.t", buf, sizeof buf), 4);
    assert_int_equal(as_user(12345, 12345, trusted_is_hidden, h.dir), 0);
    assert_int_equal(fremovexattr(fd, "user.u"), 0);
    assert_int_equal(err(fgetxattr(fd, "user.u", buf, sizeof buf)), -ENODATA);
    close(fd);
    home_close(&h);
}

static int creates_things(int dir)
{
    umask(027);
    if (put(dir, "file", 3) != 3 || mkdirat(dir, "dir", 0777) < 0 || symlinkat("x", dir, "link") < 0)
        return 1;
    return put(dir, "dir/inner", 4) == 4 ? 0 : 2;
}

static void assert_owner(int dir, const char *name, uid_t uid, gid_t gid, mode_t mode)
{
    struct stat st;

    assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
    if (!S_ISLNK(st.st_mode))
        assert_int_equal(st.st_mode & 07777, mode);
}

static void what_a_user_creates_is_the_users_with_umask_and_setgid(void **state)
{
    struct home_of h;

    home_new(*state, &h, 0, 0);
    assert_int_equal(fchmod(h.dir, 0777), 0);
    assert_int_equal(as_user(2001, 2002, creates_things, h.dir), 0);
    assert_owner(h.dir, "file", 2001, 2002, 0640);
    assert_owner(h.dir, "dir", 2001, 2002, 0750);
    assert_owner(h.dir, "link", 2001, 2002, 0);
    assert_owner(h.dir, "dir/inner", 2001, 2002, 0640);
    assert_int_equal(mkdirat(h.dir, "g", 0777), 0);
    assert_int_equal(fchownat(h.dir, "g", 0, 3003, 0), 0);
    assert_int_equal(fchmodat(h.dir, "g", 02777, 0), 0);
    int g = openat(h.dir, "g", O_RDONLY | O_DIRECTORY);
    assert_int_equal(as_user(2001, 2002, creates_things, g), 0);
    assert_owner(g, "file", 2001, 3003, 0640);
    assert_owner(g, "dir", 2001, 3003, 02750);
    close(g);
    home_close(&h);
}

static int is_refused(int dir)
{
    int fd = openat(dir, "private", O_RDONLY);

    return fd < 0 && errno == EACCES && unlinkat(dir, "private", 0) < 0 && errno == EACCES ? 0 : 1;
}

static void permissions_are_those_of_the_files(void **state)
{
    struct home_of h;

    home_new(*state, &h, 0, 0);
    assert_int_equal(fchmod(h.dir, 0755), 0);
    assert_int_equal(put(h.dir, "private", 3), 3);
    assert_int_equal(fchmodat(h.dir, "private", 0600, 0), 0);
    assert_int_equal(as_user(2001, 2002, is_refused, h.dir), 0);
    home_close(&h);
}

static int writes_a_byte(int dir)
{
    return write_at(dir, "s", 1, 0) == 1 ? 0 : 1;
}

static void a_write_takes_the_setuid_bit(void **state)
{
    struct home_of h;
    struct stat st;

    home_new(*state, &h, 0, 0);
    assert_int_equal(fchmod(h.dir, 0755), 0);
    assert_int_equal(put(h.dir, "s", 3), 3);
    assert_int_equal(fchmodat(h.dir, "s", 06777, 0), 0);
    assert_int_equal(as_user(2001, 2002, writes_a_byte, h.dir), 0);
    assert_int_equal(fstatat(h.dir, "s", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0777);
    home_close(&h);
}

static void caches_drop(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

    if (fd >= 0 && write(fd, "2", 1) != 1)
        print_message("drop_caches is refused\n");
    close(fd);
}

struct kept {
    struct file_handle h;
    unsigned char room[64];
};

static void keep(int dir, const char *name, struct kept *k)
{
    int mount_id;

    k->h.handle_bytes = sizeof k->room;
    assert_int_equal(name_to_handle_at(dir, name, &k->h, &mount_id, 0), 0);
}

static int64_t kept_size(int dir, struct kept *k)
{
    struct stat st;
    int fd = open_by_handle_at(dir, &k->h, O_RDONLY);
    int64_t r = fd < 0 ? -errno : fstat(fd, &st) < 0 ? -errno : st.st_size;

    if (fd >= 0)
        close(fd);
    return r;
}

static void file_handles_outlive_caches_restarts_and_mounts_but_not_the_file(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;
    struct kept k;
    char path[256];

    home_new(b, &h, 0, 0);
    assert_int_equal(mkdirat(h.dir, "d", 0755), 0);
    assert_int_equal(put(h.dir, "d/f", 77), 77);
    keep(h.dir, "d/f", &k);
    assert_int_equal(kept_size(h.dir, &k), 77);
    caches_drop();
    assert_int_equal(kept_size(h.dir, &k), 77);
    bed_restart(b);
    caches_drop();
    assert_int_equal(kept_size(h.dir, &k), 77);
    home_close(&h);
    bed_remount(b);
    snprintf(path, sizeof path, "%s/%s", b->mnt, h.name);
    h.dir = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(h.dir >= 0);
    assert_int_equal(kept_size(h.dir, &k), 77);
    assert_int_equal(unlinkat(h.dir, "d/f", 0), 0);
    assert_int_equal(put(h.dir, "d/g", 5), 5); /* likely the same inode number */
    /* the release of the last look may be under way, and holds the inode until it is answered */
    for (unsigned i = 0; i < 5000 && kept_size(h.dir, &k) != -ESTALE; i++)
        poll(NULL, 0, 1);
    assert_int_equal(kept_size(h.dir, &k), -ESTALE);
    home_close(&h);
}

enum { MANY = 3000 };

static void a_listing_shows_each_name_once_with_the_number_that_stat_shows(void **state)
{
    struct home_of h;
    char name[32];
    size_t n = 0;
    struct stat st;

    home_new(*state, &h, 0, 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "file-%d", i);
        assert_int_equal(mknodat(h.dir, name, S_IFREG | 0644, 0), 0);
    }
    DIR *d = fdopendir(dup(h.dir));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        assert_int_equal(fstatat(h.dir, e->d_name, &st, 0), 0);
        assert_true(st.st_ino == e->d_ino);
        n++;
    }
    closedir(d);
    assert_int_equal(n, MANY);
    home_close(&h);
}

static void readers_writers_and_mappings_see_one_content(void **state)
{
    struct home_of h;
    char buf[8] = "";

    home_new(*state, &h, 0, 0);
    assert_int_equal(put(h.dir, "f", 4096), 4096);
    int w = openat(h.dir, "f", O_RDWR);
    int r = openat(h.dir, "f", O_RDONLY);
    char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, w, 0);
    assert_true(m != MAP_FAILED);
    assert_int_equal(pwrite(w, "abc", 3, 0), 3);
    assert_memory_equal(m, "abc", 3);
    memcpy(m + 3, "def", 3);
    assert_int_equal(pread(r, buf, 6, 0), 6);
    assert_memory_equal(buf, "abcdef", 6);
    assert_int_equal(pread(w, buf, 6, 0), 6);
    assert_memory_equal(buf, "abcdef", 6);
    assert_int_equal(lseek(r, 0, SEEK_HOLE), 4096);
    assert_int_equal(fsync(w), 0);
    assert_int_equal(fdatasync(w), 0);
    assert_int_equal(fsync(h.dir), 0);
    munmap(m, 4096);
    close(w);
    close(r);
    home_close(&h);
}

static void a_home_whose_directory_cannot_be_had_is_an_io_error(void **state)
{
    struct vfs_bed *b = *state;
    char path[256];

    snprintf(path, sizeof path, "%s/afile", b->data);
    close(open(path, O_CREAT | O_WRONLY, 0644));
    assert_true(bed_quota(b, "afile", 0, 0) > 0);
    snprintf(path, sizeof path, "%s/afile", b->mnt);
    assert_int_equal(err(open(path, O_RDONLY)), -EIO);
    snprintf(path, sizeof path, "%s/nobody-of-that-name", b->mnt);
    assert_int_equal(err(open(path, O_RDONLY)), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directories_know_the_totals_of_their_subtree),
        cmocka_unit_test(extended_attributes_are_kept_and_trusted_ones_are_roots),
        cmocka_unit_test(what_a_user_creates_is_the_users_with_umask_and_setgid),
        cmocka_unit_test(permissions_are_those_of_the_files),
        cmocka_unit_test(a_write_takes_the_setuid_bit),
        cmocka_unit_test(a_listing_shows_each_name_once_with_the_number_that_stat_shows),
        cmocka_unit_test(readers_writers_and_mappings_see_one_content),
        cmocka_unit_test(a_home_whose_directory_cannot_be_had_is_an_io_error),
        cmocka_unit_test(file_handles_outlive_caches_restarts_and_mounts_but_not_the_file),
    };

    return cmocka_run_group_tests(tests, mounted_setup, mounted_teardown);
}
