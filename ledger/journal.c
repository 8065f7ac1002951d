/* ledger.db, and the dirty marks of domains. The way back to clean is in cleaning.c.
 *
 * One row a domain: its last known number and whether that can be trusted after a crash of the machine. The rows are
 * not what anybody counts with; they are for the day on which the maps cannot be believed.
 *
 *   clean ──first change──► wanted ──COMMIT (FULL)──► durable, changes may go on ──idle, syncfs──► COMMIT ──► clean
 *
 * One thread makes the marks, so that many domains that wake up together share one fsync; it does nothing else, so
 * that nobody waits for more than that. What the two threads do to the database is serialised by db_m. A mark is said
 * to be durable before db_m is released, and taken away while it is held, so the row and `durable` never disagree for
 * the other thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "ledger/inside.h"
#include "store/db.h"

enum { BATCH = 256, STATE_DIR_MAX = 4096 };
enum { APPLICATION_ID = 0x74616c6c }; /* "tall" */

#define LOAD(p) atomic_load_explicit(&(p), memory_order_relaxed)

static const char *const steps[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE domain (kind INTEGER NOT NULL, id INTEGER NOT NULL, used_bytes INTEGER NOT NULL,"
    " used_files INTEGER NOT NULL, adjust_bytes INTEGER NOT NULL, adjust_files INTEGER NOT NULL,"
    " state INTEGER NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;",
};

static const struct db_schema schema = { .application_id = APPLICATION_ID, .steps = steps, .n = ARRAY_SIZE(steps) };

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int row_write(struct domain *d, enum row_state state)
{
    mutex_lock(&d->m);
    const struct usage_slot *u = d->u; /* its own until it is dropped, and never another's while d->m is held */
    uint64_t epoch = LOAD(u->epoch) + (state == ROW_CLEAN ? 0 : 1);
    atomic_store_explicit(&d->row_due, false, memory_order_relaxed);
    d->saved_moves = LOAD(d->moves);
    int64_t bytes = (int64_t)LOAD(u->used_bytes), files = (int64_t)LOAD(u->used_files);
    int64_t adjust_bytes = LOAD(u->adjust_bytes), adjust_files = LOAD(u->adjust_files);
    if (state == ROW_DIRTY && (d->stale || d->incomplete))
        state = ROW_STALE;
    atomic_store_explicit(&d->u->epoch, epoch, memory_order_relaxed);
    mutex_unlock(&d->m);
    return db_run(
        d->l->journal.db,
        "INSERT INTO domain (kind, id, used_bytes, used_files, adjust_bytes, adjust_files, state, epoch)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET used_bytes = excluded.used_bytes,"
        " used_files = excluded.used_files, adjust_bytes = excluded.adjust_bytes,"
        " adjust_files = excluded.adjust_files, state = excluded.state, epoch = excluded.epoch",
        "iiiiiiii", (int64_t)d->kind, d->id, bytes, files, adjust_bytes, adjust_files, (int64_t)state, (int64_t)epoch);
}

int rows_write(struct ledger *l, struct domain **v, size_t n, enum row_state state)
{
    struct db *db = l->journal.db;
    int r = db_exec(db, "BEGIN IMMEDIATE");

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = row_write(v[i], state);
    if (r == 0)
        r = db_exec(db, "COMMIT");
    if (r < 0 && db_in_transaction(db))
        IGNORE(db_exec(db, "ROLLBACK"), "the first failure is the one to tell");
    return r;
}

static int row_delete(struct ledger *l, struct domain_key k)
{
    return db_run(l->journal.db, "DELETE FROM domain WHERE kind = ? AND id = ?", "ii", (int64_t)k.kind, k.id);
}

/* ---- asking for marks -------------------------------------------------------------------------------------------- */

static void warm_locked(struct domain *d)
{
    struct journal *j = &d->l->journal;

    if (d->warm || d->gone)
        return;
    if (j->n_warm == j->warm_room) {
        size_t room = j->warm_room ? j->warm_room * 2 : 64;
        struct domain **more = reallocarray(j->warm, room, sizeof(struct domain *));
        if (more == NULL)
            return; /* its next mark or touch tries again */
        j->warm = more;
        j->warm_room = room;
    }
    j->warm[j->n_warm++] = d;
    d->warm = true;
}

static void want_locked(struct domain *d)
{
    struct journal *j = &d->l->journal;

    if (atomic_load(&d->durable) || d->wanted || d->gone || atomic_load(&d->unmarked))
        return;
    d->wanted = true;
    d->next_wanted = j->wanted;
    j->wanted = d;
    pthread_cond_signal(&j->wake);
}

void journal_want(struct domain *d)
{
    if (atomic_load(&d->durable))
        return;
    mutex_lock(&d->l->journal.m);
    want_locked(d);
    mutex_unlock(&d->l->journal.m);
}

void journal_touch(struct domain *d)
{
    mutex_lock(&d->l->journal.m);
    atomic_store_explicit(&d->row_due, true, memory_order_relaxed);
    warm_locked(d);
    mutex_unlock(&d->l->journal.m);
}

static int wait_locked(struct domain *d)
{
    struct journal *j = &d->l->journal;
    uint64_t failures = d->mark_failures;

    while (!atomic_load(&d->durable)) {
        if (d->gone)
            return 0;
        if (!j->runs || j->stop)
            return -EIO;
        if (d->mark_failures != failures)
            return d->mark_error;
        if (atomic_load(&d->unmarked))
            return atomic_load(&d->unmarked);
        want_locked(d);
        pthread_cond_wait(&j->marked, &j->m.m);
    }
    return 0;
}

int journal_wait(struct domain *d)
{
    mutex_lock(&d->l->journal.m);
    int r = wait_locked(d);
    mutex_unlock(&d->l->journal.m);
    return r;
}

/* The set may change while we wait; who includes a domain has its mark first, so those that we saw are enough. A domain
 * that cannot be marked anywhere is stale, and reservation_take() refuses its growth: to shrink needs no mark then. */
int journal_wait_tree(struct tree *t)
{
    struct charge_set *s = tree_set_ref(t);
    int r = 0;

    mutex_lock(&t->l->journal.m);
    for (uint32_t i = 0; i < s->n; i++)
        want_locked(s->v[i]); /* all in one burst */
    for (uint32_t i = 0; i < s->n; i++) {
        int e = wait_locked(s->v[i]);
        r = r < 0 ? r : e;
    }
    if (r == 0)
        atomic_store(&t->dirty_ok, true);
    bool ends = !t->l->journal.runs || t->l->journal.stop;
    mutex_unlock(&t->l->journal.m);
    charge_set_unref(s);
    return r < 0 && ends ? -EIO : 0;
}

void journal_pin(struct domain *d, bool pin)
{
    mutex_lock(&d->l->journal.m);
    d->pins += pin ? 1U : -1U;
    mutex_unlock(&d->l->journal.m);
}

int journal_link(struct domain *d, struct tree *t)
{
    int r = 0;

    mutex_lock(&d->l->journal.m);
    struct tree **more = d->gone ? NULL : reallocarray(d->trees, d->n_trees + 1, sizeof(struct tree *));
    if (more) {
        d->trees = more;
        d->trees[d->n_trees++] = t;
        if (!atomic_load(&d->durable))
            atomic_store(&t->dirty_ok, false);
    } else {
        r = d->gone ? -ESTALE : -ENOMEM;
    }
    mutex_unlock(&d->l->journal.m);
    return r;
}

int journal_trees(struct domain *d, struct tree ***ret, size_t *ret_n)
{
    mutex_lock(&d->l->journal.m);
    size_t n = d->n_trees;
    struct tree **v = calloc(n + 1, sizeof(struct tree *));
    for (size_t i = 0; v && i < n; i++)
        v[i] = d->trees[i];
    mutex_unlock(&d->l->journal.m);
    if (v == NULL)
        return -ENOMEM;
    *ret = v;
    *ret_n = n;
    return 0;
}

static void wanted_remove_locked(struct domain *d)
{
    struct domain **at = &d->l->journal.wanted;

    while (*at && *at != d)
        at = &(*at)->next_wanted;
    if (*at)
        *at = d->next_wanted;
}

void journal_leave(struct domain *d)
{
    struct journal *j = &d->l->journal;

    mutex_lock(&j->m);
    d->gone = true;
    wanted_remove_locked(d);
    pthread_cond_broadcast(&j->marked);
    mutex_unlock(&j->m);
}

void journal_unlink(struct domain *d, struct tree *t)
{
    mutex_lock(&d->l->journal.m);
    for (uint32_t i = 0; i < d->n_trees; i++)
        if (d->trees[i] == t) {
            d->trees[i] = d->trees[--d->n_trees];
            break;
        }
    mutex_unlock(&d->l->journal.m);
}

int journal_forget(struct domain *d)
{
    struct journal *j = &d->l->journal;

    mutex_lock(&j->m);
    struct domain_key *more = reallocarray(j->dropped, j->n_dropped + 1, sizeof *more);
    if (more) {
        j->dropped = more;
        j->dropped[j->n_dropped++] = (struct domain_key){ d->kind, d->id };
    }
    pthread_cond_signal(&j->wake);
    mutex_unlock(&j->m);
    return more ? 0 : -ENOMEM;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void state_update(struct domain *d)
{
    mutex_lock(&d->m);
    domain_state_update_locked(d);
    mutex_unlock(&d->m);
}

/* Takes all that want a mark out of the list; the rest of the list stays for the next round. */
static size_t take_wanted(struct journal *j, struct domain **v, size_t max)
{
    size_t n = 0;

    mutex_lock(&j->m);
    while (j->wanted && n < max) {
        v[n++] = j->wanted;
        j->wanted = j->wanted->next_wanted;
    }
    mutex_unlock(&j->m);
    return n;
}

/* What became of the mark; `by_row`: ledger.db has it. */
static void marked_locked(struct domain *d, int r, bool by_row)
{
    d->wanted = false;
    if (!by_row)
        atomic_store_explicit(&d->row_due, true, memory_order_relaxed);
    if (r == 0) {
        atomic_store(&d->durable, true);
    } else {
        d->mark_error = r;
        d->mark_failures++;
        atomic_store(&d->unmarked, r);
    }
    warm_locked(d);
}

static bool mark_wanted(struct ledger *l)
{
    struct journal *j = &l->journal;
    struct domain *v[BATCH];
    size_t n = take_wanted(j, v, BATCH);

    if (n == 0)
        return false;
    mutex_lock(&j->db_m);
    int written = rows_write(l, v, n, ROW_DIRTY);
    int r = written < 0 ? unwritable_mark(l, written) : 0;
    for (size_t i = 0; r < 0 && i < n; i++)
        domain_mark_stale(v[i]); /* before anybody goes on */
    mutex_lock(&j->m);
    for (size_t i = 0; i < n; i++)
        marked_locked(v[i], r, written == 0);
    pthread_cond_broadcast(&j->marked);
    mutex_unlock(&j->m);
    mutex_unlock(&j->db_m);
    for (size_t i = 0; i < n; i++)
        state_update(v[i]);
    return n == BATCH;
}

void rows_delete_dropped(struct ledger *l)
{
    struct journal *j = &l->journal;

    mutex_lock(&j->m);
    struct domain_key *keys = TAKE_PTR(j->dropped);
    size_t n = j->n_dropped;
    j->n_dropped = 0;
    mutex_unlock(&j->m);
    mutex_lock(&j->db_m);
    for (size_t i = 0; i < n; i++) {
        int r = row_delete(l, keys[i]);
        if (r < 0)
            log_fail(r, "ledger: cannot delete a row");
    }
    mutex_unlock(&j->db_m);
    free(keys);
}

static void *journal_thread(void *arg)
{
    struct ledger *l = arg;
    struct journal *j = &l->journal;

    for (;;) {
        mutex_lock(&j->m);
        while (!j->stop && j->wanted == NULL && j->n_dropped == 0)
            pthread_cond_wait(&j->wake, &j->m.m);
        bool stop = j->stop;
        mutex_unlock(&j->m);
        rows_delete_dropped(l);
        while (mark_wanted(l))
            ;
        if (stop)
            return NULL;
    }
}

int journal_start(struct ledger *l)
{
    struct journal *j = &l->journal;

    j->runs = pthread_create(&j->thread, NULL, journal_thread, l) == 0;
    j->cleans = j->runs && pthread_create(&j->cleaner, NULL, cleaning_thread, l) == 0;
    return j->cleans ? 0 : -EAGAIN;
}

void journal_stop(struct ledger *l)
{
    struct journal *j = &l->journal;

    mutex_lock(&j->m);
    j->stop = true;
    pthread_cond_signal(&j->wake);
    pthread_cond_signal(&j->tick);
    pthread_cond_broadcast(&j->marked);
    mutex_unlock(&j->m);
    if (j->cleans)
        pthread_join(j->cleaner, NULL);
    if (j->runs)
        pthread_join(j->thread, NULL);
    j->runs = j->cleans = false;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* In hexadecimal digits. A database without one is new. */
static int instance_load(struct journal *j)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(j->db, "SELECT value FROM meta WHERE key = 'instance'", &st, "");

    if (r == 0)
        r = db_step(j->db, st);
    if (r < 0)
        return r;
    if (r > 0) {
        str_set(j->instance, sizeof j->instance, db_text(st, 0, NULL));
        return 0;
    }
    uint8_t bytes[(sizeof j->instance - 1) / 2];
    sys->random(bytes, sizeof bytes);
    str_hex(j->instance, bytes, sizeof bytes);
    j->is_new = true;
    return db_run(j->db, "INSERT INTO meta (key, value) VALUES ('instance', ?)", "s", j->instance);
}

void journal_init(struct ledger *l)
{
    struct journal *j = &l->journal;
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    mutex_init(&j->m, RANK_JOURNAL);
    mutex_init(&j->db_m, RANK_INODES);
    pthread_cond_init(&j->tick, &attr);
    pthread_cond_init(&j->wake, NULL);
    pthread_cond_init(&j->marked, NULL);
    pthread_condattr_destroy(&attr);
}

int journal_open(struct ledger *l, const char *state_dir)
{
    struct journal *j = &l->journal;
    char path[STATE_DIR_MAX]; /* SQLite wants a path */
    int n = snprintf(path, sizeof path, "%s/ledger.db", state_dir);

    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    int r = db_open(path, true, &schema, &j->db);
    return r < 0 ? r : instance_load(j);
}

struct row {
    enum domain_kind kind;
    int64_t id, used_bytes, used_files, adjust_bytes, adjust_files, state, epoch;
};

static void row_apply(struct domain *d, const struct row *row)
{
    struct usage_slot *u = d->u;
    uint64_t bytes = (uint64_t)MAX(row->used_bytes, 0), files = (uint64_t)MAX(row->used_files, 0);

    atomic_store_explicit(&u->used_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&u->used_files, files, memory_order_relaxed);
    atomic_store_explicit(&u->carried_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&u->carried_files, files, memory_order_relaxed);
    atomic_store_explicit(&u->adjust_bytes, row->adjust_bytes, memory_order_relaxed);
    atomic_store_explicit(&u->adjust_files, row->adjust_files, memory_order_relaxed);
    d->stale = row->state != ROW_CLEAN || d->l->rows_doubted;
}

/* One row: the domain of maps that were made anew, or only whether its mark is on disk. A row of a domain that the
 * maps do not know was dropped just before the process died. */
static int row_take(struct ledger *l, const struct row *row, bool numbers)
{
    struct domain *d = domain_find(l, row->kind, row->id);
    int r = 0;

    if (d == NULL && numbers)
        r = domain_make(l, row->kind, row->id, &d);
    if (r < 0 || d == NULL)
        return r == -EINVAL ? 0 : r;
    if (numbers)
        row_apply(d, row);
    atomic_store(&d->durable, row->state != ROW_CLEAN);
    atomic_store_explicit(&d->u->epoch, (uint64_t)row->epoch, memory_order_relaxed);
    mutex_lock(&l->journal.m);
    if (atomic_load(&d->durable))
        warm_locked(d);
    mutex_unlock(&l->journal.m);
    state_update(d);
    return 0;
}

int journal_load(struct ledger *l, bool numbers)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct db *db = l->journal.db;
    int r = db_query(
        db, "SELECT kind, id, used_bytes, used_files, adjust_bytes, adjust_files, state, epoch FROM domain", &st, "");

    while (r == 0 && (r = db_step(db, st)) > 0) {
        const struct row row = {
            .kind = (enum domain_kind)sqlite3_column_int64(st, 0),
            .id = sqlite3_column_int64(st, 1),
            .used_bytes = sqlite3_column_int64(st, 2),
            .used_files = sqlite3_column_int64(st, 3),
            .adjust_bytes = sqlite3_column_int64(st, 4),
            .adjust_files = sqlite3_column_int64(st, 5),
            .state = sqlite3_column_int64(st, 6),
            .epoch = sqlite3_column_int64(st, 7),
        };
        r = row_take(l, &row, numbers);
    }
    return r;
}

void journal_done(struct ledger *l)
{
    struct journal *j = &l->journal;

    db_close(j->db);
    free(j->warm);
    free(j->dropped);
    pthread_cond_destroy(&j->wake);
    pthread_cond_destroy(&j->tick);
    mutex_done(&j->db_m);
    pthread_cond_destroy(&j->marked);
    mutex_done(&j->m);
}
