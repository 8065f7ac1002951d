/* Trees and their charge sets.
 *
 * A charge set is immutable and shared; a change makes a new one and puts it in place with the tree's lock held
 * exclusively, together with the transfer: the domain that comes takes the tree's totals, the one that goes gives them
 * back. No settle is between its first and last domain then, so the sums are those of the set before or of the set
 * after. The totals of a tree are those of its root directory's record.
 *
 * The set is in trees.map, too (tree_map.c): after a restart the counters are made from it before anybody has opened
 * the tree again. A kill between the two leaves either set in the map, and the counters that are made from it fit it.
 *
 * Trees do not nest. Whether a new one lies in another is seen on the way up from its root; whether it lies around
 * one, from the directories above all roots, which are kept in an index. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ledger/inside.h"

enum { DEPTH_MAX = 4096 };

struct tree *tree_at(struct ledger *l, uint32_t index)
{
    return index < atomic_load_explicit(&l->n_trees, memory_order_acquire) ? l->trees[index] : NULL;
}

slot_t tree_root(const struct tree *t)
{
    return atomic_load_explicit(&t->s->root, memory_order_relaxed);
}

int tree_root_fd(const struct tree *t)
{
    return t->root_fd;
}

int tree_mount_fd(const struct tree *t)
{
    return t->mount_fd;
}

struct domain *tree_owner(const struct tree *t)
{
    return t->owner;
}

static struct charge tree_totals(const struct tree *t)
{
    const struct record *r = record_at(t->l, tree_root(t));

    return (struct charge){ record_word(r), atomic_load_explicit(&r->files, memory_order_relaxed) };
}

/* ---- charge sets ------------------------------------------------------------------------------------------------- */

struct charge_set *charge_set_new(const struct charge_set *from, const struct domain *but, struct domain *with)
{
    struct charge_set *s = calloc(1, sizeof *s + ((from ? from->n : 0) + 1) * sizeof(struct domain *));

    if (s == NULL)
        return NULL;
    s->refs = 1;
    for (uint32_t i = 0; from && i < from->n; i++)
        if (from->v[i] != but)
            s->v[s->n++] = from->v[i];
    if (with)
        s->v[s->n++] = with;
    return s;
}

struct charge_set *tree_set_ref(struct tree *t)
{
    rwlock_lock_shared(&t->lock);
    struct charge_set *s = t->set;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    rwlock_unlock(&t->lock);
    return s;
}

void charge_set_unref(struct charge_set *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        free(s);
}

bool charge_set_has(const struct charge_set *s, const struct domain *d)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i] == d)
            return true;
    return false;
}

static struct move move_by(struct charge c, bool in)
{
    return (struct move){ .bytes = in ? (int64_t)c.bytes : -(int64_t)c.bytes,
                          .files = in ? (int64_t)c.files : -(int64_t)c.files };
}

void charges_transfer(const struct charge_set *from, const struct charge_set *to, struct charge c)
{
    for (uint32_t i = 0; i < to->n; i++)
        if (!charge_set_has(from, to->v[i]))
            domain_move(to->v[i], move_by(c, true), (struct charge){ 0 });
    for (uint32_t i = 0; i < from->n; i++)
        if (!charge_set_has(to, from->v[i]))
            domain_move(from->v[i], move_by(c, false), (struct charge){ 0 });
}

static bool is_counted(const struct tree *t)
{
    return atomic_load_explicit(&t->s->counted, memory_order_relaxed);
}

/* The domain begins or ends to be moved by this tree: its trees, and what of them is not known yet. */
static void domain_joins(struct tree *t, struct domain *d, int n)
{
    if (!is_counted(t))
        domain_counting(d, n);
    if (t->unrepaired)
        domain_unrepaired(d, n);
}

static int include_locked(struct tree *t, struct domain *d) REQUIRES(t->lock);
static int include_locked(struct tree *t, struct domain *d)
{
    struct charge_set *old = t->set;

    if (charge_set_has(old, d))
        return 0;
    if (atomic_load_explicit(&t->gone, memory_order_relaxed))
        return -ESTALE;
    if (old->n >= CHARGES_MAX)
        return -E2BIG;
    struct charge_set *s = charge_set_new(old, NULL, d);
    int r = s ? journal_link(d, t) : -ENOMEM;
    if (r == 0 && (r = charge_store(t, d)) < 0)
        journal_unlink(d, t);
    if (r < 0) {
        charge_set_unref(s);
        return r;
    }
    t->set = s;
    charge_set_unref(old);
    domain_joins(t, d, 1);
    struct charge c = tree_totals(t);
    domain_move(d, (struct move){ .bytes = (int64_t)c.bytes, .files = (int64_t)c.files, .met = true },
                (struct charge){ 0 });
    return 0;
}

int tree_include(struct tree *t, struct domain *d)
{
    journal_pin(d, true);
    int r = journal_wait(d);
    if (r == 0) {
        rwlock_lock(&t->lock);
        r = include_locked(t, d);
        rwlock_unlock(&t->lock);
    }
    journal_pin(d, false);
    if (r == 0 && domain_is_stale(d))
        recount_again(d);
    return r;
}

static int exclude_locked(struct tree *t, struct domain *d) REQUIRES(t->lock);
static int exclude_locked(struct tree *t, struct domain *d)
{
    struct charge_set *old = t->set;
    if (!charge_set_has(old, d) || d == t->owner || atomic_load_explicit(&t->gone, memory_order_relaxed))
        return 0;
    struct charge_set *s = charge_set_new(old, d, NULL);
    if (s == NULL)
        return -ENOMEM;
    charge_clear(t, d);
    t->set = s;
    charge_set_unref(old);
    domain_move(d, move_by(tree_totals(t), false), (struct charge){ 0 });
    domain_joins(t, d, -1);
    journal_unlink(d, t);
    return 0;
}

void tree_exclude(struct tree *t, struct domain *d)
{
    journal_pin(d, true);
    int r = journal_wait(d);
    if (r < 0)
        log_fail(r, "ledger: %s %lld leaves a tree without a durable mark", domain_kind_name(d->kind),
                 (long long)d->id);
    rwlock_lock(&t->lock);
    r = exclude_locked(t, d);
    rwlock_unlock(&t->lock);
    if (r < 0) {
        log_fail(r, "ledger: %s %lld still has what it should leave", domain_kind_name(d->kind), (long long)d->id);
        domain_set_incomplete(d, true);
    }
    journal_pin(d, false);
    domain_trust(d, TRUST_LESS_TO_COUNT, 0);
}

size_t tree_domains(struct tree *t, struct domain **ret, size_t max)
{
    rwlock_lock_shared(&t->lock);
    size_t n = MIN((size_t)t->set->n, max);
    memcpy(ret, t->set->v, n * sizeof(struct domain *));
    rwlock_unlock(&t->lock);
    return n;
}

void tree_domains_each(struct tree *t, void (*fn)(void *arg, struct domain *d), void *arg)
{
    struct charge_set *s = tree_set_ref(t);

    for (uint32_t i = 0; i < s->n; i++)
        fn(arg, s->v[i]);
    charge_set_unref(s);
}

void tree_settled_unmarked(struct tree *t)
{
    for (uint32_t i = 0; i < t->set->n; i++)
        journal_want(t->set->v[i]);
}

void tree_uncount(struct tree *t)
{
    if (!is_counted(t))
        return;
    atomic_store_explicit(&t->s->counted, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < t->set->n; i++)
        domain_counting(t->set->v[i], 1);
}

void tree_counted(struct tree *t)
{
    rwlock_lock(&t->lock);
    bool first = !is_counted(t) && !atomic_load_explicit(&t->gone, memory_order_relaxed);
    if (first) {
        atomic_store_explicit(&t->s->counted, 1, memory_order_relaxed);
        for (uint32_t i = 0; i < t->set->n; i++)
            domain_counting(t->set->v[i], -1);
    }
    rwlock_unlock(&t->lock);
    struct charge_set *s = tree_set_ref(t);
    for (uint32_t i = 0; first && i < s->n; i++)
        if (i > 0) /* the owner's own recount ends in domain_trust, and reports */
            domain_trust(s->v[i], TRUST_LESS_TO_COUNT, 0);
    charge_set_unref(s);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static struct tree *tree_new(struct ledger *l, uint32_t index)
{
    struct tree *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->l = l;
    t->s = tree_slot_at(l, index);
    t->index = index;
    t->root_fd = t->mount_fd = -1;
    rwlock_init(&t->lock, RANK_TREE);
    return t;
}

static void tree_free(struct tree *t)
{
    fd_close(&t->root_fd);
    charge_set_unref(t->set);
    free(t->more);
    free(t->above);
    rwlock_done(&t->lock);
    free(t);
}

static void tree_publish(struct ledger *l, struct tree *t)
{
    l->trees[t->index] = t;
    if (t->index >= atomic_load_explicit(&l->n_trees, memory_order_relaxed))
        atomic_store_explicit(&l->n_trees, t->index + 1, memory_order_release);
}

static bool has_root(const struct tree *t)
{
    const struct ledger *l = t->l;
    uint32_t wanted = RECORD_LIVE | RECORD_DIR | RECORD_ROOT;
    uint64_t records = (l->inodes_map.bytes - sizeof *l->inodes) / sizeof(struct record);

    return tree_root(t) != SLOT_NONE && tree_root(t) < records &&
           (record_head(record_at(l, tree_root(t))) & wanted) == wanted;
}

/* A tree of an earlier life, with what its own slot says of its set. */
static int tree_adopt(struct ledger *l, uint32_t index)
{
    struct tree *t = tree_new(l, index);
    int r = t == NULL ? -ENOMEM : has_root(t) ? charges_load(t, t->s, &t->set) : -ENOENT;

    if (r == 0) {
        t->owner = t->set->v[0];
        tree_publish(l, t);
        return 0;
    }
    if (r == -ENOENT) /* its owner or root is gone */
        atomic_store_explicit(&t->s->used, TREE_FREE, memory_order_relaxed);
    if (t)
        tree_free(t);
    return r == -ENOENT ? 0 : r;
}

static int tree_join_all(struct tree *t)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < t->set->n; i++) {
        r = journal_link(t->set->v[i], t);
        if (r == 0)
            domain_joins(t, t->set->v[i], 1);
    }
    return r;
}

int trees_load(struct ledger *l)
{
    uint64_t n = (l->trees_map.bytes - sizeof(struct trees_header)) / sizeof(struct tree_slot);
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < n; i++)
        if (atomic_load_explicit(&tree_slot_at(l, i)->used, memory_order_relaxed) == TREE_USED)
            r = tree_adopt(l, i);
    if (r == 0)
        r = charges_load_more(l);
    for (uint32_t i = 0; r == 0 && i < l->n_trees; i++)
        if (l->trees[i])
            r = tree_join_all(l->trees[i]);
    return r;
}

void trees_done(struct ledger *l)
{
    for (uint32_t i = 0; l->trees && i < l->n_trees; i++)
        if (l->trees[i])
            tree_free(l->trees[i]);
    free(l->trees);
}

/* The record of a new tree's root. Nobody else knows the tree yet. */
static int root_make(struct tree *t, const struct stat *st, const struct handle *h)
{
    struct meeting m = { .parent = SLOT_NONE, .st = st, .handle = h };
    slot_t slot = SLOT_NONE;
    int r = record_root(t, &m, &slot);

    if (r < 0)
        return r;
    atomic_store_explicit(&t->s->root, slot, memory_order_relaxed);
    atomic_store_explicit(&t->s->used, TREE_USED, memory_order_release);
    tree_publish(t->l, t);
    return 0;
}

int tree_make(struct ledger *l, struct domain *owner, const struct stat *st, const struct handle *h, uint16_t fs,
              struct tree **ret)
{
    uint32_t index = 0;
    int r = tree_slot_take(l, &index);
    struct tree *t = r == 0 ? tree_new(l, index) : NULL;

    if (t == NULL)
        return r < 0 ? r : -ENOMEM;
    t->fs = fs;
    t->dev = st->st_dev;
    t->owner = owner;
    t->set = charge_set_new(NULL, NULL, owner);
    r = t->set ? journal_link(owner, t) : -ENOMEM;
    if (r == 0) {
        r = charge_store(t, owner);
        if (r == 0)
            r = root_make(t, st, h);
        if (r < 0)
            journal_unlink(owner, t);
    }
    if (r < 0) {
        atomic_store_explicit(&t->s->used, TREE_FREE, memory_order_release);
        tree_free(t);
        return r;
    }
    domain_counting(owner, 1);
    *ret = t;
    return 0;
}

/* ---- the end of a tree ------------------------------------------------------------------------------------------- */

/* Some record below the root, without anything below itself. */
static slot_t leaf_of(struct ledger *l, slot_t root)
{
    slot_t at = root;

    while (record_at(l, at)->first_child)
        at = record_at(l, at)->first_child;
    return at;
}

static void forget_locked(struct tree *t) REQUIRES(t->lock);
static void forget_locked(struct tree *t)
{
    struct ledger *l = t->l;
    slot_t root = tree_root(t);
    struct charge c = tree_totals(t);

    atomic_store_explicit(&t->gone, true, memory_order_relaxed);
    atomic_store_explicit(&t->open, false, memory_order_release);
    atomic_store_explicit(&t->s->used, TREE_FREE, memory_order_release);
    charges_free(t);
    for (uint32_t i = 0; i < t->set->n; i++) {
        domain_move(t->set->v[i], move_by(c, false), (struct charge){ 0 });
        domain_joins(t, t->set->v[i], -1);
    }
    for (slot_t at = leaf_of(l, root); at != root; at = leaf_of(l, root)) {
        place_list_remove(l, at);
        record_release(l, at);
    }
    record_release(l, root);
}

void tree_forget_quietly(struct tree *t)
{
    struct ledger *l = t->l;

    rwlock_lock(&t->lock);
    forget_locked(t);
    rwlock_unlock(&t->lock);
    for (uint32_t i = 0; i < t->n_above; i++)
        IGNORE(index_count(&l->above, t->fs, t->above[i], -1), "taking away needs no memory");
    t->n_above = 0;
    for (uint32_t i = 0; i < t->set->n; i++) {
        journal_unlink(t->set->v[i], t);
        domain_trust(t->set->v[i], TRUST_LESS_TO_COUNT, 0);
    }
}

void tree_forget(struct tree *t)
{
    if (atomic_load_explicit(&t->gone, memory_order_relaxed))
        return;
    ledger_tell_tree(t->l, t, false);
    recount_stop_tree(t);
    mutex_lock(&t->l->opening);
    if (!atomic_load_explicit(&t->gone, memory_order_relaxed))
        tree_forget_quietly(t);
    mutex_unlock(&t->l->opening);
}

void tree_unseat(struct tree *t)
{
    slot_t root = tree_root(t);
    struct record *r = record_at(t->l, root);

    rwlock_lock(&t->lock);
    if (!t->gone && !t->open && (record_head(r) & RECORD_LIVE)) {
        index_remove(&t->l->index, r->fs, r->ino, root);
        atomic_store_explicit(&r->ino, UINT64_MAX - root, memory_order_relaxed); /* a number that no inode has */
    }
    rwlock_unlock(&t->lock);
}

void tree_repaired(struct tree *t)
{
    rwlock_lock(&t->lock);
    t->unrepaired = false;
    for (uint32_t i = 0; i < t->set->n; i++)
        domain_unrepaired(t->set->v[i], -1);
    rwlock_unlock(&t->lock);
}

void trees_each(struct ledger *l, void (*fn)(void *arg, struct tree *t), void *arg)
{
    uint32_t n = atomic_load_explicit(&l->n_trees, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (l->trees[i] && atomic_load_explicit(&l->trees[i]->open, memory_order_acquire))
            fn(arg, l->trees[i]);
}
