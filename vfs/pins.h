/* Inodes that lost their last name while the kernel may still have them looked up: between its look-up of a name and
 * the request that uses it, somebody else may remove the name or rename another file over it. As on a local file
 * system, the one who was earlier gets the old inode.
 *
 * A pin keeps the record (not charged unless it is open: ledger.h) and a descriptor, so that the inode and its number
 * stay. It ends when the kernel forgets the inode, or when it is old and others come: a race is over in milliseconds,
 * and nobody shall keep uncharged data by holding an inode without opening it. Removed directories are charged nothing,
 * so theirs do not grow old. The table is bounded, the oldest goes first. Pins end with the process: to its successor
 * such an inode is stale.
 *
 * Threads: any; no record lock is held. */
#pragma once

#include "vfs/node.h"

struct pins;

int pins_new(struct pins **ret) MUST_CHECK;
void pins_free(struct pins *p);

/* pin_find - a removed directory that the kernel still knows, as a working directory or an open one: its record is
 * gone, so what it was is kept here. *ret has no place yet. */
bool pin_find(struct vfs *v, slot_t slot, uint32_t generation, struct node *ret);

/* pin_add - of a node whose record was pinned (record_pin_locked); takes its descriptor's reference over. `size`: what
 * its last close will truncate. */
void pin_add(struct vfs *v, struct node *n, uint64_t size);
/* pin_forget - the kernel has dropped the inode: nothing, if it has no pin. */
void pin_forget(struct vfs *v, slot_t slot, uint32_t generation);
