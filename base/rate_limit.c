/* The generic cell rate algorithm: one time for each source, at which its bucket will be full again. */
#include "base/rate_limit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/shared_lock.h"

enum { PER_SOURCE = 2, DELAY_MAX_US = 10000000, MS_US = 1000 };

struct source {
    struct address address;
    int64_t full_us;
};

struct limiter {
    int64_t interval_us, burst_us, delay_us;
    unsigned protocols;
    bool is_per_source, is_offence;
    uint32_t soft, hard;
    size_t allowed_n;
    struct network allowed[RATE_ALLOWED_MAX];
    size_t sources_n;
    struct source sources[RATE_SOURCES_MAX + 1]; /* a global one has one, without an address */
};

struct rate_map {
    struct shared_lock lock;
    size_t n; /* all from here: guarded by lock */
    struct limiter v[RATE_LIMITERS_MAX];
};

int rate_limits_create(struct rate_limits *ret)
{
    CLEANUP(fd_close) int fd = memfd_create("tally-rates", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, sizeof(struct rate_map)) < 0)
        return -errno;
    int r = rate_limits_attach(take_fd(&fd), ret);
    return r < 0 ? r : shared_lock_init(&ret->map->lock);
}

int rate_limits_attach(int fd, struct rate_limits *ret)
{
    void *map = mmap(NULL, sizeof(struct rate_map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        int r = -errno;
        fd_close(&fd);
        return r;
    }
    *ret = (struct rate_limits){ .map = map, .fd = fd };
    return 0;
}

void rate_limits_detach(struct rate_limits *l)
{
    if (l->map != NULL)
        munmap(l->map, sizeof *l->map);
    l->map = NULL;
    fd_close(&l->fd);
}

static unsigned protocols_of(const struct strings *names)
{
    return (strings_has(names, "SSH") ? (unsigned)RATE_SSH : 0) |
           (strings_has(names, "HTTP") ? (unsigned)RATE_HTTP : 0);
}

static void limiter_set(struct limiter *l, const struct rate_limiter_config *c)
{
    int64_t period_us = (int64_t)c->period_ms * MS_US;

    l->interval_us = MAX(period_us / (int64_t)c->average, 1);
    l->burst_us = l->interval_us * (int64_t)c->burst;
    l->delay_us = MIN(l->interval_us > 1000 * MS_US ? period_us / 2 : l->interval_us / 2, (int64_t)DELAY_MAX_US);
    l->protocols = protocols_of(&c->protocols);
    l->is_per_source = c->type == PER_SOURCE;
    l->is_offence = c->generate_defender_events;
    l->soft = c->entries_soft_limit;
    l->hard = c->entries_hard_limit;
    l->sources_n = l->allowed_n = 0;
    for (size_t i = 0; i < c->allow_list.n && l->allowed_n < RATE_ALLOWED_MAX; i++)
        l->allowed_n += network_parse(c->allow_list.v[i], true, &l->allowed[l->allowed_n]);
}

void rate_limits_set(struct rate_limits *l, const struct objects *limiters)
{
    const struct rate_limiter_config *c = limiters->v;

    shared_lock_take(&l->map->lock);
    l->map->n = 0;
    for (size_t i = 0; i < limiters->n && l->map->n < RATE_LIMITERS_MAX; i++)
        if (c[i].average > 0) {
            limiter_set(&l->map->v[l->map->n], &c[i]);
            l->map->n++;
        }
    shared_lock_drop(&l->map->lock);
}

/* ---- under the lock ---- */

static void drop_past(struct limiter *l, int64_t now_us)
{
    for (size_t i = l->sources_n; i-- > 0;)
        if (l->sources[i].full_us <= now_us) {
            l->sources[i] = l->sources[l->sources_n - 1];
            l->sources_n--;
        }
}

static void drop_quietest(struct limiter *l)
{
    size_t least = 0;

    for (size_t i = 1; i < l->sources_n; i++)
        if (l->sources[i].full_us < l->sources[least].full_us)
            least = i;
    l->sources[least] = l->sources[l->sources_n - 1];
    l->sources_n--;
}

static struct source *source_of(struct limiter *l, const struct address *a, int64_t now_us)
{
    static const struct address everybody;
    const struct address *who = l->is_per_source ? a : &everybody;

    for (size_t i = 0; i < l->sources_n; i++)
        if (address_equal(&l->sources[i].address, who))
            return &l->sources[i];
    if (l->sources_n >= l->hard)
        drop_past(l, now_us);
    if (l->sources_n >= l->hard)
        while (l->sources_n > 0 && l->sources_n >= l->soft)
            drop_quietest(l);
    struct source *s = &l->sources[l->sources_n];
    *s = (struct source){ .address = *who };
    l->sources_n++;
    return s;
}

static bool is_allowed(const struct limiter *l, const struct address *a)
{
    for (size_t i = 0; i < l->allowed_n; i++)
        if (network_has(&l->allowed[i], a))
            return true;
    return false;
}

/* How long to wait; 0: it is counted and may go on. */
static int64_t limiter_take(struct limiter *l, const struct address *a, int64_t now_us)
{
    struct source *s = source_of(l, a, now_us);
    int64_t full_us = MAX(s->full_us, now_us) + l->interval_us;
    int64_t wait_us = full_us - l->burst_us - now_us;

    if (wait_us > l->delay_us)
        return wait_us;
    s->full_us = full_us;
    return 0;
}

bool rate_limits_take(struct rate_limits *l, enum rate_protocol p, const char *address, int64_t now_ms,
                      int64_t *ret_wait_ms, bool *ret_is_offence)
{
    struct address a;
    int64_t wait_us = 0;

    *ret_wait_ms = 0;
    *ret_is_offence = false;
    if (l->map == NULL || !address_parse(address, &a))
        return true;
    shared_lock_take(&l->map->lock);
    for (size_t i = 0; i < l->map->n && wait_us == 0; i++) {
        struct limiter *one = &l->map->v[i];
        if (!(one->protocols & p) || is_allowed(one, &a))
            continue;
        wait_us = limiter_take(one, &a, now_ms * MS_US);
        *ret_is_offence = wait_us > 0 && one->is_offence;
    }
    shared_lock_drop(&l->map->lock);
    *ret_wait_ms = (wait_us + MS_US - 1) / MS_US;
    return wait_us == 0;
}
