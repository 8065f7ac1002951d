/* The list of writers is made when somebody asks: from the open table, which has each handle's thread, uid and numbers,
 * and from the kernel, which knows the rest. Nothing but the numbers is kept while files are written.
 *
 * Path: the kernel tells the one of a descriptor (/proc/self/fd) from the root of its mount; the tree's root told the
 * same way is a prefix of it. An inode that was opened again by its handle may have no name in the kernel's cache; then
 * its directory has one (directories are always connected), and a listing of that says which entry it is.
 *
 * Process: FUSE requests carry the thread, /proc knows its process. The thread may be gone and its number another's: a
 * process that started after the handle was last used is not the writer, and no name is better than a wrong one.
 *
 * Revoking marks the entry. From then on what comes through the handle and would change the file is EIO: writes,
 * allocations, copies into it, truncates of the descriptor. Reads go on, and so do stores through a shared mapping,
 * which the kernel makes in the backing file without us: they cannot change its size, so the counter stays right. A
 * truncate by name is another handle's business: the process may open the file again, as a client may connect again. */
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "vfs/file.h"
#include "vfs/process.h"

enum { LISTED_ROOM = 16384, STARTED_SLACK_MS = 1000 };

/* ---- the path --------------------------------------------------------------------------------------------------- */

/* What the kernel calls a descriptor, from the root of its mount. */
static int fd_path(int fd, char *ret, size_t room)
{
    char link[32];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = sys->readlinkat(AT_FDCWD, link, ret, room - 1);
    if (n < 0)
        return (int)n;
    ret[n] = '\0';
    return 0;
}

/* From the root of the tree: "" or "/a/b"; false: the kernel does not know one there. */
static bool path_beneath(const struct node *n, int fd, char *ret, size_t room)
{
    char root[PATH_MAX], path[PATH_MAX];

    if (fd_path(tree_root_fd(n->rec.tree), root, sizeof root) < 0 || fd_path(fd, path, sizeof path) < 0)
        return false;
    size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0') || strcmp(path, "/") == 0)
        return false;
    str_set(ret, room, path + len);
    return true;
}

struct linux_dirent64_of {
    uint64_t ino;
    uint64_t off;
    uint16_t len;
    uint8_t type;
    char name[];
};

/* The name of an inode in a directory. */
static bool name_in(int dir, uint64_t ino, char *ret, size_t room)
{
    char got[LISTED_ROOM] __attribute__((aligned(8)));
    CLEANUP(fd_close) int fd = sys_open_beneath(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    ssize_t n;

    while (fd >= 0 && (n = sys->getdents(fd, got, sizeof got)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct linux_dirent64_of *d = (const struct linux_dirent64_of *)(const void *)(got + at);
            if (d->ino == ino)
                return str_set(ret, room, d->name);
            at += d->len;
        }
    }
    return false;
}

static void path_by_directory(struct vfs *v, const struct node *n, char *ret, size_t room)
{
    CLEANUP(fd_close) int dir = record_open_fd(v->ledger, n->rec.parent, 0, O_PATH | O_DIRECTORY);
    char above[PATH_MAX], name[NAME_MAX + 1];

    if (dir < 0 || !path_beneath(n, dir, above, sizeof above) || !name_in(dir, n->rec.ino, name, sizeof name))
        return;
    size_t len = strlen(above);
    if (str_set(ret, room, above) && len < room)
        snprintf(ret + len, room - len, "/%s", name);
}

static void writer_path(struct vfs *v, const struct node *n, struct vfs_writer *w)
{
    size_t len = strlen(w->path);

    if (!path_beneath(n, n->fd, w->path + len, sizeof w->path - len))
        path_by_directory(v, n, w->path + len, sizeof w->path - len);
}

/* ---- the process ------------------------------------------------------------------------------------------------ */

static void writer_process(struct vfs_writer *w)
{
    w->pid = process_of(w->pid);
    if (process_started_ms(w->pid) > w->active_ms + STARTED_SLACK_MS ||
        !process_read(w->pid, "comm", w->process, sizeof w->process))
        w->process[0] = '\0';
    w->process[strcspn(w->process, "\n")] = '\0';
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

static bool is_writer(const struct state_open *e)
{
    return atomic_load_explicit(&e->used, memory_order_acquire) != 0 && (e->flags & O_ACCMODE) != O_RDONLY &&
           !e->is_revoked;
}

static bool writer_read(struct vfs *v, uint32_t number, struct vfs_writer *ret)
{
    CLEANUP(node_put) struct node n = NODE_EMPTY;
    const struct state_open *e = &v->state->opens[number];

    if (!is_writer(e))
        return false;
    *ret = (struct vfs_writer){ .handle = number | (uint64_t)e->generation << 32,
                                .pid = e->pid,
                                .uid = e->uid,
                                .bytes = e->bytes,
                                .since_ms = e->since_ms,
                                .active_ms = e->active_ms };
    if (node_get_real(v, e->node, &n) < 0 ||
        !branch_named(v, n.rec.tree, n.at.view, ret->username, sizeof ret->username, ret->path, sizeof ret->path))
        return false;
    writer_path(v, &n, ret);
    writer_process(ret);
    return is_writer(e) && e->generation == ret->handle >> 32; /* it was one and the same all the time */
}

bool vfs_writer_next(struct vfs *v, uint32_t *pos, struct vfs_writer *ret)
{
    while (*pos < v->state->opens_end)
        if (writer_read(v, (*pos)++, ret))
            return true;
    return false;
}

int vfs_writer_close(struct vfs *v, uint64_t handle)
{
    struct file f;

    if (file_find(v, handle, &f) < 0 || !is_writer(f.entry))
        return -ENOENT;
    f.entry->is_revoked = 1;
    return 0;
}
