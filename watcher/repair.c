/* The repair thread: takes the dirty set, lets the ledger look at each place once, and fulfils wishes for recounts.
 *
 * A round: wait for work, sleep for the settle time so that repeated changes of one place become one look, take the
 * set, look. An event is taken out of the set before the stat that answers it, so a later change has
 * a later event.
 *
 * Source: notes/watcher.md §C.2. */
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "watcher/inside.h"
#include "watcher/kernel.h"

enum { PASSES = 3 };

void repaired(struct watcher *w, struct tree *t, int r)
{
    metric_add(M_WATCHER_REPAIRS, 0, 1);
    if (r >= 0 || r == -ENOENT || r == -ESTALE || r == -ENOTDIR || r == -ELOOP)
        return; /* gone, or another kind of thing by now: its event comes, or came */
    IGNORE(log_fail(r, "watcher: cannot look at what changed; the home is recounted"), "logged");
    if (t)
        tree_wish(w, t, WISH_RECOUNT | WISH_LOST);
}

/* An inode that lost a name and lives on has others, or is somewhere else: its directory is compared with the disk. */
static void look_at_slot(struct watcher *w, const struct place *at)
{
    struct record_view v;
    struct tree *t = tree_of(w->ledger, at->id);

    repaired(w, t, look_slot(w->ledger, at->id));
    if (!at->renamed || !record_view(w->ledger, at->id, 0, &v) || v.parent == SLOT_NONE)
        return;
    drain_add(w, BY_FANOTIFY, (struct place){ .kind = DIRTY_GONE, .id = v.parent }, "");
    kernel_event_set(w->work_event);
}

static void look_at_place(struct watcher *w, const struct dirty_place *p)
{
    struct tree *t;

    switch (p->at.kind) {
    case DIRTY_SLOT:
        look_at_slot(w, &p->at);
        break;
    case DIRTY_NAME:
        t = tree_of(w->ledger, p->at.id);
        if (t)
            repaired(w, t, p->at.renamed ? look_named(t, p->at.id, p->name) : look(t, p->at.id, p->name));
        break;
    case DIRTY_GONE:
        t = tree_of(w->ledger, p->at.id);
        if (t)
            repaired(w, t, look_gone(t, p->at.id));
        break;
    case DIRTY_WATCH_NAME:
    case DIRTY_WATCH_GONE:
    case DIRTY_UNWATCH:
        ino_repair(w, p);
        break;
    }
}

/* What is known to be deleted comes first, for its inode number may have been used again under a new name; what
 * vanished from a listing comes last, for it may be found under a new name. */
static unsigned pass_of(const struct dirty_place *p)
{
    switch (p->at.kind) {
    case DIRTY_SLOT:
    case DIRTY_UNWATCH:
        return 0;
    case DIRTY_NAME:
    case DIRTY_WATCH_NAME:
        return 1;
    case DIRTY_GONE:
    case DIRTY_WATCH_GONE:
        break;
    }
    return PASSES - 1;
}

static void round_repair(struct watcher *w)
{
    uint64_t since_ns = atomic_exchange(&w->added_ns, 0);
    struct dirty_place *all = dirty_take(w->dirty), *p;

    for (unsigned pass = 0; pass < PASSES; pass++)
        for (p = all; p; p = p->next)
            if (pass_of(p) == pass)
                look_at_place(w, p);
    if (all && since_ns > 0)
        metric_set(M_WATCHER_DELAY, 0, (int64_t)((sys->now_ns() - since_ns) / 1000000));
    while ((p = all)) {
        all = p->next;
        dirty_place_free(p);
    }
    metric_set(M_WATCHER_BACKLOG, 0, (int64_t)dirty_count(w->dirty));
}

/* ---- recounts --------------------------------------------------------------------------------------------------- */

static void trees_rewatch(struct watcher *w)
{
    size_t n;
    struct watched *all = trees_to_watch(w, &n);

    for (size_t i = 0; i < n; i++)
        if (all[i].rewatch)
            ino_watch_tree(w, all[i].tree, all[i].dev);
    free(all);
}

/* A recount that runs already may have passed the place: another one is due behind it. */
static void wish_fulfil(struct watcher *w, struct domain *d, uint64_t wish)
{
    if (wish & WISH_LOST)
        domain_mark_stale(d);
    int r = recount_lost(d);
    if (r == 0)
        return;
    if (r != -EALREADY)
        IGNORE(log_fail(r, "watcher: cannot start a recount"), "logged");
    domain_wish(w, d, wish);
    w->heal_again_ns = sys->now_ns() + HEAL_AGAIN_NS;
}

/* Watches first: what happens behind them is seen, what happened before them is counted. */
static void heal(struct watcher *w)
{
    trees_rewatch(w);
    struct numbers wishes = wishes_take(w);
    uint64_t wish, key;

    w->heal_again_ns = 0;
    for (size_t at = 0; (wish = numbers_next(&wishes, &at, &key)) != 0;)
        wish_fulfil(w, (struct domain *)(uintptr_t)key, wish); /* NOLINT(performance-no-int-to-ptr) */
    numbers_done(&wishes);
}

static void periodic_wishes(struct watcher *w, uint64_t now_ns)
{
    size_t n;
    struct watched *all = trees_copy(w, &n);

    for (size_t i = 0; i < n; i++)
        if (all[i].by != BY_FANOTIFY)
            tree_wish(w, all[i].tree, WISH_RECOUNT);
    free(all);
    w->next_recount_ns = now_ns + w->recount_every_ns;
}

static void heal_what_is_due(struct watcher *w)
{
    uint64_t now_ns = sys->now_ns();
    bool again = w->heal_again_ns > 0 && now_ns >= w->heal_again_ns;

    if (w->recount_every_ns > 0 && now_ns >= w->next_recount_ns)
        periodic_wishes(w, now_ns);
    if (atomic_exchange_explicit(&w->wished, false, memory_order_acq_rel) || again)
        heal(w);
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static int until(uint64_t at_ns, uint64_t now_ns)
{
    return at_ns <= now_ns ? 0 : (int)MIN((at_ns - now_ns) / 1000000 + 1, (uint64_t)WAIT_MAX_MS);
}

/* How long there is nothing to do; a recount that waits is asked for again soon. */
static int pause_ms(const struct watcher *w)
{
    uint64_t now_ns = sys->now_ns();
    int ms = WAIT_MAX_MS;

    if (w->recount_every_ns > 0)
        ms = MIN(ms, until(w->next_recount_ns, now_ns));
    if (w->heal_again_ns > 0)
        ms = MIN(ms, until(w->heal_again_ns, now_ns));
    return ms;
}

void *repair_run(void *arg)
{
    struct watcher *w = arg;

    while (!atomic_load_explicit(&w->stopping, memory_order_acquire)) {
        kernel_wait((int[]){ w->stop_event, w->work_event }, 2, pause_ms(w));
        kernel_event_clear(w->work_event);
        kernel_wait(&w->stop_event, 1, (int)w->tuning.settle_ms);
        round_repair(w);
        heal_what_is_due(w);
    }
    return NULL;
}

void repair_rest(struct watcher *w)
{
    while (dirty_count(w->dirty) > 0)
        round_repair(w);
}
