/* `tally usage`: a row for each home. */
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tool/client.h"
#include "tool/command.h"
#include "tool/homes.h"
#include "tool/table.h"

enum { TEXT_MAX = 256 << 20 };

static const struct column columns[] = {
    { "NAME", 0, 8, 0, 0 },
    { "", COLUMN_BAR, 6, 2, 0 },
    { "FULL", COLUMN_RIGHT, 0, 1, 0 },
    { "USED", COLUMN_RIGHT, 0, 0, 0 },
    { "LIMIT", COLUMN_RIGHT, 0, 3, 0 },
    { "FILES", COLUMN_RIGHT, 0, 4, 0 },
    { "", COLUMN_TONE, 0, 0, 0 },
};

static int add_row(struct table *table, const struct home *h)
{
    char bar[32] = "";
    char full[TEXT_NUMBER_MAX], used[TEXT_NUMBER_MAX], limit[TEXT_NUMBER_MAX], files[TEXT_NUMBER_MAX];
    double share = home_share(h);

    if (share >= 0)
        snprintf(bar, sizeof bar, "%.6f", share);
    snprintf(full, sizeof full, "%d%%", (int)(share * 100));
    const char *cells[ARRAY_SIZE(columns)] = {
        h->name,
        bar,
        share >= 0 ? full : "-",
        text_bytes(used, h->bytes),
        h->limit_bytes > 0 ? text_bytes(limit, h->limit_bytes) : "-",
        text_count(files, h->files),
        home_is_uncertain(h) ? h->state : "",
    };
    return table_add(table, home_is_uncertain(h) ? TONE_WARN : TONE_PLAIN, cells);
}

static int print_table(const struct tool *t, const struct homes *h, size_t n)
{
    struct table table = TABLE(columns);
    struct strbuf text = STRBUF(TEXT_MAX);
    int r = 0;

    if (t->options.watch && t->paper.is_terminal)
        strbuf_adds(&text, "\033[H\033[J");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = add_row(&table, &h->v[i]);
    table_print(&table, &t->paper, &text);
    if (n < h->n)
        strbuf_addf(&text, "and %zu more\n", h->n - n);
    if (t->options.watch && !t->paper.is_terminal)
        strbuf_addc(&text, '\n');
    if (r == 0)
        r = strbuf_ok(&text);
    if (r == 0)
        fputs(text.s, stdout);
    table_done(&table);
    strbuf_done(&text);
    return r < 0 ? tool_fail(TOOL_REFUSED, "%s", error_text(r)) : TOOL_OK;
}

static void print_json(const struct tool *t, const struct homes *h, size_t n)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < n; i++) {
        const struct home *home = &h->v[i];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(home->name));
        json_object_object_add(o, "used_size", json_object_new_int64((int64_t)home->bytes));
        json_object_object_add(o, "used_files", json_object_new_int64((int64_t)home->files));
        json_object_object_add(o, "quota_size", json_object_new_int64((int64_t)home->limit_bytes));
        json_object_object_add(o, "quota_files", json_object_new_int64((int64_t)home->limit_files));
        json_object_object_add(o, "is_certain", json_object_new_boolean(!home_is_uncertain(home)));
        json_object_array_add(list, o);
    }
    tool_print_json(t, list);
    json_object_put(list);
}

/* Rows that a terminal shows; all of them elsewhere. */
static size_t rows_wanted(const struct tool *t, const struct homes *h)
{
    return t->options.limit > 0 ? MIN((size_t)t->options.limit, h->n) : h->n;
}

static int show_once(struct tool *t, bool folders, const char *pattern, enum home_order order)
{
    struct homes h = { 0 };
    int r = homes_load(t->client, folders, pattern, &h);
    int status = TOOL_OK;

    if (r < 0)
        return tool_failed(t, r);
    homes_sort(&h, order);
    size_t n = rows_wanted(t, &h);
    r = homes_ask_states(t->client, folders, &h, n);
    if (r < 0)
        status = tool_failed(t, r);
    else if (t->options.json)
        print_json(t, &h, n);
    else
        status = print_table(t, &h, n);
    homes_done(&h);
    return fflush(stdout) != 0 && status == TOOL_OK ? TOOL_REFUSED : status;
}

/* Until control-C, which ends the process: there is nothing to put back. */
static int watch(struct tool *t, bool folders, const char *pattern, enum home_order order)
{
    int status;

    do {
        t->paper = paper_of(1); /* the window may have changed */
        status = show_once(t, folders, pattern, order);
    } while (status == TOOL_OK && poll(NULL, 0, (int)t->options.watch_s * 1000) >= 0);
    return status;
}

int on_usage(struct tool *t)
{
    enum home_order order = BY_SHARE;
    bool folders = t->options.folder != NULL;
    const char *pattern = folders ? t->options.folder : t->args_n > 0 ? t->args[0] : NULL;

    if (folders && t->args_n > 0)
        return tool_fail(TOOL_USAGE, "\"%s\" or --folder: one of them", t->args[0]);
    if (t->options.sort != NULL && home_order_find(t->options.sort, &order) < 0)
        return tool_fail(TOOL_USAGE, "--sort %s: there are share, size, files, name", t->options.sort);
    if (folders && t->options.sort == NULL)
        order = BY_SIZE; /* the limits of a folder are its users' */
    int status = tool_client(t);
    if (status != TOOL_OK)
        return status;
    return t->options.watch ? watch(t, folders, pattern, order) : show_once(t, folders, pattern, order);
}
