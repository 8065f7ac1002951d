/* Looking again: what the watcher, and the repair after a crash, ask for. Nobody says what changed; we look at what is
 * there. A name that is there is met (meet.c). A name that is gone says nothing of its inode, so the records that hang
 * on the directory are compared with a listing of it; gone.c knows what becomes of those that are missing. */
#include <dirent.h>
#include <stdlib.h>

#include "ledger/gone.h"

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
    if (rl->deeper && (record_head(record_at(rl->t->l, rl->dir)) & RECORD_UNLISTED))
        record_flag_clear(record_at(rl->t->l, rl->dir), RECORD_UNLISTED); /* before: what comes now has an event */
    return entries_each(fd, relist_entry, rl);
}

static int settle_missing(struct tree *t, slot_t dir, struct index *names, const struct hanging *h)
{
    struct gone g = { .l = t->l };
    int r = 0;

    for (size_t i = 0; r == 0 && i < h->n; i++)
        if (index_find(names, 0, record_at(t->l, h->v[i])->ino) == 0)
            r = gone_name(&g, dir, h->v[i], h->generations[i]);
    return gone_end(&g, r);
}

/* Lists the directory and settles what is missing in it. */
static int relist_and_miss(struct relisting *rl)
{
    CLEANUP(hanging_done) struct hanging before = { 0 };
    struct index names;
    int r = index_init(&names, 1);

    if (r < 0)
        return r;
    rl->names = &names;
    r = hanging_take(rl->t->l, rl->dir, &before);
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
