/* JSON over a struct, by its rows.
 *
 * A body's members are walked in their order, so that of duplicates the last wins; each looks for its row, first right
 * after the row of the member before. Lists are built aside and replace the old list when they are whole. Entries of
 * lists are new objects, also in USE_MERGE: nothing older lies beneath them. */
#include "base/field_value.h"

static const double exact_double = 9007199254740992.0; /* 2^53: beyond it, integers in a double are guesses */

/* May this member be set by this use? What may not is skipped unseen. */
static bool is_taken(const struct field *f, enum schema_use use)
{
    if (use == USE_LOAD || use == USE_CONFIG)
        return true;
    return !(f->flags & (FIELD_READ_ONLY | FIELD_HIDDEN)) && !(use == USE_MERGE && (f->flags & FIELD_KEY));
}

static int parse_int(const struct field *f, void *member, struct json_object *j, const struct place *p, struct why *w)
{
    int64_t lowest;
    int64_t highest;
    double d;

    switch (json_object_get_type(j)) {
    case json_type_int:
        field_range(f, &lowest, &highest);
        if (json_object_get_uint64(j) > INT64_MAX)
            return place_fail(p, w, "must be at most %lld", (long long)highest);
        return value_int(f, member, json_object_get_int64(j), p, w);
    case json_type_double: /* 1e3 and 1.0 are integers, too */
        d = json_object_get_double(j);
        if (!(d >= -exact_double && d <= exact_double) || (double)(int64_t)d != d)
            return place_fail(p, w, "must be an integer");
        return value_int(f, member, (int64_t)d, p, w);
    default:
        return place_fail(p, w, "must be an integer");
    }
}

static int parse_bool(bool *member, struct json_object *j, const struct place *p, struct why *w)
{
    if (!json_object_is_type(j, json_type_boolean))
        return place_fail(p, w, "must be true or false");
    *member = json_object_get_boolean(j);
    return 0;
}

static int parse_string(const struct field *f, char **member, struct json_object *j, const struct place *p,
                        struct why *w)
{
    if (!json_object_is_type(j, json_type_string))
        return place_fail(p, w, "must be a string");
    return value_string(f, member, json_object_get_string(j), (size_t)json_object_get_string_len(j), p, w);
}

/* The number of entries, or a negative errno. */
static ssize_t list_len(const struct field *f, struct json_object *j, const struct place *p, struct why *w)
{
    if (!json_object_is_type(j, json_type_array))
        return place_fail(p, w, "must be a list");
    if (json_object_array_length(j) > field_entries_max(f))
        return place_fail(p, w, "must not have more than %zu entries", field_entries_max(f));
    return (ssize_t)json_object_array_length(j);
}

static int parse_strings(const struct field *f, struct strings *member, struct json_object *j, const struct place *p,
                         struct why *w)
{
    struct strings fresh = { 0 };
    ssize_t n = list_len(f, j, p, w);
    int r = n < 0 ? (int)n : 0;

    for (size_t i = 0; r == 0 && i < (size_t)n; i++) {
        struct json_object *entry = json_object_array_get_idx(j, i);
        struct place at = { .up = p, .index = i };
        if (!json_object_is_type(entry, json_type_string))
            r = place_fail(&at, w, "must be a string");
        else
            r = value_entry(f, &fresh, json_object_get_string(entry), (size_t)json_object_get_string_len(entry), &at,
                            w);
    }
    if (r == 0) {
        strings_done(member);
        *member = fresh;
        return 0;
    }
    strings_done(&fresh);
    return r;
}

static int parse_at(const struct schema *s, struct json_object *in, enum schema_use use, void *obj,
                    const struct place *up, struct why *w);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int parse_objects(const struct field *f, struct objects *member, struct json_object *j, enum schema_use use,
                         const struct place *p, struct why *w)
{
    struct objects fresh = { 0 };
    ssize_t n = list_len(f, j, p, w);
    int r = n < 0 ? (int)n : 0;

    for (size_t i = 0; r == 0 && i < (size_t)n; i++) {
        struct place at = { .up = p, .index = i };
        r = objects_grow(f->sub, &fresh);
        if (r == 0)
            r = parse_at(f->sub, json_object_array_get_idx(j, i), use == USE_MERGE ? USE_CREATE : use,
                         objects_at(f->sub, &fresh, i), &at, w);
    }
    if (r == 0) {
        objects_done(f->sub, member);
        *member = fresh;
        return 0;
    }
    objects_done(f->sub, &fresh);
    return r;
}

static int parse_custom(const struct field *f, void *member, struct json_object *j, const struct place *p,
                        struct why *w)
{
    struct why at;

    place_print(p, at.field, sizeof at.field);
    return f->codec->parse(j, member, at.field, w);
}

/* What a null does: 1 if that is all, 0 if the value's own parser looks at it. */
static int take_null(const struct field *f, void *member, enum schema_use use)
{
    if (f->type == FIELD_CUSTOM || use == USE_CONFIG)
        return 0;
    if (f->type == FIELD_STRINGS || f->type == FIELD_OBJECTS)
        field_done(f, member);
    return 1;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
int value_json(const struct field *f, void *member, struct json_object *j, enum schema_use use, const struct place *p,
               struct why *w)
{
    if (j == NULL && take_null(f, member, use))
        return 0;
    switch (f->type) {
    case FIELD_BOOL:
        return parse_bool(member, j, p, w);
    case FIELD_STRING:
        return parse_string(f, member, j, p, w);
    case FIELD_STRINGS:
        return parse_strings(f, member, j, p, w);
    case FIELD_OBJECT:
        return parse_at(f->sub, j, use, member, p, w);
    case FIELD_OBJECTS:
        return parse_objects(f, member, j, use, p, w);
    case FIELD_CUSTOM:
        return parse_custom(f, member, j, p, w);
    default:
        return parse_int(f, member, j, p, w);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int parse_at(const struct schema *s, struct json_object *in, enum schema_use use, void *obj,
                    const struct place *up, struct why *w)
{
    size_t next = 0;

    if (!json_object_is_type(in, json_type_object))
        return place_fail(up, w, "must be an object");
    json_object_object_foreach (in, name, value) {
        struct place p = { .up = up, .name = name };
        const struct field *f = field_find(s, name, use == USE_CONFIG, next);
        if (f == NULL && use == USE_CONFIG)
            return place_unknown(&p, s, name, w);
        if (f == NULL || !is_taken(f, use))
            continue;
        p.name = field_name(f);
        int r = value_json(f, field_member(f, obj), value, use, &p, w);
        if (r < 0)
            return r;
        next = (size_t)(f - s->fields) + 1;
    }
    return 0;
}

int schema_parse(const struct schema *s, struct json_object *in, enum schema_use use, void *obj, struct why *reterr_why)
{
    return parse_at(s, in, use, obj, NULL, reterr_why);
}
