/* Telling the kernel that what it remembers is out of date.
 *
 * Attributes: FUSE_NOTIFY_INVAL_INODE with offset -1. It takes no lock of the kernel that a client could hold, so it is
 * legal inside a handler for *another* node id of the same inode, before the reply.
 * Names: an invalidation takes the directory's lock, which a client may hold while it waits for us. So names go to the
 * notifier, a process of its own (mount.h), as messages.
 * What the ledger reports about changes beneath the mount is queued to a thread here: its callers hold no lock, but
 * may be anywhere, even in a handler.
 *
 * Threads:  any.
 * Source:   notes/fuse-recovery.md §4. */
#pragma once

#include "vfs/core.h"

int notices_start(struct vfs *v, int notify_fd, struct notices **ret) MUST_CHECK; /* notify_fd is moved */
void notices_stop(struct notices *n);

/* notice_name - the name in that directory (a node id) is not what the kernel remembers. */
void notice_name(struct vfs *v, uint64_t parent, const char *name);

/* notice_others_attr, notice_others_name - the same inode or directory as other branches show it. */
void notice_others_attr(struct vfs *v, struct tree *tree, uint32_t not_view, slot_t slot, uint32_t generation);
void notice_others_name(struct vfs *v, struct tree *tree, uint32_t not_view, slot_t dir, uint32_t generation,
                        const char *name);

/* notice_listing - what a directory lists is another thing now, though the directory itself has not changed. Not in a
 * handler. */
void notice_listing(struct vfs *v, uint64_t node);

/* notice_attr - one node id. Not for the inode that the handler's own request is about. */
void notice_attr(struct vfs *v, uint64_t node);
