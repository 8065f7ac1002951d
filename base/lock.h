/* Mutexes and read-write locks with a rank.
 *
 * A thread takes only a lock of a higher rank than it holds; debug builds (no NDEBUG) check it and abort. Two of one
 * rank are taken by one function that orders them and says so with lock_same_rank().
 *
 * Threads: any. clang -Wthread-safety proves REQUIRES(); it does not see through CLEANUP guards, so we write shells. */
#pragma once

#include <pthread.h>

#include "base/defs.h"

enum lock_rank {
    RANK_NONE,
    RANK_CONNECTIONS,
    RANK_HOMES,
    RANK_INODES,
    RANK_RECORD,
    RANK_TREE, /* after the record: settle learns the charge set with the record's lock held */
    RANK_INDEX,
    RANK_DOMAIN,
    RANK_JOURNAL,
    RANK_QUEUE,
    RANK_LOG,
};

struct CAPABILITY("mutex") mutex {
    pthread_mutex_t m;
    enum lock_rank rank;
};

struct CAPABILITY("rwlock") rwlock {
    pthread_rwlock_t l;
    enum lock_rank rank;
};

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRE(m);
void mutex_unlock(struct mutex *m) RELEASE(m);

/* Writers are preferred, so that a stream of readers cannot starve one. */
void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_done(struct rwlock *l);
void rwlock_lock(struct rwlock *l) ACQUIRE(l);
void rwlock_lock_shared(struct rwlock *l) ACQUIRE_SHARED(l);
void rwlock_unlock(struct rwlock *l) RELEASE(l);

/* Until the next call with false this thread may take several locks of one rank; the caller orders them. */
void lock_same_rank(bool allowed);
