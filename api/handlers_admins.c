/* Administrators, and what one may not do to oneself (contract/rest.md §1.3). Each write makes the cached principal
 * forgotten, so that the next request of that administrator is judged by the new row. */
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"

static const struct list_kind admins_kind = { admins_page, admin_shown, DOMAIN_NONE, NULL };

int on_admins_list(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return list_write(rq, &admins_kind, out);
}

int on_admin_get(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return one_write(rq, &admins_kind, out);
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
    if (rq->api_key != NULL && is_self(rq, new->username))
        return reply_refuse(rq, 400, SAYS_ERROR, "an administrator cannot be changed with an API key that acts for it");
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
