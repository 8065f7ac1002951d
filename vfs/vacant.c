/* The stack is as large as the array; its pages are touched only as far as it ever grew. */
#include "vfs/vacant.h"

#include <stdlib.h>

int vacant_init(struct vacant *n, uint32_t max)
{
    *n = (struct vacant){ .max = max };
    n->free = malloc(sizeof *n->free * max);
    if (n->free == NULL)
        return -ENOMEM;
    mutex_init(&n->lock, RANK_QUEUE);
    return 0;
}

void vacant_done(struct vacant *n)
{
    if (n->free == NULL)
        return;
    free(n->free);
    n->free = NULL;
    mutex_done(&n->lock);
}

bool vacant_take(struct vacant *n, uint32_t *ret)
{
    bool got = true;

    mutex_lock(&n->lock);
    if (n->free_n > 0)
        *ret = n->free[--n->free_n];
    else if (n->next < n->max)
        *ret = n->next++;
    else
        got = false;
    mutex_unlock(&n->lock);
    return got;
}

void vacant_give(struct vacant *n, uint32_t number)
{
    mutex_lock(&n->lock);
    n->free[n->free_n++] = number;
    mutex_unlock(&n->lock);
}

void vacant_resume(struct vacant *n, uint32_t next)
{
    n->next = next;
}
