/* Repair after the death of the process. Its maps are there, and all that is derived was made again when they were
 * opened. What may be wrong are the records that its workers were changing just then: each worker had named them in an
 * intent slot.
 *
 * They are looked at when their tree is opened, because only then there is a descriptor through which handles can be
 * opened. Until then the domains of the tree say `stale`, and the slots stay as they are: another death in between
 * forgets nothing. Directories come first: a listing finds what was created or moved in, and what is missing is
 * followed by its handle. */
#include "base/log.h"
#include "ledger/inside.h"

enum { INTENT_FREE, INTENT_USED, INTENT_LEFT };

static struct intent *intent_at(struct ledger *l, unsigned i)
{
    return &l->inodes->intents[i];
}

static slot_t intent_slot(struct intent *in, unsigned k)
{
    return atomic_load_explicit(&in->slots[k], memory_order_relaxed);
}

static void free_if_empty(struct intent *in)
{
    for (unsigned k = 0; k < CHANGE_SLOTS_MAX; k++)
        if (intent_slot(in, k) != SLOT_NONE)
            return;
    atomic_store(&in->used, INTENT_FREE);
}

static void mark_unrepaired(struct tree *t)
{
    if (t->unrepaired)
        return;
    t->unrepaired = true;
    for (uint32_t i = 0; i < t->set->n; i++)
        domain_unrepaired(t->set->v[i], 1);
}

void repair_load(struct ledger *l)
{
    for (unsigned i = 0; i < INTENTS_MAX; i++) {
        struct intent *in = intent_at(l, i);

        if (atomic_load(&in->used) == INTENT_FREE)
            continue;
        atomic_store(&in->used, INTENT_LEFT);
        for (unsigned k = 0; k < CHANGE_SLOTS_MAX; k++) {
            struct tree *t = tree_of(l, intent_slot(in, k));

            if (t)
                mark_unrepaired(t);
            else
                atomic_store(&in->slots[k], SLOT_NONE);
        }
        free_if_empty(in);
    }
}

static void repair_slot(struct tree *t, slot_t slot, bool dirs)
{
    bool is_dir = record_head(record_at(t->l, slot)) & RECORD_DIR;

    if (is_dir != dirs)
        return;
    int r = is_dir ? look_dir(t, slot) : look_slot(t->l, slot);
    if (r < 0) {
        log_fail(r, "ledger: cannot repair what a crash left");
        domain_mark_stale(tree_owner(t)); /* tree_open counts it again */
    }
}

static void repair_pass(struct tree *t, bool dirs)
{
    for (unsigned i = 0; i < INTENTS_MAX; i++) {
        struct intent *in = intent_at(t->l, i);

        for (unsigned k = 0; atomic_load(&in->used) == INTENT_LEFT && k < CHANGE_SLOTS_MAX; k++)
            if (tree_of(t->l, intent_slot(in, k)) == t)
                repair_slot(t, intent_slot(in, k), dirs);
    }
}

/* A record that went to another tree waits on if that one is not repaired yet. */
static bool waits_elsewhere(struct tree *t, slot_t slot)
{
    struct tree *of = tree_of(t->l, slot);

    return of && of != t && of->unrepaired;
}

void repair_tree(struct tree *t)
{
    repair_pass(t, true);
    repair_pass(t, false);
    for (unsigned i = 0; i < INTENTS_MAX; i++) {
        struct intent *in = intent_at(t->l, i);

        if (atomic_load(&in->used) != INTENT_LEFT)
            continue;
        for (unsigned k = 0; k < CHANGE_SLOTS_MAX; k++)
            if (!waits_elsewhere(t, intent_slot(in, k)))
                atomic_store(&in->slots[k], SLOT_NONE);
        free_if_empty(in);
    }
}
