/* The life of a request in libmicrohttpd:
 *
 *   on_uri        the request line is there: the request is made, the head's deadline runs
 *   on_request    first call: guard, then `begin`, which may decide (401, 404, 413)
 *                 calls with data: the body grows up to its limit, or is dropped; a reply cannot be queued meanwhile
 *                 call without data: `serve`; a request that wants a worker is suspended first and parked then, since
 *                 the worker may be done before we return; resumed, it comes back here with its reply
 *   on_completed  the reply has left, or the peer has: log, count, free
 *
 * The library's own timeout counts from the last byte, so one byte a second holds a connection for good. So a sweeper
 * looks every second at each connection's deadline and shuts its socket down; the event loop then sees the end and
 * cleans up as usual. The list's lock makes sure that the descriptor is still that connection's: on_connection(CLOSED)
 * takes it off the list before the library closes it. */
#include "api/http.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/reply.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"

enum { EVENT_THREADS = 2, LISTENERS_MAX = 16, SWEEP_MS = 1000, USER_AGENT_MAX = 256 };

const struct http_limits http_limits_usual = { .head_ms = 30000, .body_ms = 30000, .reply_ms = 60000 };

struct binding {
    struct http *t;
    struct listener listener;
    unsigned index;
    struct MHD_Daemon *daemon;
};

struct tracked {
    struct http_conn conn; /* first member */
    struct http *t;
    struct tracked *next, *prev; /* t->lock */
    int fd;
    uint64_t deadline_ns; /* t->lock; 0: none, a worker is at it */
    bool in_flight;       /* t->lock */
};

struct http {
    struct http_options o;
    struct binding bindings[LISTENERS_MAX];
    size_t n;
    struct mutex lock;
    pthread_cond_t wake;  /* stopping */
    struct tracked *list; /* lock */
    bool stopping;        /* lock */
    bool has_sweeper;
    pthread_t sweeper;
};

static void deadline_set(struct http_conn *conn, unsigned ms, bool in_flight)
{
    struct tracked *k = (struct tracked *)conn;
    uint64_t at = ms > 0 ? sys->now_ns() + ms * UINT64_C(1000000) : 0;

    mutex_lock(&k->t->lock);
    k->deadline_ns = at;
    k->in_flight = in_flight;
    mutex_unlock(&k->t->lock);
}

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

static void conn_opened(struct binding *b, struct MHD_Connection *mhd, void **socket_context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct tracked *k = calloc(1, sizeof(*k));

    *socket_context = k;
    if (k == NULL || info == NULL)
        return; /* requests without a context are refused */
    k->t = b->t;
    k->fd = info->connect_fd;
    k->conn.kind = b->listener.kind;
    k->conn.listener = b->index;
    k->conn.is_trusted = b->listener.kind == LISTEN_ADMIN && peer_is_trusted(k->fd);
    conn_name(&k->conn, k->fd);
    k->deadline_ns = sys->now_ns() + b->t->o.limits.head_ms * UINT64_C(1000000);
    mutex_lock(&b->t->lock);
    k->next = b->t->list;
    if (k->next != NULL)
        k->next->prev = k;
    b->t->list = k;
    mutex_unlock(&b->t->lock);
}

static void conn_closed(struct tracked *k)
{
    if (k->t != NULL) {
        mutex_lock(&k->t->lock);
        if (k->prev != NULL)
            k->prev->next = k->next;
        else
            k->t->list = k->next;
        if (k->next != NULL)
            k->next->prev = k->prev;
        mutex_unlock(&k->t->lock);
    }
    free(k);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_opened(arg, mhd, socket_context);
    else if (*socket_context != NULL)
        conn_closed(TAKE_PTR(*(struct tracked **)socket_context));
}

static void *on_uri(void *arg, const char *target, struct MHD_Connection *mhd)
{
    struct binding *b = arg;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct tracked *k = info != NULL ? info->socket_context : NULL;

    if (k == NULL || k->t == NULL)
        return NULL;
    deadline_set(&k->conn, b->t->o.limits.head_ms, true);
    struct http_request *rq = request_new(b->t->o.apid, &k->conn, target);
    if (rq == NULL)
        return NULL;
    rq->link = mhd;
    str_set(rq->address, sizeof(rq->address), k->conn.address);
    str_set(rq->remote, sizeof(rq->remote), k->conn.remote);
    return rq;
}

static const struct {
    const char *name;
    size_t offset; /* of a const char * in the request: the last one counts */
} kept_headers[] = {
    { "Authorization", offsetof(struct http_request, authorization) },
    { "X-SFTPGO-API-KEY", offsetof(struct http_request, api_key_text) },
    { "X-SFTPGO-OTP", offsetof(struct http_request, passcode) },
};

static bool name_is(const char *name, size_t len, const char *wanted)
{
    return strlen(wanted) == len && strncasecmp(name, wanted, len) == 0;
}

struct head_walk {
    struct http_head head;
    struct http_request *rq;
};

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                 const char *value, size_t value_len)
{
    struct head_walk *w = arg;

    (void)kind;
    if (value == NULL)
        value = "";
    http_head_add(&w->head, name, name_len, value, value_len);
    if (name_is(name, name_len, "User-Agent") && w->rq->user_agent == NULL)
        w->rq->user_agent = strndup(value, USER_AGENT_MAX);
    w->rq->authorizations += name_is(name, name_len, "Authorization");
    for (size_t i = 0; i < ARRAY_SIZE(kept_headers); i++)
        if (name_is(name, name_len, kept_headers[i].name))
            *(const char **)((char *)w->rq + kept_headers[i].offset) = value;
    return MHD_YES;
}

static void head_judge(struct http_request *rq, const char *version)
{
    struct head_walk w = { .rq = rq };

    w.head.old_version = strcmp(version, "HTTP/1.0") == 0;
    MHD_get_connection_values_n(rq->link, MHD_HEADER_KIND, on_header, &w);
    const char *complaint = http_guard(&w.head, rq->target);
    if (complaint == NULL && rq->query != NULL && strstr(rq->query, "%00") != NULL)
        complaint = "NUL in the request target";
    if (complaint != NULL) {
        reply_result(rq, 400, complaint, "Bad Request");
        rq->reply.close = true;
    }
    rq->declared = w.head.length;
}

struct reply_header {
    const char *name, *value;
};

static void reply_headers(struct MHD_Response *response, const struct http_request *rq)
{
    char retry[16], disposition[96];
    const struct reply_header rows[] = {
        { "Content-Type", rq->reply.body.len > 0 ? rq->reply.content_type : NULL },
        { "Cache-Control", "no-store" },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Request-Id", rq->id },
        { "Allow", rq->reply.allow[0] != '\0' ? rq->reply.allow : NULL },
        { "WWW-Authenticate", rq->reply.challenge ? "Basic realm=\"SFTPGo\"" : NULL },
        { "Location", rq->reply.location[0] != '\0' ? rq->reply.location : NULL },
        { "X-Object-ID", rq->reply.object_id[0] != '\0' ? rq->reply.object_id : NULL },
        { "Retry-After", rq->reply.retry_after_s > 0 ? retry : NULL },
        { "Connection", rq->reply.close ? "close" : NULL },
        { "Content-Disposition", rq->reply.attachment != NULL ? disposition : NULL },
    };

    snprintf(retry, sizeof(retry), "%u", rq->reply.retry_after_s);
    snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"",
             rq->reply.attachment ? rq->reply.attachment : "");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].value != NULL)
            IGNORE(MHD_add_response_header(response, rows[i].name, rows[i].value), "a reply without it is still one");
}

static enum MHD_Result reply_queue(struct http_request *rq)
{
    struct reply *y = &rq->reply;

    if (strbuf_ok(&y->body) < 0)
        reply_result(rq, 500, "the reply is too large", "Internal Server Error");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(y->body.len, y->body.len > 0 ? y->body.s : (void *)"", MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    reply_headers(response, rq);
    deadline_set(rq->conn, ((struct tracked *)rq->conn)->t->o.limits.reply_ms, true);
    enum MHD_Result r = MHD_queue_response(rq->link, (unsigned)y->status, response);
    MHD_destroy_response(response); /* the text lives in the request, which outlives the reply */
    return r;
}

static enum MHD_Result request_begin(struct http *t, struct http_request *rq, const char *method, const char *version)
{
    if (!str_set(rq->method, sizeof(rq->method), method)) {
        reply_result(rq, 400, "unknown method", "Bad Request");
        rq->reply.close = true;
    }
    if (rq->reply.status == 0)
        head_judge(rq, version);
    if (rq->reply.status != 0)
        return reply_queue(rq);
    t->o.begin(rq);
    bool too_large = rq->declared > rq->body_max;
    if (too_large)
        reply_result(rq, 413, "request body too large", "Request Entity Too Large");
    /* A reply before a body that nobody reads ends the connection, and a client that is still sending may not see it.
     * So what is near the limit of a dump is read to its end. */
    if (rq->reply.status != 0 && (rq->declared > HTTP_DISCARD_MAX || (too_large && rq->body_max == BODY_MAX))) {
        rq->reply.close = true;
        return reply_queue(rq);
    }
    rq->discard = rq->reply.status != 0;
    rq->body.max = rq->body_max;
    deadline_set(rq->conn, t->o.limits.body_ms, true);
    return MHD_YES;
}

static enum MHD_Result request_body(struct http_request *rq, const char *data, size_t *len)
{
    size_t n = *len;

    *len = 0;
    if (!rq->discard && rq->body.len + n > rq->body_max) {
        rq->discard = rq->too_large = true;
        rq->dropped = rq->body.len;
        strbuf_done(&rq->body);
    }
    if (rq->discard) {
        rq->dropped += n;
        return rq->dropped <= HTTP_DISCARD_MAX ? MHD_YES : MHD_NO;
    }
    strbuf_add(&rq->body, data, n);
    return strbuf_ok(&rq->body) == 0 ? MHD_YES : MHD_NO;
}

static enum MHD_Result request_serve(struct http *t, struct http_request *rq)
{
    if (rq->too_large && rq->reply.status == 0)
        reply_result(rq, 413, "request body too large", "Request Entity Too Large");
    if (rq->reply.status != 0 || t->o.serve(rq) == SERVED)
        return reply_queue(rq);

    deadline_set(rq->conn, 0, true);
    rq->parked = true;
    MHD_suspend_connection(rq->link);
    int r = t->o.park(rq);
    if (r < 0) {
        reply_problem(rq, r == -ESHUTDOWN ? -EAGAIN : r);
        MHD_resume_connection(rq->link);
    }
    return MHD_YES;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are the library's */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *data, size_t *len, void **context)
{
    struct binding *b = arg;
    struct http_request *rq = *context;

    (void)mhd;
    (void)url;
    if (rq == NULL)
        return MHD_NO; /* no memory when it began */
    if (rq->method[0] == '\0')
        return request_begin(b->t, rq, method, version);
    if (*len > 0)
        return request_body(rq, data, len);
    return request_serve(b->t, rq);
}

static const struct {
    int below;
    enum metric_id metric;
} status_metrics[] = { { 400, M_HTTP_OK }, { 500, M_HTTP_CLIENT_ERRORS }, { 1000, M_HTTP_SERVER_ERRORS } };

static void request_log(const struct http_request *rq)
{
    const struct log_field fields[] = {
        { .name = "local_addr", .text = rq->conn->local },
        { .name = "remote_addr", .text = rq->remote },
        { .name = "proto", .text = "HTTP/1.1" },
        { .name = "method", .text = rq->method },
        { .name = "user_agent", .text = rq->user_agent != NULL ? rq->user_agent : "" },
        { .name = "uri", .text = rq->target },
        { .name = "resp_status", .number = rq->reply.status },
        { .name = "resp_size", .number = (int64_t)rq->reply.body.len },
        { .name = "elapsed_ms", .number = (int64_t)((sys->now_ns() - rq->since_ns) / 1000000) },
        { .name = "request_id", .text = rq->id },
        { .name = NULL },
    };

    log_fields(LOG_INFO, "httpd", fields, NULL);
    metric_add(M_HTTP_REQUESTS, 0, 1);
    for (size_t i = 0; i < ARRAY_SIZE(status_metrics); i++) {
        if (rq->reply.status < status_metrics[i].below) {
            metric_add(status_metrics[i].metric, 0, 1);
            break;
        }
    }
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
    struct binding *b = arg;
    struct http_request *rq = *context;

    (void)mhd;
    (void)code;
    *context = NULL;
    if (rq == NULL)
        return;
    if (rq->reply.status != 0)
        request_log(rq);
    deadline_set(rq->conn, b->t->o.limits.head_ms, false); /* for the next one */
    request_free(rq);
}

void http_resume(struct http_request *rq)
{
    MHD_resume_connection(rq->link);
}

unsigned http_in_flight(struct http *t, const char *address)
{
    unsigned n = 0;

    mutex_lock(&t->lock);
    for (const struct tracked *k = t->list; k != NULL; k = k->next)
        n += k->in_flight && (address == NULL || strcmp(k->conn.address, address) == 0);
    mutex_unlock(&t->lock);
    return n;
}

static void *sweeper_run(void *arg)
{
    struct http *t = arg;
    unsigned sweep_ms = MIN(t->o.limits.head_ms / 4 + 1, (unsigned)SWEEP_MS);

    pthread_setname_np(pthread_self(), "api-sweeper");
    mutex_lock(&t->lock);
    while (!t->stopping) {
        uint64_t until = sys->now_ns() + sweep_ms * UINT64_C(1000000);
        struct timespec at = { .tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000) };
        pthread_cond_timedwait(&t->wake, &t->lock.m, &at);
        uint64_t now = sys->now_ns();
        for (struct tracked *k = t->list; k != NULL; k = k->next)
            if (k->deadline_ns != 0 && k->deadline_ns <= now)
                IGNORE(shutdown(k->fd, SHUT_RDWR), "it may be gone already");
    }
    mutex_unlock(&t->lock);
    return NULL;
}

static void on_library_log(void *arg, const char *fmt, va_list args)
{
    char text[512];

    (void)arg;
    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("microhttpd: %s", text);
}

/* Nothing is decoded by the library: a target is split first. */
static size_t on_unescape(void *arg, struct MHD_Connection *mhd, char *s)
{
    (void)arg;
    (void)mhd;
    return strlen(s);
}

static int binding_start(struct http *t, const struct listener *l, unsigned index)
{
    struct binding *b = &t->bindings[index];
    int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 3);

    if (fd < 0)
        return -EMFILE;
    *b = (struct binding){ .t = t, .listener = *l, .index = index };
    b->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, b, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)EVENT_THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_URI_LOG_CALLBACK,
        on_uri, b, MHD_OPTION_NOTIFY_CONNECTION, on_connection, b, MHD_OPTION_NOTIFY_COMPLETED, on_completed, b,
        MHD_OPTION_END);
    if (b->daemon == NULL) {
        close(fd);
        return -EIO;
    }
    t->n++;
    return 0;
}

static int sweeper_start(struct http *t)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->wake, &attr);
    pthread_condattr_destroy(&attr);
    int r = -pthread_create(&t->sweeper, NULL, sweeper_run, t);
    t->has_sweeper = r == 0;
    return r;
}

int http_start(const struct http_options *o, struct http **ret)
{
    if (o->listeners_n > LISTENERS_MAX)
        return -E2BIG;
    struct http *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->o = *o;
    mutex_init(&t->lock, RANK_CONNECTIONS);
    int r = sweeper_start(t);
    for (unsigned i = 0; r == 0 && i < o->listeners_n; i++)
        r = binding_start(t, &o->listeners[i], i);
    if (r < 0) {
        http_stop(t);
        return r;
    }
    *ret = t;
    return 0;
}

void http_stop(struct http *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n; i++)
        MHD_stop_daemon(t->bindings[i].daemon);
    mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_broadcast(&t->wake);
    mutex_unlock(&t->lock);
    if (t->has_sweeper)
        pthread_join(t->sweeper, NULL);
    pthread_cond_destroy(&t->wake);
    mutex_done(&t->lock);
    free(t);
}
