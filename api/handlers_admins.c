/* Administrators, and what one may not do to oneself (contract/rest.md §1.3). Each write makes the cached principal
 * forgotten, so that the next request of that administrator is judged by the new row. */
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "store/password.h"

static int admins_list_one(void *arg, int64_t id, const char *name, const char *json, size_t len, bool has_folders)
{
    struct strbuf *out = arg;

    (void)id;
    (void)name;
    (void)has_folders;
    if (out->len > 1)
        strbuf_addc(out, ',');
    strbuf_add(out, json, len);
    strbuf_addc(out, '}');
    return 0;
}

int on_admins_list(struct http_request *rq, void *in, struct strbuf *out)
{
    struct page page;

    (void)in;
    int r = page_of(rq, &page);
    if (r != 0)
        return r;
    strbuf_addc(out, '[');
    r = admins_page(rq->apid->store, &page, admins_list_one, out);
    strbuf_addc(out, ']');
    return r;
}

int on_admin_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct admin row = { 0 };

    (void)in;
    int r = admin_load(rq->apid->store, rq->param, &row);
    if (r < 0)
        return r;
    reply_object(out, &admin_schema, &row);
    admin_done(&row);
    return 0;
}

int on_admin_post(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    const struct admin *new = in;
    struct admin row = { 0 };
    int64_t id = 0;

    int r = said_why(rq, admin_add(a->store, new, &id, &rq->why));
    if (r == 0)
        r = admin_load(a->store, new->username, &row);
    if (r != 0)
        return r;
    auth_changed(a->auth, row.username);
    reply_object(out, &admin_schema, &row);
    admin_done(&row);
    return 0;
}

int on_admin_put_load(struct http_request *rq, void *obj)
{
    return admin_load(rq->apid->store, rq->param, obj);
}

static bool is_self(const struct http_request *rq, const char *username)
{
    return !rq->who->is_local && strcmp(rq->who->username, username) == 0;
}

/* Unknown names are left to the store's validation. */
static int self_rules(struct http_request *rq, const struct admin *new)
{
    uint32_t perms = 0;

    if (!is_self(rq, new->username))
        return 0;
    if (perms_of(admin_perms, &new->permissions, &perms) == 0 && new->permissions.n > 0 && !(perms & ADM_MANAGE_ADMINS))
        return reply_refuse(rq, 400, SAYS_ERROR, "you cannot remove these permissions to yourself");
    if (new->status == 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "you cannot disable yourself");
    return 0;
}

int on_admin_put(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct admin *new = in;

    (void)out;
    int r = self_rules(rq, new);
    if (r == 0)
        r = said_why(rq, admin_update(rq->apid->store, new, &rq->why));
    if (r == 0)
        auth_changed(rq->apid->auth, new->username);
    return r;
}

int on_admin_delete(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    (void)out;
    if (is_self(rq, rq->param))
        return reply_refuse(rq, 400, SAYS_ERROR, "you cannot delete yourself");
    int r = admin_remove(rq->apid->store, rq->param);
    if (r == 0)
        auth_changed(rq->apid->auth, rq->param);
    return r;
}

static int invalid(struct http_request *rq, const char *text)
{
    return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: %s", text);
}

static int password_replace(struct http_request *rq, struct admin *row, const struct changepwd_in *in)
{
    int r = row->password != NULL ? password_verify(row->password, in->current_password) : -EACCES;
    if (r == -EACCES || r == -EINVAL || r == -E2BIG)
        return invalid(rq, "current password does not match");
    if (r == 0)
        r = str_copy(&row->password, in->new_password);
    if (r == 0)
        r = said_why(rq, admin_update(rq->apid->store, row, &rq->why));
    return r;
}

int on_changepwd_put(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct changepwd_in *body = in;
    const char *now = body->current_password, *then = body->new_password;
    struct admin row = { 0 };

    (void)out;
    if (now == NULL || now[0] == '\0' || then == NULL || then[0] == '\0')
        return invalid(rq, "please provide the current password and the new one two times");
    if (strcmp(now, then) == 0)
        return invalid(rq, "the new password must be different from the current one");
    if (rq->who->is_local)
        return invalid(rq, "no password belongs to this socket: log in as an administrator");
    int r = admin_load(rq->apid->store, rq->who->username, &row);
    if (r < 0)
        return r;
    r = password_replace(rq, &row, body);
    if (r == 0)
        auth_changed(rq->apid->auth, row.username);
    admin_done(&row);
    return r;
}
