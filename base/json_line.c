/* Where a member stands in a JSON text: json-c's tree has no positions, and only an error needs one.
 *
 * A walk over the tokens keeps the path of the member or list entry that it is in. Whenever a new one begins whose path
 * leads to the wanted one, its line is the answer so far: ancestors come before descendants, and of duplicate members
 * the later one is found later. */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 512 };

struct level {
    bool is_list;
    unsigned index;  /* of the list's entry */
    size_t path_len; /* of the path that leads here */
};

struct walk {
    const char *text;
    size_t len, at;
    const char *wanted;
    char path[PATH_BYTES_MAX];
    struct level levels[JSON_DEPTH_MAX + 1];
    unsigned depth;
    bool begins; /* a member's name or a list's entry comes next */
    unsigned line, found;
};

/* Does the path of the walk lead to the wanted member? */
static bool leads_there(const struct walk *w)
{
    size_t n = strlen(w->path);

    return strncmp(w->path, w->wanted, n) == 0 && (w->wanted[n] == '\0' || strchr(".[", w->wanted[n]) != NULL);
}

static void enter(struct walk *w, const char *dot, unsigned index, const char *name, size_t name_len)
{
    size_t at = w->levels[w->depth].path_len;

    if (name == NULL)
        snprintf(w->path + at, sizeof w->path - at, "[%u]", index);
    else
        snprintf(w->path + at, sizeof w->path - at, "%s%.*s", dot, (int)name_len, name);
    w->begins = false;
    if (leads_there(w))
        w->found = w->line;
}

static void push(struct walk *w, bool is_list)
{
    if (w->depth + 1 >= ARRAY_SIZE(w->levels))
        return;
    w->depth++;
    w->levels[w->depth] = (struct level){ .is_list = is_list, .path_len = strlen(w->path) };
    w->begins = true;
}

static void pop(struct walk *w)
{
    w->path[w->levels[w->depth].path_len] = '\0';
    w->depth -= w->depth > 0;
    w->begins = false;
}

static void string(struct walk *w)
{
    size_t from = ++w->at;
    struct level *l = &w->levels[w->depth];

    while (w->at < w->len && w->text[w->at] != '"')
        w->at += w->text[w->at] == '\\' ? 2 : 1;
    w->at = MIN(w->at, w->len);
    if (w->begins && !l->is_list && w->depth > 0)
        enter(w, l->path_len > 0 ? "." : "", 0, w->text + from, w->at - from);
}

static void step(struct walk *w)
{
    struct level *l = &w->levels[w->depth];
    char c = w->text[w->at];

    if (c == '\n')
        w->line++;
    if (strchr(" \t\r\n", c) != NULL)
        return;
    if (w->begins && l->is_list && c != ']')
        enter(w, "", l->index, NULL, 0);
    if (c == '"')
        string(w);
    else if (c == '{' || c == '[')
        push(w, c == '[');
    else if (c == '}' || c == ']')
        pop(w);
    else if (c == ',') {
        l->index++;
        w->begins = true;
    }
}

unsigned json_line(const char *text, size_t len, const char *path)
{
    struct walk w = { .len = len, .wanted = path, .line = 1 };
    char *copy = malloc(len + 1);

    if (copy == NULL)
        return 0;
    memcpy(copy, text, len);
    json_blank_comments(copy, len);
    w.text = copy;
    for (; w.at < len; w.at++)
        step(&w);
    free(copy);
    return w.found;
}
