/* Each operation starts from a node id and asks the ledger what it is: that also says whether it still is. The
 * descriptor comes from the cache or from the record's file handle. An inode that lost its last name keeps its record
 * while it is open, or until the kernel forgets it (pins.h); after that its node id is stale for good. */
#include "vfs/node.h"

#include <string.h>

#include "vfs/pins.h"

static int node_fd(struct vfs *v, struct node *n)
{
    if (n->rec.tree == NULL)
        return -ESTALE;
    if (fd_cache_find(v->fds, n->slot, n->rec.generation, &n->ref))
        return 0;
    int fd = record_open_fd(v->ledger, n->slot, n->rec.generation, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    fd_cache_add(v->fds, n->slot, n->rec.generation, fd, &n->ref);
    return 0;
}

static int node_of_pin(struct vfs *v, struct node *n)
{
    return pin_find(v, n->slot, node_generation(n->id), n) && n->rec.tree != NULL ? 0 : -ESTALE;
}

int node_get(struct vfs *v, uint64_t id, struct node *ret)
{
    struct node n = NODE_EMPTY;

    n.id = id;
    n.slot = node_slot(id);
    if (id == NODE_ROOT || node_generation(id) == 0) {
        n.kind = id == NODE_ROOT ? NODE_IS_ROOT : NODE_IS_SYNTHETIC;
        n.slot = SLOT_NONE;
        *ret = n;
        return 0;
    }
    n.kind = NODE_IS_REAL;
    int r = record_view(v->ledger, n.slot, node_generation(id), &n.rec) ? node_fd(v, &n) : node_of_pin(v, &n);
    if (r == 0 && !place_find(v, n.rec.tree, node_view(id), &n.at))
        r = -ESTALE;
    if (r < 0) {
        fd_ref_put(&n.ref);
        return r;
    }
    n.fd = n.ref.fd;
    *ret = n;
    return 0;
}

int node_get_real(struct vfs *v, uint64_t id, struct node *ret)
{
    int r = node_get(v, id, ret);

    if (r == 0 && ret->kind != NODE_IS_REAL)
        r = -EPERM;
    return r;
}

void node_put(struct node *n)
{
    fd_ref_put(&n->ref);
    place_done(&n->at);
    *n = NODE_EMPTY;
}

/* A hard link that somebody made beneath the mount may lead into another tree: then the record stays there, and the
 * node is one of a branch of that tree. */
static int node_of_slot(struct vfs *v, const struct node *dir, slot_t slot, struct node *n)
{
    n->kind = NODE_IS_REAL;
    n->slot = slot;
    if (!record_view(v->ledger, slot, 0, &n->rec) || n->rec.tree == NULL)
        return -ESTALE;
    if (!place_find(v, n->rec.tree, dir->at.view, &n->at))
        return -EIO;
    n->id = node_id(n->at.view, n->rec.generation, slot);
    return 0;
}

/* `fd` is moved. */
static int node_of_fd(struct vfs *v, const struct node *dir, int fd, const struct stat *st, struct reservation *rsv,
                      struct node *ret)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    CLEANUP(fd_close) int own = fd;
    slot_t slot = SLOT_NONE;
    int r = rsv != NULL ? record_create(dir->rec.tree, dir->slot, fd, st, rsv, &slot)
                        : record_get(dir->rec.tree, dir->slot, fd, st, &slot);

    if (r == 0)
        r = node_of_slot(v, dir, slot, &n);
    if (r < 0)
        return r;
    fd_cache_add(v->fds, slot, n.rec.generation, take_fd(&own), &n.ref);
    n.fd = n.ref.fd;
    *ret = n;
    n = NODE_EMPTY;
    return 0;
}

static int child_open(struct vfs *v, const struct node *dir, const char *name, struct reservation *rsv,
                      struct node *ret, struct stat *ret_st)
{
    struct open_how how = { .flags = O_PATH | O_NOFOLLOW, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    int fd = sys->openat2(dir->fd, name, &how);

    if (fd < 0)
        return fd;
    int r = sys->fstatat(fd, "", ret_st, AT_EMPTY_PATH);
    if (r < 0) {
        fd_close(&fd);
        return r;
    }
    return node_of_fd(v, dir, fd, ret_st, rsv, ret);
}

int node_child(struct vfs *v, const struct node *dir, const char *name, struct node *ret, struct stat *ret_st)
{
    return child_open(v, dir, name, NULL, ret, ret_st);
}

int node_born(struct vfs *v, const struct node *dir, const char *name, int fd, struct reservation *rsv,
              struct node *ret, struct stat *ret_st)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    slot_t slot = SLOT_NONE;

    if (fd < 0)
        return child_open(v, dir, name, rsv, ret, ret_st);
    int r = sys->fstatat(fd, "", ret_st, AT_EMPTY_PATH);
    if (r == 0)
        r = record_create(dir->rec.tree, dir->slot, fd, ret_st, rsv, &slot);
    if (r == 0)
        r = node_of_slot(v, dir, slot, &n);
    if (r < 0)
        return r;
    n.fd = fd; /* not cached: a copy for the cache costs an open, and most new files are not asked for again */
    *ret = n;
    n = NODE_EMPTY;
    return 0;
}

uint64_t node_ino(uint64_t id)
{
    return id == NODE_ROOT ? 1 : id & ((UINT64_C(1) << 52) - 1);
}

void stat_of_node(const struct node *n, struct stat *st)
{
    st->st_ino = node_ino(n->id);
}

/* A directory that exists only here. */
static void stat_synthetic(const struct node *n, struct stat *st)
{
    *st = (struct stat){ .st_ino = node_ino(n->id), .st_mode = S_IFDIR | 0755, .st_nlink = 2, .st_blksize = 4096 };
}

int node_stat(struct vfs *v, const struct node *n, struct stat *ret)
{
    (void)v;
    if (n->kind != NODE_IS_REAL) {
        stat_synthetic(n, ret);
        return 0;
    }
    int r = sys->fstatat(n->fd, "", ret, AT_EMPTY_PATH);
    if (r == 0)
        stat_of_node(n, ret);
    return r;
}

uint64_t node_nfs_generation(const struct node *n)
{
    return n->kind == NODE_IS_REAL ? n->rec.nfs_generation ^ n->at.salt : 1;
}
