/* Version, status and health; metrics; and what several handlers share.
 *
 * Status asks the other roles and gives each a second: one that does not answer is shown as not active, which is what
 * the caller wants to know. */
#include <string.h>

#include "api/handlers.h"
#include "api/openapi.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/log.h"
#include "base/metric.h"

#ifndef TALLY_COMMIT
#define TALLY_COMMIT ""
#endif
#ifndef TALLY_BUILD_DATE
#define TALLY_BUILD_DATE ""
#endif

enum { STATUS_ASK_MS = 1000, STATUS_MAX = 256 << 10 };

int said_why(struct http_request *rq, int r)
{
    return r == -EINVAL ? reply_invalid(rq) : r;
}

void tell_changed(struct apid *a, const char *event, const char *key, const char *name, int64_t id, bool removed,
                  bool disconnect)
{
    struct json_object *args = control_args(key, 's', name, "id", 'i', id, "removed", 'i', (int64_t)removed,
                                            "disconnect", 'i', (int64_t)disconnect, NULL);

    int r = args != NULL ? control_tell(a->control, "all", event, args) : -ENOMEM;
    if (r < 0)
        IGNORE(log_fail(r, "cannot tell the other services %s of %s", event, name), "the change is stored");
}

int ask_failed(struct http_request *rq, const char *who, int r)
{
    if (r != -ENOTCONN && r != -ETIMEDOUT && r != -EPIPE && r != -EAGAIN)
        return r;
    IGNORE(log_fail(r, "cannot ask %s", who), "it returns r");
    reply_refuse(rq, 503, SAYS_ERROR, "%s is being restarted or does not answer, try again", who);
    rq->reply.retry_after_s = 1;
    return REPLIED;
}

int on_version_get(struct http_request *rq, void *in, struct strbuf *out)
{
    char *features[] = { (char *)"+metrics", (char *)"+sqlite" };
    const struct version_shape shape = {
        .version = (char *)TALLY_VERSION,
        .build_date = (char *)TALLY_BUILD_DATE,
        .commit_hash = (char *)TALLY_COMMIT,
        .features = { .v = features, .n = ARRAY_SIZE(features) },
    };

    (void)rq;
    (void)in;
    reply_object(out, &version_schema, &shape);
    return 0;
}

/* The answer of a role to "status", or NULL. Owned. */
static struct json_object *role_status(struct apid *a, const char *role)
{
    struct json_object *answer = NULL;

    if (control_ask(a->control, role, "status", NULL, STATUS_ASK_MS, &answer) == 0)
        return answer != NULL ? answer : json_object_new_object();
    json_object_put(answer);
    return NULL;
}

static void member_copy(struct json_out *j, struct json_object *from, const char *name)
{
    struct json_object *value = json_member(from, name);

    json_name(j, name);
    if (value == NULL) {
        json_null(j);
        return;
    }
    const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    json_raw(j, text, strlen(text));
}

static void ssh_status(struct apid *a, struct json_out *j)
{
    CLEANUP(json_put_p) struct json_object *answer = role_status(a, "sftp");

    json_name_bool(j, "is_active", answer != NULL);
    member_copy(j, answer, "bindings");
    member_copy(j, answer, "ssh_commands");
    member_copy(j, answer, "host_keys");
}

static void ftp_status(struct apid *a, struct json_out *j)
{
    (void)a;
    json_name_bool(j, "is_active", false);
    json_name(j, "bindings");
    json_null(j);
    json_name(j, "passive_port_range");
    json_raw(j, "{\"start\":0,\"end\":0}", strlen("{\"start\":0,\"end\":0}"));
}

static void webdav_status(struct apid *a, struct json_out *j)
{
    (void)a;
    json_name_bool(j, "is_active", false);
    json_name(j, "bindings");
    json_null(j);
}

static void provider_status(struct apid *a, struct json_out *j)
{
    int r = store_ping(a->store);

    json_name_str(j, "driver", "sqlite");
    json_name_bool(j, "is_active", r == 0);
    json_name_str(j, "error", r == 0 ? "" : error_text(r));
}

static void defender_status(struct apid *a, struct json_out *j)
{
    json_name_bool(j, "is_active", a->guards != NULL && defender_is_on(&a->guards->defender));
}

static void mfa_status(struct apid *a, struct json_out *j)
{
    CLEANUP(strbuf_done) struct strbuf configs = STRBUF(STATUS_MAX);

    totp_configs_write(a->config, &configs);
    json_name_bool(j, "is_active", a->config->mfa.totp.n > 0);
    json_name(j, "totp_configs");
    json_raw(j, configs.s != NULL ? configs.s : "null", configs.s != NULL ? configs.len : strlen("null"));
}

static void vfs_status(struct apid *a, struct json_out *j)
{
    CLEANUP(json_put_p) struct json_object *answer = role_status(a, "vfs");
    uint64_t states[DOMAIN_COUNTING + 1];

    live_states(a->live, states);
    json_name_bool(j, "is_active", answer != NULL);
    member_copy(j, answer, "mount");
    member_copy(j, answer, "passthrough");
    member_copy(j, answer, "libfuse");
    member_copy(j, answer, "watcher");
    json_name(j, "domains");
    json_begin(j, '{');
    for (unsigned s = DOMAIN_CLEAN; s <= DOMAIN_COUNTING; s++)
        json_name_int(j, domain_state_name((enum domain_state)s), (int64_t)states[s]);
    json_end(j, '}');
}

static const struct status_part {
    size_t offset; /* in status_shape */
    void (*write)(struct apid *a, struct json_out *j);
} status_parts[] = {
    { offsetof(struct status_shape, ssh), ssh_status },
    { offsetof(struct status_shape, ftp), ftp_status },
    { offsetof(struct status_shape, webdav), webdav_status },
    { offsetof(struct status_shape, data_provider), provider_status },
    { offsetof(struct status_shape, defender), defender_status },
    { offsetof(struct status_shape, mfa), mfa_status },
    { offsetof(struct status_shape, vfs), vfs_status },
};

int on_status_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct status_shape shape = { 0 };
    char *texts[ARRAY_SIZE(status_parts)] = { NULL };
    int r = 0;

    (void)in;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(status_parts); i++) {
        struct strbuf text = STRBUF(STATUS_MAX);
        struct json_out j = { .to = &text, .first = true };
        json_begin(&j, '{');
        status_parts[i].write(rq->apid, &j);
        json_end(&j, '}');
        r = strbuf_take(&text, &texts[i]);
        *(const char **)((char *)&shape + status_parts[i].offset) = texts[i];
    }
    if (r == 0)
        reply_object(out, &status_schema, &shape);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        mem_free(&texts[i]);
    return r;
}

/* Retention and event search are no part of Tally: the paths exist so that a client is told why, by its row. */
int on_not_here(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    (void)out;
    return reply_result(rq, 501, rq->route->said, "Not Implemented");
}

/* A binding may be told not to serve it; the metrics binding never does. */
static bool openapi_is_here(const struct http_request *rq)
{
    const struct httpd_binding *b = rq->apid->bindings[rq->conn->listener];

    return rq->conn->kind != LISTEN_TELEMETRY && (b == NULL || b->render_openapi);
}

int on_openapi_get(struct http_request *rq, void *in, struct strbuf *out)
{
    size_t len;

    (void)in;
    if (!openapi_is_here(rq))
        return reply_refuse(rq, 404, SAYS_MESSAGE, "Not Found");
    const char *text = openapi_text(&len);
    strbuf_add(out, text, len);
    rq->reply.content_type = "application/yaml; charset=utf-8";
    return 0;
}

int on_openapi_page_get(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    if (!openapi_is_here(rq))
        return reply_refuse(rq, 404, SAYS_MESSAGE, "Not Found");
    openapi_page(out);
    rq->reply.content_type = "text/html; charset=utf-8";
    reply_header(rq, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    return 0;
}

int on_healthz_get(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    rq->reply.content_type = "text/plain; charset=utf-8";
    strbuf_adds(out, "ok");
    return 0;
}

int on_metrics_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    uint64_t states[DOMAIN_COUNTING + 1];

    (void)in;
    live_states(a->live, states);
    for (unsigned s = DOMAIN_CLEAN; s <= DOMAIN_COUNTING; s++)
        metric_set(M_LEDGER_DOMAINS, s, (int64_t)states[s]);
    metric_set(M_PROVIDER_AVAILABLE, 0, store_ping(a->store) == 0);
    metric_set(M_ACTIVE_CONNECTIONS, 0, a->connections->v != NULL ? connections_count(a->connections, 0) : 0);
    rq->reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_print(out);
    return 0;
}
