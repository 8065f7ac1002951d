/* A queue of bytes in one piece, with a maximum: added at the tail, taken from the head.
 *
 * Lifetime: pointers into it are valid until the next call that adds.
 * Errors:   it remembers its first failure (-ENOMEM, -E2BIG); later additions do nothing and queue_failed() tells. */
#pragma once

#include "base/defs.h"

struct queue {
    uint8_t *v;
    size_t head; /* where the first byte is */
    size_t len;
    size_t room; /* allocated */
    size_t max;
    int failed;
};

#define QUEUE(limit)                                                                                                   \
    {                                                                                                                  \
        .max = (limit)                                                                                                 \
    }

void queue_done(struct queue *q);
void queue_trim(struct queue *q); /* gives the memory of an empty one back */

/* queue_reserve - n writable bytes after the tail, or NULL; they count once queue_commit() says how many. */
uint8_t *queue_reserve(struct queue *q, size_t n);
void queue_commit(struct queue *q, size_t n);
void queue_add(struct queue *q, const void *bytes, size_t n);
void queue_pass(struct queue *q, size_t n);  /* drops n bytes at the head */
void queue_cut(struct queue *q, size_t len); /* drops what is after the first len bytes */

static inline const uint8_t *queue_bytes(const struct queue *q)
{
    return q->v + q->head;
}
