/* Live connections: read from the table in shared memory, closed by their owner. A listing copies one record at a time,
 * since a record is larger than what is shown of it. Programs on this machine that write are asked for when somebody
 * lists: nothing is kept about them meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/log.h"

#define WRITER_PREFIX "FS_"
enum { CONNECTION_ID_MAX = 32 };

static size_t transfers_of(struct connection_facts *f, struct transfer_shape *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        struct connection_transfer *t = &f->transfers[i];
        if (!t->active)
            continue;
        ret[n++] = (struct transfer_shape){
            .operation_type = t->is_upload ? (char *)"upload" : (char *)"download",
            .start_time = t->start_ms,
            .size = (int64_t)atomic_load_explicit(&t->bytes, memory_order_relaxed),
            .path = t->path,
        };
    }
    return n;
}

static void connection_write(struct strbuf *out, struct connection_facts *f, int64_t activity_ms)
{
    struct transfer_shape transfers[TRANSFERS_MAX];
    const struct connection_shape shape = {
        .username = f->username,
        .connection_id = f->id,
        .client_version = f->client_version,
        .remote_address = f->remote_address,
        .connection_time = f->connect_ms,
        .last_activity = activity_ms,
        .protocol = f->protocol,
        .active_transfers = { .v = transfers, .n = transfers_of(f, transfers) },
        .command = f->command,
    };

    if (out->len > 1)
        strbuf_addc(out, ',');
    reply_object(out, &connection_schema, &shape);
}

/* ---- local writers ---------------------------------------------------------------------------------------------- */

/* Sessions are programs with open files, too, but are listed already: by the process number that the broker wrote down,
 * not by a name, which anybody can take. Taken before the question and after it, since they come and go. */
struct session_pids {
    uint32_t *v; /* of PIDS_MAX */
    size_t n;
};

enum { PIDS_MAX = 2 * CONNECTIONS_MAX, WRITERS_SHOWN_MAX = 10000, WRITERS_ASK_MS = 2000 };

static void pids_add(struct session_pids *pids, const struct connections *table)
{
    for (size_t i = 0; table->v != NULL && i < CONNECTIONS_MAX && pids->n < PIDS_MAX; i++)
        if (atomic_load_explicit(&table->v[i].state, memory_order_acquire) == CONNECTION_LIVE)
            pids->v[pids->n++] = table->v[i].who.pid;
}

static int pid_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void writer_write(struct strbuf *out, struct json_object *w)
{
    char id[CONNECTION_ID_MAX];
    int64_t pid = json_number(w, "pid", 0);
    int64_t uid = json_number(w, "uid", 0);
    struct transfer_shape transfer = { .operation_type = (char *)"upload",
                                       .start_time = json_number(w, "since_ms", 0),
                                       .size = json_number(w, "bytes", 0),
                                       .path = (char *)json_text(w, "path") };
    const struct connection_shape shape = { .username = (char *)json_text(w, "username"),
                                            .connection_id = id,
                                            .remote_address = (char *)"",
                                            .connection_time = transfer.start_time,
                                            .last_activity = json_number(w, "active_ms", 0),
                                            .protocol = (char *)"FS",
                                            .active_transfers = { .v = &transfer, .n = 1 },
                                            .process = (char *)json_text(w, "process"),
                                            .pid = &pid,
                                            .uid = &uid };

    snprintf(id, sizeof id, WRITER_PREFIX "%llx", (unsigned long long)json_number(w, "handle", 0));
    if (out->len > 1)
        strbuf_addc(out, ',');
    reply_object(out, &connection_schema, &shape);
}

static size_t page_write(struct http_request *rq, struct json_object *page, struct session_pids *pids,
                         struct strbuf *out)
{
    struct json_object *list = json_member(page, "writers");
    size_t n = list != NULL ? json_object_array_length(list) : 0;

    pids_add(pids, rq->apid->connections);
    qsort(pids->v, pids->n, sizeof *pids->v, pid_compare);
    for (size_t i = 0; i < n; i++) {
        struct json_object *w = json_object_array_get_idx(list, i);
        uint32_t pid = (uint32_t)json_number(w, "pid", 0);
        if (bsearch(&pid, pids->v, pids->n, sizeof *pids->v, pid_compare) == NULL)
            writer_write(out, w);
    }
    return n;
}

/* A vfs that does not answer shall not hide the other connections: then these are missing, and the log says so. */
static void writers_write(struct http_request *rq, struct strbuf *out)
{
    CLEANUP(mem_free) uint32_t *v = calloc(PIDS_MAX, sizeof *v);
    int64_t pos = 0;
    size_t shown = 0;

    do {
        CLEANUP(json_put_p) struct json_object *page = NULL;
        struct session_pids pids = { .v = v };
        struct json_object *args = control_args("pos", 'i', pos, NULL);
        if (v == NULL || args == NULL)
            return;
        pids_add(&pids, rq->apid->connections);
        int r = control_ask(rq->apid->control, "vfs", "writers", args, WRITERS_ASK_MS, &page);
        if (r < 0) {
            log_warn("local writers cannot be listed: %s", error_text(r));
            return;
        }
        shown += page_write(rq, page, &pids, out);
        pos = json_number(page, "pos", 0);
    } while (pos > 0 && shown < WRITERS_SHOWN_MAX);
}

/* ---- routes ----------------------------------------------------------------------------------------------------- */

int on_connections_list(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct connections *table = rq->apid->connections;
    struct connection_facts facts;
    int64_t activity_ms;

    (void)in;
    strbuf_addc(out, '[');
    for (size_t i = 0; table->v != NULL && i < CONNECTIONS_MAX; i++)
        if (atomic_load_explicit(&table->v[i].state, memory_order_relaxed) == CONNECTION_LIVE &&
            connection_read(&table->v[i], &facts, &activity_ms))
            connection_write(out, &facts, activity_ms);
    writers_write(rq, out);
    strbuf_addc(out, ']');
    return 0;
}

/* The handle that a connection's id names; false: it is none of a writer. */
static bool writer_of_id(const char *id, int64_t *ret)
{
    char *end = NULL;

    if (!str_has_prefix(id, WRITER_PREFIX) || strspn(id + strlen(WRITER_PREFIX), "0123456789abcdef") > 16)
        return false;
    *ret = (int64_t)strtoull(id + strlen(WRITER_PREFIX), &end, 16);
    return *end == '\0' && end != id + strlen(WRITER_PREFIX);
}

int on_connection_delete(struct http_request *rq, void *in, struct strbuf *out)
{
    int64_t handle;
    bool is_writer = writer_of_id(rq->param, &handle);
    struct json_object *args =
        is_writer ? control_args("handle", 'i', handle, NULL) : control_args("connection_id", 's', rq->param, NULL);

    (void)in;
    (void)out;
    if (args == NULL)
        return -ENOMEM;
    int r = control_ask(rq->apid->control, is_writer ? "vfs" : "sftp", is_writer ? "writer_close" : "connection_close",
                        args, CONTROL_ASK_MS, NULL);
    if (r == -ENOENT)
        return reply_refuse(rq, 404, SAYS_MESSAGE, "Not Found");
    return ask_failed(rq, is_writer ? "the file service" : "the SFTP service", r);
}
