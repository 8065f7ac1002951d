/* The attacker: a process under the filters of a session, which makes the calls that a stranger would make who has
 * taken it over. Each is refused, by an error or by the process's end. Rows that the sanitizers' own calls would hide
 * count in other builds only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sftp/filter.h"

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

enum { DONE = 0, REFUSED = 42, NO_FILTER = 77, PAGE = 4096 };

static const struct {
    const char *name;
    long nr;
    long args[6];
    bool only_after; /* before the login it is needed */
    bool is_hidden;  /* in sanitized builds */
} attacks[] = {
    { "open", SYS_open, { (long)"/etc/passwd", O_RDONLY }, false, false },
    { "openat", SYS_openat, { AT_FDCWD, (long)"/etc/passwd", O_RDONLY }, false, true },
    { "creat", SYS_creat, { (long)"/tmp/tally-attacker", 0600 }, false, false },
    { "open_by_handle_at", SYS_open_by_handle_at, { AT_FDCWD, 0, O_RDONLY }, false, false },
    { "socket", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, false, false },
    { "connect", SYS_connect, { 0, 0, 0 }, false, false },
    { "bind", SYS_bind, { 0, 0, 0 }, false, false },
    { "listen", SYS_listen, { 0, 1 }, false, false },
    { "sendto an address", SYS_sendto, { 0, 0, 0, 0, (long)"x", 1 }, false, true },
    { "accept4", SYS_accept4, { 0, 0, 0, 0 }, true, false },
    { "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, 0 }, true, false },
    { "sendmsg", SYS_sendmsg, { 0, 0, 0 }, true, false },
    { "recvmsg", SYS_recvmsg, { 0, 0, 0 }, true, false },
    { "execve", SYS_execve, { (long)"/bin/true", 0, 0 }, false, false },
    { "execveat", SYS_execveat, { AT_FDCWD, (long)"/bin/true", 0, 0, 0 }, false, false },
    { "fork", SYS_fork, { 0 }, false, false },
    { "vfork", SYS_clone3, { 0, 0 }, false, false },
    { "clone", SYS_clone, { SIGCHLD, 0, 0, 0, 0 }, true, false },
    { "kill", SYS_kill, { 1, 0 }, false, false },
    { "pidfd_send_signal", SYS_pidfd_send_signal, { 0, 0, 0, 0 }, false, false },
    { "ptrace", SYS_ptrace, { PTRACE_ATTACH, 1, 0, 0 }, false, false },
    { "process_vm_readv", SYS_process_vm_readv, { 1, 0, 0, 0, 0, 0 }, false, false },
    { "executable memory",
      SYS_mmap,
      { 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
      false,
      true },
    { "shared memory", SYS_mmap, { 0, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0 }, false, true },
    { "mprotect", SYS_mprotect, { 0, 0, PROT_EXEC }, false, true },
    { "mremap", SYS_mremap, { 0, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0 }, false, false },
    { "memfd_create", SYS_memfd_create, { (long)"x", 0 }, false, false },
    { "userfaultfd", SYS_userfaultfd, { 0 }, false, false },
    { "io_uring_setup", SYS_io_uring_setup, { 1, 0 }, false, false },
    { "bpf", SYS_bpf, { 0, 0, 0 }, false, false },
    { "perf_event_open", SYS_perf_event_open, { 0, 0, -1, -1, 0 }, false, false },
    { "keyctl", SYS_keyctl, { 0, 0, 0, 0, 0 }, false, false },
    { "mount", SYS_mount, { 0, 0, 0, 0, 0 }, false, false },
    { "unshare", SYS_unshare, { CLONE_NEWUSER }, false, false },
    { "setns", SYS_setns, { 0, 0 }, false, false },
    { "chroot", SYS_chroot, { (long)"/" }, false, false },
    { "pivot_root", SYS_pivot_root, { (long)".", (long)"." }, false, false },
    { "chdir", SYS_chdir, { (long)"/" }, false, false },
    { "setresuid", SYS_setresuid, { 0, 0, 0 }, true, false },
    { "setresgid", SYS_setresgid, { 0, 0, 0 }, true, false },
    { "setgroups", SYS_setgroups, { 0, 0 }, true, false },
    { "prctl", SYS_prctl, { PR_SET_DUMPABLE, 1, 0, 0, 0 }, true, false },
    { "seccomp", SYS_seccomp, { 1, 0, 0 }, true, false },
};

/* In the child. A call that the filter lets through has another error, or none. */
static void attack(size_t i, bool after_login)
{
    const long *a = attacks[i].args;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_listener() < 0)
        _exit(NO_FILTER);
    if (after_login && filter_login() < 0)
        _exit(NO_FILTER);
    errno = 0;
    long r = syscall(attacks[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    bool refused = r < 0 && (attacks[i].nr == SYS_mremap ? errno == ENOMEM : errno == EPERM);
    _exit(refused ? REFUSED : DONE);
}

static void every_call_of_an_attacker_is_refused(void **state)
{
    (void)state;
    for (int after = 0; after <= 1; after++)
        for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
            int status = 0;
            if ((attacks[i].only_after && !after) || (attacks[i].is_hidden && SANITIZED))
                continue;
            pid_t pid = fork();
            if (pid == 0)
                attack(i, after);
            assert_int_equal(waitpid(pid, &status, 0), pid);
            if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
                skip();
            if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) &&
                !(WIFEXITED(status) && WEXITSTATUS(status) == REFUSED))
                fail_msg("%s %s the login: status %x", attacks[i].name, after ? "after" : "before", (unsigned)status);
        }
}

/* glibc grows large blocks by mremap(); refused, it copies. */
static void memory_still_grows(void **state)
{
    int status = 0;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_listener() < 0 || filter_login() < 0)
            _exit(NO_FILTER);
        char *p = malloc(1 << 20), *grown;
        memset(p, 7, 1 << 20);
        grown = realloc(p, 16 << 20);
        _exit(grown && grown[0] == 7 && grown[(1 << 20) - 1] == 7 ? DONE : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_FILTER)
        skip();
    assert_int_equal(WEXITSTATUS(status), DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of_an_attacker_is_refused),
        cmocka_unit_test(memory_still_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
