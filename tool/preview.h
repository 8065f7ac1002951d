/* What a restore would change: a dump beside the server's own. */
#pragma once

#include "tool/tool.h"

/* preview_print - a line for each object that would be added or changed, with its members, and a sum of each section.
 * only_adds: what is there stays as it is (mode 1). *ret_n is how many would be. TOOL_OK or an exit status. */
int preview_print(const struct tool *t, struct json_object *now, struct json_object *dump, bool only_adds,
                  size_t *ret_n) MUST_CHECK;

/* preview_differs - the members that differ between two objects, as "a, b", added to `to`. For tests, too. */
size_t preview_differs(struct json_object *now, struct json_object *then, struct strbuf *to);
