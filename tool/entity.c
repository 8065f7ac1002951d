/* Lists go out page by page, so that the first names of 10^5 are there at once and `| head` ends it. With --json the
 * pages are one array. */
#include "tool/entity.h"

#include <limits.h>
#include <string.h>

#include "base/log.h"
#include "tool/member.h"
#include "tool/pages.h"
#include "tool/table.h"

enum { CELLS_MAX = TABLE_COLUMNS_MAX, PAGE_TEXT_MAX = 64 << 20, VALUE_MAX = 1 << 20, LABEL_WIDTH = 22, INDENT = 2 };

/* ---- list ---- */

struct listing {
    const struct tool *t;
    const struct entity *e;
    const char *pattern;
    struct table table;
    size_t shown;
};

static void list_json(struct listing *l, struct json_object *entry)
{
    printf(l->shown == 0 ? "[\n" : ",\n");
    tool_print_json(l->t, entry);
}

static int list_entry(struct json_object *entry, void *arg)
{
    struct listing *l = arg;
    const char *cells[CELLS_MAX] = { NULL };
    char numbers[CELLS_MAX][TEXT_NUMBER_MAX];
    const char *name = json_text(entry, l->e->key);

    if (name == NULL || !name_matches(l->pattern, name))
        return 0;
    if (l->t->options.limit > 0 && l->shown >= l->t->options.limit)
        return 1;
    if (l->t->options.json)
        list_json(l, entry);
    l->shown++;
    if (l->t->options.json)
        return 0;
    l->e->row(entry, cells, numbers);
    return table_add(&l->table, TONE_PLAIN, cells);
}

static int list_page(void *arg)
{
    struct listing *l = arg;
    struct strbuf text = STRBUF(PAGE_TEXT_MAX);

    if (l->t->options.json)
        return ferror(stdout) ? 1 : 0;
    table_print(&l->table, &l->t->paper, &text);
    int r = strbuf_ok(&text);
    if (r == 0)
        fputs(text.s, stdout);
    strbuf_done(&text);
    return r < 0 ? r : fflush(stdout) != 0 ? 1 : 0;
}

int entity_list(struct tool *t, const struct entity *e)
{
    struct listing l = { .t = t,
                         .e = e,
                         .pattern = t->args_n > 0 ? t->args[0] : NULL,
                         .table = { .columns = e->columns, .n = e->columns_n } };
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    int r = pages_each(t->client, e->noun, list_entry, list_page, &l);
    table_done(&l.table);
    if (t->options.json && r >= 0)
        printf(l.shown == 0 ? "[]\n" : "]\n");
    return r < 0 ? tool_failed(t, r) : TOOL_OK;
}

/* ---- show ---- */

static bool is_nothing(struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_null:
        return true;
    case json_type_string:
        return json_object_get_string_len(v) == 0;
    case json_type_array:
        return json_object_array_length(v) == 0;
    case json_type_boolean:
        return !json_object_get_boolean(v);
    default:
        return false;
    }
}

static void print_member(const struct tool *t, const char *name, const struct member_row *row,
                         struct json_object *value)
{
    struct strbuf shown = STRBUF(VALUE_MAX);
    struct strbuf line = STRBUF(VALUE_MAX * 4);
    unsigned label = t->paper.width < 60 ? LABEL_WIDTH - 6 : LABEL_WIDTH;

    member_show(row, value, &shown);
    unsigned used = text_put(&line, &t->paper, name, UINT_MAX, CUT_END);
    text_pad(&line, (used < label ? label - used : 0) + INDENT);
    text_put(&line, &t->paper, shown.s ? shown.s : "", UINT_MAX, CUT_END);
    if (strbuf_ok(&line) == 0)
        printf("%s\n", line.s);
    strbuf_done(&shown);
    strbuf_done(&line);
}

static void print_members(const struct tool *t, struct json_object *o, const char *prefix, unsigned of);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX */
static void print_one(const struct tool *t, const char *prefix, const char *key, struct json_object *value, unsigned of)
{
    char name[512];

    snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] ? "." : "", key);
    const struct member_row *row = member_find(name, of);
    if (row == NULL && json_object_is_type(value, json_type_object))
        print_members(t, value, name, of);
    else if (!is_nothing(value))
        print_member(t, name, row, value);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX */
static void print_members(const struct tool *t, struct json_object *o, const char *prefix, unsigned of)
{
    json_object_object_foreach (o, key, value) {
        if (prefix[0] != '\0' || strcmp(key, "filesystem") != 0) /* local files are all there is */
            print_one(t, prefix, key, value, of);
    }
}

void entity_print(const struct tool *t, struct json_object *o, unsigned of)
{
    if (t->options.json)
        tool_print_json(t, o);
    else if (json_object_is_type(o, json_type_object))
        print_members(t, o, "", of);
}

int entity_show(struct tool *t, const struct entity *e)
{
    CLEANUP(json_put_p) struct json_object *o = NULL;
    const struct call call = { .method = "GET", .path = { e->noun, t->args[0] } };
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    int r = client_call(t->client, &call, &o);
    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "there is no %s \"%s\"; tally %s lists them", e->one, t->args[0], e->command);
    if (r < 0)
        return tool_failed(t, r);
    entity_print(t, o, e->of);
    return TOOL_OK;
}

/* ---- change ---- */

static int assign_all(struct tool *t, const struct entity *e, struct json_object *now, struct json_object *body)
{
    int status = TOOL_OK;

    for (size_t i = 1; status == TOOL_OK && i < t->args_n; i++)
        status = member_assign(t->args[i], e->of, now, body);
    return status;
}

int entity_add(struct tool *t, const struct entity *e)
{
    CLEANUP(json_put_p) struct json_object *body = json_object_new_object();
    CLEANUP(json_put_p) struct json_object *none = json_object_new_object();
    CLEANUP(json_put_p) struct json_object *made = NULL;
    struct call call = { .method = "POST", .path = { e->noun }, .body = body };

    json_object_object_add(body, e->made_by, json_object_new_string(t->args[0]));
    int status = assign_all(t, e, none, body);
    if (status == TOOL_OK && e->prepare != NULL)
        status = e->prepare(body);
    if (status == TOOL_OK)
        status = tool_client(t);
    if (status != TOOL_OK)
        return status;
    int r = client_call(t->client, &call, &made);
    if (r == -EEXIST)
        return tool_fail(TOOL_REFUSED, "there is a %s \"%s\" already; tally %s set changes it", e->one, t->args[0],
                         e->command);
    if (r < 0)
        return tool_failed(t, r);
    if (t->options.json)
        tool_print_json(t, made);
    else if (e->say_made != NULL)
        e->say_made(made);
    else
        printf("%s \"%s\" made\n", e->one, t->args[0]);
    return TOOL_OK;
}

/* Folders that a user includes are dropped by a PUT that does not name them. */
static void keep_includes(struct json_object *now, struct json_object *body)
{
    struct json_object *includes = json_member(now, "virtual_folders");

    if (includes != NULL && json_member(body, "virtual_folders") == NULL)
        json_object_object_add(body, "virtual_folders", json_object_get(includes));
}

static int set_with(struct tool *t, const struct entity *e, struct json_object *now)
{
    CLEANUP(json_put_p) struct json_object *body = json_object_new_object();
    struct call call = { .method = "PUT", .path = { e->noun, t->args[0] }, .body = body };
    int status = assign_all(t, e, now, body);

    if (status != TOOL_OK)
        return status;
    if (e->keeps_includes)
        keep_includes(now, body);
    int r = client_call(t->client, &call, NULL);
    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "%s \"%s\" was removed while it was changed: %s", e->one, t->args[0],
                         client_said(t->client));
    if (r < 0)
        return tool_failed(t, r);
    if (!t->options.json)
        printf("%s \"%s\" changed\n", e->one, t->args[0]);
    return TOOL_OK;
}

int entity_set(struct tool *t, const struct entity *e)
{
    CLEANUP(json_put_p) struct json_object *now = NULL;
    const struct call call = { .method = "GET", .path = { e->noun, t->args[0] } };
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    int r = client_call(t->client, &call, &now);
    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "there is no %s \"%s\"; tally %s lists them", e->one, t->args[0], e->command);
    if (r < 0)
        return tool_failed(t, r);
    status = set_with(t, e, now);
    if (status != TOOL_OK || !t->options.json)
        return status;
    return entity_show(t, e);
}

int entity_remove(struct tool *t, const struct entity *e)
{
    const struct call call = { .method = "DELETE", .path = { e->noun, t->args[0] } };
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    if (!tool_confirms(t, "Remove the %s \"%s\"?%s", e->one, t->args[0], e->remark))
        return tool_fail(TOOL_REFUSED, "nothing was removed");
    int r = client_call(t->client, &call, NULL);
    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "there is no %s \"%s\"; tally %s lists them", e->one, t->args[0], e->command);
    if (r < 0)
        return tool_failed(t, r);
    if (!t->options.json)
        printf("%s \"%s\" removed\n", e->one, t->args[0]);
    return TOOL_OK;
}
