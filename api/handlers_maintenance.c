/* Backup and restore over REST (contract/rest.md §5). A dump comes as the body or from a file of the server; both are
 * read up to data_provider.max_restore_size, and both end in the same restore. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "api/backup.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/log.h"

enum { INDENT = 2 };

/* ---- dump ---- */

static void dump_numbers(void *arg, bool is_user, int64_t id, struct dump_usage *ret)
{
    struct live_numbers n;

    live_read(arg, is_user ? DOMAIN_USER : DOMAIN_FOLDER, id, &n);
    *ret = (struct dump_usage){ (int64_t)n.used_bytes, (int64_t)n.used_files, n.changed_ms };
}

/* Sections that SFTPGo has and Tally has not are asked for by its clients: they give nothing. */
static bool is_foreign_scope(const char *name)
{
    static const char *const names[] = { "groups", "shares", "actions", "rules", "roles", "ip_lists", "configs" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static int scopes_of(struct http_request *rq, uint32_t *ret)
{
    CLEANUP(mem_free) char *text = NULL;
    int r = query_value(rq->query, "scopes", &text);
    uint32_t scopes = 0;

    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid scopes");
    if (text == NULL || text[0] == '\0') {
        *ret = DUMP_ALL;
        return 0;
    }
    for (char *at = text, *name; (name = strsep(&at, ",")) != NULL;) {
        if (dump_scope_of(name) == 0 && !is_foreign_scope(name))
            return reply_refuse(rq, 400, SAYS_ERROR, "invalid scopes: \"%.64s\" is no section of a dump", name);
        scopes |= dump_scope_of(name);
    }
    *ret = scopes;
    return 0;
}

/* Without the blanks around it; NULL is "". */
static char *trimmed(char *text)
{
    if (text == NULL)
        return (char *)"";
    while (isspace((unsigned char)*text))
        text++;
    for (size_t n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--)
        text[n - 1] = '\0';
    return text;
}

static int dump_reply(struct http_request *rq, uint32_t scopes, struct strbuf *out)
{
    struct json_out json = { .to = out, .first = true };
    int r = dump_write(rq->apid->store, scopes, dump_numbers, rq->apid->live, &json);

    if (r == 0)
        rq->reply.attachment = "sftpgo-backup.json";
    return r;
}

static int file_failed(struct http_request *rq, int r, const char *what, const char *name)
{
    if (r == -EACCES || r == -EPERM)
        return reply_refuse(rq, 403, SAYS_ERROR, "%s \"%.200s\": the API (account tally-api) has no permission", what,
                            name);
    if (r == -ENOENT || r == -ENOTDIR || r == -EISDIR || r == -EINVAL || r == -ELOOP || r == -ENAMETOOLONG ||
        r == -ENXIO)
        return reply_refuse(rq, 400, SAYS_ERROR, "%s \"%.200s\": %s", what, name,
                            r == -EINVAL || r == -ENXIO ? "this is no regular file" : error_text(r));
    return r;
}

static int dump_file(struct http_request *rq, uint32_t scopes, unsigned indent)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(REPLY_MAX);
    CLEANUP(mem_free) char *value = NULL;
    struct json_out json = { .to = &text, .first = true, .indent = indent };
    int r = query_value(rq->query, "output-file", &value);

    if (r == -ENOMEM)
        return r;
    const char *name = r < 0 ? "" : trimmed(value);
    const char *complaint = backup_name_check(name);
    if (complaint != NULL)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid or missing output-file%s%s: %s", *name ? " " : "", name,
                            complaint);
    r = dump_write(rq->apid->store, scopes, dump_numbers, rq->apid->live, &json);
    strbuf_addc(&text, '\n');
    if (r == 0)
        r = strbuf_ok(&text);
    if (r == 0)
        r = file_failed(rq, backup_write(rq->apid->config, name, text.s, text.len), "cannot write output-file", name);
    return r != 0 ? r : reply_result(rq, 200, NULL, "Data saved");
}

int on_dumpdata_get(struct http_request *rq, void *in, struct strbuf *out)
{
    CLEANUP(mem_free) char *as_body = NULL, *indent = NULL;
    uint32_t scopes = 0;

    (void)in;
    int r = scopes_of(rq, &scopes);
    if (r != 0)
        return r;
    if (query_value(rq->query, "output-data", &as_body) < 0 || query_value(rq->query, "indent", &indent) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid query");
    if (as_body != NULL && strcmp(as_body, "1") == 0)
        return dump_reply(rq, scopes, out);
    return dump_file(rq, scopes, indent != NULL && strcmp(indent, "1") == 0 ? INDENT : 0);
}

/* ---- restore ---- */

static int request_of(struct http_request *rq, struct restore_request *ret)
{
    int64_t skip;

    if (query_int(rq->query, "scan-quota", INT32_MIN, INT32_MAX, 0, &ret->scan_quota) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid scan_quota: it must be an integer");
    if (query_int(rq->query, "mode", INT32_MIN, INT32_MAX, 0, &ret->mode) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid mode: it must be an integer");
    if (query_int(rq->query, "skip-unsupported", 0, 1, 0, &skip) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid skip-unsupported: it must be 0 or 1");
    ret->skip_unsupported = skip == 1;
    return 0;
}

static struct restored_counts counts_of(const struct restore *done, enum dump_scope scope)
{
    return (struct restored_counts){
        .added = (int64_t)restore_count(done, scope, RESTORE_ADDED),
        .updated = (int64_t)restore_count(done, scope, RESTORE_UPDATED),
        .kept = (int64_t)restore_count(done, scope, RESTORE_KEPT),
    };
}

static int restore_reply(struct strbuf *out, const struct restore *done)
{
    struct left_out_shape *v = calloc(done->left_out_n + 1, sizeof(*v));

    if (v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < done->left_out_n; i++) {
        const struct left_out *l = &done->left_out[i];
        v[i] = (struct left_out_shape){ (char *)l->section, l->name, l->member, l->reason };
    }
    const struct restore_shape shape = {
        .message = (char *)"Data restored",
        .users = counts_of(done, DUMP_USERS),
        .folders = counts_of(done, DUMP_FOLDERS),
        .admins = counts_of(done, DUMP_ADMINS),
        .api_keys = counts_of(done, DUMP_API_KEYS),
        .left_out_total = (int64_t)done->left_out_total,
        .left_out = { .v = v, .n = done->left_out_n },
    };
    reply_object(out, &restore_schema, &shape);
    free(v);
    return 0;
}

static int restore(struct http_request *rq, const struct restore_request *q, const char *text, size_t len,
                   struct strbuf *out)
{
    CLEANUP(restore_done) struct restore done = { 0 };
    int r = said_why(rq, restore_run(rq->apid->store, text, len, q, &done, &rq->why));

    if (r != 0)
        return r;
    restore_tell(rq->apid, &done, q->mode);
    restore_scan(rq->apid, &done, q->scan_quota);
    return restore_reply(out, &done);
}

static int input_read(struct http_request *rq, const char *path, struct strbuf *to)
{
    if (path == NULL || path[0] != '/')
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid input-file \"%.200s\": it must be an absolute path",
                            path != NULL ? path : "");
    CLEANUP(fd_close) int fd = backup_open(path);
    int r = fd < 0 ? fd : backup_read(fd, to);
    if (r == -E2BIG)
        return reply_refuse(rq, 413, SAYS_ERROR,
                            "input-file \"%.200s\" is larger than %zu bytes, the limit "
                            "data_provider.max_restore_size",
                            path, to->max);
    return file_failed(rq, r, "cannot read input-file", path);
}

int on_loaddata_get(struct http_request *rq, void *in, struct strbuf *out)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(rq->apid->config->data_provider.max_restore_size);
    CLEANUP(mem_free) char *path = NULL;
    struct restore_request q;

    (void)in;
    int r = request_of(rq, &q);
    if (r == 0 && query_value(rq->query, "input-file", &path) < 0)
        r = reply_refuse(rq, 400, SAYS_ERROR, "invalid input-file");
    if (r == 0)
        r = input_read(rq, path, &text);
    return r != 0 ? r : restore(rq, &q, text.s != NULL ? text.s : "", text.len, out);
}

int on_loaddata_post(struct http_request *rq, void *in, struct strbuf *out)
{
    struct restore_request q;

    (void)in;
    int r = request_of(rq, &q);
    if (r != 0)
        return r;
    if (rq->body.len == 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: request body is required");
    return restore(rq, &q, rq->body.s, rq->body.len, out);
}
