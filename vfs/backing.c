/* The configured path may run through symbolic links, as the administrator likes; so it is opened as a whole, once.
 * From that descriptor: its mount's id (statx), the clone of that mount, and the same directory again through the
 * clone by its file handle. A handle needs no path, so it does not matter how the directory was reached.
 *
 * The clone must have the whole mount, not the directory's subtree: handles are decoded against the clone's root, and
 * two homes on one mount share it. So we walk up by ".." to the directory that statx calls a mount root. */
#include "vfs/backing.h"

#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"

enum { MOUNTS_MAX = 256, DEPTH_MAX = 4096 };

struct clone_of {
    uint64_t mount_id;
    int fd; /* a readable directory of the clone: open_by_handle_at(2) takes no O_PATH descriptor */
};

struct backings {
    struct mutex lock;
    struct clone_of mounts[MOUNTS_MAX];
    size_t n;
};

int backings_new(struct backings **ret)
{
    struct backings *b = calloc(1, sizeof *b);

    if (b == NULL)
        return -ENOMEM;
    mutex_init(&b->lock, RANK_QUEUE);
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

/* The mount's clone, made the first time. */
static int clone_get(struct backings *b, int fd, int *ret_fd)
{
    uint64_t id;
    bool is_root;
    int r = mount_of(fd, &id, &is_root);

    if (r < 0)
        return r;
    for (size_t i = 0; i < b->n; i++) {
        if (b->mounts[i].mount_id == id) {
            *ret_fd = b->mounts[i].fd;
            return 0;
        }
    }
    if (b->n == MOUNTS_MAX)
        return -EMFILE;

    CLEANUP(fd_close) int root = mount_root(fd);
    if (root < 0)
        return root;
    CLEANUP(fd_close)
    int tree = (int)syscall(SYS_open_tree, root, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -errno;
    int dir = sys_open_beneath(tree, ".", O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir;
    b->mounts[b->n++] = (struct clone_of){ .mount_id = id, .fd = dir };
    *ret_fd = dir;
    return 0;
}

/* Makes one directory of the path, with its owner and mode; the umask is not ours to trust. */
static int dir_make(int parent, const char *name, const struct backing_owner *owner)
{
    int r = sys->mkdirat(parent, name, owner != NULL ? 0700 : 0755);

    if (r < 0)
        return r == -EEXIST ? 0 : r;
    CLEANUP(fd_close) int fd = sys_open_beneath(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    r = sys->fchmodat(fd, "", owner != NULL ? 0700 : 0755);
    if (r == 0 && owner != NULL)
        r = sys->fchownat(fd, "", owner->uid, owner->gid, 0);
    return r;
}

/* Opens an absolute path component by component and makes what is missing. Symbolic links are the administrator's. */
static int path_make(const char *path, const struct backing_owner *owner)
{
    CLEANUP(mem_free) char *copy = strdup(path);
    CLEANUP(fd_close) int at = open_dir(AT_FDCWD, "/");
    char *save = NULL;

    if (copy == NULL)
        return -ENOMEM;
    for (char *name = strtok_r(copy, "/", &save), *next; name != NULL && at >= 0; name = next) {
        next = strtok_r(NULL, "/", &save);
        int down = open_dir(at, name);
        if (down == -ENOENT) {
            int r = dir_make(at, name, next == NULL ? owner : NULL);
            down = r < 0 ? r : open_dir(at, name);
        }
        close(at);
        at = down;
    }
    return take_fd(&at);
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

static bool path_is_in(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    while (len > 1 && dir[len - 1] == '/')
        len--;
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

int backing_open(struct backings *b, const char *path, const struct backing_owner *owner, const char *not_in,
                 int *ret_root, int *ret_mount)
{
    if (path == NULL || path[0] != '/')
        return -EINVAL;
    if (not_in != NULL && path_is_in(path, not_in))
        return -ELOOP;
    CLEANUP(fd_close) int fd = open_dir(AT_FDCWD, path);
    if (fd == -ENOENT)
        fd = path_make(path, owner);
    if (fd < 0)
        return fd;

    int mount_fd = -1;
    mutex_lock(&b->lock);
    int r = clone_get(b, fd, &mount_fd);
    mutex_unlock(&b->lock);
    if (r == 0)
        r = reopen_in(mount_fd, fd, ret_root);
    if (r == 0)
        *ret_mount = mount_fd;
    return r;
}
