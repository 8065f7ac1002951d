/* Node ids and what they stand for.
 *
 *   view (12 bits) | generation (20) | slot (32)     a real inode: slot and generation of its record in the ledger
 *   0              | 0               | 1             the root of the mount, which lists the homes
 *   0              | 0               | 2 + n         synthetic directory n of the shared state
 *
 * The ledger's generations are never 0, so the three cannot be confused. Ids hold no address and need no look-up count:
 * they survive a restart, and what the kernel says it has forgotten is only a hint for the descriptor cache.
 *
 * Threads:  any. A node is on the stack of one operation, with CLEANUP(node_put). */
#pragma once

#include "vfs/core.h"
#include "vfs/homes.h"

#define NODE_ROOT UINT64_C(1)

static inline uint64_t node_id(uint32_t view, uint32_t generation, slot_t slot)
{
    return (uint64_t)view << 52 | (uint64_t)(generation & 0xfffff) << 32 | slot;
}
static inline uint32_t node_view(uint64_t id)
{
    return (uint32_t)(id >> 52);
}
static inline uint32_t node_generation(uint64_t id)
{
    return (uint32_t)(id >> 32) & 0xfffff;
}
static inline slot_t node_slot(uint64_t id)
{
    return (slot_t)id;
}

enum node_kind { NODE_NONE, NODE_IS_ROOT, NODE_IS_SYNTHETIC, NODE_IS_REAL };

struct node {
    uint64_t id;
    enum node_kind kind;
    slot_t slot; /* the rest is of real ones */
    struct record_view rec;
    struct place at;
    struct fd_ref ref;
    int fd;         /* O_PATH, borrowed from ref */
    bool is_pinned; /* its last name went just now: pin_add() is due (pins.h) */
};
#define NODE_EMPTY ((struct node){ .ref = { .fd = -1 }, .fd = -1 })

/* node_get - *ret must be empty. -ESTALE: the inode is gone, or nobody sees its tree any more. */
int node_get(struct vfs *v, uint64_t id, struct node *ret) MUST_CHECK;
/* node_get_real - the same, but what is not a backing inode is -EPERM. */
int node_get_real(struct vfs *v, uint64_t id, struct node *ret) MUST_CHECK;
void node_put(struct node *n); /* for CLEANUP */

/* node_child - what `name` is in a real directory, without points: found or made in the ledger. -ENOENT and what
 * openat2(2) says. */
int node_child(struct vfs *v, const struct node *dir, const char *name, struct node *ret,
               struct stat *ret_st) MUST_CHECK;

/* node_born - the same for a child that the caller has just made. The hold of `rsv` is dropped as it is charged. `fd`
 * is borrowed for the node's life; -1: the name is opened. */
int node_born(struct vfs *v, const struct node *dir, const char *name, int fd, struct reservation *rsv,
              struct node *ret, struct stat *ret_st) MUST_CHECK;

/* node_stat - fresh attributes as the kernel sees them: st_ino is unique in the mount. */
int node_stat(struct vfs *v, const struct node *n, struct stat *ret) MUST_CHECK;
void stat_of_node(const struct node *n, struct stat *st); /* makes a backing stat one of the mount */
uint64_t node_ino(uint64_t id);

/* The random number that tells NFS handles of a reused slot, or of another user's view, apart. */
uint64_t node_nfs_generation(const struct node *n);
