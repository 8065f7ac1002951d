/* Inodes that are open, and the open table. For file.c and file_table.c. */
#pragma once

#include "vfs/file.h"

/* A descriptor of an open inode: the inode's, or, when this process has no more to keep, the caller's. */
struct inode_fd {
    int fd; /* negative: errno */
    bool is_own;
};

/* inode_fd - for reading, or for reading and writing; made when first asked for. */
struct inode_fd inode_fd(struct vfs *v, struct inode *i, bool write);
void inode_fd_put(struct inode_fd *f); /* for CLEANUP */

/* The size that was seen last: a guess, only for choosing a lock. */
uint64_t inode_size(const struct inode *i);
void inode_size_seen(struct inode *i, uint64_t size);
