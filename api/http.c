/* The life of a request in libmicrohttpd:
 *
 *   on_uri        the request line is there: the request is made, the head's deadline runs
 *   on_request    first call: guard, then `begin`, which may decide (401, 404, 413)
 *                 calls with data: the body grows up to its limit, or is dropped; a reply cannot be queued meanwhile
 *                 call without data: `serve`; a request that wants a worker is suspended first and parked then, since
 *                 the worker may be done before we return; resumed, it comes back here with its reply
 *   on_completed  the reply has left, or the peer has: log, count, free
 *
 * The library's own timeout counts from the last byte, so one byte a second holds a connection for good: conns.c cuts
 * off what is overdue. TLS is set up per session in on_connection(STARTED), before the handshake (tls.h). */
#include "api/http.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/client_address.h"
#include "api/conns.h"
#include "api/reply.h"
#include "api/tls.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"

enum { EVENT_THREADS = 2, USER_AGENT_MAX = 256 };

const struct http_limits http_limits_usual = { .head_ms = 30000, .body_ms = 30000, .reply_ms = 60000 };

struct binding {
    struct http *t;
    struct listener listener;
    unsigned index;
    struct MHD_Daemon *daemon;
};

struct http {
    struct http_options o;
    struct binding bindings[HTTP_LISTENERS_MAX];
    size_t n;
    struct conns *conns;
};

static void conn_opened(struct binding *b, struct MHD_Connection *mhd, void **socket_context)
{
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_conn *conn = fd != NULL ? conn_open(b->t->conns, &b->listener, b->index, fd->connect_fd) : NULL;

    *socket_context = conn; /* requests without a context are refused */
    if (conn == NULL || b->listener.tls == NULL)
        return;
    const union MHD_ConnectionInfo *session = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (session == NULL ||
        tls_begin(b->listener.tls, session->tls_session, b->listener.wants_client_certificate, &conn->tls) < 0)
        shutdown(fd->connect_fd, SHUT_RDWR); /* never with the library's own credentials */
}

static void conn_closed(struct http_conn *conn)
{
    struct tls_generation *tls = conn->tls;

    conn_close(conn);
    tls_generation_unref(tls);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_opened(arg, mhd, socket_context);
    else if (*socket_context != NULL)
        conn_closed(TAKE_PTR(*(struct http_conn **)socket_context));
}

static void *on_uri(void *arg, const char *target, struct MHD_Connection *mhd)
{
    struct binding *b = arg;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_conn *conn = info != NULL ? info->socket_context : NULL;

    if (conn == NULL)
        return NULL;
    conn_move(conn, CONN_HEAD);
    struct http_request *rq = request_new(b->t->o.apid, conn, target);
    if (rq == NULL)
        return NULL;
    rq->link = mhd;
    return rq;
}

static const struct {
    const char *name;
    size_t offset; /* of a const char * in the request: the last one counts */
} kept_headers[] = {
    { "Authorization", offsetof(struct http_request, authorization) },
    { "X-SFTPGO-API-KEY", offsetof(struct http_request, api_key_text) },
    { "X-SFTPGO-OTP", offsetof(struct http_request, passcode) },
    { "Origin", offsetof(struct http_request, origin) },
    { "Access-Control-Request-Method", offsetof(struct http_request, cors_method) },
    { "Access-Control-Request-Headers", offsetof(struct http_request, cors_headers) },
};

static const struct {
    const char *name;
    size_t offset; /* of a const char * in struct forwarded */
} forwarded_headers[] = {
    { "True-Client-IP", offsetof(struct forwarded, true_client_ip) },
    { "X-Real-IP", offsetof(struct forwarded, x_real_ip) },
    { "CF-Connecting-IP", offsetof(struct forwarded, cf_connecting_ip) },
};

static bool name_is(const char *name, size_t len, const char *wanted)
{
    return strlen(wanted) == len && strncasecmp(name, wanted, len) == 0;
}

struct head_walk {
    struct http_head head;
    struct http_request *rq;
    const struct proxies *proxies;
    struct forwarded forwarded;
};

static void forwarded_add(struct head_walk *w, const char *name, size_t name_len, const char *value)
{
    struct forwarded *f = &w->forwarded;

    if (name_is(name, name_len, "X-Forwarded-For")) {
        if (f->n < FORWARDED_MAX)
            f->chain[f->n] = value;
        f->n++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(forwarded_headers); i++)
        if (name_is(name, name_len, forwarded_headers[i].name))
            *(const char **)((char *)f + forwarded_headers[i].offset) = value;
    if (w->proxies->header != NULL && name_is(name, name_len, w->proxies->header))
        f->chosen = value;
}

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
    if (w->proxies != NULL)
        forwarded_add(w, name, name_len, value);
    return MHD_YES;
}

/* The peer, or whom a trusted proxy names; the port is the proxy's own business. */
static void request_client(struct http_request *rq, const struct head_walk *w)
{
    char text[ADDRESS_TEXT_MAX];

    str_set(rq->address, sizeof(rq->address), rq->conn->address);
    str_set(rq->remote, sizeof(rq->remote), rq->conn->remote);
    if (w->proxies != NULL && client_address(w->proxies, rq->conn->address, &w->forwarded, text)) {
        str_set(rq->address, sizeof(rq->address), text);
        str_set(rq->remote, sizeof(rq->remote), text);
    }
    conn_client(rq->conn, rq->address);
}

static void head_judge(struct http_request *rq, const char *version, const struct proxies *proxies)
{
    struct head_walk w = { .rq = rq, .proxies = proxies };

    w.head.old_version = strcmp(version, "HTTP/1.0") == 0;
    MHD_get_connection_values_n(rq->link, MHD_HEADER_KIND, on_header, &w);
    request_client(rq, &w);
    const char *complaint = http_guard(&w.head, rq->target);
    if (complaint == NULL && rq->query != NULL && strstr(rq->query, "%00") != NULL)
        complaint = "NUL in the request target";
    if (complaint != NULL) {
        reply_result(rq, 400, complaint, "Bad Request");
        rq->reply.close = true;
    }
    rq->declared = w.head.length;
}

static void reply_headers(struct MHD_Response *response, const struct http_request *rq)
{
    char retry[16], retry_in[32], disposition[96];
    const struct {
        const char *name, *value;
    } rows[] = {
        { "Content-Type", rq->reply.body.len > 0 ? rq->reply.content_type : NULL },
        { "Cache-Control", "no-store" },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Request-Id", rq->id },
        { "Allow", rq->reply.allow[0] != '\0' ? rq->reply.allow : NULL },
        { "WWW-Authenticate", rq->reply.challenge ? "Basic realm=\"SFTPGo\"" : NULL },
        { "Retry-After", rq->reply.retry_after_s > 0 ? retry : NULL },
        { "X-Retry-In", rq->reply.retry_in_ms > 0 ? retry_in : NULL },
        { "Connection", rq->reply.close ? "close" : NULL },
        { "Content-Disposition", rq->reply.attachment != NULL ? disposition : NULL },
    };

    snprintf(retry, sizeof(retry), "%u", rq->reply.retry_after_s);
    snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"",
             rq->reply.attachment ? rq->reply.attachment : "");
    snprintf(retry_in, sizeof(retry_in), "%" PRId64 "ms", rq->reply.retry_in_ms);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].value != NULL)
            IGNORE(MHD_add_response_header(response, rows[i].name, rows[i].value), "a reply without it is still one");
    const struct strbuf *more = &rq->reply.headers;
    for (const char *at = more->s; at != NULL && at < more->s + more->len;) { /* name, NUL, value, NUL */
        const char *value = at + strlen(at) + 1;
        IGNORE(MHD_add_response_header(response, at, value), "likewise");
        at = value + strlen(value) + 1;
    }
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
    conn_move(rq->conn, CONN_REPLY);
    enum MHD_Result r = MHD_queue_response(rq->link, (unsigned)y->status, response);
    MHD_destroy_response(response); /* the text lives in the request, which outlives the reply */
    return r;
}

static enum MHD_Result request_begin(const struct binding *b, struct http_request *rq, const char *method,
                                     const char *version)
{
    if (!str_set(rq->method, sizeof(rq->method), method)) {
        reply_result(rq, 400, "unknown method", "Bad Request");
        rq->reply.close = true;
    }
    head_judge(rq, version, b->listener.proxies);
    if (rq->reply.status != 0)
        return reply_queue(rq);
    conn_move(rq->conn, CONN_BODY);
    b->t->o.begin(rq);
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

    conn_move(rq->conn, CONN_WORK);
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
        return request_begin(b, rq, method, version);
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
    struct http_request *rq = *context;

    (void)arg;
    (void)mhd;
    (void)code;
    *context = NULL;
    if (rq == NULL)
        return;
    if (rq->reply.status != 0)
        request_log(rq);
    conn_move(rq->conn, CONN_HEAD); /* for the next one */
    request_free(rq);
}

void http_resume(struct http_request *rq)
{
    MHD_resume_connection(rq->link);
}

unsigned http_in_flight(struct http *t, const char *address)
{
    return conns_in_flight(t->conns, address);
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

/* The library wants a certificate at its start; on_connection(STARTED) gives each session ours. */
static size_t tls_options(const struct listener *l, const char *certificate, const char *key, struct MHD_OptionItem *to)
{
    if (l->tls == NULL)
        return 0;
    to[0] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)certificate };
    to[1] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key };
    to[2] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)l->priorities };
    return 3;
}

static struct MHD_Daemon *daemon_start(struct binding *b, int fd, const struct MHD_OptionItem *more)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    return MHD_start_daemon(b->listener.tls != NULL ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, on_request, b,
                            MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_THREAD_POOL_SIZE, (unsigned)EVENT_THREADS, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,
                            MHD_OPTION_URI_LOG_CALLBACK, on_uri, b, MHD_OPTION_NOTIFY_CONNECTION, on_connection, b,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, b, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static int binding_start(struct http *t, const struct listener *l, unsigned index)
{
    struct binding *b = &t->bindings[index];
    struct MHD_OptionItem more[4] = { { MHD_OPTION_END, 0, NULL } };
    const char *certificate = NULL, *key = NULL;
    struct tls_generation *g = NULL;
    int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 3);

    if (fd < 0)
        return -EMFILE;
    *b = (struct binding){ .t = t, .listener = *l, .index = index };
    if (l->tls != NULL)
        tls_pem(l->tls, &certificate, &key, &g);
    more[tls_options(l, certificate, key, more)] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    b->daemon = daemon_start(b, fd, more);
    tls_generation_unref(g);
    if (b->daemon == NULL) {
        close(fd);
        return -EIO;
    }
    t->n++;
    return 0;
}

int http_start(const struct http_options *o, struct http **ret)
{
    if (o->listeners_n > HTTP_LISTENERS_MAX)
        return -E2BIG;
    struct http *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->o = *o;
    int r = conns_new(&o->limits, &t->conns);
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
    conns_free(t->conns);
    free(t);
}
