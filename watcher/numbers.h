/* A map from 64-bit numbers to 64-bit numbers: inotify watches and directories to their places.
 *
 * Keys and values are not 0. All zero: an empty map. Threads: the caller's. */
#pragma once

#include "base/defs.h"

struct numbers {
    struct cell *cells; /* owned; `room` of them, a power of two */
    size_t room, used;
};

void numbers_done(struct numbers *m);
int numbers_set(struct numbers *m, uint64_t key, uint64_t value) MUST_CHECK; /* 0 or -ENOMEM */
uint64_t numbers_find(const struct numbers *m, uint64_t key);                /* 0: not there */
void numbers_remove(struct numbers *m, uint64_t key);

/* numbers_next - walks all values: start with *at = 0; 0 at the end. *ret_key (may be NULL) is the value's key. Nothing
 * may be set or removed meanwhile. */
uint64_t numbers_next(const struct numbers *m, size_t *at, uint64_t *ret_key);

/* hash_bytes - of these bytes, begun with `seed`; never 0. */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t len);
