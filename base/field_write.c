/* A struct as JSON, by its rows, in the order of the rows. */
#include "base/field_value.h"

static void write_strings(const struct strings *list, struct json_out *out)
{
    json_begin(out, '[');
    for (size_t i = 0; i < list->n; i++)
        json_str(out, list->v[i]);
    json_end(out, ']');
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static void write_objects(const struct schema *sub, const struct objects *list, enum schema_show show,
                          struct json_out *out)
{
    json_begin(out, '[');
    for (size_t i = 0; i < list->n; i++)
        schema_write(sub, objects_at(sub, list, i), show, out);
    json_end(out, ']');
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
void field_write(const struct field *f, const void *member, enum schema_show show, struct json_out *out)
{
    const char *s;

    switch (f->type) {
    case FIELD_BOOL:
        json_flag(out, *(const bool *)member);
        break;
    case FIELD_STRING:
        s = *(char *const *)member;
        json_str(out, s ? s : "");
        break;
    case FIELD_STRINGS:
        write_strings(member, out);
        break;
    case FIELD_OBJECT:
        schema_write(f->sub, member, show, out);
        break;
    case FIELD_OBJECTS:
        write_objects(f->sub, member, show, out);
        break;
    case FIELD_CUSTOM:
        f->codec->write(member, out);
        break;
    default:
        json_int(out, field_int(f, member));
    }
}

static bool is_shown(const struct field *f, const void *member, enum schema_show show)
{
    if (show == SHOW_API && (f->flags & (FIELD_WRITE_ONLY | FIELD_HIDDEN)))
        return false;
    return !(f->flags & FIELD_OMIT_EMPTY) || !field_is_empty(f, member);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
void schema_write_members(const struct schema *s, const void *obj, enum schema_show show, struct json_out *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
        const void *member = field_member_const(f, obj);
        if (!is_shown(f, member, show))
            continue;
        json_name(out, field_name(f));
        field_write(f, member, show, out);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
void schema_write(const struct schema *s, const void *obj, enum schema_show show, struct json_out *out)
{
    json_begin(out, '{');
    schema_write_members(s, obj, show, out);
    json_end(out, '}');
}
