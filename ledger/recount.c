/* Recounts: a few threads take them one by one, each with as many walkers as help. Many small homes that must be
 * counted after a crash of the machine queue up here instead of fighting for the disk. Of one domain only one runs at
 * a time, and one tree is walked by one of them at a time (recount_enter); nobody who walks a tree waits for another.
 *
 * A recount of a domain walks all trees that move it. If the domain was marked stale again meanwhile (an overflow
 * during the walk), it is counted again before anybody may trust it. A tree that nobody has opened in this life cannot
 * be walked; then the domain stays as it is until the next recount.
 *
 * Those that people ask for go before those that the ledger wants for itself. Such a one is not news to whom it would
 * meet: who asks for a recount that waits or runs anyway has asked for that one. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "ledger/inside.h"

enum { BACKGROUND_NICE = 19, IOPRIO_WHO_THREAD = 1, IOPRIO_IDLE = 3 << 13 };

#define STORE(p, v) atomic_store_explicit(&(p), (v), memory_order_relaxed)

static void scan_begin(struct domain *d, bool dry_run)
{
    struct usage_scan *s = &d->u->scan;

    STORE(s->end_ms, 0);
    STORE(s->files_seen, 0);
    STORE(s->bytes_seen, 0);
    STORE(s->drift_bytes, 0);
    STORE(s->drift_files, 0);
    STORE(s->error, 0);
    STORE(s->result, SCAN_NONE);
    STORE(s->dry_run, dry_run);
    STORE(s->files_expected, atomic_load_explicit(&d->u->used_files, memory_order_relaxed));
    STORE(s->start_ms, sys->wall_ms());
}

static void scan_end(struct domain *d, const struct recount *rc, int r)
{
    struct usage_scan *s = &d->u->scan;

    STORE(s->drift_bytes, atomic_load(&rc->drift_bytes));
    STORE(s->drift_files, atomic_load(&rc->drift_files));
    STORE(s->error, r == -ECANCELED ? 0 : r);
    STORE(s->result, r == 0 ? SCAN_DONE : r == -ECANCELED ? SCAN_CANCELLED : SCAN_FAILED);
    STORE(s->end_ms, MAX(sys->wall_ms(), 1));
}

/* Is this tree to be walked? All of them, if somebody asked or the domain is stale; else its own that need it: those of
 * others are walked by their owners, and what is found there moves this domain, too. */
static bool is_due(const struct recount *rc, bool all, const struct tree *t)
{
    return all || (tree_owner(t) == rc->domain && (rc->verify || !atomic_load(&t->s->counted)));
}

/* The trees to walk that are open; *ret_whole: they are all that the domain has. */
static int trees_collect(struct recount *rc, bool *ret_whole)
{
    struct domain *d = rc->domain;
    bool all = rc->asked || rc->dry_run || domain_is_stale(d);
    int r = journal_trees(d, &rc->trees, &rc->n_trees);
    size_t n = 0;

    if (r < 0)
        return r;
    for (size_t i = 0; i < rc->n_trees; i++)
        if (is_due(rc, all, rc->trees[i]) && atomic_load(&rc->trees[i]->open))
            rc->trees[n++] = rc->trees[i];
    *ret_whole = all && n == rc->n_trees;
    rc->n_trees = n;
    for (size_t i = 0; i < n; i++)
        rc->first = rc->first || (tree_owner(rc->trees[i]) == d && !atomic_load(&rc->trees[i]->s->counted));
    return 0;
}

static bool has_uncounted(struct domain *d)
{
    bool has = false;

    mutex_lock(&d->l->journal.m);
    for (uint32_t i = 0; i < d->n_trees; i++)
        has = has || (atomic_load(&d->trees[i]->open) && !atomic_load(&d->trees[i]->s->counted) &&
                      tree_owner(d->trees[i]) == d);
    mutex_unlock(&d->l->journal.m);
    return has;
}

static void recounted(struct recount *rc, bool whole)
{
    struct domain *d = rc->domain;

    for (size_t i = 0; i < rc->n_trees; i++)
        tree_counted(rc->trees[i]);
    enum trust how = whole ? TRUST_RECOUNTED : rc->first ? TRUST_FIRST_COUNT : TRUST_LESS_TO_COUNT;
    struct charge carried = domain_trust(d, how, rc->marks);
    atomic_fetch_add(&rc->drift_bytes, (int64_t)carried.bytes);
    atomic_fetch_add(&rc->drift_files, (int64_t)carried.files);
}

static int recount_run(struct recount *rc, bool *ret_whole)
{
    int r;

    rc->marks = domain_marks(rc->domain); /* before the first look: a later mark means a later change */
    r = trees_collect(rc, ret_whole);
    for (size_t i = 0; r == 0 && i < rc->n_trees; i++) {
        r = recount_enter(rc, rc->trees[i]);
        if (r == 0) {
            r = walk_tree(rc->trees[i], rc);
            recount_leave(rc->trees[i]);
        }
    }
    if (r == 0 && atomic_load(&rc->cancel))
        r = -ECANCELED;
    if (r == 0 && !rc->dry_run)
        recounted(rc, *ret_whole);
    return r;
}

static bool is_asked_waiting(struct domain *d)
{
    struct recounts *q = &d->l->recounts;

    mutex_lock(&q->m);
    const struct recount *rc = q->first;
    while (rc && !(rc->domain == d && rc->asked))
        rc = rc->asked ? rc->next : NULL; /* those that were asked for are in front */
    mutex_unlock(&q->m);
    return rc != NULL;
}

static void recount_report(struct recount *rc, int r)
{
    struct domain *d = rc->domain;
    int64_t bytes = atomic_load(&rc->drift_bytes);

    metric_add(M_LEDGER_RECOUNTS, 0, 1);
    if (r == 0 && !rc->dry_run)
        metric_add(M_LEDGER_DRIFT_BYTES, 0, bytes < 0 ? -bytes : bytes);
    if (r < 0 && r != -ECANCELED)
        log_fail(r, "ledger: cannot count %s %lld", domain_kind_name(d->kind), (long long)d->id);
    if (rc->asked || !is_asked_waiting(d))
        scan_end(d, rc, r);
}

static bool recount_one(struct recount *rc)
{
    struct domain *d = rc->domain;
    bool whole = true;

    if (rc->dry_run) /* another one may have been there since it was asked for */
        scan_begin(d, true);
    int r = recount_run(rc, &whole);

    if (r < 0 && !rc->dry_run && has_uncounted(d))
        domain_mark_stale(d); /* what was met of it is not all */
    if (!rc->dry_run)
        domain_recounting(d, false);
    recount_report(rc, r);
    return r == 0 && !rc->dry_run && ((whole && domain_is_stale(d)) || has_uncounted(d));
}

static void recount_free(struct recount *rc)
{
    free(rc->trees);
    free(rc);
}

static void *background_main(void *arg)
{
    struct recount *rc = arg;

    IGNORE(setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE), "then it has the priority of the others");
    IGNORE(syscall(SYS_ioprio_set, IOPRIO_WHO_THREAD, 0, IOPRIO_IDLE), "the same for the disk");
    rc->again_now = recount_one(rc);
    return NULL;
}

/* In a thread of its own, since a priority that was given away does not come back. */
static bool recount_in_background(struct recount *rc)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, background_main, rc) != 0)
        return recount_one(rc);
    pthread_join(thread, NULL);
    return rc->again_now;
}

static bool runs_of(const struct recounts *q, const struct domain *d, bool real_only)
{
    for (const struct recount *rc = q->running; rc; rc = rc->next)
        if (rc->domain == d && !(real_only && rc->dry_run))
            return true;
    return false;
}

static void unlink_locked(struct recount **list, const struct recount *rc)
{
    while (*list != rc)
        list = &(*list)->next;
    *list = rc->next;
}

static void remove_locked(struct recounts *q, const struct recount *rc)
{
    unlink_locked(&q->first, rc);
    for (q->last = &q->first; *q->last; q->last = &(*q->last)->next)
        ;
}

/* The next one whose domain is not being counted already: it runs now. NULL: there is none. */
static struct recount *take_locked(struct recounts *q)
{
    struct recount *rc = q->first;

    while (rc && runs_of(q, rc->domain, false))
        rc = rc->next;
    if (rc) {
        remove_locked(q, rc);
        rc->next = q->running;
        q->running = rc;
    }
    return rc;
}

static void run(struct ledger *l, struct recount *rc)
{
    struct recounts *q = &l->recounts;
    bool again = rc->background || l->o.recounts_idle ? recount_in_background(rc) : recount_one(rc);

    mutex_lock(&q->m);
    unlink_locked(&q->running, rc);
    again = (again || rc->again) && !atomic_load(&rc->cancel);
    mutex_unlock(&q->m);
    if (again && (domain_is_stale(rc->domain) || has_uncounted(rc->domain)))
        recount_again(rc->domain);
    recount_free(rc);
}

static void *recounts_thread(void *arg)
{
    struct ledger *l = arg;
    struct recounts *q = &l->recounts;

    mutex_lock(&q->m);
    while (!q->stop) {
        struct recount *rc = take_locked(q);

        if (rc == NULL) {
            pthread_cond_wait(&q->wake, &q->m.m);
            continue;
        }
        mutex_unlock(&q->m);
        run(l, rc);
        mutex_lock(&q->m);
        pthread_cond_broadcast(&q->done);
        pthread_cond_broadcast(&q->wake); /* what waited for the end of this one */
    }
    mutex_unlock(&q->m);
    return NULL;
}

int recount_enter(struct recount *rc, struct tree *t)
{
    struct recounts *q = &t->l->recounts;

    mutex_lock(&q->m);
    while (t->walked && !atomic_load(&rc->cancel))
        pthread_cond_wait(&q->done, &q->m.m);
    int r = atomic_load(&rc->cancel) ? -ECANCELED : 0;
    if (r == 0)
        t->walked = true;
    mutex_unlock(&q->m);
    return r;
}

void recount_leave(struct tree *t)
{
    struct recounts *q = &t->l->recounts;

    mutex_lock(&q->m);
    t->walked = false;
    pthread_cond_broadcast(&q->done);
    mutex_unlock(&q->m);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static struct recount *waiting_of(struct recounts *q, const struct domain *d, bool real_only)
{
    for (struct recount *rc = q->first; rc; rc = rc->next)
        if (rc->domain == d && !(real_only && rc->dry_run))
            return rc;
    return NULL;
}

/* Those that were asked for are in front. */
static void insert_locked(struct recounts *q, struct recount *rc)
{
    struct recount **at = rc->asked ? &q->first : q->last;

    while (*at && (*at)->asked)
        at = &(*at)->next;
    rc->next = *at;
    *at = rc;
    if (rc->next == NULL)
        q->last = &rc->next;
}

/* The one that runs for the domain. */
static struct recount *running_of(const struct recounts *q, const struct domain *d)
{
    struct recount *rc = q->running;

    while (rc && rc->domain != d)
        rc = rc->next;
    return rc;
}

/* Somebody asks for a recount that the ledger itself has begun or will begin: that one is theirs, too. */
static int join_locked(struct recounts *q, const struct recount *rc)
{
    struct recount *waits = waiting_of(q, rc->domain, true), *mine = waits;

    if (runs_of(q, rc->domain, true))
        mine = running_of(q, rc->domain);
    if (mine == NULL || rc->dry_run)
        return -ENOENT;
    if (mine->asked && (mine->by_person || !rc->by_person))
        return -EALREADY;
    mine->by_person = rc->by_person;
    if (mine->asked)
        return 0;
    mine->asked = true;
    if (mine == waits) {
        mine->background = false;
        remove_locked(q, mine);
        insert_locked(q, mine);
    }
    return 0;
}

static bool is_asked_already(const struct recounts *q, const struct domain *d)
{
    for (const struct recount *rc = q->first; rc; rc = rc->next)
        if (rc->domain == d && rc->asked)
            return true;
    return runs_of(q, d, false) && running_of(q, d)->asked;
}

/* 0: it is in the queue now. */
static int enqueue_locked(struct recounts *q, struct recount *rc)
{
    struct domain *d = rc->domain;

    if (q->stop || !q->runs || atomic_load(&d->gone))
        return -ECANCELED;
    if (rc->asked && is_asked_already(q, d))
        return -EALREADY;
    if (!rc->asked && runs_of(q, d, true))
        running_of(q, d)->again =
            true; /* its answer may be there already: when it ends, it looks whether that was enough */
    if (!rc->asked && (waiting_of(q, d, true) || runs_of(q, d, true)))
        return -EALREADY;
    scan_begin(d, rc->dry_run);
    if (!rc->dry_run)
        domain_recounting(d, true);
    insert_locked(q, rc);
    pthread_cond_signal(&q->wake);
    return 0;
}

static int recount_ask(const struct recount *like)
{
    struct recounts *q = &like->domain->l->recounts;
    struct recount *rc = calloc(1, sizeof *rc);

    if (rc == NULL)
        return -ENOMEM;
    rc->domain = like->domain;
    rc->dry_run = like->dry_run;
    rc->asked = like->asked;
    rc->by_person = like->by_person;
    rc->verify = rc->background = like->background;
    mutex_lock(&q->m);
    int joined = rc->asked ? join_locked(q, rc) : -ENOENT;
    int r = joined == -ENOENT ? enqueue_locked(q, rc) : joined;
    mutex_unlock(&q->m);
    if (r < 0 || joined == 0)
        free(rc);
    return r;
}

int recount_start(struct domain *d, bool dry_run)
{
    if (d->l->o.track == TRACK_NONE)
        return -EOPNOTSUPP;
    return recount_ask(&(struct recount){ .domain = d, .dry_run = dry_run, .asked = true, .by_person = true });
}

int recount_lost(struct domain *d)
{
    if (!domain_is_tracked(d))
        return 0; /* it will be counted if it is ever to be */
    return recount_ask(&(struct recount){ .domain = d, .asked = true });
}

bool recount_is_by_person(struct domain *d)
{
    struct recounts *q = &d->l->recounts;
    bool is = false;

    mutex_lock(&q->m);
    const struct recount *const lists[] = { q->first, q->running };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (const struct recount *rc = lists[i]; rc; rc = rc->next)
            is = is || (rc->domain == d && rc->by_person);
    mutex_unlock(&q->m);
    return is;
}

static void wanted(const struct recount *like)
{
    struct domain *d = like->domain;
    int r = domain_is_tracked(d) ? recount_ask(like) : 0;

    if (r < 0 && r != -EALREADY && r != -ECANCELED)
        log_fail(r, "ledger: cannot ask for a recount of %s %lld", domain_kind_name(d->kind), (long long)d->id);
}

void recount_again(struct domain *d)
{
    wanted(&(struct recount){ .domain = d });
}

void recount_verify(struct domain *d)
{
    wanted(&(struct recount){ .domain = d, .background = true });
}

/* Takes what waits for the domain out of the queue; owned by the caller, linked by next. */
static struct recount *unqueue_locked(struct recounts *q, const struct domain *d)
{
    struct recount *out = NULL, **at = &q->first;

    while (*at) {
        struct recount *rc = *at;

        if (rc->domain != d) {
            at = &rc->next;
            continue;
        }
        *at = rc->next;
        rc->next = out;
        out = rc;
    }
    q->last = at;
    return out;
}

static void cancel_waiting(struct recount *rc)
{
    while (rc) {
        struct recount *next = rc->next;
        struct domain *d = rc->domain;

        if (!rc->dry_run && has_uncounted(d))
            domain_mark_stale(d);
        if (!rc->dry_run)
            domain_recounting(d, false);
        scan_end(d, rc, -ECANCELED);
        recount_free(rc);
        rc = next;
    }
}

int recount_cancel(struct domain *d)
{
    struct recounts *q = &d->l->recounts;

    mutex_lock(&q->m);
    bool runs = runs_of(q, d, false);
    if (runs)
        atomic_store(&running_of(q, d)->cancel, true);
    struct recount *waiting = unqueue_locked(q, d);
    pthread_cond_broadcast(&q->done);
    mutex_unlock(&q->m);
    bool any = runs || waiting;
    cancel_waiting(waiting);
    return any ? 0 : -ENOENT;
}

void recount_stop_domain(struct domain *d)
{
    struct recounts *q = &d->l->recounts;

    IGNORE(recount_cancel(d), "there may be none");
    mutex_lock(&q->m);
    while (runs_of(q, d, false))
        pthread_cond_wait(&q->done, &q->m.m);
    mutex_unlock(&q->m);
}

static struct recount *running_in(const struct recounts *q, const struct tree *t)
{
    struct recount *rc = q->running;

    while (rc && !charge_set_has(t->set, rc->domain))
        rc = rc->next;
    return rc;
}

/* The tree is about to go: what runs for any of its domains is cancelled, and asked for again without it. */
void recount_stop_tree(struct tree *t)
{
    struct recounts *q = &t->l->recounts;
    struct domain *again[RECOUNTS_MAX];
    struct recount *rc;
    size_t n = 0;

    atomic_store(&t->open, false); /* a recount that begins now leaves it out */
    mutex_lock(&q->m);
    while ((rc = running_in(q, t)) != NULL) {
        if (!rc->dry_run && n < ARRAY_SIZE(again) && !atomic_load(&rc->cancel))
            again[n++] = rc->domain;
        atomic_store(&rc->cancel, true);
        pthread_cond_broadcast(&q->done);
        pthread_cond_wait(&q->done, &q->m.m);
    }
    mutex_unlock(&q->m);
    for (size_t i = 0; i < n; i++)
        if (domain_is_stale(again[i]))
            recount_again(again[i]);
}

void recount_wait(struct ledger *l)
{
    struct recounts *q = &l->recounts;

    mutex_lock(&q->m);
    while (q->running || q->first)
        pthread_cond_wait(&q->done, &q->m.m);
    mutex_unlock(&q->m);
}

int recounts_start(struct ledger *l)
{
    struct recounts *q = &l->recounts;
    unsigned wanted = MIN(MAX(l->o.recounts, 1U), (unsigned)RECOUNTS_MAX);

    while (q->n_threads < wanted && pthread_create(&q->threads[q->n_threads], NULL, recounts_thread, l) == 0)
        q->n_threads++;
    q->runs = q->n_threads > 0; /* fewer will do, too */
    return q->runs ? 0 : -EAGAIN;
}

void recounts_stop(struct ledger *l)
{
    struct recounts *q = &l->recounts;

    if (!q->runs)
        return;
    mutex_lock(&q->m);
    q->stop = true;
    for (struct recount *rc = q->running; rc; rc = rc->next)
        atomic_store(&rc->cancel, true);
    struct recount *waiting = q->first;
    q->first = NULL;
    q->last = &q->first;
    pthread_cond_broadcast(&q->wake);
    pthread_cond_broadcast(&q->done);
    mutex_unlock(&q->m);
    while (q->n_threads > 0)
        pthread_join(q->threads[--q->n_threads], NULL);
    cancel_waiting(waiting);
    q->runs = false;
}
