/* One HTTP request and its reply, as the dispatcher and the handlers see it: no libmicrohttpd in sight.
 *
 * Lifetime: the transport makes it when the request line is there and frees it when the reply has left. While a worker
 *           has it, nobody else touches it.
 * Limits:   the body is at most BODY_MAX bytes; a target has at most SEGMENTS_MAX segments, each decoded once. */
#pragma once

#include "base/json.h"

enum {
    BODY_MAX = 1 << 20,    /* contract/rest.md §1.0; of a dump data_provider.max_restore_size */
    REPLY_MAX = 256 << 20, /* 500 users of the largest size */
    HEADERS_MAX = 32 << 10,
    SEGMENTS_MAX = 8,
    PARAMS_MAX = 1, /* no route has more */
    REQUEST_ID_LEN = 20,
};

struct apid;
struct api_key;
struct http_conn;
struct principal;
struct route;

struct segments {
    char *text; /* owned: all segments, each ended by NUL */
    const char *v[SEGMENTS_MAX];
    size_t n;
};

struct reply {
    int status; /* 0: not decided yet */
    struct strbuf body;
    const char *content_type;
    char allow[64];         /* 405: the methods that exist */
    struct strbuf headers;  /* of reply_header() */
    const char *attachment; /* name of the file that a browser would save; NULL: none */
    bool challenge;         /* WWW-Authenticate: Basic */
    bool close;             /* Connection: close */
    unsigned retry_after_s; /* 0: none */
    int64_t retry_in_ms;    /* the same, exactly; 0: none */
};

struct http_request {
    struct apid *apid;
    struct http_conn *conn; /* borrowed: outlives the request */
    void *link;             /* the transport's own */
    char method[16];
    char *target; /* raw, as it came; owned */
    char *query;  /* into target's copy, raw; NULL if there is none; owned */
    struct segments path;
    char address[64];          /* of the client: the peer's, or what a trusted proxy says */
    char remote[80];           /* the same with the port, where there is one */
    const char *authorization; /* borrowed from the transport, like the next ones; NULL: none */
    const char *api_key_text, *passcode;
    const char *origin, *cors_method, *cors_headers; /* of CORS */
    unsigned authorizations;
    char *user_agent; /* owned */
    struct strbuf body;
    size_t body_max;
    uint64_t declared; /* the head's Content-Length */
    bool discard;      /* the reply is decided: the body is read and dropped */
    size_t dropped;    /* bytes of it */
    bool too_large;
    bool may_block; /* this thread is a worker */
    bool parked;    /* a worker has it, or had it */
    char id[REQUEST_ID_LEN + 1];
    uint64_t since_ns;
    const struct route *route; /* NULL until matched */
    const char *param;         /* of the path; borrowed from `path` */
    struct principal *who;     /* reference; NULL on public routes */
    struct api_key *api_key;   /* owned; NULL: it came with a token, or with nothing */
    bool key_unproved;         /* the secret of api_key is still to be checked, by a worker */
    struct why why;
    struct reply reply;
};

/* REPLIED - a handler's result: it has filled the reply itself. */
enum { REPLIED = 1 };

struct http_request *request_new(struct apid *a, struct http_conn *conn, const char *target);
void request_free(struct http_request *rq);

/* path_split - splits at '/', then decodes each segment once. One trailing slash is ignored. -EINVAL: a bad escape, a
 * control byte or NUL; -ENOENT: empty or too many segments; -ENOMEM. "/" has no segments. */
int path_split(const char *path, size_t len, struct segments *ret) MUST_CHECK;
void segments_done(struct segments *s);

/* query_value - a parameter's value, decoded; the first wins. *ret is owned; NULL and 0 if it is absent; -EINVAL for a
 * bad escape. */
int query_value(const char *query, const char *name, char **ret) MUST_CHECK;

/* query_int - an integer parameter; `otherwise` if it is absent. -EINVAL if it is no integer of [min, max]. */
int query_int(const char *query, const char *name, int64_t min, int64_t max, int64_t otherwise,
              int64_t *ret) MUST_CHECK;

/* percent_decode - in place over a NUL-terminated text; `plus`: '+' is a blank. -EINVAL: bad escape, or a control byte
 * comes out of it. */
int percent_decode(char *text, bool plus) MUST_CHECK;

/* xid_new - 20 characters of base32hex, unique among processes and in time. */
void xid_new(char ret_id[REQUEST_ID_LEN + 1]);
