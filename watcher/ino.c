/* inotify: a watch a directory, where fanotify may not be had.
 *
 * A directory is first watched, then listed: what is made before the listing is in it, what is made later has an event.
 * So a new directory is searched for directories, all of them get watches, and only then the ledger looks at it and
 * walks it. A watch follows its inode: it is found by device and inode, never by a path, so moved directories need no
 * care. Which inode vanished with a name, inotify does not say: look_gone() compares the ledger's records with the
 * directory.
 *
 * What it cannot see: writes through a file handle whose name is not in the kernel's cache (an NFS server after a
 * restart); a change in the moment between an operation through the mount in a directory without a watch, and that
 * watch. Hence the periodic recount. Too few watches: the tree is stale until its next recount.
 *
 * The watches belong to the repair thread alone; the drain thread passes on watch numbers, which the kernel does not
 * use again. Source: inotify(7); notes/watcher.md §A, §C.6. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "watcher/inside.h"
#include "watcher/kernel.h"

#define WATCH_MASK  (IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_EXCL_UNLINK)
#define GONE_EVENTS (IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define NAME_EVENTS (IN_CREATE | GONE_EVENTS)

enum { LIST_BYTES = 32 * 1024 };

struct watch {
    int wd;
    dev_t dev;
    uint64_t ino;
    struct tree *tree;
};

/* Directories that wait to be searched. */
struct todo {
    struct todo *next;
    struct handle handle;
};

/* A search for directories without a watch. */
struct search {
    struct watcher *w;
    struct tree *tree;
    dev_t dev;
    bool again;           /* also below directories that have a watch */
    struct todo *todo;    /* owned */
    struct numbers found; /* inodes of directories that got a watch */
    int r;                /* the first failure */
};

/* ---- the table of watches --------------------------------------------------------------------------------------- */

static uint64_t dir_key(dev_t dev, uint64_t ino)
{
    uint64_t both[] = { dev, ino };
    return hash_bytes(0, both, sizeof both);
}

static struct watch *watch_of(uint64_t value)
{
    return (struct watch *)(uintptr_t)value; /* NOLINT(performance-no-int-to-ptr): a table of numbers holds it */
}

static struct watch *watch_find(const struct watcher *w, int wd)
{
    return watch_of(numbers_find(&w->by_wd, (uint64_t)wd));
}

static struct watch *watch_of_dir(const struct watcher *w, dev_t dev, uint64_t ino)
{
    return watch_of(numbers_find(&w->by_dir, dir_key(dev, ino)));
}

static void watch_forget(struct watcher *w, struct watch *x)
{
    numbers_remove(&w->by_wd, (uint64_t)x->wd);
    numbers_remove(&w->by_dir, dir_key(x->dev, x->ino));
    metric_set(M_WATCHER_WATCHES, 0, (int64_t)--w->watches_n);
    free(x);
}

static void watch_drop(struct watcher *w, struct watch *x)
{
    kernel_inotify_unwatch(w->ino, x->wd);
    watch_forget(w, x);
}

static int watch_keep(struct watcher *w, const struct watch *x)
{
    struct watch *kept = malloc(sizeof *kept);
    int r = -ENOMEM;

    if (!kept)
        return r;
    *kept = *x;
    r = numbers_set(&w->by_wd, (uint64_t)x->wd, (uintptr_t)kept);
    if (r == 0)
        r = numbers_set(&w->by_dir, dir_key(x->dev, x->ino), (uintptr_t)kept);
    if (r < 0) {
        numbers_remove(&w->by_wd, (uint64_t)x->wd);
        free(kept);
        return r;
    }
    metric_set(M_WATCHER_WATCHES, 0, (int64_t)++w->watches_n);
    return 0;
}

/* A directory whose inode number was used before may still have the old watch in the table: its event is on the way. */
static int watch_add(struct watcher *w, struct tree *t, int fd, const struct stat *st)
{
    struct watch x = { .dev = st->st_dev, .ino = st->st_ino, .tree = t };
    struct watch *old = watch_of_dir(w, x.dev, x.ino);

    if (!old && w->max_watches > 0 && w->watches_n >= w->max_watches)
        return -ENOSPC;
    x.wd = kernel_inotify_watch(w->ino, fd, WATCH_MASK);
    if (x.wd < 0)
        return x.wd;
    if (old && old->wd == x.wd) {
        old->tree = t;
        return 0;
    }
    if (old)
        watch_forget(w, old);
    int r = watch_keep(w, &x);
    if (r < 0)
        kernel_inotify_unwatch(w->ino, x.wd);
    return r < 0 ? r : 1;
}

void ino_free(struct watcher *w)
{
    struct watch *x;

    for (size_t at = 0; (x = watch_of(numbers_next(&w->by_wd, &at, NULL)));)
        free(x);
    numbers_done(&w->by_wd);
    numbers_done(&w->by_dir);
    w->watches_n = 0;
}

/* ---- the search ------------------------------------------------------------------------------------------------- */

static int todo_add(struct search *s, const struct handle *h)
{
    struct todo *d = malloc(sizeof *d);

    if (!d)
        return -ENOMEM;
    *d = (struct todo){ s->todo, *h };
    s->todo = d;
    return 0;
}

/* An entry of a listing. Another file system that is mounted there is not ours. */
static int search_entry(struct search *s, int dir, const struct dirent64 *e)
{
    struct handle h;
    struct stat st;

    if (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
        return 0;
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
        return 0;
    int r = sys->fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW);
    if (r < 0 || !S_ISDIR(st.st_mode) || st.st_dev != s->dev)
        return r == -ENOENT ? 0 : r;
    if (!s->again && watch_of_dir(s->w, st.st_dev, st.st_ino))
        return 0;
    r = sys->name_to_handle(dir, e->d_name, &h, 0);
    return r == 0 ? todo_add(s, &h) : r == -ENOENT ? 0 : r;
}

static int search_list(struct search *s, int fd)
{
    _Alignas(struct dirent64) char buf[LIST_BYTES];
    ssize_t n;

    while ((n = sys->getdents(fd, buf, sizeof buf)) > 0)
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *e = (const void *)(buf + at);
            int r = search_entry(s, fd, e);
            if (r < 0)
                return r;
            at += e->d_reclen;
        }
    return (int)n;
}

/* Watch, then list. */
static int search_dir(struct search *s, int fd)
{
    struct stat st;
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);

    if (r == 0)
        r = watch_add(s->w, s->tree, fd, &st);
    if (r > 0)
        r = numbers_set(&s->found, st.st_ino, st.st_ino);
    return r < 0 ? r : search_list(s, fd);
}

static void search_next(struct search *s)
{
    struct todo *d = s->todo;
    CLEANUP(fd_close) int fd = handle_open(tree_mount_fd(s->tree), &d->handle, O_RDONLY | O_DIRECTORY);

    s->todo = d->next;
    free(d);
    int r = fd < 0 ? fd : search_dir(s, fd);
    if (r < 0 && r != -ESTALE && r != -ENOENT && s->r == 0)
        s->r = r;
}

static void exhausted(struct watcher *w, struct tree *t)
{
    bool own_limit = w->max_watches > 0 && w->watches_n >= w->max_watches;

    tree_stale(t);
    if (say_once(w, &w->said_exhausted))
        log_warn("watcher: no inotify watch is left after %zu; the other directories are recounted only; raise %s",
                 w->watches_n, own_limit ? "watcher.max_watches" : "the sysctl fs.inotify.max_user_watches");
}

/* Searches everything below a directory. */
static void search_run(struct search *s, const struct handle *top)
{
    int r = todo_add(s, top);

    if (r < 0)
        s->r = r;
    while (s->todo)
        search_next(s);
    if (s->r == -ENOSPC)
        exhausted(s->w, s->tree);
    else if (s->r < 0)
        tree_wish(s->w, s->tree, WISH_RECOUNT | WISH_LOST);
}

void ino_watch_tree(struct watcher *w, struct tree *t, dev_t dev)
{
    struct search s = { .w = w, .tree = t, .dev = dev, .again = true };
    struct handle top;
    int r = sys->name_to_handle(tree_root_fd(t), "", &top, AT_EMPTY_PATH);

    if (r < 0) {
        log_fail(r, "watcher: a tree cannot be watched");
        return;
    }
    search_run(&s, &top);
    numbers_done(&s.found);
}

/* ---- repair ----------------------------------------------------------------------------------------------------- */

/* Directories that existed for the ledger before they had a watch: what happened in between. */
static void search_look(const struct search *s)
{
    uint64_t ino;

    for (size_t at = 0; (ino = numbers_next(&s->found, &at, NULL)) != 0;) {
        slot_t slot = record_find(s->w->ledger, s->dev, ino);
        struct tree *t = slot == SLOT_NONE ? NULL : tree_of(s->w->ledger, slot);
        if (!t)
            continue;
        repaired(s->w, t, look_dir(t, slot));
        repaired(s->w, t, look_gone(t, slot));
    }
}

/* Whether `name` is a directory without a watch; then *ret is its handle. */
static bool is_new_dir(const struct watcher *w, dev_t dev, int dir, const char *name, struct handle *ret)
{
    struct stat st;

    if (sys->fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) || st.st_dev != dev)
        return false;
    return !watch_of_dir(w, st.st_dev, st.st_ino) && sys->name_to_handle(dir, name, ret, 0) == 0;
}

static void look_at_new_dir(struct watcher *w, dev_t dev, slot_t dir, const char *name, const struct handle *top)
{
    struct tree *t = tree_of(w->ledger, dir);
    struct search s = { .w = w, .tree = t, .dev = dev };

    search_run(&s, top);
    repaired(w, t, look_named(t, dir, name));
    search_look(&s);
    numbers_done(&s.found);
}

static void look_at_name(struct watcher *w, dev_t dev, slot_t dir, const struct dirty_place *p)
{
    CLEANUP(fd_close) int fd = -1;
    struct tree *t = tree_of(w->ledger, dir);
    struct handle new_dir;

    if (!p->at.renamed) {
        repaired(w, t, look(t, dir, p->name));
        return;
    }
    fd = record_open_fd(w->ledger, dir, 0, O_PATH | O_DIRECTORY);
    if (fd >= 0 && is_new_dir(w, dev, fd, p->name, &new_dir))
        look_at_new_dir(w, dev, dir, p->name, &new_dir);
    else
        repaired(w, t, look_named(t, dir, p->name));
}

/* The watch went with its directory, whose number may be used again: the old record goes before the new one comes. */
static void forget_dir(struct watcher *w, struct watch *x)
{
    slot_t dir = record_find(w->ledger, x->dev, x->ino);

    watch_forget(w, x);
    if (dir != SLOT_NONE)
        repaired(w, tree_of(w->ledger, dir), look_slot(w->ledger, dir));
}

/* A directory that the ledger does not know any more was moved out of its tree, or its tree is gone. */
void ino_repair(struct watcher *w, const struct dirty_place *p)
{
    struct watch *x = watch_find(w, (int)p->at.id);
    slot_t dir = x ? record_find(w->ledger, x->dev, x->ino) : SLOT_NONE;
    struct tree *t = dir == SLOT_NONE ? NULL : tree_of(w->ledger, dir);

    if (!x)
        return;
    if (p->at.kind == DIRTY_UNWATCH)
        forget_dir(w, x);
    else if (!t)
        watch_drop(w, x);
    else if (p->at.kind == DIRTY_WATCH_NAME)
        look_at_name(w, x->dev, dir, p);
    else
        repaired(w, t, look_gone(t, dir));
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

static void add(struct watcher *w, enum dirty_kind kind, int wd, const char *name, bool renamed)
{
    drain_add(w, BY_INOTIFY, (struct place){ .kind = kind, .id = (uint32_t)wd, .renamed = renamed }, name);
}

static void event_read(struct watcher *w, const struct inotify_event *e)
{
    if (e->mask & IN_Q_OVERFLOW)
        trees_lost(w, BY_INOTIFY, "the kernel's queue of inotify events was full");
    else if (e->mask & IN_UNMOUNT)
        trees_lost(w, BY_INOTIFY, "a file system with homes was unmounted");
    else if (e->mask & IN_IGNORED)
        add(w, DIRTY_UNWATCH, e->wd, "", false);
    else if (e->len > 0)
        add(w, DIRTY_WATCH_NAME, e->wd, e->name, (e->mask & NAME_EVENTS) != 0);
    if (e->mask & GONE_EVENTS)
        add(w, DIRTY_WATCH_GONE, e->wd, "", false);
}

bool ino_drain(struct watcher *w)
{
    static _Thread_local char buf[EVENTS_BYTES] __attribute__((aligned(8)));
    bool added = false;
    ssize_t n;

    while ((n = kernel_read(w->ino, buf, sizeof buf)) > 0) {
        int64_t events = 0;
        for (ssize_t at = 0; at < n; events++) {
            const struct inotify_event *e = (const void *)(buf + at);
            event_read(w, e);
            at += (ssize_t)(sizeof *e + e->len);
        }
        metric_add(M_WATCHER_EVENTS, 0, events);
        added = true;
    }
    if (n < 0)
        trees_lost(w, BY_INOTIFY, error_text((int)n));
    return added;
}
