/* Two small hash tables over the same homes. Every operation asks place_find() once, so the lock is read-write and the
 * answer is a copy with a reference on the room: limits may be swapped a moment later without anybody waiting. */
#include "vfs/homes.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "vfs/homes_table.h"
#include "vfs/node.h"

static size_t name_bucket(const char *name)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * UINT64_C(1099511628211);
    return (size_t)(h >> 32) % HOME_BUCKETS;
}

static size_t id_bucket(int64_t id)
{
    return (size_t)id % HOME_BUCKETS;
}

static size_t tree_bucket(const struct tree *tree)
{
    return (size_t)(((uint64_t)(uintptr_t)tree * UINT64_C(0x9e3779b97f4a7c15)) >> 48) % HOME_BUCKETS;
}

int homes_new(struct vfs *v, struct homes **ret)
{
    struct homes *h = calloc(1, sizeof *h);

    (void)v;
    if (h == NULL)
        return -ENOMEM;
    mutex_init(&h->claiming, RANK_HOMES);
    pthread_cond_init(&h->claimed, NULL);
    mutex_init(&h->folders, RANK_CONNECTIONS);
    mutex_init(&h->resuming, RANK_NONE);
    rwlock_init(&h->lock, RANK_HOMES);
    *ret = h;
    return 0;
}

void homes_free(struct homes *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < HOME_BUCKETS; i++) {
        for (struct home *home = h->by_name[i], *next; home != NULL; home = next) {
            next = home->next;
            home_free(home);
        }
    }
    mutex_done(&h->claiming);
    pthread_cond_destroy(&h->claimed);
    mutex_done(&h->folders);
    mutex_done(&h->resuming);
    rwlock_done(&h->lock);
    free(h);
}

void home_free(struct home *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->branches_n; i++) {
        room_unref(h->branches[i].room);
        free(h->branches[i].folder_name);
        free(h->branches[i].path);
    }
    points_free(h);
    free(h->branches);
    free(h->username);
    free(h);
}

static bool is_claimed_locked(const struct homes *h, const char *username) REQUIRES(h->claiming);
static bool is_claimed_locked(const struct homes *h, const char *username)
{
    for (const struct home_claim *c = h->claims; c != NULL; c = c->next)
        if (strcmp(c->username, username) == 0)
            return true;
    return false;
}

void home_claim(struct homes *h, struct home_claim *c, const char *username)
{
    mutex_lock(&h->claiming);
    while (is_claimed_locked(h, username))
        pthread_cond_wait(&h->claimed, &h->claiming.m);
    *c = (struct home_claim){ .next = h->claims, .username = username };
    h->claims = c;
    mutex_unlock(&h->claiming);
}

void home_unclaim(struct homes *h, struct home_claim *c)
{
    mutex_lock(&h->claiming);
    for (struct home_claim **at = &h->claims; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    pthread_cond_broadcast(&h->claimed);
    mutex_unlock(&h->claiming);
}

struct home *homes_get(struct homes *h, const char *username)
{
    for (struct home *home = h->by_name[name_bucket(username)]; home != NULL; home = home->next)
        if (strcmp(home->username, username) == 0)
            return home;
    return NULL;
}

struct home *homes_get_by_id(struct homes *h, int64_t id)
{
    for (struct home *home = h->by_id[id_bucket(id)]; home != NULL; home = home->next_by_id)
        if (home->id == id)
            return home;
    return NULL;
}

struct branch *branch_get(struct homes *h, const struct tree *tree, uint32_t view)
{
    struct branch *any = NULL;

    for (struct branch *b = h->by_tree[tree_bucket(tree)]; b != NULL; b = b->next) {
        if (b->tree != tree)
            continue;
        if (b->view == view)
            return b;
        any = b;
    }
    return any;
}

static void branch_unlink(struct homes *h, const struct branch *b)
{
    for (struct branch **at = &h->by_tree[tree_bucket(b->tree)]; *at != NULL; at = &(*at)->next) {
        if (*at == b) {
            *at = b->next;
            return;
        }
    }
}

static void id_unlink(struct homes *h, const struct home *home)
{
    for (struct home **at = &h->by_id[id_bucket(home->id)]; *at != NULL; at = &(*at)->next_by_id) {
        if (*at == home) {
            *at = home->next_by_id;
            return;
        }
    }
}

static struct home *home_unlink(struct homes *h, const char *username)
{
    for (struct home **at = &h->by_name[name_bucket(username)]; *at != NULL; at = &(*at)->next) {
        struct home *home = *at;
        if (strcmp(home->username, username) != 0)
            continue;
        *at = home->next;
        id_unlink(h, home);
        for (size_t i = 0; i < home->branches_n; i++)
            branch_unlink(h, &home->branches[i]);
        return home;
    }
    return NULL;
}

struct home *home_put(struct homes *h, struct home *new_home)
{
    size_t bucket = name_bucket(new_home->username);

    rwlock_lock(&h->lock);
    struct home *old = home_unlink(h, new_home->username);
    new_home->is_settled = (old != NULL && old->is_settled) || new_home->branches_n == 1 || !h->resumes;
    new_home->next = h->by_name[bucket];
    h->by_name[bucket] = new_home;
    new_home->next_by_id = h->by_id[id_bucket(new_home->id)];
    h->by_id[id_bucket(new_home->id)] = new_home;
    for (size_t i = 0; i < new_home->branches_n; i++) {
        struct branch *b = &new_home->branches[i];
        b->next = h->by_tree[tree_bucket(b->tree)];
        h->by_tree[tree_bucket(b->tree)] = b;
    }
    rwlock_unlock(&h->lock);
    return old;
}

struct home *home_take(struct homes *h, const char *username, int64_t id)
{
    rwlock_lock(&h->lock);
    const struct home *there = homes_get(h, username);
    struct home *old = there != NULL && (id == 0 || there->id == id) ? home_unlink(h, username) : NULL;
    rwlock_unlock(&h->lock);
    return old;
}

uint64_t branch_root(struct vfs *v, const struct branch *b)
{
    struct record_view rec;
    slot_t slot = tree_root(b->tree);

    return record_view(v->ledger, slot, 0, &rec) ? node_id(b->view, rec.generation, slot) : 0;
}

uint64_t home_find(struct vfs *v, const char *username)
{
    struct homes *h = v->homes;
    uint64_t node = 0;

    rwlock_lock_shared(&h->lock);
    struct home *home = homes_get(h, username);
    if (home != NULL)
        node = branch_root(v, &home->branches[0]);
    rwlock_unlock(&h->lock);
    return node;
}

/* ---- is it still what the path means? ---------------------------------------------------------------------------- */

struct rooted {
    char path[PATH_MAX], username[NAME_MAX + 1], folder[NAME_MAX + 1];
    int64_t folder_id;
    dev_t dev;
    ino_t ino;
    uint32_t generation;
    slot_t slot;
};

static bool root_copy(struct vfs *v, uint64_t node, struct rooted *ret)
{
    struct homes *h = v->homes;
    struct tree *tree = tree_of(v->ledger, node_slot(node));

    rwlock_lock_shared(&h->lock);
    const struct branch *b = tree != NULL ? branch_get(h, tree, node_view(node)) : NULL;
    if (b != NULL) {
        *ret = (struct rooted){ .folder_id = b->folder_id,
                                .dev = b->dev,
                                .ino = b->ino,
                                .generation = node_generation(node),
                                .slot = node_slot(node) };
        str_set(ret->path, sizeof ret->path, b->path);
        str_set(ret->username, sizeof ret->username, b->home->username);
        str_set(ret->folder, sizeof ret->folder, b->folder_name != NULL ? b->folder_name : "");
    }
    rwlock_unlock(&h->lock);
    return b != NULL;
}

/* A directory that was moved away and has no successor is served on: perhaps one is on its way. */
static bool is_gone(struct vfs *v, const struct rooted *x)
{
    struct stat st;
    CLEANUP(fd_close) int fd = record_open_fd(v->ledger, x->slot, x->generation, O_PATH);

    return fd < 0 || (sys->fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && st.st_nlink == 0);
}

static bool has_moved(struct vfs *v, const struct rooted *x)
{
    struct stat st;
    int r = backing_look(v->backings, x->path, &st);

    if (r == 0)
        return st.st_dev != x->dev || st.st_ino != x->ino;
    return r == -ENOENT && is_gone(v, x);
}

bool root_follow(struct vfs *v, uint64_t node)
{
    struct rooted x;

    if (!root_copy(v, node, &x) || !has_moved(v, &x))
        return false;
    log_warn("%s was removed or replaced beneath the mount: what is there now is served to user %s", x.path,
             x.username);
    if (x.folder_id != 0)
        folder_refresh(v, x.folder, x.folder_id);
    else
        home_refresh(v, x.username, 0);
    return true;
}

static bool tree_is_shared(const struct branch *b)
{
    for (const struct branch *other = b->next; other != NULL; other = other->next)
        if (other->tree == b->tree)
            return true;
    return false;
}

bool place_find(struct vfs *v, struct tree *tree, uint32_t view, struct place *ret)
{
    struct homes *h = v->homes;

    rwlock_lock_shared(&h->lock);
    struct branch *b = branch_get(h, tree, view);
    if (b != NULL) {
        struct branch *first = h->by_tree[tree_bucket(tree)];
        while (first->tree != tree)
            first = first->next;
        *ret = (struct place){ .tree = tree,
                               .room = room_ref(b->room),
                               .view = b->view,
                               .salt = b->view != 0 ? (uint32_t)b->home->id * 2654435761U : 0,
                               .in_quota_of = b->view == 0 || b->is_included ? b->home->id : 0,
                               .is_shared = b->view != 0 && tree_is_shared(first),
                               .has_points = b->has_points };
    }
    rwlock_unlock(&h->lock);
    return b != NULL;
}

void place_done(struct place *p)
{
    room_unref(p->room);
    *p = (struct place){ 0 };
}

enum { BRANCHES_AT_ONCE = 256 };

void branches_each(struct vfs *v, struct tree *tree, uint32_t not_view, void (*fn)(void *arg, uint32_t view), void *arg)
{
    struct homes *h = v->homes;
    uint32_t views[BRANCHES_AT_ONCE];
    size_t n = 0;

    rwlock_lock_shared(&h->lock);
    for (struct branch *b = h->by_tree[tree_bucket(tree)]; b != NULL && n < ARRAY_SIZE(views); b = b->next)
        if (b->tree == tree && b->view != not_view)
            views[n++] = b->view;
    rwlock_unlock(&h->lock);
    for (size_t i = 0; i < n; i++)
        fn(arg, views[i]);
}
