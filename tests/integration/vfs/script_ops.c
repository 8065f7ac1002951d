/* Operations on names, attributes and open files. */
#include "tests/integration/vfs/script_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define N(word)  script_number(word)
#define FD(word) script_fd(r, word)
#define R(call)  script_result(call)

static void words_of(const char *letters, const int *flags, const char *given, int *ret)
{
    for (; *given != '\0'; given++) {
        const char *at = strchr(letters, *given);
        *ret |= at != NULL ? flags[at - letters] : 0;
    }
}

/* r w b(oth) c x t a d(irectory) n(ofollow) p(ath) D(irect) T(mpfile) s(ync) y(dsync) k(nonblock) N(oatime) */
static int open_flags(const char *given)
{
    static const int flags[] = { O_RDONLY,   O_WRONLY, O_RDWR,   O_CREAT,   O_EXCL, O_TRUNC, O_APPEND,   O_DIRECTORY,
                                 O_NOFOLLOW, O_PATH,   O_DIRECT, O_TMPFILE, O_SYNC, O_DSYNC, O_NONBLOCK, O_NOATIME };
    int got = O_CLOEXEC;

    words_of("rwbcxtadnpDTsykN", flags, given, &got);
    return got;
}

static int64_t keep_fd(struct run *r, const char *slot, int fd)
{
    if (fd < 0)
        return -errno;
    r->fds[N(slot) % SCRIPT_FDS] = fd;
    return 0;
}

static int64_t op_open(struct run *r, char **w)
{
    return keep_fd(r, w[0], open(w[1], open_flags(w[2]), (mode_t)(w[3][0] != '\0' ? N(w[3]) : 0644)));
}
static int64_t op_close(struct run *r, char **w)
{
    return R(close(FD(w[0])));
}
static int64_t op_put(struct run *r, char **w)
{
    int fd = open(w[0], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    int64_t n = fd < 0 ? -errno : R(write(fd, r->block, (size_t)N(w[1])));

    close(fd);
    return n;
}
static int64_t op_text(struct run *r, char **w)
{
    int fd = open(w[0], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    int64_t n = fd < 0 ? -errno : R(dprintf(fd, "#!%s\n", w[1]));

    (void)r;
    close(fd);
    return n;
}
static const char *block_of(struct run *r, const char *letter)
{
    memset(r->block, letter[0] != '\0' ? letter[0] : 'b', SCRIPT_BLOCK);
    return r->block;
}
static int64_t op_write(struct run *r, char **w)
{
    return R(write(FD(w[0]), block_of(r, w[2]), (size_t)N(w[1])));
}
static int64_t op_pwrite(struct run *r, char **w)
{
    return R(pwrite(FD(w[0]), block_of(r, w[3]), (size_t)N(w[2]), N(w[1])));
}
/* What was read: as runs of equal bytes. */
static int64_t says_read(struct run *r, const char *buf, int64_t n)
{
    for (int64_t i = 0, from = 0; i < n; i++) {
        if (i + 1 < n && buf[i + 1] == buf[from])
            continue;
        fprintf(r->out, "%lldx%02x ", (long long)(i + 1 - from), (unsigned char)buf[from]);
        from = i + 1;
        if (from > 64 && i < n - 64)
            break;
    }
    return n;
}
static int64_t op_read(struct run *r, char **w)
{
    return says_read(r, r->block, R(read(FD(w[0]), r->block, (size_t)N(w[1]))));
}
static int64_t op_pread(struct run *r, char **w)
{
    return says_read(r, r->block, R(pread(FD(w[0]), r->block, (size_t)N(w[2]), N(w[1]))));
}
static int64_t op_ftruncate(struct run *r, char **w)
{
    return R(ftruncate(FD(w[0]), N(w[1])));
}
static int64_t op_truncate(struct run *r, char **w)
{
    (void)r;
    return R(truncate(w[0], N(w[1])));
}
static int64_t op_fallocate(struct run *r, char **w)
{
    return R(fallocate(FD(w[0]), (int)N(w[1]), N(w[2]), N(w[3])));
}
static int64_t op_seek(struct run *r, char **w)
{
    return R(lseek(FD(w[0]), N(w[1]), (int)N(w[2])));
}
static int64_t op_fsync(struct run *r, char **w)
{
    return R(w[1][0] == 'd' ? fdatasync(FD(w[0])) : fsync(FD(w[0])));
}

static int64_t says_stat(struct run *r, const struct stat *st, int64_t got)
{
    if (got == 0)
        fprintf(r->out, "%o u%u g%u n%u s%lld ", st->st_mode, st->st_uid, st->st_gid, (unsigned)st->st_nlink,
                S_ISDIR(st->st_mode) ? 0 : (long long)st->st_size);
    if (got == 0 && (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)))
        fprintf(r->out, "d%u:%u ", major(st->st_rdev), minor(st->st_rdev));
    return got;
}
static int64_t op_stat(struct run *r, char **w)
{
    struct stat st;

    return says_stat(r, &st, R(fstatat(AT_FDCWD, w[0], &st, w[1][0] == 'f' ? 0 : AT_SYMLINK_NOFOLLOW)));
}
static int64_t op_fstat(struct run *r, char **w)
{
    struct stat st;

    return says_stat(r, &st, R(fstat(FD(w[0]), &st)));
}
static int64_t op_blocks(struct run *r, char **w)
{
    struct stat st;

    (void)r;
    return stat(w[0], &st) < 0 ? -errno : st.st_blocks;
}
static int64_t op_chmod(struct run *r, char **w)
{
    (void)r;
    return R(chmod(w[0], (mode_t)N(w[1])));
}
static int64_t op_fchmod(struct run *r, char **w)
{
    return R(fchmod(FD(w[0]), (mode_t)N(w[1])));
}
static int64_t op_chown(struct run *r, char **w)
{
    (void)r;
    return R(lchown(w[0], (uid_t)N(w[1]), (gid_t)N(w[2])));
}
static int64_t op_fchown(struct run *r, char **w)
{
    return R(fchown(FD(w[0]), (uid_t)N(w[1]), (gid_t)N(w[2])));
}

static struct timespec time_of(const char *word)
{
    if (strcmp(word, "now") == 0)
        return (struct timespec){ .tv_nsec = UTIME_NOW };
    if (strcmp(word, "omit") == 0)
        return (struct timespec){ .tv_nsec = UTIME_OMIT };
    return (struct timespec){ .tv_sec = N(word), .tv_nsec = 123456789 };
}
static int64_t op_utime(struct run *r, char **w)
{
    const struct timespec ts[] = { time_of(w[1]), time_of(w[2]) };

    (void)r;
    return R(utimensat(AT_FDCWD, w[0], ts, AT_SYMLINK_NOFOLLOW));
}
/* Nanoseconds of atime or mtime that utime set; those of the clock are not told. */
static int64_t op_times(struct run *r, char **w)
{
    struct stat st;

    if (lstat(w[0], &st) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        struct timespec t = i == 0 ? st.st_atim : st.st_mtim;
        fprintf(r->out, "%lld ", t.tv_nsec == 123456789 ? (long long)t.tv_sec : -1LL);
    }
    return 0;
}
/* Is the change or modification time new? 1 if it moved since the last call for this name. */
static int64_t op_changed(struct run *r, char **w)
{
    static struct timespec last[2];
    struct stat st;

    (void)r;
    if (lstat(w[0], &st) < 0)
        return -errno;
    int got = 0;
    got |= memcmp(&st.st_ctim, &last[0], sizeof last[0]) != 0 ? 1 : 0;
    got |= memcmp(&st.st_mtim, &last[1], sizeof last[1]) != 0 ? 2 : 0;
    last[0] = st.st_ctim;
    last[1] = st.st_mtim;
    return got;
}
/* The clock of a file system ticks in milliseconds; a row that asks whether a time moves must let it move. */
static int64_t op_tick(struct run *r, char **w)
{
    struct timespec was, is;

    (void)r;
    (void)w;
    clock_gettime(CLOCK_REALTIME_COARSE, &was);
    do
        clock_gettime(CLOCK_REALTIME_COARSE, &is);
    while (was.tv_nsec == is.tv_nsec);
    return 0;
}

static int64_t op_link(struct run *r, char **w)
{
    (void)r;
    return R(linkat(AT_FDCWD, w[0], AT_FDCWD, w[1], w[2][0] == 'f' ? AT_SYMLINK_FOLLOW : 0));
}
static int64_t op_flink(struct run *r, char **w)
{
    char path[32];

    if (w[2][0] == 'e')
        return R(linkat(FD(w[0]), "", AT_FDCWD, w[1], AT_EMPTY_PATH));
    snprintf(path, sizeof path, "/proc/self/fd/%d", FD(w[0]));
    return R(linkat(AT_FDCWD, path, AT_FDCWD, w[1], AT_SYMLINK_FOLLOW));
}
static int64_t op_symlink(struct run *r, char **w)
{
    (void)r;
    return R(symlink(w[0], w[1]));
}
static int64_t op_readlink(struct run *r, char **w)
{
    ssize_t n = readlink(w[0], r->block, SCRIPT_BLOCK);

    if (n > 0)
        fprintf(r->out, "%.*s ", (int)(n < 64 ? n : 64), r->block);
    return R(n);
}
static int64_t op_unlink(struct run *r, char **w)
{
    (void)r;
    return R(unlink(w[0]));
}
static int64_t op_rmdir(struct run *r, char **w)
{
    (void)r;
    return R(rmdir(w[0]));
}
static int64_t op_mkdir(struct run *r, char **w)
{
    (void)r;
    return R(mkdir(w[0], (mode_t)(w[1][0] != '\0' ? N(w[1]) : 0777)));
}
/* n(oreplace) x(change) w(hiteout) */
static int64_t op_rename(struct run *r, char **w)
{
    static const int flags[] = { RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT };
    int got = 0;

    (void)r;
    words_of("nxw", flags, w[2], &got);
    return R(renameat2(AT_FDCWD, w[0], AT_FDCWD, w[1], (unsigned)got));
}
/* p(ipe) s(ocket) c(haracter device) b(lock device) f(ile) */
static int64_t op_mknod(struct run *r, char **w)
{
    static const int types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG };
    int type = 0;

    (void)r;
    words_of("pscbf", types, w[1], &type);
    return R(mknod(w[0], (mode_t)type | (mode_t)N(w[2]), w[1][0] == 'c' || w[1][0] == 'b' ? makedev(1, 3) : 0));
}

static int64_t op_as(struct run *r, char **w)
{
    gid_t groups[SCRIPT_WORDS];
    size_t n = 0;

    (void)r;
    for (size_t i = 1; w[i][0] != '\0' && n < SCRIPT_WORDS; i++)
        groups[n++] = (gid_t)N(w[i]);
    if (seteuid(0) < 0 || setgroups(n, groups) < 0 || setegid((gid_t)N(w[0])) < 0)
        return -errno;
    return R(seteuid((uid_t)N(w[0])));
}
static int64_t op_umask(struct run *r, char **w)
{
    (void)r;
    umask((mode_t)N(w[0]));
    return 0;
}
static int64_t op_access(struct run *r, char **w)
{
    (void)r;
    return R(faccessat(AT_FDCWD, w[0], (int)N(w[1]), AT_EACCESS));
}
static int64_t op_cd(struct run *r, char **w)
{
    return R(w[0][0] == '-' ? fchdir(r->home) : chdir(w[0]));
}

static const struct script_op ops[] = {
    { "access", op_access },     { "as", op_as },         { "blocks", op_blocks },       { "cd", op_cd },
    { "changed", op_changed },   { "chmod", op_chmod },   { "chown", op_chown },         { "close", op_close },
    { "falloc", op_fallocate },  { "fchmod", op_fchmod }, { "fchown", op_fchown },       { "flink", op_flink },
    { "fstat", op_fstat },       { "fsync", op_fsync },   { "ftruncate", op_ftruncate }, { "link", op_link },
    { "mkdir", op_mkdir },       { "mknod", op_mknod },   { "open", op_open },           { "pread", op_pread },
    { "put", op_put },           { "pwrite", op_pwrite }, { "read", op_read },           { "readlink", op_readlink },
    { "rename", op_rename },     { "rmdir", op_rmdir },   { "seek", op_seek },           { "stat", op_stat },
    { "symlink", op_symlink },   { "text", op_text },     { "tick", op_tick },           { "times", op_times },
    { "truncate", op_truncate }, { "umask", op_umask },   { "unlink", op_unlink },       { "utime", op_utime },
    { "write", op_write },
};

const struct script_op *script_op_find(const char *name)
{
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    return script_op_find_more(name);
}
