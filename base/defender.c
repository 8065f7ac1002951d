/* A flat array of addresses, searched from end to end: a hundred and fifty by default. An event is one word: its time
 * and its score; an address keeps EVENTS of them, and when there are more the two oldest become one, which then counts
 * a little longer. Counts only grow after the entry is whole, so that a writer that is killed leaves no half of one. */
#include "base/defender.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/defender_lists.h"
#include "base/shared_lock.h"

enum { EVENTS = 64, SCORE_BITS = 16, MINUTE_MS = 60000, PERCENT = 100 };

struct host {
    struct address address;
    int64_t ban_until_ms; /* 0: not banned */
    uint32_t events_n;
    uint64_t events[EVENTS]; /* time in ms << SCORE_BITS | score, oldest first */
};

struct list {
    size_t n;
    struct address_range v[DEFENDER_RANGES_MAX];
};

struct settings {
    bool is_on;
    int64_t ban_ms, increment_ms, observation_ms;
    uint32_t threshold, scores[3]; /* by enum defender_event */
    uint32_t soft, hard;
};

struct defender_map {
    struct shared_lock lock;
    struct settings is; /* all from here: guarded by lock */
    size_t hosts_n;
    struct host hosts[DEFENDER_HOSTS_MAX + 1];
    struct list safe, blocked;
};

int defender_create(struct defender *ret)
{
    CLEANUP(fd_close) int fd = memfd_create("tally-defender", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, sizeof(struct defender_map)) < 0)
        return -errno;
    int r = defender_attach(take_fd(&fd), ret);
    return r < 0 ? r : shared_lock_init(&ret->map->lock);
}

int defender_attach(int fd, struct defender *ret)
{
    void *map = mmap(NULL, sizeof(struct defender_map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        int r = -errno;
        fd_close(&fd);
        return r;
    }
    *ret = (struct defender){ .map = map, .fd = fd };
    return 0;
}

void defender_detach(struct defender *d)
{
    if (d->map != NULL)
        munmap(d->map, sizeof *d->map);
    d->map = NULL;
    fd_close(&d->fd);
}

/* ---- settings ---- */

static void list_set(struct list *to, const struct address_range *v, size_t n)
{
    to->n = 0;
    if (n > 0)
        memcpy(to->v, v, n * sizeof *v);
    to->n = n;
}

static struct settings settings_of(const struct defender_config *c)
{
    int64_t ban_ms = (int64_t)c->ban_time_min * MINUTE_MS;

    return (struct settings){
        .is_on = c->enabled,
        .ban_ms = ban_ms,
        .increment_ms = MAX(ban_ms / PERCENT * (int64_t)c->ban_time_increment, (int64_t)MINUTE_MS),
        .observation_ms = (int64_t)c->observation_time_min * MINUTE_MS,
        .threshold = c->threshold,
        .scores = { c->score_invalid, c->score_valid, c->score_limit_exceeded },
        .soft = c->entries_soft_limit,
        .hard = c->entries_hard_limit,
    };
}

int defender_set(struct defender *d, const struct defender_config *c, struct why *reterr_why)
{
    CLEANUP(mem_free) struct address_range *safe = NULL;
    CLEANUP(mem_free) struct address_range *blocked = NULL;
    size_t safe_n = 0;
    size_t blocked_n = 0;
    int r = ranges_read(c->safelist_file, DEFENDER_LIST_BYTES, DEFENDER_RANGES_MAX, &safe, &safe_n, reterr_why);

    if (r == 0)
        r = ranges_read(c->blocklist_file, DEFENDER_LIST_BYTES, DEFENDER_RANGES_MAX, &blocked, &blocked_n, reterr_why);
    if (r < 0)
        return r;
    shared_lock_take(&d->map->lock);
    d->map->is = settings_of(c);
    list_set(&d->map->safe, safe, safe_n);
    list_set(&d->map->blocked, blocked, blocked_n);
    shared_lock_drop(&d->map->lock);
    return 0;
}

/* ---- one address, under the lock ---- */

static bool in_list(const struct list *l, const struct address *a)
{
    return ranges_have(l->v, l->n, a);
}

static struct host *host_find(struct defender_map *m, const struct address *a)
{
    for (size_t i = 0; i < m->hosts_n; i++)
        if (address_equal(&m->hosts[i].address, a))
            return &m->hosts[i];
    return NULL;
}

static void host_drop(struct defender_map *m, struct host *h)
{
    *h = m->hosts[m->hosts_n - 1];
    m->hosts_n--;
}

static int64_t event_ms(uint64_t e)
{
    return (int64_t)(e >> SCORE_BITS);
}

static uint32_t event_score(uint64_t e)
{
    return (uint32_t)(e & ((1U << SCORE_BITS) - 1));
}

static uint64_t event_make(int64_t ms, uint32_t score)
{
    return (uint64_t)ms << SCORE_BITS | MIN(score, (1U << SCORE_BITS) - 1);
}

static uint32_t host_score(const struct defender_map *m, const struct host *h, int64_t now_ms)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < MIN(h->events_n, (uint32_t)EVENTS); i++)
        if (event_ms(h->events[i]) > now_ms - m->is.observation_ms)
            sum += event_score(h->events[i]);
    return sum;
}

static bool is_banned(const struct host *h, int64_t now_ms)
{
    return h->ban_until_ms > now_ms;
}

/* A ban that is over leaves nothing, nor do events that are too old. */
static bool is_past(const struct defender_map *m, const struct host *h, int64_t now_ms)
{
    return !is_banned(h, now_ms) && (h->ban_until_ms > 0 || host_score(m, h, now_ms) == 0);
}

static void host_add_event(struct host *h, uint64_t event)
{
    if (h->events_n >= EVENTS) {
        h->events[1] = event_make(event_ms(h->events[1]), event_score(h->events[0]) + event_score(h->events[1]));
        memmove(h->events, h->events + 1, (EVENTS - 1) * sizeof *h->events);
        h->events_n = EVENTS - 1;
    }
    h->events[h->events_n] = event;
    h->events_n++;
}

/* Who is worth keeping: bans by their end, above all scores. */
static int64_t worth(const struct defender_map *m, const struct host *h, int64_t now_ms)
{
    return is_banned(h, now_ms) ? h->ban_until_ms : (int64_t)host_score(m, h, now_ms);
}

static void drop_past(struct defender_map *m, int64_t now_ms)
{
    for (size_t i = m->hosts_n; i-- > 0;)
        if (is_past(m, &m->hosts[i], now_ms))
            host_drop(m, &m->hosts[i]);
}

static void drop_least(struct defender_map *m, int64_t now_ms)
{
    size_t least = 0;

    for (size_t i = 1; i < m->hosts_n; i++)
        if (worth(m, &m->hosts[i], now_ms) < worth(m, &m->hosts[least], now_ms))
            least = i;
    host_drop(m, &m->hosts[least]);
}

static struct host *host_add(struct defender_map *m, const struct address *a, int64_t now_ms)
{
    if (m->hosts_n >= m->is.hard)
        drop_past(m, now_ms);
    if (m->hosts_n >= m->is.hard)
        while (m->hosts_n > 0 && m->hosts_n >= m->is.soft)
            drop_least(m, now_ms);
    struct host *h = &m->hosts[m->hosts_n];
    *h = (struct host){ .address = *a };
    m->hosts_n++;
    return h;
}

static bool note(struct defender_map *m, const struct address *a, enum defender_event e, int64_t now_ms)
{
    if (!m->is.is_on || m->is.scores[e] == 0 || in_list(&m->safe, a))
        return false;
    struct host *h = host_find(m, a);
    if (h != NULL && is_banned(h, now_ms))
        return false;
    if (h != NULL && is_past(m, h, now_ms)) {
        host_drop(m, h);
        h = NULL;
    }
    if (h == NULL)
        h = host_add(m, a, now_ms);
    host_add_event(h, event_make(now_ms, m->is.scores[e]));
    if (host_score(m, h, now_ms) < m->is.threshold)
        return false;
    h->ban_until_ms = now_ms + m->is.ban_ms;
    return true;
}

static bool refuses(struct defender_map *m, const struct address *a, int64_t now_ms)
{
    if (!m->is.is_on)
        return false;
    if (in_list(&m->blocked, a))
        return true;
    struct host *h = host_find(m, a);
    if (h == NULL || !is_banned(h, now_ms))
        return false;
    h->ban_until_ms += m->is.increment_ms;
    return true;
}

/* ---- from outside ---- */

bool defender_is_on(struct defender *d)
{
    if (d->map == NULL)
        return false;
    shared_lock_take(&d->map->lock);
    bool is_on = d->map->is.is_on;
    shared_lock_drop(&d->map->lock);
    return is_on;
}

bool defender_note(struct defender *d, const char *address, enum defender_event e, int64_t now_ms)
{
    struct address a;

    if (d->map == NULL || !address_parse(address, &a))
        return false;
    shared_lock_take(&d->map->lock);
    bool is_banned_now = note(d->map, &a, e, now_ms);
    shared_lock_drop(&d->map->lock);
    return is_banned_now;
}

bool defender_refuses(struct defender *d, const char *address, int64_t now_ms)
{
    struct address a;

    if (d->map == NULL || !address_parse(address, &a))
        return false;
    shared_lock_take(&d->map->lock);
    bool is_refused = refuses(d->map, &a, now_ms);
    shared_lock_drop(&d->map->lock);
    return is_refused;
}

static struct defender_host show(const struct defender_map *m, const struct host *h, int64_t now_ms)
{
    bool banned = is_banned(h, now_ms);

    return (struct defender_host){
        .address = h->address,
        .score = banned ? 0 : host_score(m, h, now_ms),
        .ban_until_ms = banned ? h->ban_until_ms : 0,
    };
}

int defender_host(struct defender *d, const char *address, int64_t now_ms, struct defender_host *ret)
{
    struct address a;

    if (d->map == NULL || !address_parse(address, &a))
        return -ENOENT;
    shared_lock_take(&d->map->lock);
    const struct host *h = host_find(d->map, &a);
    int r = h == NULL || is_past(d->map, h, now_ms) ? -ENOENT : 0;
    if (r == 0)
        *ret = show(d->map, h, now_ms);
    shared_lock_drop(&d->map->lock);
    return r;
}

size_t defender_hosts(struct defender *d, int64_t now_ms, struct defender_host *to, size_t room)
{
    size_t n = 0;

    if (d->map == NULL)
        return 0;
    shared_lock_take(&d->map->lock);
    for (int banned = 1; banned >= 0; banned--)
        for (size_t i = 0; i < d->map->hosts_n && n < room; i++) {
            const struct host *h = &d->map->hosts[i];
            if (is_banned(h, now_ms) == (banned == 1) && !is_past(d->map, h, now_ms))
                to[n++] = show(d->map, h, now_ms);
        }
    shared_lock_drop(&d->map->lock);
    return n;
}

int defender_forget(struct defender *d, const char *address, int64_t now_ms)
{
    struct address a;

    if (d->map == NULL || !address_parse(address, &a))
        return -ENOENT;
    shared_lock_take(&d->map->lock);
    struct host *h = host_find(d->map, &a);
    int r = h == NULL || is_past(d->map, h, now_ms) ? -ENOENT : 0;
    if (h != NULL)
        host_drop(d->map, h);
    shared_lock_drop(&d->map->lock);
    return r;
}
