/* rename: two names, up to two inodes, up to two trees.
 *
 * Within a tree nothing is charged anew; what was at the target and lost its last name is released. A file into
 * another tree is a transfer: room there is held before, the charge moves along after. A directory would have to be
 * charged as a whole: EXDEV, as between two file systems, and mv(1) copies. So is a file with several names (it
 * counts once, in one tree), and a move between two views of one folder (the kernel would keep the node id, and with
 * it the limits, of the old view). */
#include <linux/fs.h>

#include "vfs/dir_lock.h"
#include "vfs/journal.h"
#include "vfs/notices.h"
#include "vfs/pins.h"

struct moving {
    struct naming *from, *to;
    struct node source, target; /* target: empty if there is none */
    struct stat source_st, target_st;
    unsigned flags;
    slot_t slots[4]; /* both directories, both inodes */
};

static void moving_done(struct moving *m)
{
    node_put(&m->source);
    node_put(&m->target);
}

static bool is_across(const struct moving *m)
{
    return m->from->dir.rec.tree != m->to->dir.rec.tree;
}

/* May these two names change places, or the first take the second's? */
static int moving_check(struct vfs *v, const struct moving *m)
{
    bool has_target = m->target.kind != NODE_NONE;

    if ((m->from->dir.at.has_points && point_is(v, m->source.id)) ||
        (has_target && m->to->dir.at.has_points && point_is(v, m->target.id)))
        return -EBUSY;
    if (has_target && (m->flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (!is_across(m))
        return m->from->dir.at.view != m->to->dir.at.view ? -EXDEV : 0;
    if ((m->flags & RENAME_EXCHANGE) || S_ISDIR(m->source_st.st_mode) || m->source_st.st_nlink > 1)
        return -EXDEV;
    return 0;
}

/* Home and folder in one user's quota: the user's counter does not move, and a folder with quota -1 has no limit. */
static bool is_within_quota(const struct moving *m)
{
    return m->to->dir.at.in_quota_of != 0 && m->from->dir.at.in_quota_of == m->to->dir.at.in_quota_of;
}

/* What the target's tree must have room for: the file, less the file that it replaces for good. */
static struct charge moving_charge(const struct moving *m)
{
    struct charge c = { 0 };
    bool frees = m->target.kind != NODE_NONE && S_ISREG(m->target_st.st_mode) && m->target_st.st_nlink == 1 &&
                 m->target.rec.opens == 0 && m->target.rec.tree == m->to->dir.rec.tree;
    uint64_t freed = frees ? (uint64_t)m->target_st.st_size : 0;

    if (!is_across(m) || !S_ISREG(m->source_st.st_mode) || is_within_quota(m))
        return c;
    c.bytes = (uint64_t)m->source_st.st_size > freed ? (uint64_t)m->source_st.st_size - freed : 0;
    c.files = frees ? 0 : 1;
    return c;
}

static int moved_one(struct vfs *v, const struct node *n, slot_t parent)
{
    struct stat st;
    int r = sys->fstatat(n->fd, "", &st, AT_EMPTY_PATH);

    return r < 0 ? r : settle_moved_locked(v->ledger, n->slot, parent, &st);
}

static void moving_settle(struct vfs *v, struct moving *m)
{
    bool exchanged = (m->flags & RENAME_EXCHANGE) != 0;
    bool has_target = m->target.kind != NODE_NONE && m->target.slot != m->source.slot;
    int r = 0;

    if (has_target && !exchanged)
        name_lost(v, &m->target);
    if (m->from->dir.slot != m->to->dir.slot && m->source.slot != m->target.slot) {
        r = moved_one(v, &m->source, m->to->dir.slot);
        if (r == 0 && has_target && exchanged)
            r = moved_one(v, &m->target, m->from->dir.slot);
    }
    if (r < 0) {
        domain_mark_stale(tree_owner(m->from->dir.rec.tree));
        domain_mark_stale(tree_owner(m->to->dir.rec.tree));
    }
}

/* Sent again after a crash: the names are as they should be already. */
static bool was_moved(const struct call *c, const struct moving *m)
{
    uint64_t from = naming_ino(m->from);
    uint64_t to = naming_ino(m->to);

    if (!journal_found(c))
        return false;
    if (m->flags & RENAME_EXCHANGE)
        return from == journal_b(c) && to == journal_a(c);
    return to == journal_a(c) && from != journal_a(c);
}

/* The effect of an earlier incarnation: what moved is found under its new name, what was replaced by its handle. */
static int moving_repair(struct call *c, struct moving *m)
{
    int r = node_child(c->vfs, &m->to->dir, m->to->name, &m->source, &m->source_st);

    if (r == 0 && (m->flags & RENAME_EXCHANGE))
        r = node_child(c->vfs, &m->from->dir, m->from->name, &m->target, &m->target_st);
    return r; /* looking a name up brings its record to where it is */
}

static int moving_find(struct call *c, struct moving *m)
{
    int r = node_child(c->vfs, &m->from->dir, m->from->name, &m->source, &m->source_st);

    if (r < 0)
        return r;
    r = node_child(c->vfs, &m->to->dir, m->to->name, &m->target, &m->target_st);
    return r == -ENOENT && (m->flags & RENAME_EXCHANGE) == 0 ? 0 : r;
}

static int move_records_locked(struct call *c, struct moving *m)
{
    int r = node_is_still(c->vfs, &m->source) && node_is_still(c->vfs, &m->target) ? 0 : -ESTALE;

    if (r == 0)
        r = sys->renameat2(m->from->dir.fd, m->from->name, m->to->dir.fd, m->to->name, m->flags);
    if (r == 0)
        moving_settle(c->vfs, m);
    return r;
}

static int move_locked(struct call *c, struct moving *m)
{
    struct ledger *l = c->vfs->ledger;

    if (c->is_resent)
        journal_begin(c, naming_ino(m->from), naming_ino(m->to));
    if (was_moved(c, m))
        return moving_repair(c, m);
    int r = moving_find(c, m);
    if (r == 0)
        r = moving_check(c->vfs, m);
    if (r < 0)
        return r;
    slot_t slots[] = { m->from->dir.slot, m->to->dir.slot, m->source.slot, m->target.slot };
    r = change_begin(l, slots, ARRAY_SIZE(slots), &m->from->change);
    if (r == 0)
        r = reservation_take(m->to->dir.at.room, moving_charge(m), UINT64_MAX, &m->to->rsv);
    if (r < 0)
        return r;
    journal_begin(c, m->source_st.st_ino, m->target.kind != NODE_NONE ? m->target_st.st_ino : 0);
    record_lock_many(l, &slots[2], 2);
    r = move_records_locked(c, m);
    record_unlock_many(l, &slots[2], 2);
    if (m->target.is_pinned)
        pin_add(c->vfs, &m->target, (uint64_t)m->target_st.st_size);
    return r;
}

static int rename_locked(struct call *c, struct naming *from, struct naming *to, unsigned flags)
{
    CLEANUP(moving_done) struct moving m = { .from = from, .to = to, .flags = flags };

    m.source = m.target = NODE_EMPTY;
    int r = move_locked(c, &m);
    if (r < 0)
        return r;
    naming_tell(from);
    naming_tell(to);
    if (is_across(&m)) /* the kernel keeps the old node id under the new name: let it look again */
        notice_name(c->vfs, to->dir.id, to->name);
    return 0;
}

int dir_rename(struct call *c, uint64_t from, const char *from_name, uint64_t to, const char *to_name, unsigned flags)
{
    CLEANUP(naming_close) struct naming a;
    CLEANUP(naming_close) struct naming b;
    int r = naming_open(&a, c->vfs, from, from_name);
    int other = naming_open(&b, c->vfs, to, to_name);

    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return -EINVAL; /* a whiteout would be a device that nobody asked for */
    if (r < 0 || other < 0)
        return r < 0 ? r : other;
    if (a.point != POINT_NONE || b.point != POINT_NONE)
        return -EBUSY;
    dir_lock_two(c->vfs, a.dir.slot, b.dir.slot);
    r = rename_locked(c, &a, &b, flags);
    change_end(&a.change);
    dir_unlock_two(c->vfs, a.dir.slot, b.dir.slot);
    return r;
}
