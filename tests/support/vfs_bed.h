/* A real mount for tests: state, store, ledger and vfs in a directory of its own.
 *
 * The test process plays the supervisor: it mounts, keeps the descriptors, and forks the server (ledger, store, vfs)
 * and the notifier, so it may touch the mount like any client. bed_crash() kills the server and starts another that
 * resumes.
 *
 * Needs root and /dev/fuse: bed_start() ends the test as skipped (77) without them. Everything is taken away by
 * bed_stop(), also when a test has failed before (teardown). */
#pragma once

#include "base/usage.h"
#include "store/entities.h"

struct vfs_bed {
    char dir[64];  /* mkdtemp */
    char mnt[96];  /* the homes */
    char data[96]; /* backing directories */
    char state[96];
    pid_t server, notifier, guard;
    int fuse_fd, state_fd, notify_fd, notified_fd;
    int talk_fd, guard_fd;
    bool no_passthrough;
    unsigned max_open_files;  /* 0: the configuration's */
    unsigned max_descriptors; /* of the server; 0: the test's */
    struct usage_map *usage;
};

void bed_start(struct vfs_bed *b);
void bed_stop(struct vfs_bed *b);

/* bed_crash - kills the server (SIGKILL) and starts one that resumes. bed_restart - a clean stop, then a new server
 * that resumes on the same mount. bed_remount - a clean stop, unmount, mount, a new session. */
void bed_crash(struct vfs_bed *b);
void bed_restart(struct vfs_bed *b);
void bed_remount(struct vfs_bed *b);

/* bed_fault - the server kills itself at the n-th fault point from now on (tests/support/faults.h). bed_revive - waits
 * for that and starts one that resumes; a server that has not come to the point after 10 s is killed. */
void bed_fault(struct vfs_bed *b, unsigned points);
void bed_revive(struct vfs_bed *b);

/* bed_user, bed_folder - adds or updates (JSON as in the API); the vfs is told. Returns the id. bed_user_remove, ... */
int64_t bed_user(struct vfs_bed *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bed_folder(struct vfs_bed *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bed_user_remove(struct vfs_bed *b, const char *name);

/* bed_quota - a plain user with these limits, home under data/<name>. */
int64_t bed_quota(struct vfs_bed *b, const char *name, uint64_t bytes, uint64_t files);

/* bed_folder_id - of a folder that a user has embedded. */
int64_t bed_folder_id(struct vfs_bed *b, const char *name);

/* bed_recount - runs one and waits. Returns the drift in bytes it found, or a negative errno. */
int64_t bed_recount(struct vfs_bed *b, enum domain_kind kind, int64_t id, bool dry_run);

/* What is used: in the counters, and what a walk of a backing directory finds. */
struct bed_used {
    uint64_t bytes, files;
};
struct bed_used bed_counted(struct vfs_bed *b, enum domain_kind kind, int64_t id);
struct bed_used bed_walked(const char *dir);
uint64_t bed_held(struct vfs_bed *b, enum domain_kind kind, int64_t id);

/* bed_agrees - waits (releases come late) until the counters are what the walk finds, nothing is held; false after 5
 * s. */
bool bed_agrees(struct vfs_bed *b, enum domain_kind kind, int64_t id, const char *dir);
/* bed_counts - waits until the counters are these. */
bool bed_counts(struct vfs_bed *b, enum domain_kind kind, int64_t id, uint64_t bytes, uint64_t files);

/* bed_await - waits at most 5 s until fn says true. */
bool bed_await(bool (*fn)(void *arg), void *arg);
