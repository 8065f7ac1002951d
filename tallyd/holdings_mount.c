/* The mount, and two processes that may have to wait for it, so that nobody else must: the notifier tells the kernel of
 * names, the binder puts views over homes. Each has one end of a socket pair whose other end the vfs has; both ends are
 * kept here, so that either side can be started anew. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "tallyd/fd_store.h"
#include "tallyd/holdings.h"
#include "vfs/cover.h"
#include "vfs/mount.h"

enum { CLEAN_MS = 2000, CLEAN_STEP_MS = 20, HELPER_FD = 3 };

/* What systemd keeps for the next start: the session and the memory of the vfs. */
static const char *const kept_names[] = { "tally-fuse", "tally-state" };

static int fail_why(int r, const struct why *why)
{
    log_error("%s: %s", why->field, why->text);
    return r;
}

/* ---- helpers ---- */

/* In the child: keeps these descriptors, as 3 and upwards (what else it inherited would outlive the supervisor with
 * it), and no signals. */
static bool helper_become(const char *name, const int *fds, int n)
{
    sigset_t none;
    int high[2];

    for (int i = 0; i < n; i++)
        high[i] = fcntl(fds[i], F_DUPFD, 10); /* out of the way of the low ones */
    for (int i = 0; i < n; i++)
        if (dup2(high[i], HELPER_FD + i) != HELPER_FD + i)
            return false;
    IGNORE(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "the end of its messages is the rule, this is the net");
    IGNORE(prctl(PR_SET_NAME, name, 0, 0, 0), "a name is a help for people");
    close_range((unsigned)(HELPER_FD + n), ~0U, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return true;
}

NORETURN static void notifier_main(const struct holdings *h)
{
    if (helper_become("tallyd-notify", (int[]){ h->fuse_fd, h->notify_read_fd }, 2))
        notifier_run(HELPER_FD, HELPER_FD + 1);
    _exit(0);
}

NORETURN static void binder_main(const struct holdings *h)
{
    char source[MOUNT_SOURCE_MAX];

    mount_source(h->config->state_dir, source);
    if (helper_become("tallyd-bind", &h->cover_read_fd, 1))
        binder_run(h->config->vfs.mount, source, HELPER_FD);
    _exit(0);
}

static int helper_start(struct holdings *h, pid_t *pid, void (*child)(const struct holdings *h))
{
    *pid = fork();
    if (*pid == 0)
        child(h);
    if (*pid < 0) {
        *pid = 0;
        return log_fail(-errno, "cannot start a helper of the mount");
    }
    return 0;
}

static void helper_kill(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

void helper_died(struct holdings *h, pid_t pid)
{
    if (pid == h->notifier)
        IGNORE(helper_start(h, &h->notifier, notifier_main), "logged");
    else if (pid == h->binder)
        IGNORE(helper_start(h, &h->binder, binder_main), "logged");
}

static int pair_open(int *ret_ours, int *ret_helpers)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return log_fail(-errno, "cannot make a channel for a helper of the mount");
    *ret_ours = pair[0];
    *ret_helpers = pair[1];
    return 0;
}

/* ---- the mount ---- */

/* The last processes of a predecessor that was just killed may hold its mount for a moment: we have the lock of the
 * state directory, so what still looks alive there gets that moment. Its covers go in any case. */
static int clean_mount(const struct holdings *h, const char *source, struct why *why)
{
    uint64_t until_ns = sys->now_ns() + CLEAN_MS * UINT64_C(1000000);
    int covers = covers_remove(h->config->vfs.mount, source);
    int r = mount_clean(h->config->vfs.mount, why);

    if (covers > 0)
        log_info("%d mounts that an earlier tallyd left over homes are taken away", covers);
    while (r == -EBUSY && sys->now_ns() < until_ns) {
        poll(NULL, 0, CLEAN_STEP_MS);
        r = mount_clean(h->config->vfs.mount, why);
    }
    return r;
}

/* The device by which covers are known. The server is not asked: there is none yet. */
static int mount_device(const char *path, dev_t *ret)
{
    CLEANUP(fd_close) int fd = dirs_open(path, &(struct dir_walk){ 0 });
    struct stat st;
    int r = fd < 0 ? fd : sys->fstat_known(fd, &st);

    if (r == 0)
        *ret = st.st_dev;
    return r < 0 ? log_fail(r, "cannot look at the mount %s", path) : 0;
}

/* Before the mount: the namespace is a copy, and the mount must not be in it. */
static int covering_open(struct holdings *h, const char *source)
{
    int r = namespace_uncovered(source, &h->namespace_fd);

    if (r < 0)
        return log_fail(r, "vfs.in_place needs a mount namespace of its own");
    return pair_open(&h->cover_fd, &h->cover_read_fd);
}

static int helpers_start(struct holdings *h)
{
    int r = helper_start(h, &h->notifier, notifier_main);

    return r == 0 && h->cover_fd >= 0 ? helper_start(h, &h->binder, binder_main) : r;
}

static void mount_store(const struct holdings *h)
{
    const int fds[] = { h->fuse_fd, h->vfs_state_fd };

    for (size_t i = 0; i < ARRAY_SIZE(kept_names); i++)
        fd_store_put(kept_names[i], fds[i]);
}

/* The kernel says of a session whose mount is gone that it is in error. */
static bool session_lives(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) >= 0 && (p.revents & (POLLERR | POLLNVAL)) == 0;
}

static int served_on(struct holdings *h, const char *source)
{
    int r = mount_device(h->config->vfs.mount, &h->mount_dev);

    if (r == 0 && h->config->vfs.in_place)
        r = covering_open(h, source);
    else if (r == 0)
        r = MIN(covers_remove(h->config->vfs.mount, source), 0);
    if (r == 0)
        r = pair_open(&h->notify_fd, &h->notify_read_fd);
    if (r == 0)
        r = helpers_start(h);
    mount_store(h);
    return r < 0 ? r : 1;
}

int mount_take(struct holdings *h)
{
    char source[MOUNT_SOURCE_MAX];
    int fds[ARRAY_SIZE(kept_names)];

    fd_store_take(kept_names, fds, ARRAY_SIZE(fds));
    mount_source(h->config->state_dir, source);
    bool all = fds[0] >= 0 && fds[1] >= 0;
    if (!all || !session_lives(fds[0]) || !mount_is_ours(h->config->vfs.mount, source)) {
        if (all)
            log_warn("the mount that systemd has kept is not at %s or not alive; a new one is made",
                     h->config->vfs.mount);
        fd_close(&fds[0]);
        fd_close(&fds[1]);
        return 0;
    }
    h->fuse_fd = fds[0];
    h->vfs_state_fd = fds[1];
    return served_on(h, source);
}

int mount_open(struct holdings *h)
{
    char source[MOUNT_SOURCE_MAX];
    struct why why;

    mount_source(h->config->state_dir, source);
    int r = clean_mount(h, source, &why);
    if (r < 0)
        return fail_why(r, &why);
    if (h->config->vfs.in_place && (r = covering_open(h, source)) < 0)
        return r;
    r = mount_homes(h->config->vfs.mount, source, &h->fuse_fd, &why);
    if (r < 0)
        return fail_why(r, &why);
    r = mount_device(h->config->vfs.mount, &h->mount_dev);
    h->vfs_state_fd = memfd_create("tally-vfs", MFD_CLOEXEC);
    if (r == 0 && h->vfs_state_fd < 0)
        r = log_fail(-errno, "cannot make the vfs role's memory");
    if (r == 0)
        r = pair_open(&h->notify_fd, &h->notify_read_fd);
    if (r == 0)
        r = helpers_start(h);
    if (r == 0)
        mount_store(h);
    return r;
}

void mount_leave(struct holdings *h)
{
    helper_kill(&h->notifier);
    helper_kill(&h->binder);
    log_info("the mount %s stays, with what is open in it, for the next start", h->config->vfs.mount);
}

/* The binder may wait for a server that is gone; it ends when the last descriptor of the session is closed. What it
 * has bound until then is looked for again. */
void mount_close(struct holdings *h)
{
    char source[MOUNT_SOURCE_MAX];

    if (h->fuse_fd < 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(kept_names); i++)
        fd_store_remove(kept_names[i]);
    mount_source(h->config->state_dir, source);
    if (h->binder > 0)
        kill(h->binder, SIGKILL);
    IGNORE(covers_remove(h->config->vfs.mount, source), "logged");
    int r = unmount_homes(h->config->vfs.mount);
    if (r < 0)
        IGNORE(log_fail(r, "cannot unmount %s", h->config->vfs.mount), "logged");
    helper_kill(&h->notifier);
    int *fds[] = { &h->fuse_fd,  &h->vfs_state_fd,  &h->notify_fd,   &h->notify_read_fd,
                   &h->cover_fd, &h->cover_read_fd, &h->namespace_fd };
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fd_close(fds[i]);
    helper_kill(&h->binder);
    IGNORE(covers_remove(h->config->vfs.mount, source), "logged");
}
