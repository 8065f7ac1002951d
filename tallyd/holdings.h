/* What outlives the services: listening sockets, shared tables, the mount with the vfs's memory, the notifier.
 *
 * Threads: the supervisor's one. Errors are logged here, where their context is. */
#pragma once

#include "base/guards.h"

struct holdings {
    const struct config *config;         /* borrowed */
    struct role_fd shared[ROLE_FDS_MAX]; /* for every service */
    size_t shared_n;
    int fuse_fd, vfs_state_fd, notify_fd; /* for the vfs; -1 while there is no mount */
    int notify_read_fd;                   /* the notifier's end, kept for one that is started anew */
    int cover_fd, cover_read_fd;          /* the same for the binder, with vfs.in_place; else -1 */
    int namespace_fd;                     /* in which the vfs lives then: one without covers */
    dev_t mount_dev;                      /* of the mount and its covers */
    pid_t notifier, binder;               /* 0: none */
    int lock_fd;
    struct guards guards; /* for listener, broker and api */
};

void holdings_init(struct holdings *h, const struct config *config);

/* holdings_open - directories, the lock of the state directory, sockets, tables. Returns 0 or a negative errno. */
int holdings_open(struct holdings *h) MUST_CHECK;

/* holdings_reload - at SIGHUP, what the supervisor itself holds: the guards' settings and lists. Logged. */
void holdings_reload(struct holdings *h, const char *config_path);

/* In state_dir: locked by the running supervisor, whose process id is in it. */
#define LOCK_FILE "tallyd.lock"

/* mount_take - the mount of a predecessor, if systemd has kept its descriptors and it is alive: the vfs resumes over
 * it. 1: taken; 0: there is none; or a negative errno. */
int mount_take(struct holdings *h) MUST_CHECK;

/* mount_leave - ends what serves the mount but leaves it, and what covers homes, to the next start (mount_take). */
void mount_leave(struct holdings *h);

/* mount_open - a new mount with an empty memory for the vfs, and its helpers. mount_close - takes it away, and what
 * covers homes. */
int mount_open(struct holdings *h) MUST_CHECK;
void mount_close(struct holdings *h);

/* helper_died - starts the one anew that was this process. */
void helper_died(struct holdings *h, pid_t pid);
