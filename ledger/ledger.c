/* Opening and closing.
 *
 *   the maps are ...                                  then
 *   of this boot, or were closed cleanly              they are used; what is derived is made again from the records
 *   of another boot and not closed, or not sound      they are made anew from the rows of ledger.db; domains whose row
 * is not
 *                                                     clean are stale with their last number
 *
 * That the stop was clean is said in the map's header, durably, as the very last thing; it is taken back, durably,
 * before anything else may change. All three maps and the database carry one random instance name, so that files of
 * different state directories or of a backup are never believed together. */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/log.h"
#include "ledger/inside.h"

#define INODES_BYTES_MAX ((uint64_t)64 << 30)
#define TREES_BYTES_MAX  (sizeof(struct trees_header) + (uint64_t)TREES_MAX * sizeof(struct tree_slot))
#define USAGE_BYTES_MAX  (sizeof(struct usage_header) + (uint64_t)USAGE_DOMAINS_MAX * sizeof(struct usage_slot))

static const char inodes_magic[8] = "tallyino";
static const char trees_magic[8] = "tallytre";

/* ---- headers ----------------------------------------------------------------------------------------------------- */

/* The beginning that inodes.map and trees.map have in common. */
struct map_header {
    char magic[8];
    uint32_t version;
    uint32_t slot_bytes;
    uint8_t instance[16];
    uint64_t checksum;
};

static uint64_t header_checksum(const struct map_header *h)
{
    uint64_t sum = 0, part;

    for (size_t i = 0; i < offsetof(struct map_header, checksum); i += sizeof part) {
        memcpy(&part, (const uint8_t *)h + i, sizeof part);
        sum = index_mix(sum ^ part);
    }
    return sum;
}

static bool header_is_sound(const struct ledger *l, const struct map_header *h, const char *magic, size_t slot_bytes)
{
    return memcmp(h->magic, magic, sizeof h->magic) == 0 && h->version == MAP_VERSION && h->slot_bytes == slot_bytes &&
           h->checksum == header_checksum(h) && memcmp(h->instance, l->journal.instance, sizeof h->instance) == 0;
}

static void header_make(const struct ledger *l, struct map_header *h, const char *magic, size_t slot_bytes)
{
    memcpy(h->magic, magic, sizeof h->magic);
    h->version = MAP_VERSION;
    h->slot_bytes = (uint32_t)slot_bytes;
    memcpy(h->instance, l->journal.instance, sizeof h->instance);
    h->checksum = header_checksum(h);
}

static struct map_header *header_of(const struct map *m)
{
    return (struct map_header *)(void *)m->base;
}

static bool usage_is_sound(const struct ledger *l)
{
    const struct usage_header *h = l->usage;
    uint64_t slots = atomic_load(&h->slots);

    return memcmp(h->magic, USAGE_MAGIC, sizeof h->magic) == 0 && h->version == USAGE_VERSION &&
           h->slot_bytes == sizeof(struct usage_slot) && slots <= USAGE_DOMAINS_MAX &&
           sizeof *h + slots * sizeof(struct usage_slot) <= l->domains_map.bytes &&
           memcmp(h->instance, l->journal.instance, sizeof h->instance) == 0;
}

static bool maps_are_newer(const struct ledger *l)
{
    const struct map_header *i = header_of(&l->inodes_map), *t = header_of(&l->trees_map);

    return (memcmp(i->magic, inodes_magic, sizeof i->magic) == 0 && i->version > MAP_VERSION) ||
           (memcmp(t->magic, trees_magic, sizeof t->magic) == 0 && t->version > MAP_VERSION) ||
           (memcmp(l->usage->magic, USAGE_MAGIC, sizeof l->usage->magic) == 0 && l->usage->version > USAGE_VERSION);
}

/* None was cut since it last grew. */
static bool maps_are_whole(const struct ledger *l)
{
    const struct trees_header *t = (const struct trees_header *)(const void *)l->trees_map.base;

    return atomic_load(&l->inodes->bytes) <= l->inodes_found && atomic_load(&t->bytes) <= l->trees_found;
}

static bool maps_are_sound(const struct ledger *l)
{
    bool believed = atomic_load(&l->usage->clean_stop) == 1 || strcmp(l->usage->boot_id, l->boot_id) == 0;

    return usage_is_sound(l) && believed && maps_are_whole(l) &&
           header_is_sound(l, header_of(&l->inodes_map), inodes_magic, sizeof(struct record)) &&
           header_is_sound(l, header_of(&l->trees_map), trees_magic, sizeof(struct tree_slot));
}

/* Readers of domains.map may have it open: its generation stays odd until it is whole again. */
static int maps_make(struct ledger *l)
{
    uint32_t generation = atomic_load(&l->usage->generation) | 1;

    atomic_store(&l->usage->generation, generation);
    atomic_store(&l->usage->slots, 0);
    memset((uint8_t *)l->usage + sizeof *l->usage, 0, l->domains_map.bytes - sizeof *l->usage);
    int r = map_clear(&l->inodes_map);
    if (r == 0)
        r = map_clear(&l->trees_map);
    if (r < 0)
        return r;
    header_make(l, header_of(&l->inodes_map), inodes_magic, sizeof(struct record));
    header_make(l, header_of(&l->trees_map), trees_magic, sizeof(struct tree_slot));
    memcpy(l->usage->instance, l->journal.instance, sizeof l->usage->instance);
    l->usage->version = USAGE_VERSION;
    l->usage->slot_bytes = sizeof(struct usage_slot);
    memcpy(l->usage->magic, USAGE_MAGIC, sizeof l->usage->magic);
    atomic_store(&l->usage->generation, generation + 1);
    return 0;
}

static int maps_open(struct ledger *l)
{
    int r = map_open(&l->domains_map, l->dir, "domains.map", USAGE_BYTES_MAX);

    if (r == 0)
        r = map_open(&l->trees_map, l->dir, "trees.map", TREES_BYTES_MAX);
    if (r == 0)
        r = map_open(&l->inodes_map, l->dir, "inodes.map", INODES_BYTES_MAX);
    l->trees_found = l->trees_map.bytes;
    l->inodes_found = l->inodes_map.bytes;
    if (r == 0)
        r = map_grow(&l->domains_map, sizeof(struct usage_header));
    if (r == 0)
        r = map_grow(&l->trees_map, sizeof(struct trees_header));
    if (r == 0)
        r = map_grow(&l->inodes_map, sizeof(struct inodes_header) + sizeof(struct record));
    if (r < 0)
        return r;
    l->usage = (struct usage_header *)(void *)l->domains_map.base;
    l->inodes = (struct inodes_header *)(void *)l->inodes_map.base;
    l->records = (struct record *)(void *)(l->inodes + 1);
    return maps_are_newer(l) ? -EPROTO : 0;
}

static int maps_sync(struct ledger *l)
{
    int r = map_sync(&l->inodes_map);

    if (r == 0)
        r = map_sync(&l->trees_map);
    return r == 0 ? map_sync(&l->domains_map) : r;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static void add_totals(struct ledger *l, const struct tree *t)
{
    const struct record *root = record_at(l, tree_root(t));

    for (uint32_t i = 0; i < t->set->n; i++) {
        struct usage_slot *u = t->set->v[i]->u;

        if (!domain_is_tracked(t->set->v[i]))
            continue;
        atomic_fetch_add(&u->used_bytes, record_word(root));
        atomic_fetch_add(&u->used_files, atomic_load(&root->files));
    }
}

/* The counters, from what the trees hold. */
static void counters_make(struct ledger *l)
{
    for (uint32_t i = 0; i < atomic_load(&l->usage->slots); i++) {
        struct usage_slot *u = l->domains[i] ? l->domains[i]->u : NULL;

        if (u == NULL)
            continue;
        atomic_store(&u->used_bytes, atomic_load(&u->carried_bytes));
        atomic_store(&u->used_files, atomic_load(&u->carried_files));
    }
    for (uint32_t i = 0; i < l->n_trees; i++)
        if (l->trees[i])
            add_totals(l, l->trees[i]);
}

static enum ledger_start start_of(const struct ledger *l, bool sound, bool was_clean)
{
    if (!sound)
        return l->journal.is_new ? LEDGER_NEW : LEDGER_STALE;
    return was_clean ? LEDGER_CLEAN : LEDGER_REPAIRED;
}

static int load(struct ledger *l)
{
    l->rows_doubted = memcmp(l->usage->instance, l->journal.instance, sizeof l->usage->instance) == 0 &&
                      atomic_load(&l->usage->unmarked) == 1;
    bool sound = maps_are_sound(l), was_clean = sound && atomic_load(&l->usage->clean_stop) == 1;
    int r = sound ? 0 : maps_make(l);

    if (r < 0)
        return r;
    memcpy(l->usage->boot_id, l->boot_id, sizeof l->usage->boot_id);
    atomic_store(&l->usage->clean_stop, 0);
    r = map_sync(&l->domains_map); /* before anything may change */
    if (r == 0)
        r = domains_load(l);
    if (r == 0)
        r = trees_load(l);
    if (r == 0)
        r = records_load(l);
    if (r < 0)
        return r;
    atomic_store(&l->inodes->bytes, l->inodes_map.bytes);
    ((struct trees_header *)(void *)l->trees_map.base)->bytes = l->trees_map.bytes;
    for (uint32_t i = 0; (l->o.unwatched || l->o.track == TRACK_NONE) && i < l->n_trees; i++)
        if (l->trees[i])
            tree_uncount(l->trees[i]);
    counters_make(l);
    r = journal_load(l, !sound);
    unwritable_load(l);
    repair_load(l);
    l->started = start_of(l, sound, was_clean);
    if (r == 0 && was_clean) { /* nobody has anything open after that */
        records_reset_opens(l);
        orphans_settle(l);
    }
    return r;
}

static int memory_make(struct ledger *l)
{
    l->domains = calloc(USAGE_DOMAINS_MAX, sizeof(struct domain *));
    l->trees = calloc(TREES_MAX, sizeof *l->trees);
    l->stripes = calloc(RECORD_STRIPES, sizeof *l->stripes);
    l->lists = calloc(LIST_STRIPES, sizeof *l->lists);
    if (!l->domains || !l->trees || !l->stripes || !l->lists)
        return -ENOMEM;
    int r = index_init(&l->index, INDEX_SHARDS);
    if (r == 0)
        r = index_init(&l->domain_index, 1);
    return r == 0 ? index_init(&l->above, 1) : r;
}

static void locks_init(struct ledger *l)
{
    mutex_init(&l->domains_m, RANK_RECORD);
    mutex_init(&l->opening, RANK_INODES);
    mutex_init(&l->slab_m, RANK_INDEX);
    mutex_init(&l->slots_m, RANK_INDEX);
    mutex_init(&l->names_m, RANK_QUEUE);
    mutex_init(&l->fs_m, RANK_INDEX);
    mutex_init(&l->intents_m, RANK_QUEUE);
    mutex_init(&l->recounts.m, RANK_INDEX);
    pthread_cond_init(&l->intents_free, NULL);
    pthread_cond_init(&l->recounts.wake, NULL);
    pthread_cond_init(&l->recounts.done, NULL);
    l->recounts.last = &l->recounts.first;
    for (unsigned i = 0; l->stripes && i < RECORD_STRIPES; i++)
        rwlock_init(&l->stripes[i], RANK_RECORD);
    for (unsigned i = 0; l->lists && i < LIST_STRIPES; i++)
        mutex_init(&l->lists[i], RANK_INDEX);
}

static void memory_done(struct ledger *l)
{
    trees_done(l);
    domains_done(l);
    records_done(l);
    names_done(l);
    index_done(&l->index);
    index_done(&l->domain_index);
    index_done(&l->above);
    for (unsigned i = 0; l->stripes && i < RECORD_STRIPES; i++)
        rwlock_done(&l->stripes[i]);
    for (unsigned i = 0; l->lists && i < LIST_STRIPES; i++)
        mutex_done(&l->lists[i]);
    free(l->stripes);
    free(l->lists);
    mutex_done(&l->domains_m);
    mutex_done(&l->opening);
    mutex_done(&l->slab_m);
    mutex_done(&l->slots_m);
    mutex_done(&l->names_m);
    mutex_done(&l->fs_m);
    mutex_done(&l->intents_m);
    mutex_done(&l->recounts.m);
}

/* The lock goes with its descriptor, so also when the process is killed. */
static int directory_lock(struct ledger *l)
{
    const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY };

    l->dir = sys->openat2(AT_FDCWD, l->o.state_dir, &how);
    if (l->dir < 0)
        return l->dir;
    l->lock_fd = sys_open_beneath(l->dir, "ledger.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (l->lock_fd < 0)
        return l->lock_fd;
    return flock(l->lock_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -EBUSY;
}

static int boot_id_load(struct ledger *l)
{
    if (l->o.boot_id == NULL)
        return sys_boot_id(l->boot_id);
    size_t n = MIN(strlen(l->o.boot_id), sizeof l->boot_id - 1);
    memcpy(l->boot_id, l->o.boot_id, n);
    return 0;
}

static int open_all(struct ledger *l)
{
    int r = directory_lock(l);

    if (r == 0)
        r = boot_id_load(l);
    if (r == 0)
        r = journal_open(l, l->o.state_dir);
    if (r == 0)
        r = maps_open(l);
    if (r == 0)
        r = load(l);
    if (r == 0)
        r = journal_start(l);
    if (r == 0)
        r = recounts_start(l);
    return r;
}

static void close_all(struct ledger *l)
{
    journal_stop(l);
    journal_done(l);
    memory_done(l);
    map_close(&l->inodes_map);
    map_close(&l->trees_map);
    map_close(&l->domains_map);
    fd_close(&l->lock_fd);
    fd_close(&l->dir);
    free(l);
}

int ledger_open(const struct ledger_options *o, struct ledger **ret)
{
    struct ledger *l = calloc(1, sizeof *l);

    if (l == NULL)
        return -ENOMEM;
    l->o = *o;
    l->dir = l->lock_fd = -1;
    l->domains_map.fd = l->trees_map.fd = l->inodes_map.fd = -1;
    journal_init(l);
    int r = memory_make(l);
    locks_init(l);
    if (r == 0)
        r = open_all(l);
    l->o.state_dir = l->o.boot_id = NULL; /* were borrowed */
    if (r < 0)
        close_all(l);
    else
        *ret = l;
    return r;
}

enum ledger_start ledger_started(const struct ledger *l)
{
    return l->started;
}

void ledger_close(struct ledger *l)
{
    if (l == NULL)
        return;
    recounts_stop(l);
    journal_stop(l);
    int r = journal_finish(l);
    if (r == 0)
        atomic_store(&l->usage->unmarked, 0);
    if (r == 0)
        r = maps_sync(l);
    if (r == 0) {
        atomic_store(&l->usage->clean_stop, 1);
        r = map_sync(&l->domains_map);
    }
    if (r < 0)
        log_fail(r, "ledger: it could not be closed cleanly; it is checked at the next start");
    close_all(l);
}

/* ---- subscribers ------------------------------------------------------------------------------------------------- */

void ledger_subscribe(struct ledger *l, ledger_changed *fn, void *arg)
{
    uint32_t n = atomic_load(&l->n_changed);

    if (n == SUBSCRIBERS_MAX)
        return;
    l->changed[n].fn = fn;
    l->changed[n].arg = arg;
    atomic_store_explicit(&l->n_changed, n + 1, memory_order_release);
}

void trees_subscribe(struct ledger *l, void (*fn)(void *arg, struct tree *t, bool opened), void *arg)
{
    uint32_t n = atomic_load(&l->n_opened);

    if (n == SUBSCRIBERS_MAX)
        return;
    l->opened[n].fn = fn;
    l->opened[n].arg = arg;
    atomic_store_explicit(&l->n_opened, n + 1, memory_order_release);
}

void ledger_tell(struct ledger *l, slot_t slot, slot_t parent, const char *name)
{
    uint32_t n = atomic_load_explicit(&l->n_changed, memory_order_acquire);
    struct tree *t = n ? tree_of(l, parent ? parent : slot) : NULL;

    if (t && atomic_load_explicit(&t->quiet, memory_order_relaxed))
        return;
    for (uint32_t i = 0; i < n; i++)
        l->changed[i].fn(l->changed[i].arg, slot, parent, name);
}

void ledger_tell_tree(struct ledger *l, struct tree *t, bool opened)
{
    uint32_t n = atomic_load_explicit(&l->n_opened, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        l->opened[i].fn(l->opened[i].arg, t, opened);
}
