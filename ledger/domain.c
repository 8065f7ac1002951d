/* Domains. The numbers live in the map and are stores of relaxed atomics, so that a reader in another process never
 * sees half of one; who changes them holds the domain's mutex, so a check against a limit and the hold that follows
 * are one.
 *
 * The state that others see is computed: `counting` while a count runs that the number needs, `stale` when it cannot be
 * trusted and nobody counts yet, `dirty` when it moved since it was last made durable, else `clean`.
 *
 * Carried: after a crash of the machine the records are gone and only the last number is known. It is shown at once,
 * as a part of used_* that no record stands for. Each file that is met for the first time takes its share out of the
 * carried part instead of adding to the number, and what is left when everything was counted was wrong and goes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "ledger/inside.h"

#define LOAD(p)     atomic_load_explicit(&(p), memory_order_relaxed)
#define STORE(p, v) atomic_store_explicit(&(p), (v), memory_order_relaxed)

enum { DOMAIN_CHUNK = 256, CHANGED_NS = 1000000000 };

struct domain *domain_at(struct ledger *l, uint32_t index)
{
    return index < USAGE_DOMAINS_MAX ? l->domains[index] : NULL;
}

static struct usage_slot *usage_at(struct ledger *l, uint32_t index)
{
    return (struct usage_slot *)(l->usage + 1) + index;
}

void domain_state_update_locked(struct domain *d)
{
    enum domain_state state = DOMAIN_CLEAN;

    if (d->untracked)
        state = DOMAIN_CLEAN;
    else if ((d->stale && !d->recounting) || d->unrepaired > 0 || d->incomplete)
        state = DOMAIN_STALE;
    else if (d->stale || d->counting > 0)
        state = DOMAIN_COUNTING;
    else if (d->dirty || atomic_load_explicit(&d->durable, memory_order_relaxed))
        state = DOMAIN_DIRTY;
    STORE(d->u->state, state);
}

static struct domain *domain_new(struct ledger *l, uint32_t index)
{
    struct domain *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    d->l = l;
    d->u = usage_at(l, index);
    d->index = index;
    d->kind = (enum domain_kind)LOAD(d->u->kind);
    d->id = LOAD(d->u->id);
    mutex_init(&d->m, RANK_DOMAIN);
    return d;
}

static void domain_free(struct domain *d)
{
    free(d->trees);
    free(d->grave);
    mutex_done(&d->m);
    free(d);
}

/* A domain that the map knows from an earlier life. */
static int domain_adopt(struct ledger *l, uint32_t index) NO_ANALYSIS
{
    uint32_t there;
    struct domain *d = domain_new(l, index);

    if (d == NULL)
        return -ENOMEM;
    enum domain_state state = (enum domain_state)LOAD(d->u->state);
    d->stale = state == DOMAIN_STALE || state == DOMAIN_COUNTING;
    d->dirty = state == DOMAIN_DIRTY;
    d->untracked = domain_starts_untracked(l, d);
    STORE(d->u->held_bytes, 0);
    STORE(d->u->held_files, 0);
    if (LOAD(d->u->scan.start_ms) != 0 && LOAD(d->u->scan.end_ms) == 0) { /* it died with its process */
        STORE(d->u->scan.result, SCAN_CANCELLED);
        STORE(d->u->scan.end_ms, sys->wall_ms());
    }
    domain_state_update_locked(d);
    l->domains[index] = d;
    return index_insert(&l->domain_index, d->kind, (uint64_t)d->id, index + 1, &there);
}

int domains_load(struct ledger *l)
{
    uint32_t n = atomic_load_explicit(&l->usage->slots, memory_order_relaxed);
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        if (LOAD(usage_at(l, i)->kind) == DOMAIN_NONE)
            STORE(usage_at(l, i)->id, 0); /* was dropped when memory was short */
        if (LOAD(usage_at(l, i)->id) != 0)
            r = domain_adopt(l, i);
    }
    return r;
}

void domains_done(struct ledger *l)
{
    uint32_t n = l->usage ? atomic_load_explicit(&l->usage->slots, memory_order_relaxed) : 0;

    for (uint32_t i = 0; l->domains && i < n; i++)
        if (l->domains[i])
            domain_free(l->domains[i]);
    while (l->dropped_domains) {
        struct domain *d = l->dropped_domains;
        l->dropped_domains = d->next_dropped;
        domain_free(d);
    }
    free(l->domains);
}

static int slot_free(struct ledger *l, uint32_t *ret)
{
    uint32_t n = atomic_load_explicit(&l->usage->slots, memory_order_relaxed);

    for (; l->domain_hint < n; l->domain_hint++)
        if (LOAD(usage_at(l, l->domain_hint)->id) == 0) {
            *ret = l->domain_hint;
            return 0;
        }
    uint32_t more = MIN(n + DOMAIN_CHUNK, (uint32_t)USAGE_DOMAINS_MAX);
    if (more == n)
        return -ENOSPC;
    int r = map_grow(&l->domains_map, sizeof *l->usage + (uint64_t)more * sizeof(struct usage_slot));
    if (r < 0)
        return r;
    atomic_store_explicit(&l->usage->slots, more, memory_order_release);
    *ret = n;
    return 0;
}

static void usage_generation(struct ledger *l)
{
    atomic_fetch_add_explicit(&l->usage->generation, 1, memory_order_acq_rel);
}

static int domain_make_locked(struct ledger *l, enum domain_kind kind, int64_t id, struct domain **ret)
{
    uint32_t at = 0, there;
    int r = slot_free(l, &at);

    if (r < 0)
        return r;
    struct domain *d = domain_new(l, at);
    if (d == NULL)
        return -ENOMEM;
    d->kind = kind;
    d->id = id;
    r = index_insert(&l->domain_index, kind, (uint64_t)id, at + 1, &there);
    if (r < 0) {
        domain_free(d);
        return r;
    }
    usage_generation(l);
    memset(d->u, 0, sizeof *d->u);
    STORE(d->u->kind, kind);
    atomic_store_explicit(&d->u->id, id, memory_order_release);
    usage_generation(l);
    d->untracked = domain_starts_untracked(l, d);
    l->domains[at] = d;
    *ret = d;
    return 0;
}

struct domain *domain_find(struct ledger *l, enum domain_kind kind, int64_t id)
{
    mutex_lock(&l->domains_m);
    uint32_t n = index_find(&l->domain_index, kind, (uint64_t)id);
    struct domain *d = n ? l->domains[n - 1] : NULL;
    mutex_unlock(&l->domains_m);
    return d;
}

int domain_make(struct ledger *l, enum domain_kind kind, int64_t id, struct domain **ret)
{
    int r = 0;

    if (id == 0 || (kind != DOMAIN_USER && kind != DOMAIN_FOLDER))
        return -EINVAL;
    mutex_lock(&l->domains_m);
    uint32_t n = index_find(&l->domain_index, kind, (uint64_t)id);
    if (n)
        *ret = l->domains[n - 1];
    else
        r = domain_make_locked(l, kind, id, ret);
    mutex_unlock(&l->domains_m);
    return r;
}

int domain_get(struct ledger *l, enum domain_kind kind, int64_t id, struct domain **ret)
{
    return domain_make(l, kind, id, ret);
}

static void leave_tree(void *arg, struct tree *t)
{
    struct domain *d = arg;

    if (tree_owner(t) == d)
        tree_forget(t);
    else
        tree_exclude(t, d);
}

/* The numbers go to a slot of its own, with what is held: holds that end later find it there, and the shared slot may
 * have another domain in the same instant. Without memory for that the shared slot stays taken in this life. */
static void bury_locked(struct domain *d) REQUIRES(d->m);
static void bury_locked(struct domain *d)
{
    struct usage_slot *u = d->u;

    d->grave = aligned_alloc(_Alignof(struct usage_slot), sizeof *d->grave);
    if (d->grave) {
        memcpy(d->grave, u, sizeof *u);
        d->u = d->grave;
    }
    usage_generation(d->l);
    STORE(u->kind, DOMAIN_NONE);
    atomic_store_explicit(&u->id, d->grave ? 0 : -1, memory_order_release);
    usage_generation(d->l);
}

void domain_drop(struct domain *d)
{
    struct ledger *l = d->l;

    journal_leave(d);
    recount_stop_domain(d);
    int r = domain_trees(d, leave_tree, d);
    if (r < 0) /* its entries in trees.map mean nobody from now on */
        log_fail(r, "ledger: %s %lld does not leave its trees", domain_kind_name(d->kind), (long long)d->id);
    mutex_lock(&l->domains_m);
    index_remove(&l->domain_index, d->kind, (uint64_t)d->id, d->index + 1);
    mutex_lock(&d->m);
    bury_locked(d);
    mutex_unlock(&d->m);
    l->domains[d->index] = NULL;
    l->domain_hint = MIN(l->domain_hint, d->index);
    d->next_dropped = l->dropped_domains;
    l->dropped_domains = d;
    mutex_unlock(&l->domains_m);
    r = journal_forget(d);
    if (r < 0)
        log_fail(r, "ledger: cannot forget the row of %s %lld", domain_kind_name(d->kind), (long long)d->id);
}

int domain_trees(struct domain *d, void (*fn)(void *arg, struct tree *t), void *arg)
{
    struct tree **v = NULL;
    size_t n = 0;
    int r = journal_trees(d, &v, &n);

    for (size_t i = 0; i < n; i++)
        fn(arg, v[i]);
    free(v);
    return r;
}

void domain_set_incomplete(struct domain *d, bool is)
{
    mutex_lock(&d->m);
    bool differs = d->incomplete != is;
    d->incomplete = is;
    domain_state_update_locked(d);
    mutex_unlock(&d->m);
    if (differs && is)
        journal_want(d); /* whatever the row says: it is not clean */
    if (differs)
        journal_touch(d);
}

enum domain_kind domain_kind_of(const struct domain *d)
{
    return d->kind;
}

int64_t domain_id(const struct domain *d)
{
    return d->id;
}

void domain_set_limits(struct domain *d, uint64_t bytes, uint64_t files)
{
    mutex_lock(&d->m);
    STORE(d->u->limit_bytes, bytes);
    STORE(d->u->limit_files, files);
    mutex_unlock(&d->m);
    domain_track(d);
}

static int64_t adjusted(bool add, int64_t before, uint64_t used, uint64_t to)
{
    int64_t wanted = (int64_t)MIN(to, (uint64_t)INT64_MAX);
    int64_t r;

    if (!add)
        return wanted - (int64_t)MIN(used, (uint64_t)INT64_MAX);
    return __builtin_add_overflow(before, wanted, &r) ? INT64_MAX : r;
}

void domain_adjust(struct domain *d, bool add, uint64_t bytes, uint64_t files)
{
    mutex_lock(&d->m);
    struct usage_slot *u = d->u;
    STORE(u->adjust_bytes, adjusted(add, LOAD(u->adjust_bytes), LOAD(u->used_bytes), bytes));
    STORE(u->adjust_files, adjusted(add, LOAD(u->adjust_files), LOAD(u->used_files), files));
    STORE(u->changed_ms, sys->wall_ms());
    mutex_unlock(&d->m);
    journal_touch(d);
}

void domain_mark_stale(struct domain *d)
{
    mutex_lock(&d->m);
    d->stale = true;
    d->stale_marks++;
    domain_state_update_locked(d);
    mutex_unlock(&d->m);
    journal_want(d); /* whatever the row says: it is not clean */
    journal_touch(d);
}

void domain_heal(struct domain *d, const char *why)
{
    log_error("ledger: %s: %s %lld is stale and will be counted again", why, domain_kind_name(d->kind),
              (long long)d->id);
    domain_mark_stale(d);
    recount_again(d);
}

bool domain_is_stale(struct domain *d)
{
    mutex_lock(&d->m);
    bool stale = d->stale;
    mutex_unlock(&d->m);
    return stale;
}

uint64_t domain_marks(struct domain *d)
{
    mutex_lock(&d->m);
    uint64_t marks = d->stale_marks;
    mutex_unlock(&d->m);
    return marks;
}

/* Takes from the carried number what a file that was just met is likely to be in it; the rest of `by` is new. */
static int64_t take_carried(_Atomic uint64_t *carried, int64_t by)
{
    uint64_t there = LOAD(*carried);
    uint64_t share = by > 0 ? MIN(there, (uint64_t)by) : 0;

    STORE(*carried, there - share);
    return by - (int64_t)share;
}

/* False if the counter would go below zero: impossible while only settle moves it. */
static bool counter_move(_Atomic uint64_t *counter, int64_t by)
{
    uint64_t n = LOAD(*counter);
    bool ok = by >= 0 || n >= (uint64_t)-by;

    STORE(*counter, ok ? n + (uint64_t)by : 0);
    return ok;
}

static void unhold_locked(struct domain *d, struct charge held) REQUIRES(d->m);
static void unhold_locked(struct domain *d, struct charge held)
{
    assert(LOAD(d->u->held_bytes) >= held.bytes && LOAD(d->u->held_files) >= held.files);
    STORE(d->u->held_bytes, LOAD(d->u->held_bytes) - held.bytes);
    STORE(d->u->held_files, LOAD(d->u->held_files) - held.files);
}

static bool move_locked(struct domain *d, struct move by) REQUIRES(d->m);
static bool move_locked(struct domain *d, struct move by)
{
    uint64_t now_ns = sys->now_ns();

    if (by.met) {
        by.bytes = take_carried(&d->u->carried_bytes, by.bytes);
        by.files = take_carried(&d->u->carried_files, by.files);
    }
    bool ok = counter_move(&d->u->used_bytes, by.bytes);
    ok = counter_move(&d->u->used_files, by.files) && ok;
    if (now_ns - d->moved_ns > CHANGED_NS)
        STORE(d->u->changed_ms, sys->wall_ms());
    atomic_fetch_add_explicit(&d->moves, 1, memory_order_seq_cst);
    d->moved_ns = now_ns;
    if (!d->dirty) {
        d->dirty = true;
        domain_state_update_locked(d);
    }
    return ok;
}

void domain_move(struct domain *d, struct move by, struct charge unhold)
{
    bool ok = true;

    mutex_lock(&d->m);
    if ((by.bytes != 0 || by.files != 0) && !d->untracked)
        ok = move_locked(d, by);
    unhold_locked(d, unhold);
    mutex_unlock(&d->m);
    if (!ok) {
        metric_add(M_LEDGER_UNDERFLOWS, 0, 1);
        domain_heal(d, "a counter would have gone below zero");
    }
}

void domain_unhold(struct domain *d, struct charge held)
{
    mutex_lock(&d->m);
    unhold_locked(d, held);
    mutex_unlock(&d->m);
}

void domain_counting(struct domain *d, int n)
{
    mutex_lock(&d->m);
    d->counting += (unsigned)n;
    domain_state_update_locked(d);
    mutex_unlock(&d->m);
}

void domain_unrepaired(struct domain *d, int n)
{
    mutex_lock(&d->m);
    d->unrepaired += (unsigned)n;
    domain_state_update_locked(d);
    mutex_unlock(&d->m);
}

void domain_recounting(struct domain *d, bool on)
{
    mutex_lock(&d->m);
    d->recounting = on;
    domain_state_update_locked(d);
    mutex_unlock(&d->m);
}

/* What was carried and never met. It goes out of the number. */
static struct charge carried_out_locked(struct domain *d) REQUIRES(d->m);
static struct charge carried_out_locked(struct domain *d)
{
    struct charge c = { LOAD(d->u->carried_bytes), LOAD(d->u->carried_files) };

    if (c.bytes == 0 && c.files == 0)
        return c;
    STORE(d->u->carried_bytes, 0);
    STORE(d->u->carried_files, 0);
    move_locked(d, (struct move){ .bytes = -(int64_t)c.bytes, .files = -(int64_t)c.files });
    return c;
}

struct charge domain_trust(struct domain *d, enum trust how, uint64_t marks)
{
    struct charge out = { 0 };

    mutex_lock(&d->m);
    if (how == TRUST_RECOUNTED && d->stale_marks == marks)
        d->stale = false;
    if (how != TRUST_LESS_TO_COUNT) {
        STORE(d->u->adjust_bytes, 0);
        STORE(d->u->adjust_files, 0);
    }
    if (!d->stale && d->counting == 0)
        out = carried_out_locked(d);
    domain_state_update_locked(d);
    mutex_unlock(&d->m);
    journal_touch(d);
    return out;
}

const struct usage_slot *domain_usage(const struct domain *d)
{
    return d->u;
}
