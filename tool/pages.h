/* Lists of any length: fetched a page at a time, each entry handed on. */
#pragma once

#include "tool/client.h"

/* pages_each - calls take() for each entry of GET /<noun>, in the order of names. take() returns 0 to go on, anything
 * else ends it and is returned (a negative errno, or 1 for "enough"). after_page() (may be NULL) is called behind each
 * page, e.g. to print it. Returns 0, what a function returned, or a negative errno of the client, as client_call().
 *
 * A list that changes meanwhile may miss an entry or show one twice, as the API has no cursor. */
int pages_each(struct client *c, const char *noun, int (*take)(struct json_object *entry, void *arg),
               int (*after_page)(void *arg), void *arg) MUST_CHECK;

/* name_matches - a shell pattern, or a part of the name; NULL matches all. */
bool name_matches(const char *pattern, const char *name);
