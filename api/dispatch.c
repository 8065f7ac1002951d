/* The order is fixed: what can be refused by the head alone is refused before the body is kept (so a stranger without a
 * token cannot make us hold a megabyte), the stored object is loaded before the body is parsed (an unknown user is 404
 * even with a broken body), and the handler sees only what passed all of that. */
#include "api/dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "api/cors.h"
#include "api/reply.h"
#include "api/route.h"
#include "api/state.h"
#include "base/log.h"
#include "base/problem.h"

static const struct {
    int status;
    const char *error, *message;
} token_texts[] = {
    [TOKEN_BAD] = { 401, "token is unauthorized", "Unauthorized" },
    [TOKEN_EXPIRED] = { 401, "token is expired", "Unauthorized" },
    [TOKEN_EARLY] = { 401, "token nbf validation failed", "Unauthorized" },
    [TOKEN_AUDIENCE] = { 401, NULL, "Your token audience is not valid" },
    [TOKEN_CLAIMS] = { 400, NULL, "Invalid token claims" },
    [TOKEN_REVOKED] = { 401, NULL, "Your token is no longer valid" },
    [TOKEN_FAILED] = { 500, "the token could not be checked", "Internal Server Error" },
};

static int request_bearer(struct http_request *rq, const struct authorization *h)
{
    const struct apid *a = rq->apid;

    if (h->scheme != SCHEME_BEARER || rq->authorizations > 1)
        return reply_result(rq, 401, "no token found", "Unauthorized");
    const struct auth_ask ask = { &a->keys[rq->conn->listener], route_holder(rq->route), h->token, rq->address };
    enum token_result t = auth_bearer(a->auth, &ask, &rq->who, NULL);
    if (t == TOKEN_OK)
        return 0;
    return reply_result(rq, token_texts[t].status, token_texts[t].error, token_texts[t].message);
}

/* On the administrators' socket nobody has to show anything, but may; users are asked everywhere. */
static int request_who(struct http_request *rq)
{
    struct authorization h;

    if (rq->api_key_text != NULL)
        return key_begin(rq);
    if (rq->conn->is_trusted && rq->authorization == NULL && route_holder(rq->route) == HOLDER_ADMIN) {
        rq->who = auth_local(rq->apid->auth);
        return 0;
    }
    authorization_parse(rq->authorization, &h);
    int r = request_bearer(rq, &h);
    authorization_done(&h);
    return r;
}

static int request_rights(struct http_request *rq)
{
    const struct route *row = rq->route;
    uint32_t wanted = row->perm & ADM_ALL;

    if (row->no_key && rq->api_key != NULL)
        return reply_refuse(rq, 403, SAYS_MESSAGE, "API key authentication is not allowed");
    if (row->perm & ADM_USER && (row->denied_by == NULL || !strings_has(&rq->who->permissions, row->denied_by)))
        return 0;
    if (row->perm & ADM_ANY || (wanted != 0 && (rq->who->perms & wanted) == wanted))
        return 0;
    return reply_refuse(rq, 403, SAYS_MESSAGE, "Forbidden");
}

static int request_permission(struct http_request *rq)
{
    if (rq->route->perm & ADM_PUBLIC)
        return 0;
    int r = request_who(rq);
    if (r != 0 || rq->key_unproved)
        return r;
    return request_rights(rq);
}

static int request_route(struct http_request *rq)
{
    int r = path_split(rq->target, strlen(rq->target), &rq->path);
    if (r == 0)
        r = route_match(rq->conn->kind == LISTEN_TELEMETRY, rq->method, &rq->path, &rq->route, &rq->param,
                        rq->reply.allow, sizeof(rq->reply.allow));
    if (r == 0)
        return 0;
    if (r == -ENOTSUP) { /* an empty body: the contract has none here */
        rq->reply.status = 405;
        return REPLIED;
    }
    rq->reply.allow[0] = '\0';
    if (r == -EINVAL)
        return reply_refuse(rq, 400, SAYS_MESSAGE, "Bad Request");
    if (r == -ENOENT)
        return reply_refuse(rq, 404, SAYS_MESSAGE, "Not Found");
    reply_problem(rq, r);
    return REPLIED;
}

static bool gate_is_full(const struct http_request *rq)
{
    const struct apid *a = rq->apid;
    uint32_t total = a->config->common.max_total_connections;
    uint32_t per_host = a->config->common.max_per_host_connections;

    if (rq->conn->kind != LISTEN_API)
        return false;
    if (total != 0 && http_in_flight(a->http, NULL) + gate_sessions(a->gate, NULL) > total)
        return true;
    const char *from = rq->address;
    bool is_full = per_host != 0 && http_in_flight(a->http, from) + gate_sessions(a->gate, from) > per_host;
    if (is_full)
        guards_note(a->guards, from, DEFENDER_LIMIT, "HTTP");
    return is_full;
}

/* Banned addresses, and those that come too often. */
static bool gate_is_shut(struct http_request *rq)
{
    static const char banned[] = "your IP address is banned";
    int64_t wait_ms = 0;

    if (rq->conn->kind != LISTEN_API || guards_refusal(rq->apid->guards, RATE_HTTP, rq->address, &wait_ms) == NULL)
        return false;
    if (wait_ms == 0) {
        reply_result(rq, 403, banned, banned);
        return true;
    }
    reply_result(rq, 429, NULL, "Too Many Requests");
    rq->reply.retry_after_s = (unsigned)MAX((wait_ms + 500) / 1000, 1);
    rq->reply.retry_in_ms = wait_ms;
    return true;
}

void dispatch_begin(struct http_request *rq)
{
    static const char full[] = "configured connections limit reached";

    if (gate_is_full(rq)) {
        reply_result(rq, 403, full, full);
        return;
    }
    if (gate_is_shut(rq))
        return;
    if (cors_apply(&rq->apid->config->httpd.cors, rq) || request_route(rq) != 0)
        return;
    if (rq->route->is_dump)
        rq->body_max = rq->apid->config->data_provider.max_restore_size;
    IGNORE(request_permission(rq), "a refusal is in the reply");
}

/* A list becomes the one member of an object, so that rows can say what is in it. */
static int list_wrap(const struct schema *s, struct json_object **body)
{
    struct json_object *outer = json_object_new_object();

    if (outer == NULL || json_object_object_add(outer, field_name(&s->fields[0]), *body) < 0) {
        json_object_put(outer);
        return -ENOMEM;
    }
    *body = outer;
    return 0;
}

static int body_parse(struct http_request *rq, void *obj)
{
    CLEANUP(json_put_p) struct json_object *body = NULL;

    int r = json_in(rq->body.s != NULL ? rq->body.s : "", rq->body.len, 0, &body, &rq->why);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "%s", rq->why.text[0] != '\0' ? rq->why.text : "invalid JSON");
    if (!json_object_is_type(body, rq->route->in_list ? json_type_array : json_type_object))
        return reply_refuse(rq, 400, SAYS_ERROR, "the body must be a JSON %s", rq->route->in_list ? "list" : "object");
    r = rq->route->in_list ? list_wrap(rq->route->in, &body) : 0;
    if (r == 0)
        r = schema_parse(rq->route->in, body, rq->route->use, obj, &rq->why);
    return r == -EINVAL ? reply_invalid(rq) : r;
}

static int body_read(struct http_request *rq, void *obj)
{
    const struct route *row = rq->route;

    int r = row->load != NULL ? row->load(rq, obj) : schema_init(row->in, obj);
    if (r == 0)
        r = body_parse(rq, obj);
    if (r != 0)
        return r;
    r = schema_check(row->in, obj, &rq->why);
    return r == -EINVAL ? reply_invalid(rq) : r;
}

static int run_with_body(struct http_request *rq, struct strbuf *out)
{
    void *obj = calloc(1, rq->route->in->size);
    if (obj == NULL)
        return -ENOMEM;
    int r = body_read(rq, obj);
    if (r == 0)
        r = rq->route->handle(rq, obj, out);
    schema_done(rq->route->in, obj);
    free(obj);
    return r;
}

static void reply_success(struct http_request *rq)
{
    const struct route *row = rq->route;

    if (row->said != NULL) {
        reply_result(rq, row->status, NULL, row->said);
        return;
    }
    rq->reply.status = row->status;
    if (rq->reply.content_type == NULL) {
        rq->reply.content_type = "application/json; charset=utf-8";
        strbuf_addc(&rq->reply.body, '\n');
    }
}

/* Runs the handler. -EWOULDBLOCK: nothing is decided, a worker must do it. */
static int request_run(struct http_request *rq)
{
    bool has_body = rq->route->in != NULL && !rq->route->is_dump;
    int r = has_body ? run_with_body(rq, &rq->reply.body) : rq->route->handle(rq, NULL, &rq->reply.body);

    if (r == -EWOULDBLOCK && !rq->may_block)
        return r;
    if (r == 0)
        reply_success(rq);
    else if (r != REPLIED)
        reply_problem(rq, r);
    return 0;
}

enum served dispatch_serve(struct http_request *rq)
{
    if (rq->parked)
        return SERVED;
    if (rq->key_unproved || rq->route->runs == RUNS_WORKER || request_run(rq) == -EWOULDBLOCK)
        return WANTS_WORKER;
    return SERVED;
}

static void request_work(void *arg)
{
    struct http_request *rq = arg;

    rq->may_block = true;
    if (!rq->key_unproved || (key_prove(rq) == 0 && request_rights(rq) == 0))
        IGNORE(request_run(rq), "it may block, so it decides");
    http_resume(rq);
}

int dispatch_park(struct http_request *rq)
{
    const struct apid *a = rq->apid;

    bool hashes = rq->key_unproved || rq->route->runs == RUNS_TRY;

    return pool_submit(hashes ? a->hashing : a->waiting, request_work, rq);
}
