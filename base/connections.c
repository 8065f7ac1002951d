/* The table is one sparse memfd: a page that no record ever used costs nothing. Both parts are written under sequence
 * locks: odd while the owner writes; a reader copies and compares. Fences follow Boehm, "Can Seqlocks Get Along With
 * Programming Language Memory Models?" (2012). */
#include "base/connections.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"

/* The second part of a record. It is CONNECTIONS_MAX parts behind the first one. */
struct shown {
    _Atomic uint32_t seq;
    _Atomic int64_t last_activity_ms;
    char protocol[16];
    char command[256];
    struct connection_transfer transfers[TRANSFERS_MAX];
} __attribute__((aligned(4096)));

_Static_assert(sizeof(struct shown) == sizeof(struct connection), "one stride");

enum { HALF_BYTES = sizeof(struct connection) * CONNECTIONS_MAX, TABLE_BYTES = 2 * HALF_BYTES, READ_TRIES = 1000 };

static struct shown *shown_of(const struct connection *r)
{
    return (struct shown *)(void *)((uintptr_t)r + HALF_BYTES);
}

int connections_create(struct connections *ret)
{
    CLEANUP(fd_close) int fd = memfd_create("tally-connections", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, TABLE_BYTES) < 0)
        return -errno;
    return connections_attach(take_fd(&fd), true, ret);
}

int connections_attach(int fd, bool writable, struct connections *ret)
{
    void *v = mmap(NULL, TABLE_BYTES, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);

    if (v == MAP_FAILED) {
        int r = -errno;
        fd_close(&fd);
        return r;
    }
    *ret = (struct connections){ .v = v, .fd = fd, .writable = writable };
    return 0;
}

void connections_detach(struct connections *c)
{
    if (c->v != NULL)
        munmap(c->v, TABLE_BYTES);
    c->v = NULL;
    fd_close(&c->fd);
}

int connections_keep_only(struct connections *c, struct connection *own)
{
    struct shown *kept = shown_of(own);
    size_t before = (size_t)((uintptr_t)kept - (uintptr_t)c->v);
    size_t after = TABLE_BYTES - before - sizeof *kept;

    if (munmap(c->v, before) < 0)
        return -errno;
    if (after > 0 && munmap(kept + 1, after) < 0)
        return -errno;
    c->v = NULL;
    fd_close(&c->fd);
    return 0;
}

static void write_begin(_Atomic uint32_t *seq)
{
    atomic_store_explicit(seq, atomic_load_explicit(seq, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void write_end(_Atomic uint32_t *seq)
{
    atomic_store_explicit(seq, atomic_load_explicit(seq, memory_order_relaxed) + 1, memory_order_release);
}

/* The last one's session may have been killed while it wrote. Numbers of the first lock are never used twice. */
static void clear(struct connection *r)
{
    struct shown *own = shown_of(r);

    write_begin(&r->seq);
    memset(&r->who, 0, sizeof r->who);
    write_end(&r->seq);
    atomic_store_explicit(&r->close_requested, 0, memory_order_relaxed);
    memset(own, 0, sizeof *own);
}

struct connection *connection_claim(struct connections *c)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        uint32_t free_state = CONNECTION_FREE;

        if (!atomic_compare_exchange_strong_explicit(&c->v[i].state, &free_state, CONNECTION_CLAIMED,
                                                     memory_order_acq_rel, memory_order_relaxed))
            continue;
        clear(&c->v[i]);
        return &c->v[i];
    }
    return NULL;
}

void connection_free(struct connection *r)
{
    atomic_store_explicit(&r->state, CONNECTION_FREE, memory_order_release);
}

void connection_publish(struct connection *r, const struct connection_facts *facts)
{
    struct connection_who *w = &r->who;

    write_begin(&r->seq);
    str_set(w->id, sizeof w->id, facts->id);
    str_set(w->username, sizeof w->username, facts->username);
    str_set(w->client_version, sizeof w->client_version, facts->client_version);
    str_set(w->remote_address, sizeof w->remote_address, facts->remote_address);
    w->connect_ms = facts->connect_ms;
    w->user_id = facts->user_id;
    w->pid = facts->pid;
    write_end(&r->seq);
    connection_show(r, facts->protocol, facts->command);
    connection_touch(r, facts->connect_ms);
    atomic_store_explicit(&r->state, CONNECTION_LIVE, memory_order_release);
}

void connection_show(struct connection *r, const char *protocol, const char *command)
{
    struct shown *own = shown_of(r);

    write_begin(&own->seq);
    str_set(own->protocol, sizeof own->protocol, protocol);
    str_set(own->command, sizeof own->command, command);
    write_end(&own->seq);
}

void connection_touch(struct connection *r, int64_t now_ms)
{
    atomic_store_explicit(&shown_of(r)->last_activity_ms, now_ms, memory_order_relaxed);
}

int connection_transfer_begin(struct connection *r, bool is_upload, const char *path, uint64_t bytes, int64_t now_ms)
{
    struct shown *own = shown_of(r);

    for (int i = 0; i < TRANSFERS_MAX; i++) {
        struct connection_transfer *t = &own->transfers[i];

        if (t->active)
            continue;
        write_begin(&own->seq);
        t->active = 1;
        t->is_upload = is_upload;
        t->start_ms = now_ms;
        atomic_store_explicit(&t->bytes, bytes, memory_order_relaxed);
        str_set(t->path, sizeof t->path, path);
        write_end(&own->seq);
        return i;
    }
    return -1;
}

void connection_transfer_moved(struct connection *r, int transfer, uint64_t bytes)
{
    if (transfer >= 0)
        atomic_fetch_add_explicit(&shown_of(r)->transfers[transfer].bytes, bytes, memory_order_relaxed);
}

void connection_transfer_end(struct connection *r, int transfer)
{
    struct shown *own = shown_of(r);

    if (transfer < 0)
        return;
    write_begin(&own->seq);
    own->transfers[transfer].active = 0;
    write_end(&own->seq);
}

static bool is_same(const _Atomic uint32_t *seq, uint32_t before)
{
    atomic_thread_fence(memory_order_acquire);
    return before % 2 == 0 && atomic_load_explicit(seq, memory_order_relaxed) == before;
}

/* The writer may be a session that a stranger talks to: texts are ended here, and what is never even is left out. */
static void read_shown(const struct shown *own, struct connection_facts *ret)
{
    bool ok = false;

    for (int tries = 0; tries < READ_TRIES && !ok; tries++) {
        uint32_t before = atomic_load_explicit(&own->seq, memory_order_acquire);
        if (before % 2)
            continue;
        memcpy(ret->protocol, own->protocol, sizeof ret->protocol);
        memcpy(ret->command, own->command, sizeof ret->command);
        memcpy(ret->transfers, own->transfers, sizeof ret->transfers);
        ok = is_same(&own->seq, before);
    }
    if (!ok) {
        str_set(ret->protocol, sizeof ret->protocol, "SFTP");
        ret->command[0] = '\0';
        memset(ret->transfers, 0, sizeof ret->transfers);
    }
    ret->protocol[sizeof ret->protocol - 1] = ret->command[sizeof ret->command - 1] = '\0';
    for (size_t i = 0; i < TRANSFERS_MAX; i++)
        ret->transfers[i].path[CONNECTION_PATH_MAX - 1] = '\0';
}

static void facts_set(struct connection_facts *ret, const struct connection_who *w)
{
    memcpy(ret->id, w->id, sizeof ret->id);
    memcpy(ret->username, w->username, sizeof ret->username);
    memcpy(ret->client_version, w->client_version, sizeof ret->client_version);
    memcpy(ret->remote_address, w->remote_address, sizeof ret->remote_address);
    ret->connect_ms = w->connect_ms;
    ret->user_id = w->user_id;
    ret->pid = w->pid;
}

bool connection_read(const struct connection *r, struct connection_facts *ret_facts, int64_t *ret_last_activity_ms)
{
    for (int tries = 0; tries < READ_TRIES; tries++) {
        if (atomic_load_explicit(&r->state, memory_order_acquire) != CONNECTION_LIVE)
            return false;
        uint32_t before = atomic_load_explicit(&r->seq, memory_order_acquire);
        facts_set(ret_facts, &r->who);
        if (!is_same(&r->seq, before))
            continue;
        const struct shown *own = shown_of(r);
        read_shown(own, ret_facts);
        *ret_last_activity_ms = atomic_load_explicit(&own->last_activity_ms, memory_order_relaxed);
        if (is_same(&r->seq, before)) /* else the slot is another connection's by now */
            return true;
    }
    return false;
}

unsigned connections_count(const struct connections *c, int64_t user_id)
{
    unsigned n = 0;

    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (atomic_load_explicit(&c->v[i].state, memory_order_acquire) != CONNECTION_LIVE)
            continue;
        n += user_id == 0 || c->v[i].who.user_id == user_id;
    }
    return n;
}
