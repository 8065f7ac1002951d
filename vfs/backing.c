/* The configured path may run through symbolic links, as the administrator likes; so it is opened as a whole, once.
 * From that descriptor: its mount's id (statx), the clone of that mount, and the same directory again through the
 * clone by its file handle. A handle needs no path, so it does not matter how the directory was reached.
 *
 * The clone must have the whole mount, not the directory's subtree: handles are decoded against the clone's root, and
 * two homes on one mount share it. So we walk up by ".." to the directory that statx calls a mount root. */
#include "vfs/backing.h"

#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"

enum { MOUNTS_MAX = 256, DEPTH_MAX = 4096 };

struct clone_of {
    uint64_t mount_id;
    int fd; /* a readable directory of the clone: open_by_handle_at(2) takes no O_PATH descriptor */
};

struct backings {
    struct stat homes; /* of the directory vfs.mount, or of what is mounted there */
    dev_t cover_dev;   /* of covers; 0: there are none */
    struct mutex lock; /* for the next two */
    struct clone_of mounts[MOUNTS_MAX];
    size_t n;
};

int backings_new(const char *mount, dev_t cover_dev, struct backings **ret)
{
    CLEANUP(fd_close) int fd = dirs_open(mount, &(struct dir_walk){ 0 });
    struct backings *b = calloc(1, sizeof *b);

    if (b == NULL)
        return -ENOMEM;
    b->cover_dev = cover_dev;
    mutex_init(&b->lock, RANK_QUEUE);
    int r = fd < 0 ? fd : sys->fstat_known(fd, &b->homes);
    if (r < 0) {
        backings_free(b);
        return log_fail(r, "cannot look at %s", mount);
    }
    *ret = b;
    return 0;
}

void backings_free(struct backings *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->n; i++)
        close(b->mounts[i].fd);
    mutex_done(&b->lock);
    free(b);
}

static int mount_of(int fd, uint64_t *ret_id, bool *ret_is_root)
{
    struct statx sx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
        return -errno;
    *ret_id = sx.stx_mnt_id;
    *ret_is_root = (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    return 0;
}

static int open_dir(int dir, const char *path)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY, .resolve = RESOLVE_NO_MAGICLINKS };

    return sys->openat2(dir, path, &how);
}

/* The root directory of the mount that `fd` is on. */
static int mount_root(int fd)
{
    CLEANUP(fd_close) int at = open_dir(fd, ".");

    for (int i = 0; i < DEPTH_MAX && at >= 0; i++) {
        uint64_t id;
        bool is_root;
        int r = mount_of(at, &id, &is_root);
        if (r < 0)
            return r;
        if (is_root)
            return take_fd(&at);
        int up = open_dir(at, "..");
        close(at);
        at = up;
    }
    return at < 0 ? at : -ELOOP;
}

static int clone_find_locked(const struct backings *b, uint64_t id) REQUIRES(b->lock);
static int clone_find_locked(const struct backings *b, uint64_t id)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->mounts[i].mount_id == id)
            return b->mounts[i].fd;
    return -ENOENT;
}

static int clone_find(struct backings *b, uint64_t id)
{
    mutex_lock(&b->lock);
    int fd = clone_find_locked(b, id);
    mutex_unlock(&b->lock);
    return fd;
}

/* `fd` (owned) is a directory of a new clone; gives back the one that counts: another thread may have been first. */
static int clone_keep(struct backings *b, uint64_t id, int fd)
{
    mutex_lock(&b->lock);
    int kept = clone_find_locked(b, id);
    if (kept < 0)
        kept = b->n == MOUNTS_MAX ? -EMFILE : fd;
    if (kept == fd)
        b->mounts[b->n++] = (struct clone_of){ .mount_id = id, .fd = take_fd(&fd) };
    mutex_unlock(&b->lock);
    fd_close(&fd);
    return kept;
}

static int clone_make(int fd)
{
    CLEANUP(fd_close) int root = mount_root(fd);
    if (root < 0)
        return root;
    CLEANUP(fd_close)
    int tree = (int)syscall(SYS_open_tree, root, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr alone = { .propagation = MS_PRIVATE }; /* what is mounted over homes later must not show in it */
    if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &alone, sizeof alone) < 0)
        return -errno;
    return sys_open_beneath(tree, ".", O_RDONLY | O_DIRECTORY, 0);
}

/* The mount's clone, made the first time; a slow disk keeps only those waiting who come to it. */
static int clone_get(struct backings *b, int fd, int *ret_fd)
{
    uint64_t id = 0;
    bool is_root;
    int r = mount_of(fd, &id, &is_root);

    if (r < 0)
        return r;
    int kept = clone_find(b, id);
    if (kept < 0) {
        kept = clone_make(fd);
        kept = kept < 0 ? kept : clone_keep(b, id, kept);
    }
    if (kept >= 0)
        *ret_fd = kept;
    return MIN(kept, 0);
}

/* No path may lead into the mount of the homes: the vfs would wait for itself. A cover that the host's namespace has
 * shared with ours is taken away in ours. */
static int look(void *arg, int fd, const struct stat *st)
{
    const struct backings *b = arg;
    char link[40], place[PATH_MAX];

    if (st->st_dev == b->homes.st_dev && st->st_ino == b->homes.st_ino)
        return -ELOOP;
    if (b->cover_dev == 0 || st->st_dev != b->cover_dev)
        return DIR_GO_ON;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = sys->readlinkat(AT_FDCWD, link, place, sizeof place - 1);
    if (n < 0)
        return (int)n;
    place[n] = '\0';
    return umount2(place, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 ? -errno : DIR_AGAIN;
}

static int reopen_in(int mount_fd, int fd, int *ret_root)
{
    struct handle h;
    int r = sys->name_to_handle(fd, "", &h, AT_EMPTY_PATH);

    if (r < 0)
        return r;
    int root = sys->open_by_handle(mount_fd, &h, O_PATH | O_DIRECTORY);
    if (root < 0)
        return root;
    *ret_root = root;
    return 0;
}

int backing_open(struct backings *b, const char *path, const struct dir_rights *rights, int *ret_root, int *ret_mount)
{
    const struct dir_walk walk = { .make = true, .last = rights, .look = look, .arg = b };
    CLEANUP(fd_close) int fd = dirs_open(path, &walk);
    int mount_fd = -1;

    if (fd < 0)
        return fd;
    int r = clone_get(b, fd, &mount_fd);
    if (r == 0)
        r = reopen_in(mount_fd, fd, ret_root);
    if (r == 0)
        *ret_mount = mount_fd;
    return r;
}

int backing_look(struct backings *b, const char *path, struct stat *ret)
{
    CLEANUP(fd_close) int fd = dirs_open(path, &(struct dir_walk){ .look = look, .arg = b });

    return fd < 0 ? fd : sys->fstat_known(fd, ret);
}
