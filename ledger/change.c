/* Changes: the dirty mark before, the intent during.
 *
 * A change counts itself into `active` of its trees and then looks whether all domains of the tree are durably dirty
 * (dirty_ok). The journal, to make a domain clean, first takes dirty_ok from its trees and then looks at `active`.
 * Both sides write before they read (sequentially consistent), so at least one sees the other: either the change waits
 * for a new mark, or the domain stays dirty. In the usual case a change costs two atomic adds and no lock.
 *
 * The intent slot lies in inodes.map and so outlives the process: what it names is looked at again when the tree is
 * opened next time (repair.c). */
#include <assert.h>

#include "ledger/inside.h"

static bool intent_claim(struct ledger *l, unsigned *ret)
{
    uint32_t start = atomic_fetch_add_explicit(&l->next_intent, 1, memory_order_relaxed);

    for (uint32_t i = 0; i < INTENTS_MAX; i++) {
        uint32_t at = (start + i) % INTENTS_MAX, free_one = 0;
        struct intent *in = &l->inodes->intents[at];

        if (atomic_load_explicit(&in->used, memory_order_relaxed) != 0)
            continue;
        if (atomic_compare_exchange_strong(&in->used, &free_one, 1)) {
            *ret = at;
            return true;
        }
    }
    return false;
}

static unsigned intent_take(struct ledger *l)
{
    unsigned at = 0;

    if (intent_claim(l, &at))
        return at;
    mutex_lock(&l->intents_m);
    atomic_fetch_add(&l->intents_waiting, 1);
    while (!intent_claim(l, &at))
        pthread_cond_wait(&l->intents_free, &l->intents_m.m);
    atomic_fetch_sub(&l->intents_waiting, 1);
    mutex_unlock(&l->intents_m);
    return at;
}

static void intent_give_back(struct ledger *l, unsigned at)
{
    struct intent *in = &l->inodes->intents[at];

    for (unsigned i = 0; i < CHANGE_SLOTS_MAX; i++)
        atomic_store_explicit(&in->slots[i], SLOT_NONE, memory_order_relaxed);
    atomic_store(&in->used, 0);
    if (atomic_load(&l->intents_waiting) > 0) {
        mutex_lock(&l->intents_m);
        pthread_cond_broadcast(&l->intents_free);
        mutex_unlock(&l->intents_m);
    }
}

static void trees_leave(struct tree **trees, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (trees[i])
            atomic_fetch_sub(&trees[i]->active, 1);
}

static int tree_enter(struct tree *t)
{
    atomic_fetch_add(&t->active, 1);
    int r = atomic_load(&t->dirty_ok) ? 0 : journal_wait_tree(t);
    if (r < 0)
        atomic_fetch_sub(&t->active, 1);
    return r;
}

/* The trees of these records, each once, entered. */
static int trees_enter(struct ledger *l, const slot_t *slots, size_t n, struct tree **ret)
{
    for (size_t i = 0; i < n; i++) {
        struct tree *t = slots[i] ? tree_of(l, slots[i]) : NULL;

        for (size_t k = 0; k < i; k++)
            if (ret[k] == t)
                t = NULL;
        int r = t ? tree_enter(t) : 0;
        if (r < 0) {
            trees_leave(ret, i);
            return r;
        }
        ret[i] = t;
    }
    return 0;
}

int change_begin(struct ledger *l, const slot_t *slots, size_t n, struct change *ret)
{
    struct tree *trees[CHANGE_SLOTS_MAX] = { NULL };

    if (n > CHANGE_SLOTS_MAX)
        return -EINVAL;
    *ret = (struct change){ 0 };
    if (l->o.track == TRACK_NONE)
        return 0;
    int r = trees_enter(l, slots, n, trees);
    if (r < 0)
        return r;
    unsigned at = intent_take(l);
    for (size_t i = 0; i < CHANGE_SLOTS_MAX; i++) {
        l->intent_trees[at][i] = trees[i];
        atomic_store_explicit(&l->inodes->intents[at].slots[i], i < n ? slots[i] : SLOT_NONE, memory_order_release);
    }
    *ret = (struct change){ .ledger = l, .intent = at };
    return 0;
}

void change_add(struct change *c, slot_t slot)
{
    if (c->ledger == NULL)
        return;
    struct intent *in = &c->ledger->inodes->intents[c->intent];

    for (unsigned i = 0; i < CHANGE_SLOTS_MAX; i++) {
        uint32_t there = atomic_load_explicit(&in->slots[i], memory_order_relaxed);

        if (there == slot)
            return;
        if (there == SLOT_NONE) {
            atomic_store_explicit(&in->slots[i], slot, memory_order_release);
            return;
        }
    }
    assert(false); /* a change names more records than an intent has room for */
}

void change_end(struct change *c)
{
    struct tree *trees[CHANGE_SLOTS_MAX];

    if (c->ledger == NULL)
        return;
    for (unsigned i = 0; i < CHANGE_SLOTS_MAX; i++)
        trees[i] = c->ledger->intent_trees[c->intent][i];
    intent_give_back(c->ledger, c->intent);
    trees_leave(trees, CHANGE_SLOTS_MAX);
    *c = (struct change){ 0 };
}
