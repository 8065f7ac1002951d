/* CORS: which pages of other origins may call the API from a browser (contract/rest.md §3.6). Off unless configured.
 *
 * Threads: any. Source: Fetch Standard §3.2 (CORS protocol). */
#pragma once

#include "api/request.h"
#include "base/config.h"

/* cors_apply - adds the headers of the reply; true: it was a preflight, and the reply is decided. */
bool cors_apply(const struct cors_config *c, struct http_request *rq);
