/* A bounded pool of workers for what may block: password hashes, writes to the store, questions to other roles.
 *
 * Threads: submit from any. Jobs run in the order of their arrival. pool_stop() runs what is queued and joins. */
#pragma once

#include "base/defs.h"

enum { POOL_WORKERS_MAX = 32, POOL_QUEUE_MAX = 256 };

struct pool;
typedef void pool_job(void *arg);

int pool_start(unsigned workers, unsigned queue, struct pool **ret) MUST_CHECK;

/* pool_start_nice - the same with workers that give way to other threads (nice(2)). */
int pool_start_nice(unsigned workers, unsigned queue, int niceness, struct pool **ret) MUST_CHECK;

/* pool_submit - 0; -EAGAIN: the queue is full; -ESHUTDOWN: it is being stopped. */
int pool_submit(struct pool *p, pool_job *job, void *arg) MUST_CHECK;

/* pool_close - refuses new jobs, runs what is queued, and joins. pool_stop also frees. */
void pool_close(struct pool *p);
void pool_stop(struct pool *p);
