/* Operations on attributes. */
#include <linux/limits.h>

#include "vfs/attr.h"
#include "vfs/file.h"
#include "vfs/op_rows.h"
#include "vfs/transport.h"

void vop_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;
    CALL(c, OP_GETATTR);

    (void)fi;
    c.r = attr_get(c.vfs, ino, &st);
    if (c.r == 0)
        ANSWER(c, fuse_reply_attr(req, &st, KEEP_LONG_S));
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
void vop_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi)
{
    struct statx x;
    CALL(c, OP_GETATTR);

    (void)flags;
    (void)fi;
    c.r = attr_statx(c.vfs, ino, (unsigned)mask, &x);
    if (c.r == 0)
        ANSWER(c, fuse_reply_statx(req, 0, &x, KEEP_LONG_S));
}
#endif

void vop_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what, struct fuse_file_info *fi)
{
    struct file f;
    struct stat st;
    CALL(c, OP_SETATTR);

    c.r = (what & FUSE_SET_ATTR_SIZE) && fi != NULL ? file_find_to_change(c.vfs, fi->fh, &f) : 0;
    if (c.r == 0)
        c.r = attr_set(&c, ino, attr, what, &st);
    if (c.r == 0)
        ANSWER(c, fuse_reply_attr(req, &st, KEEP_LONG_S));
}

void vop_readlink(fuse_req_t req, fuse_ino_t ino)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    char target[PATH_MAX + 1];
    CALL(c, OP_READLINK);

    c.r = node_get_real(c.vfs, ino, &n);
    if (c.r < 0)
        return;
    ssize_t len = sys->readlinkat(n.fd, "", target, PATH_MAX);
    c.r = (int)MIN(len, 0);
    if (len < 0)
        return;
    target[len] = '\0';
    ANSWER(c, fuse_reply_readlink(req, target));
}

void vop_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs s;
    CALL(c, OP_STATFS);

    c.r = attr_statfs(c.vfs, ino, &s);
    if (c.r == 0)
        ANSWER(c, fuse_reply_statfs(req, &s));
}

void vop_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    CALL(c, OP_SETXATTR);
    c.r = xattr_set(&c, ino, name, value, size, flags);
}

void vop_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    CALL(c, OP_REMOVEXATTR);
    c.r = xattr_remove(&c, ino, name);
}

/* With size 0 the caller asks for the length. */
static void reply_bytes(struct call *c, ssize_t n, const char *buf, size_t size)
{
    c->r = (int)MIN(n, 0);
    if (n < 0)
        return;
    if (size == 0)
        ANSWER(*c, fuse_reply_xattr(c->req, (size_t)n));
    else
        ANSWER(*c, fuse_reply_buf(c->req, buf, (size_t)n));
}

void vop_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    CALL(c, OP_GETXATTR);
    char *buf = transport_room();
    size_t room = MIN(size, (size_t)TRANSPORT_ROOM);
    reply_bytes(&c, xattr_get(&c, ino, name, buf, room), buf, size);
}

void vop_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    CALL(c, OP_LISTXATTR);
    char *buf = transport_room();
    reply_bytes(&c, xattr_list(&c, ino, buf, MIN(size, (size_t)TRANSPORT_ROOM)), buf, size);
}
