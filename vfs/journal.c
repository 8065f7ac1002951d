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

static bool slot_take(struct state_journal *j, uint64_t expected)
{
    return expected != UNIQUE_CLAIMED && atomic_compare_exchange_strong(&j->unique, &expected, UNIQUE_CLAIMED);
}

/* A free slot, taken; NULL if there is none, and *ret_oldest, as it was then, is the one to take over. */
static struct state_journal *slot_try(struct call *c, struct state_journal **ret_oldest, uint64_t *ret_unique)
{
    struct state *s = c->vfs->state;
    uint32_t start = (uint32_t)(c->unique / 2) % STATE_JOURNAL;

    *ret_unique = UINT64_MAX;
    for (uint32_t i = 0; i < STATE_JOURNAL; i++) {
        struct state_journal *j = &s->journal[(start + i) % STATE_JOURNAL];
        uint64_t unique = j->unique;
        if (unique == 0 && slot_take(j, 0))
            return j;
        if (unique < *ret_unique && unique != 0) {
            *ret_oldest = j;
            *ret_unique = unique;
        }
    }
    return NULL;
}

static struct state_journal *slot_claim(struct call *c)
{
    struct state_journal *oldest = NULL;
    struct state_journal *j;
    uint64_t unique;

    do { /* again, if somebody else took over the oldest */
        j = slot_try(c, &oldest, &unique);
        if (j == NULL && oldest != NULL && slot_take(oldest, unique))
            j = oldest;
    } while (j == NULL);
    c->journal = (uint32_t)(j - c->vfs->state->journal) + 1;
    return j;
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
