/* See homes.h. */
#include "tool/homes.h"

#include <stdlib.h>
#include <string.h>

#include "tool/client.h"
#include "tool/pages.h"

enum { STATES_MAX = 5000 };

void homes_done(struct homes *h)
{
    for (size_t i = 0; i < h->n; i++)
        free(h->v[i].name);
    free(h->v);
    *h = (struct homes){ 0 };
}

static int homes_add(struct homes *h, const char *name, struct json_object *o)
{
    if (h->n == h->room) {
        size_t room = h->room ? h->room * 2 : 64;
        struct home *v = reallocarray(h->v, room, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        h->v = v;
        h->room = room;
    }
    struct home *home = &h->v[h->n];
    *home = (struct home){ .name = strdup(name),
                           .bytes = (uint64_t)json_number(o, "used_quota_size", 0),
                           .files = (uint64_t)json_number(o, "used_quota_files", 0),
                           .limit_bytes = (uint64_t)json_number(o, "quota_size", 0),
                           .limit_files = (uint64_t)json_number(o, "quota_files", 0) };
    h->n += home->name != NULL;
    return home->name != NULL ? 0 : -ENOMEM;
}

struct loading {
    struct homes *homes;
    const char *key, *pattern;
};

static int take(struct json_object *entry, void *arg)
{
    struct loading *l = arg;
    const char *name = json_text(entry, l->key);

    return name != NULL && name_matches(l->pattern, name) ? homes_add(l->homes, name, entry) : 0;
}

int homes_load(struct client *c, bool folders, const char *pattern, struct homes *ret)
{
    struct homes h = { 0 };
    struct loading l = { .homes = &h, .key = folders ? "name" : "username", .pattern = pattern };
    int r = pages_each(c, folders ? "folders" : "users", take, NULL, &l);

    if (r < 0)
        homes_done(&h);
    else
        *ret = h;
    return r;
}

/* ---- order ---- */

double home_share(const struct home *h)
{
    double of_bytes = h->limit_bytes > 0 ? (double)h->bytes / (double)h->limit_bytes : -1;
    double of_files = h->limit_files > 0 ? (double)h->files / (double)h->limit_files : -1;

    return MAX(of_bytes, of_files);
}

bool home_is_uncertain(const struct home *h)
{
    return h->state[0] != '\0' && strcmp(h->state, "clean") != 0 && strcmp(h->state, "dirty") != 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct home *)a)->name, ((const struct home *)b)->name);
}

static int descending(double a, double b)
{
    return (a < b) - (a > b);
}

static int by_files(const void *a, const void *b)
{
    int order = descending((double)((const struct home *)a)->files, (double)((const struct home *)b)->files);

    return order != 0 ? order : by_name(a, b);
}

static int by_size(const void *a, const void *b)
{
    int order = descending((double)((const struct home *)a)->bytes, (double)((const struct home *)b)->bytes);

    return order != 0 ? order : by_name(a, b);
}

/* Homes without a limit come last, the largest first. */
static int by_share(const void *a, const void *b)
{
    int order = descending(home_share(a), home_share(b));

    return order != 0 ? order : by_size(a, b);
}

static const struct {
    const char *name;
    int (*compare)(const void *, const void *);
} orders[] = {
    [BY_SHARE] = { "share", by_share },
    [BY_SIZE] = { "size", by_size },
    [BY_FILES] = { "files", by_files },
    [BY_NAME] = { "name", by_name },
};

void homes_sort(struct homes *h, enum home_order order)
{
    if (h->n > 1)
        qsort(h->v, h->n, sizeof *h->v, orders[order].compare);
}

int home_order_find(const char *name, enum home_order *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
        if (strcmp(orders[i].name, name) == 0) {
            *ret = (enum home_order)i;
            return 0;
        }
    return -EINVAL;
}

/* ---- states ---- */

/* Is any number uncertain? true when the caller may not see the status. */
static bool some_uncertain(struct client *c)
{
    const struct call call = { .method = "GET", .path = { "status" } };
    CLEANUP(json_put_p) struct json_object *status = NULL;

    if (client_call(c, &call, &status) < 0)
        return true;
    struct json_object *domains = json_member(json_member(status, "vfs"), "domains");
    return json_number(domains, "stale", 0) > 0 || json_number(domains, "counting", 0) > 0;
}

static int ask_state(struct client *c, bool folders, struct home *h)
{
    CLEANUP(json_put_p) struct json_object *o = NULL;
    const struct call call = { .method = "GET", .path = { "quotas", folders ? "folders" : "users", h->name } };
    int r = client_call(c, &call, &o);
    const char *state = json_text(o, "state");

    if (r == 0)
        str_set(h->state, sizeof h->state, state != NULL ? state : "");
    return r == -ENOENT ? 0 : r; /* removed since the list */
}

int homes_ask_states(struct client *c, bool folders, struct homes *h, size_t n)
{
    bool all = n > 0 && some_uncertain(c);
    size_t asked = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < MIN(n, h->n); i++) {
        bool is_empty = h->v[i].bytes == 0 && h->v[i].files == 0; /* or nobody has looked into it yet */
        if (!all && !is_empty)
            continue;
        if (asked++ < STATES_MAX)
            r = ask_state(c, folders, &h->v[i]);
        else
            str_set(h->v[i].state, sizeof h->v[i].state, "unknown");
    }
    return r;
}
