/* The inside of the watcher: what its files share, and what only tests may set.
 *
 *   drain.c     a thread that only reads events and puts places into the dirty set
 *   fan.c       fanotify: marks, and events to places
 *   ino.c       inotify: watches, and events to places
 *   repair.c    a thread that takes the dirty set and lets the ledger look; heals what was lost by recounts
 *   trees.c     which tree is watched how
 *   watcher.c   start and stop
 *
 * Locks: `lock` guards the list of trees and their wishes; nothing is called while it is held. The watches of inotify
 * belong to the repair thread alone. File systems are appended under `lock` and never removed: the drain thread reads
 * them without it. */
#pragma once

#include <stdatomic.h>

#include "base/lock.h"
#include "watcher/dirty.h"
#include "watcher/numbers.h"
#include "watcher/watcher.h"

enum {
    FILESYSTEMS_MAX = 64,
    CLONES_MAX = 256,
    BATCH_MS = 5,             /* between two looks at the kernel's queue */
    SETTLE_MS = 25,           /* between the first event and the look at its place */
    PLACES_MAX = 2000000,     /* of the dirty set: about 250 MB */
    EVENTS_BYTES = 64 * 1024, /* read at once */
};

enum { WAIT_MAX_MS = 60000, HEAL_AGAIN_NS = 200000000 }; /* a recount that is wanted waits for one that runs */

enum watched_by { BY_NOBODY, BY_FANOTIFY, BY_INOTIFY };

/* A tree that is watched, or, BY_NOBODY, only recounted. The tree itself lives as long as the ledger. */
struct watched {
    struct tree *tree;
    dev_t dev;
    enum watched_by by;
    bool rewatch; /* inotify: watches are to be put on all its directories */
};

/* What is wished for a domain. */
enum { WISH_RECOUNT = 1, WISH_LOST = 2 /* something was not seen: stale until that recount is done */ };

/* A file system with a fanotify mark. */
struct marked {
    int32_t fsid[2];
    dev_t dev;
};

struct watcher_tuning {
    unsigned settle_ms;
    size_t places_max;
    bool limited_queue;        /* fanotify's queue is bounded, too */
    unsigned recount_every_ms; /* instead of the configuration's minutes; 0: those */
};

struct watcher {
    struct ledger *ledger;
    struct watcher_tuning tuning;
    enum watched_by first; /* what is tried first; BY_NOBODY: mode off */
    bool may_fall_back;    /* mode auto */
    unsigned max_watches;
    uint64_t recount_every_ns; /* 0: never */

    int fan, ino; /* descriptors; -1: not used */
    int stop_event, work_event, pause_event;
    _Atomic bool stopping, paused, wished;
    pthread_t drainer, repairer;
    bool drains, repairs;
    struct dirty *dirty;
    _Atomic uint64_t added_ns; /* when the oldest place in it came; 0: none */
    _Atomic int64_t trees_by[BY_INOTIFY + 1];

    struct mutex lock;     /* RANK_QUEUE: trees, the tables of marks, what was said */
    struct numbers trees;  /* struct tree * → struct watched */
    struct numbers wishes; /* struct domain * → WISH_* */
    struct marked marked[FILESYSTEMS_MAX];
    _Atomic size_t marked_n;
    uint64_t clones[CLONES_MAX]; /* mount ids with an ignore mark, or looked at in vain */
    size_t clones_n;
    bool said_remote, said_public, said_fallback, said_exhausted, said_overflow;

    /* the repair thread's */
    struct numbers by_wd;  /* watch number → struct watch */
    struct numbers by_dir; /* hash of device and inode → struct watch */
    size_t watches_n;
    uint64_t next_recount_ns, heal_again_ns; /* heal_again: 0: not */
};

/* watcher_start_tuned - watcher_start() for tests. */
int watcher_start_tuned(const struct config *config, struct ledger *ledger, const struct watcher_tuning *tuning,
                        struct watcher **ret) MUST_CHECK;
/* watcher_pause - the drain thread reads nothing, so that the kernel's queue fills up. For tests. */
void watcher_pause(struct watcher *w, bool pause);

/* say_once - true the first time. */
bool say_once(struct watcher *w, bool *said);

/* ---- trees.c */
void trees_add(void *arg, struct tree *t);               /* of trees_each() */
void trees_told(void *arg, struct tree *t, bool opened); /* of trees_subscribe() */
void trees_free(struct watcher *w);
/* trees_copy - a copy of all rows; owned: free(). NULL if memory is short. */
struct watched *trees_copy(struct watcher *w, size_t *ret_n);
/* trees_to_watch - the same; their `rewatch` is taken. */
struct watched *trees_to_watch(struct watcher *w, size_t *ret_n);
void tree_stale(struct tree *t); /* all domains that it moves */
/* tree_wish - for all domains that the tree moves; with WISH_LOST they are stale at once. Any thread. */
void tree_wish(struct watcher *w, struct tree *t, uint64_t wish);
void domain_wish(struct watcher *w, struct domain *d, uint64_t wish); /* without waking the repair thread */
struct numbers wishes_take(struct watcher *w);                        /* owned; none are left */
/* trees_lost - events of all trees that are watched so are lost: stale at once, recounted soon. Any thread. */
void trees_lost(struct watcher *w, enum watched_by by, const char *why);

/* ---- fan.c */
/* fan_watch - marks the file system of the tree. -EXDEV, -EOPNOTSUPP and others: it cannot be watched so. */
int fan_watch(struct watcher *w, struct tree *t, dev_t dev) MUST_CHECK;
bool fan_drain(struct watcher *w); /* reads all there is; true if places were added */

/* ---- ino.c */
bool ino_drain(struct watcher *w);
/* ino_watch_tree - a watch on each directory of the tree. */
void ino_watch_tree(struct watcher *w, struct tree *t, dev_t dev);
void ino_repair(struct watcher *w, const struct dirty_place *p);
void ino_free(struct watcher *w);

/* ---- drain.c */
void *drain_run(void *arg);
/* drain_add - into the dirty set; a full one is an overflow of `by`. */
void drain_add(struct watcher *w, enum watched_by by, struct place at, const char *name);

/* ---- repair.c */
void *repair_run(void *arg);
void repair_rest(struct watcher *w); /* what is left when both threads have ended */
/* repaired - notes what a look of the ledger gave: a failure is a lost event. */
void repaired(struct watcher *w, struct tree *t, int r);
