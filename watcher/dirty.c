/* A list in order and a hash table over it. Taking is one swap, so the reader of events never waits for a repair; what
 * comes meanwhile is merged in the next set. That is all the settling there is: the repairing thread sleeps for a
 * moment, takes the set and looks at each place once, however often it changed. A file that is written without a pause
 * is looked at once a round, and nothing waits longer than a round. */
#include "watcher/dirty.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/sys.h"
#include "watcher/numbers.h"

enum { BUCKETS_FIRST = 1024 };

struct dirty {
    struct mutex lock; /* for all below */
    uint64_t seed;
    size_t max, n;
    struct dirty_place *first, **end;
    struct dirty_place **buckets; /* owned; a power of two of them */
    size_t buckets_n;
};

int dirty_new(size_t max, struct dirty **ret)
{
    struct dirty *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->buckets_n = BUCKETS_FIRST;
    d->buckets = calloc(d->buckets_n, sizeof(struct dirty_place *));
    if (!d->buckets) {
        free(d);
        return -ENOMEM;
    }
    d->max = max;
    d->end = &d->first;
    sys->random(&d->seed, sizeof d->seed);
    mutex_init(&d->lock, RANK_QUEUE);
    *ret = d;
    return 0;
}

void dirty_place_free(struct dirty_place *p)
{
    free(p);
}

static void places_free(struct dirty_place *p)
{
    while (p) {
        struct dirty_place *next = p->next;
        dirty_place_free(p);
        p = next;
    }
}

void dirty_free(struct dirty *d)
{
    if (!d)
        return;
    places_free(d->first);
    free(d->buckets);
    mutex_done(&d->lock);
    free(d);
}

static struct dirty_place *take_locked(struct dirty *d) REQUIRES(d->lock);
static struct dirty_place *take_locked(struct dirty *d)
{
    struct dirty_place *all = TAKE_PTR(d->first);

    d->end = &d->first;
    d->n = 0;
    memset(d->buckets, 0, d->buckets_n * sizeof(struct dirty_place *));
    return all;
}

/* More buckets make it faster only; without memory the old ones do. */
static void grow_locked(struct dirty *d) REQUIRES(d->lock);
static void grow_locked(struct dirty *d)
{
    size_t n = d->buckets_n * 4;
    struct dirty_place **buckets = calloc(n, sizeof(struct dirty_place *));

    if (!buckets)
        return;
    for (struct dirty_place *p = d->first; p; p = p->next) {
        p->collide = buckets[p->hash & (n - 1)];
        buckets[p->hash & (n - 1)] = p;
    }
    free(d->buckets);
    d->buckets = buckets;
    d->buckets_n = n;
}

static uint64_t hash_of(const struct dirty *d, const struct dirty_place *p)
{
    uint64_t seed = d->seed ^ ((uint64_t)p->at.id << 8 | p->at.kind) * 0x9e3779b97f4a7c15ULL;
    return hash_bytes(seed, p->name, strlen(p->name));
}

static bool is_same(const struct dirty_place *a, const struct dirty_place *b)
{
    return a->hash == b->hash && a->at.kind == b->at.kind && a->at.id == b->at.id && strcmp(a->name, b->name) == 0;
}

static struct dirty_place *find_locked(const struct dirty *d, const struct dirty_place *p) REQUIRES(d->lock);
static struct dirty_place *find_locked(const struct dirty *d, const struct dirty_place *p)
{
    struct dirty_place *q = d->buckets[p->hash & (d->buckets_n - 1)];

    while (q && !is_same(p, q))
        q = q->collide;
    return q;
}

static void insert_locked(struct dirty *d, struct dirty_place *p) REQUIRES(d->lock);
static void insert_locked(struct dirty *d, struct dirty_place *p)
{
    struct dirty_place **bucket = &d->buckets[p->hash & (d->buckets_n - 1)];

    p->collide = *bucket;
    *bucket = p;
    *d->end = p;
    d->end = &p->next;
    if (++d->n > d->buckets_n)
        grow_locked(d);
}

/* Gives back what must be freed: nothing, a place that was there already, or all that the set could not hold. */
static struct dirty_place *add_locked(struct dirty *d, struct dirty_place *p, int *ret_r) REQUIRES(d->lock);
static struct dirty_place *add_locked(struct dirty *d, struct dirty_place *p, int *ret_r)
{
    struct dirty_place *there = find_locked(d, p);

    *ret_r = 0;
    if (there) {
        there->at.renamed |= p->at.renamed;
        return p;
    }
    if (d->n >= d->max) {
        *ret_r = -EOVERFLOW;
        p->next = take_locked(d);
        return p;
    }
    insert_locked(d, p);
    return NULL;
}

int dirty_add(struct dirty *d, struct place at, const char *name)
{
    size_t len = strlen(name);
    struct dirty_place *p = malloc(sizeof *p + len + 1);
    int r;

    if (!p)
        return -EOVERFLOW;
    *p = (struct dirty_place){ .at = at };
    memcpy(p->name, name, len + 1);
    p->hash = hash_of(d, p);
    mutex_lock(&d->lock);
    struct dirty_place *rest = add_locked(d, p, &r);
    mutex_unlock(&d->lock);
    places_free(rest);
    return r;
}

struct dirty_place *dirty_take(struct dirty *d)
{
    mutex_lock(&d->lock);
    struct dirty_place *all = take_locked(d);
    mutex_unlock(&d->lock);
    return all;
}

size_t dirty_count(struct dirty *d)
{
    mutex_lock(&d->lock);
    size_t n = d->n;
    mutex_unlock(&d->lock);
    return n;
}
