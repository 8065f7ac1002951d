/* The watcher's kernel calls. A directory is named to fanotify_mark() as "." below an O_PATH descriptor, and to
 * inotify_add_watch() as /proc/self/fd/N: both then mean the inode, whatever happens to its path meanwhile. */
#include "watcher/kernel.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static int outcome(int r)
{
    return r < 0 ? -errno : r;
}

int kernel_fanotify_open(bool limited)
{
    unsigned flags = FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME_TARGET | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS;
    return outcome(fanotify_init(limited ? flags : flags | FAN_UNLIMITED_QUEUE, O_RDONLY | O_CLOEXEC));
}

int kernel_fanotify_mark(int group, unsigned flags, uint64_t mask, int fd)
{
    return outcome(fanotify_mark(group, FAN_MARK_ADD | flags, mask, fd, "."));
}

int kernel_inotify_open(void)
{
    return outcome(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

int kernel_inotify_watch(int inotify, int fd, uint32_t mask)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return outcome(inotify_add_watch(inotify, path, mask | IN_ONLYDIR));
}

void kernel_inotify_unwatch(int inotify, int wd)
{
    IGNORE(inotify_rm_watch(inotify, wd), "it may have gone with its directory");
}

ssize_t kernel_read(int fd, void *buf, size_t len)
{
    ssize_t n;

    do
        n = read(fd, buf, len);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN ? 0 : -errno;
}

int kernel_event_open(void)
{
    return outcome(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void kernel_event_set(int fd)
{
    uint64_t one = 1;
    IGNORE(write(fd, &one, sizeof one), "a full counter is set, too");
}

void kernel_event_clear(int fd)
{
    uint64_t n;
    IGNORE(read(fd, &n, sizeof n), "an empty counter is clear, too");
}

void kernel_wait(const int *fds, size_t n, int timeout_ms)
{
    struct pollfd polled[KERNEL_WAIT_MAX];

    for (size_t i = 0; i < n; i++)
        polled[i] = (struct pollfd){ fds[i], POLLIN, 0 };
    IGNORE(poll(polled, n, timeout_ms), "whoever waits looks for himself; an early end does no harm");
}

int kernel_mount_id(int fd, uint64_t *ret_id)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0)
        return -errno;
    if (!(stx.stx_mask & STATX_MNT_ID))
        return -EOPNOTSUPP;
    *ret_id = stx.stx_mnt_id;
    return 0;
}

/* A line of mountinfo begins with the mount's id. Lines may be long: only their beginnings are looked at. */
static bool mountinfo_has(FILE *f, uint64_t id)
{
    char piece[512];
    bool begins = true;

    while (fgets(piece, sizeof piece, f)) {
        if (begins && strtoull(piece, NULL, 10) == id)
            return true;
        begins = strchr(piece, '\n') != NULL;
    }
    return false;
}

bool kernel_mount_is_private(uint64_t id)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");

    if (!f)
        return false;
    bool found = mountinfo_has(f, id);
    bool complete = !ferror(f);
    IGNORE(fclose(f), "it was only read");
    return complete && !found;
}

int kernel_thread_start(const char *name, void *(*run)(void *), void *arg, pthread_t *ret)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(ret, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        pthread_setname_np(*ret, name);
    return r;
}
