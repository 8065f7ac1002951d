/* Users. Lists come ready-made from the store and get their live numbers appended; single objects go through the rows
 * of user_schema. PUT is a merge (contract/rest.md §4.7): the stored user is loaded, its virtual folders are taken
 * away, the body goes over it. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"

static void user_fill(struct apid *a, struct user *u)
{
    struct live_numbers n;

    live_read(a->live, DOMAIN_USER, u->id, &n);
    u->used_quota_size = (int64_t)n.used_bytes;
    u->used_quota_files = (int64_t)n.used_files;
    u->last_quota_update_ms = n.changed_ms;
    struct virtual_folder *v = u->virtual_folders.v;
    for (size_t i = 0; i < u->virtual_folders.n; i++) {
        live_read(a->live, DOMAIN_FOLDER, v[i].folder.id, &n);
        v[i].folder.used_quota_size = (int64_t)n.used_bytes;
        v[i].folder.used_quota_files = (int64_t)n.used_files;
        v[i].folder.last_quota_update_ms = n.changed_ms;
    }
}

static int user_write(struct apid *a, const char *username, struct strbuf *out)
{
    struct user u = { 0 };

    int r = user_load(a->store, username, &u);
    if (r < 0)
        return r;
    user_fill(a, &u);
    reply_object(out, &user_schema, &u);
    user_done(&u);
    return 0;
}

static const struct list_kind users_kind = { users_page, user_shown, DOMAIN_USER, user_write };

int on_users_list(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return list_write(rq, &users_kind, out);
}

int on_user_get(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return one_write(rq, &users_kind, out);
}

/* A user may have made or changed folders that were embedded in it: those who look at them must know. */
static void tell_user(struct apid *a, const struct user *u, bool disconnect)
{
    const struct virtual_folder *v = u->virtual_folders.v;

    for (size_t i = 0; i < u->virtual_folders.n; i++)
        tell_changed(a, "folder_changed", "name", v[i].folder.name, v[i].folder.id, false, false);
    tell_changed(a, "user_changed", "username", u->username, u->id, false, disconnect);
}

int on_user_post(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    struct user u = { 0 };
    int64_t id = 0;

    int r = said_why(rq, user_add(a->store, in, &id, &rq->why));
    if (r == 0)
        r = user_load_by_id(a->store, id, &u);
    if (r != 0)
        return r;
    auth_changed(a->auth, u.username);
    tell_user(a, &u, false);
    user_fill(a, &u);
    reply_object(out, &user_schema, &u);
    user_done(&u);
    return 0;
}

static int disconnect_of(struct http_request *rq, bool *ret)
{
    int64_t n = 0;

    if (query_int(rq->query, "disconnect", INT32_MIN, INT32_MAX, 0, &n) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid disconnect parameter");
    *ret = n == 1;
    return 0;
}

int on_user_put_load(struct http_request *rq, void *obj)
{
    struct user *u = obj;
    bool disconnect;

    int r = disconnect_of(rq, &disconnect);
    if (r == 0)
        r = user_load(rq->apid->store, rq->param, u);
    if (r != 0)
        return r;
    struct virtual_folder *v = u->virtual_folders.v;
    for (size_t i = 0; i < u->virtual_folders.n; i++)
        schema_done(&virtual_folder_schema, &v[i]);
    free(v);
    u->virtual_folders = (struct objects){ 0 };
    return 0;
}

/* An empty map of permissions keeps the stored one (§4.7). */
static int permissions_keep(struct apid *a, struct user *u)
{
    struct user stored = { 0 };

    if (u->permissions.n > 0)
        return 0;
    int r = user_load(a->store, u->username, &stored);
    if (r < 0)
        return r;
    struct dir_perms_map empty = u->permissions;
    u->permissions = stored.permissions;
    stored.permissions = empty;
    user_done(&stored);
    return 0;
}

int on_user_put(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    struct user u = { 0 };
    bool disconnect = false;

    (void)out;
    int r = permissions_keep(a, in);
    if (r == 0)
        r = said_why(rq, user_update(a->store, in, &rq->why));
    if (r == 0)
        r = disconnect_of(rq, &disconnect);
    if (r == 0)
        r = user_load(a->store, rq->param, &u);
    if (r != 0)
        return r;
    auth_changed(a->auth, u.username);
    tell_user(a, &u, disconnect);
    user_done(&u);
    return 0;
}

int on_user_delete(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    struct user u = { 0 };

    (void)in;
    (void)out;
    int r = user_load(a->store, rq->param, &u);
    if (r < 0)
        return r;
    r = user_remove(a->store, rq->param);
    if (r == 0)
        auth_changed(a->auth, u.username);
    if (r == 0)
        tell_changed(a, "user_changed", "username", u.username, u.id, true, true);
    user_done(&u);
    return r;
}
