/* What is gone, what left, and what hung on it.
 *
 * Of a record that has no name any more where it hangs, the handle tells whether its inode still exists. If it does, it
 * moved: a directory can be asked for its "..", so its new place is known, or that it left the tree. A file cannot be
 * asked. If it has one name it is lost to this directory: uncharged until it is met again, which, if it moved within
 * our trees, the other half of the same rename sees to (it may also have done so before, then the file hangs elsewhere
 * and is not missing here). If it has several names, only a recount knows.
 *
 * The names in a directory end with it. So when a directory turns out to be gone, by its handle or because another
 * inode has its number, all that still hangs on it is missing there, directory by directory. To hang it on the parent
 * and leave it to the parent's listing is not enough: that listing may be the one that found the directory gone, and
 * what comes to hang there meanwhile is not in it. */
#include <stdlib.h>

#include "base/log.h"
#include "ledger/gone.h"

enum { DEPTH_MAX = 4096 };

int slots_push(struct slots *s, slot_t slot)
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

static bool is_live(struct ledger *l, slot_t slot, uint32_t flags)
{
    return slot != SLOT_NONE && slot < atomic_load_explicit(&l->n_records, memory_order_acquire) &&
           (record_head(record_at(l, slot)) & (flags | RECORD_LIVE)) == (flags | RECORD_LIVE);
}

/* Is it still the record that it was? */
static bool is_life(struct ledger *l, slot_t slot, uint32_t generation)
{
    return is_live(l, slot, 0) && (record_head(record_at(l, slot)) & GENERATION_MASK) == generation;
}

/* ---- what hangs on a directory ----------------------------------------------------------------------------------- */

void hanging_done(struct hanging *h)
{
    free(h->v);
    free(h->generations);
}

int hanging_take(struct ledger *l, slot_t dir, struct hanging *ret)
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

/* It may have a name elsewhere in its tree: nobody but a recount can tell. */
static void doubt(struct ledger *l, slot_t slot)
{
    struct tree *t = tree_of(l, slot);

    if (t == NULL)
        return;
    domain_mark_stale(tree_owner(t));
    recount_again(tree_owner(t));
}

static void lose_file(struct gone *g, slot_t slot)
{
    bool had_links = record_head(record_at(g->l, slot)) & RECORD_LINKS;

    if (had_links)
        doubt(g->l, slot);
    record_lock(g->l, slot);
    if (is_live(g->l, slot, 0) && !is_live(g->l, slot, RECORD_DIR))
        settle_lost_locked(g->l, slot);
    record_unlock(g->l, slot);
    ledger_tell(g->l, slot, SLOT_NONE, NULL);
}

/* A directory left all our trees, with everything in it. */
static int lose_dir(struct gone *g, slot_t dir)
{
    struct ledger *l = g->l;
    struct slots todo = { .n = 0 };
    int r = slots_push(&todo, dir);

    while (r == 0 && todo.n > 0) {
        CLEANUP(hanging_done) struct hanging h = { 0 };
        slot_t at = todo.v[--todo.n];

        if (is_live(l, at, RECORD_DIR)) {
            r = hanging_take(l, at, &h);
            for (size_t i = 0; r == 0 && i < h.n; i++)
                r = slots_push(&todo, h.v[i]);
            place_remove_dir(l, at, 0);
            ledger_tell(l, at, SLOT_NONE, NULL);
        } else if (is_live(l, at, 0)) {
            lose_file(g, at);
        }
    }
    free(todo.v);
    return r;
}

static int missing_dir(struct gone *g, slot_t slot)
{
    struct ledger *l = g->l;
    slot_t above = SLOT_NONE;
    int r = known_above(l, slot, &above);
    struct tree *t = r == 0 && above ? tree_of(l, above) : NULL;

    if (r == -ESTALE || r == -ENOENT)
        return slots_push(&g->dirs, slot);
    if (r < 0)
        return r;
    if (t == NULL)
        return lose_dir(g, slot);
    if (record_place(record_at(l, slot)) != place_of(t->index, above)) {
        place_move(l, slot, 0, t, above);
        ledger_tell(l, slot, SLOT_NONE, NULL);
    }
    return 0;
}

/* 1: it may have other names. */
static int missing_file_locked(struct gone *g, slot_t dir, slot_t slot, uint32_t generation)
{
    struct ledger *l = g->l;
    struct record *r = record_at(l, slot);
    struct stat st;

    if (!is_life(l, slot, generation) || is_live(l, slot, RECORD_DIR) || place_parent(record_place(r)) != dir)
        return 0; /* it was met elsewhere meanwhile, or is gone */
    bool had_links = record_head(r) & RECORD_LINKS;
    struct charge was = charge_of(r);
    int e = stat_slot(l, slot, &st);
    if (e < 0 && e != -ESTALE && e != -ENOENT)
        return e;
    if (e == 0 && st.st_nlink > 0 && (had_links || st.st_nlink > 1)) {
        settle_stat(l, slot, &st, SETTLE_BY_HANDLE, NULL);
        return 1;
    }
    g->lost.bytes += was.bytes;
    g->lost.files += was.files;
    if (e == 0 && st.st_nlink > 0)
        settle_lost_locked(l, slot);
    else
        settle_gone_locked(l, slot);
    return 0;
}

int gone_name(struct gone *g, slot_t dir, slot_t slot, uint32_t generation)
{
    struct ledger *l = g->l;

    if (!is_life(l, slot, generation))
        return 0;
    if (is_live(l, slot, RECORD_DIR))
        return missing_dir(g, slot);
    record_lock(l, slot);
    int r = missing_file_locked(g, dir, slot, generation);
    record_unlock(l, slot);
    if (r == 1)
        doubt(l, slot);
    ledger_tell(l, slot, SLOT_NONE, NULL);
    return r < 0 ? r : 0;
}

/* ---- what is gone ------------------------------------------------------------------------------------------------ */

int gone_dir(struct gone *g, slot_t dir, uint32_t generation)
{
    CLEANUP(hanging_done) struct hanging h = { 0 };
    int r = hanging_take(g->l, dir, &h);

    if (!is_life(g->l, dir, generation))
        return 0; /* somebody was faster, and what was taken may hang on the next life of the slot */
    for (size_t i = 0; r == 0 && i < h.n; i++)
        r = gone_name(g, dir, h.v[i], h.generations[i]);
    place_remove_dir(g->l, dir, generation);
    ledger_tell(g->l, dir, SLOT_NONE, NULL);
    return r;
}

static int look_dir_slot(struct gone *g, slot_t dir)
{
    uint32_t generation = record_head(record_at(g->l, dir)) & GENERATION_MASK;
    struct stat st;
    int r = stat_slot(g->l, dir, &st);

    if (r == 0 && st.st_nlink > 0)
        return 0;
    if (r < 0 && r != -ESTALE && r != -ENOENT)
        return r;
    return gone_dir(g, dir, generation);
}

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

int gone_end(struct gone *g, int r)
{
    while (r == 0 && g->dirs.n > 0) {
        slot_t at = g->dirs.v[--g->dirs.n];

        if (is_live(g->l, at, RECORD_DIR))
            r = look_dir_slot(g, at);
        else if (is_live(g->l, at, 0))
            r = look_file(g->l, at);
    }
    free(g->dirs.v);
    g->dirs = (struct slots){ 0 };
    return r == -ENOENT ? 0 : r;
}

int look_slot(struct ledger *l, slot_t slot)
{
    struct gone g = { .l = l };

    return gone_end(&g, slots_push(&g.dirs, slot));
}
