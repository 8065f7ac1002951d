/* HTTP/1.1 in and out: libmicrohttpd behind a guard of our own, with absolute deadlines.
 *
 * Of the library only accepting, framing and the queue of replies are used. Authorization, cookies, queries, forms and
 * paths are never given to its parsers. What its versions let through (two lengths, two hosts, smuggled bodies, NUL in
 * a target) is refused by http_guard() before a handler sees it.
 *
 * Threads: two event threads a listener; `begin` and `serve` run on them and must not block. What must, is parked.
 * Source:  RFC 9112 §6; notes/http-db.md §A, with the table of raw requests. */
#pragma once

#include "api/request.h"

enum {
    HTTP_LISTENERS_MAX = 18,
    HTTP_CONNECTIONS_MAX = 1024, /* a listener */
    HTTP_MEMORY = 32 << 10,      /* a connection: the limit of its head */
    HTTP_DISCARD_MAX = 12 << 20, /* bytes of a refused body that are still read, so that the client sees the reply */
};

struct proxies;
struct tls;
struct tls_generation;

enum listener_kind { LISTEN_API, LISTEN_ADMIN, LISTEN_TELEMETRY };

struct listener {
    int fd; /* borrowed: a duplicate is used */
    enum listener_kind kind;
    const struct proxies *proxies; /* NULL: trusts none. Borrowed, like the next two */
    struct tls *tls;               /* NULL: plain HTTP */
    const char *priorities;        /* with .tls */
    bool wants_client_certificate;
};

/* Deadlines are absolute: a byte now and then does not move them. */
struct http_limits {
    unsigned head_ms;  /* from the first byte expected to the end of the head; of a connection at rest, too */
    unsigned body_ms;  /* of the body */
    unsigned reply_ms; /* of sending the reply */
};
extern const struct http_limits http_limits_usual;

enum served { SERVED, WANTS_WORKER };

struct http_options {
    const struct listener *listeners; /* copied */
    size_t listeners_n;
    struct http_limits limits;
    struct apid *apid;                             /* for the requests; not looked into */
    void (*begin)(struct http_request *rq);        /* the head is there; deciding the reply drops the body */
    enum served (*serve)(struct http_request *rq); /* the body is there */
    int (*park)(struct http_request *rq);          /* a worker takes it and calls http_resume(); or an errno */
};

/* One connection, as the rest of the room may see it. Constant once it is made, but for what conns.c keeps. */
struct http_conn {
    enum listener_kind kind;
    unsigned listener; /* index */
    char address[64];  /* of the peer, v4-mapped v6 normalised; "127.0.0.1" on a Unix socket */
    char remote[80];   /* address:port, or "unix" */
    char local[80];
    bool is_trusted;            /* the administrators' socket, and the peer is root or in the group tally */
    struct tls_generation *tls; /* reference; NULL: plain */
};

struct http;
int http_start(const struct http_options *o, struct http **ret) MUST_CHECK;
void http_stop(struct http *t); /* nothing may be parked any more */

void http_resume(struct http_request *rq);

/* http_in_flight - requests that are being answered now, of one address or (NULL) of all. */
unsigned http_in_flight(struct http *t, const char *address);

/* http_guard - the head's complaint, or NULL. Filled by the transport's walk over the headers. */
struct http_head {
    unsigned lengths, hosts, transfer_encodings;
    bool bad_transfer_encoding, bad_value, old_version;
    uint64_t length;
    bool bad_length;
};
const char *http_guard(const struct http_head *h, const char *target);
void http_head_add(struct http_head *h, const char *name, size_t name_len, const char *value, size_t value_len);

/* peer_is_trusted - root, or a member of the group tally, by the credentials of a Unix socket. */
bool peer_is_trusted(int fd);
