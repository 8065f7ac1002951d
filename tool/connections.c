/* `tally connections`: who is connected, and closing them. */
#include <string.h>

#include "base/sys.h"
#include "tool/client.h"
#include "tool/command.h"
#include "tool/connections.h"
#include "tool/rows.h"

static const struct column columns[] = {
    { "USER", 0, 8, 0, 0 },
    { "PROTOCOL", 0, 0, 3, 0 },
    { "FROM", 0, 9, 4, 0 },
    { "SINCE", COLUMN_RIGHT, 0, 5, 0 },
    { "DOES", COLUMN_PATH, 10, 1, 0 },
    { "ID", 0, 0, 2, 0 },
};

/* "upload /a (1.5 MiB)", the first of several; else the command, else how long it is idle. */
static void doing(struct json_object *c, int64_t now_ms, struct strbuf *to)
{
    struct json_object *list = json_member(c, "active_transfers");
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    struct json_object *first = n > 0 ? json_object_array_get_idx(list, 0) : NULL;
    const char *kind = json_text(first, "operation_type");
    const char *path = json_text(first, "path");
    const char *command = json_text(c, "command");
    char number[TEXT_NUMBER_MAX];
    int64_t idle_ms = now_ms - json_number(c, "last_activity", now_ms);

    if (first != NULL) {
        strbuf_addf(to, "%s %s (%s)", kind ? kind : "transfer", path ? path : "",
                    text_bytes(number, (uint64_t)json_number(first, "size", 0)));
        if (n > 1)
            strbuf_addf(to, " and %zu more", n - 1);
    } else if (command != NULL && command[0] != '\0') {
        strbuf_adds(to, command);
    } else {
        strbuf_addf(to, "idle %s", text_duration(number, idle_ms > 0 ? (uint64_t)idle_ms / 1000 : 0));
    }
}

void connection_from(struct json_object *c, char *to, size_t room)
{
    const char *address = json_text(c, "remote_address");
    const char *process = json_text(c, "process");

    if (process != NULL)
        snprintf(to, room, "%s[%lld]", process, (long long)json_number(c, "pid", 0));
    else
        snprintf(to, room, "%s", address != NULL ? address : "");
}

static int add_row(struct table *table, struct json_object *c)
{
    struct strbuf does = STRBUF(TABLE_CELL_MAX);
    char since[TEXT_NUMBER_MAX];
    char from[CONNECTION_FROM_MAX];
    int64_t now_ms = sys->wall_ms();
    int64_t age_ms = now_ms - json_number(c, "connection_time", now_ms);

    doing(c, now_ms, &does);
    connection_from(c, from, sizeof from);
    const char *cells[ARRAY_SIZE(columns)] = {
        json_text(c, "username"),
        json_text(c, "protocol"),
        from,
        text_duration(since, age_ms > 0 ? (uint64_t)age_ms / 1000 : 0),
        does.s,
        json_text(c, "connection_id"),
    };
    int r = table_add(table, TONE_PLAIN, cells);
    strbuf_done(&does);
    return r;
}

int on_connections_list(struct tool *t)
{
    CLEANUP(json_put_p) struct json_object *list = NULL;
    int status = tool_get(t, &list, "connections", NULL);

    if (status != TOOL_OK)
        return status;
    struct table table = TABLE(columns);
    return rows_print(t, list, &table, add_row, "nobody is connected");
}

static int close_one(struct tool *t, const char *id)
{
    const struct call call = { .method = "DELETE", .path = { "connections", id } };
    int r = client_call(t->client, &call, NULL);

    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "%s is not connected (any more); tally connections lists who is", id);
    if (r < 0)
        return tool_failed(t, r);
    if (!t->options.json)
        printf("%s closed\n", id);
    return TOOL_OK;
}

int on_connections_close(struct tool *t)
{
    return args_each(t, close_one);
}
