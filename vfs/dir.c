/* One path for all that makes a name, one for all that takes one away. A table says what differs.
 *
 * If the ledger cannot take a new object in (its map is full), the name is taken away again: nothing may exist that
 * is not counted. */
#include "vfs/dir.h"

#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/dirs.h"
#include "vfs/dir_lock.h"
#include "vfs/journal.h"
#include "vfs/notices.h"
#include "vfs/pins.h"
#include "vfs/transport.h"

/* ---- look-up ---------------------------------------------------------------------------------------------------- */

/* A home or folder by its root. The disk is asked whether another directory is there by now, so others read on. */
static int branch_lookup(struct vfs *v, uint64_t id, struct node *ret)
{
    transport_slow();
    return root_follow(v, id) ? -ESTALE : node_get(v, id, ret);
}

static int root_lookup(struct vfs *v, const char *name, struct node *ret)
{
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    uint64_t id = home_find(v, name);
    int r = id != 0 ? branch_lookup(v, id, ret) : -ESTALE;

    if (r != -ESTALE)
        return r;
    transport_slow();
    r = home_activate(v, name);
    if (r < 0)
        return r == -ENOENT ? r : -EIO; /* why is in the log */
    id = home_find(v, name);
    return id == 0 ? -ENOENT : node_get(v, id, ret);
}

static int folder_lookup(struct vfs *v, const struct node *dir, const char *name, uint64_t id, struct node *ret)
{
    int r = branch_lookup(v, id, ret);

    return r == -ESTALE ? node_get(v, point_find(v, dir->id, name).node, ret) : r;
}

static int real_lookup(struct vfs *v, const struct node *dir, const char *name, struct node *ret, struct stat *ret_st)
{
    int r = node_child(v, dir, name, ret, ret_st);

    if (r == 0)
        stat_of_node(ret, ret_st);
    return r;
}

/* A name on the way is the real directory of that name, if the home has one, else the synthetic one. */
static int on_the_way_lookup(struct vfs *v, const struct node *dir, const char *name, struct node *ret)
{
    struct node child = NODE_EMPTY;
    struct stat st;
    bool is_real = dir->kind == NODE_IS_REAL && node_child(v, dir, name, &child, &st) == 0 && child.rec.is_dir;

    point_real(v, dir->id, name, is_real ? child.id : 0);
    node_put(&child);
    return node_get(v, point_find(v, dir->id, name).node, ret);
}

/* "." and "..", which only those ask for who turn a file handle into a path again. */
static uint64_t parent_of(struct vfs *v, const struct node *dir)
{
    struct record_view above;

    if (dir->kind == NODE_IS_ROOT)
        return NODE_ROOT;
    if (dir->kind == NODE_IS_SYNTHETIC || tree_root(dir->at.tree) == dir->slot) {
        uint64_t id = point_parent(v, dir->id);
        return id != 0 ? id : NODE_ROOT;
    }
    if (!record_view(v->ledger, dir->rec.parent, 0, &above))
        return NODE_ROOT;
    return node_id(dir->at.view, above.generation, dir->rec.parent);
}

static int dot_lookup(struct vfs *v, const struct node *dir, const char *name, struct node *ret)
{
    return node_get(v, name[1] == '.' ? parent_of(v, dir) : dir->id, ret);
}

static int lookup_in(struct vfs *v, const struct node *dir, const char *name, struct node *ret, struct stat *ret_st)
{
    struct point_seen point = { 0 };
    int r;

    if (dir->kind == NODE_IS_SYNTHETIC || dir->at.has_points)
        point = point_find(v, dir->id, name);
    if (name_is_dot(name))
        r = dot_lookup(v, dir, name, ret);
    else if (dir->kind == NODE_IS_ROOT)
        r = root_lookup(v, name, ret);
    else if (point.kind == POINT_FOLDER)
        r = folder_lookup(v, dir, name, point.node, ret);
    else if (point.kind == POINT_ON_THE_WAY)
        r = on_the_way_lookup(v, dir, name, ret);
    else if (dir->kind == NODE_IS_REAL)
        return real_lookup(v, dir, name, ret, ret_st);
    else
        r = -ENOENT;
    return r < 0 ? r : node_stat(v, ret, ret_st);
}

int dir_lookup(struct vfs *v, uint64_t parent, const char *name, struct node *ret, struct stat *ret_st)
{
    CLEANUP(node_put) struct node dir = NODE_EMPTY;
    int r = node_get(v, parent, &dir);

    return r < 0 ? r : lookup_in(v, &dir, name, ret, ret_st);
}

/* ---- a change of names ------------------------------------------------------------------------------------------ */

int naming_open(struct naming *n, struct vfs *v, uint64_t parent, const char *name)
{
    *n = (struct naming){ .v = v, .dir = NODE_EMPTY, .name = name };
    if (name != NULL && (name_is_dot(name) || name[0] == '\0' || strchr(name, '/') != NULL))
        return -EINVAL;
    int r = node_get(v, parent, &n->dir);
    if (r == 0 && n->dir.kind != NODE_IS_REAL)
        r = n->dir.kind == NODE_IS_SYNTHETIC && name != NULL && point_find(v, parent, name).kind != POINT_NONE ? -EBUSY
                                                                                                               : -EPERM;
    if (r == 0 && name != NULL && n->dir.at.has_points)
        n->point = point_find(v, parent, name).kind;
    return r;
}

void naming_close(struct naming *n)
{
    reservation_drop(&n->rsv);
    node_put(&n->dir);
}

uint64_t naming_ino(const struct naming *n)
{
    struct stat st;

    return sys->fstatat(n->dir.fd, n->name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

void naming_tell(struct naming *n)
{
    if (n->dir.at.is_shared && n->name != NULL)
        notice_others_name(n->v, n->dir.at.tree, n->dir.at.view, n->dir.slot, n->dir.rec.generation, n->name);
}

static struct mutex *dir_lock_of(struct vfs *v, slot_t dir)
{
    return &v->dir_locks[dir % DIR_LOCKS];
}

void dir_lock(struct vfs *v, slot_t dir) NO_ANALYSIS
{
    mutex_lock(dir_lock_of(v, dir));
}

void dir_unlock(struct vfs *v, slot_t dir) NO_ANALYSIS
{
    mutex_unlock(dir_lock_of(v, dir));
}

void dir_lock_two(struct vfs *v, slot_t a, slot_t b) NO_ANALYSIS
{
    struct mutex *first = MIN(dir_lock_of(v, a), dir_lock_of(v, b));
    struct mutex *second = MAX(dir_lock_of(v, a), dir_lock_of(v, b));

    mutex_lock(first);
    if (first == second)
        return;
    lock_same_rank(true);
    mutex_lock(second);
    lock_same_rank(false);
}

void dir_unlock_two(struct vfs *v, slot_t a, slot_t b) NO_ANALYSIS
{
    if (dir_lock_of(v, a) != dir_lock_of(v, b))
        mutex_unlock(dir_lock_of(v, b));
    mutex_unlock(dir_lock_of(v, a));
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static int make_open(int dir, const char *name, uint32_t how_flags, mode_t mode)
{
    struct open_how how = { .flags = how_flags | O_RDWR | O_NOFOLLOW | O_NONBLOCK,
                            .mode = mode & 07777,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

    return sys->openat2(dir, name, &how);
}

static int make_link(struct vfs *v, const struct naming *n, const struct making *m)
{
    CLEANUP(node_put) struct node source = NODE_EMPTY;
    int r = node_get_real(v, m->source, &source);

    if (r < 0)
        return r;
    if (source.rec.tree != n->dir.rec.tree || source.at.view != n->dir.at.view)
        return -EXDEV;
    return sys->linkat(source.fd, "", n->dir.fd, n->name, AT_EMPTY_PATH);
}

/* The one system call. A descriptor for create and tmpfile, else 0. */
static int make_call(struct call *c, const struct naming *n, const struct making *m)
{
    int dir = n->dir.fd;

    switch (c->op) {
    case OP_MKDIR:
        return sys->mkdirat(dir, m->name, m->mode & 07777);
    case OP_MKNOD:
        return sys->mknodat(dir, m->name, m->mode, m->dev);
    case OP_SYMLINK:
        return sys->symlinkat(m->target, dir, m->name);
    case OP_CREATE:
        return make_open(dir, m->name, O_CREAT | O_EXCL, m->mode);
    case OP_TMPFILE:
        return make_open(dir, ".", O_TMPFILE | (m->flags & O_EXCL), m->mode);
    default:
        return -ENOSYS;
    }
}

static int make_as_caller(struct call *c, const struct naming *n, const struct making *m)
{
    if (c->op == OP_LINK)
        return make_link(c->vfs, n, m);
    caller_become(&c->who);
    int r = make_call(c, n, m);
    caller_done();
    return r;
}

static bool makes_file(const struct call *c, const struct making *m)
{
    return c->op == OP_CREATE || c->op == OP_TMPFILE || (c->op == OP_MKNOD && S_ISREG(m->mode));
}

/* A new object is settled as its record is made. A link's inode has its record already; also one that was sent again
 * after a crash may have, and may not be what it was. */
static void made_settle(struct call *c, struct naming *n, const struct node *made)
{
    struct stat st;

    change_add(&n->change, made->slot);
    if (c->op != OP_LINK && !journal_found(c))
        return;
    record_lock(c->vfs->ledger, made->slot);
    if (sys->fstatat(made->fd, "", &st, AT_EMPTY_PATH) == 0)
        settle_locked(c->vfs->ledger, made->slot, &st); /* nothing, if the slot has another inode by now */
    record_unlock(c->vfs->ledger, made->slot);
}

/* Sent again after a crash, and the name is there although it was not there before: then we made it. */
static bool was_made(const struct call *c, int r)
{
    return r == -EEXIST && journal_found(c) && journal_a(c) == 0;
}

/* *ret_fd: for create and tmpfile, else untouched. */
static int make_once(struct call *c, struct naming *n, const struct making *m, int *ret_fd)
{
    bool opens = c->op == OP_CREATE || c->op == OP_TMPFILE;

    if (c->op != OP_TMPFILE)
        journal_begin(c, naming_ino(n), 0);
    int r = make_as_caller(c, n, m);
    if (was_made(c, r))
        r = opens ? make_open(n->dir.fd, m->name, 0, 0) : 0;
    if (r >= 0 && opens)
        *ret_fd = r;
    return MIN(r, 0);
}

static int make_locked(struct call *c, struct naming *n, const struct making *m, struct node *ret, struct stat *ret_st,
                       int *ret_fd)
{
    CLEANUP(fd_close) int fd = -1;
    int r = change_begin(c->vfs->ledger, &n->dir.slot, 1, &n->change);

    if (r == 0 && makes_file(c, m))
        r = reservation_take(n->dir.at.room, (struct charge){ .files = 1 }, 0, &n->rsv);
    if (r == 0)
        r = make_once(c, n, m, &fd);
    if (r < 0)
        return r;
    r = node_born(c->vfs, &n->dir, n->name, fd, &n->rsv, ret, ret_st);
    if (r < 0) {
        if (n->name != NULL)
            IGNORE(sys->unlinkat(n->dir.fd, n->name, c->op == OP_MKDIR ? AT_REMOVEDIR : 0), "uncounted: must not be");
        return r;
    }
    made_settle(c, n, ret);
    stat_of_node(ret, ret_st);
    if (fd >= 0)
        *ret_fd = take_fd(&fd);
    return 0;
}

int dir_make(struct call *c, uint64_t parent, const struct making *m, struct node *ret, struct stat *ret_st,
             int *ret_fd)
{
    CLEANUP(naming_close) struct naming n;
    int r = naming_open(&n, c->vfs, parent, m->name);

    if (r == 0 && n.point != POINT_NONE)
        r = -EEXIST;
    if (r < 0)
        return r == -EBUSY ? -EEXIST : r;
    dir_lock(c->vfs, n.dir.slot);
    r = make_locked(c, &n, m, ret, ret_st, ret_fd);
    if (r == 0)
        naming_tell(&n);
    change_end(&n.change);
    dir_unlock(c->vfs, n.dir.slot);
    return r;
}

/* ---- taking away ------------------------------------------------------------------------------------------------ */

void name_lost(struct vfs *v, struct node *child)
{
    struct stat st;

    if (sys->fstatat(child->fd, "", &st, AT_EMPTY_PATH) < 0)
        return domain_mark_stale(tree_owner(child->rec.tree));
    if (S_ISDIR(st.st_mode)) {
        settle_gone_locked(v->ledger, child->slot);
        child->is_pinned = true;
    } else if (st.st_nlink == 0) {
        record_pin_locked(v->ledger, child->slot);
        settle_gone_locked(v->ledger, child->slot);
        child->is_pinned = true;
    } else {
        settle_locked(v->ledger, child->slot, &st);
    }
}

bool node_is_still(struct vfs *v, const struct node *n)
{
    struct record_view rec;

    return n->kind == NODE_NONE || record_view(v->ledger, n->slot, n->rec.generation, &rec);
}

/* Sent again after a crash: the name is gone, or is another inode's by now. */
static bool was_removed(const struct call *c, const struct naming *n)
{
    return journal_found(c) && naming_ino(n) != journal_a(c);
}

static int remove_locked(struct call *c, struct naming *n)
{
    CLEANUP(node_put) struct node child = NODE_EMPTY;
    struct stat st;
    slot_t slots[2] = { n->dir.slot };
    int r = 0;

    if (c->is_resent)
        journal_begin(c, naming_ino(n), 0);
    if (was_removed(c, n))
        return 0;
    r = node_child(c->vfs, &n->dir, n->name, &child, &st);
    if (r < 0)
        return r;
    if (S_ISDIR(st.st_mode) != (c->op == OP_RMDIR))
        return c->op == OP_RMDIR ? -ENOTDIR : -EISDIR;
    if (n->dir.at.has_points && point_is(c->vfs, child.id))
        return -EBUSY;
    slots[1] = child.slot;
    r = change_begin(c->vfs->ledger, slots, 2, &n->change);
    if (r < 0)
        return r;
    journal_begin(c, st.st_ino, 0);
    record_lock(c->vfs->ledger, child.slot);
    r = node_is_still(c->vfs, &child) ? 0 : -ESTALE;
    if (r == 0)
        r = sys->unlinkat(n->dir.fd, n->name, c->op == OP_RMDIR ? AT_REMOVEDIR : 0);
    if (r == 0)
        name_lost(c->vfs, &child);
    record_unlock(c->vfs->ledger, child.slot);
    if (child.is_pinned)
        pin_add(c->vfs, &child, (uint64_t)st.st_size);
    return r;
}

int dir_remove(struct call *c, uint64_t parent, const char *name)
{
    CLEANUP(naming_close) struct naming n;
    int r = naming_open(&n, c->vfs, parent, name);

    if (r == 0 && n.point != POINT_NONE)
        r = -EBUSY;
    if (r < 0)
        return r;
    dir_lock(c->vfs, n.dir.slot);
    r = remove_locked(c, &n);
    if (r == 0)
        naming_tell(&n);
    change_end(&n.change);
    dir_unlock(c->vfs, n.dir.slot);
    return r;
}
