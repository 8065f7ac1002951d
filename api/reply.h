/* Replies: {"error":"…","message":"…"} and their statuses (contract/rest.md §1.0). */
#pragma once

#include "api/request.h"
#include "base/field.h"

/* Which member of the result object a text goes into. */
enum says { SAYS_ERROR, SAYS_MESSAGE };

/* reply_refuse - decides the reply: a status and one sentence. Returns REPLIED, for handlers to return. */
int reply_refuse(struct http_request *rq, int status, enum says where, const char *fmt, ...) PRINTF(4, 5);

/* reply_result - decides the reply: both members; `error` NULL is absent. Returns REPLIED. */
int reply_result(struct http_request *rq, int status, const char *error, const char *message);

/* reply_header - one more header of the reply. What does not fit is left out. */
void reply_header(struct http_request *rq, const char *name, const char *fmt, ...) PRINTF(3, 4);

/* reply_invalid - 400 with "Validation error: " and what rq->why says. Returns REPLIED. */
int reply_invalid(struct http_request *rq);

/* reply_problem - decides the reply by a handler's negative errno. */
void reply_problem(struct http_request *rq, int r);

/* reply_object - one object by its schema, appended to the body. */
void reply_object(struct strbuf *out, const struct schema *s, const void *obj);
