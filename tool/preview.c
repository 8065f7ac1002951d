/* Members are compared as JSON; null, "", 0, false, [] and {} are all "nothing", since a dump of another release leaves
 * out what it does not know; and what Tally does not know is no difference, as a restore leaves it out. Objects are
 * found by name with json-c's own hash table. */
#include "tool/preview.h"

#include <limits.h>
#include <string.h>

#include "tool/member.h"

enum { LIST_MAX = 64 << 20, SHOWN_MAX = 100 };

/* What a restore does not take over, or the server makes itself. */
static const char *const ignored[] = { "id",         "used_quota_size", "used_quota_files", "last_quota_update",
                                       "last_login", "created_at",      "updated_at",       "users",
                                       "filesystem", "last_use_at" };

static const struct section {
    const char *name, *one, *key;
} sections[] = {
    { "folders", "folder", "name" },
    { "users", "user", "username" },
    { "admins", "administrator", "username" },
    { "api_keys", "API key", "id" },
};

static bool is_ignored(const char *member)
{
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        if (strcmp(ignored[i], member) == 0)
            return true;
    return false;
}

static bool is_nothing(struct json_object *v);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX */
static bool has_nothing(struct json_object *o)
{
    struct json_object_iter at;

    json_object_object_foreachC(o, at) if (!is_nothing(at.val)) return false;
    return true;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX */
static bool is_nothing(struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_null:
        return true;
    case json_type_boolean:
        return !json_object_get_boolean(v);
    case json_type_int:
        return json_object_get_int64(v) == 0;
    case json_type_string:
        return json_object_get_string_len(v) == 0;
    case json_type_array:
        return json_object_array_length(v) == 0;
    case json_type_object:
        return has_nothing(v);
    default:
        return false;
    }
}

static bool is_same(struct json_object *a, struct json_object *b);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX */
static bool covers(struct json_object *a, struct json_object *b)
{
    json_object_object_foreach (a, key, member) {
        struct json_object *other = NULL;
        json_object_object_get_ex(b, key, &other);
        if (!is_ignored(key) && !is_same(member, other))
            return false;
    }
    return true;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX */
static bool is_same(struct json_object *a, struct json_object *b)
{
    if (is_nothing(a) && is_nothing(b))
        return true;
    if (json_object_is_type(a, json_type_object) && json_object_is_type(b, json_type_object))
        return covers(a, b) && covers(b, a);
    if (!json_object_is_type(a, json_type_array) || !json_object_is_type(b, json_type_array))
        return json_object_equal(a, b) != 0;
    size_t n = json_object_array_length(a);
    bool same = n == json_object_array_length(b);
    for (size_t i = 0; same && i < n; i++)
        same = is_same(json_object_array_get_idx(a, i), json_object_array_get_idx(b, i));
    return same;
}

static void note_member(const char *name, size_t *n, struct strbuf *to)
{
    strbuf_addf(to, "%s%s", *n > 0 ? ", " : "", name);
    ++*n;
}

size_t preview_differs(struct json_object *now, struct json_object *then, struct strbuf *to)
{
    size_t n = 0;

    json_object_object_foreach (then, key, member) {
        struct json_object *before = NULL;
        json_object_object_get_ex(now, key, &before);
        bool is_known = before != NULL || strcmp(key, "filters") == 0 || member_find(key, ~0U) != NULL;
        if (is_known && !is_ignored(key) && !is_same(before, member))
            note_member(key, &n, to);
    }
    json_object_object_foreach (now, old_key, old_member) {
        if (!is_ignored(old_key) && !json_object_object_get_ex(then, old_key, NULL) && !is_nothing(old_member))
            note_member(old_key, &n, to);
    }
    return n;
}

/* ---- sections ---- */

struct sums {
    size_t added, changed, same, kept, others;
};

struct comparison {
    const struct tool *t;
    const struct section *section;
    struct json_object *now; /* by name; entries are taken out as they are met */
    bool only_adds;
    struct sums sums;
    struct json_object *list; /* with --json: what would be */
};

/* The objects of a list by their names. */
static struct json_object *by_name(struct json_object *list, const char *key)
{
    struct json_object *map = json_object_new_object();
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        const char *name = json_text(o, key);
        if (name != NULL)
            json_object_object_add(map, name, json_object_get(o));
    }
    return map;
}

static void tell(struct comparison *c, const char *what, const char *name, const char *members)
{
    struct strbuf line = STRBUF(LIST_MAX);

    if (c->t->options.json) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "section", json_object_new_string(c->section->name));
        json_object_object_add(o, "name", json_object_new_string(name));
        json_object_object_add(o, "would", json_object_new_string(what));
        json_object_object_add(o, "members", json_object_new_string(members));
        json_object_array_add(c->list, o);
        return;
    }
    if (c->sums.added + c->sums.changed > SHOWN_MAX)
        return; /* the sum tells */
    text_put(&line, &c->t->paper, name, UINT_MAX, CUT_END);
    if (members[0] != '\0') {
        strbuf_adds(&line, ": ");
        text_put(&line, &c->t->paper, members, UINT_MAX, CUT_END);
    }
    printf("  %s %s %s\n", what, c->section->one, line.s ? line.s : "");
    strbuf_done(&line);
}

static void compare_one(struct comparison *c, struct json_object *o)
{
    const char *name = json_text(o, c->section->key);
    struct strbuf members = STRBUF(1 << 16);
    struct json_object *before = NULL;

    if (name == NULL)
        return;
    if (!json_object_object_get_ex(c->now, name, &before)) {
        c->sums.added++;
        tell(c, "add", name, "");
    } else if (c->only_adds) {
        c->sums.kept++;
    } else if (preview_differs(before, o, &members) == 0) {
        c->sums.same++;
    } else {
        c->sums.changed++;
        tell(c, "change", name, members.s ? members.s : "");
    }
    json_object_object_del(c->now, name);
    strbuf_done(&members);
}

static void print_sums(const struct comparison *c)
{
    const struct sums *s = &c->sums;

    if (s->added + s->changed > SHOWN_MAX)
        printf("  ... and %zu more\n", s->added + s->changed - SHOWN_MAX);
    printf("%s: %zu to add, %zu to change, %zu %s, %zu not in the dump\n", c->section->name, s->added, s->changed,
           c->only_adds ? s->kept : s->same, c->only_adds ? "there already" : "the same", s->others);
}

static void compare_section(struct comparison *c, struct json_object *now, struct json_object *dump)
{
    struct json_object *list = json_member(dump, c->section->name);
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    if (list == NULL)
        return;
    c->now = by_name(json_member(now, c->section->name), c->section->key);
    for (size_t i = 0; i < n; i++)
        compare_one(c, json_object_array_get_idx(list, i));
    c->sums.others = (size_t)json_object_object_length(c->now);
    json_object_put(c->now);
    if (!c->t->options.json)
        print_sums(c);
}

int preview_print(const struct tool *t, struct json_object *now, struct json_object *dump, bool only_adds,
                  size_t *ret_n)
{
    CLEANUP(json_put_p) struct json_object *list = json_object_new_array();

    *ret_n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        struct comparison c = { .t = t, .section = &sections[i], .only_adds = only_adds, .list = list };
        compare_section(&c, now, dump);
        *ret_n += c.sums.added + c.sums.changed;
    }
    if (t->options.json)
        tool_print_json(t, list);
    return TOOL_OK;
}
