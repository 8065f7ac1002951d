/* What moves bytes. Growing takes four steps that are the same for a write, a truncate, an allocation and a copy:
 *
 *   grow_begin   the domains are durably dirty, the inode is named in an intent, the record is locked, its size is
 * fresh
 *   grow_take    room for the growth, or for the part of it that fits
 *   (the call)
 *   grow_end     fstat again; the record becomes what is there, the hold goes in the same instant; unlock
 *
 * A write that ends inside the file cannot grow it: it takes the lock shared and moves no counter. Whether it does is
 * guessed from the size that we saw last, and checked under the lock; a wrong guess costs a second try.
 *
 * An append goes to the end that fstat shows under the lock, by pwrite at that offset: the kernel's idea of the end
 * may be that of another view, and RWF_APPEND could not be repeated after a crash. The offset is in the journal. */
#include "vfs/file.h"

#include "vfs/file_table.h"
#include "vfs/journal.h"
#include "vfs/notices.h"
#include "vfs/process.h"
#include "vfs/transport.h"

enum { COPY_AT_ONCE = 64 << 20 };

struct grow {
    struct ledger *l;
    slot_t slots[2]; /* [0] grows; [1] is only locked, or NONE */
    int fd;
    struct change change;
    struct reservation rsv;
    struct place at;
    struct stat st; /* fresh, under the lock */
};

static void grow_unlock(struct grow *g)
{
    record_unlock_many(g->l, g->slots, 2);
    change_end(&g->change);
    place_done(&g->at);
}

/* The place is looked up by each operation anew: limits may have changed since the file was opened. */
static int place_of_slot(struct vfs *v, uint64_t node, struct place *ret)
{
    struct record_view rec;

    if (!record_view(v->ledger, node_slot(node), node_generation(node), &rec) || rec.tree == NULL)
        return -ESTALE;
    return place_find(v, rec.tree, node_view(node), ret) ? 0 : -ESTALE;
}

static int grow_begin(struct grow *g, struct vfs *v, uint64_t node, int fd, slot_t also)
{
    struct record_view rec;

    *g = (struct grow){ .l = v->ledger, .slots = { node_slot(node), also }, .fd = fd };
    int r = place_of_slot(v, node, &g->at);

    if (r == 0)
        r = change_begin(g->l, g->slots, 1, &g->change);
    if (r < 0) {
        place_done(&g->at);
        return r;
    }
    record_lock_many(g->l, g->slots, 2);
    r = record_view(g->l, g->slots[0], node_generation(node), &rec) ? 0 : -ESTALE; /* released before we had the lock */
    if (r == 0)
        r = sys->fstatat(fd, "", &g->st, AT_EMPTY_PATH);
    if (r < 0)
        grow_unlock(g);
    return r;
}

static int grow_take(struct grow *g, uint64_t bytes, uint64_t least)
{
    int r = reservation_take(g->at.room, (struct charge){ .bytes = bytes }, least, &g->rsv);

    return r == -EOVERFLOW ? -EFBIG : r; /* more than any counter holds */
}

static void grow_end(struct grow *g)
{
    if (sys->fstatat(g->fd, "", &g->st, AT_EMPTY_PATH) == 0)
        reservation_commit_locked(&g->rsv, g->l, g->slots[0], &g->st);
    else
        domain_mark_stale(tree_owner(g->at.tree));
    reservation_drop(&g->rsv);
    grow_unlock(g);
}

/* Other views of the inode must not show the old size once the caller has its answer. */
static void others_tell(struct vfs *v, const struct place *at, uint64_t node)
{
    if (at->is_shared)
        notice_others_attr(v, at->tree, node_view(node), node_slot(node), node_generation(node));
}

static void grow_tell(struct vfs *v, struct grow *g, uint64_t node)
{
    struct place at = g->at;

    if (!at.is_shared)
        return grow_end(g);
    g->at.room = NULL;
    grow_end(g);
    others_tell(v, &at, node);
    place_done(&at);
}

/* ---- write ------------------------------------------------------------------------------------------------------ */

struct growth {
    uint64_t bytes;
    uint64_t least;
};

/* What writing [off, end) adds to a file of `size` bytes, and the least of it to get one byte in: any hole, and it. */
static struct growth growth(uint64_t size, uint64_t off, uint64_t end)
{
    return (struct growth){ .bytes = end > size ? end - size : 0, .least = off >= size ? off - size + 1 : 0 };
}

static bool is_past_the_end(uint64_t off, uint64_t len)
{
    uint64_t end;

    return __builtin_add_overflow(off, len, &end) || end > INT64_MAX;
}

static ssize_t write_grown(struct grow *g, const void *buf, size_t len, uint64_t off)
{
    struct growth want;

    if (is_past_the_end(off, len))
        return -EFBIG;
    want = growth((uint64_t)g->st.st_size, off, off + len);
    int r = grow_take(g, want.bytes, want.least);
    if (r < 0)
        return r;
    return sys->pwrite(g->fd, buf, len - (want.bytes - g->rsv.held.bytes), off);
}

/* Where an append goes: to the end, or, when it is sent again after a crash, to where it went. */
static uint64_t append_at(struct call *c, const struct stat *st)
{
    journal_begin(c, (uint64_t)st->st_size, 0);
    return journal_found(c) ? journal_a(c) : (uint64_t)st->st_size;
}

static ssize_t write_growing(struct call *c, const struct file *f, int fd, const void *buf, size_t len, uint64_t off,
                             bool append)
{
    struct grow g;
    int r = grow_begin(&g, c->vfs, f->node, fd, SLOT_NONE);

    if (r < 0)
        return r;
    ssize_t n = write_grown(&g, buf, len, append ? append_at(c, &g.st) : off);
    if (n > 0)
        inode_size_seen(f->inode, (uint64_t)MAX(g.st.st_size, (off_t)off + n));
    grow_tell(c->vfs, &g, f->node);
    return n;
}

/* -EAGAIN: it would grow the file after all. */
static ssize_t write_inside(struct vfs *v, const struct file *f, int fd, const void *buf, size_t len, uint64_t off)
{
    struct place at = { 0 };
    int r = place_of_slot(v, f->node, &at);

    if (r < 0)
        return r;
    record_lock_shared(v->ledger, node_slot(f->node));
    int64_t size = sys->size(fd);
    ssize_t n = size < 0 ? size : off + len <= (uint64_t)size ? sys->pwrite(fd, buf, len, off) : -EAGAIN;
    record_unlock(v->ledger, node_slot(f->node));
    if (n >= 0)
        others_tell(v, &at, f->node);
    else if (n == -EAGAIN)
        inode_size_seen(f->inode, (uint64_t)size);
    place_done(&at);
    return n;
}

void file_written(const struct file *f, const struct caller *who, uint64_t bytes)
{
    atomic_fetch_add_explicit(&f->entry->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&f->entry->active_ms, sys->wall_ms(), memory_order_relaxed);
    if (atomic_load_explicit(&f->entry->pid, memory_order_relaxed) != who->pid)
        atomic_store_explicit(&f->entry->pid, who->pid, memory_order_relaxed);
}

static int write_through(int fd, uint32_t flags)
{
    if ((flags & O_DSYNC) == 0)
        return 0;
    transport_slow();
    return sys->fsync(fd, (flags & O_SYNC) != O_SYNC);
}

ssize_t file_write(struct call *c, const struct file *f, const void *buf, size_t len, uint64_t off, uint32_t flags)
{
    bool append = (flags & O_APPEND) != 0;
    CLEANUP(inode_fd_put) struct inode_fd opened = inode_fd(c->vfs, f->inode, true);
    int fd = opened.fd;
    ssize_t n = -EAGAIN;

    if (fd < 0 || len == 0)
        return MIN(fd, 0);
    if (!append && !is_past_the_end(off, len) && off + len <= inode_size(f->inode))
        n = write_inside(c->vfs, f, fd, buf, len, off);
    if (n == -EAGAIN)
        n = write_growing(c, f, fd, buf, len, off, append);
    if (n > 0) {
        int r = write_through(fd, flags);
        n = r < 0 ? r : n;
    }
    return n;
}

/* ---- set-id bits ------------------------------------------------------------------------------------------------ */

/* As a local file system decides (setattr_should_drop_suidgid): sgid without group execution is a mark of old mandatory
 * locks, and stays with members of the group. */
static int privileges_drop(int fd, const struct stat *st, const struct caller *who)
{
    mode_t kill = st->st_mode & S_ISUID;

    if ((st->st_mode & S_ISGID) && ((st->st_mode & S_IXGRP) || !process_keeps_setgid(who, st->st_gid)))
        kill |= S_ISGID;
    return kill == 0 ? 0 : sys->fchmodat(fd, "", (st->st_mode & 07777) & ~kill);
}

int file_kill_privileges(int fd, const struct caller *who)
{
    struct stat st;
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);

    return r < 0 ? r : privileges_drop(fd, &st, who);
}

int file_kill_setgid(int fd, const struct caller *who)
{
    struct stat st;
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);

    if (r < 0 || (st.st_mode & S_ISGID) == 0 || process_keeps_setgid(who, st.st_gid))
        return r;
    return sys->fchmodat(fd, "", (st.st_mode & 07777) & ~(mode_t)S_ISGID);
}

/* For requests that do not say whether the caller may keep them. */
static int grow_drops_privileges(const struct grow *g, const struct caller *who)
{
    if ((g->st.st_mode & (S_ISUID | S_ISGID)) == 0 || process_keeps_setid(who))
        return 0;
    return privileges_drop(g->fd, &g->st, who);
}

/* ---- the others ------------------------------------------------------------------------------------------------- */

static int truncate_fd(struct vfs *v, uint64_t node, int fd, uint64_t size)
{
    struct grow g;
    int r = grow_begin(&g, v, node, fd, SLOT_NONE);

    if (r < 0)
        return r;
    uint64_t was = (uint64_t)g.st.st_size;
    if (size > was)
        r = grow_take(&g, size - was, size - was);
    if (r == 0)
        r = sys->ftruncate(fd, size);
    grow_tell(v, &g, node);
    return r;
}

int file_truncate(struct vfs *v, const struct node *n, uint64_t size)
{
    CLEANUP(fd_close) int fd = -1;

    if (size > INT64_MAX)
        return -EFBIG;
    if (!S_ISREG(n->rec.is_dir ? S_IFDIR : S_IFREG))
        return -EISDIR;
    fd = sys->open_fd(n->fd, O_WRONLY | O_NONBLOCK);
    return fd < 0 ? fd : truncate_fd(v, n->id, fd, size);
}

int file_fallocate(struct call *c, const struct file *f, int mode, uint64_t off, uint64_t len)
{
    CLEANUP(inode_fd_put) struct inode_fd opened = inode_fd(c->vfs, f->inode, true);
    int fd = opened.fd;
    struct grow g;

    if (fd < 0)
        return fd;
    if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
        return -EOPNOTSUPP; /* others move bytes about; the kernel's FUSE lets none of them through */
    if (len == 0 || is_past_the_end(off, len))
        return len == 0 ? -EINVAL : -EFBIG;
    int r = grow_begin(&g, c->vfs, f->node, fd, SLOT_NONE);
    if (r < 0)
        return r;
    struct growth want = growth((uint64_t)g.st.st_size, off, off + len);
    r = grow_drops_privileges(&g, &c->who);
    if (r == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0)
        r = grow_take(&g, want.bytes, want.bytes);
    if (r == 0)
        r = sys->fallocate(fd, mode, off, len);
    grow_tell(c->vfs, &g, f->node);
    return r;
}

/* As much as lies before the end of the source: more would be a hold for nothing. */
static ssize_t copy_grown(struct grow *g, int from, uint64_t from_off, uint64_t to_off, size_t len)
{
    int64_t there = sys->size(from);

    if (there < 0 || from_off >= (uint64_t)there)
        return MIN(there, 0);
    len = MIN(len, (uint64_t)there - from_off);
    len = MIN(len, (size_t)COPY_AT_ONCE);
    if (is_past_the_end(to_off, len))
        return -EFBIG;
    struct growth want = growth((uint64_t)g->st.st_size, to_off, to_off + len);
    int r = grow_take(g, want.bytes, want.least);
    if (r < 0)
        return r;
    return sys->copy_file_range(from, from_off, g->fd, to_off, len - (want.bytes - g->rsv.held.bytes));
}

ssize_t file_copy_range(struct call *c, const struct file *from, uint64_t from_off, const struct file *to,
                        uint64_t to_off, size_t len)
{
    CLEANUP(inode_fd_put) struct inode_fd from_fd = inode_fd(c->vfs, from->inode, false);
    CLEANUP(inode_fd_put) struct inode_fd to_fd = inode_fd(c->vfs, to->inode, true);
    struct grow g;

    if (from_fd.fd < 0 || to_fd.fd < 0)
        return MIN(from_fd.fd, to_fd.fd);
    int r = grow_begin(&g, c->vfs, to->node, to_fd.fd, node_slot(from->node));
    if (r < 0)
        return r;
    r = grow_drops_privileges(&g, &c->who);
    ssize_t n = r < 0 ? r : copy_grown(&g, from_fd.fd, from_off, to_off, len);
    grow_tell(c->vfs, &g, to->node);
    return n;
}

ssize_t file_read(struct vfs *v, const struct file *f, void *buf, size_t len, uint64_t off)
{
    CLEANUP(inode_fd_put) struct inode_fd fd = inode_fd(v, f->inode, false);

    return fd.fd < 0 ? fd.fd : sys->pread(fd.fd, buf, len, off);
}

int64_t file_lseek(struct vfs *v, const struct file *f, int64_t off, int whence)
{
    CLEANUP(inode_fd_put) struct inode_fd fd = inode_fd(v, f->inode, false);

    return fd.fd < 0 ? fd.fd : sys->lseek(fd.fd, off, whence);
}

int file_fsync(struct vfs *v, const struct file *f, bool data_only)
{
    CLEANUP(inode_fd_put) struct inode_fd fd = inode_fd(v, f->inode, false);

    return fd.fd < 0 ? fd.fd : sys->fsync(fd.fd, data_only);
}
