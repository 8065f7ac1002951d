/* Operations on names. */
#include <string.h>

#include "vfs/dir.h"
#include "vfs/list.h"
#include "vfs/op_rows.h"
#include "vfs/pins.h"
#include "vfs/transport.h"

static double keep_s(const struct place *at)
{
    return at->is_shared ? KEEP_SHORT_S : KEEP_LONG_S;
}

/* A root is looked up often enough to notice that its directory was replaced. */
static double keep_name_s(const struct node *n)
{
    return n->kind != NODE_IS_REAL || tree_root(n->at.tree) == n->slot ? KEEP_SHORT_S : keep_s(&n->at);
}

struct fuse_entry_param entry_of(struct vfs *v, const struct node *n, const struct stat *st)
{
    (void)v;
    return (struct fuse_entry_param){ .ino = n->id,
                                      .generation = node_nfs_generation(n),
                                      .attr = *st,
                                      .attr_timeout = KEEP_LONG_S,
                                      .entry_timeout = keep_name_s(n) };
}

/* That a name is not there may be remembered, too; but homes appear without anybody looking. */
static int reply_absent(struct call *c, uint64_t parent)
{
    CLEANUP(node_put) struct node dir = NODE_EMPTY;
    struct fuse_entry_param none = { 0 };

    if (parent == NODE_ROOT || node_get(c->vfs, parent, &dir) < 0)
        return -ENOENT;
    none.entry_timeout = keep_s(&dir.at);
    return ANSWER(*c, fuse_reply_entry(c->req, &none));
}

void vop_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct stat st;
    CALL(c, OP_LOOKUP);

    c.r = dir_lookup(c.vfs, parent, name, &n, &st);
    if (c.r == -ENOENT) {
        c.r = reply_absent(&c, parent);
    } else if (c.r == 0) {
        struct fuse_entry_param e = entry_of(c.vfs, &n, &st);
        ANSWER(c, fuse_reply_entry(req, &e));
    }
}

/* The kernel has dropped an inode: we need not keep its descriptor, nor, if it has no name, the inode. */
static void forget_one(struct vfs *v, fuse_ino_t ino)
{
    if (node_generation(ino) == 0)
        return;
    pin_forget(v, node_slot(ino), node_generation(ino));
    fd_cache_drop(v->fds, node_slot(ino));
}

void vop_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    (void)count;
    forget_one(fuse_req_userdata(req), ino);
    fuse_reply_none(req);
    metric_add(M_VFS_REQUESTS, OP_FORGET, 1);
}

void vop_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < n; i++)
        forget_one(fuse_req_userdata(req), forgets[i].ino);
    fuse_reply_none(req);
    metric_add(M_VFS_REQUESTS, OP_FORGET, 1);
}

static void op_make(struct call *c, fuse_ino_t parent, const struct making *m)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct stat st;
    int unused = -1;

    c->r = dir_make(c, parent, m, &n, &st, &unused);
    if (c->r < 0)
        return;
    struct fuse_entry_param e = entry_of(c->vfs, &n, &st);
    ANSWER(*c, fuse_reply_entry(c->req, &e));
}

void vop_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    CALL(c, OP_MKDIR);
    op_make(&c, parent, &(struct making){ .name = name, .mode = mode });
}

void vop_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    CALL(c, OP_MKNOD);
    op_make(&c, parent, &(struct making){ .name = name, .mode = mode, .dev = dev });
}

void vop_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    CALL(c, OP_SYMLINK);
    op_make(&c, parent, &(struct making){ .name = name, .target = target });
}

void vop_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    CALL(c, OP_LINK);
    op_make(&c, parent, &(struct making){ .name = name, .source = ino });
}

void vop_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    CALL(c, OP_UNLINK);
    c.r = dir_remove(&c, parent, name);
}

void vop_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    CALL(c, OP_RMDIR);
    c.r = dir_remove(&c, parent, name);
}

void vop_rename(fuse_req_t req, fuse_ino_t from, const char *from_name, fuse_ino_t to, const char *to_name,
                unsigned int flags)
{
    CALL(c, OP_RENAME);
    c.r = dir_rename(&c, from, from_name, to, to_name, flags);
}

/* ---- listings --------------------------------------------------------------------------------------------------- */

void vop_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    CALL(c, OP_OPENDIR);

    c.r = node_get(c.vfs, ino, &n);
    if (c.r < 0)
        return;
    /* The kernel may keep what it has read of a directory that only this view can change. */
    fi->cache_readdir = fi->keep_cache = n.kind == NODE_IS_REAL && !n.at.is_shared;
    ANSWER(c, fuse_reply_open(req, fi));
}

static void op_list(struct call *c, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    char *buf = transport_room();
    ssize_t n = list_read(c, ino, buf, MIN(size, (size_t)TRANSPORT_ROOM), (uint64_t)off, plus);

    c->r = (int)MIN(n, 0);
    if (n >= 0)
        ANSWER(*c, fuse_reply_buf(c->req, buf, (size_t)n));
}

void vop_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    CALL(c, OP_READDIR);
    (void)fi;
    op_list(&c, ino, size, off, false);
}

void vop_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    CALL(c, OP_READDIRPLUS);
    (void)fi;
    op_list(&c, ino, size, off, true);
}

void vop_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    CALL(c, OP_RELEASEDIR);
    (void)c;
    (void)ino;
    (void)fi;
}

void vop_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    CLEANUP(fd_close) int fd = -1;
    CALL(c, OP_FSYNCDIR);

    (void)fi;
    c.r = node_get(c.vfs, ino, &n);
    if (c.r < 0 || n.kind != NODE_IS_REAL)
        return;
    fd = sys_open_beneath(n.fd, ".", O_RDONLY | O_DIRECTORY, 0);
    c.r = fd < 0 ? fd : sys->fsync(fd, datasync != 0);
}
