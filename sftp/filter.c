/* The sanitizers of test builds make calls of their own (a shadow of the memory, reports, signal stacks); there the
 * marked rows count, too, arguments are not looked at, and a call that is not in the table gets an error instead of an
 * end, so that a report can still be written.
 *
 * The filters are compiled by libseccomp as binary trees and kept as programs, because a session should not pay for
 * compiling them. */
#include "sftp/filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

enum { TREE = 2, FILTER_MAX = 4096, CALL_FCHMODAT2 = 452 };

enum when {
    ALWAYS,
    TO_LOGIN, /* of the listener, and of a session until somebody is logged in */
    SANITIZER,
};

/* What arguments must be; in `calls` by name. */
enum rule { ANY, PLAIN_MEMORY, NO_ADDRESS, FORK, OWN_TRAITS, MORE_FILTER };

static const struct {
    int nr;
    enum when when;
    enum rule rule;
} calls[] = {
    /* the connection, the broker, the clock, memory */
    { SCMP_SYS(poll), ALWAYS, ANY },
    { SCMP_SYS(ppoll), ALWAYS, ANY },
    { SCMP_SYS(recvfrom), ALWAYS, NO_ADDRESS },
    { SCMP_SYS(sendto), ALWAYS, NO_ADDRESS },
    { SCMP_SYS(read), ALWAYS, ANY },
    { SCMP_SYS(write), ALWAYS, ANY },
    { SCMP_SYS(close), ALWAYS, ANY },
    { SCMP_SYS(fcntl), ALWAYS, ANY },
    { SCMP_SYS(getsockopt), ALWAYS, ANY },
    { SCMP_SYS(geteuid), ALWAYS, ANY },
    { SCMP_SYS(getpid), ALWAYS, ANY }, /* OpenSSL notices a fork by it */
    { SCMP_SYS(getrandom), ALWAYS, ANY },
    { SCMP_SYS(gettimeofday), ALWAYS, ANY },
    { SCMP_SYS(clock_gettime), ALWAYS, ANY },
    { SCMP_SYS(rt_sigreturn), ALWAYS, ANY },
    { SCMP_SYS(restart_syscall), ALWAYS, ANY },
    { SCMP_SYS(brk), ALWAYS, ANY },
    { SCMP_SYS(mmap), ALWAYS, PLAIN_MEMORY },
    { SCMP_SYS(munmap), ALWAYS, ANY },
    { SCMP_SYS(exit_group), ALWAYS, ANY },
    /* files, beneath descriptors */
    { SCMP_SYS(openat2), ALWAYS, ANY },
    { SCMP_SYS(pread64), ALWAYS, ANY },
    { SCMP_SYS(pwrite64), ALWAYS, ANY },
    { SCMP_SYS(newfstatat), ALWAYS, ANY },
    { SCMP_SYS(getdents64), ALWAYS, ANY },
    { SCMP_SYS(unlinkat), ALWAYS, ANY },
    { SCMP_SYS(mkdirat), ALWAYS, ANY },
    { SCMP_SYS(renameat2), ALWAYS, ANY },
    { SCMP_SYS(linkat), ALWAYS, ANY },
    { SCMP_SYS(symlinkat), ALWAYS, ANY },
    { SCMP_SYS(readlinkat), ALWAYS, ANY },
    { SCMP_SYS(fchmod), ALWAYS, ANY },
    { SCMP_SYS(fchmodat), ALWAYS, ANY },
    { CALL_FCHMODAT2, ALWAYS, ANY },
    { SCMP_SYS(fchownat), ALWAYS, ANY },
    { SCMP_SYS(utimensat), ALWAYS, ANY },
    { SCMP_SYS(ftruncate), ALWAYS, ANY },
    { SCMP_SYS(fsync), ALWAYS, ANY },
    { SCMP_SYS(fdatasync), ALWAYS, ANY },
    { SCMP_SYS(fstatfs), ALWAYS, ANY },
    { SCMP_SYS(lseek), ALWAYS, ANY },
    /* listening */
    { SCMP_SYS(accept4), TO_LOGIN, ANY },
    { SCMP_SYS(setsockopt), TO_LOGIN, ANY },
    { SCMP_SYS(getsockname), TO_LOGIN, ANY },
    { SCMP_SYS(socketpair), TO_LOGIN, ANY },
    { SCMP_SYS(sendmsg), TO_LOGIN, ANY },
    { SCMP_SYS(recvmsg), TO_LOGIN, ANY },
    { SCMP_SYS(clone), TO_LOGIN, FORK },
    { SCMP_SYS(wait4), TO_LOGIN, ANY },
    { SCMP_SYS(set_robust_list), TO_LOGIN, ANY },
    { SCMP_SYS(rt_sigaction), TO_LOGIN, ANY },
    { SCMP_SYS(rt_sigprocmask), TO_LOGIN, ANY },
    { SCMP_SYS(close_range), TO_LOGIN, ANY },
    { SCMP_SYS(prlimit64), TO_LOGIN, ANY },
    { SCMP_SYS(futex), TO_LOGIN, ANY }, /* the lock of the defender's table */
    /* becoming the user */
    { SCMP_SYS(setgroups), TO_LOGIN, ANY },
    { SCMP_SYS(setresgid), TO_LOGIN, ANY },
    { SCMP_SYS(setresuid), TO_LOGIN, ANY },
    { SCMP_SYS(umask), TO_LOGIN, ANY },
    { SCMP_SYS(prctl), TO_LOGIN, OWN_TRAITS },
    { SCMP_SYS(landlock_create_ruleset), TO_LOGIN, ANY },
    { SCMP_SYS(landlock_add_rule), TO_LOGIN, ANY },
    { SCMP_SYS(landlock_restrict_self), TO_LOGIN, ANY },
    { SCMP_SYS(seccomp), TO_LOGIN, MORE_FILTER },
    /* of the sanitizers */
    { SCMP_SYS(madvise), SANITIZER, ANY },
    { SCMP_SYS(mprotect), SANITIZER, ANY },
    { SCMP_SYS(sigaltstack), SANITIZER, ANY },
    { SCMP_SYS(futex), SANITIZER, ANY },
    { SCMP_SYS(sched_yield), SANITIZER, ANY },
    { SCMP_SYS(gettid), SANITIZER, ANY },
    { SCMP_SYS(tgkill), SANITIZER, ANY },
    { SCMP_SYS(getrlimit), SANITIZER, ANY },
    { SCMP_SYS(openat), SANITIZER, ANY },
    { SCMP_SYS(readlink), SANITIZER, ANY },
    { SCMP_SYS(ioctl), SANITIZER, ANY },
    { SCMP_SYS(clock_nanosleep), SANITIZER, ANY },
};

/* The alternatives of a rule: each is one comparison set. */
static const struct {
    enum rule rule;
    unsigned n;
    struct scmp_arg_cmp args[2];
} rules[] = {
    { PLAIN_MEMORY,
      2,
      { { 2, SCMP_CMP_MASKED_EQ, ~(scmp_datum_t)(PROT_READ | PROT_WRITE), 0 },
        { 3, SCMP_CMP_EQ, MAP_PRIVATE | MAP_ANONYMOUS, 0 } } },
    { NO_ADDRESS, 1, { { 4, SCMP_CMP_EQ, 0, 0 } } },
    { FORK, 1, { { 0, SCMP_CMP_EQ, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0 } } },
    { OWN_TRAITS, 1, { { 0, SCMP_CMP_EQ, PR_SET_NO_NEW_PRIVS, 0 } } },
    { OWN_TRAITS, 1, { { 0, SCMP_CMP_EQ, PR_SET_DUMPABLE, 0 } } },
    { OWN_TRAITS, 1, { { 0, SCMP_CMP_EQ, PR_SET_NAME, 0 } } },
    { MORE_FILTER, 1, { { 0, SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER, 0 } } },
};

static struct sock_fprog at_login; /* for the sessions */

static int call_allow(scmp_filter_ctx c, int nr, enum rule rule)
{
    int r = 0;

    if (rule == ANY || SANITIZED)
        return seccomp_rule_add(c, SCMP_ACT_ALLOW, nr, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0; i++)
        if (rules[i].rule == rule)
            r = seccomp_rule_add_array(c, SCMP_ACT_ALLOW, nr, rules[i].n, rules[i].args);
    return r;
}

/* Negative numbers are calls that this architecture does not have. */
static int fill_listener(scmp_filter_ctx c)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(calls) && r == 0; i++)
        if (calls[i].nr >= 0 && (calls[i].when != SANITIZER || SANITIZED))
            r = call_allow(c, calls[i].nr, calls[i].rule);
    /* It could move the record of the connection table away, and show it to a later session's; realloc() copies
     * then. */
    if (r == 0)
        r = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOMEM), SCMP_SYS(mremap), 0);
    return r;
}

/* A sanitizer makes it at any time. */
static bool is_sanitizers(int nr)
{
    bool is = false;
    for (size_t i = 0; SANITIZED && i < ARRAY_SIZE(calls); i++)
        is = is || (calls[i].nr == nr && calls[i].when == SANITIZER);
    return is;
}

static int fill_login(scmp_filter_ctx c)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(calls) && r == 0; i++)
        if (calls[i].nr >= 0 && calls[i].when == TO_LOGIN && !is_sanitizers(calls[i].nr))
            r = seccomp_rule_add(c, SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS, calls[i].nr, 0);
    return r;
}

static int export(scmp_filter_ctx c, struct sock_fprog *ret)
{
    CLEANUP(fd_close) int fd = memfd_create("tally-filter", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : seccomp_export_bpf(c, fd);
    int64_t size = r == 0 ? sys->size(fd) : r;
    size_t n = size > 0 ? (size_t)size / sizeof(struct sock_filter) : 0;

    if (size < 0)
        return (int)size;
    if (n == 0 || n > FILTER_MAX)
        return -E2BIG;
    struct sock_filter *v = calloc(n, sizeof(*v));
    if (!v || sys->pread(fd, v, (size_t)size, 0) != size) {
        free(v);
        return -ENOMEM;
    }
    *ret = (struct sock_fprog){ .len = (unsigned short)n, .filter = v };
    return 0;
}

static int compile(uint32_t otherwise, int (*fill)(scmp_filter_ctx c), struct sock_fprog *ret)
{
    scmp_filter_ctx c = seccomp_init(otherwise);
    if (!c)
        return -ENOMEM;
    int r = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, TREE);
    if (r == 0)
        r = fill(c);
    if (r == 0)
        r = export(c, ret);
    seccomp_release(c);
    return r;
}

static int enforce(const struct sock_fprog *f)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, f) < 0 ? -errno : 0;
}

int filter_listener(void)
{
    struct sock_fprog own = { 0 };
    int r = compile(SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS, fill_listener, &own);

    if (r == 0)
        r = compile(SCMP_ACT_ALLOW, fill_login, &at_login);
    if (r == 0)
        r = enforce(&own);
    if (r < 0)
        at_login.len = 0;
    free(own.filter);
    return r;
}

int filter_login(void)
{
    return at_login.len > 0 ? enforce(&at_login) : 0;
}
