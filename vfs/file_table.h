/* Inodes that are open, and the open table. For file.c and file_table.c. */
#pragma once

#include "vfs/file.h"

/* inode_fd - a descriptor for reading, or for reading and writing; made when first asked for. Valid until the last
 * close. */
int inode_fd(struct vfs *v, struct inode *i, bool write);

/* The size that was seen last: a guess, only for choosing a lock. */
uint64_t inode_size(const struct inode *i);
void inode_size_seen(struct inode *i, uint64_t size);
