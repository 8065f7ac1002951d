/* Where a value stands, in the words of the person who wrote it; and what an unknown name was meant to be. */
#include "base/field_value.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { PLACE_DEPTH_MAX = 40, NAME_MAX_BYTES = 48, TYPOS_MAX = 2 };

void place_print(const struct place *p, char *to, size_t room)
{
    const struct place *way[PLACE_DEPTH_MAX];
    size_t n = 0;
    size_t len = 0;

    for (; p != NULL && n < ARRAY_SIZE(way); p = p->up)
        way[n++] = p;
    to[0] = '\0';
    while (n > 0 && len < room) {
        p = way[--n];
        int w = p->name ? snprintf(to + len, room - len, "%s%s", len > 0 ? "." : "", p->name)
                        : snprintf(to + len, room - len, "[%zu]", p->index);
        len += (size_t)MAX(w, 0);
    }
}

int place_fail(const struct place *p, struct why *w, const char *fmt, ...)
{
    struct why made; /* of its sizes; nothing else */
    va_list ap;

    place_print(p, made.field, sizeof made.field);
    va_start(ap, fmt);
    vsnprintf(made.text, sizeof made.text, fmt, ap);
    va_end(ap);
    return why_set(w, -EINVAL, made.field, "%s", made.text);
}

const struct field *field_find(const struct schema *s, const char *name, bool exact, size_t hint)
{
    for (size_t k = 0; k < s->n; k++) {
        const struct field *f = &s->fields[(hint + k) % s->n];
        const char *mine = field_name(f);
        if ((mine[0] | 0x20) != (name[0] | 0x20))
            continue;
        if (exact ? strcmp(mine, name) == 0 : strcasecmp(mine, name) == 0)
            return f;
    }
    return NULL;
}

/* Insertions, deletions and replacements from a to b (Levenshtein), one row of the table at a time. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t n = strlen(b);

    if (strlen(a) > NAME_MAX_BYTES || n > NAME_MAX_BYTES)
        return NAME_MAX_BYTES;
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < n; k++) {
            size_t replaced = corner + (a[i] != b[k]);
            corner = row[k + 1];
            row[k + 1] = MIN(replaced, MIN(row[k], corner) + 1);
        }
    }
    return row[n];
}

int place_unknown(const struct place *p, const struct schema *s, const char *name, struct why *w)
{
    const char *nearest = NULL;
    size_t least = TYPOS_MAX + 1;

    for (size_t i = 0; i < s->n; i++) {
        size_t d = edit_distance(name, field_name(&s->fields[i]));
        if (d < least && d < strlen(name)) {
            least = d;
            nearest = field_name(&s->fields[i]);
        }
    }
    if (nearest == NULL)
        return place_fail(p, w, "unknown key");
    return place_fail(p, w, "unknown key; did you mean \"%s\"?", nearest);
}
