/* What the files of the field engine share: where a value stands, and how a value gets into a member.
 *
 * Only base/field*.c and base/config*.c include this.
 *
 * Lifetime: a place is a chain on the stack of the parser; its text is made only when something is wrong. */
#pragma once

#include "base/field.h"

enum {
    FIELD_STRING_MAX = 4096,  /* bytes of a string without a .max */
    FIELD_ENTRY_MAX = 16384,  /* bytes of one string of a list (a public key) */
    FIELD_ENTRIES_MAX = 1000, /* entries of a list without a .max */
};

/* One step of the way to a value: a name, or an index where name is NULL. */
struct place {
    const struct place *up;
    const char *name;
    size_t index;
};

/* place_print - "filters.file_patterns[2].path". */
void place_print(const struct place *p, char *to, size_t room);

/* place_fail - fills *w and returns -EINVAL. place_unknown - the same for a name that has no row, with the nearest. */
int place_fail(const struct place *p, struct why *w, const char *fmt, ...) PRINTF(3, 4);
int place_unknown(const struct place *p, const struct schema *s, const char *name, struct why *w);

/* field_find - the row of a name on the wire, or NULL. `hint` is tried first, since members come mostly in order. */
const struct field *field_find(const struct schema *s, const char *name, bool exact, size_t hint);

void *field_member(const struct field *f, void *obj);
const void *field_member_const(const struct field *f, const void *obj);
int64_t field_int(const struct field *f, const void *member);
bool field_is_empty(const struct field *f, const void *member);
void field_done(const struct field *f, void *member);
void field_write(const struct field *f, const void *member, enum schema_show show,
                 struct json_out *out); /* the value */

/* The row's limits. */
void field_range(const struct field *f, int64_t *ret_lowest, int64_t *ret_highest);
size_t field_entries_max(const struct field *f);

/* One value into a member, after its checks. -EINVAL with *w, -ENOMEM. The string's bytes are NUL-terminated; `len`
 * finds a NUL inside. value_entry appends to a FIELD_STRINGS list. */
int value_int(const struct field *f, void *member, int64_t n, const struct place *p, struct why *w) MUST_CHECK;
int value_string(const struct field *f, char **member, const char *s, size_t len, const struct place *p,
                 struct why *w) MUST_CHECK;
int value_entry(const struct field *f, struct strings *list, const char *s, size_t len, const struct place *p,
                struct why *w) MUST_CHECK;
int value_text(const struct field *f, void *member, const char *text, const struct place *p, struct why *w) MUST_CHECK;
int value_json(const struct field *f, void *member, struct json_object *j, enum schema_use use, const struct place *p,
               struct why *w) MUST_CHECK;

/* objects_at - the i-th struct of a list. objects_grow - one more at the end, with its fallbacks. */
void *objects_at(const struct schema *sub, const struct objects *list, size_t i);
int objects_grow(const struct schema *sub, struct objects *list) MUST_CHECK;
void objects_done(const struct schema *sub, struct objects *list);
