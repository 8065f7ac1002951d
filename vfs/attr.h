/* Attributes: stat, chmod and its kin, extended attributes, statfs.
 *
 * user.tally.rbytes and user.tally.rfiles: of a directory, the totals of its subtree, read-only. They are not listed,
 * so that copying programs leave them alone. */
#pragma once

#include <sys/statvfs.h>

#include "vfs/call.h"
#include "vfs/node.h"

int attr_get(struct vfs *v, uint64_t node, struct stat *ret) MUST_CHECK;
/* attr_statx - what stat has no member for, the time of birth. -EPERM: no backing inode. */
int attr_statx(struct vfs *v, uint64_t node, unsigned mask, struct statx *ret) MUST_CHECK;
int attr_set(struct call *c, uint64_t node, const struct stat *st, int what, struct stat *ret) MUST_CHECK;

/* attr_statfs - the smaller of what the quota and the disk still allow. */
int attr_statfs(struct vfs *v, uint64_t node, struct statvfs *ret) MUST_CHECK;

/* Lengths, or bytes copied, or a negative errno. */
ssize_t xattr_get(struct call *c, uint64_t node, const char *name, void *buf, size_t room);
ssize_t xattr_list(struct call *c, uint64_t node, char *buf, size_t room);
int xattr_set(struct call *c, uint64_t node, const char *name, const void *value, size_t len, int flags) MUST_CHECK;
int xattr_remove(struct call *c, uint64_t node, const char *name) MUST_CHECK;
