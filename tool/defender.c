/* `tally defender`: banned addresses. The API names a host by the hex digits of its address as text. */
#include <string.h>

#include "tool/client.h"
#include "tool/command.h"
#include "tool/rows.h"

enum { ADDRESS_MAX = 64 };

static const struct column columns[] = {
    { "ADDRESS", 0, 15, 0, 0 },
    { "BANNED UNTIL", COLUMN_TONE, 0, 0, 0 },
    { "SCORE", COLUMN_RIGHT, 0, 0, 0 },
};

static int add_row(struct table *table, struct json_object *host)
{
    char score[TEXT_NUMBER_MAX];
    const char *until = json_text(host, "ban_time");
    bool is_banned = until != NULL && until[0] != '\0';
    const char *cells[] = { json_text(host, "ip"), is_banned ? until : "",
                            is_banned ? "" : text_count(score, (uint64_t)json_number(host, "score", 0)) };

    return table_add(table, is_banned ? TONE_BAD : TONE_PLAIN, cells);
}

int on_defender_list(struct tool *t)
{
    CLEANUP(json_put_p) struct json_object *list = NULL;
    int status = tool_get(t, &list, "defender", "hosts", NULL);

    if (status != TOOL_OK)
        return status;
    struct table table = TABLE(columns);
    return rows_print(t, list, &table, add_row, "nobody is banned or near it (or the defender is off: tally status)");
}

static int unban(struct tool *t, const char *address)
{
    char id[2 * ADDRESS_MAX + 1];
    const struct call call = { .method = "DELETE", .path = { "defender", "hosts", id } };
    size_t len = strlen(address);

    if (len > ADDRESS_MAX)
        return tool_fail(TOOL_USAGE, "\"%.80s\" is no address", address);
    str_hex(id, (const uint8_t *)address, len);
    int r = client_call(t->client, &call, NULL);
    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "%s is neither banned nor watched; tally defender lists who is", address);
    if (r < 0)
        return tool_failed(t, r);
    if (!t->options.json)
        printf("%s may come in again\n", address);
    return TOOL_OK;
}

int on_defender_unban(struct tool *t)
{
    return args_each(t, unban);
}
