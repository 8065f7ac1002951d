/* From a request to its reply: route, gate, token, permission, body, handler, rendering. No handler repeats any of it.
 *
 * Threads: begin and serve on event threads; park hands the rest to a worker. */
#pragma once

#include "api/http.h"

void dispatch_begin(struct http_request *rq);
enum served dispatch_serve(struct http_request *rq);
int dispatch_park(struct http_request *rq) MUST_CHECK;

/* key_begin - X-SFTPGO-API-KEY: finds the key. 0: rq->who is its account, or rq->key_unproved and a worker must call
 * key_prove(); or REPLIED. key_prove - 0: rq->who is its account; or REPLIED. Blocks. */
int key_begin(struct http_request *rq) MUST_CHECK;
int key_prove(struct http_request *rq) MUST_CHECK;
