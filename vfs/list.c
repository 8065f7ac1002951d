/* Cookies of real entries are the backing file system's own. Points come after the last real entry, with cookies from
 * POINTS_FROM up: file systems use that range for nothing but the end of a directory (ext4's last hash is below it;
 * XFS, btrfs and tmpfs count from small numbers, btrfs and ext4 say INT64_MAX at the end). */
#include "vfs/list.h"

#include <dirent.h>
#include <string.h>

#include "base/dirs.h"
#include "vfs/dir.h"
#include "vfs/op.h"

#define POINTS_FROM UINT64_C(0x7fffffff00000000)
#define POINTS_END  UINT64_C(0x7fffffffffffff00)
#define INO_UNKNOWN UINT64_C(0xffffffff)

struct listing {
    struct call *c;
    struct node dir;
    char *buf;
    size_t room, len;
    bool plus;
};

static void listing_done(struct listing *l)
{
    node_put(&l->dir);
}

/* false: it is full. */
static bool listing_add(struct listing *l, const char *name, const struct fuse_entry_param *e, uint64_t off)
{
    char *to = l->buf + l->len;
    size_t room = l->room - l->len;
    size_t n = l->plus ? fuse_add_direntry_plus(l->c->req, to, room, name, e, (off_t)off)
                       : fuse_add_direntry(l->c->req, to, room, name, &e->attr, (off_t)off);

    if (n > room)
        return false;
    l->len += n;
    return true;
}

/* An entry without attributes: the kernel looks it up when somebody asks. */
static struct fuse_entry_param entry_bare(uint64_t ino, unsigned type)
{
    return (struct fuse_entry_param){ .attr = { .st_ino = ino, .st_mode = DTTOIF(type) } };
}

static bool listing_add_node(struct listing *l, const char *name, const struct node *n, const struct stat *st,
                             uint64_t off)
{
    struct fuse_entry_param e = entry_of(l->c->vfs, n, st);

    return listing_add(l, name, &e, off);
}

/* ---- the root ---------------------------------------------------------------------------------------------------- */

enum { LISTING_FULL = 1 };

/* The cookie of a home is the id of its user: whoever comes and goes meanwhile, nobody else is missed or shown
 * twice. */
static int root_add(void *arg, int64_t id, const char *username)
{
    struct listing *l = arg;

    if (strchr(username, '/') != NULL || username[0] == '.')
        return 0;
    uint64_t node = home_find(l->c->vfs, username);
    struct fuse_entry_param e = entry_bare(node != 0 ? node_ino(node) : INO_UNKNOWN, DT_DIR);
    return listing_add(l, username, &e, (uint64_t)id) ? 0 : LISTING_FULL;
}

static int list_root(struct listing *l, uint64_t off)
{
    return users_after(l->c->vfs->store, (int64_t)MIN(off, (uint64_t)INT64_MAX), root_add, l);
}

/* ---- points ----------------------------------------------------------------------------------------------------- */

/* Those that no real entry stands for. */
static int list_points(struct listing *l, uint64_t from)
{
    struct vfs *v = l->c->vfs;
    struct point_seen p;
    char name[NAME_MAX + 1];

    for (uint64_t i = from; point_nth(v, l->dir.id, (size_t)i, name, sizeof name, &p); i++) {
        CLEANUP(node_put) struct node n = NODE_EMPTY;
        struct stat st;
        if (p.is_real || node_get(v, p.node, &n) < 0 || node_stat(v, &n, &st) < 0)
            continue;
        if (!listing_add_node(l, name, &n, &st, POINTS_FROM + i + 1))
            break;
    }
    return 0;
}

/* ---- real directories ------------------------------------------------------------------------------------------- */

/* A folder hides a real entry of its name; a directory on the way is shown as what it is. */
static bool is_covered(struct listing *l, const char *name)
{
    if (!l->dir.at.has_points)
        return false;
    struct point_seen p = point_find(l->c->vfs, l->dir.id, name);
    return p.kind == POINT_FOLDER || (p.kind == POINT_ON_THE_WAY && !p.is_real);
}

/* The number that stat will show. An inode that the ledger does not know yet gets its record now. */
static uint64_t ino_of(struct listing *l, const struct dirent64 *d, dev_t dev)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct record_view rec;
    struct stat st;
    slot_t slot = record_find(l->c->vfs->ledger, dev, d->d_ino);

    if (slot != SLOT_NONE && record_view(l->c->vfs->ledger, slot, 0, &rec))
        return node_ino(node_id(0, rec.generation, slot));
    return node_child(l->c->vfs, &l->dir, d->d_name, &n, &st) == 0 ? node_ino(n.id) : INO_UNKNOWN;
}

static bool list_one(struct listing *l, const struct dirent64 *d, dev_t dev)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    struct stat st;

    if (is_covered(l, d->d_name))
        return true;
    if (name_is_dot(d->d_name)) {
        struct fuse_entry_param dot = entry_bare(node_ino(l->dir.id), DT_DIR);
        return listing_add(l, d->d_name, &dot, (uint64_t)d->d_off);
    }
    if (l->plus && node_child(l->c->vfs, &l->dir, d->d_name, &n, &st) == 0) {
        stat_of_node(&n, &st);
        return listing_add_node(l, d->d_name, &n, &st, (uint64_t)d->d_off);
    }
    struct fuse_entry_param bare = entry_bare(ino_of(l, d, dev), d->d_type);
    return listing_add(l, d->d_name, &bare, (uint64_t)d->d_off);
}

enum { DIRENTS_ROOM = 32768 };

/* 1: the directory's end was reached; 0: the buffer is full. */
static int list_entries(struct listing *l, int fd, dev_t dev)
{
    char got[DIRENTS_ROOM] __attribute__((aligned(8)));
    size_t want = MIN((size_t)DIRENTS_ROOM, l->room + 1024);

    for (;;) {
        ssize_t n = sys->getdents(fd, got, want);
        if (n <= 0)
            return n < 0 ? (int)n : 1;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *d = (const struct dirent64 *)(const void *)(got + at);
            if (!list_one(l, d, dev))
                return 0;
            at += d->d_reclen;
        }
    }
}

static int list_real(struct listing *l, uint64_t off)
{
    CLEANUP(fd_close) int fd = -1;
    struct stat st;

    if (off >= POINTS_FROM && off < POINTS_END)
        return list_points(l, off - POINTS_FROM);
    fd = sys_open_beneath(l->dir.fd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int64_t at = off == 0 ? 0 : sys->lseek(fd, (int64_t)off, SEEK_SET);
    int r = at < 0 ? (int)at : sys->fstatat(fd, "", &st, AT_EMPTY_PATH);
    if (r == 0)
        r = list_entries(l, fd, st.st_dev);
    return r == 1 && l->dir.at.has_points ? list_points(l, 0) : MIN(r, 0);
}

ssize_t list_read(struct call *c, uint64_t dir, char *buf, size_t room, uint64_t off, bool plus)
{
    CLEANUP(listing_done) struct listing l = { .c = c, .dir = NODE_EMPTY, .buf = buf, .room = room, .plus = plus };
    int r = node_get(c->vfs, dir, &l.dir);

    if (r == 0 && l.dir.kind == NODE_IS_ROOT)
        r = list_root(&l, off);
    else if (r == 0 && l.dir.kind == NODE_IS_SYNTHETIC)
        r = list_points(&l, off >= POINTS_FROM ? off - POINTS_FROM : 0);
    else if (r == 0)
        r = list_real(&l, off);
    return r < 0 && l.len == 0 ? r : (ssize_t)l.len;
}
