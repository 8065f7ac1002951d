/* Pages of 500, the most that the API gives; the last is shorter (contract/rest.md §1.0). */
#include "tool/pages.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { PAGE = 500 };

static int page_take(struct json_object *page, int (*take)(struct json_object *, void *), void *arg)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_object_array_length(page); i++)
        r = take(json_object_array_get_idx(page, i), arg);
    return r;
}

/* One page; *ret_n entries. */
static int page_get(struct client *c, const char *noun, size_t offset, int (*take)(struct json_object *, void *),
                    void *arg, size_t *ret_n)
{
    CLEANUP(json_put_p) struct json_object *page = NULL;
    char query[64];
    const struct call call = { .method = "GET", .path = { noun }, .query = query };

    snprintf(query, sizeof query, "limit=%d&offset=%zu", PAGE, offset);
    int r = client_call(c, &call, &page);
    *ret_n = 0;
    if (r < 0 || !json_object_is_type(page, json_type_array))
        return r;
    *ret_n = json_object_array_length(page);
    return page_take(page, take, arg);
}

int pages_each(struct client *c, const char *noun, int (*take)(struct json_object *entry, void *arg),
               int (*after_page)(void *arg), void *arg)
{
    size_t n = PAGE;
    int r = 0;

    for (size_t offset = 0; r == 0 && n == PAGE; offset += n) {
        r = page_get(c, noun, offset, take, arg, &n);
        if (r >= 0 && after_page != NULL) {
            int after = after_page(arg);
            r = r == 0 ? after : r;
        }
    }
    return r;
}

bool name_matches(const char *pattern, const char *name)
{
    if (pattern == NULL)
        return true;
    if (strpbrk(pattern, "*?[") != NULL)
        return fnmatch(pattern, name, 0) == 0;
    return strstr(name, pattern) != NULL;
}
