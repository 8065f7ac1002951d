/* What the api role holds while it runs. One struct, handed down; only apid.c makes and frees it. */
#pragma once

#include <stdatomic.h>

#include "api/apid.h"
#include "api/auth.h"
#include "api/client_address.h"
#include "api/gate.h"
#include "api/http.h"
#include "api/live.h"
#include "api/pool.h"
#include "api/tls.h"

struct apid {
    const struct config *config; /* borrowed, like the next three */
    struct store *store;
    struct control *control;
    struct connections *connections;
    struct guards *guards;
    struct auth *auth;
    struct live *live;
    struct gate *gate;
    struct pool *hashing;                                     /* what costs CPU */
    struct pool *waiting;                                     /* what waits: the store's commits, other roles */
    struct token_key *keys;                                   /* one a listener; owned */
    struct tls *tls;                                          /* NULL: no binding has it; owned */
    const struct httpd_binding *bindings[HTTP_LISTENERS_MAX]; /* of each listener; NULL: none. Borrowed */
    struct proxies proxies[HTTP_LISTENERS_MAX];               /* of each listener; owned */
    char *priorities[HTTP_LISTENERS_MAX];                     /* likewise */
    struct http *http;
    _Atomic bool stopping; /* what waits in the background ends */
};
