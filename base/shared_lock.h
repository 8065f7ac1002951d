/* A mutex between processes, in shared memory. One that dies holding it does not stop the others: the next one goes on
 * with what it left, which is why a table under such a lock is right after each single store.
 *
 * Threads: any, of any process that maps it. Nothing else is locked meanwhile. */
#pragma once

#include <pthread.h>

struct shared_lock {
    pthread_mutex_t m;
};

int shared_lock_init(struct shared_lock *l);
void shared_lock_take(struct shared_lock *l);
void shared_lock_drop(struct shared_lock *l);
