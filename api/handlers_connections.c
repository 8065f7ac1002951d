/* Live connections: read from the table in shared memory, closed by their owner. A listing copies one record at a time,
 * since a record is larger than what is shown of it. */
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"

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
    strbuf_addc(out, ']');
    return 0;
}

int on_connection_delete(struct http_request *rq, void *in, struct strbuf *out)
{
    struct json_object *args = control_args("connection_id", 's', rq->param, NULL);

    (void)in;
    (void)out;
    if (args == NULL)
        return -ENOMEM;
    int r = control_ask(rq->apid->control, "sftp", "connection_close", args, CONTROL_ASK_MS, NULL);
    if (r == -ENOENT)
        return reply_refuse(rq, 404, SAYS_MESSAGE, "Not Found");
    return ask_failed(rq, "the SFTP service", r);
}
