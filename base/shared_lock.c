#include "base/shared_lock.h"

#include <errno.h>
#include <stdlib.h>

int shared_lock_init(struct shared_lock *l)
{
    pthread_mutexattr_t a;
    int r = pthread_mutexattr_init(&a);

    if (r == 0)
        r = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    if (r == 0)
        r = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    if (r == 0)
        r = pthread_mutex_init(&l->m, &a);
    pthread_mutexattr_destroy(&a);
    return -r;
}

void shared_lock_take(struct shared_lock *l)
{
    int r = pthread_mutex_lock(&l->m);

    if (r == EOWNERDEAD)
        r = pthread_mutex_consistent(&l->m);
    if (r != 0)
        abort(); /* our own mistake */
}

void shared_lock_drop(struct shared_lock *l)
{
    if (pthread_mutex_unlock(&l->m) != 0)
        abort();
}
