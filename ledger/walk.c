/* Mark, settle, sweep over one tree (notes/watcher.md §C.2).
 *
 * Mark: the tree gets a new epoch. Settle: every directory that can be reached is listed once in this epoch, and every
 * file in it is settled under its lock and stamped. Sweep: what has no stamp is looked at by handle; what is gone or
 * out of the tree gives its charge back. Nothing is overwritten as a whole, so writes, renames and deletions go on
 * meanwhile.
 *
 * Write barrier: a directory that is renamed or made in the mount while the walk runs is put on the list unless it was
 * on it already (walk_shade), and a file that is settled in the mount has the stamp. So nothing that can be reached is
 * without a stamp when the list is empty, and since each directory is on the list once an epoch, a storm of renames
 * cannot keep the walk from ending. The list holds slots, and directories are opened by handle, so it does not matter
 * where they are by the time they are listed. What vanished meanwhile is no error; what cannot be read is one, and
 * then nothing is swept.
 *
 * The kernel may remember that a name is absent which is found here: nobody saw it come, since events were lost, a
 * watch was late, or this process was away. So what differs is told by its name, but not in directories whose record no
 * operation of the mount has made: there nobody has asked for names yet.
 *
 * A dry run does the same without settling: it adds up, file by file under its lock, what settling would have changed.
 * Such a sum stays exact while others write. Directories without a record are listed by handle, and it makes none. */
#include <dirent.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ledger/inside.h"

enum { WALKERS_MAX = 64, PROGRESS_FILES = 64 };
enum { PACE_SLACK_NS = 5000000, PACE_SLICE_NS = 50000000 };
#define SECOND_NS UINT64_C(1000000000)

struct item {
    slot_t slot;
    struct handle handle; /* of a directory without a record, if slot is SLOT_NONE */
    bool is_unasked;      /* nobody can have looked for names in it */
};

struct walk {
    struct tree *t;
    struct recount *rc;
    struct usage_scan *scan; /* progress goes here */
    uint32_t epoch;
    uint64_t began_ns;
    _Atomic uint64_t paced; /* files since then */
    struct mutex m;         /* RANK_QUEUE; guards what follows */
    pthread_cond_t wake;
    struct item *v;
    size_t n, room;
    unsigned busy; /* workers that list a directory */
    int failed;
    struct index links; /* dry run: files without a record that have several names */
};

static void fail(struct walk *w, int r)
{
    mutex_lock(&w->m);
    if (w->failed == 0)
        w->failed = r;
    pthread_cond_broadcast(&w->wake);
    mutex_unlock(&w->m);
}

static int push_locked(struct walk *w, const struct item *it)
{
    if (w->n == w->room) {
        size_t room = w->room ? w->room * 2 : 256;
        struct item *more = reallocarray(w->v, room, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        w->v = more;
        w->room = room;
    }
    w->v[w->n++] = *it;
    return 0;
}

static void push(struct walk *w, const struct item *it)
{
    mutex_lock(&w->m);
    int r = push_locked(w, it);
    pthread_cond_signal(&w->wake);
    mutex_unlock(&w->m);
    if (r < 0)
        fail(w, r);
}

void walk_shade(struct walk *w, slot_t dir, bool is_unasked)
{
    struct record *r = record_at(w->t->l, dir);
    const struct item it = { .slot = dir, .is_unasked = is_unasked };

    if (atomic_exchange_explicit(&r->seen, w->epoch, memory_order_relaxed) != w->epoch)
        push(w, &it);
}

static void drift(struct walk *w, struct charge was, struct charge now)
{
    int64_t bytes = (int64_t)(was.bytes - now.bytes), files = (int64_t)(was.files - now.files);

    if (bytes != 0)
        atomic_fetch_add_explicit(&w->rc->drift_bytes, bytes, memory_order_relaxed);
    if (files != 0)
        atomic_fetch_add_explicit(&w->rc->drift_files, files, memory_order_relaxed);
}

struct listing {
    struct walk *w;
    slot_t dir;
    int fd;
    bool is_unasked; /* as in its item */
    uint64_t files, bytes;
};

/* ---- settling ---------------------------------------------------------------------------------------------------- */

/* Of something that had no record. */
static void tell(struct listing *li, slot_t slot, const char *name)
{
    if (!li->is_unasked)
        ledger_tell(li->w->t->l, slot, li->dir, name);
}

static int settle_dir(struct listing *li, const char *name)
{
    struct tree *t = li->w->t;
    struct met m;
    int r = meet_dir(t, li->dir, li->fd, name, &m);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    drift(li->w, m.lost, (struct charge){ 0 });
    if (place_tree(record_place(record_at(t->l, m.slot))) == t->index)
        walk_shade(li->w, m.slot, m.is_new);
    if (m.is_new)
        tell(li, m.slot, name);
    return 0;
}

/* Links and the like are not counted. Without a record nobody has looked it up. */
static int settle_other(struct listing *li, const struct entry *e)
{
    if (index_find(&li->w->t->l->index, li->w->t->fs, e->ino) == SLOT_NONE)
        tell(li, SLOT_NONE, e->name);
    return 0;
}

static int settle_file(struct listing *li, const struct entry *e)
{
    struct tree *t = li->w->t;
    struct met m;
    int r = meet_file(t, li->dir, li->fd, e->name, e->ino, &m);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    drift(li->w, m.lost, (struct charge){ 0 });
    if (m.again)
        return 0;
    li->files++;
    li->bytes += (uint64_t)m.st.st_size;
    drift(li->w, m.was, m.now);
    if (m.is_new)
        tell(li, m.slot, e->name);
    else if (m.differed)
        ledger_tell(t->l, m.slot, li->dir, e->name);
    return 0;
}

/* ---- only looking ------------------------------------------------------------------------------------------------ */

static int compare_dir(struct listing *li, const char *name)
{
    struct tree *t = li->w->t;
    struct stat st;
    struct item it = { .slot = SLOT_NONE };
    int r = sys->fstatat(li->fd, name, &st, AT_SYMLINK_NOFOLLOW);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (!S_ISDIR(st.st_mode) || st.st_dev != t->dev)
        return 0;
    r = record_handle(li->fd, name, &it.handle);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    slot_t slot = index_find(&t->l->index, t->fs, st.st_ino);
    bool known = slot && record_has_handle(record_at(t->l, slot), &it.handle);
    if (known && tree_of(t->l, slot) == t)
        walk_shade(li->w, slot, false);
    else if (!known)
        push(li->w, &it);
    return 0;
}

/* Is this the first of the names of a file that has no record? */
static bool is_first_name(struct walk *w, const struct stat *st)
{
    uint32_t there = 0;

    if (st->st_nlink == 1)
        return true;
    if (index_find(&w->links, 0, st->st_ino) != 0)
        return false;
    int r = index_insert(&w->links, 0, st->st_ino, 1, &there);
    if (r < 0)
        fail(w, r);
    return true;
}

static int compare_known_locked(struct listing *li, slot_t slot, const char *name, struct stat *st, bool *ret_again)
{
    struct tree *t = li->w->t;
    struct record *r = record_at(t->l, slot);
    int e = sys->fstatat(li->fd, name, st, AT_SYMLINK_NOFOLLOW);

    if (e < 0)
        return e;
    if (!(record_head(r) & RECORD_LIVE) || st->st_ino != r->ino || !S_ISREG(st->st_mode))
        return -EAGAIN;
    bool seen = atomic_exchange_explicit(&r->seen, li->w->epoch, memory_order_relaxed) == li->w->epoch;
    *ret_again = seen && st->st_nlink > 1;
    if (!*ret_again)
        drift(li->w, charge_of(r), (struct charge){ (uint64_t)st->st_size, 1 });
    return 0;
}

static int compare_once(struct listing *li, const struct entry *e)
{
    struct tree *t = li->w->t;
    struct stat st;
    bool again = false;
    int r = sys->fstatat(li->fd, e->name, &st, AT_SYMLINK_NOFOLLOW);

    if (r < 0 || !S_ISREG(st.st_mode) || st.st_dev != t->dev)
        return r < 0 ? r : -ENOENT;
    slot_t slot = index_find(&t->l->index, t->fs, st.st_ino);
    if (slot && tree_of(t->l, slot) != t)
        return 0; /* counted in the tree of its first name */
    if (slot) {
        record_lock(t->l, slot);
        r = compare_known_locked(li, slot, e->name, &st, &again);
        record_unlock(t->l, slot);
    } else {
        again = !is_first_name(li->w, &st);
        if (!again)
            drift(li->w, (struct charge){ 0 }, (struct charge){ (uint64_t)st.st_size, 1 });
    }
    if (r == 0 && !again) {
        li->files++;
        li->bytes += (uint64_t)st.st_size;
    }
    return r;
}

static int compare_file(struct listing *li, const struct entry *e)
{
    int r = -EAGAIN;

    for (unsigned tries = 0; r == -EAGAIN && tries < 16; tries++)
        r = compare_once(li, e);
    return r == -ENOENT || r == -EAGAIN ? 0 : r;
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static uint8_t type_of(int fd, const struct entry *e)
{
    struct stat st;

    if (e->type != DT_UNKNOWN)
        return e->type;
    if (sys->fstatat(fd, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return DT_UNKNOWN;
    return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_LNK;
}

/* So many files a second and no more. Nothing is locked meanwhile. */
static void pace(struct walk *w)
{
    unsigned rate = w->t->l->o.recount_rate;

    if (rate == 0)
        return;
    uint64_t n = atomic_fetch_add_explicit(&w->paced, 1, memory_order_relaxed);
    uint64_t due_ns = w->began_ns + n * (SECOND_NS / rate), now_ns = sys->now_ns();
    while (due_ns > now_ns + PACE_SLACK_NS && !atomic_load_explicit(&w->rc->cancel, memory_order_relaxed)) {
        const struct timespec ts = { .tv_nsec = (long)MIN(due_ns - now_ns, (uint64_t)PACE_SLICE_NS) };

        nanosleep(&ts, NULL);
        now_ns = sys->now_ns();
    }
}

static void progress(struct listing *li)
{
    atomic_fetch_add_explicit(&li->w->scan->files_seen, li->files, memory_order_relaxed);
    atomic_fetch_add_explicit(&li->w->scan->bytes_seen, li->bytes, memory_order_relaxed);
    li->files = li->bytes = 0;
}

static int take_entry(void *arg, const struct entry *e)
{
    struct listing *li = arg;
    bool dry = li->w->rc->dry_run;
    uint8_t type = type_of(li->fd, e);

    if (atomic_load_explicit(&li->w->rc->cancel, memory_order_relaxed))
        return -ECANCELED;
    if (type == DT_REG) {
        pace(li->w);
        if (li->files >= PROGRESS_FILES || li->w->t->l->o.recount_rate > 0)
            progress(li);
        return dry ? compare_file(li, e) : settle_file(li, e);
    }
    if (type == DT_DIR)
        return dry ? compare_dir(li, e->name) : settle_dir(li, e->name);
    return dry ? 0 : settle_other(li, e);
}

static int list(struct walk *w, const struct item *it)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOATIME | O_NOFOLLOW;
    struct tree *t = w->t;
    CLEANUP(fd_close)
    int fd = it->slot ? record_open_fd(t->l, it->slot, 0, flags) : handle_open(t->mount_fd, &it->handle, flags);

    if (fd == -ESTALE || fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0)
        return fd;
    struct listing li = { .w = w, .dir = it->slot, .fd = fd, .is_unasked = it->is_unasked };
    if (it->slot && !w->rc->dry_run && (record_head(record_at(t->l, it->slot)) & RECORD_UNLISTED))
        record_flag_clear(record_at(t->l, it->slot), RECORD_UNLISTED);
    int r = entries_each(fd, take_entry, &li);
    progress(&li);
    return r;
}

/* The next directory; false when all are listed, or on failure. */
static bool next_item(struct walk *w, struct item *ret)
{
    mutex_lock(&w->m);
    while (w->n == 0 && w->busy > 0 && w->failed == 0)
        pthread_cond_wait(&w->wake, &w->m.m);
    bool got = w->n > 0 && w->failed == 0;
    if (got) {
        *ret = w->v[--w->n];
        w->busy++;
    } else {
        pthread_cond_broadcast(&w->wake);
    }
    mutex_unlock(&w->m);
    return got;
}

static void item_done(struct walk *w)
{
    mutex_lock(&w->m);
    if (--w->busy == 0)
        pthread_cond_broadcast(&w->wake);
    mutex_unlock(&w->m);
}

static void *worker(void *arg)
{
    struct walk *w = arg;
    struct item it;

    while (next_item(w, &it)) {
        int r = list(w, &it);
        if (r < 0)
            fail(w, r);
        item_done(w);
    }
    return NULL;
}

static unsigned workers_of(const struct ledger *l)
{
    long n = l->o.recount_threads ? (long)l->o.recount_threads : sysconf(_SC_NPROCESSORS_ONLN);

    return (unsigned)MIN(MAX(n, 1L), (long)WALKERS_MAX);
}

static void run_workers(struct walk *w)
{
    pthread_t threads[WALKERS_MAX];
    unsigned n = 0, wanted = w->rc->background ? 0 : workers_of(w->t->l) - 1;

    while (n < wanted && pthread_create(&threads[n], NULL, worker, w) == 0)
        n++; /* fewer will do, too */
    worker(w);
    while (n > 0)
        pthread_join(threads[--n], NULL);
}

/* ---- sweep ------------------------------------------------------------------------------------------------------- */

static bool is_unseen(struct walk *w, slot_t slot)
{
    const struct record *r = record_at(w->t->l, slot);
    uint32_t head = record_head(r);

    return (head & RECORD_LIVE) && !(head & RECORD_ROOT) && place_tree(record_place(r)) == w->t->index &&
           atomic_load_explicit(&r->seen, memory_order_relaxed) != w->epoch;
}

/* A file that the walk did not find: gone, or out of the tree. One that is open keeps its charge. */
static bool sweep_file_locked(struct walk *w, slot_t slot)
{
    struct ledger *l = w->t->l;
    struct record *r = record_at(l, slot);
    bool is_open = atomic_load_explicit(&r->opens, memory_order_relaxed) > 0;
    struct charge was = charge_of(r);
    struct stat st;

    if (!is_unseen(w, slot))
        return false;
    int e = stat_slot(l, slot, &st);
    if (e < 0 && e != -ESTALE && e != -ENOENT) {
        fail(w, e);
        return false;
    }
    if (!is_open)
        drift(w, was, (struct charge){ 0 });
    if (w->rc->dry_run)
        return false;
    if (e < 0 || st.st_nlink == 0)
        settle_gone_locked(l, slot);
    else
        settle_lost_locked(l, slot);
    return true;
}

static void sweep_other(struct walk *w, slot_t slot)
{
    struct ledger *l = w->t->l;
    uint32_t head = record_head(record_at(l, slot));
    struct stat st;

    if (w->rc->dry_run)
        return;
    if (head & RECORD_DIR) {
        if (is_unseen(w, slot))
            place_remove_dir(l, slot, head & GENERATION_MASK);
        return;
    }
    record_lock(l, slot);
    if (is_unseen(w, slot) && stat_slot(l, slot, &st) == -ESTALE) /* symbolic links and the like are not walked */
        settle_gone_locked(l, slot);
    record_unlock(l, slot);
}

static void sweep(struct walk *w)
{
    struct ledger *l = w->t->l;
    uint32_t n = atomic_load_explicit(&l->n_records, memory_order_acquire);

    for (slot_t slot = 1; slot < n && w->failed == 0; slot++) {
        if (!is_unseen(w, slot))
            continue;
        if (!(record_head(record_at(l, slot)) & RECORD_FILE)) {
            sweep_other(w, slot);
            continue;
        }
        record_lock(l, slot);
        bool swept = sweep_file_locked(w, slot);
        record_unlock(l, slot);
        if (swept)
            ledger_tell(l, slot, SLOT_NONE, NULL);
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void walk_begin(struct walk *w)
{
    struct tree *t = w->t;

    rwlock_lock(&t->lock);
    w->epoch = atomic_fetch_add_explicit(&t->s->epoch, 1, memory_order_relaxed) + 1;
    if (w->epoch == 0) { /* 0 is the mark of a record that was never seen */
        w->epoch = 1;
        atomic_store_explicit(&t->s->epoch, 1, memory_order_relaxed);
    }
    t->walk = w;
    rwlock_unlock(&t->lock);
    walk_shade(w, tree_root(t), false);
}

static void walk_end(struct walk *w)
{
    rwlock_lock(&w->t->lock);
    w->t->walk = NULL;
    rwlock_unlock(&w->t->lock);
    free(w->v);
    pthread_cond_destroy(&w->wake);
    mutex_done(&w->m);
    index_done(&w->links);
}

int walk_tree(struct tree *t, struct recount *rc)
{
    struct walk w = { .t = t, .rc = rc, .scan = &rc->domain->u->scan, .began_ns = sys->now_ns() };
    int r = index_init(&w.links, 1);

    if (r < 0)
        return r;
    mutex_init(&w.m, RANK_QUEUE);
    pthread_cond_init(&w.wake, NULL);
    walk_begin(&w);
    run_workers(&w);
    if (w.failed == 0)
        sweep(&w);
    walk_end(&w);
    return w.failed;
}
