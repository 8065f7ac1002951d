/* Group commit: the thread takes all that waits, runs it in one transaction, and wakes everybody after one fsync.
 *
 * While one batch is being made durable the next one gathers, so a batch is as large as there are callers, and a single
 * caller waits for nobody. Each job has a savepoint: a refused change leaves the others alone. Some failures (full
 * disk, I/O, memory) make SQLite roll the whole transaction back; then, and when the commit fails, every job of the
 * batch has failed, also those that thought they were done. */
#include "store/writer.h"

#include <stdlib.h>

#include "base/lock.h"
#include "base/log.h"

enum { BATCH_MAX = 512 };

/* Lives on the stack of its caller. */
struct job {
    writer_fn *fn;
    void *arg;
    int r;
    bool done; /* guarded by the writer's lock, as `next` while it is queued */
    pthread_cond_t wake;
    struct job *next;
};

struct writer {
    struct db *db; /* the thread's alone, after the start */
    pthread_t thread;
    struct mutex lock;
    pthread_cond_t more; /* guarded by lock, with all below */
    struct job *first, *last;
    bool stopping;
};

static struct job *batch_take(struct writer *w)
{
    struct job *batch, *end;

    mutex_lock(&w->lock);
    while (!w->first && !w->stopping)
        pthread_cond_wait(&w->more, &w->lock.m);
    batch = end = w->first;
    for (unsigned n = 1; end && end->next && n < BATCH_MAX; n++)
        end = end->next;
    w->first = end ? end->next : NULL;
    if (!w->first)
        w->last = NULL;
    if (end)
        end->next = NULL;
    mutex_unlock(&w->lock);
    return batch;
}

static int job_run(struct db *d, struct job *j)
{
    int r = db_run(d, "SAVEPOINT job", "");

    if (r < 0)
        return r;
    int result = j->fn(d, j->arg);
    if (result < 0 && db_in_transaction(d))
        r = db_run(d, "ROLLBACK TO job", "");
    if (r == 0 && db_in_transaction(d))
        r = db_run(d, "RELEASE job", "");
    return r < 0 ? r : result;
}

static int batch_run(struct db *d, struct job *batch)
{
    int r = db_run(d, "BEGIN IMMEDIATE", "");

    for (struct job *j = batch; r == 0 && j; j = j->next) {
        j->r = job_run(d, j);
        if (!db_in_transaction(d))
            r = j->r < 0 ? j->r : -EIO;
    }
    return r < 0 ? r : db_run(d, "COMMIT", "");
}

static void batch_finish(struct writer *w, struct job *batch, int r)
{
    mutex_lock(&w->lock);
    for (struct job *j = batch, *next; j; j = next) {
        next = j->next; /* once it is done, its caller takes it off the stack */
        if (r < 0 && j->r >= 0)
            j->r = r;
        j->done = true;
        pthread_cond_signal(&j->wake);
    }
    mutex_unlock(&w->lock);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;

    for (struct job *batch; (batch = batch_take(w)) != NULL;) {
        int r = batch_run(w->db, batch);
        if (r < 0 && db_in_transaction(w->db))
            IGNORE(db_exec(w->db, "ROLLBACK"), "the first failure is the one to tell");
        batch_finish(w, batch, r);
    }
    return NULL;
}

int writer_run(struct writer *w, writer_fn *fn, void *arg)
{
    struct job j = { .fn = fn, .arg = arg, .wake = PTHREAD_COND_INITIALIZER };

    mutex_lock(&w->lock);
    if (w->last)
        w->last->next = &j;
    else
        w->first = &j;
    w->last = &j;
    pthread_cond_signal(&w->more);
    while (!j.done)
        pthread_cond_wait(&j.wake, &w->lock.m);
    mutex_unlock(&w->lock);
    pthread_cond_destroy(&j.wake);
    return j.r;
}

int writer_start(const char *path, const struct db_schema *schema, struct writer **ret)
{
    struct writer *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    int r = db_open(path, true, schema, &w->db);
    if (r == 0) {
        mutex_init(&w->lock, RANK_QUEUE);
        pthread_cond_init(&w->more, NULL);
        r = -pthread_create(&w->thread, NULL, writer_main, w);
    }
    if (r < 0) {
        db_close(w->db);
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void writer_stop(struct writer *w)
{
    if (!w)
        return;
    mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->more);
    mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    db_close(w->db);
    pthread_cond_destroy(&w->more);
    mutex_done(&w->lock);
    free(w);
}
