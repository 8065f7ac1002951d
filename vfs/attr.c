/* Permissions are the kernel's business (default_permissions, POSIX ACLs): what arrives here may be done. What is
 * left to say for extended attributes is who sees and changes which names, since this process could do everything. */
#include "vfs/attr.h"

#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "vfs/file.h"
#include "vfs/notices.h"
#include "vfs/transport.h"

int attr_get(struct vfs *v, uint64_t id, struct stat *ret)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    int r = node_get(v, id, &n);

    return r < 0 ? r : node_stat(v, &n, ret);
}

int attr_statx(struct vfs *v, uint64_t id, unsigned mask, struct statx *ret)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    int r = node_get_real(v, id, &n);

    if (r == 0)
        r = sys->statx(n.fd, mask, ret);
    if (r == 0)
        ret->stx_ino = node_ino(n.id);
    return r;
}

static int set_mode(const struct node *n, const struct stat *st)
{
    return sys->fchmodat(n->fd, "", st->st_mode & 07777);
}

static int set_owner(const struct node *n, const struct stat *st, int what)
{
    uid_t uid = what & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1;
    gid_t gid = what & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1;

    return sys->fchownat(n->fd, "", uid, gid, AT_SYMLINK_NOFOLLOW);
}

static struct timespec time_of(int what, int set, int now, struct timespec given)
{
    if (what & now)
        given.tv_nsec = UTIME_NOW;
    else if (!(what & set))
        given.tv_nsec = UTIME_OMIT;
    return given;
}

static int set_times(const struct node *n, const struct stat *st, int what)
{
    struct timespec ts[] = { time_of(what, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, st->st_atim),
                             time_of(what, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, st->st_mtim) };

    return sys->utimensat(n->fd, "", ts, AT_SYMLINK_NOFOLLOW);
}

enum {
    SET_OWNER = FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID,
    SET_TIMES = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW,
    SET_KILL = FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID,
};

/* In the order of a local file system: owner, then mode, so that chown does not undo a mode that comes with it. */
static int set_all(struct call *c, const struct node *n, const struct stat *st, int what)
{
    int r = 0;

    if (what & FUSE_SET_ATTR_SIZE) {
        transport_slow();
        r = file_truncate(c->vfs, n, (uint64_t)st->st_size);
    }
    if (r == 0 && (what & SET_KILL) && !n->rec.is_dir)
        r = file_kill_privileges(n->fd, &c->who);
    if (r == 0 && (what & SET_OWNER || (what & ~FUSE_SET_ATTR_CTIME) == 0)) /* chown(-1, -1) takes set-id bits, too */
        r = set_owner(n, st, what);
    if (r == 0 && (what & FUSE_SET_ATTR_MODE))
        r = set_mode(n, st);
    if (r == 0 && (what & SET_TIMES))
        r = set_times(n, st, what);
    return r;
}

static void others_tell(struct vfs *v, const struct node *n)
{
    if (n->at.is_shared)
        notice_others_attr(v, n->at.tree, n->at.view, n->slot, n->rec.generation);
}

int attr_set(struct call *c, uint64_t id, const struct stat *st, int what, struct stat *ret)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    int r = node_get_real(c->vfs, id, &n);

    if (r == 0)
        r = set_all(c, &n, st, what);
    if (r == 0)
        others_tell(c->vfs, &n);
    return r < 0 ? r : node_stat(c->vfs, &n, ret);
}

/* ---- statfs ----------------------------------------------------------------------------------------------------- */

static void statfs_of_disk(const struct statfs *from, struct statvfs *to)
{
    *to = (struct statvfs){ .f_bsize = (unsigned long)from->f_bsize,
                            .f_frsize = (unsigned long)(from->f_frsize != 0 ? from->f_frsize : from->f_bsize),
                            .f_blocks = from->f_blocks,
                            .f_bfree = from->f_bfree,
                            .f_bavail = from->f_bavail,
                            .f_files = from->f_files,
                            .f_ffree = from->f_ffree,
                            .f_favail = from->f_ffree,
                            .f_namemax = (unsigned long)from->f_namelen };
}

static uint64_t left_of(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}

static void statfs_limit(struct room *room, struct statvfs *s)
{
    struct room_left left;

    room_left(room, &left);
    if (left.limit_bytes != 0) {
        uint64_t blocks = left_of(left.limit_bytes, left.used_bytes) / s->f_frsize;
        s->f_bfree = MIN(s->f_bfree, blocks);
        s->f_bavail = MIN(s->f_bavail, blocks);
        s->f_blocks = MIN(s->f_blocks, MAX(left.limit_bytes / s->f_frsize, s->f_bfree));
    }
    if (left.limit_files != 0) {
        s->f_ffree = MIN(s->f_ffree, left_of(left.limit_files, left.used_files));
        s->f_favail = s->f_ffree;
        s->f_files = MIN(s->f_files, MAX(left.limit_files, s->f_ffree));
    }
}

int attr_statfs(struct vfs *v, uint64_t id, struct statvfs *ret)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct statfs disk;
    int r = node_get(v, id, &n);

    if (r < 0)
        return r;
    if (n.kind != NODE_IS_REAL) {
        *ret = (struct statvfs){ .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255 };
        return 0;
    }
    r = sys->fstatfs(n.fd, &disk);
    if (r < 0)
        return r;
    statfs_of_disk(&disk, ret);
    statfs_limit(n.at.room, ret);
    return 0;
}

/* ---- extended attributes ---------------------------------------------------------------------------------------- */

#define OURS "user.tally."

static bool is_hidden(const struct call *c, const char *name)
{
    return str_has_prefix(name, "trusted.") && c->who.uid != 0;
}

static ssize_t xattr_total(const struct node *n, const char *name, void *buf, size_t room)
{
    char text[24];
    bool bytes = strcmp(name, OURS "rbytes") == 0;

    if (!n->rec.is_dir || (!bytes && strcmp(name, OURS "rfiles") != 0))
        return -ENODATA;
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)(bytes ? n->rec.bytes : n->rec.files));
    if (room == 0)
        return len;
    if ((size_t)len > room)
        return -ERANGE;
    memcpy(buf, text, (size_t)len);
    return len;
}

ssize_t xattr_get(struct call *c, uint64_t id, const char *name, void *buf, size_t room)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    int r = node_get(c->vfs, id, &n);

    if (r < 0)
        return r;
    if (n.kind != NODE_IS_REAL || is_hidden(c, name))
        return -ENODATA;
    if (str_has_prefix(name, OURS))
        return xattr_total(&n, name, buf, room);
    return sys->getxattr(n.fd, name, buf, room);
}

/* Takes the names out that the caller may not see. */
static size_t list_filter(const struct call *c, char *names, size_t len)
{
    size_t kept = 0;

    for (size_t at = 0, n; at < len; at += n) {
        n = strnlen(names + at, len - at) + 1;
        n = MIN(n, len - at);
        if (is_hidden(c, names + at) || str_has_prefix(names + at, OURS))
            continue;
        memmove(names + kept, names + at, n);
        kept += n;
    }
    return kept;
}

ssize_t xattr_list(struct call *c, uint64_t id, char *buf, size_t room)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    char *all = transport_room();
    int r = node_get(c->vfs, id, &n);

    if (r < 0)
        return r;
    if (n.kind != NODE_IS_REAL)
        return 0;
    ssize_t got = sys->listxattr(n.fd, all, XATTR_LIST_MAX);
    if (got < 0)
        return got;
    size_t len = list_filter(c, all, (size_t)got);
    if (room == 0)
        return (ssize_t)len;
    if (len > room)
        return -ERANGE;
    if (buf != all)
        memcpy(buf, all, len);
    return (ssize_t)len;
}

static int xattr_may_change(const struct call *c, const char *name)
{
    if (str_has_prefix(name, OURS))
        return -EPERM;
    if (str_has_prefix(name, "trusted.") && c->who.uid != 0)
        return -EPERM;
    return 0;
}

int xattr_set(struct call *c, uint64_t id, const char *name, const void *value, size_t len, int flags)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    int r = xattr_may_change(c, name);

    if (r == 0)
        r = node_get_real(c->vfs, id, &n);
    if (r == 0)
        r = sys->setxattr(n.fd, name, value, len, flags);
    if (r == 0 && strcmp(name, "system.posix_acl_access") == 0)
        r = file_kill_setgid(n.fd, &c->who);
    if (r == 0)
        others_tell(c->vfs, &n);
    return r;
}

int xattr_remove(struct call *c, uint64_t id, const char *name)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    int r = xattr_may_change(c, name);

    if (r == 0)
        r = node_get_real(c->vfs, id, &n);
    if (r == 0)
        r = sys->removexattr(n.fd, name);
    if (r == 0)
        others_tell(c->vfs, &n);
    return r;
}
