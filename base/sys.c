/* The real system calls. errno is read here and nowhere else; EINTR is dealt with here. An O_PATH descriptor is reached
 * by /proc/self/fd/N: the magic link names exactly that inode, whatever happens to its path meanwhile. */
#include "base/sys.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* Runs a call again while a signal interrupts it; gives its result or the negative errno. */
#define CALL_AGAIN(call)                                                                                               \
    ({                                                                                                                 \
        __typeof__(call) again_r_;                                                                                     \
        do                                                                                                             \
            again_r_ = (call);                                                                                         \
        while (again_r_ == -1 && errno == EINTR);                                                                      \
        again_r_ == -1 ? (__typeof__(call))-errno : again_r_;                                                          \
    })

struct fd_path {
    char s[40];
};

static struct fd_path fd_path(int fd)
{
    struct fd_path p;

    snprintf(p.s, sizeof p.s, "/proc/self/fd/%d", fd);
    return p;
}

static int real_openat2(int dir, const char *path, const struct open_how *how)
{
    struct open_how h = *how;

    h.flags |= O_CLOEXEC;
    return (int)CALL_AGAIN(syscall(SYS_openat2, dir, path, &h, sizeof h));
}

static int real_open_fd(int fd, int flags)
{
    return CALL_AGAIN(open(fd_path(fd).s, (flags & ~O_NOFOLLOW) | O_CLOEXEC));
}

static int real_mkdirat(int dir, const char *name, mode_t mode)
{
    return CALL_AGAIN(mkdirat(dir, name, mode));
}

static int real_mknodat(int dir, const char *name, mode_t mode, dev_t dev)
{
    return CALL_AGAIN(mknodat(dir, name, mode, dev));
}

static int real_symlinkat(const char *target, int dir, const char *name)
{
    return CALL_AGAIN(symlinkat(target, dir, name));
}

static ssize_t real_readlinkat(int dir, const char *name, char *buf, size_t len)
{
    return CALL_AGAIN(readlinkat(dir, name, buf, len));
}

/* With an empty `from` the source is the descriptor, as AT_EMPTY_PATH, but without needing CAP_DAC_READ_SEARCH in the
 * initial namespace: by its magic link. */
static int real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (from[0] == '\0')
        return CALL_AGAIN(linkat(AT_FDCWD, fd_path(from_dir).s, to_dir, to, AT_SYMLINK_FOLLOW));
    return CALL_AGAIN(linkat(from_dir, from, to_dir, to, flags));
}

static int real_unlinkat(int dir, const char *name, int flags)
{
    return CALL_AGAIN(unlinkat(dir, name, flags));
}

static int real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return CALL_AGAIN(renameat2(from_dir, from, to_dir, to, flags));
}

static int real_fstatat(int dir, const char *name, struct stat *ret, int flags)
{
    return CALL_AGAIN(fstatat(dir, name, ret, name[0] == '\0' ? flags | AT_EMPTY_PATH : flags));
}

static int real_statx(int fd, unsigned mask, struct statx *ret)
{
    return statx(fd, "", AT_EMPTY_PATH, mask, ret) < 0 ? -errno : 0;
}

static int real_fstat_known(int fd, struct stat *ret)
{
    struct statx sx;
    int r = CALL_AGAIN(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &sx));

    if (r == 0)
        *ret = (struct stat){ .st_dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
                              .st_ino = sx.stx_ino,
                              .st_mode = sx.stx_mode };
    return r;
}

static int real_fstatfs(int fd, struct statfs *ret)
{
    return CALL_AGAIN(fstatfs(fd, ret));
}

static int real_fchmodat(int dir, const char *name, mode_t mode)
{
    if (name[0] == '\0')
        return CALL_AGAIN(fchmodat(AT_FDCWD, fd_path(dir).s, mode, 0));
    return CALL_AGAIN(fchmodat(dir, name, mode, 0));
}

static int real_fchownat(int dir, const char *name, uid_t uid, gid_t gid, int flags)
{
    return CALL_AGAIN(fchownat(dir, name, uid, gid, name[0] == '\0' ? flags | AT_EMPTY_PATH : flags));
}

static int real_utimensat(int dir, const char *name, const struct timespec ts[2], int flags)
{
    if (name[0] == '\0')
        return CALL_AGAIN(utimensat(AT_FDCWD, fd_path(dir).s, ts, 0));
    return CALL_AGAIN(utimensat(dir, name, ts, flags));
}

static int real_name_to_handle(int dir, const char *name, struct handle *ret, int flags)
{
    _Static_assert(offsetof(struct handle, data) == sizeof(struct file_handle), "struct handle is struct file_handle");
    int mount_id;

    *ret = (struct handle){ .bytes = HANDLE_MAX };
    return CALL_AGAIN(name_to_handle_at(dir, name, (struct file_handle *)(void *)ret, &mount_id,
                                        name[0] == '\0' ? flags | AT_EMPTY_PATH : flags));
}

static int real_open_by_handle(int mount_fd, const struct handle *h, int flags)
{
    struct handle copy = *h;

    return CALL_AGAIN(open_by_handle_at(mount_fd, (struct file_handle *)(void *)&copy, flags | O_CLOEXEC));
}

static ssize_t real_pread(int fd, void *buf, size_t len, uint64_t off)
{
    return CALL_AGAIN(pread(fd, buf, len, (off_t)off));
}

static ssize_t real_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
    return CALL_AGAIN(pwrite(fd, buf, len, (off_t)off));
}

static int real_ftruncate(int fd, uint64_t size)
{
    return CALL_AGAIN(ftruncate(fd, (off_t)size));
}

static int real_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
    return CALL_AGAIN(fallocate(fd, mode, (off_t)off, (off_t)len));
}

static ssize_t real_copy_file_range(int from, uint64_t from_off, int to, uint64_t to_off, size_t len)
{
    off_t in = (off_t)from_off;
    off_t out = (off_t)to_off;

    return CALL_AGAIN(copy_file_range(from, &in, to, &out, len, 0));
}

static int64_t real_lseek(int fd, int64_t off, int whence)
{
    return CALL_AGAIN(lseek(fd, off, whence));
}

static int64_t real_size(int fd)
{
    struct stat st;
    int r = real_fstatat(fd, "", &st, AT_EMPTY_PATH);

    return r < 0 ? r : st.st_size;
}

static int real_fsync(int fd, bool data_only)
{
    return CALL_AGAIN(data_only ? fdatasync(fd) : fsync(fd));
}

static int real_syncfs(int fd)
{
    return CALL_AGAIN(syncfs(fd));
}

static int real_msync(void *at, size_t len)
{
    return CALL_AGAIN(msync(at, len, MS_SYNC));
}

static ssize_t real_getdents(int fd, void *buf, size_t len)
{
    return CALL_AGAIN(getdents64(fd, buf, len));
}

static bool is_path_only(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_PATH) != 0;
}

static ssize_t real_getxattr(int fd, const char *name, void *buf, size_t len)
{
    if (is_path_only(fd))
        return CALL_AGAIN(getxattr(fd_path(fd).s, name, buf, len));
    return CALL_AGAIN(fgetxattr(fd, name, buf, len));
}

static int real_setxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
    if (is_path_only(fd))
        return CALL_AGAIN(setxattr(fd_path(fd).s, name, value, len, flags));
    return CALL_AGAIN(fsetxattr(fd, name, value, len, flags));
}

static ssize_t real_listxattr(int fd, char *buf, size_t len)
{
    if (is_path_only(fd))
        return CALL_AGAIN(listxattr(fd_path(fd).s, buf, len));
    return CALL_AGAIN(flistxattr(fd, buf, len));
}

static int real_removexattr(int fd, const char *name)
{
    if (is_path_only(fd))
        return CALL_AGAIN(removexattr(fd_path(fd).s, name));
    return CALL_AGAIN(fremovexattr(fd, name));
}

static uint64_t real_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static int64_t real_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void real_random(void *buf, size_t len)
{
    uint8_t *at = buf;

    while (len > 0) {
        ssize_t n = CALL_AGAIN(syscall(SYS_getrandom, at, len, 0));
        if (n < 0)
            abort(); /* a kernel without getrandom cannot run us, and weak numbers are worse than none */
        at += n;
        len -= (size_t)n;
    }
}

const struct sys sys_real = {
    .openat2 = real_openat2,
    .open_fd = real_open_fd,
    .mkdirat = real_mkdirat,
    .mknodat = real_mknodat,
    .symlinkat = real_symlinkat,
    .readlinkat = real_readlinkat,
    .linkat = real_linkat,
    .unlinkat = real_unlinkat,
    .renameat2 = real_renameat2,
    .fstatat = real_fstatat,
    .statx = real_statx,
    .fstat_known = real_fstat_known,
    .fstatfs = real_fstatfs,
    .fchmodat = real_fchmodat,
    .fchownat = real_fchownat,
    .utimensat = real_utimensat,
    .name_to_handle = real_name_to_handle,
    .open_by_handle = real_open_by_handle,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .ftruncate = real_ftruncate,
    .fallocate = real_fallocate,
    .copy_file_range = real_copy_file_range,
    .lseek = real_lseek,
    .size = real_size,
    .fsync = real_fsync,
    .syncfs = real_syncfs,
    .msync = real_msync,
    .getdents = real_getdents,
    .getxattr = real_getxattr,
    .setxattr = real_setxattr,
    .listxattr = real_listxattr,
    .removexattr = real_removexattr,
    .now_ns = real_now_ns,
    .wall_ms = real_wall_ms,
    .random = real_random,
};

const struct sys *sys = &sys_real;

int sys_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
    struct open_how how = { .flags = (uint64_t)(unsigned)flags,
                            .mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

    return sys->openat2(dir, path, &how);
}

int sys_boot_id(char ret_id[37])
{
    CLEANUP(fd_close) int fd = CALL_AGAIN(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    char text[37];

    if (fd < 0)
        return fd;
    ssize_t n = CALL_AGAIN(read(fd, text, 36));
    if (n != 36)
        return n < 0 ? (int)n : -EIO;
    text[36] = '\0';
    for (size_t i = 0; i < sizeof text; i++)
        ret_id[i] = text[i];
    return 0;
}
