/* Ranks are checked with a counter of held locks for each rank in a thread-local table: a thread may take a rank only
 * if it holds none of that rank or above. In NDEBUG builds the table is gone and a lock costs what pthread's costs. */
#include "base/lock.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef NDEBUG
static void rank_take(enum lock_rank rank)
{
    (void)rank;
}
static void rank_drop(enum lock_rank rank)
{
    (void)rank;
}
void lock_same_rank(bool allowed)
{
    (void)allowed;
}
#else
static _Thread_local unsigned char held[RANK_LOG + 1];
static _Thread_local bool same_rank;

static void rank_take(enum lock_rank rank)
{
    for (unsigned r = rank; r <= RANK_LOG; r++) {
        if (held[r] == 0 || (r == (unsigned)rank && same_rank))
            continue;
        fprintf(stderr, "lock order: rank %d is taken while rank %u is held\n", (int)rank, r);
        abort();
    }
    held[rank]++;
}

static void rank_drop(enum lock_rank rank)
{
    held[rank]--;
}

void lock_same_rank(bool allowed)
{
    same_rank = allowed;
}
#endif

/* A failure of these is our own mistake (a lock that is not ours, or destroyed): never a condition to handle. */
static void must(int r)
{
    if (r != 0)
        abort();
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
    must(pthread_mutex_init(&m->m, NULL));
    m->rank = rank;
}

void mutex_done(struct mutex *m)
{
    must(pthread_mutex_destroy(&m->m));
}

void mutex_lock(struct mutex *m) NO_ANALYSIS
{
    rank_take(m->rank);
    must(pthread_mutex_lock(&m->m));
}

void mutex_unlock(struct mutex *m) NO_ANALYSIS
{
    must(pthread_mutex_unlock(&m->m));
    rank_drop(m->rank);
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
    pthread_rwlockattr_t attr;

    must(pthread_rwlockattr_init(&attr));
    must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
    must(pthread_rwlock_init(&l->l, &attr));
    must(pthread_rwlockattr_destroy(&attr));
    l->rank = rank;
}

void rwlock_done(struct rwlock *l)
{
    must(pthread_rwlock_destroy(&l->l));
}

void rwlock_lock(struct rwlock *l) NO_ANALYSIS
{
    rank_take(l->rank);
    must(pthread_rwlock_wrlock(&l->l));
}

void rwlock_lock_shared(struct rwlock *l) NO_ANALYSIS
{
    rank_take(l->rank);
    must(pthread_rwlock_rdlock(&l->l));
}

void rwlock_unlock(struct rwlock *l) NO_ANALYSIS
{
    must(pthread_rwlock_unlock(&l->l));
    rank_drop(l->rank);
}
