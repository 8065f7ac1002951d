/* Which tree is watched how, and what is to be done when events of it are lost.
 *
 * tree_open() calls us before it returns, so a tree is watched before anybody can use it. fanotify's mark is set at
 * once, in the caller's thread; watches of inotify cost a walk, so the repair thread puts them, and a recount behind
 * them finds what happened before. A tree that nothing can watch (a file system whose changes are made on other
 * machines) is recounted from time to time.
 *
 * Lost events: the domains are stale first, in the thread that saw the loss, before it reads another event; the recount
 * is a wish in the list, which the repair thread fulfils. A recount that was running already may have passed the place
 * that was lost, so a wish waits for its end and starts another. */
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "watcher/inside.h"
#include "watcher/kernel.h"

/* File systems whose changes may be made by other machines: the kernel here hears nothing of those. */
static const struct remote {
    unsigned long type; /* statfs.f_type */
    const char *name;
} remotes[] = {
    { 0x6969, "NFS" },          { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB" },   { 0x00c36400, "CephFS" },
    { 0x0bd00bd0, "Lustre" },   { 0x01021997, "9P" },   { 0x5346414f, "AFS" },   { 0x65735546, "FUSE" },
    { 0x47504653, "GPFS" },     { 0x01161970, "GFS2" }, { 0x7461636f, "OCFS2" }, { 0x19830326, "BeeGFS" },
    { 0x6a656a63, "virtiofs" },
};

bool say_once(struct watcher *w, bool *said)
{
    mutex_lock(&w->lock);
    bool first = !*said;
    *said = true;
    mutex_unlock(&w->lock);
    return first;
}

static const char *remote_name(int fd)
{
    struct statfs fs;

    if (sys->fstatfs(fd, &fs) < 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(remotes); i++)
        if (remotes[i].type == ((unsigned long)fs.f_type & 0xffffffffUL))
            return remotes[i].name;
    return NULL;
}

static bool is_remote(struct watcher *w, struct tree *t)
{
    const char *name = remote_name(tree_root_fd(t));

    if (name && say_once(w, &w->said_remote))
        log_warn(
            "watcher: homes on %s: changes made beneath the mount, also by other machines, are found by recounts only",
            name);
    return name != NULL;
}

/* How this tree is watched from now on. */
static enum watched_by watch_begin(struct watcher *w, struct tree *t, dev_t dev)
{
    if (is_remote(w, t))
        return BY_NOBODY;
    if (w->first == BY_INOTIFY)
        return BY_INOTIFY;
    int r = fan_watch(w, t, dev);
    if (r == 0)
        return BY_FANOTIFY;
    if (!w->may_fall_back || w->ino < 0) {
        IGNORE(log_fail(r, "watcher: fanotify cannot watch the file system of a home; it is recounted only"), "logged");
        return BY_NOBODY;
    }
    if (say_once(w, &w->said_fallback))
        log_info("watcher: inotify for homes where fanotify cannot be had: %s", error_text(r));
    return BY_INOTIFY;
}

static struct watched *watched_of(uint64_t value)
{
    return (struct watched *)(uintptr_t)value; /* NOLINT(performance-no-int-to-ptr): a table of numbers holds it */
}

static struct watched *find_locked(const struct watcher *w, const struct tree *t) REQUIRES(w->lock);
static struct watched *find_locked(const struct watcher *w, const struct tree *t)
{
    return watched_of(numbers_find(&w->trees, (uintptr_t)t));
}

/* Takes the row (owned) into the table; gives back what must be freed: the row of a tree that is told of twice. */
static int insert_locked(struct watcher *w, struct watched *x, struct watched **ret_old) REQUIRES(w->lock);
static int insert_locked(struct watcher *w, struct watched *x, struct watched **ret_old)
{
    *ret_old = find_locked(w, x->tree);
    int r = numbers_set(&w->trees, (uintptr_t)x->tree, (uintptr_t)x);
    if (r < 0)
        *ret_old = x;
    return r;
}

static int insert(struct watcher *w, struct watched *x)
{
    struct watched *old;

    mutex_lock(&w->lock);
    int r = insert_locked(w, x, &old);
    mutex_unlock(&w->lock);
    free(old);
    return r;
}

static void count_tree(struct watcher *w, enum watched_by by, int64_t n)
{
    metric_set(M_WATCHER_TREES, by, atomic_fetch_add(&w->trees_by[by], n) + n);
}

static int tree_begin(struct watcher *w, struct tree *t, enum watched_by *ret_by)
{
    struct stat st;
    int r = sys->fstatat(tree_root_fd(t), "", &st, AT_EMPTY_PATH);
    struct watched *x = r < 0 ? NULL : calloc(1, sizeof *x);

    if (!x)
        return r < 0 ? r : -ENOMEM;
    *x = (struct watched){ .tree = t, .dev = st.st_dev, .by = watch_begin(w, t, st.st_dev) };
    *ret_by = x->by;
    count_tree(w, x->by, 1);
    return insert(w, x);
}

void trees_add(void *arg, struct tree *t)
{
    struct watcher *w = arg;
    enum watched_by by = BY_NOBODY;
    int r = tree_begin(w, t, &by);

    if (r < 0) {
        IGNORE(log_fail(r, "watcher: a home is not watched"), "logged");
        tree_stale(t);
    } else if (by == BY_INOTIFY) {
        tree_wish(w, t, WISH_RECOUNT);
    }
}

static struct watched *remove_locked(struct watcher *w, const struct tree *t) REQUIRES(w->lock);
static struct watched *remove_locked(struct watcher *w, const struct tree *t)
{
    struct watched *x = find_locked(w, t);

    numbers_remove(&w->trees, (uintptr_t)t);
    return x;
}

void trees_told(void *arg, struct tree *t, bool opened)
{
    struct watcher *w = arg;

    if (opened) {
        trees_add(w, t);
        return;
    }
    mutex_lock(&w->lock);
    struct watched *x = remove_locked(w, t);
    mutex_unlock(&w->lock);
    if (x)
        count_tree(w, x->by, -1);
    free(x);
}

void trees_free(struct watcher *w)
{
    struct watched *x;

    for (size_t at = 0; (x = watched_of(numbers_next(&w->trees, &at, NULL)));)
        free(x);
    numbers_done(&w->trees);
}

static size_t copy_locked(const struct watcher *w, struct watched *to, size_t room) REQUIRES(w->lock);
static size_t copy_locked(const struct watcher *w, struct watched *to, size_t room)
{
    const struct watched *x;
    size_t n = 0;

    for (size_t at = 0; n < room && (x = watched_of(numbers_next(&w->trees, &at, NULL)));)
        to[n++] = *x;
    return n;
}

static void rewatch_taken_locked(struct watcher *w) REQUIRES(w->lock);
static void rewatch_taken_locked(struct watcher *w)
{
    struct watched *x;

    for (size_t at = 0; (x = watched_of(numbers_next(&w->trees, &at, NULL)));)
        x->rewatch = false;
}

static struct watched *copy(struct watcher *w, size_t *ret_n, bool to_watch)
{
    mutex_lock(&w->lock);
    struct watched *all = calloc(w->trees.used + 1, sizeof *all);
    *ret_n = all ? copy_locked(w, all, w->trees.used) : 0;
    if (all && to_watch)
        rewatch_taken_locked(w);
    mutex_unlock(&w->lock);
    return all;
}

struct watched *trees_copy(struct watcher *w, size_t *ret_n)
{
    return copy(w, ret_n, false);
}

struct watched *trees_to_watch(struct watcher *w, size_t *ret_n)
{
    return copy(w, ret_n, true);
}

/* ---- lost events ------------------------------------------------------------------------------------------------ */

static int wish_locked(struct watcher *w, const struct domain *d, uint64_t wish) REQUIRES(w->lock);
static int wish_locked(struct watcher *w, const struct domain *d, uint64_t wish)
{
    return numbers_set(&w->wishes, (uintptr_t)d, numbers_find(&w->wishes, (uintptr_t)d) | wish);
}

/* Without memory for the wish the domain stays as it is: stale, if something was lost. */
void domain_wish(struct watcher *w, struct domain *d, uint64_t wish)
{
    mutex_lock(&w->lock);
    int r = wish_locked(w, d, wish);
    mutex_unlock(&w->lock);
    if (r < 0)
        IGNORE(log_fail(r, "watcher: no recount"), "logged");
}

static void rewatch_locked(struct watcher *w, const struct tree *t) REQUIRES(w->lock);
static void rewatch_locked(struct watcher *w, const struct tree *t)
{
    struct watched *x = find_locked(w, t);

    if (x)
        x->rewatch = x->by == BY_INOTIFY;
}

static void domain_stale(void *arg, struct domain *d)
{
    (void)arg;
    domain_mark_stale(d);
}

void tree_stale(struct tree *t)
{
    tree_domains_each(t, domain_stale, NULL);
}

struct wish {
    struct watcher *w;
    uint64_t wish;
};

static void wish_one(void *arg, struct domain *d)
{
    const struct wish *x = arg;

    domain_wish(x->w, d, x->wish);
}

void tree_wish(struct watcher *w, struct tree *t, uint64_t wish)
{
    struct wish all = { .w = w, .wish = wish };

    if (wish & WISH_LOST)
        tree_stale(t);
    tree_domains_each(t, wish_one, &all);
    mutex_lock(&w->lock);
    rewatch_locked(w, t);
    mutex_unlock(&w->lock);
    atomic_store_explicit(&w->wished, true, memory_order_release);
    kernel_event_set(w->work_event);
}

struct numbers wishes_take(struct watcher *w)
{
    mutex_lock(&w->lock);
    struct numbers all = w->wishes;
    w->wishes = (struct numbers){ 0 };
    mutex_unlock(&w->lock);
    return all;
}

static void mark_stale(void *arg, struct tree *t)
{
    (void)arg;
    tree_stale(t);
}

void trees_lost(struct watcher *w, enum watched_by by, const char *why)
{
    size_t n;
    struct watched *all = trees_copy(w, &n);

    if (!all) /* not even memory for a list: without the recounts they stay stale */
        trees_each(w->ledger, mark_stale, NULL);
    for (size_t i = 0; i < n; i++)
        if (all[i].by == by)
            tree_wish(w, all[i].tree, WISH_RECOUNT | WISH_LOST);
    free(all);
    metric_add(M_WATCHER_OVERFLOWS, 0, 1);
    if (say_once(w, &w->said_overflow))
        log_warn("watcher: changes beneath the mount came faster than they were read: %s; the homes are recounted",
                 why);
}
