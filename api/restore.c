/* What follows a restore. The store is changed already, so nothing here can fail it: what does not arrive is logged,
 * and a role that starts anew reads the store anyway.
 *
 * Ten thousand users are a hundred messages. Scans are queued by the ledger, one question each; they are asked for in
 * the background, since at the start of the daemon the vfs role is not there yet. */
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "api/backup.h"
#include "api/state.h"
#include "base/log.h"

enum { SCAN_RETRY_MS = 100, SCAN_RETRIES = 1200 };

static void left_out_log(const struct restore *done)
{
    for (size_t i = 0; i < done->left_out_n; i++) {
        const struct left_out *l = &done->left_out[i];
        log_warn("restore: left out: %s \"%s\"%s%s: %s", l->section, l->name, l->member ? " " : "",
                 l->member ? l->member : "", l->reason);
    }
    if (done->left_out_total > done->left_out_n)
        log_warn("restore: left out: %llu more", (unsigned long long)(done->left_out_total - done->left_out_n));
}

static const struct {
    enum dump_scope scope;
    const char *name;
} scopes[] = {
    { DUMP_FOLDERS, "folders" }, { DUMP_USERS, "users" }, { DUMP_ADMINS, "admins" }, { DUMP_API_KEYS, "api_keys" }
};

int restore_run(struct store *s, const char *text, size_t len, const struct restore_request *q, struct restore *ret,
                struct why *reterr_why)
{
    const struct restore_options o = { .only_add = q->mode == MODE_ADD, .skip_unsupported = q->skip_unsupported };
    int r = dump_restore(s, text, len, &o, ret, reterr_why);

    malloc_trim(0); /* 10^4 users are 200 MB of JSON objects, and nobody needs that memory again soon */
    if (r < 0)
        return r;
    left_out_log(ret);
    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++)
        log_info("restore: %s: %zu added, %zu updated, %zu kept", scopes[i].name,
                 restore_count(ret, scopes[i].scope, RESTORE_ADDED),
                 restore_count(ret, scopes[i].scope, RESTORE_UPDATED),
                 restore_count(ret, scopes[i].scope, RESTORE_KEPT));
    return 0;
}

static int start_failed(int r, const struct why *why)
{
    return log_fail(-EBADMSG, "cannot restore the dump, nothing was changed: %s%s%s", why->field,
                    why->field[0] != '\0' ? " " : "", why->text[0] != '\0' ? why->text : error_text(r));
}

int restore_at_start(struct store *s, const struct config *c, const struct apid_restore *from, struct restore *ret)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(c->data_provider.max_restore_size);
    const struct restore_request q = { from->mode, from->scan_quota, from->skip_unsupported };
    struct why why = { 0 };
    int r = backup_read(from->fd, &text);

    if (r == -E2BIG)
        IGNORE(why_set(&why, r, NULL, "the file is larger than %zu bytes, the limit data_provider.max_restore_size",
                       text.max),
               "it fills why");
    if (r == 0)
        r = restore_run(s, text.s != NULL ? text.s : "", text.len, &q, ret, &why);
    return r < 0 ? start_failed(r, &why) : 0;
}

/* ---- telling ---- */

static const struct telling {
    enum dump_scope scope;
    const char *event, *key;
} tellings[] = { { DUMP_FOLDERS, "folders_changed", "name" }, { DUMP_USERS, "users_changed", "username" } };

static void batch_send(struct apid *a, const struct telling *t, struct json_object *list)
{
    struct json_object *args = json_object_new_object();

    if (args == NULL) {
        json_object_put(list);
        return;
    }
    json_object_object_add(args, "list", list);
    int r = control_tell(a->control, "all", t->event, args);
    if (r < 0)
        IGNORE(log_fail(r, "cannot tell the other services %s", t->event), "the change is stored");
}

static struct json_object *batch_entry(const struct telling *t, const struct restored *v, int64_t mode)
{
    bool disconnect = mode == MODE_DISCONNECT && v->as == RESTORE_UPDATED;

    return control_args(t->key, 's', v->name, "id", 'i', v->id, "removed", 'i', (int64_t)0, "disconnect", 'i',
                        (int64_t)disconnect, NULL);
}

static void tell_scope(struct apid *a, const struct restore *done, const struct telling *t, int64_t mode)
{
    struct json_object *list = NULL;

    for (size_t i = 0; i < done->n; i++) {
        const struct restored *v = &done->v[i];
        if (v->scope != t->scope || v->as == RESTORE_KEPT)
            continue;
        if (list == NULL)
            list = json_object_new_array();
        json_object_array_add(list, batch_entry(t, v, mode));
        if (json_object_array_length(list) == BACKUP_BATCH)
            batch_send(a, t, TAKE_PTR(list));
    }
    if (list != NULL)
        batch_send(a, t, list);
}

void restore_tell(struct apid *a, const struct restore *done, int64_t mode)
{
    for (size_t i = 0; i < done->n; i++)
        if (done->v[i].scope & (DUMP_ADMINS | DUMP_USERS) && done->v[i].as != RESTORE_KEPT)
            auth_changed(a->auth, done->v[i].name);
    for (size_t i = 0; i < ARRAY_SIZE(tellings); i++)
        tell_scope(a, done, &tellings[i], mode);
}

/* ---- scans ---- */

struct scan_subject {
    bool is_user;
    int64_t id;
    char *name;
};

struct scans {
    struct apid *a;
    size_t n;
    struct scan_subject v[];
};

static void scans_free(struct scans *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].name);
    free(s);
}

static int scan_ask(struct apid *a, const struct scan_subject *s)
{
    struct json_object *args = control_args("kind", 's', s->is_user ? "user" : "folder", "id", 'i', s->id, "name", 's',
                                            s->name, "dry_run", 'i', (int64_t)0, NULL);

    return args == NULL ? -ENOMEM : control_ask(a->control, "vfs", "scan_start", args, CONTROL_ASK_MS, NULL);
}

/* Until the vfs role answers, or we are stopped. */
static int scan_start(struct apid *a, const struct scan_subject *s)
{
    int r = -ENOTCONN;

    for (unsigned i = 0; i < SCAN_RETRIES && !atomic_load(&a->stopping); i++) {
        r = scan_ask(a, s);
        if (r != -ENOTCONN && r != -ETIMEDOUT && r != -EAGAIN)
            break;
        poll(NULL, 0, SCAN_RETRY_MS);
    }
    return r;
}

static void scans_run(void *arg)
{
    struct scans *s = arg;
    int r = 0;

    for (size_t i = 0; i < s->n && r != -EPIPE && !atomic_load(&s->a->stopping); i++) {
        r = scan_start(s->a, &s->v[i]);
        if (r < 0 && r != -EALREADY)
            log_fail(r, "restore: cannot scan the %s \"%s\"", s->v[i].is_user ? "user" : "folder", s->v[i].name);
    }
    scans_free(s);
}

static bool is_scanned(const struct restored *v, int64_t scan_quota)
{
    if (v->as == RESTORE_KEPT || scan_quota < 1)
        return false;
    if (v->scope == DUMP_FOLDERS)
        return true;
    return v->scope == DUMP_USERS &&
           (scan_quota == SCAN_USERS_ALL || (scan_quota == SCAN_USERS_LIMITED && v->is_limited));
}

void restore_scan(struct apid *a, const struct restore *done, int64_t scan_quota)
{
    if (a->config->data_provider.track_quota == 0)
        return;
    struct scans *s = calloc(1, sizeof(*s) + done->n * sizeof(s->v[0]));
    int r = s != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < done->n; i++) {
        const struct restored *v = &done->v[i];
        if (!is_scanned(v, scan_quota))
            continue;
        s->v[s->n] = (struct scan_subject){ v->scope == DUMP_USERS, v->id, strdup(v->name) };
        if (s->v[s->n++].name == NULL)
            r = -ENOMEM;
    }
    if (r == 0) {
        s->a = a;
        r = s->n > 0 ? pool_submit(a->waiting, scans_run, s) : -ECANCELED;
    }
    if (r == 0)
        return;
    if (s != NULL)
        scans_free(s);
    if (r != -ECANCELED)
        log_fail(r, "restore: the scans were not started");
}
