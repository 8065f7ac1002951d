/* Places of an array in the shared state that are free: the one that was given back last is taken first, so that the
 * ones in use stay few and warm, and what an earlier process used is below one number.
 *
 * Threads: any. */
#pragma once

#include "base/lock.h"

struct vacant {
    struct mutex lock;
    uint32_t *free; /* a stack of free_n */
    uint32_t free_n;
    uint32_t next; /* all from here on were never used */
    uint32_t max;
};

int vacant_init(struct vacant *n, uint32_t max) MUST_CHECK;
void vacant_done(struct vacant *n);

bool vacant_take(struct vacant *n, uint32_t *ret); /* false: all are in use */
void vacant_give(struct vacant *n, uint32_t number);

/* vacant_resume - all below `next` count as taken; those that are free are given back by the caller. Before any other
 * call. */
void vacant_resume(struct vacant *n, uint32_t next);
