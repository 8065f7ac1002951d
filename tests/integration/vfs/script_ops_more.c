/* Operations on extended attributes, ACLs, locks, maps, programs, copies and directories. */
#include "tests/integration/vfs/script_ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define N(word)  script_number(word)
#define FD(word) script_fd(r, word)
#define R(call)  script_result(call)

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static int64_t op_setx(struct run *r, char **w)
{
    size_t len = w[2][0] == '%' ? (size_t)N(w[2] + 1) : strlen(w[2]);

    (void)r;
    return R(lsetxattr(w[0], w[1], w[2], len, w[3][0] == 'c' ? XATTR_CREATE : w[3][0] == 'r' ? XATTR_REPLACE : 0));
}
static int64_t op_getx(struct run *r, char **w)
{
    ssize_t n = lgetxattr(w[0], w[1], r->block, w[2][0] != '\0' ? (size_t)N(w[2]) : SCRIPT_BLOCK);

    if (n > 0 && w[2][0] != '0')
        fprintf(r->out, "%.*s ", (int)(n < 32 ? n : 32), r->block);
    return R(n);
}
static int64_t op_rmx(struct run *r, char **w)
{
    (void)r;
    return R(lremovexattr(w[0], w[1]));
}
static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}
static int64_t op_listx(struct run *r, char **w)
{
    static char names[65536];
    char *v[256];
    size_t n = 0;
    ssize_t len = llistxattr(w[0], names, sizeof names);

    for (ssize_t at = 0; at < len && n < 256; at += (ssize_t)strlen(names + at) + 1)
        v[n++] = names + at;
    qsort(v, n, sizeof *v, compare_texts);
    for (size_t i = 0; i < n; i++)
        fprintf(r->out, "%s ", v[i]);
    return R(len);
}

struct acl_entry {
    uint16_t tag, perm;
    uint32_t id;
};
struct acl {
    uint32_t version;
    struct acl_entry e[16];
};
static const struct {
    char letter;
    bool named;
    uint16_t tag;
} acl_tags[] = { { 'u', false, 1 }, { 'u', true, 2 },   { 'g', false, 4 },
                 { 'g', true, 8 },  { 'm', false, 16 }, { 'o', false, 32 } };

static const char *acl_name(const char *kind)
{
    return kind[0] == 'd' ? "system.posix_acl_default" : "system.posix_acl_access";
}
/* "u::7,u:2001:4,g::5,m::7,o::0" */
static int64_t op_acl(struct run *r, char **w)
{
    struct acl a = { .version = 2 };
    size_t n = 0;
    char *save = NULL;

    (void)r;
    for (char *e = strtok_r(w[2], ",", &save); e != NULL && n < 16; e = strtok_r(NULL, ",", &save)) {
        char *id = strchr(e, ':') + 1, *perm = strchr(id, ':') + 1;
        for (size_t i = 0; i < sizeof acl_tags / sizeof acl_tags[0]; i++)
            if (acl_tags[i].letter == e[0] && acl_tags[i].named == (id[0] != ':'))
                a.e[n] = (struct acl_entry){ acl_tags[i].tag, (uint16_t)N(perm),
                                             acl_tags[i].named ? (uint32_t)N(id) : UINT32_MAX };
        n++;
    }
    return R(lsetxattr(w[0], acl_name(w[1]), &a, sizeof a.version + n * sizeof a.e[0], 0));
}
static int64_t op_getacl(struct run *r, char **w)
{
    struct acl a;
    ssize_t n = lgetxattr(w[0], acl_name(w[1]), &a, sizeof a);

    for (size_t i = 0; n >= 0 && i < ((size_t)n - sizeof a.version) / sizeof a.e[0]; i++)
        fprintf(r->out, "%u:%d:%u ", a.e[i].tag, (int)a.e[i].id, a.e[i].perm);
    return n < 0 ? -errno : 0;
}
static int64_t op_btime(struct run *r, char **w)
{
    struct statx x;

    (void)r;
    if (statx(AT_FDCWD, w[0], AT_SYMLINK_NOFOLLOW, STATX_BTIME | STATX_BASIC_STATS, &x) < 0)
        return -errno;
    return (x.stx_mask & STATX_BTIME) != 0 && x.stx_btime.tv_sec > 1600000000 &&
           x.stx_btime.tv_sec <= x.stx_ctime.tv_sec;
}
static int64_t op_statvfs(struct run *r, char **w)
{
    struct statvfs s;

    (void)r;
    return statvfs(w[0], &s) < 0 ? -errno : (int64_t)s.f_namemax;
}

/* ---- locks ------------------------------------------------------------------------------------------------------ */

static int64_t op_flock(struct run *r, char **w)
{
    return R(flock(FD(w[0]), (w[1][0] == 's' ? LOCK_SH : w[1][0] == 'e' ? LOCK_EX : LOCK_UN) | LOCK_NB));
}
static struct flock range_of(char **w)
{
    return (struct flock){ .l_type = w[1][0] == 'r'   ? F_RDLCK
                                     : w[1][0] == 'w' ? F_WRLCK
                                                      : F_UNLCK,
                           .l_start = N(w[2]),
                           .l_len = N(w[3]) };
}
static int64_t op_setlk(struct run *r, char **w)
{
    struct flock l = range_of(w);

    return R(fcntl(FD(w[0]), F_SETLK, &l));
}
static int64_t op_ofd(struct run *r, char **w)
{
    struct flock l = range_of(w);

    return R(fcntl(FD(w[0]), F_OFD_SETLK, &l));
}
static int64_t op_getlk(struct run *r, char **w)
{
    struct flock l = range_of(w);
    int got = fcntl(FD(w[0]), F_GETLK, &l);

    if (got == 0 && l.l_type != F_UNLCK)
        fprintf(r->out, "%s %lld %lld ", l.l_type == F_RDLCK ? "r" : "w", (long long)l.l_start, (long long)l.l_len);
    return R(got);
}
static int64_t op_lease(struct run *r, char **w)
{
    return R(fcntl(FD(w[0]), F_SETLEASE, w[1][0] == 'r' ? F_RDLCK : w[1][0] == 'w' ? F_WRLCK : F_UNLCK));
}
/* The rest of the step by another process. */
static int64_t op_kid(struct run *r, char **w)
{
    const struct script_op *op = script_op_find(w[0]);
    int status = 0;
    pid_t pid;

    fflush(r->out);
    if (op == NULL)
        return -ENOSYS;
    if ((pid = fork()) == 0) {
        int64_t got = op->run(r, w + 1);
        _exit(got < 0 ? (int)-got : 0);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/* ---- maps, programs --------------------------------------------------------------------------------------------- */

static int64_t op_map(struct run *r, char **w)
{
    int prot = strchr(w[2], 'w') != NULL ? PROT_READ | PROT_WRITE : PROT_READ;

    r->map_len = (size_t)N(w[1]);
    r->map = mmap(NULL, r->map_len, prot, strchr(w[2], 'p') != NULL ? MAP_PRIVATE : MAP_SHARED, FD(w[0]), 0);
    return r->map == MAP_FAILED ? -errno : 0;
}
static int64_t op_store(struct run *r, char **w)
{
    memset(r->map + N(w[0]), w[2][0], (size_t)N(w[1]));
    return 0;
}
static int64_t op_load(struct run *r, char **w)
{
    fprintf(r->out, "%.*s ", (int)N(w[1]), r->map + N(w[0]));
    return 0;
}
static int64_t op_msync(struct run *r, char **w)
{
    (void)w;
    return R(msync(r->map, r->map_len, MS_SYNC));
}
static int64_t op_unmap(struct run *r, char **w)
{
    (void)w;
    return R(munmap(r->map, r->map_len));
}
static int64_t op_copyin(struct run *r, char **w)
{
    int from = open(w[0], O_RDONLY | O_CLOEXEC), to = open(w[1], O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    ssize_t n;

    while ((n = read(from, r->block, SCRIPT_BLOCK)) > 0)
        if (write(to, r->block, (size_t)n) != n)
            return -EIO;
    close(from);
    return R(close(to));
}
static int64_t op_exec(struct run *r, char **w)
{
    char *argv[] = { w[0], NULL }, *env[] = { NULL };
    int status = 0;
    pid_t pid;
    int got = posix_spawn(&pid, w[0], NULL, NULL, argv, env);

    (void)r;
    if (got != 0)
        return -got;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- copies ----------------------------------------------------------------------------------------------------- */

static int64_t op_sendfile(struct run *r, char **w)
{
    return R(sendfile(FD(w[0]), FD(w[1]), NULL, (size_t)N(w[2])));
}
static int64_t op_copyrange(struct run *r, char **w)
{
    off_t from = N(w[2]), to = N(w[3]);

    return R(copy_file_range(FD(w[1]), &from, FD(w[0]), &to, (size_t)N(w[4]), 0));
}
static int64_t op_splice(struct run *r, char **w)
{
    int p[2];
    int64_t n = pipe2(p, O_CLOEXEC) < 0 ? -errno : R(splice(FD(w[1]), NULL, p[1], NULL, (size_t)N(w[2]), 0));

    close(p[1]);
    if (n > 0)
        n = R(splice(p[0], NULL, FD(w[0]), NULL, (size_t)n, 0));
    close(p[0]);
    return n;
}

/* ---- directories ------------------------------------------------------------------------------------------------ */

static int64_t op_many(struct run *r, char **w)
{
    char name[32];
    int64_t made = 0;

    (void)r;
    for (int64_t i = N(w[1]); i < N(w[2]); i++) {
        snprintf(name, sizeof name, "%s%lld", w[0], (long long)i);
        made += mknod(name, S_IFREG | 0600, 0) == 0;
    }
    return made;
}
static int64_t op_few(struct run *r, char **w)
{
    char name[32];
    int64_t gone = 0;

    (void)r;
    for (int64_t i = N(w[1]); i < N(w[2]); i++) {
        snprintf(name, sizeof name, "%s%lld", w[0], (long long)i);
        gone += unlink(name) == 0;
    }
    return gone;
}
static int64_t op_list(struct run *r, char **w)
{
    struct dirent **v = NULL;
    int n = scandir(w[0], &v, NULL, alphasort);

    for (int i = 0; i < n; i++)
        fprintf(r->out, "%s/%d ", v[i]->d_name, v[i]->d_type);
    return R(n);
}
/* How many of the names a0, a1... below n a reader does not see exactly once while others come and go. */
static int64_t op_scan(struct run *r, char **w)
{
    int64_t n = N(w[1]), wrong = 0;
    unsigned char *seen = calloc(1, (size_t)n);
    DIR *d = opendir(w[0]);
    int i = 0;
    char name[32];

    (void)r;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL; i++) {
        int k = -1;
        if (sscanf(e->d_name, "a%d", &k) == 1 && k >= 0 && k < n)
            seen[k]++;
        snprintf(name, sizeof name, "z%d", i % 1000);
        if (i % 10 != 0)
            continue;
        snprintf(name, sizeof name, "z%d", i % 1000);
        if (i % 2000 < 1000)
            mknod(name, S_IFREG | 0600, 0);
        else
            unlink(name);
    }
    for (int64_t k = 0; k < n; k++)
        wrong += seen[k] != 1;
    free(seen);
    if (d == NULL)
        return -errno;
    closedir(d);
    return wrong;
}
/* How many positions that telldir told do not bring seekdir to the same name. */
static int64_t op_tell(struct run *r, char **w)
{
    enum { POSITIONS = 512 };
    static long at[POSITIONS];
    static char names[POSITIONS][256];
    DIR *d = opendir(w[0]);
    size_t n = 0;
    int64_t wrong = 0;

    (void)r;
    for (struct dirent *e; d != NULL && n < POSITIONS; n++) {
        at[n] = telldir(d);
        if ((e = readdir(d)) == NULL)
            break;
        snprintf(names[n], sizeof names[n], "%s", e->d_name);
    }
    for (size_t i = n; d != NULL && i-- > 0;) {
        seekdir(d, at[i]);
        const struct dirent *e = readdir(d);
        wrong += e == NULL || strcmp(e->d_name, names[i]) != 0;
    }
    if (d == NULL)
        return -errno;
    closedir(d);
    return wrong;
}
static int64_t op_cwd(struct run *r, char **w)
{
    (void)w;
    long n = syscall(SYS_getcwd, r->block, (size_t)N(w[0]));

    return n < 0 ? -errno : 0;
}
static int64_t op_descend(struct run *r, char **w)
{
    (void)r;
    for (int64_t i = 0; i < N(w[0]); i++)
        if (mkdir(w[1], 0777) < 0 || chdir(w[1]) < 0)
            return -errno;
    return 0;
}

static const struct script_op ops[] = {
    { "acl", op_acl },     { "btime", op_btime },     { "copyin", op_copyin }, { "copyrange", op_copyrange },
    { "cwd", op_cwd },     { "descend", op_descend }, { "exec", op_exec },     { "few", op_few },
    { "flock", op_flock }, { "getacl", op_getacl },   { "getlk", op_getlk },   { "getx", op_getx },
    { "kid", op_kid },     { "lease", op_lease },     { "list", op_list },     { "listx", op_listx },
    { "load", op_load },   { "many", op_many },       { "map", op_map },       { "msync", op_msync },
    { "ofd", op_ofd },     { "rmx", op_rmx },         { "scan", op_scan },     { "sendfile", op_sendfile },
    { "setlk", op_setlk }, { "setx", op_setx },       { "splice", op_splice }, { "statvfs", op_statvfs },
    { "store", op_store }, { "tell", op_tell },       { "unmap", op_unmap },
};

const struct script_op *script_op_find_more(const char *name)
{
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    return NULL;
}
