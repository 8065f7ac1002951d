/* openapi.yaml is a part of the program, so what is served is what it was tested with. The page is written from the
 * rows of route.c: nothing is fetched from anywhere, and it cannot be out of date. */
#include "api/openapi.h"

#include <string.h>

#include "api/route.h"

__asm__(".pushsection .rodata\n"
        ".global tally_openapi_begin, tally_openapi_end\n"
        "tally_openapi_begin:\n"
        ".incbin \"" TALLY_OPENAPI "\"\n"
        "tally_openapi_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern const char tally_openapi_begin[], tally_openapi_end[];

const char *openapi_text(size_t *ret_len)
{
    *ret_len = (size_t)(tally_openapi_end - tally_openapi_begin);
    return tally_openapi_begin;
}

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tally: REST API</title><style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\n"
    "summary{cursor:pointer;font-family:monospace}summary b{display:inline-block;width:5em}\n"
    "code{background:#eee;padding:0 .2em}.old{opacity:.5}dl{margin:.5em 0 1em 5em}dt{font-weight:bold}\n"
    "</style></head><body><h1>Tally: REST API</h1>\n"
    "<p>Each operation with what it wants and gives. The whole schema, with descriptions and examples, is "
    "<a href=\"/openapi/openapi.yaml\">openapi.yaml</a>. A token comes from <code>GET /api/v2/token</code> "
    "(HTTP Basic) and goes into <code>Authorization: Bearer</code>; programs may show <code>X-SFTPGO-API-KEY</code> "
    "instead.</p>\n";

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void members_write(struct strbuf *to, const struct schema *s, uint32_t skip, const char *prefix)
{
    char inner[256];

    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
        if (f->flags & (skip | FIELD_HIDDEN))
            continue;
        strbuf_addf(to, "<code>%s%s%s</code> ", prefix, field_name(f), f->type == FIELD_OBJECTS ? "[]" : "");
        if (f->sub == NULL || strlen(prefix) + strlen(field_name(f)) + 4 > sizeof(inner))
            continue;
        struct strbuf next = STRBUF(sizeof(inner) - 1);
        strbuf_addf(&next, "%s%s%s.", prefix, field_name(f), f->type == FIELD_OBJECTS ? "[]" : "");
        if (strbuf_ok(&next) == 0) {
            str_set(inner, sizeof(inner), next.s);
            members_write(to, f->sub, skip, inner);
        }
        strbuf_done(&next);
    }
}

static void who_write(struct strbuf *to, const struct route *row)
{
    strbuf_adds(to, "<dt>Who</dt><dd>");
    if (row->perm & ADM_PUBLIC)
        strbuf_adds(to, "everybody");
    else if (row->perm & ADM_USER)
        strbuf_adds(to, "a user, with a token of <code>/user/token</code>");
    else if (row->perm & ADM_ANY)
        strbuf_adds(to, "any administrator");
    else
        strbuf_adds(to, "administrators with");
    for (const struct perm_row *p = admin_perms + 1; p->name != NULL; p++) /* the first is "*" */
        if (row->perm & ADM_ALL & p->bit)
            strbuf_addf(to, " <code>%s</code>", p->name);
    if (row->no_key)
        strbuf_adds(to, "; not with an API key");
    strbuf_adds(to, "</dd>");
}

static void body_write(struct strbuf *to, const char *title, const struct schema *s, bool is_list, uint32_t skip)
{
    if (s == NULL)
        return;
    strbuf_addf(to, "<dt>%s</dt><dd>%s", title, is_list ? "a list: " : "");
    members_write(to, s, skip, "");
    strbuf_adds(to, "</dd>");
}

static void route_write(struct strbuf *to, const struct route *row)
{
    strbuf_addf(to, "<details%s><summary><b>%s</b> %s%s</summary><dl>", row->deprecated ? " class=\"old\"" : "",
                row->method, row->at == AT_API ? "/api/v2" : "", row->path);
    who_write(to, row);
    if (row->query != NULL)
        strbuf_addf(to, "<dt>Query</dt><dd>%s</dd>", row->query);
    body_write(to, "Body", row->in, row->in_list, FIELD_READ_ONLY);
    body_write(to, "Reply", row->out, row->is_list, FIELD_WRITE_ONLY);
    strbuf_addf(to, "<dt>Status</dt><dd>%d</dd></dl></details>\n", row->status);
}

void openapi_page(struct strbuf *to)
{
    strbuf_adds(to, page_head);
    for (const struct route *row = routes; row < routes + routes_n; row++)
        route_write(to, row);
    strbuf_adds(to, "</body></html>\n");
}
