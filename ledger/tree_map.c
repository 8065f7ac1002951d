/* Charge sets in trees.map.
 *
 * A tree's slot has room for its owner and a few domains; who has more takes further slots (TREE_MORE) that name the
 * tree. Each domain is one entry, which comes and goes with one atomic store of its number, after its kind and id were
 * written. So a kill at any instant leaves the set of before or of after, whatever its size.
 *
 * An entry says kind and id of its domain, too: when a domain was dropped and its number has another one, the entry
 * means nobody. */
#include <stdlib.h>
#include <string.h>

#include "ledger/inside.h"

#define LOAD(p)     atomic_load_explicit(&(p), memory_order_relaxed)
#define STORE(p, v) atomic_store_explicit(&(p), (v), memory_order_relaxed)

struct tree_slot *tree_slot_at(struct ledger *l, uint32_t index)
{
    return (struct tree_slot *)(void *)(l->trees_map.base + sizeof(struct trees_header)) + index;
}

static uint64_t slots_n(const struct ledger *l)
{
    return (l->trees_map.bytes - sizeof(struct trees_header)) / sizeof(struct tree_slot);
}

static int slot_take_locked(struct ledger *l, uint32_t *ret) REQUIRES(l->slots_m);
static int slot_take_locked(struct ledger *l, uint32_t *ret)
{
    uint32_t i = l->slot_hint;

    /* slots of trees that are gone are not reused in this life: somebody may still have the pointer */
    while (i < TREES_MAX && (l->trees[i] || (i < slots_n(l) && LOAD(tree_slot_at(l, i)->used) != TREE_FREE)))
        i++;
    if (i == TREES_MAX)
        return -ENOSPC;
    int r = map_grow(&l->trees_map, sizeof(struct trees_header) + ((uint64_t)i + 1) * sizeof(struct tree_slot));
    if (r < 0)
        return r;
    ((struct trees_header *)(void *)l->trees_map.base)->bytes = l->trees_map.bytes;
    memset(tree_slot_at(l, i), 0, sizeof(struct tree_slot));
    STORE(tree_slot_at(l, i)->used, TREE_TAKEN);
    l->slot_hint = i + 1;
    *ret = i;
    return 0;
}

int tree_slot_take(struct ledger *l, uint32_t *ret)
{
    mutex_lock(&l->slots_m);
    int r = slot_take_locked(l, ret);
    mutex_unlock(&l->slots_m);
    return r;
}

static void slot_give_back(struct ledger *l, uint32_t index)
{
    mutex_lock(&l->slots_m);
    atomic_store_explicit(&tree_slot_at(l, index)->used, TREE_FREE, memory_order_release);
    l->slot_hint = MIN(l->slot_hint, index);
    mutex_unlock(&l->slots_m);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* The i-th slot of a tree: its own, then the further ones. */
static struct tree_slot *nth_slot(struct tree *t, uint32_t i)
{
    return i == 0 ? t->s : tree_slot_at(t->l, t->more[i - 1]);
}

/* The entry with this number in its `domain`; 0: a free one. */
static struct tree_charge *entry_find(struct tree *t, uint32_t domain)
{
    for (uint32_t i = 0; i <= t->n_more; i++) {
        struct tree_slot *s = nth_slot(t, i);

        for (uint32_t k = 0; k < TREE_SLOT_CHARGES; k++)
            if (LOAD(s->charges[k].domain) == domain)
                return &s->charges[k];
    }
    return NULL;
}

static int more_add(struct tree *t, uint32_t index)
{
    uint32_t *more = reallocarray(t->more, t->n_more + 1, sizeof *more);

    if (more == NULL)
        return -ENOMEM;
    t->more = more;
    t->more[t->n_more++] = index;
    return 0;
}

static int more_take(struct tree *t)
{
    uint32_t index = 0;
    int r = tree_slot_take(t->l, &index);

    if (r < 0)
        return r;
    r = more_add(t, index);
    if (r < 0) {
        slot_give_back(t->l, index);
        return r;
    }
    STORE(tree_slot_at(t->l, index)->root, t->index);
    atomic_store_explicit(&tree_slot_at(t->l, index)->used, TREE_MORE, memory_order_release);
    return 0;
}

int charge_store(struct tree *t, const struct domain *d)
{
    struct tree_charge *e = entry_find(t, 0);
    int r = e ? 0 : more_take(t);

    if (r < 0)
        return r;
    e = e ? e : entry_find(t, 0);
    STORE(e->kind, d->kind);
    STORE(e->id, d->id);
    atomic_store_explicit(&e->domain, d->index + 1, memory_order_release);
    return 0;
}

void charge_clear(struct tree *t, const struct domain *d)
{
    struct tree_charge *e = entry_find(t, d->index + 1);

    if (e)
        atomic_store_explicit(&e->domain, 0, memory_order_release);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static struct domain *entry_domain(struct ledger *l, const struct tree_charge *e)
{
    uint32_t n = LOAD(e->domain);
    struct domain *d = n ? domain_at(l, n - 1) : NULL;

    return d && (uint32_t)d->kind == LOAD(e->kind) && d->id == LOAD(e->id) ? d : NULL;
}

int charges_load(struct tree *t, struct tree_slot *s, struct charge_set **ret)
{
    for (uint32_t k = 0; k < TREE_SLOT_CHARGES; k++) {
        struct domain *d = entry_domain(t->l, &s->charges[k]);

        if (d == NULL && s == t->s && k == 0)
            return -ENOENT;
        if (d == NULL)
            STORE(s->charges[k].domain, 0);
        if (d == NULL || (*ret && charge_set_has(*ret, d)))
            continue;
        struct charge_set *set = charge_set_new(*ret, NULL, d);
        if (set == NULL)
            return -ENOMEM;
        charge_set_unref(*ret);
        *ret = set;
    }
    return 0;
}

int charges_load_more(struct ledger *l)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < slots_n(l); i++) {
        struct tree_slot *s = tree_slot_at(l, i);
        struct tree *t = LOAD(s->used) == TREE_MORE ? tree_at(l, LOAD(s->root)) : NULL;

        if (t) {
            r = more_add(t, i);
            if (r == 0)
                r = charges_load(t, s, &t->set);
        } else if (LOAD(s->used) != TREE_USED) {
            STORE(s->used, TREE_FREE); /* of a tree that is gone, or nothing yet */
        }
    }
    return r;
}

void charges_free(struct tree *t)
{
    while (t->n_more > 0)
        slot_give_back(t->l, t->more[--t->n_more]);
}
