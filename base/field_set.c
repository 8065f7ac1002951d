/* A member from text: fallbacks and environment variables.
 *
 * The path is walked step by step: a name finds a row, an index an entry; the entry after the last one is made. */
#include "base/field_value.h"

#include <stdlib.h>
#include <string.h>

static int text_bool(bool *member, const char *text, const struct place *p, struct why *w)
{
    if (str_equal_nocase(text, "true") || strcmp(text, "1") == 0)
        *member = true;
    else if (str_equal_nocase(text, "false") || strcmp(text, "0") == 0)
        *member = false;
    else
        return place_fail(p, w, "must be true or false");
    return 0;
}

static int text_int(const struct field *f, void *member, const char *text, const struct place *p, struct why *w)
{
    int64_t n = 0;
    int r = str_int(text, INT64_MIN, INT64_MAX, &n);

    if (r == -EINVAL)
        return place_fail(p, w, "must be an integer");
    if (r < 0)
        n = text[0] == '-' ? INT64_MIN : INT64_MAX;
    return value_int(f, member, n, p, w);
}

/* One entry, without the spaces around it; nothing if that is empty. */
static int add_trimmed(const struct field *f, struct strings *list, const char *s, size_t len, const struct place *p,
                       struct why *w)
{
    struct place at = { .up = p, .index = list->n };

    for (; len > 0 && s[0] == ' '; len--)
        s++;
    while (len > 0 && s[len - 1] == ' ')
        len--;
    if (len == 0)
        return 0;
    if (list->n == field_entries_max(f))
        return place_fail(p, w, "must not have more than %zu entries", field_entries_max(f));
    char *entry = strndup(s, len);
    int r = entry ? value_entry(f, list, entry, len, &at, w) : -ENOMEM;
    free(entry);
    return r;
}

/* "a, b": two entries; "": none. */
static int text_strings(const struct field *f, struct strings *member, const char *text, const struct place *p,
                        struct why *w)
{
    struct strings fresh = { 0 };
    int r = 0;

    for (const char *s = text; r == 0 && *s != '\0';) {
        size_t len = strcspn(s, ",");
        r = add_trimmed(f, &fresh, s, len, p, w);
        s += len + (s[len] == ',');
    }
    if (r < 0) {
        strings_done(&fresh);
        return r;
    }
    strings_done(member);
    *member = fresh;
    return 0;
}

static int text_json(const struct field *f, void *member, const char *text, const struct place *p, struct why *w)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    struct why inner = { 0 };
    int r = json_in(text, strlen(text), JSON_WHOLE, &j, &inner);

    if (r == -ENOMEM)
        return r;
    return r < 0 ? place_fail(p, w, "%s", inner.text) : value_json(f, member, j, USE_CONFIG, p, w);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
int value_text(const struct field *f, void *member, const char *text, const struct place *p, struct why *w)
{
    switch (f->type) {
    case FIELD_BOOL:
        return text_bool(member, text, p, w);
    case FIELD_STRING:
        return value_string(f, member, text, strlen(text), p, w);
    case FIELD_STRINGS:
        return text_strings(f, member, text, p, w);
    case FIELD_OBJECT:
    case FIELD_OBJECTS:
    case FIELD_CUSTOM:
        return text_json(f, member, text, p, w);
    default:
        return text_int(f, member, text, p, w);
    }
}

/* ---- paths ---- */

struct step {
    char name[64];
    const char *rest; /* of the path, after name or index */
};

/* Reads a name up to '.', '[' or the end. */
static bool step_name(const char *path, struct step *ret)
{
    size_t len = strcspn(path, ".[");

    ret->name[0] = '\0';
    if (len == 0 || len >= sizeof ret->name)
        return false;
    memcpy(ret->name, path, len);
    ret->name[len] = '\0';
    ret->rest = path + len;
    return true;
}

/* Reads "[12]" of a list with n entries and at most `max`. */
static int step_index(struct step *st, size_t n, size_t max, size_t *ret, const struct place *p, struct why *w)
{
    char digits[8];
    int64_t i;
    size_t len = strcspn(st->rest + 1, "]");

    if (st->rest[len + 1] != ']' || len >= sizeof digits)
        return -ENOENT;
    memcpy(digits, st->rest + 1, len);
    digits[len] = '\0';
    if (str_int(digits, 0, (int64_t)max, &i) < 0)
        return -ENOENT;
    if ((size_t)i > n)
        return place_fail(p, w, "leaves a gap: the list has %zu entries", n);
    if ((size_t)i == max)
        return place_fail(p, w, "must not have more than %zu entries", max);
    st->rest += len + 2;
    *ret = (size_t)i;
    return 0;
}

static int set_entry(const struct field *f, struct strings *list, size_t i, const char *text, const struct place *p,
                     struct why *w)
{
    int r = value_entry(f, list, text, strlen(text), p, w);

    if (r < 0 || i == list->n - 1)
        return r;
    free(list->v[i]); /* an older one: the new one takes its place */
    list->v[i] = list->v[--list->n];
    return 0;
}

static int unknown(const struct schema *s, const char *name, const struct place *p, struct why *w)
{
    IGNORE(place_unknown(p, s, name, w), "it fills *w");
    return -ENOENT;
}

static size_t entries(const struct field *f, const void *member)
{
    return f->type == FIELD_STRINGS ? ((const struct strings *)member)->n : ((const struct objects *)member)->n;
}

/* Goes into an object or an entry of a list of them: *obj is that object then, and st->rest what follows. */
static int descend(const struct field *f, void **obj, struct step *st, const struct place *p, struct why *w)
{
    void *member = field_member(f, *obj);
    size_t i = 0;

    if (f->type == FIELD_OBJECT) {
        *obj = member;
        return *st->rest == '.' ? 0 : -ENOENT;
    }
    if (f->type != FIELD_OBJECTS || *st->rest != '[')
        return -ENOENT;
    int r = step_index(st, entries(f, member), field_entries_max(f), &i, p, w);
    if (r < 0)
        return r;
    if (*st->rest != '.')
        return -ENOENT;
    if (i == entries(f, member) && objects_grow(f->sub, member) < 0)
        return -ENOMEM;
    *obj = objects_at(f->sub, member, i);
    return 0;
}

/* Sets the member itself, or an entry of a list of strings: the end of the path. 1 if the path goes on. */
static int set_last(const struct field *f, void *member, struct step *st, const char *text, const struct place *p,
                    struct why *w)
{
    size_t i = 0;

    if (*st->rest == '\0')
        return value_text(f, member, text, p, w);
    if (f->type != FIELD_STRINGS)
        return 1;
    if (*st->rest != '[')
        return -ENOENT;
    int r = step_index(st, entries(f, member), field_entries_max(f), &i, p, w);
    if (r < 0)
        return r;
    return *st->rest == '\0' ? set_entry(f, member, i, text, p, w) : -ENOENT;
}

int schema_set(const struct schema *s, void *obj, const char *path, const char *text, struct why *reterr_why)
{
    struct place p = { .name = path };
    struct step st = { .rest = path };

    for (;; st.rest++) { /* over the point */
        const struct field *f = step_name(st.rest, &st) ? field_find(s, st.name, true, 0) : NULL;
        if (f == NULL)
            return unknown(s, st.name, &p, reterr_why);
        int r = set_last(f, field_member(f, obj), &st, text, &p, reterr_why);
        if (r == 1)
            r = descend(f, &obj, &st, &p, reterr_why);
        else if (r == 0)
            return 0;
        if (r < 0)
            return r == -ENOENT ? unknown(s, st.rest, &p, reterr_why) : r;
        s = f->sub;
    }
}
