/* O_PATH descriptors of inodes that were used lately, by slot and generation: bounded, least recently used goes first.
 *
 * A descriptor pins its backing inode, so fd_cache_drop() is called when an inode loses its last name; until then a
 * cached descriptor is as good as opening the handle again, and costs no system call.
 *
 * Threads:   any.
 * Lifetime:  a reference keeps its descriptor open; drop it with fd_ref_put(). */
#pragma once

#include "ledger/ledger.h"

struct fd_cache;

/* A borrowed descriptor. */
struct fd_ref {
    int fd;                /* -1: none */
    struct fd_entry *from; /* NULL: nobody else has it, fd_ref_put() closes */
    struct fd_cache *cache;
};
#define FD_REF_NONE ((struct fd_ref){ .fd = -1 })

int fd_cache_new(struct fd_cache **ret) MUST_CHECK;
void fd_cache_free(struct fd_cache *c);

/* fd_cache_find - true and a reference, if it is there. */
bool fd_cache_find(struct fd_cache *c, slot_t slot, uint32_t generation, struct fd_ref *ret);

/* fd_cache_add - `fd` is moved. If somebody was faster, theirs is referenced and ours closed; if there is no room, the
 * reference owns it. Never fails. */
void fd_cache_add(struct fd_cache *c, slot_t slot, uint32_t generation, int fd, struct fd_ref *ret);

void fd_ref_put(struct fd_ref *r); /* for CLEANUP */

/* fd_cache_drop - of whatever generation: closed now, or when its last reference goes. */
void fd_cache_drop(struct fd_cache *c, slot_t slot);
