/* A transfer is known again by a hash of its connection, path and start: the API gives it no name of its own. One that
 * was not there at the look before has the rate of its bytes over its age, so that short ones count, too. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "tool/text.h"
#include "tool/top.h"

enum { HOMES_SHARE = 20, HOMES_LEAST_S = 2 };

#define NS UINT64_C(1000000000)

static void lives_done(struct picture *p)
{
    free(p->lives);
    json_object_put(p->answer);
    p->lives = NULL;
    p->answer = NULL;
    p->lives_n = 0;
}

void picture_done(struct picture *p)
{
    lives_done(p);
    free(p->seen);
    homes_done(&p->homes);
    *p = (struct picture){ 0 };
}

/* FNV-1a, 64 bits: of some thousand transfers two meet once in 10^12 looks, and then one rate is wrong for a second. */
static uint64_t hash(uint64_t h, const void *bytes, size_t len)
{
    const unsigned char *b = bytes;

    for (size_t i = 0; i < len; i++)
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t transfer_key(const char *id, struct json_object *t)
{
    const char *path = json_text(t, "path");
    int64_t start = json_number(t, "start_time", 0);
    uint64_t h = hash(UINT64_C(0xcbf29ce484222325), id, strlen(id));

    h = hash(h, path ? path : "", path ? strlen(path) : 0);
    return hash(h, &start, sizeof start);
}

static int by_key(const void *a, const void *b)
{
    const struct seen *x = a;
    const struct seen *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

/* ---- rates ---- */

struct looking {
    const struct picture *before;
    struct picture *now;
    uint64_t now_ns;
};

static uint64_t rate_of(const struct looking *l, uint64_t key, uint64_t bytes, int64_t start_ms)
{
    const struct seen wanted = { .key = key };
    const struct seen *then =
        l->before->seen_n == 0 ? NULL : bsearch(&wanted, l->before->seen, l->before->seen_n, sizeof wanted, by_key);
    int64_t age_ms = sys->wall_ms() - start_ms;
    uint64_t ns = l->now_ns - l->before->at_ns;

    if (then != NULL && ns > 0)
        return bytes > then->bytes ? (uint64_t)((double)(bytes - then->bytes) * (double)NS / (double)ns) : 0;
    return age_ms > 0 ? (uint64_t)((double)bytes * 1000 / (double)MAX(age_ms, (int64_t)200)) : 0;
}

static void take_transfer(struct looking *l, struct live *live, struct json_object *t)
{
    const char *kind = json_text(t, "operation_type");
    uint64_t bytes = (uint64_t)MAX(json_number(t, "size", 0), (int64_t)0);
    uint64_t key = transfer_key(live->id, t);
    uint64_t rate = rate_of(l, key, bytes, json_number(t, "start_time", 0));
    bool up = kind != NULL && strcmp(kind, "upload") == 0;

    *(up ? &live->up_rate : &live->down_rate) += rate;
    *(up ? &l->now->up_rate : &l->now->down_rate) += rate;
    l->now->seen[l->now->seen_n++] = (struct seen){ .key = key, .bytes = bytes };
    l->now->transfers_n++;
}

/* ---- a look ---- */

static const char *or_nothing(const char *s)
{
    return s != NULL ? s : "";
}

static void say_what_it_does(struct live *live, struct json_object *c, struct json_object *first)
{
    char number[TEXT_NUMBER_MAX];
    const char *kind = or_nothing(json_text(first, "operation_type"));
    int64_t idle_ms = sys->wall_ms() - json_number(c, "last_activity", 0);
    const char *command = or_nothing(json_text(c, "command"));

    if (first != NULL)
        snprintf(live->does, sizeof live->does, "%s %.450s", strcmp(kind, "upload") == 0 ? "up" : "down",
                 or_nothing(json_text(first, "path")));
    else if (command[0] != '\0')
        snprintf(live->does, sizeof live->does, "%.500s", command);
    else
        snprintf(live->does, sizeof live->does, "idle %s", text_duration(number, (uint64_t)MAX(idle_ms, 0) / 1000));
}

static void take_connection(struct looking *l, struct json_object *c)
{
    struct live *live = &l->now->lives[l->now->lives_n++];
    struct json_object *list = json_member(c, "active_transfers");
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    *live = (struct live){ .id = or_nothing(json_text(c, "connection_id")),
                           .username = or_nothing(json_text(c, "username")),
                           .protocol = or_nothing(json_text(c, "protocol")),
                           .since_ms = json_number(c, "connection_time", 0) };
    connection_from(c, live->from, sizeof live->from);
    for (size_t i = 0; i < n; i++)
        take_transfer(l, live, json_object_array_get_idx(list, i));
    say_what_it_does(live, c, n > 0 ? json_object_array_get_idx(list, 0) : NULL);
}

static size_t transfers_in(struct json_object *answer)
{
    size_t n = 0;

    for (size_t i = 0; i < json_object_array_length(answer); i++) {
        struct json_object *list = json_member(json_object_array_get_idx(answer, i), "active_transfers");
        n += json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    }
    return n;
}

int picture_take(struct picture *p, struct json_object *answer, uint64_t now_ns)
{
    struct picture now = { .at_ns = now_ns };
    struct looking l = { .before = p, .now = &now, .now_ns = now_ns };
    size_t n = json_object_array_length(answer);

    now.lives = calloc(n + 1, sizeof *now.lives);
    now.seen = calloc(transfers_in(answer) + 1, sizeof *now.seen);
    if (now.lives == NULL || now.seen == NULL) {
        free(now.lives);
        free(now.seen);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        take_connection(&l, json_object_array_get_idx(answer, i));
    qsort(now.seen, now.seen_n, sizeof *now.seen, by_key);
    lives_done(p);
    free(p->seen);
    p->answer = json_object_get(answer);
    p->lives = now.lives;
    p->lives_n = now.lives_n;
    p->transfers_n = now.transfers_n;
    p->seen = now.seen;
    p->seen_n = now.seen_n;
    p->at_ns = now_ns;
    p->up_rate = now.up_rate;
    p->down_rate = now.down_rate;
    return 0;
}

static int look_at_connections(struct picture *p, struct client *c)
{
    const struct call call = { .method = "GET", .path = { "connections" } };
    CLEANUP(json_put_p) struct json_object *answer = NULL;
    int r = client_call(c, &call, &answer);

    if (r == 0 && !json_object_is_type(answer, json_type_array))
        r = -EIO;
    return r < 0 ? r : picture_take(p, answer, sys->now_ns());
}

static int look_at_status(struct picture *p, struct client *c)
{
    const struct call call = { .method = "GET", .path = { "status" } };
    CLEANUP(json_put_p) struct json_object *status = NULL;
    int r = client_call(c, &call, &status);
    struct json_object *domains = json_member(json_member(status, "vfs"), "domains");

    if (r == -EACCES) /* may see connections, and no status */
        return 0;
    if (r == 0) {
        p->stale = (uint64_t)json_number(domains, "stale", 0);
        p->counting = (uint64_t)json_number(domains, "counting", 0);
    }
    return r;
}

static int look_at_homes(struct picture *p, struct client *c)
{
    struct homes h = { 0 };
    uint64_t began = sys->now_ns();

    if (p->homes_at_ns != 0 && began - p->homes_at_ns < MAX(HOMES_LEAST_S * NS, HOMES_SHARE * p->homes_took_ns))
        return 0;
    int r = homes_load(c, false, NULL, &h);
    if (r == -EACCES) /* may see connections, and no users */
        return 0;
    if (r < 0)
        return r;
    homes_sort(&h, BY_SHARE);
    homes_done(&p->homes);
    p->homes = h;
    p->homes_at_ns = began;
    p->homes_took_ns = sys->now_ns() - began;
    return look_at_status(p, c);
}

int picture_look(struct picture *p, struct client *c)
{
    int r = look_at_connections(p, c);

    return r < 0 ? r : look_at_homes(p, c);
}

/* ---- order ---- */

static int by_user(const void *a, const void *b)
{
    const struct live *x = a;
    const struct live *y = b;
    int order = strcmp(x->username, y->username);

    return order != 0 ? order : strcmp(x->id, y->id);
}

static int by_rate(const void *a, const void *b)
{
    const struct live *x = a;
    const struct live *y = b;
    uint64_t fast = x->up_rate + x->down_rate;
    uint64_t other = y->up_rate + y->down_rate;

    return fast != other ? (fast < other ? 1 : -1) : by_user(a, b);
}

static int by_age(const void *a, const void *b)
{
    const struct live *x = a;
    const struct live *y = b;

    return x->since_ms != y->since_ms ? (x->since_ms > y->since_ms ? 1 : -1) : by_user(a, b);
}

static const struct {
    const char *name;
    int (*compare)(const void *, const void *);
} orders[LIVE_ORDERS] = {
    [LIVE_BY_RATE] = { "rate", by_rate },
    [LIVE_BY_USER] = { "user", by_user },
    [LIVE_BY_AGE] = { "age", by_age },
};

void picture_sort(struct picture *p, enum live_order order)
{
    if (p->lives_n > 1)
        qsort(p->lives, p->lives_n, sizeof *p->lives, orders[order].compare);
}

const char *live_order_name(enum live_order order)
{
    return orders[order].name;
}
