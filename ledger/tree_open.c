/* Opening a tree: is it one that we know, may it be one, and what must happen before others may use it.
 *
 * Order matters. The repair comes first, so that whoever gets the tree sees right numbers. Then the subscribers are
 * told, so that the watcher sees every change from here on, and only then may the first count begin: what it passes
 * cannot change unseen. */
#include <stdlib.h>
#include <string.h>

#include "ledger/inside.h"

enum { ABOVE_MAX = 4096 };

/* The file system's number in our table. After a reboot the device number may be another one for the same fsid; an
 * entry that is in use in this life is never given to another device, since two images may carry one fsid. */
static int filesystem_pick(struct ledger *l, uint64_t dev, uint64_t fsid)
{
    struct filesystem *v = l->inodes->filesystems;
    int unused = -ENOSPC;

    for (int i = 0; i < FILESYSTEMS_MAX; i++) {
        if (v[i].used && v[i].dev == dev && (v[i].fsid == fsid || l->fs_live[i]))
            return i;
        if (v[i].used && v[i].dev == dev)
            v[i].dev = 0; /* another file system has this number now */
    }
    for (int i = 0; i < FILESYSTEMS_MAX; i++) {
        if (v[i].used && fsid != 0 && v[i].fsid == fsid && !l->fs_live[i])
            return i;
        if (!v[i].used && unused < 0)
            unused = i;
    }
    return unused;
}

int filesystem_get(struct ledger *l, int fd, uint64_t dev, uint16_t *ret)
{
    struct statfs sf;
    uint64_t fsid = 0;
    int r = sys->fstatfs(fd, &sf);

    if (r < 0)
        return r;
    memcpy(&fsid, &sf.f_fsid, sizeof fsid);
    mutex_lock(&l->fs_m);
    r = filesystem_pick(l, dev, fsid);
    if (r >= 0) {
        l->inodes->filesystems[r] = (struct filesystem){ .dev = dev, .fsid = fsid, .used = 1 };
        l->fs_live[r] = true;
        *ret = (uint16_t)r;
    }
    mutex_unlock(&l->fs_m);
    return r < 0 ? r : 0;
}

struct opening {
    struct ledger *l;
    struct domain *owner;
    int root_fd, mount_fd;
    struct stat st;
    struct handle handle;
    uint16_t fs;
    uint64_t *above;
    uint32_t n_above;
};

static bool in_a_tree(const struct opening *o, uint64_t ino)
{
    slot_t slot = index_find(&o->l->index, o->fs, ino);

    return slot != SLOT_NONE &&
           (record_head(record_at(o->l, slot)) & (RECORD_LIVE | RECORD_DIR)) == (RECORD_LIVE | RECORD_DIR);
}

/* The directories above the root, up to the end of its file system. -EXDEV: one of them is in a tree. */
static int look_above(struct opening *o)
{
    const struct open_how how = { .flags = O_PATH | O_DIRECTORY };
    CLEANUP(fd_close) int at = sys->openat2(o->root_fd, "..", &how);
    struct stat st, last = o->st;

    while (at >= 0 && o->n_above < ABOVE_MAX) {
        int r = sys->fstatat(at, "", &st, AT_EMPTY_PATH);

        if (r < 0)
            return r;
        if (st.st_dev != o->st.st_dev || st.st_ino == last.st_ino)
            return 0;
        if (in_a_tree(o, st.st_ino))
            return -EXDEV;
        uint64_t *more = reallocarray(o->above, o->n_above + 1, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        o->above = more;
        o->above[o->n_above++] = st.st_ino;
        last = st;
        int up = sys->openat2(at, "..", &how);
        fd_close(&at);
        at = up;
    }
    return at < 0 ? at : -ELOOP;
}

/* The tree with this root, if there is one; NULL in *ret if the root is new to us. */
static int tree_known(struct opening *o, struct tree **ret)
{
    struct ledger *l = o->l;
    slot_t slot = index_find(&l->index, o->fs, o->st.st_ino);
    struct record *r = record_at(l, slot);
    struct tree *t = slot ? tree_of(l, slot) : NULL;

    *ret = NULL;
    if (t == NULL)
        return 0;
    bool same = record_has_handle(r, &o->handle);
    if (!(record_head(r) & RECORD_ROOT)) {
        if (same)
            return -EXDEV;
        record_lock(l, slot);
        settle_gone_locked(l, slot); /* of an inode that had this number before */
        record_unlock(l, slot);
        return 0;
    }
    if (!same) {
        tree_forget_quietly(t);
        return 0;
    }
    if (tree_owner(t) != o->owner)
        return -EEXIST;
    *ret = t;
    return 0;
}

/* A tree of this owner from an earlier life that is not where it was: its directory was replaced, or its device. */
static struct tree *tree_left_over(const struct opening *o)
{
    for (uint32_t i = 0; i < o->l->n_trees; i++) {
        struct tree *t = o->l->trees[i];

        if (t && !t->gone && !t->open && tree_owner(t) == o->owner)
            return t;
    }
    return NULL;
}

static int note_above(const struct opening *o, struct tree *t)
{
    for (uint32_t i = 0; i < o->n_above; i++) {
        int r = index_count(&o->l->above, o->fs, t->above[i], 1);
        if (r < 0)
            return r;
        t->n_above = i + 1;
    }
    return 0;
}

static int attach(struct opening *o, struct tree *t)
{
    t->above = TAKE_PTR(o->above);
    int r = note_above(o, t);
    if (r < 0)
        return r;
    t->root_fd = take_fd(&o->root_fd);
    t->mount_fd = o->mount_fd;
    t->fs = o->fs;
    t->dev = o->st.st_dev;
    atomic_store_explicit(&t->open, true, memory_order_release);
    if (t->unrepaired) {
        atomic_store_explicit(&t->quiet, true, memory_order_relaxed);
        repair_tree(t);
        atomic_store_explicit(&t->quiet, false, memory_order_relaxed);
        tree_repaired(t);
    }
    return 0;
}

/* *ret_fresh: this call attached it. */
static int open_locked(struct opening *o, struct tree **ret, bool *ret_fresh)
{
    struct ledger *l = o->l;
    struct tree *t = NULL, *old;
    int r = tree_known(o, &t);

    if (r < 0)
        return r;
    if (t && t->open) {
        *ret = t;
        return 0;
    }
    if (t == NULL && index_find(&l->above, o->fs, o->st.st_ino) != 0)
        return -EXDEV;
    r = look_above(o);
    if (r < 0)
        return r;
    while (t == NULL && (old = tree_left_over(o)) != NULL)
        tree_forget_quietly(old);
    if (t == NULL)
        r = tree_make(l, o->owner, &o->st, &o->handle, o->fs, &t);
    if (r == 0)
        r = attach(o, t);
    if (r < 0)
        return r;
    *ret = t;
    *ret_fresh = true;
    return 0;
}

static int any_entry(void *arg, const struct entry *e)
{
    (void)arg;
    (void)e;
    return 1;
}

/* Nothing is there, and nothing was. */
static bool is_empty(struct tree *t)
{
    CLEANUP(fd_close) int fd = sys->open_fd(t->root_fd, O_RDONLY | O_DIRECTORY);

    return fd >= 0 && place_is_empty(t->l, tree_root(t)) && entries_each(fd, any_entry, NULL) == 0;
}

static void count_if_needed(struct tree *t)
{
    struct domain *owner = tree_owner(t);

    if (t->l->o.track == TRACK_NONE)
        return; /* what happens in this life is not followed closely enough to be believed in another */
    if (!atomic_load_explicit(&t->s->counted, memory_order_relaxed) && is_empty(t)) {
        tree_counted(t);
        domain_trust(owner, TRUST_LESS_TO_COUNT, 0);
    }
    if (!atomic_load_explicit(&t->s->counted, memory_order_relaxed) || domain_is_stale(owner))
        recount_again(owner);
}

static int prepare(struct opening *o)
{
    int r = sys->fstatat(o->root_fd, "", &o->st, AT_EMPTY_PATH);

    if (r == 0 && !S_ISDIR(o->st.st_mode))
        r = -ENOTDIR;
    if (r == 0)
        r = filesystem_get(o->l, o->root_fd, o->st.st_dev, &o->fs);
    if (r == 0)
        r = record_handle(o->root_fd, "", &o->handle);
    return r;
}

int tree_open(struct ledger *l, struct domain *owner, int root_fd, int mount_fd, struct tree **ret)
{
    struct opening o = { .l = l, .owner = owner, .root_fd = root_fd, .mount_fd = mount_fd };
    struct tree *t = NULL;
    bool fresh = false;
    int r = prepare(&o);

    if (r == 0) {
        mutex_lock(&l->opening);
        r = open_locked(&o, &t, &fresh);
        mutex_unlock(&l->opening);
    }
    fd_close(&o.root_fd);
    free(o.above);
    if (r < 0)
        return r;
    if (fresh) {
        ledger_tell_tree(l, t, true);
        count_if_needed(t);
    }
    *ret = t;
    return 0;
}
