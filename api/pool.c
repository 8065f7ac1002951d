/* A ring of jobs under one lock. A full ring refuses: a caller that must wait is told so, instead of a queue that grows
 * without an end while clients have long given up. */
#include "api/pool.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/lock.h"

struct pool_entry {
    pool_job *job;
    void *arg;
};

struct pool {
    struct mutex lock;
    pthread_cond_t wake;
    struct pool_entry ring[POOL_QUEUE_MAX]; /* lock */
    unsigned first, n, queue;               /* lock */
    bool closing;                           /* lock */
    pthread_t threads[POOL_WORKERS_MAX];
    unsigned workers;
    int niceness;
};

static bool pool_take(struct pool *p, struct pool_entry *ret)
{
    mutex_lock(&p->lock);
    while (p->n == 0 && !p->closing)
        pthread_cond_wait(&p->wake, &p->lock.m);
    bool some = p->n > 0;
    if (some) {
        *ret = p->ring[p->first];
        p->first = (p->first + 1) % POOL_QUEUE_MAX;
        p->n--;
    }
    mutex_unlock(&p->lock);
    return some;
}

static void *pool_work(void *arg)
{
    struct pool_entry e;

    pthread_setname_np(pthread_self(), "api-worker");
    if (((struct pool *)arg)->niceness != 0) /* of this thread alone: Linux has it so */
        IGNORE(setpriority(PRIO_PROCESS, (id_t)gettid(), ((struct pool *)arg)->niceness), "it works all the same");
    while (pool_take(arg, &e))
        e.job(e.arg);
    return NULL;
}

int pool_start(unsigned workers, unsigned queue, struct pool **ret)
{
    return pool_start_nice(workers, queue, 0, ret);
}

int pool_start_nice(unsigned workers, unsigned queue, int niceness, struct pool **ret)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    mutex_init(&p->lock, RANK_QUEUE);
    pthread_cond_init(&p->wake, NULL);
    p->niceness = niceness;
    p->queue = MIN(queue, (unsigned)POOL_QUEUE_MAX);
    for (unsigned i = 0; i < MIN(workers, (unsigned)POOL_WORKERS_MAX); i++) {
        int r = -pthread_create(&p->threads[i], NULL, pool_work, p);
        if (r < 0) {
            pool_stop(p);
            return r;
        }
        p->workers++;
    }
    *ret = p;
    return 0;
}

static int pool_put_locked(struct pool *p, pool_job *job, void *arg) REQUIRES(p->lock);
static int pool_put_locked(struct pool *p, pool_job *job, void *arg)
{
    if (p->closing)
        return -ESHUTDOWN;
    if (p->n == p->queue)
        return -EAGAIN;
    p->ring[(p->first + p->n++) % POOL_QUEUE_MAX] = (struct pool_entry){ job, arg };
    pthread_cond_signal(&p->wake);
    return 0;
}

int pool_submit(struct pool *p, pool_job *job, void *arg)
{
    mutex_lock(&p->lock);
    int r = pool_put_locked(p, job, arg);
    mutex_unlock(&p->lock);
    return r;
}

void pool_close(struct pool *p)
{
    if (p == NULL)
        return;
    mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->wake);
    mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->workers; i++)
        pthread_join(p->threads[i], NULL);
    p->workers = 0;
}

void pool_stop(struct pool *p)
{
    if (p == NULL)
        return;
    pool_close(p);
    pthread_cond_destroy(&p->wake);
    mutex_done(&p->lock);
    free(p);
}
