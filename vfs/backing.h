/* Backing directories: reached through a private, detached clone of their mount, one a mount.
 *
 * What is mounted over a backing directory later (the view itself, with vfs.in_place) is not seen through the clone,
 * and the watcher's ignore mark sits on it. A directory is found once by its configured path and from then on by
 * descriptor.
 *
 * Threads:   any; one at a time inside.
 * Source:    open_tree(2), open_by_handle_at(2). */
#pragma once

#include "base/dirs.h"

struct backings;

/* `mount` is vfs.mount; no backing directory may lie in it. `cover_dev`: the device of our mounts where covers may show
 * up in this process's own mount namespace, which loses them then; 0: this process sees the host's. */
int backings_new(const char *mount, dev_t cover_dev, struct backings **ret) MUST_CHECK;
void backings_free(struct backings *b);

/* backing_open - the directory at an absolute path, made if it is missing (parents root 0755, itself with `rights`,
 * NULL: like them). *ret_root is O_PATH through the clone, owned; *ret_mount is a directory of the clone, borrowed
 * until backings_free(). -ELOOP: the path leads into the mount of homes; -ENOTDIR: something else is there; other
 * errnos of open(2) and mkdir(2); -EOPNOTSUPP: a file system without file handles. */
int backing_open(struct backings *b, const char *path, const struct dir_rights *rights, int *ret_root,
                 int *ret_mount) MUST_CHECK;

/* backing_look - what directory is at this path now: device and number. Makes nothing; errnos as above. */
int backing_look(struct backings *b, const char *path, struct stat *ret) MUST_CHECK;
