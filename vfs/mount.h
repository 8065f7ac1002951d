/* The mount itself: made by the supervisor, which holds /dev/fuse, so that it outlives the vfs role.
 *
 * Source: fuse(4), Documentation/filesystems/fuse.rst; notes/fuse.md §6, §8. */
#pragma once

#include "base/defs.h"
#include "base/why.h"

#define MOUNT_TYPE "fuse.tally"
enum { MOUNT_SOURCE_MAX = 4200 };

/* mount_source - by what a daemon finds its own mounts again: the state directory, which one daemon uses at a time. */
void mount_source(const char *state_dir, char ret[MOUNT_SOURCE_MAX]);

/* mount_is_ours - the top mount at `path` has this source. mount_answers - a server answers for it, soon. */
bool mount_is_ours(const char *path, const char *source);
bool mount_answers(const char *path);

/* mount_clean - takes away a dead mount that an earlier crash left at `path` (lazily), and nothing else. 0 if there is
 * none or it is gone; -EBUSY if something alive is mounted there (reterr_why names it). Makes the directory if it is
 * missing. */
int mount_clean(const char *path, struct why *reterr_why) MUST_CHECK;

/* mount_homes - opens /dev/fuse and mounts it at `path` (allow_other, default_permissions, nosuid, nodev). *ret_fd is
 * the session's descriptor, owned. -ENODEV with reterr_why when /dev/fuse is missing or the kernel has no FUSE; -EPERM.
 * */
int mount_homes(const char *path, const char *source, int *ret_fd, struct why *reterr_why) MUST_CHECK;

/* unmount_homes - plain, then, if it is busy, lazily. */
int unmount_homes(const char *path);

/* notifier_run - the loop of the notifier process: reads struct entry_notice messages from `from_fd` (SOCK_SEQPACKET)
 * and writes FUSE_NOTIFY_INVAL_ENTRY to `fuse_fd`, until from_fd ends. It is a process of its own because that write
 * may wait for a directory lock that a client holds while it waits for the vfs role (notes/fuse-recovery.md §4). */
void notifier_run(int fuse_fd, int from_fd);

enum { NOTICE_NAME_MAX = 255 };
struct entry_notice {
    uint64_t parent; /* node id */
    uint32_t len;
    char name[NOTICE_NAME_MAX + 1];
};
