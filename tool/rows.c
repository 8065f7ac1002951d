#include "tool/rows.h"

#include <stdio.h>

#include "base/log.h"

enum { ROWS_TEXT_MAX = 64 << 20 };

static int print(const struct tool *t, struct json_object *list, struct table *table, row_add *add)
{
    struct strbuf text = STRBUF(ROWS_TEXT_MAX);
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++)
        r = add(table, json_object_array_get_idx(list, i));
    table_print(table, &t->paper, &text);
    if (r == 0)
        r = strbuf_ok(&text);
    if (r == 0)
        fputs(text.s, stdout);
    table_done(table);
    strbuf_done(&text);
    return r < 0 ? tool_fail(TOOL_REFUSED, "%s", error_text(r)) : TOOL_OK;
}

int rows_print(const struct tool *t, struct json_object *list, struct table *table, row_add *add, const char *nobody)
{
    if (t->options.json) {
        tool_print_json(t, list);
        return TOOL_OK;
    }
    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0) {
        printf("%s\n", nobody);
        return TOOL_OK;
    }
    return print(t, list, table, add);
}

int args_each(struct tool *t, int (*one)(struct tool *t, const char *arg))
{
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    for (size_t i = 0; i < t->args_n; i++) {
        int r = one(t, t->args[i]);
        status = r != TOOL_OK ? r : status;
    }
    return status;
}
