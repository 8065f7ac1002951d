/* A reader maps the whole range that the file may ever have; pages past its end are never touched, since `slots` in the
 * header says how far it goes. The index (kind, id) → slot is built when `generation` changed: an odd generation means
 * that the ledger is at it, and the old index serves until it is done. */
#include "base/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "base/sys.h"

enum { MAP_BYTES_MAX = sizeof(struct usage_header) + (size_t)USAGE_DOMAINS_MAX * sizeof(struct usage_slot) };

struct usage_map {
    const struct usage_header *header;
    const struct usage_slot *slots;
    uint32_t *index; /* slot number + 1 by hash of (kind, id); 0: empty */
    uint32_t index_room;
    uint32_t generation; /* of the index */
};

bool usage_is_believed(const struct usage_map *m, const char *boot_id)
{
    const struct usage_header *h = m->header;

    return atomic_load_explicit(&h->clean_stop, memory_order_relaxed) == 1 ||
           strncmp(h->boot_id, boot_id, sizeof h->boot_id) == 0;
}

static int usage_check(const struct usage_header *h)
{
    if (memcmp(h->magic, USAGE_MAGIC, sizeof h->magic) != 0 || h->version != USAGE_VERSION ||
        h->slot_bytes != sizeof(struct usage_slot))
        return -EPROTO;
    return 0;
}

int usage_open(const char *state_dir, struct usage_map **ret)
{
    CLEANUP(fd_close) int dir = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    CLEANUP(fd_close) int fd = sys_open_beneath(dir, "domains.map", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    if (sys->size(fd) < (int64_t)sizeof(struct usage_header))
        return -ENOENT; /* being made */
    struct usage_map *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    void *v = mmap(NULL, MAP_BYTES_MAX, PROT_READ, MAP_SHARED, fd, 0);
    if (v == MAP_FAILED) {
        free(m);
        return -ENOMEM;
    }
    m->header = v;
    m->slots = (const struct usage_slot *)(m->header + 1);
    int r = usage_check(m->header);
    if (r < 0)
        usage_close(m);
    else
        *ret = m;
    return r;
}

void usage_close(struct usage_map *m)
{
    if (m == NULL)
        return;
    munmap((void *)m->header, MAP_BYTES_MAX);
    free(m->index);
    free(m);
}

static uint32_t usage_hash(uint32_t kind, int64_t id)
{
    uint64_t h = ((uint64_t)id * 2 + kind) * 0x9e3779b97f4a7c15U;

    return (uint32_t)(h >> 32);
}

static uint32_t usage_slots(const struct usage_map *m)
{
    return MIN(atomic_load_explicit(&m->header->slots, memory_order_acquire), (uint32_t)USAGE_DOMAINS_MAX);
}

static void usage_index(struct usage_map *m)
{
    uint32_t generation = atomic_load_explicit(&m->header->generation, memory_order_acquire);
    uint32_t n = usage_slots(m);
    uint32_t room = 64;

    if (m->index != NULL && (generation == m->generation || generation % 2 == 1))
        return;
    while (room < n * 2)
        room *= 2;
    uint32_t *index = calloc(room, sizeof *index);
    if (index == NULL)
        return; /* the old one serves */
    for (uint32_t i = 0; i < n; i++) {
        int64_t id = atomic_load_explicit(&m->slots[i].id, memory_order_acquire);
        if (id == 0)
            continue;
        uint32_t at = usage_hash(atomic_load_explicit(&m->slots[i].kind, memory_order_relaxed), id) & (room - 1);
        while (index[at] != 0)
            at = (at + 1) & (room - 1);
        index[at] = i + 1;
    }
    free(m->index);
    m->index = index;
    m->index_room = room;
    m->generation = generation;
}

const struct usage_slot *usage_find(struct usage_map *m, enum domain_kind kind, int64_t id)
{
    usage_index(m);
    if (m->index == NULL)
        return NULL;
    for (uint32_t at = usage_hash(kind, id) & (m->index_room - 1); m->index[at] != 0;
         at = (at + 1) & (m->index_room - 1)) {
        const struct usage_slot *s = &m->slots[m->index[at] - 1];

        if (atomic_load_explicit(&s->id, memory_order_acquire) == id &&
            atomic_load_explicit(&s->kind, memory_order_relaxed) == (uint32_t)kind)
            return s;
    }
    return NULL;
}

const struct usage_slot *usage_next(struct usage_map *m, uint32_t *pos)
{
    uint32_t n = usage_slots(m);

    while (*pos < n) {
        const struct usage_slot *s = &m->slots[(*pos)++];

        if (atomic_load_explicit(&s->id, memory_order_acquire) != 0)
            return s;
    }
    return NULL;
}

const char *domain_state_name(enum domain_state s)
{
    static const char *const names[] = { "clean", "dirty", "stale", "counting" };

    return (unsigned)s < ARRAY_SIZE(names) ? names[s] : "stale";
}

const char *domain_kind_name(enum domain_kind k)
{
    return k == DOMAIN_USER ? "user" : k == DOMAIN_FOLDER ? "folder" : "none";
}
