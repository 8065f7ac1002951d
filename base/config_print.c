/* The sample file, the table of --help and the keys of tally.json(5), printed from the rows and the fallbacks that they
 * give. */
#include <string.h>

#include "base/config.h"
#include "base/field_value.h"

enum { INDENT = 2, KEY_WIDTH = 54, FALLBACK_WIDTH = 18, VALUE_MAX = 4096 };

static const char *applies_text(const struct field *f)
{
    return f->applies == AT_RELOAD ? "reload" : "start";
}

static void line(struct strbuf *to, unsigned level)
{
    strbuf_addc(to, '\n');
    for (unsigned i = 0; i < level * INDENT; i++)
        strbuf_addc(to, ' ');
}

static void sample_members(const struct schema *s, const void *obj, unsigned level, bool with_help, struct strbuf *to);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void sample_object(const struct schema *s, const void *obj, unsigned level, bool with_help, struct strbuf *to)
{
    strbuf_addc(to, '{');
    sample_members(s, obj, level + 1, with_help, to);
    line(to, level);
    strbuf_addc(to, '}');
}

/* Only the first entry explains its keys. NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void sample_list(const struct schema *s, const struct objects *list, unsigned level, struct strbuf *to)
{
    strbuf_addc(to, '[');
    for (size_t i = 0; i < list->n; i++) {
        strbuf_adds(to, i > 0 ? "," : "");
        line(to, level + 1);
        sample_object(s, objects_at(s, list, i), level + 1, i == 0, to);
    }
    line(to, level);
    strbuf_addc(to, ']');
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void sample_value(const struct field *f, const void *member, unsigned level, bool with_help, struct strbuf *to)
{
    struct json_out out = { .to = to };

    if (f->type == FIELD_OBJECT)
        sample_object(f->sub, member, level, with_help, to);
    else if (f->type == FIELD_OBJECTS && ((const struct objects *)member)->n > 0)
        sample_list(f->sub, member, level, to);
    else
        field_write(f, member, SHOW_ALL, &out);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void sample_members(const struct schema *s, const void *obj, unsigned level, bool with_help, struct strbuf *to)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
        if (with_help && f->help != NULL) {
            line(to, level);
            strbuf_addf(to, "// %s%s", f->help, f->applies == AT_RELOAD ? " (SIGHUP suffices)" : "");
        }
        line(to, level);
        strbuf_addf(to, "\"%s\": ", field_name(f));
        sample_value(f, field_member_const(f, obj), level, with_help, to);
        strbuf_adds(to, i + 1 < s->n ? "," : "");
    }
}

void config_print_sample(struct strbuf *to)
{
    struct config c;

    if (schema_init(&config_schema, &c) < 0) {
        to->failed = -ENOMEM;
        return;
    }
    strbuf_adds(to,
                "// Tally's configuration: JSON, comments allowed. These are the fallbacks; leave out what may stay.\n"
                "// A variable overrides its key: TALLY_HTTPD__BINDINGS__0__PORT is httpd.bindings[0].port.\n");
    sample_object(&config_schema, &c, 0, true, to);
    strbuf_addc(to, '\n');
    config_done(&c);
}

typedef void key_row_fn(const struct field *f, const void *member, const char *path, struct strbuf *to);

static void help_row(const struct field *f, const void *member, const char *path, struct strbuf *to)
{
    struct strbuf value = STRBUF(VALUE_MAX);
    struct json_out out = { .to = &value };

    field_write(f, member, SHOW_ALL, &out);
    strbuf_addf(to, "  %-*s %-*s %-6s  %s\n", KEY_WIDTH, path, FALLBACK_WIDTH, value.s ? value.s : "", applies_text(f),
                f->help ? f->help : "");
    strbuf_done(&value);
}

/* Text as roff takes it. */
static void put_roff(struct strbuf *to, const char *s)
{
    if (*s == '.' || *s == '\'')
        strbuf_adds(to, "\\&");
    for (; *s != '\0'; s++)
        if (*s == '\\')
            strbuf_adds(to, "\\e");
        else
            strbuf_addf(to, *s == '-' ? "\\-" : "%c", *s);
}

static void manual_row(const struct field *f, const void *member, const char *path, struct strbuf *to)
{
    struct strbuf value = STRBUF(VALUE_MAX);
    struct json_out out = { .to = &value };

    field_write(f, member, SHOW_ALL, &out);
    strbuf_adds(to, ".TP\n.B ");
    put_roff(to, path);
    strbuf_addc(to, '\n');
    put_roff(to, f->help ? f->help : "");
    strbuf_adds(to, f->help ? "\n.br\nFallback: " : "Fallback: ");
    put_roff(to, value.s ? value.s : "");
    strbuf_addf(to, "; takes effect at %s.\n", f->applies == AT_RELOAD ? "a reload" : "the next start");
    strbuf_done(&value);
}

static void walk_members(const struct schema *s, const void *obj, const char *path, key_row_fn *row, struct strbuf *to);

/* The keys of a list's entries, as the first fallback has them. NOLINTNEXTLINE(misc-no-recursion): static tables */
static void walk_entries(const struct field *f, const struct objects *list, const char *path, key_row_fn *row,
                         struct strbuf *to)
{
    struct strbuf entries = STRBUF(VALUE_MAX);

    strbuf_addf(&entries, "%s[]", path);
    if (list->n > 0 && strbuf_ok(&entries) == 0)
        walk_members(f->sub, objects_at(f->sub, list, 0), entries.s, row, to);
    strbuf_done(&entries);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void walk_members(const struct schema *s, const void *obj, const char *path, key_row_fn *row, struct strbuf *to)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
        const void *member = field_member_const(f, obj);
        struct strbuf key = STRBUF(VALUE_MAX);

        strbuf_addf(&key, "%s%s%s", path, path[0] != '\0' ? "." : "", field_name(f));
        if (strbuf_ok(&key) < 0)
            to->failed = strbuf_ok(&key);
        else if (f->type == FIELD_OBJECT)
            walk_members(f->sub, member, key.s, row, to);
        else if (f->type == FIELD_OBJECTS)
            walk_entries(f, member, key.s, row, to);
        else
            row(f, member, key.s, to);
        strbuf_done(&key);
    }
}

void config_print_help(struct strbuf *to)
{
    struct config c;

    if (schema_init(&config_schema, &c) < 0) {
        to->failed = -ENOMEM;
        return;
    }
    strbuf_addf(to, "  %-*s %-*s %-6s  %s\n", KEY_WIDTH, "KEY", FALLBACK_WIDTH, "FALLBACK", "AT", "MEANING");
    walk_members(&config_schema, &c, "", help_row, to);
    config_done(&c);
}

void config_print_manual(struct strbuf *to)
{
    struct config c;

    if (schema_init(&config_schema, &c) < 0) {
        to->failed = -ENOMEM;
        return;
    }
    strbuf_adds(to, ".SH KEYS\n");
    walk_members(&config_schema, &c, "", manual_row, to);
    config_done(&c);
}
