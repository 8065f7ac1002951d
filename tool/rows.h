/* A list that the server gave, as a table; and one argument after the other.
 *
 * Both return the exit status; what went wrong is printed. */
#pragma once

#include "tool/table.h"
#include "tool/tool.h"

/* rows_print - a row for each item of `list`, or `nobody` when there is none; with --json the list as it came. `table`
 * has its columns, and is empty again after it. */
typedef int row_add(struct table *table, struct json_object *item);
int rows_print(const struct tool *t, struct json_object *list, struct table *table, row_add *add,
               const char *nobody) MUST_CHECK;

/* args_each - `one` for each argument, also after one has failed; the status of the last that did. */
int args_each(struct tool *t, int (*one)(struct tool *t, const char *arg)) MUST_CHECK;
