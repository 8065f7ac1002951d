/* Names: look-up, and what makes, takes away and moves them.
 *
 * A change of names in a backing directory holds that directory's lock, whatever the view: the kernel serialises only
 * within one view. Inside it: the domains are durably dirty, the child is found, the call, settle with a fresh fstat.
 *
 * Threads: any. */
#pragma once

#include "vfs/call.h"
#include "vfs/file.h"
#include "vfs/node.h"

/* dir_lookup - *ret and *ret_st of a child; -ENOENT. The root's children are homes, activated when first asked for. */
int dir_lookup(struct vfs *v, uint64_t parent, const char *name, struct node *ret, struct stat *ret_st) MUST_CHECK;

/* What is to be made. */
struct making {
    const char *name; /* NULL: O_TMPFILE */
    mode_t mode;      /* with the type, for mknod */
    dev_t dev;
    const char *target; /* of a symbolic link */
    uint64_t source;    /* node id, of a hard link */
    uint32_t flags;     /* of open(2), for create and tmpfile */
};

/* dir_make - by c->op: OP_MKDIR, OP_MKNOD, OP_SYMLINK, OP_LINK, OP_CREATE, OP_TMPFILE. *ret_fd: for the last two a
 * descriptor open for reading and writing, owned. -EDQUOT: no room for a file. */
int dir_make(struct call *c, uint64_t parent, const struct making *m, struct node *ret, struct stat *ret_st,
             int *ret_fd) MUST_CHECK;

/* dir_remove - OP_UNLINK, OP_RMDIR. -EBUSY: a virtual folder, or a directory on the way to one. */
int dir_remove(struct call *c, uint64_t parent, const char *name) MUST_CHECK;

/* dir_rename - -EXDEV: a directory or a file with several names into another tree; another view of a tree. */
int dir_rename(struct call *c, uint64_t from, const char *from_name, uint64_t to, const char *to_name,
               unsigned flags) MUST_CHECK;
