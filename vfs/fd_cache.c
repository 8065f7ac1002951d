/* A set-associative table: the slot's hash chooses a set of WAYS entries with a mutex of its own. No list, no rehash,
 * no global lock; eviction looks at one set. An entry that is in use cannot go: when a whole set is, the newcomer is
 * not cached. close(2) runs outside the mutex: the last close of a deleted inode truncates it on disk. */
#include "vfs/fd_cache.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/lock.h"

enum { SETS = 1024, WAYS = 4 };

struct fd_entry {
    slot_t slot; /* SLOT_NONE: free */
    uint32_t generation;
    int fd;
    uint32_t refs;
    uint32_t used; /* the set's clock when it was used last */
    bool dropped;  /* not to be found any more */
};

struct fd_set_of {
    struct mutex lock;
    uint32_t clock;
    struct fd_entry ways[WAYS];
};

struct fd_cache {
    struct fd_set_of sets[SETS];
};

static struct fd_set_of *set_of(struct fd_cache *c, slot_t slot)
{
    return &c->sets[(slot * 2654435761U) >> 22];
}

int fd_cache_new(struct fd_cache **ret)
{
    struct fd_cache *c = calloc(1, sizeof *c);

    if (c == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < SETS; i++)
        mutex_init(&c->sets[i].lock, RANK_QUEUE);
    *ret = c;
    return 0;
}

void fd_cache_free(struct fd_cache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < SETS; i++) {
        for (size_t w = 0; w < WAYS; w++)
            if (c->sets[i].ways[w].slot != SLOT_NONE)
                close(c->sets[i].ways[w].fd);
        mutex_done(&c->sets[i].lock);
    }
    free(c);
}

static struct fd_entry *entry_find(struct fd_set_of *s, slot_t slot, uint32_t generation)
{
    for (size_t w = 0; w < WAYS; w++)
        if (s->ways[w].slot == slot && s->ways[w].generation == generation && !s->ways[w].dropped)
            return &s->ways[w];
    return NULL;
}

static void entry_take(struct fd_cache *c, struct fd_set_of *s, struct fd_entry *e, struct fd_ref *ret)
{
    e->refs++;
    e->used = ++s->clock;
    *ret = (struct fd_ref){ .fd = e->fd, .from = e, .cache = c };
}

bool fd_cache_find(struct fd_cache *c, slot_t slot, uint32_t generation, struct fd_ref *ret)
{
    struct fd_set_of *s = set_of(c, slot);

    mutex_lock(&s->lock);
    struct fd_entry *e = entry_find(s, slot, generation);
    if (e != NULL)
        entry_take(c, s, e, ret);
    mutex_unlock(&s->lock);
    return e != NULL;
}

/* A free entry, or the one that was used longest ago and is not in use; NULL if all are. */
static struct fd_entry *entry_room(struct fd_set_of *s)
{
    struct fd_entry *oldest = NULL;

    for (size_t w = 0; w < WAYS; w++) {
        struct fd_entry *e = &s->ways[w];
        if (e->slot == SLOT_NONE)
            return e;
        if (e->refs == 0 && (oldest == NULL || s->clock - e->used > s->clock - oldest->used))
            oldest = e;
    }
    return oldest;
}

void fd_cache_add(struct fd_cache *c, slot_t slot, uint32_t generation, int fd, struct fd_ref *ret)
{
    struct fd_set_of *s = set_of(c, slot);
    int spare = -1;

    mutex_lock(&s->lock);
    struct fd_entry *e = entry_find(s, slot, generation);
    if (e != NULL) {
        spare = fd;
        entry_take(c, s, e, ret);
    } else if ((e = entry_room(s)) != NULL) {
        spare = e->slot != SLOT_NONE ? e->fd : -1;
        *e = (struct fd_entry){ .slot = slot, .generation = generation, .fd = fd };
        entry_take(c, s, e, ret);
    } else {
        *ret = (struct fd_ref){ .fd = fd };
    }
    mutex_unlock(&s->lock);
    fd_close(&spare);
}

void fd_ref_put(struct fd_ref *r)
{
    int spare = -1;

    if (r->from == NULL) {
        fd_close(&r->fd);
        return;
    }
    struct fd_set_of *s = set_of(r->cache, r->from->slot);
    mutex_lock(&s->lock);
    if (--r->from->refs == 0 && r->from->dropped) {
        spare = r->from->fd;
        *r->from = (struct fd_entry){ .fd = -1 };
    }
    mutex_unlock(&s->lock);
    *r = FD_REF_NONE;
    fd_close(&spare);
}

void fd_cache_drop(struct fd_cache *c, slot_t slot)
{
    struct fd_set_of *s = set_of(c, slot);
    int spare[WAYS];
    size_t n = 0;

    mutex_lock(&s->lock);
    for (size_t w = 0; w < WAYS; w++) {
        struct fd_entry *e = &s->ways[w];
        if (e->slot != slot || slot == SLOT_NONE)
            continue;
        e->dropped = true;
        if (e->refs == 0) {
            spare[n++] = e->fd;
            *e = (struct fd_entry){ .fd = -1 };
        }
    }
    mutex_unlock(&s->lock);
    while (n > 0)
        fd_close(&spare[--n]);
}
