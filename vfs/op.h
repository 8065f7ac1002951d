/* The table of FUSE operations: handlers are short and live in op_*.c; the work is in dir.c, file.c, attr.c, list.c.
 *
 * Valid replies of each operation: fuse_lowlevel.h. */
#pragma once

#include "vfs/call.h"

extern const struct fuse_lowlevel_ops op_table;

/* Each op_*.c fills its rows. */
void vop_init(void *userdata, struct fuse_conn_info *conn);

/* entry_of - what the kernel is told of a child. */
struct node;
struct fuse_entry_param entry_of(struct vfs *v, const struct node *n, const struct stat *st);
