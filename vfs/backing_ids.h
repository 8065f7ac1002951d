/* Backing ids: what the kernel calls a file that it may read and map by itself, one for each inode that is open.
 *
 * Threads: any; of one inode one at a time (the lock of its bucket). */
#pragma once

#include "vfs/core.h"

struct backing_ids;

int backing_ids_new(struct backing_ids **ret) MUST_CHECK;
void backing_ids_free(struct backing_ids *b);

/* backing_id_make - the id for an inode whose descriptor is `fd` (O_PATH will do), and *ret_at, its entry in the state.
 * Negative: the kernel refuses, which is said once in the log. */
int32_t backing_id_make(struct vfs *v, slot_t slot, uint32_t generation, int fd, uint32_t *ret_at);
void backing_id_drop(struct vfs *v, int32_t id, uint32_t at);

/* backing_ids_resume - `adopt` says whether somebody has the inode open (then the id is theirs); the other ids are
 * closed, also one that was lost between the kernel's reply and our note of it. */
typedef bool backing_adopt(struct vfs *v, slot_t slot, uint32_t generation, int32_t id, uint32_t at);
void backing_ids_resume(struct vfs *v, backing_adopt *adopt);
