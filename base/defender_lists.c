#include "base/defender_lists.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"

static int order(const void *a, const void *b)
{
    const struct address_range *x = a;
    const struct address_range *y = b;

    return memcmp(x->first.v, y->first.v, sizeof x->first.v);
}

size_t ranges_sort(struct address_range *v, size_t n)
{
    size_t kept = 0;

    if (n > 0)
        qsort(v, n, sizeof *v, order);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && memcmp(v[i].first.v, v[kept - 1].last.v, ADDRESS_BYTES) <= 0) {
            if (memcmp(v[i].last.v, v[kept - 1].last.v, ADDRESS_BYTES) > 0)
                v[kept - 1].last = v[i].last;
            continue;
        }
        v[kept++] = v[i];
    }
    return kept;
}

bool ranges_have(const struct address_range *v, size_t n, const struct address *a)
{
    size_t low = 0;
    size_t high = n;

    while (low < high) { /* the last range that begins at or before it */
        size_t middle = low + (high - low) / 2;
        if (memcmp(v[middle].first.v, a->v, ADDRESS_BYTES) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && memcmp(a->v, v[low - 1].last.v, ADDRESS_BYTES) <= 0;
}

static struct address_range range_of(const struct network *n)
{
    struct address_range r = { n->address, n->address };

    for (unsigned bit = n->bits; bit < 8 * ADDRESS_BYTES; bit++) {
        uint8_t mask = (uint8_t)(0x80 >> (bit % 8));
        r.first.v[bit / 8] &= (uint8_t)~mask;
        r.last.v[bit / 8] |= mask;
    }
    return r;
}

static int ranges_add(struct json_object *list, bool is_network, struct address_range *v, size_t max, size_t *n,
                      struct why *why)
{
    size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < count; i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(list, i));
        struct network one;
        if (*n == max)
            return why_set(why, -E2BIG, NULL, "more than %zu entries", max);
        if (!text || strchr(text, '/') ? !is_network : is_network)
            return why_set(why, -EINVAL, NULL, "%.100s is none of %s", text ? text : "null",
                           is_network ? "\"networks\"" : "\"addresses\"");
        if (!text || !network_parse(text, !is_network, &one))
            return why_set(why, -EINVAL, NULL, "%.100s is no %s", text ? text : "null",
                           is_network ? "network" : "address");
        v[(*n)++] = range_of(&one);
    }
    return 0;
}

static int list_parse(const char *text, size_t len, size_t max, struct address_range **ret, size_t *ret_n,
                      struct why *why)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    struct address_range *v = NULL;
    size_t n = 0;
    int r = json_in(text, len, JSON_WHOLE, &j, why);

    if (r == 0 && !json_object_is_type(j, json_type_object))
        r = why_set(why, -EINVAL, NULL, "must be {\"addresses\": [], \"networks\": []}");
    if (r == 0 && !(v = calloc(max, sizeof *v)))
        r = -ENOMEM;
    if (r == 0)
        r = ranges_add(json_member(j, "addresses"), false, v, max, &n, why);
    if (r == 0)
        r = ranges_add(json_member(j, "networks"), true, v, max, &n, why);
    if (r < 0) {
        free(v);
        return r;
    }
    *ret_n = ranges_sort(v, n);
    *ret = v;
    return 0;
}

int ranges_read(const char *path, size_t bytes_max, size_t ranges_max, struct address_range **ret, size_t *ret_n,
                struct why *reterr_why)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK };
    CLEANUP(mem_free) char *text = NULL;

    *ret = NULL;
    *ret_n = 0;
    if (path == NULL || path[0] == '\0')
        return 0;
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path, &how);
    ssize_t n = fd;
    if (fd >= 0 && (text = malloc(bytes_max + 1)) == NULL)
        n = -ENOMEM;
    if (fd >= 0 && text != NULL)
        n = sys->pread(fd, text, bytes_max + 1, 0);
    if (n < 0)
        return why_set(reterr_why, (int)n, NULL, "cannot read %.200s: %s", path, error_text((int)n));
    if ((size_t)n > bytes_max)
        return why_set(reterr_why, -E2BIG, NULL, "%.200s is larger than %zu bytes", path, bytes_max);
    struct why why = { 0 };
    int r = list_parse(text, (size_t)n, ranges_max, ret, ret_n, &why);
    return r < 0 ? why_set(reterr_why, r, NULL, "%.200s: %s", path, why.text) : 0;
}
