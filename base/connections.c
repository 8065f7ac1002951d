/* The table is one sparse memfd: a page that no record ever used costs nothing. Facts are written under a sequence
 * lock: odd while the owner writes; a reader copies and compares. Fences follow Boehm, "Can Seqlocks Get Along With
 * Programming Language Memory Models?" (2012). */
#include "base/connections.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"

enum { TABLE_BYTES = sizeof(struct connection) * CONNECTIONS_MAX, READ_TRIES = 1000 };

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
    size_t before = (size_t)(own - c->v) * sizeof *own;
    size_t after = TABLE_BYTES - before - sizeof *own;

    if (before > 0 && munmap(c->v, before) < 0)
        return -errno;
    if (after > 0 && munmap(own + 1, after) < 0)
        return -errno;
    c->v = NULL;
    fd_close(&c->fd);
    return 0;
}

struct connection *connection_claim(struct connections *c)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        uint32_t free_state = CONNECTION_FREE;

        if (!atomic_compare_exchange_strong_explicit(&c->v[i].state, &free_state, CONNECTION_CLAIMED,
                                                     memory_order_acq_rel, memory_order_relaxed))
            continue;
        memset(&c->v[i].facts, 0, sizeof c->v[i].facts);
        atomic_store_explicit(&c->v[i].seq, 0, memory_order_relaxed);
        atomic_store_explicit(&c->v[i].close_requested, 0, memory_order_relaxed);
        atomic_store_explicit(&c->v[i].last_activity_ms, 0, memory_order_relaxed);
        return &c->v[i];
    }
    return NULL;
}

void connection_free(struct connection *r)
{
    atomic_store_explicit(&r->state, CONNECTION_FREE, memory_order_release);
}

static void write_begin(struct connection *r)
{
    atomic_store_explicit(&r->seq, atomic_load_explicit(&r->seq, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void write_end(struct connection *r)
{
    atomic_store_explicit(&r->seq, atomic_load_explicit(&r->seq, memory_order_relaxed) + 1, memory_order_release);
}

void connection_publish(struct connection *r, const struct connection_facts *facts)
{
    write_begin(r);
    memcpy(&r->facts, facts, sizeof r->facts);
    write_end(r);
    connection_touch(r, facts->connect_ms);
    atomic_store_explicit(&r->state, CONNECTION_LIVE, memory_order_release);
}

void connection_touch(struct connection *r, int64_t now_ms)
{
    atomic_store_explicit(&r->last_activity_ms, now_ms, memory_order_relaxed);
}

int connection_transfer_begin(struct connection *r, bool is_upload, const char *path, uint64_t bytes, int64_t now_ms)
{
    for (int i = 0; i < TRANSFERS_MAX; i++) {
        struct connection_transfer *t = &r->facts.transfers[i];

        if (t->active)
            continue;
        write_begin(r);
        t->active = 1;
        t->is_upload = is_upload;
        t->start_ms = now_ms;
        atomic_store_explicit(&t->bytes, bytes, memory_order_relaxed);
        str_set(t->path, sizeof t->path, path);
        write_end(r);
        return i;
    }
    return -1;
}

void connection_transfer_moved(struct connection *r, int transfer, uint64_t bytes)
{
    if (transfer >= 0)
        atomic_fetch_add_explicit(&r->facts.transfers[transfer].bytes, bytes, memory_order_relaxed);
}

void connection_transfer_end(struct connection *r, int transfer)
{
    if (transfer < 0)
        return;
    write_begin(r);
    r->facts.transfers[transfer].active = 0;
    write_end(r);
}

/* The writer may be a session that a stranger talks to: texts are ended here, and a record that is never even is
 * skipped. */
static void facts_end_texts(struct connection_facts *f)
{
    f->id[sizeof f->id - 1] = f->username[sizeof f->username - 1] = f->protocol[sizeof f->protocol - 1] = '\0';
    f->client_version[sizeof f->client_version - 1] = f->remote_address[sizeof f->remote_address - 1] = '\0';
    f->command[sizeof f->command - 1] = '\0';
    for (size_t i = 0; i < TRANSFERS_MAX; i++)
        f->transfers[i].path[CONNECTION_PATH_MAX - 1] = '\0';
}

bool connection_read(const struct connection *r, struct connection_facts *ret_facts, int64_t *ret_last_activity_ms)
{
    for (int tries = 0; tries < READ_TRIES; tries++) {
        if (atomic_load_explicit(&r->state, memory_order_acquire) != CONNECTION_LIVE)
            return false;
        uint32_t before = atomic_load_explicit(&r->seq, memory_order_acquire);
        memcpy(ret_facts, &r->facts, sizeof *ret_facts);
        atomic_thread_fence(memory_order_acquire);
        uint32_t after = atomic_load_explicit(&r->seq, memory_order_relaxed);
        if (before == after && before % 2 == 0) {
            facts_end_texts(ret_facts);
            *ret_last_activity_ms = atomic_load_explicit(&r->last_activity_ms, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

unsigned connections_count(const struct connections *c, int64_t user_id)
{
    unsigned n = 0;

    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (atomic_load_explicit(&c->v[i].state, memory_order_acquire) != CONNECTION_LIVE)
            continue;
        n += user_id == 0 || c->v[i].facts.user_id == user_id;
    }
    return n;
}
