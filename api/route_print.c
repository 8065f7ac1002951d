/* The routes as one JSON list, for the comparison with openapi.yaml. Fields are printed as a body has them: what is
 * read-only is not in `in`, what is write-only not in `out`. Nested members have dots, "[]" where there is a list. */
#include <stdio.h>
#include <string.h>

#include "api/apid.h"
#include "api/route.h"
#include "base/json.h"

enum { NAME_MAX_LEN = 256 };

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void fields_print(struct json_out *out, const struct schema *s, uint32_t skip, const char *prefix)
{
    char name[NAME_MAX_LEN], inner[NAME_MAX_LEN];

    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
        if (f->flags & (skip | FIELD_HIDDEN))
            continue;
        snprintf(name, sizeof(name), "%s%s", prefix, field_name(f));
        json_str(out, name);
        if (f->sub == NULL)
            continue;
        snprintf(inner, sizeof(inner), "%.240s%s.", name, f->type == FIELD_OBJECTS ? "[]" : "");
        fields_print(out, f->sub, skip, inner);
    }
}

static void schema_print(struct json_out *out, const char *name, const char *fields, const struct schema *s,
                         uint32_t skip)
{
    json_name_str(out, name, s != NULL ? s->name : NULL);
    json_name(out, fields);
    json_begin(out, '[');
    if (s != NULL)
        fields_print(out, s, skip, "");
    json_end(out, ']');
}

static void permission_print(struct json_out *out, uint32_t perm)
{
    json_name(out, "permission");
    json_begin(out, '[');
    for (const struct perm_row *p = admin_perms + 1; p->name != NULL; p++) /* the first is "*" */
        if (perm & p->bit)
            json_str(out, p->name);
    json_end(out, ']');
}

static const struct {
    uint32_t bit;
    int status;
} failure_statuses[] = {
    { FAILS_400, 400 }, { FAILS_401, 401 }, { FAILS_403, 403 }, { FAILS_404, 404 },
    { FAILS_409, 409 }, { FAILS_413, 413 }, { FAILS_501, 501 }, { FAILS_503, 503 },
};

static void statuses_print(struct json_out *out, const struct route *row)
{
    uint32_t fails = row->fails;

    if (!(row->perm & ADM_PUBLIC))
        fails |= FAILS_401;
    if (!(row->perm & (ADM_PUBLIC | ADM_ANY | ADM_USER)) || row->no_key)
        fails |= FAILS_403;
    json_name(out, "statuses");
    json_begin(out, '[');
    json_int(out, row->status);
    for (size_t i = 0; i < ARRAY_SIZE(failure_statuses); i++)
        if (fails & failure_statuses[i].bit)
            json_int(out, failure_statuses[i].status);
    json_end(out, ']');
}

static void query_print(struct json_out *out, const char *names)
{
    char name[32];

    json_name(out, "query");
    json_begin(out, '[');
    for (const char *at = names; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, " ");
        snprintf(name, sizeof(name), "%.*s", (int)len, at);
        json_str(out, name);
        at += len + (at[len] == ' ');
    }
    json_end(out, ']');
}

static const char *access_name(uint32_t perm)
{
    return perm & ADM_PUBLIC ? "public" : perm & ADM_ANY ? "any" : perm & ADM_USER ? "user" : "permission";
}

static void route_print(struct json_out *out, const struct route *row)
{
    json_begin(out, '{');
    json_name_str(out, "method", row->method);
    json_name_str(out, "path", row->path);
    json_name_str(out, "operation", row->operation);
    json_name_str(out, "access", access_name(row->perm));
    permission_print(out, row->perm & ADM_ALL);
    schema_print(out, "in", "in_fields", row->in, FIELD_READ_ONLY);
    schema_print(out, "out", "out_fields", row->out, FIELD_WRITE_ONLY);
    json_name_bool(out, "is_list", row->is_list);
    json_name_bool(out, "in_list", row->in_list);
    json_name_bool(out, "no_key", row->no_key);
    json_name_bool(out, "deprecated", row->deprecated);
    json_name_bool(out, "x_tally", row->x_tally);
    json_name_bool(out, "under_api", row->at == AT_API);
    statuses_print(out, row);
    query_print(out, row->query);
    json_end(out, '}');
}

void apid_print_routes(struct strbuf *to)
{
    struct json_out out = { .to = to, .first = true };

    json_begin(&out, '[');
    for (const struct route *row = routes; row < routes + routes_n; row++)
        route_print(&out, row);
    json_end(&out, ']');
    strbuf_addc(to, '\n');
}
