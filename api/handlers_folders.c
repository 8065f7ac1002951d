/* Folders: like users, without a merge that resets anything. */
#include "api/handlers.h"
#include "api/reply.h"

static void folder_fill(struct apid *a, struct folder *f)
{
    struct live_numbers n;

    live_read(a->live, DOMAIN_FOLDER, f->id, &n);
    f->used_quota_size = (int64_t)n.used_bytes;
    f->used_quota_files = (int64_t)n.used_files;
    f->last_quota_update_ms = n.changed_ms;
}

int on_folders_list(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return list_write(rq, &(struct list_kind){ folders_page, NULL, DOMAIN_FOLDER, NULL }, out);
}

static int folder_write(struct apid *a, struct folder *f, struct strbuf *out)
{
    folder_fill(a, f);
    reply_object(out, &folder_schema, f);
    folder_done(f);
    return 0;
}

int on_folder_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct folder f = { 0 };

    (void)in;
    int r = folder_load(rq->apid->store, rq->param, &f);
    return r < 0 ? r : folder_write(rq->apid, &f, out);
}

int on_folder_post(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    struct folder f = { 0 };
    int64_t id = 0;

    int r = said_why(rq, folder_add(a->store, in, &id, &rq->why));
    if (r == 0)
        r = folder_load_by_id(a->store, id, &f);
    if (r != 0)
        return r;
    tell_changed(a, "folder_changed", "name", f.name, f.id, false, false);
    return folder_write(a, &f, out);
}

int on_folder_put_load(struct http_request *rq, void *obj)
{
    return folder_load(rq->apid->store, rq->param, obj);
}

int on_folder_put(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct folder *f = in;

    (void)out;
    int r = said_why(rq, folder_update(rq->apid->store, f, &rq->why));
    if (r == 0)
        tell_changed(rq->apid, "folder_changed", "name", f->name, f->id, false, false);
    return r;
}

int on_folder_delete(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    struct folder f = { 0 };

    (void)in;
    (void)out;
    int r = folder_load(a->store, rq->param, &f);
    if (r < 0)
        return r;
    r = folder_remove(a->store, rq->param);
    if (r == 0)
        tell_changed(a, "folder_changed", "name", f.name, f.id, true, false);
    folder_done(&f);
    return r;
}
