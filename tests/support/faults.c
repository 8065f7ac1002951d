/* Fault points of a server: the table of system calls, wrapped. Before and after each call that changes something a
 * counter in shared memory goes down; whoever brings it to zero kills its own process, there and then. */
#include "tests/support/faults.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"

struct faults {
    _Atomic int64_t left; /* 0: none */
};
static struct faults *faults;
static struct sys wrapped;

static void point(void)
{
    if (atomic_load_explicit(&faults->left, memory_order_relaxed) > 0 && atomic_fetch_sub(&faults->left, 1) == 1)
        kill(getpid(), SIGKILL);
}

#define AROUND(type, call)                                                                                             \
    point();                                                                                                           \
    type r = sys_real.call;                                                                                            \
    point();                                                                                                           \
    return r

static int f_openat2(int dir, const char *path, const struct open_how *how)
{
    if ((how->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) == 0)
        return sys_real.openat2(dir, path, how);
    AROUND(int, openat2(dir, path, how));
}
static int f_mkdirat(int dir, const char *name, mode_t mode)
{
    AROUND(int, mkdirat(dir, name, mode));
}
static int f_mknodat(int dir, const char *name, mode_t mode, dev_t dev)
{
    AROUND(int, mknodat(dir, name, mode, dev));
}
static int f_symlinkat(const char *target, int dir, const char *name)
{
    AROUND(int, symlinkat(target, dir, name));
}
static int f_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    AROUND(int, linkat(from_dir, from, to_dir, to, flags));
}
static int f_unlinkat(int dir, const char *name, int flags)
{
    AROUND(int, unlinkat(dir, name, flags));
}
static int f_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    AROUND(int, renameat2(from_dir, from, to_dir, to, flags));
}
static int f_fchmodat(int dir, const char *name, mode_t mode)
{
    AROUND(int, fchmodat(dir, name, mode));
}
static ssize_t f_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
    AROUND(ssize_t, pwrite(fd, buf, len, off));
}
static int f_ftruncate(int fd, uint64_t size)
{
    AROUND(int, ftruncate(fd, size));
}
static int f_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
    AROUND(int, fallocate(fd, mode, off, len));
}
static int f_fsync(int fd, bool data_only)
{
    AROUND(int, fsync(fd, data_only));
}

void faults_prepare(void)
{
    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (faults == MAP_FAILED)
        abort();
}

void faults_install(void)
{
    wrapped = sys_real;
    wrapped.openat2 = f_openat2;
    wrapped.mkdirat = f_mkdirat;
    wrapped.mknodat = f_mknodat;
    wrapped.symlinkat = f_symlinkat;
    wrapped.linkat = f_linkat;
    wrapped.unlinkat = f_unlinkat;
    wrapped.renameat2 = f_renameat2;
    wrapped.fchmodat = f_fchmodat;
    wrapped.pwrite = f_pwrite;
    wrapped.ftruncate = f_ftruncate;
    wrapped.fallocate = f_fallocate;
    wrapped.fsync = f_fsync;
    sys = &wrapped;
}

void faults_arm(uint64_t points)
{
    faults->left = (int64_t)points;
}
