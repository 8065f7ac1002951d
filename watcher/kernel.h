/* The kernel calls of the watcher: fanotify, inotify, eventfd, poll, mount ids, threads. errno is read here only.
 *
 * Each returns a result or a negative errno; EINTR is dealt with inside; descriptors are CLOEXEC and do not block.
 *
 * Threads: any. Source: fanotify(7), fanotify_mark(2), inotify(7), statx(2). */
#pragma once

#include <sys/fanotify.h>
#include <sys/inotify.h>

#include "base/lock.h"

/* kernel_fanotify_open - a group that reports directory handle, name and target handle. `limited`: the queue ends at
 * fs.fanotify.max_queued_events (tests). -EPERM without CAP_SYS_ADMIN, -EINVAL before Linux 5.17. */
int kernel_fanotify_open(bool limited) MUST_CHECK;

/* kernel_fanotify_mark - on what the O_PATH directory `fd` lies. Flags besides FAN_MARK_ADD. -EXDEV, -EOPNOTSUPP,
 * -ENODEV: this file system cannot. */
int kernel_fanotify_mark(int group, unsigned flags, uint64_t mask, int fd) MUST_CHECK;

int kernel_inotify_open(void) MUST_CHECK;
/* kernel_inotify_watch - a watch on the directory `fd` (O_PATH too): its number. -ENOSPC: fs.inotify.max_user_watches.
 * */
int kernel_inotify_watch(int inotify, int fd, uint32_t mask) MUST_CHECK;
void kernel_inotify_unwatch(int inotify, int wd);

/* kernel_read - whole events; 0 if there are none now. */
ssize_t kernel_read(int fd, void *buf, size_t len) MUST_CHECK;

int kernel_event_open(void) MUST_CHECK; /* an eventfd */
void kernel_event_set(int fd);
void kernel_event_clear(int fd);

/* kernel_wait - until one of these descriptors can be read (-1: none) or the time is over; -1: for ever. */
enum { KERNEL_WAIT_MAX = 4 };
void kernel_wait(const int *fds, size_t n, int timeout_ms);

/* kernel_mount_id - of the mount through which fd was opened. */
int kernel_mount_id(int fd, uint64_t *ret_id) MUST_CHECK;
/* kernel_mount_is_private - it is in no place of our mount namespace: nobody but us writes through it. If in doubt: no.
 * */
bool kernel_mount_is_private(uint64_t id);

/* kernel_thread_start - with all signals blocked, so that they reach the thread that waits for them. `name`: 15 bytes.
 * */
int kernel_thread_start(const char *name, void *(*run)(void *), void *arg, pthread_t *ret) MUST_CHECK;
