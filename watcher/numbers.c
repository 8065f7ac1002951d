/* Open addressing with linear probing, at most three quarters full; a removal moves later cells back, so there are no
 * tombstones. An entry is 16 bytes, for inotify needs two entries a directory. */
#include "watcher/numbers.h"

#include <stdlib.h>

enum { ROOM_FIRST = 8 };

struct cell {
    uint64_t key, value;
};

void numbers_done(struct numbers *m)
{
    free(m->cells);
    *m = (struct numbers){ 0 };
}

static size_t home(const struct numbers *m, uint64_t key)
{
    return (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 20) & (m->room - 1);
}

/* The cell of the key, or the free one where it belongs. */
static size_t place(const struct numbers *m, uint64_t key)
{
    size_t i = home(m, key);

    while (m->cells[i].key != 0 && m->cells[i].key != key)
        i = (i + 1) & (m->room - 1);
    return i;
}

static int grow(struct numbers *m)
{
    struct numbers bigger = { .room = m->room ? m->room * 2 : ROOM_FIRST, .used = m->used };

    bigger.cells = calloc(bigger.room, sizeof *bigger.cells);
    if (!bigger.cells)
        return -ENOMEM;
    for (size_t i = 0; i < m->room; i++)
        if (m->cells[i].key != 0)
            bigger.cells[place(&bigger, m->cells[i].key)] = m->cells[i];
    free(m->cells);
    *m = bigger;
    return 0;
}

int numbers_set(struct numbers *m, uint64_t key, uint64_t value)
{
    if (m->used + 1 > m->room / 4 * 3) {
        int r = grow(m);
        if (r < 0)
            return r;
    }
    struct cell *c = &m->cells[place(m, key)];
    m->used += c->key == 0;
    *c = (struct cell){ key, value };
    return 0;
}

uint64_t numbers_find(const struct numbers *m, uint64_t key)
{
    return m->room ? m->cells[place(m, key)].value : 0;
}

/* Closes the hole at i: each later cell of the run that a search would not reach any more moves into it. */
static void close_hole(struct numbers *m, size_t i)
{
    for (size_t j = (i + 1) & (m->room - 1); m->cells[j].key != 0; j = (j + 1) & (m->room - 1)) {
        size_t wanted = home(m, m->cells[j].key);
        if (((j - wanted) & (m->room - 1)) >= ((j - i) & (m->room - 1))) {
            m->cells[i] = m->cells[j];
            i = j;
        }
    }
    m->cells[i] = (struct cell){ 0 };
}

void numbers_remove(struct numbers *m, uint64_t key)
{
    if (m->room == 0)
        return;
    size_t i = place(m, key);
    if (m->cells[i].key == 0)
        return;
    m->used--;
    close_hole(m, i);
}

uint64_t numbers_next(const struct numbers *m, size_t *at, uint64_t *ret_key)
{
    while (*at < m->room) {
        const struct cell *c = &m->cells[(*at)++];
        if (c->key == 0)
            continue;
        if (ret_key)
            *ret_key = c->key;
        return c->value;
    }
    return 0;
}

/* FNV-1a with a final mix. Names come from strangers: the seed is random, so that they cannot choose collisions. */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t h = seed ^ 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3ULL;
    h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93ULL;
    h ^= h >> 29;
    return h ? h : 1;
}
