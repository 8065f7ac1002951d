/* Where a record hangs: its tree, its parent directory, the list of its siblings, and the subtree totals above it.
 *
 * Totals are moved by adding to each directory from the parent up to the root, atomically, with the tree's lock held
 * shared from before the first add until after the last. A directory changes its parent only with that lock held
 * exclusively. So whoever moves a directory sees totals to which nobody is adding: it takes them from the old chain,
 * gives them to the new one, and every later add walks the new chain. A file may move with the lock shared, because
 * only its own record's lock, which the mover holds, lets anybody add on its behalf.
 *
 * Into another tree both tree locks are taken, in the order of the trees. A directory that somebody moved there
 * beneath the mount takes its subtree along; in the mount that is EXDEV.
 *
 * Events may come in an order in which a directory seems to move below itself: then the offending ancestor hangs on
 * the root until it is looked at (break_cycle). A directory that goes away leaves what is still known of its content
 * to its parent, so no record ever hangs on a free slot. */
#include <assert.h>
#include <stdlib.h>

#include "ledger/inside.h"

static struct mutex *list_of(struct ledger *l, slot_t dir)
{
    return &l->lists[dir % LIST_STRIPES];
}

struct tree *place_lock_shared(struct ledger *l, slot_t slot) NO_ANALYSIS
{
    struct record *r = record_at(l, slot);

    while (record_head(r) & RECORD_LIVE) {
        struct tree *t = tree_at(l, place_tree(record_place(r)));

        if (t == NULL)
            return NULL;
        rwlock_lock_shared(&t->lock);
        if ((record_head(r) & RECORD_LIVE) && place_tree(record_place(r)) == t->index)
            return t;
        rwlock_unlock(&t->lock);
    }
    return NULL;
}

void place_unlock(struct tree *t) NO_ANALYSIS
{
    rwlock_unlock(&t->lock);
}

void place_list_add(struct ledger *l, slot_t slot, slot_t parent)
{
    struct record *r = record_at(l, slot), *p = record_at(l, parent);

    mutex_lock(list_of(l, parent));
    r->prev = SLOT_NONE;
    r->next = p->first_child;
    if (r->next)
        record_at(l, r->next)->prev = slot;
    p->first_child = slot;
    mutex_unlock(list_of(l, parent));
}

void place_list_remove(struct ledger *l, slot_t slot)
{
    struct record *r = record_at(l, slot);
    slot_t parent = place_parent(record_place(r));

    if (parent == SLOT_NONE)
        return;
    mutex_lock(list_of(l, parent));
    if (r->prev)
        record_at(l, r->prev)->next = r->next;
    else
        record_at(l, parent)->first_child = r->next;
    if (r->next)
        record_at(l, r->next)->prev = r->prev;
    r->prev = r->next = SLOT_NONE;
    mutex_unlock(list_of(l, parent));
}

void place_add(struct ledger *l, slot_t dir, int64_t bytes, int64_t files)
{
    for (; dir != SLOT_NONE && (bytes != 0 || files != 0); dir = place_parent(record_place(record_at(l, dir)))) {
        struct record *r = record_at(l, dir);
        uint64_t b UNUSED = atomic_fetch_add_explicit(&r->word, (uint64_t)bytes, memory_order_relaxed);
        uint64_t f UNUSED = atomic_fetch_add_explicit(&r->files, (uint64_t)files, memory_order_relaxed);

        assert((int64_t)(b + (uint64_t)bytes) >= 0 && (int64_t)(f + (uint64_t)files) >= 0);
    }
}

slot_t place_parent_checked(struct tree *t, slot_t parent)
{
    struct ledger *l = t->l;
    uint32_t wanted = RECORD_LIVE | RECORD_DIR;

    if (parent != SLOT_NONE && parent < atomic_load_explicit(&l->n_records, memory_order_acquire)) {
        const struct record *r = record_at(l, parent);

        if ((record_head(r) & wanted) == wanted && place_tree(record_place(r)) == t->index)
            return parent;
    }
    domain_mark_stale(tree_owner(t));
    recount_again(tree_owner(t));
    return tree_root(t);
}

void place_doubt_all(struct ledger *l, uint64_t dev)
{
    uint32_t n = atomic_load_explicit(&l->n_trees, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++) {
        struct tree *t = l->trees[i];

        if (t && atomic_load_explicit(&t->open, memory_order_acquire) && t->dev == dev) {
            domain_mark_stale(tree_owner(t));
            recount_again(tree_owner(t));
        }
    }
}

/* What a record brings along: a file its charge, a directory the totals of its subtree. */
static struct charge load_of(const struct record *r)
{
    uint64_t word = record_word(r);

    if (record_head(r) & RECORD_DIR)
        return (struct charge){ word, atomic_load_explicit(&r->files, memory_order_relaxed) };
    return (struct charge){ word & ~RECORD_CHARGED, (word & RECORD_CHARGED) ? 1 : 0 };
}

/* Hangs the record on another parent and moves what it brings along the two chains. */
static void rehang_locked(struct ledger *l, slot_t slot, uint32_t tree, slot_t parent)
{
    struct record *r = record_at(l, slot);
    struct charge c = load_of(r);

    place_add(l, place_parent(record_place(r)), -(int64_t)c.bytes, -(int64_t)c.files);
    place_list_remove(l, slot);
    atomic_store_explicit(&r->place, place_of(tree, parent), memory_order_release);
    place_list_add(l, slot, parent);
    place_add(l, parent, (int64_t)c.bytes, (int64_t)c.files);
}

/* A child of `slot` on the way up from `dir`, or SLOT_NONE: hanging `slot` on `dir` makes no ring. */
static slot_t ring_through(struct ledger *l, slot_t slot, slot_t dir)
{
    while (dir != SLOT_NONE && dir != slot) {
        slot_t up = place_parent(record_place(record_at(l, dir)));

        if (up == slot)
            return dir;
        dir = up;
    }
    return SLOT_NONE;
}

/* All below a directory belong to another tree from now on. Both trees are locked exclusively. */
static void relabel_below(struct ledger *l, slot_t top, uint32_t tree)
{
    slot_t at = record_at(l, top)->first_child;

    while (at != SLOT_NONE) {
        struct record *r = record_at(l, at);

        atomic_store_explicit(&r->place, place_of(tree, place_parent(record_place(r))), memory_order_release);
        if (r->first_child) {
            at = r->first_child;
            continue;
        }
        while (at != top && record_at(l, at)->next == SLOT_NONE)
            at = place_parent(record_place(record_at(l, at)));
        at = at == top ? SLOT_NONE : record_at(l, at)->next;
    }
}

static void tree_lock_how(struct tree *t, bool exclusive) NO_ANALYSIS
{
    if (exclusive)
        rwlock_lock(&t->lock);
    else
        rwlock_lock_shared(&t->lock);
}

static void lock_two(struct tree *a, struct tree *b, bool exclusive) NO_ANALYSIS
{
    if (a == b) {
        tree_lock_how(a, exclusive);
        return;
    }
    lock_same_rank(true);
    tree_lock_how(a->index < b->index ? a : b, exclusive);
    tree_lock_how(a->index < b->index ? b : a, exclusive);
    lock_same_rank(false);
}

static void unlock_two(struct tree *a, struct tree *b) NO_ANALYSIS
{
    rwlock_unlock(&a->lock);
    if (a != b)
        rwlock_unlock(&b->lock);
}

/* The tree of the record, locked together with `to`; NULL if the record is free. */
static struct tree *lock_from_to(struct ledger *l, slot_t slot, struct tree *to, bool exclusive)
{
    const struct record *r = record_at(l, slot);

    while (record_head(r) & RECORD_LIVE) {
        struct tree *from = tree_at(l, place_tree(record_place(r)));

        if (from == NULL)
            return NULL;
        lock_two(from, to, exclusive);
        if ((record_head(r) & RECORD_LIVE) && place_tree(record_place(r)) == from->index)
            return from;
        unlock_two(from, to);
    }
    return NULL;
}

static void move_locked(struct ledger *l, slot_t slot, struct tree *from, struct tree *to, slot_t parent)
{
    struct record *r = record_at(l, slot);
    bool is_dir = record_head(r) & RECORD_DIR;
    slot_t ring;

    parent = place_parent_checked(to, parent);
    if (parent == slot || (record_head(r) & RECORD_ROOT))
        return;
    if (is_dir && (ring = ring_through(l, slot, parent)) != SLOT_NONE)
        rehang_locked(l, ring, from->index, tree_root(from));
    if (from != to) {
        if (is_dir)
            relabel_below(l, slot, to->index);
        charges_transfer(from->set, to->set, load_of(r));
        if (!atomic_load_explicit(&to->dirty_ok, memory_order_relaxed))
            tree_settled_unmarked(to);
        if (!atomic_load_explicit(&from->dirty_ok, memory_order_relaxed))
            tree_settled_unmarked(from);
    }
    rehang_locked(l, slot, to->index, parent);
    if (is_dir && to->walk)
        walk_shade(to->walk, slot, false);
    else if (!is_dir)
        atomic_store_explicit(&r->seen, atomic_load_explicit(&to->s->epoch, memory_order_relaxed),
                              memory_order_relaxed);
}

void place_move(struct ledger *l, slot_t slot, uint32_t generation, struct tree *to, slot_t parent)
{
    bool is_dir = record_head(record_at(l, slot)) & RECORD_DIR;
    struct tree *from = lock_from_to(l, slot, to, is_dir);

    if (from == NULL)
        return;
    bool is_it = generation == 0 || (record_head(record_at(l, slot)) & GENERATION_MASK) == generation;
    if (is_it && record_place(record_at(l, slot)) != place_of(to->index, parent))
        move_locked(l, slot, from, to, parent);
    unlock_two(from, to);
}

void place_remove_dir(struct ledger *l, slot_t slot, uint32_t generation)
{
    struct record *r = record_at(l, slot);
    struct tree *t = tree_at(l, place_tree(record_place(r)));
    struct tree *held = t ? lock_from_to(l, slot, t, true) : NULL;

    if (held == NULL)
        return;
    uint32_t head = record_head(r);
    if (!(head & RECORD_ROOT) && (generation == 0 || (head & GENERATION_MASK) == generation)) {
        slot_t parent = place_parent(record_place(r));

        while (r->first_child)
            rehang_locked(l, r->first_child, held->index, parent);
        place_list_remove(l, slot);
        record_release(l, slot);
    }
    unlock_two(held, t);
}

bool place_is_empty(struct ledger *l, slot_t dir)
{
    mutex_lock(list_of(l, dir));
    bool empty = record_at(l, dir)->first_child == SLOT_NONE;
    mutex_unlock(list_of(l, dir));
    return empty;
}

int place_children(struct ledger *l, slot_t dir, slot_t **ret, size_t *ret_n)
{
    struct tree *t = place_lock_shared(l, dir);
    slot_t *v = NULL;
    size_t n = 0, room = 0;
    int r = 0;

    if (t == NULL)
        return -ENOENT;
    mutex_lock(list_of(l, dir));
    for (slot_t at = record_at(l, dir)->first_child; at; at = record_at(l, at)->next) {
        if (n == room) {
            room = room ? room * 2 : 64;
            slot_t *more = reallocarray(v, room, sizeof *v);
            if (more == NULL) {
                r = -ENOMEM;
                break;
            }
            v = more;
        }
        v[n++] = at;
    }
    mutex_unlock(list_of(l, dir));
    place_unlock(t);
    if (r < 0) {
        free(v);
        return r;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}
