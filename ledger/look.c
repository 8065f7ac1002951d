/* Looking again: what the watcher, and the repair after a crash, ask for. Nobody says what changed; we look at what is
 * there.
 *
 * A name that is there is met (meet.c). A name that is gone says nothing of its inode, so the records that hang on the
 * directory are compared with a listing of it. Of one that is missing there, the handle tells whether it still exists.
 * If it does, it moved: a directory can be asked for its "..", so its new place is known, or that it left the tree. A
 * file cannot be asked. If it has one name it is lost to this directory: uncharged until it is met again, which, if it
 * moved within our trees, the other half of the same rename sees to (it may also have done so before, then the file
 * hangs elsewhere and is not missing here). If it has several names, only a recount knows. */
#include <dirent.h>
#include <stdlib.h>

#include "ledger/inside.h"

enum { DEPTH_MAX = 4096 };

struct slots {
    slot_t *v;
    size_t n, room;
};

static int slots_push(struct slots *s, slot_t slot)
{
    if (s->n == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        slot_t *more = reallocarray(s->v, room, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        s->v = more;
        s->room = room;
    }
    s->v[s->n++] = slot;
    return 0;
}

static int slots_push_children(struct slots *s, struct ledger *l, slot_t dir)
{
    CLEANUP(mem_free) slot_t *v = NULL;
    size_t n = 0;
    int r = place_children(l, dir, &v, &n);

    for (size_t i = 0; r == 0 && i < n; i++)
        r = slots_push(s, v[i]);
    return r == -ENOENT ? 0 : r;
}

static bool is_live(struct ledger *l, slot_t slot, uint32_t flags)
{
    return slot != SLOT_NONE && slot < atomic_load_explicit(&l->n_records, memory_order_acquire) &&
           (record_head(record_at(l, slot)) & (flags | RECORD_LIVE)) == (flags | RECORD_LIVE);
}

/* ---- by handle --------------------------------------------------------------------------------------------------- */

static int look_file_locked(struct ledger *l, slot_t slot, bool *ret_differed)
{
    struct stat st;

    *ret_differed = false;
    if (!is_live(l, slot, 0) || (record_head(record_at(l, slot)) & RECORD_DIR))
        return 0;
    int r = stat_slot(l, slot, &st);
    if (r == -ESTALE || r == -ENOENT || (r == 0 && st.st_nlink == 0)) {
        *ret_differed = true;
        if (r == 0)
            settle_stat(l, slot, &st, SETTLE_BY_HANDLE, NULL); /* it may be open and have grown */
        settle_gone_locked(l, slot);
        return 0;
    }
    if (r == 0)
        *ret_differed = settle_stat(l, slot, &st, SETTLE_BY_HANDLE, NULL);
    return r;
}

static int look_file(struct ledger *l, slot_t slot)
{
    bool differed;

    record_lock(l, slot);
    int r = look_file_locked(l, slot, &differed);
    record_unlock(l, slot);
    if (differed)
        ledger_tell(l, slot, SLOT_NONE, NULL);
    return r;
}

/* A directory that is gone goes, and what hung on it is looked at in turn. */
static int look_dir_slot(struct ledger *l, slot_t dir, struct slots *todo)
{
    struct stat st;
    int r = stat_slot(l, dir, &st);

    if (r == 0 && st.st_nlink > 0)
        return 0;
    if (r < 0 && r != -ESTALE && r != -ENOENT)
        return r;
    r = slots_push_children(todo, l, dir);
    place_remove_dir(l, dir);
    ledger_tell(l, dir, SLOT_NONE, NULL);
    return r;
}

int look_slot(struct ledger *l, slot_t slot)
{
    struct slots todo = { .n = 0 };
    int r = slots_push(&todo, slot);

    while (r == 0 && todo.n > 0) {
        slot_t at = todo.v[--todo.n];

        if (!is_live(l, at, 0))
            continue;
        r = is_live(l, at, RECORD_DIR) ? look_dir_slot(l, at, &todo) : look_file(l, at);
    }
    free(todo.v);
    return r;
}

/* ---- what left --------------------------------------------------------------------------------------------------- */

/* A directory of one of our trees above this one, by "..", or SLOT_NONE. */
static int known_above(struct ledger *l, slot_t dir, slot_t *ret)
{
    const struct open_how how = { .flags = O_PATH | O_DIRECTORY };
    CLEANUP(fd_close) int at = record_open_fd(l, dir, 0, O_PATH | O_DIRECTORY);
    const struct record *r = record_at(l, dir);
    uint64_t last = r->ino;
    struct stat st;

    *ret = SLOT_NONE;
    for (unsigned depth = 0; at >= 0 && depth < DEPTH_MAX; depth++) {
        int up = sys->openat2(at, "..", &how);
        fd_close(&at);
        at = up;
        int e = at < 0 ? at : sys->fstatat(at, "", &st, AT_EMPTY_PATH);
        if (e < 0)
            return e;
        slot_t slot = record_find(l, st.st_dev, st.st_ino);
        if (st.st_ino == last || slot == dir)
            return 0; /* the end of the file system, or a ring that is being made */
        if (is_live(l, slot, RECORD_DIR)) {
            *ret = slot;
            return 0;
        }
        last = st.st_ino;
    }
    return at < 0 ? at : 0;
}

static void lose_file(struct ledger *l, slot_t slot)
{
    record_lock(l, slot);
    if (is_live(l, slot, 0) && !is_live(l, slot, RECORD_DIR))
        settle_lost_locked(l, slot);
    record_unlock(l, slot);
    ledger_tell(l, slot, SLOT_NONE, NULL);
}

/* A directory left all our trees, with everything in it. */
static int lose_dir(struct ledger *l, slot_t dir)
{
    struct slots todo = { .n = 0 };
    int r = slots_push(&todo, dir);

    while (r == 0 && todo.n > 0) {
        slot_t at = todo.v[--todo.n];

        if (is_live(l, at, RECORD_DIR)) {
            r = slots_push_children(&todo, l, at);
            place_remove_dir(l, at);
            ledger_tell(l, at, SLOT_NONE, NULL);
        } else if (is_live(l, at, 0)) {
            lose_file(l, at);
        }
    }
    free(todo.v);
    return r;
}

static int missing_dir(struct ledger *l, slot_t slot)
{
    slot_t above = SLOT_NONE;
    int r = known_above(l, slot, &above);
    struct tree *t = r == 0 && above ? tree_of(l, above) : NULL;

    if (r == -ESTALE || r == -ENOENT)
        return look_slot(l, slot);
    if (r < 0)
        return r;
    if (t == NULL)
        return lose_dir(l, slot);
    if (record_place(record_at(l, slot)) != place_of(t->index, above)) {
        place_move(l, slot, t, above);
        ledger_tell(l, slot, SLOT_NONE, NULL);
    }
    return 0;
}

/* Is it still the record that it was? */
static bool is_life(struct ledger *l, slot_t slot, uint32_t generation)
{
    return is_live(l, slot, 0) && (record_head(record_at(l, slot)) & GENERATION_MASK) == generation;
}

/* 1: it may have other names, and only a recount can tell. */
static int missing_file_locked(struct ledger *l, slot_t dir, slot_t slot, uint32_t generation)
{
    struct record *r = record_at(l, slot);
    struct stat st;

    if (!is_life(l, slot, generation) || is_live(l, slot, RECORD_DIR) || place_parent(record_place(r)) != dir)
        return 0; /* it was met elsewhere meanwhile, or is gone */
    bool had_links = record_head(r) & RECORD_LINKS;
    int e = stat_slot(l, slot, &st);
    if (e == 0 && st.st_nlink > 0 && (had_links || st.st_nlink > 1)) {
        settle_stat(l, slot, &st, SETTLE_BY_HANDLE, NULL);
        return 1;
    }
    if (e == 0 && st.st_nlink > 0)
        settle_lost_locked(l, slot);
    else if (e == 0 || e == -ESTALE || e == -ENOENT)
        settle_gone_locked(l, slot);
    else
        return e;
    return 0;
}

static int missing(struct tree *t, slot_t dir, slot_t slot, uint32_t generation)
{
    struct ledger *l = t->l;

    if (!is_life(l, slot, generation))
        return 0;
    if (is_live(l, slot, RECORD_DIR))
        return missing_dir(l, slot);
    record_lock(l, slot);
    int r = missing_file_locked(l, dir, slot, generation);
    record_unlock(l, slot);
    if (r == 1) {
        domain_mark_stale(tree_owner(t));
        recount_again(tree_owner(t));
    }
    ledger_tell(l, slot, SLOT_NONE, NULL);
    return r < 0 ? r : 0;
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

struct relisting {
    struct tree *t;
    slot_t dir;
    int fd;
    struct index *names;  /* inode numbers that have a name here; NULL: nobody asks */
    struct slots *deeper; /* directories to list as well; NULL: nothing is settled, only listed */
};

static int relist_entry(void *arg, const struct entry *e)
{
    struct relisting *rl = arg;
    struct met m = { .slot = SLOT_NONE };
    uint32_t there;
    int r = rl->names ? index_insert(rl->names, 0, e->ino, 1, &there) : 0;

    if (r < 0 || rl->deeper == NULL)
        return r;
    bool maybe_file = e->type == DT_REG || e->type == DT_UNKNOWN,
         maybe_dir = e->type == DT_DIR || e->type == DT_UNKNOWN;
    r = maybe_file ? meet_file(rl->t, rl->dir, rl->fd, e->name, e->ino, &m) : -ENOENT;
    if (r == -ENOENT && maybe_dir) {
        r = meet_dir(rl->t, rl->dir, rl->fd, e->name, &m);
        if (r == 0 && m.differed && tree_of(rl->t->l, m.slot) == rl->t)
            r = slots_push(rl->deeper, m.slot);
    }
    if (r == 0 && m.differed)
        ledger_tell(rl->t->l, m.slot, rl->dir, e->name);
    return r == -ENOENT ? 0 : r;
}

/* Lists a directory; -ESTALE: it is gone. */
static int relist(struct relisting *rl)
{
    CLEANUP(fd_close) int fd = record_open_fd(rl->t->l, rl->dir, 0, O_RDONLY | O_DIRECTORY | O_NOATIME);

    if (fd < 0)
        return fd == -ENOENT ? -ESTALE : fd;
    rl->fd = fd;
    return entries_each(fd, relist_entry, rl);
}

/* Who hung on a directory before it was listed. What comes later is not in the listing, and not missing. */
struct before {
    slot_t *v;
    uint32_t *generations;
    size_t n;
};

static void before_done(struct before *b)
{
    free(b->v);
    free(b->generations);
}

static int before_take(struct ledger *l, slot_t dir, struct before *ret)
{
    int r = place_children(l, dir, &ret->v, &ret->n);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    ret->generations = calloc(ret->n + 1, sizeof *ret->generations);
    if (ret->generations == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < ret->n; i++)
        ret->generations[i] = record_head(record_at(l, ret->v[i])) & GENERATION_MASK;
    return 0;
}

static int settle_missing(struct tree *t, slot_t dir, struct index *names, const struct before *b)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < b->n; i++)
        if (index_find(names, 0, record_at(t->l, b->v[i])->ino) == 0)
            r = missing(t, dir, b->v[i], b->generations[i]);
    return r == -ENOENT ? 0 : r;
}

/* Lists the directory and settles what is missing in it. */
static int relist_and_miss(struct relisting *rl)
{
    CLEANUP(before_done) struct before before = { 0 };
    struct index names;
    int r = index_init(&names, 1);

    if (r < 0)
        return r;
    rl->names = &names;
    r = before_take(rl->t->l, rl->dir, &before);
    if (r == 0)
        r = relist(rl);
    r = r == -ESTALE ? look_slot(rl->t->l, rl->dir) : r < 0 ? r : settle_missing(rl->t, rl->dir, &names, &before);
    rl->names = NULL;
    index_done(&names);
    return r;
}

int look_gone(struct tree *t, slot_t dir)
{
    struct relisting rl = { .t = t, .dir = dir };

    return relist_and_miss(&rl);
}

/* Lists what is new, directory by directory. */
static int look_deeper(struct tree *t, struct slots *todo)
{
    int r = 0;

    while (r == 0 && todo->n > 0) {
        struct relisting rl = { .t = t, .dir = todo->v[--todo->n], .deeper = todo };

        r = relist(&rl);
        if (r == -ESTALE)
            r = look_slot(t->l, rl.dir);
    }
    return r;
}

int look_dir(struct tree *t, slot_t dir)
{
    struct slots deeper = { .n = 0 };
    struct relisting rl = { .t = t, .dir = dir, .deeper = &deeper };
    int r = relist_and_miss(&rl);

    if (r == 0)
        r = look_deeper(t, &deeper);
    free(deeper.v);
    return r;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static int look_new_dir(struct tree *t, slot_t dir)
{
    struct slots todo = { .n = 0 };
    int r = slots_push(&todo, dir);

    if (r == 0)
        r = look_deeper(t, &todo);
    free(todo.v);
    return r;
}

/* What the name is now, settled. -ENOENT: nothing that counts. */
static int look_entry(struct tree *t, slot_t dir, int fd, const char *name, struct met *m)
{
    int r = meet_file(t, dir, fd, name, 0, m);

    if (r != -ENOENT)
        return r;
    r = meet_dir(t, dir, fd, name, m);
    if (r == 0 && m->differed && tree_of(t->l, m->slot) == t)
        r = look_new_dir(t, m->slot);
    return r;
}

static int look_how(struct tree *t, slot_t dir, const char *name, bool always_tell)
{
    CLEANUP(fd_close) int fd = record_open_fd(t->l, dir, 0, O_PATH | O_DIRECTORY);
    struct met m = { .slot = SLOT_NONE };

    if (fd == -ESTALE || fd == -ENOENT)
        return look_slot(t->l, dir);
    if (fd < 0)
        return fd;
    int r = look_entry(t, dir, fd, name, &m);
    if (always_tell || m.differed || r == -ENOENT)
        ledger_tell(t->l, m.slot, dir, name);
    return r == -ENOENT ? 0 : r;
}

int look(struct tree *t, slot_t dir, const char *name)
{
    return look_how(t, dir, name, false);
}

int look_named(struct tree *t, slot_t dir, const char *name)
{
    return look_how(t, dir, name, true);
}
