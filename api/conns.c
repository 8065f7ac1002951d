/* Two lists: `waiting` has those in CONN_HEAD and CONN_BODY, in the order in which they began to wait, and `flight`
 * those with a request, CONN_BODY to CONN_REPLY. Every connection is in one of them at least, so the sweeper sees all.
 *
 * The library closes a descriptor only after conn_close() took the connection off the lists under the lock; so a
 * shutdown() under the lock never hits a number that is somebody else's by now. */
#include "api/conns.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/lock.h"
#include "base/str.h"
#include "base/sys.h"

enum { SWEEP_MS = 1000, LISTENERS_MAX = 32, CROWDED = HTTP_CONNECTIONS_MAX / 4 * 3 };

struct tracked {
    struct http_conn conn; /* first member */
    struct conns *of;
    TAILQ_ENTRY(tracked) waiting, flight; /* lock */
    bool is_waiting, is_flying;           /* lock */
    int fd;
    uint64_t deadline_ns; /* lock; 0: none, a worker is at it */
    char client[64];      /* lock */
};
TAILQ_HEAD(tracked_list, tracked);

struct conns {
    struct http_limits limits;
    struct mutex lock;
    pthread_cond_t wake;                 /* stopping */
    struct tracked_list waiting, flight; /* lock */
    unsigned open[LISTENERS_MAX];        /* lock: connections of each listener */
    unsigned flying;                     /* lock */
    bool stopping;                       /* lock */
    bool has_sweeper;
    pthread_t sweeper;
};

/* ---- names ---- */

static void address_texts(const struct sockaddr *sa, char *address, size_t address_room, char *with_port, size_t room)
{
    char text[INET6_ADDRSTRLEN] = "";
    unsigned port = 0;
    bool six = false;

    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        six = !mapped;
        inet_ntop(mapped ? AF_INET : AF_INET6, (const char *)&in6->sin6_addr + (mapped ? 12 : 0), text, sizeof(text));
        port = ntohs(in6->sin6_port);
    } else {
        snprintf(address, address_room, "127.0.0.1");
        snprintf(with_port, room, "unix");
        return;
    }
    snprintf(address, address_room, "%s", text);
    snprintf(with_port, room, six ? "[%s]:%u" : "%s:%u", text, port);
}

static void conn_name(struct http_conn *c, int fd)
{
    union {
        struct sockaddr sa;
        struct sockaddr_storage room;
    } peer = { .sa.sa_family = AF_UNSPEC }, own = { .sa.sa_family = AF_UNSPEC };
    socklen_t peer_len = sizeof(peer), own_len = sizeof(own);
    char ignored[64];

    IGNORE(getpeername(fd, &peer.sa, &peer_len), "a peer that has gone has no name");
    IGNORE(getsockname(fd, &own.sa, &own_len), "likewise");
    address_texts(&peer.sa, c->address, sizeof(c->address), c->remote, sizeof(c->remote));
    address_texts(&own.sa, ignored, sizeof(ignored), c->local, sizeof(c->local));
}

/* ---- states ---- */

static void wait_locked(struct conns *c, struct tracked *k, bool waits) REQUIRES(c->lock);
static void wait_locked(struct conns *c, struct tracked *k, bool waits)
{
    if (k->is_waiting)
        TAILQ_REMOVE(&c->waiting, k, waiting);
    if (waits)
        TAILQ_INSERT_TAIL(&c->waiting, k, waiting);
    k->is_waiting = waits;
}

static void fly_locked(struct conns *c, struct tracked *k, bool flies) REQUIRES(c->lock);
static void fly_locked(struct conns *c, struct tracked *k, bool flies)
{
    if (flies == k->is_flying)
        return;
    if (flies)
        TAILQ_INSERT_TAIL(&c->flight, k, flight);
    else
        TAILQ_REMOVE(&c->flight, k, flight);
    c->flying += flies ? 1U : -1U;
    k->is_flying = flies;
}

void conn_move(struct http_conn *conn, enum conn_state state)
{
    struct tracked *k = (struct tracked *)conn;
    struct conns *c = k->of;
    const struct http_limits *l = &c->limits;
    const unsigned ms[] = {
        [CONN_HEAD] = l->head_ms,
        [CONN_BODY] = l->body_ms,
        [CONN_WORK] = 0,
        [CONN_REPLY] = l->reply_ms,
    };
    uint64_t at = ms[state] > 0 ? sys->now_ns() + ms[state] * UINT64_C(1000000) : 0;

    mutex_lock(&c->lock);
    k->deadline_ns = at;
    wait_locked(c, k, state == CONN_HEAD || state == CONN_BODY);
    fly_locked(c, k, state != CONN_HEAD);
    mutex_unlock(&c->lock);
}

void conn_client(struct http_conn *conn, const char *address)
{
    struct tracked *k = (struct tracked *)conn;
    struct conns *c = k->of;

    mutex_lock(&c->lock);
    str_set(k->client, sizeof(k->client), address);
    fly_locked(c, k, true);
    mutex_unlock(&c->lock);
}

unsigned conns_in_flight(struct conns *c, const char *address)
{
    const struct tracked *k;

    mutex_lock(&c->lock);
    unsigned n = address == NULL ? c->flying : 0;
    if (address != NULL)
        TAILQ_FOREACH(k, &c->flight, flight)
    n += strcmp(k->client, address) == 0;
    mutex_unlock(&c->lock);
    return n;
}

/* ---- open and close ---- */

/* It leaves the list at once: the next one to go is another. */
static void oldest_cut_locked(struct conns *c, unsigned listener) REQUIRES(c->lock);
static void oldest_cut_locked(struct conns *c, unsigned listener)
{
    struct tracked *k;

    TAILQ_FOREACH(k, &c->waiting, waiting)
    if (k->conn.listener == listener)
        break;
    if (k == NULL)
        return;
    IGNORE(shutdown(k->fd, SHUT_RDWR), "it may be gone already");
    wait_locked(c, k, false);
    k->deadline_ns = 0;
}

struct http_conn *conn_open(struct conns *c, const struct listener *l, unsigned index, int fd)
{
    struct tracked *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;

    k->of = c;
    k->fd = fd;
    k->conn.kind = l->kind;
    k->conn.listener = index;
    k->conn.is_trusted = l->kind == LISTEN_ADMIN && peer_is_trusted(fd);
    conn_name(&k->conn, fd);
    k->deadline_ns = sys->now_ns() + c->limits.head_ms * UINT64_C(1000000);
    mutex_lock(&c->lock);
    if (++c->open[index] > CROWDED)
        oldest_cut_locked(c, index);
    wait_locked(c, k, true);
    mutex_unlock(&c->lock);
    return &k->conn;
}

void conn_close(struct http_conn *conn)
{
    struct tracked *k = (struct tracked *)conn;
    struct conns *c = k->of;

    mutex_lock(&c->lock);
    wait_locked(c, k, false);
    fly_locked(c, k, false);
    c->open[k->conn.listener]--;
    mutex_unlock(&c->lock);
    free(k);
}

/* ---- deadlines ---- */

static void overdue_cut(const struct tracked *k, uint64_t now_ns)
{
    if (k->deadline_ns != 0 && k->deadline_ns <= now_ns)
        IGNORE(shutdown(k->fd, SHUT_RDWR), "it may be gone already");
}

static void *sweeper_run(void *arg)
{
    struct conns *c = arg;
    unsigned sweep_ms = MIN(c->limits.head_ms / 4 + 1, (unsigned)SWEEP_MS);
    const struct tracked *k;

    pthread_setname_np(pthread_self(), "api-sweeper");
    mutex_lock(&c->lock);
    while (!c->stopping) {
        uint64_t until = sys->now_ns() + sweep_ms * UINT64_C(1000000);
        struct timespec at = { .tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000) };
        pthread_cond_timedwait(&c->wake, &c->lock.m, &at);
        uint64_t now = sys->now_ns();
        TAILQ_FOREACH(k, &c->waiting, waiting)
        overdue_cut(k, now);
        TAILQ_FOREACH(k, &c->flight, flight)
        overdue_cut(k, now);
    }
    mutex_unlock(&c->lock);
    return NULL;
}

int conns_new(const struct http_limits *limits, struct conns **ret)
{
    struct conns *c = calloc(1, sizeof(*c));
    pthread_condattr_t attr;

    if (c == NULL)
        return -ENOMEM;
    c->limits = *limits;
    TAILQ_INIT(&c->waiting);
    TAILQ_INIT(&c->flight);
    mutex_init(&c->lock, RANK_CONNECTIONS);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    int r = -pthread_create(&c->sweeper, NULL, sweeper_run, c);
    c->has_sweeper = r == 0;
    if (r < 0)
        conns_free(c);
    else
        *ret = c;
    return r;
}

void conns_free(struct conns *c)
{
    if (c == NULL)
        return;
    mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_broadcast(&c->wake);
    mutex_unlock(&c->lock);
    if (c->has_sweeper)
        pthread_join(c->sweeper, NULL);
    pthread_cond_destroy(&c->wake);
    mutex_done(&c->lock);
    free(c);
}
