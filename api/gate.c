/* A snapshot of the addresses of the table, sorted, made anew when it is older than a second and somebody asks. */
#include "api/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/lock.h"
#include "base/sys.h"

enum { SNAPSHOT_MS = 1000 };

struct gate {
    const struct connections *table;
    struct mutex lock;
    char (*addresses)[ADDRESS_TEXT_MAX]; /* lock; CONNECTIONS_MAX, the first n are used */
    size_t n;                            /* lock */
    uint64_t until_ns;                   /* lock */
};

int gate_new(const struct connections *table, struct gate **ret)
{
    struct gate *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return -ENOMEM;
    mutex_init(&g->lock, RANK_INDEX);
    g->table = table;
    g->addresses = calloc(CONNECTIONS_MAX, sizeof(*g->addresses));
    if (g->addresses == NULL) {
        gate_free(g);
        return -ENOMEM;
    }
    *ret = g;
    return 0;
}

void gate_free(struct gate *g)
{
    if (g == NULL)
        return;
    mutex_done(&g->lock);
    free(g->addresses);
    free(g);
}

static int address_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void snapshot_locked(struct gate *g) REQUIRES(g->lock);
static void snapshot_locked(struct gate *g)
{
    struct connection_facts facts;
    int64_t activity;

    g->n = 0;
    for (size_t i = 0; g->table != NULL && g->table->v != NULL && i < CONNECTIONS_MAX; i++)
        if (atomic_load_explicit(&g->table->v[i].state, memory_order_relaxed) == CONNECTION_LIVE &&
            connection_read(&g->table->v[i], &facts, &activity))
            g->n += address_without_port(facts.remote_address, g->addresses[g->n]);
    qsort(g->addresses, g->n, sizeof(*g->addresses), address_order);
    g->until_ns = sys->now_ns() + SNAPSHOT_MS * UINT64_C(1000000);
}

static unsigned sessions_locked(struct gate *g, const char *address) REQUIRES(g->lock);
static unsigned sessions_locked(struct gate *g, const char *address)
{
    unsigned n = 0;

    if (sys->now_ns() >= g->until_ns)
        snapshot_locked(g);
    if (address == NULL)
        return (unsigned)g->n;
    for (size_t i = 0; i < g->n; i++)
        n += strcmp(g->addresses[i], address) == 0;
    return n;
}

unsigned gate_sessions(struct gate *g, const char *address)
{
    mutex_lock(&g->lock);
    unsigned n = sessions_locked(g, address);
    mutex_unlock(&g->lock);
    return n;
}
