/* The system calls that touch files, time and random numbers: a table that a test can replace.
 *
 * Each returns what the call returns, or a negative errno; EINTR is dealt with inside; descriptors are CLOEXEC.
 * `sys` is the only door: no other file calls these (a lint holds it for pread, pwrite, openat2 and the like in
 * ledger/ and vfs/).
 *
 * Threads: any. A test swaps `sys` while no other thread runs. */
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/defs.h"

/* A file handle with room for what ext4, XFS, btrfs and tmpfs need. Layout of struct file_handle. */
enum { HANDLE_MAX = 40 };
struct handle {
    uint32_t bytes;
    int32_t type;
    uint8_t data[HANDLE_MAX];
};

struct sys {
    /* names */
    int (*openat2)(int dir, const char *path, const struct open_how *how);
    int (*open_fd)(int fd, int flags); /* opens again what an O_PATH descriptor names (by /proc/self/fd) */
    int (*mkdirat)(int dir, const char *name, mode_t mode);
    int (*mknodat)(int dir, const char *name, mode_t mode, dev_t dev);
    int (*symlinkat)(const char *target, int dir, const char *name);
    ssize_t (*readlinkat)(int dir, const char *name, char *buf, size_t len);
    int (*linkat)(int from_dir, const char *from, int to_dir, const char *to, int flags);
    int (*unlinkat)(int dir, const char *name, int flags);
    int (*renameat2)(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
    /* attributes */
    int (*fstatat)(int dir, const char *name, struct stat *ret, int flags); /* name "" with AT_EMPTY_PATH: the fd */
    int (*statx)(int fd, unsigned mask, struct statx *ret);                 /* of a descriptor, O_PATH too */
    int (*fstat_known)(int fd, struct stat *ret); /* device, number and type, without asking a file system's server */
    int (*fstatfs)(int fd, struct statfs *ret);
    int (*fchmodat)(int dir, const char *name, mode_t mode); /* name "": the descriptor, also an O_PATH one */
    int (*fchownat)(int dir, const char *name, uid_t uid, gid_t gid, int flags);
    int (*utimensat)(int dir, const char *name, const struct timespec ts[2], int flags);
    int (*name_to_handle)(int dir, const char *name, struct handle *ret, int flags);
    int (*open_by_handle)(int mount_fd, const struct handle *h, int flags);
    /* content */
    ssize_t (*pread)(int fd, void *buf, size_t len, uint64_t off);
    ssize_t (*pwrite)(int fd, const void *buf, size_t len, uint64_t off);
    int (*ftruncate)(int fd, uint64_t size);
    int (*fallocate)(int fd, int mode, uint64_t off, uint64_t len);
    ssize_t (*copy_file_range)(int from, uint64_t from_off, int to, uint64_t to_off, size_t len);
    int64_t (*lseek)(int fd, int64_t off, int whence);
    int64_t (*size)(int fd); /* st_size, fresh; works on O_PATH descriptors */
    int (*fsync)(int fd, bool data_only);
    int (*syncfs)(int fd);
    int (*msync)(void *at, size_t len); /* of a shared mapping, to the disk */
    ssize_t (*getdents)(int fd, void *buf, size_t len);
    /* extended attributes, on an open descriptor or, by /proc/self/fd, an O_PATH one */
    ssize_t (*getxattr)(int fd, const char *name, void *buf, size_t len);
    int (*setxattr)(int fd, const char *name, const void *value, size_t len, int flags);
    ssize_t (*listxattr)(int fd, char *buf, size_t len);
    int (*removexattr)(int fd, const char *name);
    /* time, random numbers */
    uint64_t (*now_ns)(void);              /* CLOCK_MONOTONIC */
    int64_t (*wall_ms)(void);              /* CLOCK_REALTIME */
    void (*random)(void *buf, size_t len); /* from the kernel; never fails */
};

extern const struct sys *sys;
extern const struct sys sys_real; /* for tests that wrap it */

/* sys_open_beneath - openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS; flags and mode as in open(2). */
int sys_open_beneath(int dir, const char *path, int flags, mode_t mode) MUST_CHECK;

/* sys_boot_id - the kernel's boot id, 36 characters and NUL. 0 or a negative errno. */
int sys_boot_id(char ret_id[37]) MUST_CHECK;
