/* The bytes move to the front only when the tail has no room, so each byte moves at most once per filling. */
#include "sftp/queue.h"

#include <stdlib.h>
#include <string.h>

void queue_done(struct queue *q)
{
    free(q->v);
    *q = (struct queue){ .max = q->max };
}

void queue_trim(struct queue *q)
{
    if (q->len == 0 && q->v)
        queue_done(q);
}

static bool queue_grow(struct queue *q, size_t want)
{
    size_t room = MAX(q->room, (size_t)4096);
    while (room < want)
        room *= 2;
    uint8_t *v = realloc(q->v, MIN(room, MAX(q->max, want)));
    if (!v) {
        q->failed = -ENOMEM;
        return false;
    }
    q->v = v;
    q->room = MIN(room, MAX(q->max, want));
    return true;
}

uint8_t *queue_reserve(struct queue *q, size_t n)
{
    if (!q->failed && (n > q->max || q->len > q->max - n))
        q->failed = -E2BIG;
    if (q->failed)
        return NULL;
    if (q->head > 0 && q->head + q->len + n > q->room) {
        memmove(q->v, q->v + q->head, q->len);
        q->head = 0;
    }
    if (q->len + n > q->room && !queue_grow(q, q->len + n))
        return NULL;
    return q->v + q->head + q->len;
}

void queue_commit(struct queue *q, size_t n)
{
    q->len += n;
}

void queue_add(struct queue *q, const void *bytes, size_t n)
{
    uint8_t *to = queue_reserve(q, n);
    if (to && n > 0) {
        memcpy(to, bytes, n);
        q->len += n;
    }
}

void queue_pass(struct queue *q, size_t n)
{
    n = MIN(n, q->len);
    q->head += n;
    q->len -= n;
    if (q->len == 0)
        q->head = 0;
}

void queue_cut(struct queue *q, size_t len)
{
    q->len = MIN(q->len, len);
}
