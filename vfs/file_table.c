/* The open table is an array in the shared state; an entry's number and generation are the kernel's handle. Beside
 * it, in this process only, each open inode has an object in a hash table by slot: find-or-insert, the count of opens
 * and the backing id are one critical section, so two first opens cannot make two ids (the kernel answers EIO to the
 * second).
 *
 * Backing ids live in the kernel's connection and survive us, so each is noted in the state. The note is written in two
 * steps around the ioctl: first "an id not below `lowest` is being made for this inode", then the id. Ids are given
 * out in rising order, so a successor that finds the first step alone opens a dummy, learns how far ids have come,
 * and closes all in between that nobody has noted. */
#include "vfs/file_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { BUCKETS = 4096 };

/* linux/fuse.h of 6.9; Debian 12 has an older one */
struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define DEV_IOC_BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define DEV_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

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

struct files {
    struct bucket buckets[BUCKETS];
    struct inode *of_number[STATE_OPENS];
    _Atomic uint32_t next_open, next_backing; /* where to look for a free entry */
    _Atomic uint64_t count;
    _Atomic bool said_fallback;
};

static struct bucket *bucket_of(struct vfs *v, slot_t slot)
{
    return &v->files->buckets[slot % BUCKETS];
}

int files_new(struct vfs *v, struct files **ret)
{
    struct files *f = calloc(1, sizeof *f);

    (void)v;
    if (f == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < BUCKETS; i++)
        mutex_init(&f->buckets[i].lock, RANK_INODES);
    *ret = f;
    return 0;
}

static void inode_free(struct inode *i)
{
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
            inode_free(i);
        }
        mutex_done(&f->buckets[b].lock);
    }
    free(f);
}

uint64_t files_count(const struct vfs *v)
{
    return v->files->count;
}

uint64_t inode_size(const struct inode *i)
{
    return atomic_load_explicit(&i->size_seen, memory_order_relaxed);
}

void inode_size_seen(struct inode *i, uint64_t size)
{
    atomic_store_explicit(&i->size_seen, size, memory_order_relaxed);
}

/* ---- backing ids ------------------------------------------------------------------------------------------------ */

static int backing_ioctl_open(struct vfs *v, int fd)
{
    struct backing_map map = { .fd = fd };
    int id = ioctl(v->fuse_fd, DEV_IOC_BACKING_OPEN, &map);

    return id < 0 ? -errno : id;
}

static void backing_ioctl_close(struct vfs *v, int32_t id)
{
    uint32_t which = (uint32_t)id;

    IGNORE(ioctl(v->fuse_fd, DEV_IOC_BACKING_CLOSE, &which), "an id that is gone is what we want");
}

static struct state_backing *backing_claim(struct vfs *v, slot_t slot, uint32_t *ret_at)
{
    struct files *f = v->files;
    uint32_t start = atomic_fetch_add_explicit(&f->next_backing, 1, memory_order_relaxed);

    for (uint32_t i = 0; i < STATE_BACKINGS; i++) {
        uint32_t at = (start + i) % STATE_BACKINGS;
        uint32_t none = SLOT_NONE;
        if (!atomic_compare_exchange_strong(&v->state->backings[at].slot, &none, slot))
            continue;
        *ret_at = at;
        return &v->state->backings[at];
    }
    return NULL;
}

static void backing_unclaim(struct state_backing *b)
{
    b->id = 0;
    b->lowest = 0;
    b->slot = SLOT_NONE;
}

static void highest_raise(struct state *s, int32_t id)
{
    int32_t was = s->highest_backing;

    while (was < id && !atomic_compare_exchange_weak(&s->highest_backing, &was, id))
        ;
}

/* The inode's id, or that it has none, for as long as it is open. */
static void backing_make(struct vfs *v, struct inode *i, int fd)
{
    struct state_backing *b = backing_claim(v, i->slot, &i->backing_at);
    int id = -ENOSPC;

    if (b != NULL) {
        b->generation = i->generation;
        b->lowest = v->state->highest_backing + 1;
        id = backing_ioctl_open(v, fd);
        if (id > 0) {
            b->id = id;
            highest_raise(v->state, id);
        } else {
            backing_unclaim(b);
        }
    }
    i->backing_id = MAX(id, 0);
    i->no_backing = id <= 0;
    if (id <= 0 && !atomic_exchange(&v->files->said_fallback, true))
        log_warn("no passthrough for a file: %s; such files are read and written through the daemon", error_text(id));
}

static void backing_drop(struct vfs *v, struct inode *i)
{
    if (i->backing_id <= 0)
        return;
    backing_ioctl_close(v, i->backing_id);
    backing_unclaim(&v->state->backings[i->backing_at]);
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
    backing_drop(v, i);
    return true;
}

int inode_fd(struct vfs *v, struct inode *i, bool write)
{
    struct bucket *b = bucket_of(v, i->slot);

    mutex_lock(&b->lock);
    int *fd = write || i->wr >= 0 ? &i->wr : &i->rd;
    if (*fd < 0)
        *fd = record_open_fd(v->ledger, i->slot, i->generation, (write ? O_RDWR : O_RDONLY) | O_NONBLOCK);
    int got = *fd;
    if (got < 0)
        *fd = -1;
    mutex_unlock(&b->lock);
    return got;
}

/* ---- the open table --------------------------------------------------------------------------------------------- */

static int open_claim(struct vfs *v, uint32_t *ret_number)
{
    struct files *f = v->files;
    uint32_t start = atomic_fetch_add_explicit(&f->next_open, 1, memory_order_relaxed);

    for (uint32_t i = 0; i < STATE_OPENS; i++) {
        uint32_t number = (start + i) % STATE_OPENS;
        uint32_t none = 0;
        if (!atomic_compare_exchange_strong(&v->state->opens[number].used, &none, 1))
            continue;
        *ret_number = number;
        return 0;
    }
    return -ENFILE;
}

/* `used` is 1 while the entry is being written, 2 when it is whole. */
static void open_publish(struct state_open *e, uint64_t node, const struct file_opening *o)
{
    e->generation = e->generation + 1 == 0 ? 1 : e->generation + 1;
    e->unique = o->unique;
    e->node = node;
    e->flags = o->flags;
    e->is_born = o->is_born;
    e->used = 2;
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

int file_open(struct vfs *v, const struct node *n, const struct file_opening *o, struct file_service *ret)
{
    CLEANUP(fd_close) int rw_fd = o->rw_fd;
    struct bucket *b = bucket_of(v, n->slot);
    uint32_t number;
    int r = open_claim(v, &number);

    if (r < 0)
        return r;
    r = node_opened(v, n, o->is_born);
    if (r < 0) {
        v->state->opens[number].used = 0;
        return r;
    }
    mutex_lock(&b->lock);
    struct inode *i = inode_get_locked(b, n->slot, n->rec.generation);
    if (i != NULL && v->passthrough && i->backing_id == 0 && !i->no_backing)
        backing_make(v, i, n->fd);
    if (i != NULL && i->wr < 0)
        i->wr = take_fd(&rw_fd);
    mutex_unlock(&b->lock);
    if (i == NULL) {
        ledger_closed(v, n->slot, n->rec.generation, false);
        v->state->opens[number].used = 0;
        return -ENOMEM;
    }
    v->files->of_number[number] = i;
    v->files->count++;
    open_publish(&v->state->opens[number], n->id, o);
    *ret = service_of(v, number, i);
    return 0;
}

bool file_reopened(struct vfs *v, uint64_t unique, uint64_t *ret_node, struct file_service *ret)
{
    for (uint32_t number = 0; number < STATE_OPENS; number++) {
        const struct state_open *e = &v->state->opens[number];
        if (e->used != 2 || e->unique != unique || v->files->of_number[number] == NULL)
            continue;
        *ret_node = e->node;
        *ret = service_of(v, number, v->files->of_number[number]);
        return true;
    }
    return false;
}

int file_find(struct vfs *v, uint64_t fh, struct file *ret)
{
    uint32_t number = (uint32_t)fh;

    if (number >= STATE_OPENS)
        return -EBADF;
    const struct state_open *e = &v->state->opens[number];
    if (e->used != 2 || e->generation != (uint32_t)(fh >> 32) || v->files->of_number[number] == NULL)
        return -EBADF;
    *ret = (struct file){ .number = number,
                          .generation = e->generation,
                          .node = e->node,
                          .flags = e->flags,
                          .inode = v->files->of_number[number] };
    return 0;
}

void file_release(struct vfs *v, uint64_t fh)
{
    struct file f;

    if (file_find(v, fh, &f) < 0)
        return;
    struct bucket *b = bucket_of(v, f.inode->slot);
    struct inode *i = f.inode;
    v->files->of_number[f.number] = NULL;
    v->state->opens[f.number].used = 0;
    v->files->count--;
    mutex_lock(&b->lock);
    bool last = inode_put_locked(v, b, i);
    mutex_unlock(&b->lock);
    ledger_closed(v, node_slot(f.node), node_generation(f.node), last);
    if (last)
        inode_free(i);
}

/* ---- after a crash ---------------------------------------------------------------------------------------------- */

static void open_resume(struct vfs *v, uint32_t number)
{
    struct state_open *e = &v->state->opens[number];
    struct record_view rec;
    slot_t slot = node_slot(e->node);

    if (e->used != 2 || !record_view(v->ledger, slot, node_generation(e->node), &rec)) {
        e->used = 0; /* half written: its request was not answered and comes again */
        return;
    }
    v->files->of_number[number] = inode_get_locked(bucket_of(v, slot), slot, rec.generation);
    if (v->files->of_number[number] == NULL)
        return;
    v->files->count++;
    record_lock(v->ledger, slot);
    record_opened_locked(v->ledger, slot);
    record_unlock(v->ledger, slot);
}

/* true: somebody has the inode open, and the id is theirs. */
static bool backing_resume(struct vfs *v, uint32_t at)
{
    struct state_backing *b = &v->state->backings[at];
    struct inode *i = b->id > 0 ? inode_find(bucket_of(v, b->slot), b->slot, b->generation) : NULL;

    if (i == NULL)
        return false;
    i->backing_id = b->id;
    i->backing_at = at;
    return true;
}

static bool backing_is_known(const struct state *s, int32_t id)
{
    for (uint32_t at = 0; at < STATE_BACKINGS; at++)
        if (s->backings[at].slot != SLOT_NONE && s->backings[at].id == id)
            return true;
    return false;
}

/* Ids from `lowest` up that were made, but not noted. */
static void backings_lost(struct vfs *v, int32_t lowest)
{
    CLEANUP(fd_close) int dummy = memfd_create("tally-dummy", MFD_CLOEXEC);
    int now = dummy < 0 ? -EMFILE : backing_ioctl_open(v, dummy);

    for (int32_t id = lowest; id < now; id++)
        if (!backing_is_known(v->state, id))
            backing_ioctl_close(v, id);
    if (now > 0) {
        backing_ioctl_close(v, now);
        highest_raise(v->state, now);
    }
}

static void backings_resume(struct vfs *v)
{
    int32_t lowest = INT32_MAX;

    for (uint32_t at = 0; at < STATE_BACKINGS; at++) {
        struct state_backing *b = &v->state->backings[at];
        if (b->slot == SLOT_NONE || backing_resume(v, at))
            continue;
        if (b->id > 0)
            backing_ioctl_close(v, b->id);
        else if (b->lowest > 0)
            lowest = MIN(lowest, b->lowest);
        backing_unclaim(b);
    }
    if (lowest < INT32_MAX)
        backings_lost(v, lowest);
}

/* An inode that is open without an id has none because the kernel refused; it must stay so while it is open. */
static void inodes_refused(struct vfs *v)
{
    for (uint32_t number = 0; number < STATE_OPENS; number++) {
        struct inode *i = v->files->of_number[number];
        if (i != NULL && i->backing_id == 0)
            i->no_backing = true;
    }
}

void files_resume(struct vfs *v)
{
    records_reset_opens(v->ledger);
    for (uint32_t number = 0; number < STATE_OPENS; number++)
        if (v->state->opens[number].used != 0)
            open_resume(v, number);
    backings_resume(v);
    inodes_refused(v);
}
