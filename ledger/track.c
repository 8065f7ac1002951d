/* Who is counted.
 *
 * Records and subtree totals are kept for all homes; an untracked domain is only not moved by them. So it can become a
 * tracked one in an instant: with all its trees locked, so that no settle is on its way, it takes their totals, as if
 * it had just been included in each. Of a home that nobody ever had to count most is not known yet, so the number is
 * stale until a recount has been through.
 *
 * With TRACK_NONE not even intents are noted, and no domain is ever marked: the next life that tracks counts all. */
#include <stdlib.h>

#include "ledger/inside.h"

#define STORE(p, v) atomic_store_explicit(&(p), (v), memory_order_relaxed)

static bool has_limit(const struct domain *d)
{
    return atomic_load_explicit(&d->u->limit_bytes, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&d->u->limit_files, memory_order_relaxed) != 0;
}

bool domain_starts_untracked(const struct ledger *l, const struct domain *d)
{
    return l->o.track == TRACK_NONE || (l->o.track == TRACK_LIMITED && d->kind == DOMAIN_USER && !has_limit(d));
}

bool domain_is_tracked(struct domain *d)
{
    mutex_lock(&d->m);
    bool is = !d->untracked;
    mutex_unlock(&d->m);
    return is;
}

static int trees_order(const void *a, const void *b)
{
    const struct tree *const *x = a, *const *y = b;

    return ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

static void lock_all(struct tree **v, size_t n) NO_ANALYSIS
{
    lock_same_rank(true);
    for (size_t i = 0; i < n; i++)
        rwlock_lock(&v[i]->lock);
    lock_same_rank(false);
}

static void unlock_all(struct tree **v, size_t n) NO_ANALYSIS
{
    while (n-- > 0)
        rwlock_unlock(&v[n]->lock);
}

/* The trees of the domain, all locked; owned: free(). None can come or go meanwhile. */
static int trees_lock(struct domain *d, struct tree ***ret, size_t *ret_n)
{
    for (;;) {
        struct tree **v = NULL, **now = NULL;
        size_t n = 0, n_now = 0;
        int r = journal_trees(d, &v, &n);

        if (r < 0)
            return r;
        qsort(v, n, sizeof(struct tree *), trees_order);
        lock_all(v, n);
        r = journal_trees(d, &now, &n_now);
        bool same = r == 0 && n_now == n;
        for (size_t i = 0; same && i < n; i++)
            same = bsearch(&now[i], v, n, sizeof(struct tree *), trees_order) != NULL;
        free(now);
        if (same) {
            *ret = v;
            *ret_n = n;
            return 0;
        }
        unlock_all(v, n);
        free(v);
        if (r < 0)
            return r;
    }
}

static void totals_take(struct domain *d, struct tree **v, size_t n) REQUIRES(d->m);
static void totals_take(struct domain *d, struct tree **v, size_t n)
{
    uint64_t bytes = 0, files = 0;

    for (size_t i = 0; i < n; i++) {
        const struct record *root = record_at(d->l, tree_root(v[i]));

        bytes += record_word(root);
        files += atomic_load_explicit(&root->files, memory_order_relaxed);
    }
    STORE(d->u->used_bytes, bytes);
    STORE(d->u->used_files, files);
}

static void turn_locked(struct domain *d, struct tree **v, size_t n, bool untracked) REQUIRES(d->m);
static void turn_locked(struct domain *d, struct tree **v, size_t n, bool untracked)
{
    d->untracked = untracked;
    totals_take(d, v, untracked ? 0 : n);
    STORE(d->u->carried_bytes, 0);
    STORE(d->u->carried_files, 0);
    STORE(d->u->adjust_bytes, 0);
    STORE(d->u->adjust_files, 0);
    STORE(d->u->changed_ms, sys->wall_ms());
    d->stale = !untracked && n > 0;
    d->stale_marks++;
    d->dirty = true;
    atomic_fetch_add(&d->moves, 1);
    domain_state_update_locked(d);
}

void domain_track(struct domain *d)
{
    bool untracked = domain_starts_untracked(d->l, d);
    struct tree **v = NULL;
    size_t n = 0;

    if (untracked == !domain_is_tracked(d))
        return;
    int r = trees_lock(d, &v, &n);
    if (r < 0) { /* no memory for a list: a domain that is counted needlessly, or one that says that it is stale */
        domain_heal(d, "it cannot be counted from now on");
        return;
    }
    mutex_lock(&d->m);
    if (d->untracked != untracked)
        turn_locked(d, v, n, untracked);
    mutex_unlock(&d->m);
    unlock_all(v, n);
    free(v);
    journal_want(d);
    journal_touch(d);
    if (untracked)
        IGNORE(recount_cancel(d), "there may be none");
    else if (n > 0)
        recount_again(d);
}
