/* Quota: usage, its correction, and scans. The ledger lives in the vfs role, so what changes something is a question to
 * it; what only looks reads the usage map.
 *
 * Users and folders differ in a row of `subjects`: everything else is one function for both. The deprecated forms name
 * the object in their body instead of in their path. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/log.h"

enum { SCANS_MAX = 1000 }; /* that are listed at once */

/* What a quota request is about. Owned: subject_done(). */
struct subject {
    int64_t id;
    char *name;
    int64_t quota_size, quota_files;
};

static void subject_done(struct subject *s)
{
    free(s->name);
}

static int user_subject(struct apid *a, const char *name, int64_t id, struct subject *ret)
{
    struct user u = { 0 };

    int r = name != NULL ? user_load(a->store, name, &u) : user_load_by_id(a->store, id, &u);
    if (r < 0)
        return r;
    *ret = (struct subject){ u.id, TAKE_PTR(u.username), u.quota_size, u.quota_files };
    user_done(&u);
    return 0;
}

static int folder_subject(struct apid *a, const char *name, int64_t id, struct subject *ret)
{
    struct folder f = { 0 };

    int r = name != NULL ? folder_load(a->store, name, &f) : folder_load_by_id(a->store, id, &f);
    if (r < 0)
        return r;
    *ret = (struct subject){ f.id, TAKE_PTR(f.name), 0, 0 };
    folder_done(&f);
    return 0;
}

static const struct subject_kind {
    enum domain_kind kind;
    const char *word; /* in control messages and in texts */
    const struct schema *scan, *usage;
    int (*load)(struct apid *a, const char *name, int64_t id, struct subject *ret); /* by name, or NULL and id */
} subjects[] = {
    { DOMAIN_USER, "user", &user_scan_schema, &user_usage_schema, user_subject },
    { DOMAIN_FOLDER, "folder", &folder_scan_schema, &folder_usage_schema, folder_subject },
};
#define OF_USER   (&subjects[0])
#define OF_FOLDER (&subjects[1])

/* The name is in the path, or in the body of the deprecated forms. */
static int subject_load(struct http_request *rq, const struct subject_kind *k, const struct usage_in *body,
                        struct subject *ret)
{
    const char *name = rq->param;

    if (name == NULL && body != NULL)
        name = k->kind == DOMAIN_USER ? body->username : body->name;
    return k->load(rq->apid, name != NULL ? name : "", 0, ret);
}

static int ask_vfs(struct apid *a, const char *question, struct json_object *args)
{
    if (args == NULL)
        return -ENOMEM;
    return control_ask(a->control, "vfs", question, args, CONTROL_ASK_MS, NULL);
}

static struct json_object *subject_args(const struct subject_kind *k, const struct subject *s)
{
    return control_args("kind", 's', k->word, "id", 'i', s->id, "name", 's', s->name, NULL);
}

static void scan_write(struct strbuf *out, const struct subject_kind *k, const char *name, const struct live_numbers *n)
{
    struct running_scan scan = {
        .name = (char *)name,
        .start_time = n->scan.start_ms,
        .dry_run = n->scan.dry_run,
        .files_seen = (int64_t)n->scan.files_seen,
        .bytes_seen = (int64_t)n->scan.bytes_seen,
        .files_expected = (int64_t)n->scan.files_expected,
    };

    if (out->len > 1)
        strbuf_addc(out, ',');
    reply_object(out, k->scan, &scan);
}

/* 0: quotas are tracked, else the answer is given. */
static int refuse_untracked(struct http_request *rq)
{
    if (rq->apid->config->data_provider.track_quota != 0)
        return 0;
    return reply_refuse(rq, 403, SAYS_MESSAGE, "Quota tracking is disabled!");
}

static int scans_list(struct http_request *rq, const struct subject_kind *k, struct strbuf *out)
{
    CLEANUP(mem_free) struct live_numbers *running = calloc(SCANS_MAX, sizeof(*running));
    struct subject s;

    int off = refuse_untracked(rq);
    if (off != 0)
        return off;
    if (running == NULL)
        return -ENOMEM;
    size_t n = live_scans(rq->apid->live, k->kind, running, SCANS_MAX);
    strbuf_addc(out, '[');
    for (size_t i = 0; i < n; i++) {
        int r = k->load(rq->apid, NULL, running[i].id, &s);
        if (r == -ENOENT) /* removed while it is scanned */
            continue;
        if (r < 0)
            return r;
        scan_write(out, k, s.name, &running[i]);
        subject_done(&s);
    }
    strbuf_addc(out, ']');
    return 0;
}

static int scan_start(struct http_request *rq, const struct subject_kind *k, const struct subject *s, bool dry_run)
{
    struct json_object *args = control_args("kind", 's', k->word, "id", 'i', s->id, "name", 's', s->name, "dry_run",
                                            'i', (int64_t)dry_run, NULL);

    int r = ask_vfs(rq->apid, "scan_start", args);
    if (r == -EALREADY)
        return reply_refuse(rq, 409, SAYS_MESSAGE, "Another scan is already in progress for %s \"%s\"", k->word,
                            s->name);
    return ask_failed(rq, "the file system service", r);
}

static int scan_post(struct http_request *rq, const struct subject_kind *k, const struct usage_in *body)
{
    struct subject s;
    int64_t dry_run;

    int off = refuse_untracked(rq);
    if (off != 0)
        return off;
    if (query_int(rq->query, "dry_run", 0, 1, 0, &dry_run) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid dry_run");
    int r = subject_load(rq, k, body, &s);
    if (r < 0)
        return r;
    r = scan_start(rq, k, &s, dry_run == 1);
    subject_done(&s);
    return r;
}

static int scan_delete(struct http_request *rq, const struct subject_kind *k)
{
    struct subject s;

    int r = refuse_untracked(rq);
    if (r == 0)
        r = subject_load(rq, k, NULL, &s);
    if (r != 0)
        return r;
    r = ask_vfs(rq->apid, "scan_cancel", subject_args(k, &s));
    if (r == -ENOENT)
        r = reply_refuse(rq, 404, SAYS_MESSAGE, "Not Found");
    subject_done(&s);
    return ask_failed(rq, "the file system service", r);
}

static int mode_of(struct http_request *rq, bool *ret_add)
{
    CLEANUP(mem_free) char *mode = NULL;

    int r = query_value(rq->query, "mode", &mode);
    if (r == -ENOMEM)
        return r;
    bool add = mode != NULL && strcmp(mode, "add") == 0;
    if (r < 0 || (mode != NULL && !add && strcmp(mode, "reset") != 0 && mode[0] != '\0'))
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid mode");
    *ret_add = add;
    return 0;
}

static int usage_set(struct http_request *rq, const struct subject_kind *k, const struct subject *s,
                     const struct usage_in *body, bool add)
{
    struct apid *a = rq->apid;
    uint32_t track = a->config->data_provider.track_quota;
    bool is_user = k->kind == DOMAIN_USER;

    if (is_user && add && track == 2 && s->quota_size == 0 && s->quota_files == 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "this user has no quota restrictions, only reset mode is supported");
    if (track == 0)
        return reply_refuse(
            rq, 403, SAYS_ERROR,
            "Method disabled error: please enable track_quota in your configuration to use this method");
    if (add && body->used_quota_size == 0 && body->used_quota_files == 0)
        return 0;
    struct json_object *args =
        control_args("kind", 's', k->word, "id", 'i', s->id, "name", 's', s->name, "add", 'i', (int64_t)add, "size",
                     'i', body->used_quota_size, "files", 'i', body->used_quota_files, NULL);
    int r = ask_vfs(a, "usage_set", args);
    if (r == -EALREADY)
        return reply_refuse(rq, 409, SAYS_MESSAGE, "A quota scan is in progress for this %s", k->word);
    return ask_failed(rq, "the file system service", r);
}

static int usage_put(struct http_request *rq, const struct subject_kind *k, const struct usage_in *body)
{
    struct subject s;
    bool add = false;

    if (body->used_quota_size < 0 || body->used_quota_files < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid used quota parameters, negative values are not allowed");
    int r = mode_of(rq, &add);
    if (r == 0)
        r = subject_load(rq, k, body, &s);
    if (r != 0)
        return r;
    r = usage_set(rq, k, &s, body, add);
    subject_done(&s);
    return r;
}

static const char *const scan_results[] = { "", "done", "cancelled", "failed" };

static int usage_get(struct http_request *rq, const struct subject_kind *k, struct strbuf *out)
{
    struct live_numbers n;
    struct subject s;

    int r = refuse_untracked(rq);
    if (r == 0)
        r = subject_load(rq, k, NULL, &s);
    if (r != 0)
        return r;
    live_read(rq->apid->live, k->kind, s.id, &n);
    bool failed = n.scan.result == SCAN_FAILED && n.scan.error != 0;
    const struct scan_report report = {
        .start_time = n.scan.start_ms,
        .end_time = n.scan.end_ms,
        .dry_run = n.scan.dry_run,
        .result = (char *)scan_results[MIN((size_t)n.scan.result, ARRAY_SIZE(scan_results) - 1)],
        .error = failed ? (char *)error_text(n.scan.error) : NULL,
        .files_seen = (int64_t)n.scan.files_seen,
        .bytes_seen = (int64_t)n.scan.bytes_seen,
        .drift_size = n.scan.drift_bytes,
        .drift_files = n.scan.drift_files,
    };
    const struct usage_shape shape = {
        .name = s.name,
        .used_quota_size = (int64_t)n.used_bytes,
        .used_quota_files = (int64_t)n.used_files,
        .reserved_size = (int64_t)n.held_bytes,
        .adjustment_size = n.adjust_bytes,
        .adjustment_files = n.adjust_files,
        .quota_size = s.quota_size,
        .quota_files = s.quota_files,
        .state = (char *)domain_state_name(n.state),
        .last_quota_update = n.changed_ms,
        .last_scan = n.scan.end_ms != 0 && n.scan.result != SCAN_NONE ? &report : NULL,
    };
    reply_object(out, k->usage, &shape);
    subject_done(&s);
    return 0;
}

/* The rows' handlers: which of the two. */
#define HANDLER(name, call)                                                                                            \
    int name(struct http_request *rq, void *in, struct strbuf *out)                                                    \
    {                                                                                                                  \
        (void)in;                                                                                                      \
        (void)out;                                                                                                     \
        return call;                                                                                                   \
    }

HANDLER(on_user_scans_list, scans_list(rq, OF_USER, out))
HANDLER(on_folder_scans_list, scans_list(rq, OF_FOLDER, out))
HANDLER(on_user_scan_post, scan_post(rq, OF_USER, in))
HANDLER(on_folder_scan_post, scan_post(rq, OF_FOLDER, in))
HANDLER(on_user_scan_delete, scan_delete(rq, OF_USER))
HANDLER(on_folder_scan_delete, scan_delete(rq, OF_FOLDER))
HANDLER(on_user_usage_put, usage_put(rq, OF_USER, in))
HANDLER(on_folder_usage_put, usage_put(rq, OF_FOLDER, in))
HANDLER(on_user_usage_get, usage_get(rq, OF_USER, out))
HANDLER(on_folder_usage_get, usage_get(rq, OF_FOLDER, out))
