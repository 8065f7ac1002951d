/* Routes: one row an operation of the API. The rows print their own documentation (--print-routes), and tests/contract
 * compares it with openapi.yaml in both directions. */
#pragma once

#include "api/auth.h"
#include "api/request.h"
#include "base/field.h"
#include "store/entities.h"

/* On which listeners, and with which prefix. */
enum route_at {
    AT_API,       /* /api/v2… on the API's bindings and the administrators' socket */
    AT_ROOT,      /* everywhere, without a prefix */
    AT_TELEMETRY, /* on the metrics binding, without a prefix */
};

/* How a handler runs. */
enum route_runs {
    RUNS_INLINE, /* on the event thread: reads of microseconds */
    RUNS_TRY,    /* inline; -EWOULDBLOCK sends it to a worker that hashes passwords */
    RUNS_WORKER, /* on a worker: writes and questions */
};

/* Which failures a row has beyond 401 and 403, which follow from its permission: documentation, compared with the
 * schema. */
enum {
    FAILS_400 = 1 << 0,
    FAILS_404 = 1 << 1,
    FAILS_409 = 1 << 2,
    FAILS_413 = 1 << 3,
    FAILS_503 = 1 << 4,
    FAILS_403 = 1 << 5, /* for another reason than a missing permission */
    FAILS_401 = 1 << 6, /* on a public route */
    FAILS_501 = 1 << 7, /* it is not part of Tally */
};

/* A handler fills `out` with the reply's body. `in` is the parsed body (NULL without .in). 0, a negative errno for
 * base/problem.h, or REPLIED. */
typedef int route_fn(struct http_request *rq, void *in, struct strbuf *out);

/* A loader fills a zeroed object that the body is then merged over. */
typedef int route_load_fn(struct http_request *rq, void *obj);

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in the order in which a person reads a row */
struct route {
    const char *method, *path, *operation; /* as in openapi.yaml */
    uint32_t perm;                         /* all of these; 0 admits nobody, open rows say ADM_PUBLIC */
    const struct schema *in, *out;
    enum schema_use use; /* of `in` */
    route_load_fn *load; /* with USE_MERGE */
    int status;          /* on success */
    const char *said;    /* the "message" of a success without a body */
    enum route_runs runs;
    uint32_t fails;
    const char *query; /* names of query parameters, separated by blanks */
    route_fn *handle;
    const char *denied_by; /* with ADM_USER: an option of web_client that forbids it */
    enum route_at at;
    bool is_list; /* the reply is a list of `out`, or of texts */
    bool in_list; /* the body is a list: the first member of `in` */
    bool no_key;  /* not with an API key */
    bool deprecated, x_tally;
    bool is_dump; /* the body is a dump: larger, and read by the handler itself (`in` only documents it) */
};

/* route_holder - whose tokens and keys it takes. */
enum holder route_holder(const struct route *row);

extern const struct route routes[];
extern const size_t routes_n;

/* route_match - the row for a request. 0; -ENOENT: no such path here; -ENOTSUP: the path has other methods, which are
 * in `allow` ("DELETE, GET, HEAD"). *ret_param is the path's parameter, borrowed from `path`. */
int route_match(bool telemetry, const char *method, const struct segments *path, const struct route **ret,
                const char **ret_param, char *allow, size_t allow_room) MUST_CHECK;

/* route_fits - does a template fit the segments from `first` on? */
bool route_fits(const char *template, const struct segments *path, size_t first, const char **ret_param);
