/* Back to clean, and rows that are written now and then.
 *
 * The file systems of a domain are synced while it is still dirty. Then, with db_m held, so that no new mark can be
 * written in between, and under the journal's mutex, dirty_ok is taken from its trees; only if no change is under way
 * and nothing moved since before the sync, the domain is no longer durable and its clean row is committed. A change
 * that comes meanwhile waits for the next mark, which is written after that commit.
 *
 * This has a thread of its own, because a sync may take long and nobody's first write should wait for it. It looks
 * after `warm` domains only: those with a mark on disk or a row that is due. */
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "ledger/inside.h"
#include "store/db.h"

enum { TICK_MS = 1000, FLUSH_NS_S = 10, CLEAN_AFTER_MS = 30000, CLEAN_BATCH = 256 };

#define LOAD(p) atomic_load_explicit(&(p), memory_order_relaxed)

struct cleaning {
    struct domain *v[CLEAN_BATCH];
    uint64_t moves[CLEAN_BATCH];
    size_t n;
};

static bool may_be_clean(struct domain *d, uint64_t idle_ns)
{
    mutex_lock(&d->m);
    bool may = !d->stale && !d->incomplete && d->counting == 0 && d->unrepaired == 0 && !d->recounting && !d->gone &&
               (d->dirty || atomic_load(&d->durable)) && sys->now_ns() - d->moved_ns >= idle_ns;
    mutex_unlock(&d->m);
    return may;
}

/* Syncs the file systems of their trees, each once. What cannot be synced takes its domain out of the batch. */
static void cleaning_sync(struct ledger *l, struct cleaning *c)
{
    uint64_t synced[FILESYSTEMS_MAX];
    size_t n_synced = 0;

    for (size_t i = 0; i < c->n; i++) {
        struct domain *d = c->v[i];
        int fd = -EBADF;

        for (uint32_t k = 0;; k++) {
            mutex_lock(&l->journal.m);
            struct tree *t = k < d->n_trees ? d->trees[k] : NULL;
            bool due = t && atomic_load(&t->open) && n_synced < FILESYSTEMS_MAX;
            for (size_t s = 0; due && s < n_synced; s++)
                due = synced[s] != t->dev;
            if (due) {
                fd = sys->open_fd(t->root_fd, O_RDONLY | O_DIRECTORY);
                synced[n_synced++] = t->dev;
            }
            mutex_unlock(&l->journal.m);
            if (due && (fd < 0 || sys->syncfs(fd) < 0))
                n_synced = FILESYSTEMS_MAX + 1; /* nothing can be promised in this round */
            fd_close(&fd);
            if (t == NULL || n_synced > FILESYSTEMS_MAX)
                break;
        }
    }
    if (n_synced > FILESYSTEMS_MAX)
        c->n = 0;
}

/* Takes the mark from those that nobody has changed since, so that the next change asks for it again. */
static void cleaning_unmark(struct ledger *l, struct cleaning *c)
{
    size_t kept = 0;

    mutex_lock(&l->journal.m);
    for (size_t i = 0; i < c->n; i++) {
        struct domain *d = c->v[i];
        bool quiet = d->pins == 0 && !d->gone && !d->wanted;

        for (uint32_t k = 0; k < d->n_trees; k++)
            atomic_store(&d->trees[k]->dirty_ok, false);
        for (uint32_t k = 0; k < d->n_trees; k++)
            quiet = quiet && atomic_load(&d->trees[k]->active) == 0;
        if (!quiet || atomic_load(&d->moves) != c->moves[i])
            continue;
        atomic_store(&d->durable, false);
        c->v[kept] = d;
        c->moves[kept++] = c->moves[i];
    }
    c->n = kept;
    mutex_unlock(&l->journal.m);
}

static void cleaning_end(struct ledger *l, const struct cleaning *c, int r)
{
    if (r < 0) {
        log_fail(r, "ledger: cannot make %zu domains clean", c->n);
        mutex_lock(&l->journal.m);
        for (size_t i = 0; i < c->n; i++)
            atomic_store(&c->v[i]->durable, true); /* the dirty row is still there */
        mutex_unlock(&l->journal.m);
    }
    for (size_t i = 0; i < c->n; i++) {
        struct domain *d = c->v[i];

        mutex_lock(&d->m);
        if (r == 0 && LOAD(d->moves) == c->moves[i])
            d->dirty = false;
        domain_state_update_locked(d);
        mutex_unlock(&d->m);
    }
}

static int clean_batch(struct ledger *l, struct cleaning *c)
{
    for (size_t i = 0; i < c->n; i++)
        c->moves[i] = atomic_load(&c->v[i]->moves);
    cleaning_sync(l, c);
    mutex_lock(&l->journal.db_m);
    cleaning_unmark(l, c);
    int r = c->n > 0 ? rows_write(l, c->v, c->n, ROW_CLEAN) : 0;
    if (c->n > 0)
        cleaning_end(l, c, r);
    mutex_unlock(&l->journal.db_m);
    return r;
}

/* A copy of the list of warm domains; those that have become cold are taken out of the list. */
static size_t warm_copy(struct journal *j, struct domain ***ret)
{
    size_t n = 0;

    mutex_lock(&j->m);
    struct domain **v = j->n_warm ? calloc(j->n_warm, sizeof(struct domain *)) : NULL;
    for (size_t i = 0; v && i < j->n_warm;) {
        struct domain *d = j->warm[i];

        if (d->gone || (!atomic_load(&d->durable) && !LOAD(d->row_due) && !d->wanted)) {
            d->warm = false;
            j->warm[i] = j->warm[--j->n_warm];
            continue;
        }
        v[n++] = d;
        i++;
    }
    mutex_unlock(&j->m);
    *ret = v;
    return n;
}

/* Rows whose numbers are old: they are not needed for correctness, only for a good last number. */
static int flush(struct domain **warm, size_t n, bool moved_too)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        struct domain *d = warm[i];

        if (!LOAD(d->row_due) && !(moved_too && LOAD(d->moves) != d->saved_moves))
            continue;
        mutex_lock(&d->m);
        bool is_clean = !d->dirty && !d->stale && !d->incomplete && !atomic_load(&d->durable);
        mutex_unlock(&d->m);
        r = d->gone ? 0 : row_write(d, is_clean ? ROW_CLEAN : ROW_DIRTY);
    }
    return r;
}

/* false: not all is written, and all of it stays due. */
static bool flush_all(struct ledger *l, struct domain **warm, size_t n, bool moved_too)
{
    struct db *db = l->journal.db;

    mutex_lock(&l->journal.db_m);
    int r = db_exec(db, "BEGIN IMMEDIATE");
    if (r == 0)
        r = flush(warm, n, moved_too);
    if (r == 0)
        r = db_exec(db, "COMMIT");
    if (r < 0 && db_in_transaction(db))
        IGNORE(db_exec(db, "ROLLBACK"), "logged by db; the rows are written in another round");
    for (size_t i = 0; r < 0 && i < n; i++)
        atomic_store_explicit(&warm[i]->row_due, true, memory_order_relaxed);
    mutex_unlock(&l->journal.db_m);
    return r == 0;
}

static bool any_due(struct domain **warm, size_t n, bool moved_too)
{
    for (size_t i = 0; i < n; i++)
        if (LOAD(warm[i]->row_due) || (moved_too && LOAD(warm[i]->moves) != warm[i]->saved_moves))
            return true;
    return false;
}

static void tick(struct ledger *l)
{
    struct journal *j = &l->journal;
    uint64_t idle_ns = (uint64_t)(l->o.clean_after_ms ? l->o.clean_after_ms : CLEAN_AFTER_MS) * 1000000;
    uint64_t now_ns = sys->now_ns();
    bool moved_too = now_ns - j->flushed_ns > (uint64_t)FLUSH_NS_S * 1000000000, ok = true;
    uint64_t marks = 0;
    bool again = unwritable_due(l, &ok, &marks);
    struct domain **warm = NULL;
    size_t n = warm_copy(j, &warm);
    struct cleaning c = { .n = 0 };

    if (moved_too)
        j->flushed_ns = now_ns;
    if (again)
        unwritable_tried(l, warm, n, flush_all(l, warm, n, true), marks);
    else if (ok && any_due(warm, n, moved_too))
        IGNORE(flush_all(l, warm, n, moved_too), "logged; its rows stay due");
    for (size_t i = 0; ok && i < n && c.n < CLEAN_BATCH; i++)
        if (may_be_clean(warm[i], idle_ns))
            c.v[c.n++] = warm[i];
    if (c.n > 0)
        IGNORE(clean_batch(l, &c), "logged; they stay dirty");
    free(warm);
}

static unsigned tick_ms(const struct ledger *l)
{
    return l->o.clean_after_ms ? MIN(l->o.clean_after_ms, (unsigned)TICK_MS) : TICK_MS;
}

/* Sleeps until a tick is over or the end; false at the end. */
static bool sleep_tick(struct ledger *l)
{
    struct journal *j = &l->journal;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)tick_ms(l) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    mutex_lock(&j->m);
    while (!j->stop && pthread_cond_timedwait(&j->tick, &j->m.m, &until) != ETIMEDOUT)
        ;
    bool go_on = !j->stop;
    mutex_unlock(&j->m);
    return go_on;
}

void *cleaning_thread(void *arg)
{
    struct ledger *l = arg;

    while (sleep_tick(l))
        tick(l);
    return NULL;
}

static bool cannot_be_trusted(const struct domain *d)
{
    return d->stale || d->incomplete || d->counting > 0 || d->unrepaired > 0;
}

/* Everything that was not clean: clean now, or, if it cannot be trusted, with its last number and marked so. */
int journal_finish(struct ledger *l)
{
    uint32_t n = atomic_load_explicit(&l->usage->slots, memory_order_relaxed);
    struct cleaning clean = { .n = 0 };
    int r = 0;

    rows_delete_dropped(l);
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        struct domain *d = l->domains[i];

        if (d && may_be_clean(d, 0))
            clean.v[clean.n++] = d;
        else if (d && (cannot_be_trusted(d) || LOAD(d->row_due)))
            r = row_write(d, cannot_be_trusted(d) ? ROW_STALE : ROW_CLEAN);
        if (r == 0 && (clean.n == CLEAN_BATCH || (i + 1 == n && clean.n > 0))) {
            r = clean_batch(l, &clean);
            clean.n = 0;
        }
    }
    return r;
}
