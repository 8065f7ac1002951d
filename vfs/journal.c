/* A slot is claimed by writing the request's unique into its first word last, so a slot that another incarnation
 * finds is whole. No slot for a resent request: it never got to its first effect, and runs as any other.
 *
 * Slots whose reply was written but which the dead process could not free are garbage. They do no harm: the kernel
 * never uses a unique twice in the life of a mount. But they take room, so a slot that is older than the number of
 * slots in requests is taken over when no free one is left: uniques grow, and what is not answered by then was never
 * begun. */
#include "vfs/journal.h"

static struct state_journal *slot_at(const struct call *c)
{
    return &c->vfs->state->journal[c->journal - 1];
}

static bool journal_find(struct call *c)
{
    struct state *s = c->vfs->state;

    for (uint32_t i = 0; c->is_resent && i < STATE_JOURNAL; i++) {
        if (s->journal[i].unique == c->unique && s->journal[i].op == c->op) {
            c->journal = i + 1;
            return true;
        }
    }
    return false;
}

/* A free slot becomes ours by an impossible unique first; then what is beside it is written; then the true one. */
#define UNIQUE_CLAIMED STATE_CLAIMED

static struct state_journal *slot_claim(struct call *c)
{
    struct state *s = c->vfs->state;
    uint32_t start = (uint32_t)(c->unique / 2) % STATE_JOURNAL;
    struct state_journal *oldest = NULL;

    for (uint32_t i = 0; i < STATE_JOURNAL; i++) {
        uint32_t at = (start + i) % STATE_JOURNAL;
        struct state_journal *j = &s->journal[at];
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&j->unique, &none, UNIQUE_CLAIMED)) {
            c->journal = at + 1;
            return j;
        }
        if (oldest == NULL || none < oldest->unique)
            oldest = j;
    }
    uint64_t garbage = oldest->unique;
    if (garbage == UNIQUE_CLAIMED || !atomic_compare_exchange_strong(&oldest->unique, &garbage, UNIQUE_CLAIMED))
        return slot_claim(c); /* somebody else took it over */
    c->journal = (uint32_t)(oldest - s->journal) + 1;
    return oldest;
}

void journal_begin(struct call *c, uint64_t a, uint64_t b)
{
    if (c->unique == 0 || journal_find(c))
        return;
    struct state_journal *j = slot_claim(c);
    j->op = c->op;
    j->a = a;
    j->b = b;
    j->unique = c->unique;
    c->is_resent = false; /* from here on it is a request like any other: nothing of it had happened */
}

bool journal_found(const struct call *c)
{
    return c->is_resent && c->journal != 0;
}

uint64_t journal_a(const struct call *c)
{
    return slot_at(c)->a;
}

uint64_t journal_b(const struct call *c)
{
    return slot_at(c)->b;
}

void journal_end(struct call *c)
{
    if (c->journal != 0)
        slot_at(c)->unique = 0;
    c->journal = 0;
}
