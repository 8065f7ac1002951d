/* The index: (fs, ino) or (kind, id) to a number.
 *
 * Threads: any. */
#pragma once

#include "base/lock.h"

struct index_entry {
    uint64_t key;
    uint32_t space; /* fs or kind, + 1; 0: empty */
    uint32_t value;
};

struct index_shard {
    struct mutex m; /* RANK_INDEX */
    struct index_entry *v;
    uint32_t room; /* a power of two */
    uint32_t n;
};

struct index {
    struct index_shard *shards;
    uint32_t n; /* a power of two */
    uint64_t seed;
};

uint64_t index_mix(uint64_t h); /* a good hash of a number */
int index_init(struct index *x, uint32_t shards) MUST_CHECK;
void index_done(struct index *x);
uint32_t index_find(struct index *x, uint32_t space, uint64_t key); /* 0: none */
/* index_insert - find or insert: *ret is the number that is there now. -ENOMEM. */
int index_insert(struct index *x, uint32_t space, uint64_t key, uint32_t value, uint32_t *ret) MUST_CHECK;
/* index_remove - only if the key means `value`. */
void index_remove(struct index *x, uint32_t space, uint64_t key, uint32_t value);
/* index_count - for keys with a number of users: adds n (may be negative) and drops the key at 0. */
int index_count(struct index *x, uint32_t space, uint64_t key, int n) MUST_CHECK;
