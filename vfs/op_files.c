/* Operations on open files.
 *
 * Every open of a regular file passes through where the kernel lets it: all opens of an inode must agree, or open(2)
 * fails with EIO. Who may write is direct as well: then each write comes here and is counted, and only mmap goes
 * native. */
#include "vfs/dir.h"
#include "vfs/file_table.h"
#include "vfs/op_rows.h"
#include "vfs/transport.h"

static void serve(struct vfs *v, struct fuse_file_info *fi, const struct file_service *s)
{
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;

    (void)v;
    (void)writes;
    fi->fh = s->fh;
    fi->noflush = 1; /* nothing waits for a close: locks are the kernel's, errors came with the writes */
    fi->direct_io = s->direct ? 1 : 0;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    fi->parallel_direct_writes = s->direct && writes ? 1 : 0;
    fi->backing_id = s->backing_id;
#endif
}

static bool kills_privileges(const struct fuse_file_info *fi)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
    return fi->kill_suidgid;
#else
    (void)fi;
    return false; /* KILLPRIV_V2 is not asked for: the kernel sends SETATTR instead */
#endif
}

/* Opening an existing file, with O_TRUNC as one operation. */
static int open_node(struct call *c, const struct node *n, const struct fuse_file_info *fi, struct file_service *ret)
{
    const struct file_opening o = { .flags = (uint32_t)fi->flags, .unique = c->unique, .rw_fd = -1, .who = c->who };
    struct stat st;
    int r = sys->fstatat(n->fd, "", &st, AT_EMPTY_PATH);

    if (r == 0 && !S_ISREG(st.st_mode))
        r = S_ISDIR(st.st_mode) ? -EISDIR : -ENXIO; /* others the kernel opens itself */
    if (r == 0 && (fi->flags & O_TRUNC)) {
        transport_slow();
        if (kills_privileges(fi))
            r = file_kill_privileges(n->fd, &c->who);
        if (r == 0)
            r = file_truncate(c->vfs, n, 0);
    }
    return r < 0 ? r : file_open(c->vfs, n, &o, ret);
}

void vop_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct file_service s;
    uint64_t node;
    CALL(c, OP_OPEN);

    c.r = node_get_real(c.vfs, ino, &n);
    if (c.r == 0 && !(c.is_resent && file_reopened(c.vfs, c.unique, &node, &s)))
        c.r = open_node(&c, &n, fi, &s);
    if (c.r < 0)
        return;
    serve(c.vfs, fi, &s);
    ANSWER(c, fuse_reply_open(req, fi));
}

static void reply_born(struct call *c, struct fuse_file_info *fi, const struct node *n, const struct stat *st,
                       const struct file_service *s)
{
    struct fuse_entry_param e = entry_of(c->vfs, n, st);

    serve(c->vfs, fi, s);
    ANSWER(*c, fuse_reply_create(c->req, &e, fi));
}

/* Created and opened before a crash, but not answered. */
static bool born_before(struct call *c, struct fuse_file_info *fi)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct file_service s;
    struct stat st;
    uint64_t id;

    if (!c->is_resent || !file_reopened(c->vfs, c->unique, &id, &s))
        return false;
    if (node_get_real(c->vfs, id, &n) < 0 || node_stat(c->vfs, &n, &st) < 0)
        return false;
    reply_born(c, fi, &n, &st, &s);
    return true;
}

/* The name was taken after the kernel looked: then create is open. */
static int create_existing(struct call *c, fuse_ino_t parent, const char *name, struct fuse_file_info *fi)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct file_service s;
    struct stat st;
    int r = dir_lookup(c->vfs, parent, name, &n, &st);

    if (r == 0)
        r = n.kind == NODE_IS_REAL ? open_node(c, &n, fi, &s) : -EISDIR;
    if (r == 0)
        r = node_stat(c->vfs, &n, &st);
    if (r == 0)
        reply_born(c, fi, &n, &st, &s);
    return r;
}

static int create_new(struct call *c, fuse_ino_t parent, const struct making *m, struct fuse_file_info *fi)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct file_opening o = { .flags = m->flags, .unique = c->unique, .rw_fd = -1, .is_born = true, .who = c->who };
    struct file_service s;
    struct stat st;
    int r = dir_make(c, parent, m, &n, &st, &o.rw_fd);

    if (r == 0)
        r = file_open(c->vfs, &n, &o, &s);
    if (r == 0)
        reply_born(c, fi, &n, &st, &s);
    return r;
}

void vop_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    const struct making m = { .name = name, .mode = mode, .flags = (uint32_t)fi->flags };
    CALL(c, OP_CREATE);

    if (born_before(&c, fi))
        return;
    c.r = create_new(&c, parent, &m, fi);
    if (c.r == -EEXIST && !(fi->flags & O_EXCL))
        c.r = create_existing(&c, parent, name, fi);
}

void vop_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
    const struct making m = { .mode = mode, .flags = (uint32_t)fi->flags };
    CALL(c, OP_TMPFILE);

    if (!born_before(&c, fi))
        c.r = create_new(&c, parent, &m, fi);
}

void vop_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct file f;
    CALL(c, OP_READ);

    (void)ino;
    c.r = file_find(c.vfs, fi->fh, &f);
    if (c.r < 0)
        return;
    char *buf = transport_room();
    ssize_t n = file_read(c.vfs, &f, buf, MIN(size, (size_t)TRANSPORT_ROOM), (uint64_t)off);
    c.r = (int)MIN(n, 0);
    if (n >= 0)
        ANSWER(c, fuse_reply_buf(req, buf, (size_t)n));
}

static ssize_t write_as_asked(struct call *c, const struct file *f, const char *buf, size_t len, off_t off,
                              const struct fuse_file_info *fi)
{
    if (kills_privileges(fi)) {
        CLEANUP(inode_fd_put) struct inode_fd fd = inode_fd(c->vfs, f->inode, true);
        int r = fd.fd < 0 ? fd.fd : file_kill_privileges(fd.fd, &c->who);
        if (r < 0)
            return r;
    }
    return file_write(c, f, buf, len, (uint64_t)off, (uint32_t)fi->flags);
}

void vop_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t off, struct fuse_file_info *fi)
{
    struct file f;
    CALL(c, OP_WRITE);

    (void)ino;
    c.r = file_find_to_change(c.vfs, fi->fh, &f);
    ssize_t n = c.r < 0 ? c.r : write_as_asked(&c, &f, buf, len, off, fi);
    c.r = (int)MIN(n, 0);
    if (n < 0)
        return;
    file_written(&f, &c.who, (uint64_t)n);
    ANSWER(c, fuse_reply_write(req, (size_t)n));
}

void vop_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    CALL(c, OP_RELEASE);
    (void)ino;
    file_release(c.vfs, fi->fh);
}

void vop_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct file f;
    CALL(c, OP_FSYNC);

    (void)ino;
    c.r = file_find(c.vfs, fi->fh, &f);
    if (c.r == 0)
        c.r = file_fsync(c.vfs, &f, datasync != 0);
}

void vop_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    struct file f;
    CALL(c, OP_FALLOCATE);

    (void)ino;
    c.r = file_find_to_change(c.vfs, fi->fh, &f);
    if (c.r == 0)
        c.r = off < 0 || len < 0 ? -EINVAL : file_fallocate(&c, &f, mode, (uint64_t)off, (uint64_t)len);
}

/* NOLINTNEXTLINE(readability-function-size): libfuse's signature */
void vop_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
                         off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
    struct file a, b;
    CALL(c, OP_COPY_FILE_RANGE);

    (void)from;
    (void)to;
    c.r = flags != 0 ? -EINVAL : file_find(c.vfs, from_fi->fh, &a);
    if (c.r == 0)
        c.r = file_find_to_change(c.vfs, to_fi->fh, &b);
    if (c.r < 0)
        return;
    ssize_t n = file_copy_range(&c, &a, (uint64_t)from_off, &b, (uint64_t)to_off, len);
    c.r = (int)MIN(n, 0);
    if (n < 0)
        return;
    file_written(&b, &c.who, (uint64_t)n);
    ANSWER(c, fuse_reply_write(req, (size_t)n));
}

void vop_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    struct file f;
    CALL(c, OP_LSEEK);

    (void)ino;
    c.r = file_find(c.vfs, fi->fh, &f);
    if (c.r < 0)
        return;
    int64_t at = file_lseek(c.vfs, &f, off, whence);
    c.r = (int)MIN(at, 0);
    if (at >= 0)
        ANSWER(c, fuse_reply_lseek(req, at));
}
