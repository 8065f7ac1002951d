/* The field engine: life of a struct by its rows (fallbacks, copy, release), checks, and values into members.
 *
 * Every way in (JSON, text of a variable, fallback) ends in value_int(), value_string() or value_entry(), so a limit is
 * checked in one place. Every error names the place of the value, which is a chain of stack frames until somebody wants
 * to read it. */
#include "base/field.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/field_value.h"

void *field_member(const struct field *f, void *obj)
{
    return (char *)obj + f->offset;
}

const void *field_member_const(const struct field *f, const void *obj)
{
    return (const char *)obj + f->offset;
}

/* ---- lists of structs ---- */

void *objects_at(const struct schema *sub, const struct objects *list, size_t i)
{
    return (char *)list->v + i * sub->size;
}

int objects_grow(const struct schema *sub, struct objects *list)
{
    void *v = reallocarray(list->v, list->n + 1, sub->size);

    if (v == NULL)
        return -ENOMEM;
    list->v = v;
    int r = schema_init(sub, objects_at(sub, list, list->n));
    if (r < 0)
        return r;
    list->n++;
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
void objects_done(const struct schema *sub, struct objects *list)
{
    for (size_t i = 0; i < list->n; i++)
        schema_done(sub, objects_at(sub, list, i));
    free(list->v);
    *list = (struct objects){ 0 };
}

/* Into an empty list. NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int objects_copy(const struct schema *sub, struct objects *to, const struct objects *from)
{
    struct objects copy = { .v = from->n > 0 ? calloc(from->n, sub->size) : NULL };

    if (from->n > 0 && copy.v == NULL)
        return -ENOMEM;
    for (; copy.n < from->n; copy.n++) {
        int r = schema_copy(sub, objects_at(sub, &copy, copy.n), objects_at(sub, from, copy.n));
        if (r < 0) {
            objects_done(sub, &copy);
            return r;
        }
    }
    *to = copy;
    return 0;
}

/* ---- life ---- */

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
void field_done(const struct field *f, void *member)
{
    switch (f->type) {
    case FIELD_STRING:
        mem_free(member);
        break;
    case FIELD_STRINGS:
        strings_done(member);
        break;
    case FIELD_OBJECT:
        schema_done(f->sub, member);
        break;
    case FIELD_OBJECTS:
        objects_done(f->sub, member);
        break;
    case FIELD_CUSTOM:
        f->codec->done(member);
        break;
    default:
        break;
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
void schema_done(const struct schema *s, void *obj)
{
    for (size_t i = 0; i < s->n; i++)
        field_done(&s->fields[i], field_member(&s->fields[i], obj));
    memset(obj, 0, s->size);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int field_init(const struct field *f, void *member)
{
    struct place p = { .name = field_name(f) };
    struct why why = { 0 };

    if (f->type == FIELD_OBJECT)
        return schema_init(f->sub, member);
    if (f->fallback == NULL)
        return 0;
    int r = value_text(f, member, f->fallback, &p, &why);
    assert(r == 0 || r == -ENOMEM); /* a fallback that breaks its own row's limits is our mistake */
    return r;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
int schema_init(const struct schema *s, void *obj)
{
    memset(obj, 0, s->size);
    for (size_t i = 0; i < s->n; i++) {
        int r = field_init(&s->fields[i], field_member(&s->fields[i], obj));
        if (r < 0) {
            schema_done(s, obj);
            return r;
        }
    }
    return 0;
}

static size_t number_size(enum field_type t)
{
    return t == FIELD_BOOL ? sizeof(bool) : t == FIELD_I32 || t == FIELD_U32 ? sizeof(int32_t) : sizeof(int64_t);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int field_copy(const struct field *f, void *to, const void *from)
{
    switch (f->type) {
    case FIELD_STRING:
        return str_copy(to, *(char *const *)from);
    case FIELD_STRINGS:
        return strings_copy(to, from);
    case FIELD_OBJECT:
        return schema_copy(f->sub, to, from);
    case FIELD_OBJECTS:
        return objects_copy(f->sub, to, from);
    case FIELD_CUSTOM:
        return f->codec->copy(to, from);
    default:
        memcpy(to, from, number_size(f->type));
        return 0;
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
int schema_copy(const struct schema *s, void *to, const void *from)
{
    memset(to, 0, s->size);
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
        int r = field_copy(f, field_member(f, to), field_member_const(f, from));
        if (r < 0) {
            schema_done(s, to);
            return r;
        }
    }
    return 0;
}

/* ---- limits ---- */

int64_t field_int(const struct field *f, const void *member)
{
    switch (f->type) {
    case FIELD_BOOL:
        return *(const bool *)member;
    case FIELD_I32:
        return *(const int32_t *)member;
    case FIELD_U32:
        return *(const uint32_t *)member;
    default:
        return *(const int64_t *)member; /* FIELD_U64 ends at INT64_MAX */
    }
}

void field_range(const struct field *f, int64_t *ret_lowest, int64_t *ret_highest)
{
    static const struct {
        int64_t lowest, highest;
    } rows[] = {
        [FIELD_I32] = { INT32_MIN, INT32_MAX },
        [FIELD_I64] = { -INT64_MAX, INT64_MAX }, /* INT64_MIN is what json-c makes of everything below it */
        [FIELD_U32] = { 0, UINT32_MAX },
        [FIELD_U64] = { 0, INT64_MAX },
    };

    assert(f->type >= FIELD_I32 && f->type <= FIELD_U64);
    *ret_lowest = f->min == 0 && f->max == 0 ? rows[f->type].lowest : MAX(f->min, rows[f->type].lowest);
    *ret_highest = f->max == 0 ? rows[f->type].highest : f->max;
}

size_t field_entries_max(const struct field *f)
{
    return f->max > 0 ? (size_t)f->max : FIELD_ENTRIES_MAX;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
bool field_is_empty(const struct field *f, const void *member)
{
    const char *s;

    switch (f->type) {
    case FIELD_STRING:
        s = *(char *const *)member;
        return s == NULL || s[0] == '\0';
    case FIELD_STRINGS:
        return ((const struct strings *)member)->n == 0;
    case FIELD_OBJECT:
        for (size_t i = 0; i < f->sub->n; i++)
            if (!field_is_empty(&f->sub->fields[i], field_member_const(&f->sub->fields[i], member)))
                return false;
        return true;
    case FIELD_OBJECTS:
        return ((const struct objects *)member)->n == 0;
    case FIELD_CUSTOM:
        return f->codec->is_empty(member);
    default:
        return field_int(f, member) == 0;
    }
}

/* ---- values ---- */

int value_int(const struct field *f, void *member, int64_t n, const struct place *p, struct why *w)
{
    int64_t lowest;
    int64_t highest;

    field_range(f, &lowest, &highest);
    if (n < lowest)
        return place_fail(p, w, "must be at least %lld", (long long)lowest);
    if (n > highest)
        return place_fail(p, w, "must be at most %lld", (long long)highest);
    if (f->type == FIELD_I32)
        *(int32_t *)member = (int32_t)n;
    else if (f->type == FIELD_U32)
        *(uint32_t *)member = (uint32_t)n;
    else if (f->type == FIELD_U64)
        *(uint64_t *)member = (uint64_t)n;
    else
        *(int64_t *)member = n;
    return 0;
}

static int string_check(const struct field *f, const char *s, size_t len, size_t max, const struct place *p,
                        struct why *w)
{
    if (len > max)
        return place_fail(p, w, "must not be longer than %zu bytes", max);
    if (memchr(s, '\0', len) != NULL)
        return place_fail(p, w, "must not contain a NUL character");
    if (!str_is_utf8(s, len))
        return place_fail(p, w, "must be UTF-8");
    if (len > 0 && f->valid != NULL && !f->valid(s))
        return place_fail(p, w, "%s", f->valid_text ? f->valid_text : "is not valid");
    return 0;
}

int value_string(const struct field *f, char **member, const char *s, size_t len, const struct place *p, struct why *w)
{
    int r = string_check(f, s, len, f->max > 0 ? (size_t)f->max : FIELD_STRING_MAX, p, w);

    return r < 0 ? r : str_copy(member, s);
}

int value_entry(const struct field *f, struct strings *list, const char *s, size_t len, const struct place *p,
                struct why *w)
{
    int r = string_check(f, s, len, FIELD_ENTRY_MAX, p, w);

    return r < 0 ? r : strings_add(list, s);
}

/* ---- rules across members ---- */

/* The schema's own check() names members of its own object; here the way to that object is put before them. */
static int own_check(const struct schema *s, const void *obj, const struct place *p, struct why *w)
{
    struct why inner = { 0 };
    char at[sizeof inner.field];
    char field[2 * sizeof inner.field + 1];

    if (s->check == NULL)
        return 0;
    int r = s->check(obj, &inner);
    if (r >= 0)
        return 0;
    place_print(p, at, sizeof at);
    snprintf(field, sizeof field, "%s%s%s", at, at[0] && inner.field[0] && inner.field[0] != '[' ? "." : "",
             inner.field);
    return why_set(w, r, field, "%s", inner.text);
}

static int check_at(const struct schema *s, const void *obj, const struct place *up, struct why *w);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int check_members(const struct field *f, const void *member, const struct place *p, struct why *w)
{
    const struct objects *list = member;
    int r = 0;

    if ((f->flags & FIELD_REQUIRED) && field_is_empty(f, member))
        return place_fail(p, w, "is required");
    if (f->type == FIELD_OBJECT)
        return check_at(f->sub, member, p, w);
    for (size_t i = 0; f->type == FIELD_OBJECTS && i < list->n && r == 0; i++)
        r = check_at(f->sub, objects_at(f->sub, list, i), &(struct place){ .up = p, .index = i }, w);
    return r;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int check_at(const struct schema *s, const void *obj, const struct place *up, struct why *w)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
        struct place p = { .up = up, .name = field_name(f) };
        int r = check_members(f, field_member_const(f, obj), &p, w);
        if (r < 0)
            return r;
    }
    return own_check(s, obj, up, w);
}

int schema_check(const struct schema *s, const void *obj, struct why *reterr_why)
{
    return check_at(s, obj, NULL, reterr_why);
}
