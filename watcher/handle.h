/* Inode numbers in file handles.
 *
 * An event names inodes by handles. To open each one would cost 2.7 µs and fails for what is deleted, of which we must
 * know the record all the same. But the handles of the file systems that we meet contain the inode number, in one of a
 * few layouts; a file system is watched by handles only if the layout proves right for its own root.
 *
 * Source: fs/exportfs/expfs.c, include/linux/exportfs.h, fs/xfs/xfs_export.h, fs/btrfs/export.h, mm/shmem.c. */
#pragma once

#include "base/defs.h"

/* handle_ino - the inode number in a handle of this type and these bytes. false: an unknown layout. */
bool handle_ino(int type, const uint8_t *data, size_t len, uint64_t *ret_ino);
