/* The open table is an array in the shared state; an entry's number and generation are the kernel's handle. Beside
 * it, in this process only, each open inode has an object in a hash table by slot: find-or-insert, the count of opens
 * and the backing id are one critical section, so two first opens cannot make two ids (the kernel answers EIO to the
 * second).
 *
 * Two things that strangers could use up are bounded. Places in the table: shares.h. Descriptors of this process: an
 * inode keeps those that it has needed until its last close, but all together keep at most a part of what the process
 * may have; beyond that one is opened for each use, which costs microseconds and refuses nobody. */
#include "vfs/file_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "vfs/backing_ids.h"
#include "vfs/shares.h"
#include "vfs/vacant.h"

enum { BUCKETS = 4096, FDS_SHARE = 2, REFUSED_SAID_MS = 60000 };

struct inode {
    struct inode *next;
    slot_t slot;
    uint32_t generation;
    uint32_t opens; /* under the bucket's lock, like the rest but size_seen */
    int rd, wr;     /* -1: not yet */
    int32_t backing_id;
    uint32_t backing_at; /* its entry in the state */
    bool no_backing;     /* the kernel refused: all opens are direct */
    _Atomic uint64_t size_seen;
};

struct bucket {
    struct mutex lock;
    struct inode *first;
};

/* An entry of the open table, in this process. */
struct opened {
    struct inode *inode; /* NULL: free */
    struct held held;
};

struct files {
    struct bucket buckets[BUCKETS];
    struct opened opened[STATE_OPENS];
    struct vacant vacant;
    struct shares *shares;
    _Atomic uint32_t fds; /* kept by inodes */
    uint32_t fds_max;
    _Atomic uint64_t refused_said_ms;
};

static struct bucket *bucket_of(struct vfs *v, slot_t slot)
{
    return &v->files->buckets[slot % BUCKETS];
}

static uint32_t fds_allowed(void)
{
    struct rlimit l;

    return getrlimit(RLIMIT_NOFILE, &l) < 0 ? 0 : (uint32_t)MIN(l.rlim_cur / FDS_SHARE, (rlim_t)STATE_OPENS);
}

int files_new(struct vfs *v, struct files **ret)
{
    uint32_t max = MIN(v->config->vfs.max_open_files, (uint32_t)STATE_OPENS);
    struct files *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < BUCKETS; i++)
        mutex_init(&f->buckets[i].lock, RANK_INODES);
    f->fds_max = fds_allowed();
    int r = vacant_init(&f->vacant, STATE_OPENS);
    if (r == 0)
        r = shares_new(max, &f->shares);
    if (r < 0)
        files_free(f);
    else
        *ret = f;
    return r;
}

static void inode_free(struct files *f, struct inode *i)
{
    f->fds -= (i->rd >= 0) + (i->wr >= 0);
    fd_close(&i->rd);
    fd_close(&i->wr);
    free(i);
}

void files_free(struct files *f)
{
    if (f == NULL)
        return;
    for (size_t b = 0; b < BUCKETS; b++) {
        for (struct inode *i = f->buckets[b].first, *next; i != NULL; i = next) {
            next = i->next;
            inode_free(f, i);
        }
        mutex_done(&f->buckets[b].lock);
    }
    shares_free(f->shares);
    vacant_done(&f->vacant);
    free(f);
}

uint64_t files_count(const struct vfs *v)
{
    return shares_used(v->files->shares);
}

uint64_t inode_size(const struct inode *i)
{
    return atomic_load_explicit(&i->size_seen, memory_order_relaxed);
}

void inode_size_seen(struct inode *i, uint64_t size)
{
    atomic_store_explicit(&i->size_seen, size, memory_order_relaxed);
}

/* ---- open inodes ------------------------------------------------------------------------------------------------ */

static struct inode *inode_find(struct bucket *b, slot_t slot, uint32_t generation)
{
    for (struct inode *i = b->first; i != NULL; i = i->next)
        if (i->slot == slot && i->generation == generation)
            return i;
    return NULL;
}

static struct inode *inode_get_locked(struct bucket *b, slot_t slot, uint32_t generation)
{
    struct inode *i = inode_find(b, slot, generation);

    if (i == NULL) {
        i = calloc(1, sizeof *i);
        if (i == NULL)
            return NULL;
        *i = (struct inode){ .next = b->first, .slot = slot, .generation = generation, .rd = -1, .wr = -1 };
        b->first = i;
    }
    i->opens++;
    return i;
}

/* True if that was the last: the caller frees it outside the lock. */
static bool inode_put_locked(struct vfs *v, struct bucket *b, struct inode *i)
{
    if (--i->opens > 0)
        return false;
    for (struct inode **at = &b->first; *at != NULL; at = &(*at)->next) {
        if (*at == i) {
            *at = i->next;
            break;
        }
    }
    if (i->backing_id > 0)
        backing_id_drop(v, i->backing_id, i->backing_at);
    return true;
}

/* true: the inode may keep one more. */
static bool fds_keep(struct files *f)
{
    if (f->fds++ < f->fds_max)
        return true;
    f->fds--;
    return false;
}

static struct inode_fd inode_fd_locked(struct vfs *v, struct inode *i, bool write)
{
    int *kept = write || i->wr >= 0 ? &i->wr : &i->rd;

    if (*kept >= 0)
        return (struct inode_fd){ .fd = *kept };
    int fd = record_open_fd(v->ledger, i->slot, i->generation, (write ? O_RDWR : O_RDONLY) | O_NONBLOCK);
    if (fd < 0 || !fds_keep(v->files))
        return (struct inode_fd){ .fd = fd, .is_own = fd >= 0 };
    *kept = fd;
    return (struct inode_fd){ .fd = fd };
}

struct inode_fd inode_fd(struct vfs *v, struct inode *i, bool write)
{
    struct bucket *b = bucket_of(v, i->slot);

    mutex_lock(&b->lock);
    struct inode_fd got = inode_fd_locked(v, i, write);
    mutex_unlock(&b->lock);
    return got;
}

void inode_fd_put(struct inode_fd *f)
{
    if (f->is_own)
        fd_close(&f->fd);
}

/* ---- the open table --------------------------------------------------------------------------------------------- */

static struct holders holders_of(uint32_t uid, const struct tree *tree)
{
    return (struct holders){ .id = { [SHARE_UID] = uid, [SHARE_TREE] = (uintptr_t)tree } };
}

static void say_refused(struct files *f, const struct node *n, uint32_t uid, int r, enum share_kind kind)
{
    uint64_t now = sys->now_ns() / 1000000;
    uint64_t was = f->refused_said_ms;

    if (was != 0 && now - was < REFUSED_SAID_MS)
        return;
    if (!atomic_compare_exchange_strong(&f->refused_said_ms, &was, now))
        return;
    if (r == -ENFILE)
        log_warn("%u files are open, the most that vfs.max_open_files allows", shares_used(f->shares));
    else if (kind == SHARE_UID)
        log_warn("uid %u has its share of the files that may be open (%u are): it gets no more", uid,
                 shares_used(f->shares));
    else
        log_warn("a home or folder (owner's id %lld) has its share of the files that may be open (%u are)",
                 (long long)domain_id(tree_owner(n->at.tree)), shares_used(f->shares));
}

static int open_claim(struct vfs *v, const struct node *n, const struct file_opening *o, uint32_t *ret_number)
{
    struct files *f = v->files;
    struct holders who = holders_of(o->who.uid, n->at.tree);
    enum share_kind kind = SHARE_UID;
    struct held held;
    int r = share_take(f->shares, &who, false, &held, &kind);

    if (r == 0 && !vacant_take(&f->vacant, ret_number)) {
        share_give(f->shares, &held);
        r = -ENFILE;
    }
    if (r < 0) {
        say_refused(f, n, o->who.uid, r, kind);
        return r;
    }
    f->opened[*ret_number].held = held;
    state_raise(&v->state->opens_end, *ret_number + 1);
    return 0;
}

static void open_unclaim(struct vfs *v, uint32_t number)
{
    v->state->opens[number].used = 0;
    share_give(v->files->shares, &v->files->opened[number].held);
    vacant_give(&v->files->vacant, number);
}

/* `used` is set last, when the entry is whole. */
static void open_publish(struct state_open *e, uint64_t node, const struct file_opening *o)
{
    int64_t now_ms = sys->wall_ms();

    e->generation = e->generation + 1 == 0 ? 1 : e->generation + 1;
    e->unique = o->unique;
    e->node = node;
    e->flags = o->flags;
    e->is_born = o->is_born;
    e->is_revoked = 0;
    e->uid = o->who.uid;
    e->pid = o->who.pid;
    e->bytes = 0;
    e->since_ms = now_ms;
    e->active_ms = now_ms;
    atomic_store_explicit(&e->used, 1, memory_order_release);
}

static struct file_service service_of(struct vfs *v, uint32_t number, const struct inode *i)
{
    const struct state_open *e = &v->state->opens[number];
    bool writes = (e->flags & O_ACCMODE) != O_RDONLY;

    return (struct file_service){ .fh = number | (uint64_t)e->generation << 32,
                                  .backing_id = i->backing_id,
                                  .direct = writes || i->no_backing };
}

enum { NAMELESS = 1 };

/* NAMELESS: it has no name and is not open, so it must be charged first. */
static int ledger_opened(struct vfs *v, slot_t slot, uint32_t generation)
{
    struct record_view rec;
    int r = 0;

    record_lock(v->ledger, slot);
    if (!record_view(v->ledger, slot, generation, &rec))
        r = -ESTALE;
    else if (rec.is_nameless && !rec.is_charged)
        r = NAMELESS;
    else
        record_opened_locked(v->ledger, slot);
    record_unlock(v->ledger, slot);
    return r;
}

static int nameless_charge_locked(struct vfs *v, const struct node *n, struct reservation *rsv)
{
    struct record_view rec;
    struct stat st;

    if (!record_view(v->ledger, n->slot, n->rec.generation, &rec))
        return -ESTALE;
    int r = sys->fstatat(n->fd, "", &st, AT_EMPTY_PATH);
    uint64_t size = r < 0 || rec.is_charged ? 0 : (uint64_t)st.st_size;
    if (r == 0 && !rec.is_charged)
        r = reservation_take(n->at.room, (struct charge){ .bytes = size, .files = 1 }, size, rsv);
    if (r == 0)
        record_reopened_locked(v->ledger, n->slot, &st, rsv);
    return r;
}

/* A new file of O_TMPFILE, or an inode that lost its last name after the kernel had looked it up: its charge went, and
 * comes again, as if it grew by all that it has. */
static int nameless_opened(struct vfs *v, const struct node *n)
{
    CLEANUP(reservation_drop) struct reservation rsv = { 0 };
    CLEANUP(change_end) struct change change = { 0 };
    int r = change_begin(v->ledger, &n->slot, 1, &change);

    if (r < 0)
        return r;
    record_lock(v->ledger, n->slot);
    r = nameless_charge_locked(v, n, &rsv);
    record_unlock(v->ledger, n->slot);
    return r;
}

static int node_opened(struct vfs *v, const struct node *n, bool is_born)
{
    int r = ledger_opened(v, n->slot, n->rec.generation);

    if (r == NAMELESS)
        r = nameless_opened(v, n);
    return r == -EDQUOT && !is_born ? -ESTALE : r;
}

/* The record may be gone with the last close: then nobody else may keep the backing inode from going, too. */
static void ledger_closed(struct vfs *v, slot_t slot, uint32_t generation, bool last)
{
    struct record_view rec;

    record_lock(v->ledger, slot);
    record_closed_locked(v->ledger, slot, NULL);
    record_unlock(v->ledger, slot);
    if (last && !record_view(v->ledger, slot, generation, &rec))
        fd_cache_drop(v->fds, slot);
}

/* The inode's object, with its backing id; takes the descriptor over, if it wants one. NULL: no memory. */
static struct inode *inode_opened(struct vfs *v, const struct node *n, int *rw_fd)
{
    struct bucket *b = bucket_of(v, n->slot);

    mutex_lock(&b->lock);
    struct inode *i = inode_get_locked(b, n->slot, n->rec.generation);
    if (i != NULL && v->passthrough && i->backing_id == 0 && !i->no_backing) {
        int32_t id = backing_id_make(v, n->slot, n->rec.generation, n->fd, &i->backing_at);
        i->backing_id = MAX(id, 0);
        i->no_backing = id <= 0;
    }
    if (i != NULL && i->wr < 0 && *rw_fd >= 0 && fds_keep(v->files))
        i->wr = take_fd(rw_fd);
    mutex_unlock(&b->lock);
    return i;
}

int file_open(struct vfs *v, const struct node *n, const struct file_opening *o, struct file_service *ret)
{
    CLEANUP(fd_close) int rw_fd = o->rw_fd;
    uint32_t number;
    int r = open_claim(v, n, o, &number);

    if (r < 0)
        return r;
    r = node_opened(v, n, o->is_born);
    if (r < 0) {
        open_unclaim(v, number);
        return r;
    }
    struct inode *i = inode_opened(v, n, &rw_fd);
    if (i == NULL) {
        ledger_closed(v, n->slot, n->rec.generation, false);
        open_unclaim(v, number);
        return -ENOMEM;
    }
    v->files->opened[number].inode = i;
    open_publish(&v->state->opens[number], n->id, o);
    *ret = service_of(v, number, i);
    return 0;
}

bool file_reopened(struct vfs *v, uint64_t unique, uint64_t *ret_node, struct file_service *ret)
{
    for (uint32_t number = 0; number < v->state->opens_end; number++) {
        const struct state_open *e = &v->state->opens[number];
        if (e->used == 0 || e->unique != unique || v->files->opened[number].inode == NULL)
            continue;
        *ret_node = e->node;
        *ret = service_of(v, number, v->files->opened[number].inode);
        return true;
    }
    return false;
}

int file_find(struct vfs *v, uint64_t fh, struct file *ret)
{
    uint32_t number = (uint32_t)fh;

    if (number >= STATE_OPENS)
        return -EBADF;
    struct state_open *e = &v->state->opens[number];
    if (e->used == 0 || e->generation != (uint32_t)(fh >> 32) || v->files->opened[number].inode == NULL)
        return -EBADF;
    *ret = (struct file){ .entry = e, .number = number, .node = e->node, .inode = v->files->opened[number].inode };
    return 0;
}

int file_find_to_change(struct vfs *v, uint64_t fh, struct file *ret)
{
    int r = file_find(v, fh, ret);

    return r == 0 && ret->entry->is_revoked ? -EIO : r;
}

void file_release(struct vfs *v, uint64_t fh)
{
    struct file f;

    if (file_find(v, fh, &f) < 0)
        return;
    struct bucket *b = bucket_of(v, f.inode->slot);
    struct inode *i = f.inode;
    v->files->opened[f.number].inode = NULL;
    open_unclaim(v, f.number);
    mutex_lock(&b->lock);
    bool last = inode_put_locked(v, b, i);
    mutex_unlock(&b->lock);
    ledger_closed(v, node_slot(f.node), node_generation(f.node), last);
    if (last)
        inode_free(v->files, i);
}

/* ---- after a crash ---------------------------------------------------------------------------------------------- */

/* false: the entry is free, or nothing is known of its inode. */
static bool open_resume(struct vfs *v, uint32_t number)
{
    const struct state_open *e = &v->state->opens[number];
    slot_t slot = node_slot(e->node);
    struct record_view rec;
    enum share_kind kind;

    if (e->used == 0 || !record_view(v->ledger, slot, node_generation(e->node), &rec))
        return false;
    struct holders who = holders_of(e->uid, rec.tree);
    if (share_take(v->files->shares, &who, true, &v->files->opened[number].held, &kind) < 0)
        return false;
    v->files->opened[number].inode = inode_get_locked(bucket_of(v, slot), slot, rec.generation);
    if (v->files->opened[number].inode == NULL) {
        share_give(v->files->shares, &v->files->opened[number].held);
        return false;
    }
    record_lock(v->ledger, slot);
    record_opened_locked(v->ledger, slot);
    record_unlock(v->ledger, slot);
    return true;
}

static bool backing_adopted(struct vfs *v, slot_t slot, uint32_t generation, int32_t id, uint32_t at)
{
    struct inode *i = inode_find(bucket_of(v, slot), slot, generation);

    if (i == NULL)
        return false;
    i->backing_id = id;
    i->backing_at = at;
    return true;
}

/* An inode that is open without an id has none because the kernel refused; it must stay so while it is open. */
static void inodes_refused(struct vfs *v)
{
    for (uint32_t number = 0; number < v->state->opens_end; number++) {
        struct inode *i = v->files->opened[number].inode;
        if (i != NULL && i->backing_id == 0)
            i->no_backing = true;
    }
}

void files_resume(struct vfs *v)
{
    records_reset_opens(v->ledger);
    vacant_resume(&v->files->vacant, v->state->opens_end);
    for (uint32_t number = 0; number < v->state->opens_end; number++) {
        if (open_resume(v, number))
            continue;
        v->state->opens[number].used = 0; /* never whole: its request was not answered and comes again */
        vacant_give(&v->files->vacant, number);
    }
    backing_ids_resume(v, backing_adopted);
    inodes_refused(v);
}
