/* Pages of entities: the query, the frame, and the live numbers that each object's ready text lacks. */
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"

enum { PAGE_DEFAULT = 100, PAGE_MAX = 500 };

static int page_of(struct http_request *rq, struct page *ret)
{
    CLEANUP(mem_free) char *order = NULL;
    int64_t limit, offset;

    if (query_int(rq->query, "limit", 0, INT64_MAX, PAGE_DEFAULT, &limit) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid limit");
    if (query_int(rq->query, "offset", 0, INT64_MAX, 0, &offset) < 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid offset");
    int r = query_value(rq->query, "order", &order);
    if (r == -ENOMEM)
        return r;
    bool descending = order != NULL && strcmp(order, "DESC") == 0;
    if (r < 0 || (order != NULL && !descending && strcmp(order, "ASC") != 0))
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid order");
    *ret = (struct page){ (uint32_t)MIN(limit, (int64_t)PAGE_MAX), (uint64_t)offset, descending };
    return 0;
}

void list_add_live(struct apid *a, enum domain_kind kind, int64_t id, struct strbuf *out)
{
    struct live_numbers n;

    live_read(a->live, kind, id, &n);
    strbuf_adds(out, ",\"used_quota_size\":");
    strbuf_addu(out, n.used_bytes);
    strbuf_adds(out, ",\"used_quota_files\":");
    strbuf_addu(out, n.used_files);
    strbuf_adds(out, ",\"last_quota_update\":");
    strbuf_addi(out, n.changed_ms);
}

struct list {
    struct apid *a;
    const struct list_kind *kind;
    struct strbuf *out;
};

/* An entity that is gone since the page was read leaves a hole, not an error. */
static int whole_add(struct list *l, const char *name, size_t before)
{
    int r = l->kind->whole(l->a, name, l->out);

    if (r == -ENOENT)
        l->out->len = before;
    return r == -ENOENT ? 0 : r;
}

static int list_one(void *arg, int64_t id, const char *name, const char *json, size_t len, bool has_folders)
{
    struct list *l = arg;
    size_t before = l->out->len;

    if (l->out->len > 1)
        strbuf_addc(l->out, ',');
    if (has_folders)
        return whole_add(l, name, before);
    strbuf_add(l->out, json, len);
    if (l->kind->live != DOMAIN_NONE)
        list_add_live(l->a, l->kind->live, id, l->out);
    strbuf_addc(l->out, '}');
    return 0;
}

int one_write(struct http_request *rq, const struct list_kind *kind, struct strbuf *out)
{
    struct list l = { rq->apid, kind, out };

    int r = kind->one(rq->apid->store, rq->param, list_one, &l);
    return r == 0 && out->len == 0 ? -ENOENT : r; /* it went between its row and its folders */
}

int list_write(struct http_request *rq, const struct list_kind *kind, struct strbuf *out)
{
    struct list l = { rq->apid, kind, out };
    struct page page;

    int r = page_of(rq, &page);
    if (r != 0)
        return r;
    strbuf_addc(out, '[');
    r = kind->page(rq->apid->store, &page, list_one, &l);
    strbuf_addc(out, ']');
    return r;
}
