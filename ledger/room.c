/* Rooms and reservations. A room's rows are sorted by domain, so a reservation locks its domains in one order, checks
 * all of them and only then takes from all of them: no thread ever sees a hold in one domain of a reservation that
 * another domain refuses, so nobody is refused because of somebody who got nothing.
 *
 * A domain may stand in two rows (its own limit and that of a view): it is locked and held once, and both limits
 * count. */
#include <stdlib.h>

#include "ledger/inside.h"

#define LOAD(p) atomic_load_explicit(&(p), memory_order_relaxed)

enum { ROOM_ROWS_MAX = 32 };

struct room {
    _Atomic uint32_t refs;
    struct ledger *l;
    size_t n;
    struct room_row rows[];
};

static int rows_order(const void *a, const void *b)
{
    const struct room_row *x = a, *y = b;

    return (x->domain->index > y->domain->index) - (x->domain->index < y->domain->index);
}

struct room *room_new(struct ledger *l, const struct room_row *rows, size_t n)
{
    struct room *room = n <= ROOM_ROWS_MAX ? calloc(1, sizeof *room + n * sizeof *rows) : NULL;

    if (room == NULL)
        return NULL;
    room->refs = 1;
    room->l = l;
    room->n = n;
    for (size_t i = 0; i < n; i++)
        room->rows[i] = rows[i];
    qsort(room->rows, n, sizeof *rows, rows_order);
    return room;
}

struct room *room_ref(struct room *room)
{
    atomic_fetch_add_explicit(&room->refs, 1, memory_order_relaxed);
    return room;
}

void room_unref(struct room *room)
{
    if (room && atomic_fetch_sub_explicit(&room->refs, 1, memory_order_acq_rel) == 1)
        free(room);
}

/* The first row of a domain: the one that stands for it where limits do not matter. */
static bool is_first(const struct room *room, size_t i)
{
    return i == 0 || room->rows[i - 1].domain != room->rows[i].domain;
}

static void room_lock(struct room *room) NO_ANALYSIS
{
    lock_same_rank(true);
    for (size_t i = 0; i < room->n; i++)
        if (is_first(room, i))
            mutex_lock(&room->rows[i].domain->m);
    lock_same_rank(false);
}

static void room_unlock(struct room *room) NO_ANALYSIS
{
    for (size_t i = room->n; i-- > 0;)
        if (is_first(room, i))
            mutex_unlock(&room->rows[i].domain->m);
}

struct left {
    uint64_t limit, used, left;
};

/* What a limit leaves over of `used` (with the administrator's adjustment) and what is held. 0 is no limit. */
static struct left left_of(uint64_t limit, uint64_t reported, uint64_t held)
{
    struct left l = { .limit = limit, .used = reported, .left = INT64_MAX };

    if (__builtin_add_overflow(reported, held, &l.used) || l.used > INT64_MAX)
        l.used = INT64_MAX;
    if (limit != 0)
        l.left = limit > l.used ? limit - l.used : 0;
    else
        l.left = INT64_MAX - l.used;
    return l;
}

static bool is_unlimited(const struct room *room)
{
    return room->l->o.track == TRACK_NONE;
}

static struct left row_bytes(const struct room *room, const struct room_row *row)
{
    const struct usage_slot *u = row->domain->u;
    uint64_t limit = row->own_limits ? row->limit_bytes : LOAD(u->limit_bytes);

    return left_of(is_unlimited(room) ? 0 : limit, usage_reported_bytes(u), LOAD(u->held_bytes));
}

static struct left row_files(const struct room *room, const struct room_row *row)
{
    const struct usage_slot *u = row->domain->u;
    uint64_t limit = row->own_limits ? row->limit_files : LOAD(u->limit_files);

    return left_of(is_unlimited(room) ? 0 : limit, usage_reported_files(u), LOAD(u->held_files));
}

static bool is_untrusted(const struct domain *d)
{
    uint32_t state = LOAD(d->u->state);

    return state == DOMAIN_STALE || state == DOMAIN_COUNTING;
}

/* What can be had of `want`. All domains of the room are locked. */
static int give(const struct room *room, struct charge want, uint64_t least_bytes, struct charge *ret)
{
    struct charge c = want;

    for (size_t i = 0; i < room->n; i++) {
        const struct room_row *row = &room->rows[i];
        struct left bytes = row_bytes(room, row), files = row_files(room, row);

        if (bytes.limit == 0 && want.bytes > bytes.left)
            return -EOVERFLOW;
        if (atomic_load(&row->domain->unmarked))
            return atomic_load(&row->domain->unmarked);
        if (room->l->o.refuse_stale_growth && is_untrusted(row->domain))
            return -EDQUOT;
        if (files.left < want.files)
            return -EDQUOT;
        c.bytes = MIN(c.bytes, bytes.left);
    }
    if (c.bytes < MIN(least_bytes, want.bytes))
        return -EDQUOT;
    *ret = c;
    return 0;
}

static void hold(struct room *room, struct charge c)
{
    for (size_t i = 0; i < room->n; i++) {
        struct usage_slot *u = room->rows[i].domain->u;

        if (!is_first(room, i))
            continue;
        atomic_store_explicit(&u->held_bytes, LOAD(u->held_bytes) + c.bytes, memory_order_relaxed);
        atomic_store_explicit(&u->held_files, LOAD(u->held_files) + c.files, memory_order_relaxed);
    }
}

int reservation_take(struct room *room, struct charge want, uint64_t least_bytes, struct reservation *ret)
{
    struct charge c = { 0 };

    if (want.bytes == 0 && want.files == 0)
        return 0;
    if (is_unlimited(room)) {
        *ret = (struct reservation){ .held = want }; /* in no domain */
        return 0;
    }
    if (want.bytes > INT64_MAX || want.files > INT64_MAX)
        return -EOVERFLOW;
    room_lock(room);
    int r = give(room, want, least_bytes, &c);
    if (r == 0)
        hold(room, c);
    room_unlock(room);
    if (r == 0)
        *ret = (struct reservation){ .room = room, .held = c };
    return r;
}

struct charge reservation_of(const struct reservation *r, const struct domain *d)
{
    for (size_t i = 0; r && r->room && i < r->room->n; i++)
        if (r->room->rows[i].domain == d)
            return r->held;
    return (struct charge){ 0 };
}

void reservation_end(struct reservation *r, const struct charge_set *set)
{
    const struct room *room = r->room;

    for (size_t i = 0; room && i < room->n; i++)
        if (is_first(room, i) && !(set && charge_set_has(set, room->rows[i].domain)))
            domain_unhold(room->rows[i].domain, r->held);
    *r = (struct reservation){ 0 };
}

void reservation_drop(struct reservation *r)
{
    reservation_end(r, NULL);
}

void reservation_commit_locked(struct reservation *r, struct ledger *l, slot_t slot, const struct stat *st)
{
    settle_stat(l, slot, st, SETTLE_IN_MOUNT, r);
}

/* The tightest of two: the one that leaves less; no limit is the loosest. */
static void tighten(uint64_t *limit, uint64_t *used, struct left by)
{
    if (by.limit == 0) {
        if (*limit == 0)
            *used = MAX(*used, by.used);
        return;
    }
    if (*limit == 0 || by.left < (*limit > *used ? *limit - *used : 0)) {
        *limit = by.limit;
        *used = by.used;
    }
}

void room_left(struct room *room, struct room_left *ret)
{
    *ret = (struct room_left){ 0 };
    room_lock(room);
    for (size_t i = 0; i < room->n; i++) {
        tighten(&ret->limit_bytes, &ret->used_bytes, row_bytes(room, &room->rows[i]));
        tighten(&ret->limit_files, &ret->used_files, row_files(room, &room->rows[i]));
    }
    room_unlock(room);
}
