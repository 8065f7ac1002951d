/* fanotify: one mark a file system, on its superblock, however many trees lie there.
 *
 * The kernel tells of every change on the file system, by the handles of directory and inode and the name. handle_ino()
 * gives the inode numbers, the ledger's index says which of them it knows; all else is foreign and dropped here, for
 * the price of two look-ups. To drop is safe, though a directory may get its record a moment later: the ledger makes a
 * directory's record before it lists it, so a change that came before the record is found by that listing.
 *
 * Our own changes. Writes go through the private clone of the mount, which has an ignore mark: the kernel tells
 * nothing, also of passthrough writes, which have the application's pid. Directory changes and truncations are told
 * with our pid and dropped. A mount that others can reach never gets the ignore mark, or their writes would be ignored,
 * too.
 *
 * The verb of an event is used only to choose between the inode and its name: the kernel merges events, and what was
 * true when one was made is not true any more. FAN_ATTRIB is there for the last name of a file that somebody holds
 * open: its DELETE_SELF comes only when that is closed.
 *
 * Source: fanotify(7); notes/watcher.md §0 and §A. */
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "watcher/handle.h"
#include "watcher/inside.h"
#include "watcher/kernel.h"

#define NAME_EVENTS  (FAN_CREATE | FAN_DELETE | FAN_RENAME)
#define INODE_EVENTS (FAN_MODIFY | FAN_ATTRIB | FAN_DELETE_SELF)
#define MARK_MASK    (NAME_EVENTS | INODE_EVENTS | FAN_ONDIR)

/* ---- marks ------------------------------------------------------------------------------------------------------ */

/* Whether the layout of this file system's handles is known: it must give the number that the root really has. */
static int handles_proven(int root_fd)
{
    struct handle h;
    struct stat st = { 0 };
    uint64_t ino;
    int r = sys->name_to_handle(root_fd, "", &h, AT_EMPTY_PATH);

    if (r == 0)
        r = sys->fstatat(root_fd, "", &st, AT_EMPTY_PATH);
    if (r < 0)
        return r;
    return handle_ino(h.type, h.data, h.bytes, &ino) && ino == st.st_ino ? 0 : -EOPNOTSUPP;
}

static int marked_add_locked(struct watcher *w, const struct marked *m) REQUIRES(w->lock);
static int marked_add_locked(struct watcher *w, const struct marked *m)
{
    size_t n = atomic_load_explicit(&w->marked_n, memory_order_relaxed);

    for (size_t i = 0; i < n; i++)
        if (w->marked[i].dev == m->dev && memcmp(w->marked[i].fsid, m->fsid, sizeof m->fsid) == 0)
            return 0;
    if (n == FILESYSTEMS_MAX)
        return -ENOSPC;
    w->marked[n] = *m;
    atomic_store_explicit(&w->marked_n, n + 1, memory_order_release); /* the drain thread reads without the lock */
    return 0;
}

/* The table first: an event that comes before its row would be dropped as foreign. */
static int mark_filesystem(struct watcher *w, int root_fd, dev_t dev)
{
    struct marked m = { .dev = dev };
    struct statfs fs;
    int r = sys->fstatfs(root_fd, &fs);

    if (r < 0)
        return r;
    memcpy(m.fsid, &fs.f_fsid, sizeof m.fsid);
    mutex_lock(&w->lock);
    r = marked_add_locked(w, &m);
    mutex_unlock(&w->lock);
    if (r == 0)
        r = kernel_fanotify_mark(w->fan, FAN_MARK_FILESYSTEM, MARK_MASK, root_fd);
    if (r == 0)
        metric_set(M_WATCHER_WATCHES, 0, (int64_t)atomic_load_explicit(&w->marked_n, memory_order_relaxed));
    return r;
}

static bool clone_is_new_locked(struct watcher *w, uint64_t id) REQUIRES(w->lock);
static bool clone_is_new_locked(struct watcher *w, uint64_t id)
{
    for (size_t i = 0; i < w->clones_n; i++)
        if (w->clones[i] == id)
            return false;
    if (w->clones_n < CLONES_MAX)
        w->clones[w->clones_n++] = id;
    return true;
}

/* Without this mark we hear ourselves: a look for each write of our own, which finds nothing. Slower, never wrong. */
static void ignore_clone(struct watcher *w, int mount_fd)
{
    uint64_t id;
    int r = kernel_mount_id(mount_fd, &id);

    if (r == 0) {
        mutex_lock(&w->lock);
        bool is_new = clone_is_new_locked(w, id);
        mutex_unlock(&w->lock);
        if (!is_new)
            return;
        if (kernel_mount_is_private(id))
            r = kernel_fanotify_mark(w->fan, FAN_MARK_MOUNT | FAN_MARK_IGNORE_SURV, FAN_MODIFY, mount_fd);
        else
            r = -EBUSY;
    }
    if (r < 0 && say_once(w, &w->said_public))
        log_info("watcher: writes of our own are seen, too, which costs time: %s",
                 r == -EBUSY ? "the homes are not reached through a private mount" : error_text(r));
}

int fan_watch(struct watcher *w, struct tree *t, dev_t dev)
{
    int r = handles_proven(tree_root_fd(t));
    if (r == 0)
        r = mark_filesystem(w, tree_root_fd(t), dev);
    if (r == 0)
        ignore_clone(w, tree_mount_fd(t));
    return r;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* What one event says, in slots: SLOT_NONE is unknown to the ledger, or not said. Names are borrowed. */
struct said {
    uint64_t mask;
    slot_t inode;
    slot_t dir, old; /* old: of a rename */
    const char *name, *old_name;
};

static bool is_fsid(const struct marked *m, const __kernel_fsid_t *fsid)
{
    return memcmp(m->fsid, fsid, sizeof m->fsid) == 0;
}

/* The record of a handle. *ret_end: what lies behind the handle, the name if there is one. */
static slot_t slot_of(const struct watcher *w, const struct fanotify_event_info_fid *fid, const char **ret_end)
{
    const struct file_handle *h = (const void *)fid->handle;
    size_t n = atomic_load_explicit(&w->marked_n, memory_order_acquire);
    slot_t slot = SLOT_NONE;
    uint64_t ino;

    *ret_end = (const char *)h->f_handle + h->handle_bytes;
    if (!handle_ino(h->handle_type, h->f_handle, h->handle_bytes, &ino))
        return SLOT_NONE;
    for (size_t i = 0; i < n && slot == SLOT_NONE; i++)
        if (is_fsid(&w->marked[i], &fid->fsid))
            slot = record_find(w->ledger, w->marked[i].dev, ino);
    return slot;
}

static void said_read(const struct watcher *w, const struct fanotify_event_info_fid *fid, struct said *s)
{
    const char *name;
    slot_t slot = slot_of(w, fid, &name);

    switch (fid->hdr.info_type) {
    case FAN_EVENT_INFO_TYPE_FID:
        s->inode = slot;
        break;
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
        s->dir = slot;
        s->name = name;
        break;
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
        s->old = slot;
        s->old_name = name;
        break;
    default:
        break;
    }
}

static void add(struct watcher *w, enum dirty_kind kind, slot_t id, const char *name, bool renamed)
{
    drain_add(w, BY_FANOTIFY, (struct place){ .kind = kind, .id = id, .renamed = renamed }, name);
}

/* The inode may have lost its last name, or the last one in its tree. */
static bool has_lost_a_name(const struct watcher *w, const struct said *s)
{
    if (s->mask & (FAN_DELETE | FAN_DELETE_SELF))
        return true;
    return s->old != SLOT_NONE && tree_of(w->ledger, s->old) != tree_of(w->ledger, s->dir);
}

/* A name was made, moved or taken away. What a rename replaced has an event of its own. */
static bool said_of_names(struct watcher *w, const struct said *s)
{
    if (s->dir != SLOT_NONE)
        add(w, DIRTY_NAME, s->dir, s->name, true);
    if (s->old != SLOT_NONE)
        add(w, DIRTY_NAME, s->old, s->old_name, true);
    if (s->inode != SLOT_NONE && has_lost_a_name(w, s))
        add(w, DIRTY_SLOT, s->inode, "", true);
    return s->dir != SLOT_NONE || s->old != SLOT_NONE || s->inode != SLOT_NONE;
}

/* An inode changed. Its record is enough; without one the name leads to it. */
static bool said_of_inode(struct watcher *w, const struct said *s)
{
    if (s->inode != SLOT_NONE)
        add(w, DIRTY_SLOT, s->inode, "", false);
    else if (s->dir != SLOT_NONE && strcmp(s->name, ".") != 0)
        add(w, DIRTY_NAME, s->dir, s->name, false);
    else if (s->dir != SLOT_NONE)
        add(w, DIRTY_SLOT, s->dir, "", false);
    return s->inode != SLOT_NONE || s->dir != SLOT_NONE;
}

static bool event_read(struct watcher *w, uint64_t mask, const char *at, const char *end)
{
    struct said s = { .mask = mask };

    while (end - at >= (ptrdiff_t)sizeof(struct fanotify_event_info_header)) {
        const struct fanotify_event_info_fid *fid = (const void *)at;
        if (fid->hdr.len == 0)
            break;
        if (fid->hdr.len >= sizeof *fid + sizeof(struct file_handle))
            said_read(w, fid, &s);
        at += fid->hdr.len;
    }
    return s.mask & NAME_EVENTS ? said_of_names(w, &s) : said_of_inode(w, &s);
}

/* Events are aligned to 4 bytes only, so their heads are copied. */
static bool events_read(struct watcher *w, const char *buf, size_t len)
{
    struct fanotify_event_metadata m;
    const char *end = buf + len;
    pid_t self = getpid();
    bool added = false;
    int64_t n = 0;

    for (; end - buf >= (ptrdiff_t)sizeof m; buf += m.event_len, n++) {
        memcpy(&m, buf, sizeof m);
        if (m.event_len < sizeof m || m.event_len > (size_t)(end - buf))
            break;
        if (m.mask & FAN_Q_OVERFLOW)
            trees_lost(w, BY_FANOTIFY, "the kernel's queue of fanotify events was full");
        else if (m.vers == FANOTIFY_METADATA_VERSION && m.pid != self)
            added |= event_read(w, m.mask, buf + m.metadata_len, buf + m.event_len);
    }
    metric_add(M_WATCHER_EVENTS, 0, n);
    return added;
}

bool fan_drain(struct watcher *w)
{
    static _Thread_local char buf[EVENTS_BYTES] __attribute__((aligned(8)));
    bool added = false;
    ssize_t n;

    while ((n = kernel_read(w->fan, buf, sizeof buf)) > 0)
        added |= events_read(w, buf, (size_t)n);
    if (n < 0)
        trees_lost(w, BY_FANOTIFY, error_text((int)n));
    return added;
}
