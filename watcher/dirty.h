/* The dirty set: where somebody should look, each place once.
 *
 * The thread that reads events adds, the thread that repairs takes all at once. Places come out in the order in which
 * they were first added: a directory before what was made in it.
 *
 * Threads: any. Limits: the caller's `max` places; beyond it the set is emptied and says so. */
#pragma once

#include "base/defs.h"

enum dirty_kind {
    DIRTY_SLOT,       /* the inode of slot `id` */
    DIRTY_NAME,       /* `name` in the directory of slot `id` */
    DIRTY_GONE,       /* the directory of slot `id`: names vanished from it */
    DIRTY_WATCH_NAME, /* as DIRTY_NAME; `id` is an inotify watch */
    DIRTY_WATCH_GONE, /* as DIRTY_GONE; `id` is an inotify watch */
    DIRTY_UNWATCH,    /* the inotify watch `id` is no more */
};

struct place {
    enum dirty_kind kind;
    uint32_t id;
    bool renamed; /* DIRTY_NAME: it was made, moved or is gone, not only written; DIRTY_SLOT: it lost a name */
};

struct dirty_place {
    struct dirty_place *next;    /* in order */
    struct dirty_place *collide; /* in the set */
    uint64_t hash;
    struct place at;
    char name[]; /* NUL-terminated; empty where the kind has none */
};

struct dirty;

int dirty_new(size_t max, struct dirty **ret) MUST_CHECK; /* -ENOMEM */
void dirty_free(struct dirty *d);

/* dirty_add - a place that is there already becomes `renamed`, too. 0: it is in the set. -EOVERFLOW: the set was full
 * and is now empty, or memory is short: places are lost. */
int dirty_add(struct dirty *d, struct place at, const char *name) MUST_CHECK;

/* dirty_take - all places, in order; owned: dirty_place_free() each. NULL if there are none. */
struct dirty_place *dirty_take(struct dirty *d);
void dirty_place_free(struct dirty_place *p);

size_t dirty_count(struct dirty *d);
