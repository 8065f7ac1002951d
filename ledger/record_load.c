/* The pass over the slab when the ledger is opened. What is true of a record is in its own words; everything else is
 * made from them here: the index, the free slots, the lists of children, the totals of subtrees. A process that was
 * killed between two stores may have left a record without a valid parent, two records of one inode, or a directory
 * above itself: such a record is hung on the root of its tree or given back, and the repair of the intents looks at
 * what was going on. Records that no version of us writes are damage; then all trees are counted again.
 *
 * Totals: each file goes to its own directory, then each directory's sum goes up its chain: O(files + directories *
 * depth). */
#include <stdlib.h>

#include "ledger/inside.h"

#define BYTES_SANE ((uint64_t)1 << 56)

enum mark { MARK_UNKNOWN, MARK_ON_PATH, MARK_GOOD };

struct sums {
    uint64_t bytes, files;
};

struct pass {
    struct ledger *l;
    uint32_t n;
    bool damaged;   /* a record was not what we write */
    uint8_t *marks; /* of directories */
    struct sums *own;
};

static bool has_flags(const struct pass *p, slot_t slot, uint32_t flags)
{
    return slot != SLOT_NONE && slot < p->n && (record_head(record_at(p->l, slot)) & flags) == flags;
}

static void record_wipe(struct record *r)
{
    atomic_store_explicit(&r->head, record_head(r) & GENERATION_MASK, memory_order_relaxed);
}

static bool is_sound(const struct pass *p, slot_t slot)
{
    const struct record *r = record_at(p->l, slot);
    struct tree *t = tree_at(p->l, place_tree(record_place(r)));

    if (t == NULL || r->fs >= FILESYSTEMS_MAX || !p->l->inodes->filesystems[r->fs].used ||
        r->handle_bytes > RECORD_HANDLE_MAX)
        return false;
    if ((record_head(r) & RECORD_DIR) && (record_head(r) & RECORD_FILE))
        return false;
    if ((record_head(r) & RECORD_FILE) && (record_word(r) & ~RECORD_CHARGED) > BYTES_SANE)
        return false;
    return !(record_head(r) & RECORD_ROOT) || tree_root(t) == slot;
}

/* A tree that was forgotten, or whose owner is gone, leaves records behind if the process dies meanwhile: no damage. */
static bool is_of_former_tree(const struct pass *p, slot_t slot)
{
    uint64_t slots = (p->l->trees_map.bytes - sizeof(struct trees_header)) / sizeof(struct tree_slot);
    uint32_t tree = place_tree(record_place(record_at(p->l, slot)));

    return tree < slots && tree_at(p->l, tree) == NULL;
}

/* Live records into the index; of two for one inode the charged one stays. */
static int pass_index(struct pass *p)
{
    int r = 0;

    for (slot_t slot = 1; r == 0 && slot < p->n; slot++) {
        struct record *a = record_at(p->l, slot);
        slot_t there = SLOT_NONE;

        a->first_child = a->next = a->prev = SLOT_NONE;
        if (!has_flags(p, slot, RECORD_LIVE))
            continue;
        if (!is_sound(p, slot)) {
            p->damaged = p->damaged || !is_of_former_tree(p, slot);
            record_wipe(a);
            continue;
        }
        if (record_head(a) & RECORD_DIR) {
            atomic_store_explicit(&a->word, 0, memory_order_relaxed);
            atomic_store_explicit(&a->files, 0, memory_order_relaxed);
        }
        r = index_insert(&p->l->index, a->fs, a->ino, slot, &there);
        if (r < 0 || there == slot)
            continue;
        if (record_word(a) & RECORD_CHARGED) {
            index_remove(&p->l->index, a->fs, a->ino, there);
            record_wipe(record_at(p->l, there));
            r = index_insert(&p->l->index, a->fs, a->ino, slot, &there);
        } else {
            record_wipe(a);
        }
    }
    return r;
}

static void hang_on(struct pass *p, slot_t slot, uint32_t tree, slot_t parent)
{
    atomic_store_explicit(&record_at(p->l, slot)->place, place_of(tree, parent), memory_order_relaxed);
}

static void hang_on_root(struct pass *p, slot_t slot)
{
    uint32_t tree = place_tree(record_place(record_at(p->l, slot)));

    hang_on(p, slot, tree, tree_root(tree_at(p->l, tree)));
}

static slot_t parent_of(const struct pass *p, slot_t slot)
{
    return place_parent(record_place(record_at(p->l, slot)));
}

/* Makes the chain above a directory sound, and its tree the one in which the chain ends. */
static void pass_chain(struct pass *p, slot_t dir)
{
    slot_t at = dir;

    while (p->marks[at] == MARK_UNKNOWN) {
        p->marks[at] = MARK_ON_PATH;
        if (has_flags(p, at, RECORD_ROOT))
            break;
        slot_t up = parent_of(p, at);
        if (!has_flags(p, up, RECORD_LIVE | RECORD_DIR) || p->marks[up] == MARK_ON_PATH) {
            hang_on_root(p, at);
            up = parent_of(p, at);
        }
        at = up;
    }
    uint32_t tree = place_tree(record_place(record_at(p->l, at)));
    p->marks[at] = MARK_GOOD;
    for (at = dir; p->marks[at] == MARK_ON_PATH; at = parent_of(p, at)) {
        p->marks[at] = MARK_GOOD;
        hang_on(p, at, tree, parent_of(p, at));
    }
}

static void pass_places(struct pass *p)
{
    for (slot_t slot = 1; slot < p->n; slot++)
        if (has_flags(p, slot, RECORD_LIVE | RECORD_DIR))
            pass_chain(p, slot);
    for (slot_t slot = 1; slot < p->n; slot++) {
        if (!has_flags(p, slot, RECORD_LIVE))
            continue;
        if (!has_flags(p, slot, RECORD_DIR)) {
            slot_t up = parent_of(p, slot);
            if (has_flags(p, up, RECORD_LIVE | RECORD_DIR))
                hang_on(p, slot, place_tree(record_place(record_at(p->l, up))), up);
            else
                hang_on_root(p, slot);
        }
        if (!has_flags(p, slot, RECORD_ROOT))
            place_list_add(p->l, slot, parent_of(p, slot));
    }
}

static void pass_totals(struct pass *p)
{
    for (slot_t slot = 1; slot < p->n; slot++) {
        uint64_t word = record_word(record_at(p->l, slot));

        if (!has_flags(p, slot, RECORD_LIVE | RECORD_FILE) || !(word & RECORD_CHARGED))
            continue;
        p->own[parent_of(p, slot)].bytes += word & ~RECORD_CHARGED;
        p->own[parent_of(p, slot)].files++;
    }
    for (slot_t slot = 1; slot < p->n; slot++)
        if (p->own[slot].files > 0)
            place_add(p->l, slot, (int64_t)p->own[slot].bytes, (int64_t)p->own[slot].files);
}

static int pass_free_slots(struct pass *p)
{
    struct ledger *l = p->l;

    l->free_room = p->n ? p->n : 1;
    l->free_slots = calloc(p->n ? p->n : 1, sizeof *l->free_slots);
    if (l->free_slots == NULL)
        return -ENOMEM;
    for (slot_t slot = 1; slot < p->n; slot++)
        if (!has_flags(p, slot, RECORD_LIVE))
            l->free_slots[l->n_free++] = slot;
    return 0;
}

int records_load(struct ledger *l)
{
    uint64_t bytes = l->inodes_map.bytes - sizeof *l->inodes;
    struct pass p = { .l = l, .n = (uint32_t)(bytes / sizeof(struct record)) };

    atomic_store_explicit(&l->n_records, p.n, memory_order_release);
    p.marks = calloc(p.n ? p.n : 1, 1);
    p.own = calloc(p.n ? p.n : 1, sizeof *p.own);
    int r = p.marks && p.own ? pass_index(&p) : -ENOMEM;
    if (r == 0) {
        pass_places(&p);
        pass_totals(&p);
        for (uint32_t i = 0; p.damaged && i < atomic_load(&l->n_trees); i++)
            if (l->trees[i])
                tree_uncount(l->trees[i]);
        r = pass_free_slots(&p);
    }
    free(p.marks);
    free(p.own);
    return r;
}

void records_done(struct ledger *l)
{
    free(l->free_slots);
}
