/* A hash table with one entry for each holder that has a place; an entry goes with its last place. One mutex: it is
 * held for tens of nanoseconds, once for an open and once for a release. */
#include "vfs/shares.h"

#include <stdlib.h>

#include "base/lock.h"

enum { BUCKETS = 4096 };

struct share {
    struct share *next;
    uint64_t id;
    uint32_t kind;
    uint32_t places;
};

struct shares {
    struct mutex lock;
    uint32_t room, used;
    struct share *buckets[BUCKETS];
};

int shares_new(uint32_t room, struct shares **ret)
{
    struct shares *s = calloc(1, sizeof *s);

    if (s == NULL)
        return -ENOMEM;
    mutex_init(&s->lock, RANK_QUEUE);
    s->room = room;
    *ret = s;
    return 0;
}

void shares_free(struct shares *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct share *x = s->buckets[i], *next; x != NULL; x = next) {
            next = x->next;
            free(x);
        }
    }
    mutex_done(&s->lock);
    free(s);
}

static struct share **bucket_of(struct shares *s, uint32_t kind, uint64_t id)
{
    return &s->buckets[((id * 2 + kind) * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
}

static struct share **find_locked(struct shares *s, uint32_t kind, uint64_t id) REQUIRES(s->lock);
static struct share **find_locked(struct shares *s, uint32_t kind, uint64_t id)
{
    struct share **at = bucket_of(s, kind, id);

    while (*at != NULL && ((*at)->id != id || (*at)->kind != kind))
        at = &(*at)->next;
    return at;
}

static void leave_locked(struct shares *s, struct share *x) REQUIRES(s->lock);
static void leave_locked(struct shares *s, struct share *x)
{
    if (x == NULL || --x->places > 0)
        return;
    struct share **at = find_locked(s, x->kind, x->id);
    *at = x->next;
    free(x);
}

/* One more place for one holder; NULL: no memory. */
static struct share *join_locked(struct shares *s, uint32_t kind, uint64_t id) REQUIRES(s->lock);
static struct share *join_locked(struct shares *s, uint32_t kind, uint64_t id)
{
    struct share **at = find_locked(s, kind, id);

    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at == NULL)
            return NULL;
        (*at)->id = id;
        (*at)->kind = kind;
    }
    (*at)->places++;
    return *at;
}

static int may_take_locked(struct shares *s, const struct holders *who, enum share_kind *reterr_kind) REQUIRES(s->lock);
static int may_take_locked(struct shares *s, const struct holders *who, enum share_kind *reterr_kind)
{
    if (s->used >= s->room)
        return -ENFILE;
    for (uint32_t kind = 0; kind < SHARE_KINDS; kind++) {
        const struct share *x = *find_locked(s, kind, who->id[kind]);
        if (x == NULL || x->places < s->room - s->used)
            continue;
        *reterr_kind = (enum share_kind)kind;
        return -EMFILE;
    }
    return 0;
}

static int take_locked(struct shares *s, const struct holders *who, struct held *ret) REQUIRES(s->lock);
static int take_locked(struct shares *s, const struct holders *who, struct held *ret)
{
    struct share *uid = join_locked(s, SHARE_UID, who->id[SHARE_UID]);
    struct share *tree = uid != NULL ? join_locked(s, SHARE_TREE, who->id[SHARE_TREE]) : NULL;

    if (tree == NULL) {
        leave_locked(s, uid);
        return -ENOMEM;
    }
    s->used++;
    *ret = (struct held){ .of = { uid, tree } };
    return 0;
}

int share_take(struct shares *s, const struct holders *who, bool always, struct held *ret, enum share_kind *reterr_kind)
{
    mutex_lock(&s->lock);
    int r = always ? 0 : may_take_locked(s, who, reterr_kind);
    if (r == 0)
        r = take_locked(s, who, ret);
    mutex_unlock(&s->lock);
    return r;
}

void share_give(struct shares *s, const struct held *held)
{
    mutex_lock(&s->lock);
    for (size_t kind = 0; kind < SHARE_KINDS; kind++)
        leave_locked(s, held->of[kind]);
    s->used--;
    mutex_unlock(&s->lock);
}

uint32_t shares_used(struct shares *s)
{
    mutex_lock(&s->lock);
    uint32_t used = s->used;
    mutex_unlock(&s->lock);
    return used;
}
