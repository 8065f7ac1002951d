/* A hash from (space, key) to a number, in shards that grow one by one: no growth stops anybody but the users of one
 * shard, for microseconds. Open addressing with linear probing; a removal shifts the followers back, so there are no
 * tombstones and a table that lives for years does not rot. 16 bytes an entry, at most 3/4 full. */
#include <stdlib.h>

#include "ledger/inside.h"

enum { SHARD_ROOM_MIN = 16 };

uint64_t index_mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 31);
}

static uint64_t hash_of(const struct index *x, uint32_t space, uint64_t key)
{
    return index_mix(index_mix(key ^ x->seed) + space);
}

int index_init(struct index *x, uint32_t shards)
{
    x->shards = calloc(shards, sizeof *x->shards);
    if (x->shards == NULL)
        return -ENOMEM;
    x->n = shards;
    sys->random(&x->seed, sizeof x->seed);
    for (uint32_t i = 0; i < shards; i++)
        mutex_init(&x->shards[i].m, RANK_INDEX);
    return 0;
}

void index_done(struct index *x)
{
    for (uint32_t i = 0; x->shards && i < x->n; i++) {
        free(x->shards[i].v);
        mutex_done(&x->shards[i].m);
    }
    free(x->shards);
    x->shards = NULL;
}

/* Where the key is, or the empty place where it would go. The shard has room. */
static uint32_t probe(const struct index_shard *s, uint64_t hash, uint32_t space, uint64_t key)
{
    uint32_t at = (uint32_t)(hash >> 32) & (s->room - 1);

    while (s->v[at].space != 0 && (s->v[at].space != space || s->v[at].key != key))
        at = (at + 1) & (s->room - 1);
    return at;
}

static int shard_grow(const struct index *x, struct index_shard *s)
{
    struct index_shard big = { .room = s->room ? s->room * 2 : SHARD_ROOM_MIN, .n = s->n };

    if (s->n + 1 <= s->room / 4 * 3)
        return 0;
    big.v = calloc(big.room, sizeof *big.v);
    if (big.v == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->room; i++) {
        const struct index_entry *e = &s->v[i];

        if (e->space != 0)
            big.v[probe(&big, hash_of(x, e->space, e->key), e->space, e->key)] = *e;
    }
    free(s->v);
    s->v = big.v;
    s->room = big.room;
    return 0;
}

/* Takes the entry out and moves back what stood behind it because of it. */
static void shard_remove(const struct index *x, struct index_shard *s, uint32_t hole)
{
    uint32_t mask = s->room - 1;

    for (uint32_t at = (hole + 1) & mask; s->v[at].space != 0; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)(hash_of(x, s->v[at].space, s->v[at].key) >> 32) & mask;

        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its home lies behind the hole */
        s->v[hole] = s->v[at];
        hole = at;
    }
    s->v[hole] = (struct index_entry){ 0 };
    s->n--;
}

static struct index_shard *shard_of(const struct index *x, uint64_t hash)
{
    return &x->shards[hash & (x->n - 1)];
}

uint32_t index_find(struct index *x, uint32_t space, uint64_t key)
{
    uint64_t hash = hash_of(x, space + 1, key);
    struct index_shard *s = shard_of(x, hash);
    uint32_t value = 0;

    mutex_lock(&s->m);
    if (s->room > 0) {
        const struct index_entry *e = &s->v[probe(s, hash, space + 1, key)];
        value = e->space != 0 ? e->value : 0;
    }
    mutex_unlock(&s->m);
    return value;
}

int index_insert(struct index *x, uint32_t space, uint64_t key, uint32_t value, uint32_t *ret)
{
    uint64_t hash = hash_of(x, space + 1, key);
    struct index_shard *s = shard_of(x, hash);

    mutex_lock(&s->m);
    int r = shard_grow(x, s);
    if (r == 0) {
        struct index_entry *e = &s->v[probe(s, hash, space + 1, key)];

        if (e->space == 0) {
            *e = (struct index_entry){ .key = key, .space = space + 1, .value = value };
            s->n++;
        }
        *ret = e->value;
    }
    mutex_unlock(&s->m);
    return r;
}

void index_remove(struct index *x, uint32_t space, uint64_t key, uint32_t value)
{
    uint64_t hash = hash_of(x, space + 1, key);
    struct index_shard *s = shard_of(x, hash);

    mutex_lock(&s->m);
    if (s->room > 0) {
        uint32_t at = probe(s, hash, space + 1, key);
        if (s->v[at].space != 0 && s->v[at].value == value)
            shard_remove(x, s, at);
    }
    mutex_unlock(&s->m);
}

int index_count(struct index *x, uint32_t space, uint64_t key, int n)
{
    uint64_t hash = hash_of(x, space + 1, key);
    struct index_shard *s = shard_of(x, hash);

    mutex_lock(&s->m);
    int r = shard_grow(x, s);
    if (r == 0) {
        uint32_t at = probe(s, hash, space + 1, key);

        if (s->v[at].space == 0) {
            s->v[at] = (struct index_entry){ .key = key, .space = space + 1 };
            s->n++;
        }
        s->v[at].value += (uint32_t)n;
        if (s->v[at].value == 0)
            shard_remove(x, s, at);
    }
    mutex_unlock(&s->m);
    return r;
}
