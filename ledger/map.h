/* A mapped file: mapped to the end of what it may ever be, so that it never moves; pages beyond its end are never
 * touched.
 *
 * Threads: growth is the caller's to order; reading and writing of what is there is anybody's. */
#pragma once

#include "base/defs.h"

struct map {
    int fd;
    uint8_t *base;
    uint64_t bytes; /* of the file */
    uint64_t max;
};

int map_open(struct map *m, int dir, const char *name, uint64_t max) MUST_CHECK;
void map_close(struct map *m);
/* map_grow - the file has at least `bytes` (rounded up to a chunk), with blocks on the disk. -ENOSPC. */
int map_grow(struct map *m, uint64_t bytes) MUST_CHECK;
/* map_clear - all zero again, without making the file shorter for its readers. */
int map_clear(struct map *m) MUST_CHECK;
int map_sync(struct map *m) MUST_CHECK;
int map_sync_head(struct map *m) MUST_CHECK; /* its first page, which has blocks */
