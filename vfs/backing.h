/* Backing directories: reached through a private, detached clone of their mount, one a mount.
 *
 * What is mounted over a backing directory later (the view itself, with vfs.in_place) is not seen through the clone,
 * and the watcher's ignore mark sits on it. A directory is found once by its configured path and from then on by
 * descriptor.
 *
 * Threads:   any; one at a time inside.
 * Source:    open_tree(2), open_by_handle_at(2). */
#pragma once

#include "base/sys.h"

struct backings;

int backings_new(struct backings **ret) MUST_CHECK;
void backings_free(struct backings *b);

/* Whose a directory is that had to be made. */
struct backing_owner {
    uid_t uid;
    gid_t gid;
};

/* backing_open - the directory at an absolute path, made if it is missing (parents root 0755, itself 0700 of its
 * owner). *ret_root is O_PATH through the clone, owned; *ret_mount is a directory of the clone, borrowed until
 * backings_free(). `not_in` (the mount of homes) may not contain the path: -ELOOP. -ENOTDIR: something else is there;
 * other errnos of open(2) and mkdir(2); -EOPNOTSUPP: a file system without file handles. */
int backing_open(struct backings *b, const char *path, const struct backing_owner *owner, const char *not_in,
                 int *ret_root, int *ret_mount) MUST_CHECK;
