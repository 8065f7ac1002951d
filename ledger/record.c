/* Records: the slab, the free slots, finding and making.
 *
 * An inode gets its record when it is first met under a name. The record is filled in, hung into its directory and
 * only then put into the index, which is also where two threads that meet one inode at once are told apart: the second
 * finds the first's slot and gives its own back. A slot's generation grows at each reuse, so a node id of the mount
 * never means another file. Slots rest before they are used again, the longest free first: an operation that has the
 * number of a directory at hand that left just now, beneath the mount, finds nothing there, and not another directory.
 *
 * A record that is being made has its lock held: as soon as it hangs in its directory, others may find it there, look
 * at it and release it.
 *
 * Inode numbers are reused, too, and a deletion beneath the mount may not have been seen. So every meeting compares
 * handles, and makes a new record if it is another inode. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/gone.h"
#include "ledger/inside.h"

enum { HANDLE_TRIES = 200, SLOTS_RESTING = 1024 };

/* A random number for a record: not to be guessed from others, and without a system call each. */
static uint32_t draw(struct ledger *l)
{
    uint64_t n = atomic_fetch_add_explicit(&l->randoms, 1, memory_order_relaxed);

    return (uint32_t)(index_mix(index_mix(n ^ l->index.seed) + l->index.seed) >> 32);
}

static void free_push_locked(struct ledger *l, slot_t slot)
{
    l->free_slots[(l->free_first + l->n_free++) % l->free_room] = slot;
}

static int slab_grow_locked(struct ledger *l)
{
    uint32_t n = atomic_load_explicit(&l->n_records, memory_order_relaxed);
    int r = map_grow(&l->inodes_map, sizeof *l->inodes + ((uint64_t)n + 1) * sizeof(struct record));

    if (r < 0)
        return r;
    uint64_t now = (l->inodes_map.bytes - sizeof *l->inodes) / sizeof(struct record);
    if (now > l->free_room) {
        size_t room = l->free_room * 2 + (size_t)(now - n);
        slot_t *more = calloc(room, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        for (size_t i = 0; i < l->n_free; i++)
            more[i] = l->free_slots[(l->free_first + i) % l->free_room];
        free(l->free_slots);
        l->free_slots = more;
        l->free_room = room;
        l->free_first = 0;
    }
    for (uint64_t slot = MAX(n, 1U); slot < now; slot++)
        free_push_locked(l, (slot_t)slot);
    atomic_store_explicit(&l->n_records, (uint32_t)now, memory_order_release);
    atomic_store_explicit(&l->inodes->bytes, l->inodes_map.bytes, memory_order_relaxed);
    return 0;
}

int record_alloc(struct ledger *l, slot_t *ret)
{
    int r = 0;

    mutex_lock(&l->slab_m);
    if (l->n_free <= SLOTS_RESTING)
        r = slab_grow_locked(l);
    if (r < 0 && l->n_free > 0)
        r = 0; /* without room for more, the rest is shorter */
    if (r == 0) {
        *ret = l->free_slots[l->free_first];
        l->free_first = (l->free_first + 1) % l->free_room;
        l->n_free--;
    }
    mutex_unlock(&l->slab_m);
    return r;
}

/* free_slots always has room: it was made for all slots that there are. */
static void slot_give_back(struct ledger *l, slot_t slot)
{
    uint32_t generation = record_head(record_at(l, slot)) & GENERATION_MASK;

    atomic_store_explicit(&record_at(l, slot)->head, generation, memory_order_release);
    mutex_lock(&l->slab_m);
    free_push_locked(l, slot);
    mutex_unlock(&l->slab_m);
}

void record_release(struct ledger *l, slot_t slot)
{
    const struct record *r = record_at(l, slot);

    index_remove(&l->index, r->fs, r->ino, slot);
    if (record_head(r) & RECORD_LINKS)
        names_forget(l, slot);
    slot_give_back(l, slot);
}

static uint32_t next_generation(struct ledger *l, const struct record *r)
{
    uint32_t g = record_head(r) & GENERATION_MASK;

    g = (g == 0 ? draw(l) : g + 1) & GENERATION_MASK;
    return g == 0 ? 1 : g;
}

static uint32_t kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? RECORD_DIR : S_ISREG(mode) ? RECORD_FILE : 0;
}

static void handle_store(struct record *r, const struct handle *h)
{
    uint32_t words[RECORD_HANDLE_MAX / 4] = { 0 };

    memcpy(words, h->data, MIN(h->bytes, (uint32_t)sizeof words));
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        atomic_store_explicit(&r->handle[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&r->handle_type, (uint8_t)h->type, memory_order_relaxed);
    atomic_store_explicit(&r->handle_bytes, (uint8_t)h->bytes, memory_order_relaxed);
}

struct handle record_handle_copy(const struct record *r)
{
    struct handle h = { .bytes = MIN(r->handle_bytes, RECORD_HANDLE_MAX), .type = r->handle_type };
    uint32_t words[RECORD_HANDLE_MAX / 4];

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        words[i] = atomic_load_explicit(&r->handle[i], memory_order_relaxed);
    memcpy(h.data, words, h.bytes);
    return h;
}

/* Everything but its place in a list. It is live afterwards. */
static void record_fill(struct ledger *l, slot_t slot, uint64_t place, uint16_t fs, const struct meeting *m)
{
    struct record *r = record_at(l, slot);
    uint32_t generation = next_generation(l, r);
    uint32_t links = S_ISREG(m->st->st_mode) && m->st->st_nlink > 1 ? RECORD_LINKS : 0;

    atomic_thread_fence(memory_order_release); /* who reads a field of this life sees that the last one is over */
    atomic_store_explicit(&r->word, 0, memory_order_relaxed);
    atomic_store_explicit(&r->files, 0, memory_order_relaxed);
    atomic_store_explicit(&r->place, place, memory_order_relaxed);
    atomic_store_explicit(&r->opens, 0, memory_order_relaxed);
    atomic_store_explicit(&r->seen, 0, memory_order_relaxed);
    atomic_store_explicit(&r->ino, m->st->st_ino, memory_order_relaxed);
    atomic_store_explicit(&r->nfs_generation, draw(l), memory_order_relaxed);
    r->first_child = r->next = r->prev = SLOT_NONE;
    atomic_store_explicit(&r->fs, fs, memory_order_relaxed);
    handle_store(r, m->handle);
    uint32_t unlisted = S_ISDIR(m->st->st_mode) ? RECORD_UNLISTED : 0;
    atomic_store_explicit(&r->head, generation | RECORD_LIVE | kind_of(m->st->st_mode) | links | unlisted,
                          memory_order_release);
}

int record_handle(int dir, const char *name, struct handle *ret)
{
    int r = sys->name_to_handle(dir, name, ret, name[0] == '\0' ? AT_EMPTY_PATH : 0);

    if (r < 0)
        return r;
    return ret->bytes > RECORD_HANDLE_MAX || ret->type < 0 || ret->type > UINT8_MAX ? -EOPNOTSUPP : 0;
}

bool record_has_handle(const struct record *r, const struct handle *h)
{
    struct handle own = record_handle_copy(r);

    return own.type == h->type && own.bytes == h->bytes && memcmp(own.data, h->data, h->bytes) == 0;
}

/* Makes the record, or finds that another thread was faster. */
static int record_make(struct tree *t, const struct meeting *m, slot_t *ret, bool *ret_new)
{
    struct ledger *l = t->l;
    slot_t slot = SLOT_NONE, there = SLOT_NONE;
    int r = record_alloc(l, &slot);

    if (r < 0)
        return r;
    record_lock(l, slot);
    rwlock_lock_shared(&t->lock);
    slot_t parent = place_parent_checked(t, m->parent);
    if (m->in_mount && parent != m->parent)
        place_doubt_all(l, t->dev);
    record_fill(l, slot, place_of(t->index, parent), t->fs, m);
    if (!S_ISDIR(
            m->st->st_mode)) /* met by name, so no sweep may take it before it is charged; directories are shaded */
        atomic_store_explicit(&record_at(l, slot)->seen, atomic_load_explicit(&t->s->epoch, memory_order_relaxed),
                              memory_order_relaxed);
    place_list_add(l, slot, parent);
    r = atomic_load_explicit(&t->gone, memory_order_relaxed) ? -ESTALE : 0;
    if (r == 0)
        r = index_insert(&l->index, t->fs, m->st->st_ino, slot, &there);
    *ret_new = r == 0 && there == slot;
    if (*ret_new && S_ISDIR(m->st->st_mode) && t->walk)
        walk_shade(t->walk, slot, !m->in_mount);
    if (!*ret_new) {
        place_list_remove(l, slot);
        slot_give_back(l, slot);
    }
    rwlock_unlock(&t->lock);
    record_unlock(l, slot);
    if (r == 0)
        *ret = there;
    return r;
}

int record_root(struct tree *t, const struct meeting *m, slot_t *ret)
{
    struct ledger *l = t->l;
    slot_t slot = SLOT_NONE, there = SLOT_NONE;
    int r = record_alloc(l, &slot);

    if (r < 0)
        return r;
    record_fill(l, slot, place_of(t->index, SLOT_NONE), t->fs, m);
    record_flag_set(record_at(l, slot), RECORD_ROOT);
    r = index_insert(&l->index, t->fs, m->st->st_ino, slot, &there);
    if (r == 0 && there != slot)
        r = -EXDEV;
    if (r < 0)
        slot_give_back(l, slot);
    else
        *ret = slot;
    return r;
}

/* A file with several names stays where it is: any directory that has one of them will do. */
static bool must_move(const struct tree *t, const struct record *r, const struct meeting *m)
{
    uint32_t head = record_head(r);
    uint64_t place = record_place(r);

    if (head & RECORD_ROOT)
        return false;
    if (head & (RECORD_LOST | RECORD_NONAME))
        return true;
    if (!(head & RECORD_DIR) && m->st->st_nlink > 1)
        return false;
    return place != place_of(t->index, m->parent);
}

/* A record that exists already is brought to where it was met. */
static void record_met_again(struct tree *t, const struct meeting *m, slot_t slot, uint32_t generation)
{
    struct ledger *l = t->l;
    struct record *r = record_at(l, slot);

    if (!must_move(t, r, m))
        return;
    if (record_head(r) & RECORD_DIR) {
        place_move(l, slot, generation, t, m->parent);
        return;
    }
    record_lock(l, slot);
    if ((record_head(r) & RECORD_LIVE) && r->ino == m->st->st_ino && must_move(t, r, m))
        place_move(l, slot, generation, t, m->parent);
    record_unlock(l, slot);
}

/* Is the live record another inode than the one that was met? Its number was reused, then. */
static bool is_other_inode(struct record *r, const struct meeting *m)
{
    uint32_t head = record_head(r);

    if ((head & (RECORD_DIR | RECORD_FILE)) != kind_of(m->st->st_mode))
        return true;
    if (m->handle == NULL)
        return false;
    if (!record_has_handle(r, m->handle))
        return true;
    if (head & RECORD_SUSPECT)
        record_flag_clear(r, RECORD_SUSPECT);
    return false;
}

/* A directory whose number another inode has is gone, with all names in it. */
static void dir_replace(struct ledger *l, slot_t slot, uint32_t generation, struct meeting *m)
{
    struct gone g = { .l = l };
    struct tree *t = tree_of(l, slot);
    int r = gone_end(&g, gone_dir(&g, slot, generation));

    m->lost.bytes += g.lost.bytes;
    m->lost.files += g.lost.files;
    if (r < 0 && t)
        domain_heal(tree_owner(t), "what hung on a directory that is gone cannot be looked at");
}

static void file_replace(struct ledger *l, slot_t slot, struct meeting *m)
{
    struct record *r = record_at(l, slot);

    record_lock(l, slot);
    if ((record_head(r) & RECORD_LIVE) && !(record_head(r) & RECORD_DIR) && r->ino == m->st->st_ino &&
        is_other_inode(r, m)) {
        struct charge was = charge_of(r);

        m->lost.bytes += was.bytes;
        m->lost.files += was.files;
        atomic_store_explicit(&r->opens, 0, memory_order_relaxed);
        record_flag_clear(r, RECORD_PINNED);
        settle_gone_locked(l, slot);
    }
    record_unlock(l, slot);
}

/* `head`: of the life that was compared with what was met. */
static void record_replace(struct ledger *l, slot_t slot, uint32_t head, struct meeting *m)
{
    struct tree *t = head & RECORD_ROOT ? tree_of(l, slot) : NULL;

    if (t)
        tree_unseat(t);
    else if (head & RECORD_DIR)
        dir_replace(l, slot, head & GENERATION_MASK, m);
    else
        file_replace(l, slot, m);
}

/* The root of an open tree is held by a descriptor, so its number cannot be another's. */
static bool must_replace(struct ledger *l, slot_t slot, const struct meeting *m)
{
    struct record *r = record_at(l, slot);
    const struct tree *t = record_head(r) & RECORD_ROOT ? tree_of(l, slot) : NULL;

    return !(t && atomic_load_explicit(&t->open, memory_order_relaxed)) && is_other_inode(r, m);
}

int record_intern(struct tree *t, struct meeting *m, slot_t *ret, bool *ret_new)
{
    struct ledger *l = t->l;

    *ret_new = false;
    if (m->st->st_dev != t->dev)
        return -EXDEV;
    for (;;) {
        slot_t slot = index_find(&l->index, t->fs, m->st->st_ino);
        struct record *r = record_at(l, slot);
        uint32_t head = record_head(r);

        if (slot == SLOT_NONE)
            return m->handle == NULL ? -ENODATA : record_make(t, m, ret, ret_new);
        if (!(head & RECORD_LIVE) || r->ino != m->st->st_ino)
            continue; /* released just now */
        if ((head & RECORD_SUSPECT) && m->handle == NULL)
            return -ENODATA;
        if (must_replace(l, slot, m)) {
            record_replace(l, slot, head, m);
            continue;
        }
        if (S_ISREG(m->st->st_mode) && m->st->st_nlink > 1)
            names_met(l, slot, m->parent, m->st->st_nlink);
        record_met_again(t, m, slot, head & GENERATION_MASK);
        *ret = slot;
        return 0;
    }
}

/* Charges a file with what it is now, not with what it was before we had its lock. */
static int charge_met(struct ledger *l, slot_t slot, int fd, enum settle_how how, struct reservation *hold)
{
    struct stat st;

    record_lock(l, slot);
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);
    if (r == 0)
        settle_stat(l, slot, &st, how, hold);
    record_unlock(l, slot);
    return r;
}

static int get(struct tree *t, slot_t parent, int fd, const struct stat *st, struct reservation *hold, slot_t *ret)
{
    struct handle h;
    struct meeting m = { .parent = parent, .st = st, .handle = &h, .in_mount = true };
    slot_t slot = SLOT_NONE;
    bool is_new = false;
    int r = record_handle(fd, "", &h);
    struct tree *of_parent = tree_of(t->l, parent);

    if (of_parent && of_parent->dev == t->dev)
        t = of_parent; /* the directory may have been moved to another home since it was looked up */
    if (r == 0)
        r = record_intern(t, &m, &slot, &is_new);
    if (r == 0 && is_new && S_ISREG(st->st_mode))
        r = charge_met(t->l, slot, fd, SETTLE_FIRST, hold);
    else if (r == 0 && (record_head(record_at(t->l, slot)) & (RECORD_LOST | RECORD_NONAME)))
        r = charge_met(t->l, slot, fd, SETTLE_BY_NAME, hold); /* it has a name again */
    if (r == 0)
        *ret = slot;
    return r;
}

int record_get(struct tree *t, slot_t parent, int fd, const struct stat *st, slot_t *ret)
{
    return get(t, parent, fd, st, NULL, ret);
}

int record_create(struct tree *t, slot_t parent, int fd, const struct stat *st, struct reservation *r, slot_t *ret)
{
    int e = get(t, parent, fd, st, r, ret);

    reservation_end(r, NULL); /* of nothing, if the charge has dropped it */
    return e;
}

/* ---- what others see --------------------------------------------------------------------------------------------- */

uint32_t filesystem_find(struct ledger *l, uint64_t dev)
{
    uint32_t found = 0;

    mutex_lock(&l->fs_m);
    for (uint32_t i = 0; i < FILESYSTEMS_MAX && !found; i++)
        if (l->inodes->filesystems[i].used && l->inodes->filesystems[i].dev == dev)
            found = i + 1;
    mutex_unlock(&l->fs_m);
    return found;
}

slot_t record_find(struct ledger *l, dev_t dev, uint64_t ino)
{
    uint32_t fs = filesystem_find(l, dev);

    return fs ? index_find(&l->index, fs - 1, ino) : SLOT_NONE;
}

static struct record *record_of(struct ledger *l, slot_t slot, uint32_t generation)
{
    if (slot == SLOT_NONE || slot >= atomic_load_explicit(&l->n_records, memory_order_acquire))
        return NULL;
    struct record *r = record_at(l, slot);
    uint32_t head = record_head(r);
    if (!(head & RECORD_LIVE) || (generation != 0 && (head & GENERATION_MASK) != generation))
        return NULL;
    return r;
}

struct tree *tree_of(struct ledger *l, slot_t slot)
{
    const struct record *r = record_of(l, slot, 0);

    return r ? tree_at(l, place_tree(record_place(r))) : NULL;
}

bool record_view(struct ledger *l, slot_t slot, uint32_t generation, struct record_view *ret)
{
    const struct record *r = record_of(l, slot, generation);

    if (r == NULL)
        return false;
    uint32_t head = record_head(r);
    uint64_t place = record_place(r), word = record_word(r);
    struct record_view v = {
        .tree = tree_at(l, place_tree(place)),
        .ino = r->ino,
        .handle = record_handle_copy(r),
        .generation = head & GENERATION_MASK,
        .nfs_generation = r->nfs_generation,
        .parent = place_parent(place),
        .is_dir = head & RECORD_DIR,
        .is_charged = !(head & RECORD_DIR) && (word & RECORD_CHARGED),
        .is_nameless = head & (RECORD_NONAME | RECORD_LOST),
        .bytes = word & ~RECORD_CHARGED,
        .files = atomic_load_explicit(&r->files, memory_order_relaxed),
        .opens = atomic_load_explicit(&r->opens, memory_order_relaxed),
    };
    atomic_thread_fence(memory_order_acquire);
    if (v.tree == NULL || record_of(l, slot, v.generation) == NULL)
        return false; /* reused while we read */
    *ret = v;
    return true;
}

/* A directory below which somebody renames while the kernel connects it to the root is refused with ENOMEM now and then
 * (Linux 6.18; one in 300 under a storm of renames), a moment later not. */
int handle_open(int mount_fd, const struct handle *h, int flags)
{
    int fd = sys->open_by_handle(mount_fd, h, flags);

    for (unsigned i = 0; fd == -ENOMEM && i < HANDLE_TRIES; i++) {
        sched_yield();
        fd = sys->open_by_handle(mount_fd, h, flags);
    }
    return fd;
}

int record_open_fd(struct ledger *l, slot_t slot, uint32_t generation, int flags)
{
    struct record *r = record_of(l, slot, generation);
    struct tree *t = r ? tree_at(l, place_tree(record_place(r))) : NULL;

    if (t == NULL || !atomic_load_explicit(&t->open, memory_order_acquire))
        return -ESTALE;
    if (record_head(r) & RECORD_ROOT)
        return sys->open_fd(t->root_fd, flags);
    uint32_t head = record_head(r);
    struct handle h = record_handle_copy(r);
    atomic_thread_fence(memory_order_acquire);
    if (record_of(l, slot, head & GENERATION_MASK) != r)
        return -ESTALE; /* reused while we read */
    int fd = handle_open(t->mount_fd, &h, flags);
    if (fd == -ESTALE && record_of(l, slot, head & GENERATION_MASK) == r)
        record_flag_set(r, RECORD_SUSPECT);
    return fd;
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static struct rwlock *stripe_of(struct ledger *l, slot_t slot)
{
    return &l->stripes[slot % RECORD_STRIPES];
}

void record_lock(struct ledger *l, slot_t slot) NO_ANALYSIS
{
    rwlock_lock(stripe_of(l, slot));
}

void record_lock_shared(struct ledger *l, slot_t slot) NO_ANALYSIS
{
    rwlock_lock_shared(stripe_of(l, slot));
}

void record_unlock(struct ledger *l, slot_t slot) NO_ANALYSIS
{
    rwlock_unlock(stripe_of(l, slot));
}

/* The stripes of these slots, in order, each once. */
static size_t stripes_of(const slot_t *slots, size_t n, uint32_t *ret)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t s = slots[i] % RECORD_STRIPES;
        size_t at = k;

        if (slots[i] == SLOT_NONE)
            continue;
        while (at > 0 && ret[at - 1] > s)
            at--;
        if (at > 0 && ret[at - 1] == s)
            continue;
        memmove(&ret[at + 1], &ret[at], (k - at) * sizeof *ret);
        ret[at] = s;
        k++;
    }
    return k;
}

void record_lock_many(struct ledger *l, const slot_t *slots, size_t n) NO_ANALYSIS
{
    uint32_t stripes[RECORD_LOCK_MAX + 1];
    size_t k = stripes_of(slots, MIN(n, (size_t)RECORD_LOCK_MAX), stripes);

    lock_same_rank(true);
    for (size_t i = 0; i < k; i++)
        rwlock_lock(&l->stripes[stripes[i]]);
    lock_same_rank(false);
}

void record_unlock_many(struct ledger *l, const slot_t *slots, size_t n) NO_ANALYSIS
{
    uint32_t stripes[RECORD_LOCK_MAX + 1];
    size_t k = stripes_of(slots, MIN(n, (size_t)RECORD_LOCK_MAX), stripes);

    while (k-- > 0)
        rwlock_unlock(&l->stripes[stripes[k]]);
}
