/* Hooks in the background: a bounded list of copied requests and a few threads. A stop drops what waits. */
#include <stdlib.h>
#include <string.h>

#include "base/hook_inside.h"
#include "base/lock.h"
#include "base/log.h"

enum { THREADS_MAX = 16 };

/* A request with all its strings, in one piece of memory behind it. */
struct job {
    struct job *next;
    struct hook_request q;
    struct hook_value values[HOOK_VALUES_MAX];
    size_t bytes;
    char text[];
};

struct hook_queue {
    struct mutex lock;
    pthread_cond_t more;
    struct job *first, **last; /* lock */
    unsigned waiting;          /* lock */
    bool is_stopping;          /* lock */
    pthread_t threads[THREADS_MAX];
    unsigned threads_n;
};

static size_t bytes_of(const struct hook_request *q)
{
    size_t n = strlen(q->hook) + 1 + (q->body ? strlen(q->body) + 1 : 0) + (q->input ? strlen(q->input) + 1 : 0);

    for (size_t i = 0; i < q->values_n; i++) {
        const char *const texts[] = { q->values[i].variable, q->values[i].query, q->values[i].value };
        for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
            n += texts[k] ? strlen(texts[k]) + 1 : 0;
    }
    return n;
}

static const char *keep(char **at, const char *s)
{
    char *to = *at;

    if (!s)
        return NULL;
    size_t n = strlen(s) + 1;
    memcpy(to, s, n);
    *at += n;
    return to;
}

static struct job *job_new(const struct hook_request *q)
{
    size_t bytes = bytes_of(q);
    struct job *j = q->values_n <= HOOK_VALUES_MAX ? calloc(1, sizeof(*j) + bytes) : NULL;

    if (!j)
        return NULL;
    char *at = j->text;
    j->bytes = bytes;
    j->q = *q;
    j->q.hook = keep(&at, q->hook);
    j->q.body = keep(&at, q->body);
    j->q.input = keep(&at, q->input);
    j->q.values = j->values;
    for (size_t i = 0; i < q->values_n; i++) {
        j->values[i].variable = keep(&at, q->values[i].variable);
        j->values[i].query = keep(&at, q->values[i].query);
        j->values[i].value = keep(&at, q->values[i].value);
    }
    return j;
}

static void job_free(struct job *j)
{
    explicit_bzero(j->text, j->bytes);
    free(j);
}

static void job_run(const struct job *j)
{
    struct hook_answer a = { 0 };
    int r = hook_run(&j->q, &a);

    if (r < 0)
        IGNORE(log_fail(r, "hook %s", j->q.hook), "logged");
    else if (!hook_accepted(&j->q, &a))
        log_warn("hook %s ended with status %d", j->q.hook, a.status);
    hook_answer_done(&a);
}

static struct job *take_locked(struct hook_queue *q) REQUIRES(q->lock);
static struct job *take_locked(struct hook_queue *q)
{
    while (!q->first && !q->is_stopping)
        pthread_cond_wait(&q->more, &q->lock.m);
    struct job *j = q->is_stopping ? NULL : q->first;
    if (!j)
        return NULL;
    q->first = j->next;
    if (!q->first)
        q->last = &q->first;
    q->waiting--;
    return j;
}

static void *worker(void *arg)
{
    struct hook_queue *q = arg;

    for (;;) {
        mutex_lock(&q->lock);
        struct job *j = take_locked(q);
        mutex_unlock(&q->lock);
        if (!j)
            return NULL;
        job_run(j);
        job_free(j);
    }
}

int hook_queue_new(unsigned threads, struct hook_queue **ret)
{
    struct hook_queue *q = calloc(1, sizeof(*q));
    int r = 0;

    if (!q)
        return -ENOMEM;
    mutex_init(&q->lock, RANK_QUEUE);
    pthread_cond_init(&q->more, NULL);
    q->last = &q->first;
    for (unsigned i = 0; r == 0 && i < MIN(threads, (unsigned)THREADS_MAX); i++) {
        r = -pthread_create(&q->threads[i], NULL, worker, q);
        q->threads_n += r == 0;
    }
    if (r < 0) {
        hook_queue_free(q);
        return r;
    }
    *ret = q;
    return 0;
}

void hook_queue_free(struct hook_queue *q)
{
    if (!q)
        return;
    mutex_lock(&q->lock);
    q->is_stopping = true;
    pthread_cond_broadcast(&q->more);
    mutex_unlock(&q->lock);
    for (unsigned i = 0; i < q->threads_n; i++)
        pthread_join(q->threads[i], NULL);
    for (struct job *j = q->first; j;) {
        struct job *next = j->next;
        job_free(j);
        j = next;
    }
    pthread_cond_destroy(&q->more);
    mutex_done(&q->lock);
    free(q);
}

int hook_later(struct hook_queue *q, const struct hook_request *request)
{
    struct job *j = job_new(request);
    int r = 0;

    if (!j)
        return -ENOMEM;
    mutex_lock(&q->lock);
    if (q->waiting == HOOK_WAITING_MAX || q->is_stopping) {
        r = -EAGAIN;
    } else {
        *q->last = j;
        q->last = &j->next;
        q->waiting++;
        pthread_cond_signal(&q->more);
    }
    mutex_unlock(&q->lock);
    if (r < 0) {
        log_warn("hook %s is left out: %d wait already", request->hook, HOOK_WAITING_MAX);
        job_free(j);
    }
    return r;
}
