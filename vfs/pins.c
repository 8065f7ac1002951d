/* A set-associative table, as the descriptor cache; a hand goes round and ends old pins. The kernel forgets an inode
 * right after its last name and its last user are gone, so nearly all sets are empty.
 *
 * The record goes first, then the descriptor: as long as the ledger knows the inode by its number, that number must
 * not be given to another one. */
#include "vfs/pins.h"

#include <stdlib.h>

#include "vfs/transport.h"

enum { SETS = 512, WAYS = 8, SETS_AT_ONCE = 4, OLD_MS = 5000, BIG_FILE = 64 << 20 };

struct pin {
    slot_t slot; /* SLOT_NONE: free */
    uint32_t generation;
    uint64_t since_ms;
    bool is_big;
    struct fd_ref ref;
    struct record_view rec; /* as it was: for a directory, whose record is gone */
};

#define PIN_NONE ((struct pin){ .ref = { .fd = -1 } })

struct pin_set {
    struct mutex lock;
    struct pin ways[WAYS];
};

struct pins {
    struct pin_set sets[SETS];
    _Atomic uint32_t n, hand;
};

int pins_new(struct pins **ret)
{
    struct pins *p = calloc(1, sizeof *p);

    if (p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < SETS; i++)
        mutex_init(&p->sets[i].lock, RANK_QUEUE);
    *ret = p;
    return 0;
}

void pins_free(struct pins *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < SETS; i++) {
        for (size_t w = 0; w < WAYS; w++)
            if (p->sets[i].ways[w].slot != SLOT_NONE)
                fd_ref_put(&p->sets[i].ways[w].ref);
        mutex_done(&p->sets[i].lock);
    }
    free(p);
}

static struct pin_set *set_of(struct vfs *v, slot_t slot)
{
    return &v->pins->sets[slot % SETS];
}

static void pin_end(struct vfs *v, struct pin *p)
{
    if (p->slot == SLOT_NONE)
        return;
    v->pins->n--;
    if (p->is_big)
        transport_slow(); /* the last close truncates it on disk */
    if (!p->rec.is_dir) {
        record_lock(v->ledger, p->slot);
        record_unpin_locked(v->ledger, p->slot, p->generation);
        record_unlock(v->ledger, p->slot);
    }
    fd_cache_drop(v->fds, p->slot);
    fd_ref_put(&p->ref);
}

/* A free place, or that of the oldest. */
static struct pin *place_in(struct pin_set *s)
{
    struct pin *oldest = &s->ways[0];

    for (size_t w = 0; w < WAYS; w++) {
        struct pin *p = &s->ways[w];
        if (p->slot == SLOT_NONE)
            return p;
        if (p->since_ms < oldest->since_ms)
            oldest = p;
    }
    return oldest;
}

static uint64_t now_ms(void)
{
    return sys->now_ns() / 1000000;
}

static void set_age(struct vfs *v, struct pin_set *s, uint64_t before_ms)
{
    struct pin old[WAYS];
    size_t n = 0;

    mutex_lock(&s->lock);
    for (size_t w = 0; w < WAYS; w++) {
        if (s->ways[w].slot == SLOT_NONE || s->ways[w].since_ms >= before_ms || s->ways[w].rec.is_dir)
            continue;
        old[n++] = s->ways[w];
        s->ways[w] = PIN_NONE;
    }
    mutex_unlock(&s->lock);
    while (n > 0)
        pin_end(v, &old[--n]);
}

static void pins_age(struct vfs *v)
{
    uint32_t hand = atomic_fetch_add_explicit(&v->pins->hand, SETS_AT_ONCE, memory_order_relaxed);

    for (uint32_t i = 0; v->pins->n > 0 && i < SETS_AT_ONCE; i++)
        set_age(v, &v->pins->sets[(hand + i) % SETS], now_ms() - OLD_MS);
}

void pin_add(struct vfs *v, struct node *n, uint64_t size)
{
    struct pin_set *s = set_of(v, n->slot);
    struct pin new = { .slot = n->slot, .generation = n->rec.generation, .ref = n->ref, .rec = n->rec };

    new.is_big = size > BIG_FILE;
    n->ref = FD_REF_NONE;
    n->fd = -1;
    new.since_ms = now_ms();
    v->pins->n++;
    mutex_lock(&s->lock);
    struct pin *at = place_in(s);
    struct pin old = *at;
    *at = new;
    mutex_unlock(&s->lock);
    pin_end(v, &old);
    pins_age(v);
}

bool pin_find(struct vfs *v, slot_t slot, uint32_t generation, struct node *ret)
{
    struct pin_set *s = set_of(v, slot);
    bool found = false;

    if (v->pins->n == 0)
        return false;
    bool cached = fd_cache_find(v->fds, slot, generation, &ret->ref);
    mutex_lock(&s->lock);
    for (size_t w = 0; w < WAYS && !found; w++) {
        const struct pin *p = &s->ways[w];
        if (p->slot != slot || p->generation != generation || !p->rec.is_dir)
            continue;
        ret->rec = p->rec;
        if (!cached)
            ret->ref = (struct fd_ref){ .fd = sys_open_beneath(p->ref.fd, ".", O_PATH | O_DIRECTORY, 0) };
        found = ret->ref.fd >= 0;
    }
    mutex_unlock(&s->lock);
    if (!found && cached)
        fd_ref_put(&ret->ref);
    return found;
}

void pin_forget(struct vfs *v, slot_t slot, uint32_t generation)
{
    struct pin_set *s = set_of(v, slot);
    struct pin found = PIN_NONE;

    mutex_lock(&s->lock);
    for (size_t w = 0; w < WAYS; w++) {
        if (s->ways[w].slot != slot || s->ways[w].generation != generation)
            continue;
        found = s->ways[w];
        s->ways[w] = PIN_NONE;
    }
    mutex_unlock(&s->lock);
    pin_end(v, &found);
    pins_age(v);
}
