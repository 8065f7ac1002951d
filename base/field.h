/* Field rows: one table a struct gives JSON both ways, defaults, environment, validation, copy and release.
 *
 * A row names a member, its type, its name on the wire where that differs, limits and flags. Sources and sinks are
 * adapters over the rows: schema_parse() from JSON, schema_write() to JSON; store/ and the configuration use the same
 * two. The member's C type is checked at compile time.
 *
 * Units:     in the member's name. Lengths (.max of strings) are bytes without the NUL; .max of lists is entries.
 * Ownership: strings, lists and what is in them belong to the struct; schema_done() frees them and zeroes it.
 * Threads:   rows are constant; a struct has one user at a time. */
#pragma once

#include "base/json.h"
#include "base/str.h"
#include "base/why.h"

enum field_type {
    FIELD_BOOL,    /* bool */
    FIELD_I32,     /* int32_t */
    FIELD_I64,     /* int64_t */
    FIELD_U32,     /* uint32_t */
    FIELD_U64,     /* uint64_t; at most INT64_MAX on the wire */
    FIELD_STRING,  /* char *, NULL is "" */
    FIELD_STRINGS, /* struct strings */
    FIELD_OBJECT,  /* an embedded struct with a schema of its own (.sub) */
    FIELD_OBJECTS, /* struct objects of .sub */
    FIELD_CUSTOM,  /* .codec */
};

enum field_flags {
    FIELD_KEY = 1 << 0,        /* the object's name: the URL wins, a body's value is ignored in USE_MERGE */
    FIELD_REQUIRED = 1 << 1,   /* must not be empty: schema_check() says so, schema_parse() does not */
    FIELD_READ_ONLY = 1 << 2,  /* ignored in bodies (USE_CREATE, USE_MERGE); read in USE_LOAD */
    FIELD_WRITE_ONLY = 1 << 3, /* never in SHOW_API */
    FIELD_OMIT_EMPTY = 1 << 4, /* absent from output when zero or empty */
    FIELD_HIDDEN = 1 << 5,     /* internal: only in SHOW_ALL, never read from a body */
};

enum schema_use {
    USE_CREATE, /* a new object from a body: absent members keep what schema_init() gave */
    USE_MERGE,  /* a body over a stored object (contract/rest.md §4.7); absent or null: kept; null list: emptied */
    USE_LOAD,   /* from the store or a dump: every member is read, REQUIRED is not checked */
    USE_CONFIG, /* the configuration: unknown names are errors, names match exactly */
};

enum schema_show {
    SHOW_API, /* for REST replies */
    SHOW_ALL, /* for the store and dumps: write-only and hidden members, too */
};

/* When a change of a configuration key takes effect. */
enum applies { AT_START, AT_RELOAD };

struct objects {
    void *v; /* n structs of the row's .sub, one after the other */
    size_t n;
};

struct schema;
struct field;

/* A type that the engine does not know (a map of permissions). All four take the member's address. */
struct field_codec {
    int (*parse)(struct json_object *in, void *member, const char *name, struct why *reterr_why); /* in: NULL is null */
    void (*write)(const void *member, struct json_out *out);
    int (*copy)(void *to, const void *from); /* `to` is zero */
    void (*done)(void *member);
    bool (*is_empty)(const void *member);
};

struct field {
    const char *member; /* as in C; the name on the wire unless .wire */
    const char *wire;
    size_t offset;
    enum field_type type;
    uint32_t flags;
    int64_t min; /* integers; with min == max == 0 the range is that of the type (0.. for unsigned) */
    int64_t max; /* integers: highest value; strings: bytes; lists: entries. 0: the type's (strings 4096, lists 1000) */
    const struct schema *sub;
    const struct field_codec *codec;
    bool (*valid)(const char *s); /* of a non-empty string, or of each string of a list */
    const char *valid_text;       /* completes "<field> ": "must be an absolute path" */
    const char *fallback;         /* value before any input, as schema_set() takes it; NULL: zero, of objects: theirs */
    const char *help;
    enum applies applies;
};

struct schema {
    const char *name; /* "folder" */
    size_t size;      /* of the struct */
    const struct field *fields;
    size_t n;
    int (*check)(const void *obj, struct why *reterr_why); /* rules across fields; may be NULL */
};

/* Rows. The member's type must match, else this does not compile. */
#define FIELD_TYPE_CHECK(S, m, T) (0 * sizeof(_Generic((((S *)0)->m), T : 0)))
#define FIELD_ROW(S, m, T, t, ...)                                                                                     \
    {                                                                                                                  \
        .member = #m, .type = (t), .offset = offsetof(S, m) + FIELD_TYPE_CHECK(S, m, T), __VA_ARGS__                   \
    }
#define F_BOOL(S, m, ...)    FIELD_ROW(S, m, bool, FIELD_BOOL, __VA_ARGS__)
#define F_I32(S, m, ...)     FIELD_ROW(S, m, int32_t, FIELD_I32, __VA_ARGS__)
#define F_I64(S, m, ...)     FIELD_ROW(S, m, int64_t, FIELD_I64, __VA_ARGS__)
#define F_U32(S, m, ...)     FIELD_ROW(S, m, uint32_t, FIELD_U32, __VA_ARGS__)
#define F_U64(S, m, ...)     FIELD_ROW(S, m, uint64_t, FIELD_U64, __VA_ARGS__)
#define F_STRING(S, m, ...)  FIELD_ROW(S, m, char *, FIELD_STRING, __VA_ARGS__)
#define F_STRINGS(S, m, ...) FIELD_ROW(S, m, struct strings, FIELD_STRINGS, __VA_ARGS__)
#define F_OBJECTS(S, m, ...) FIELD_ROW(S, m, struct objects, FIELD_OBJECTS, __VA_ARGS__)
#define F_OBJECT(S, m, schema, ...)                                                                                    \
    {                                                                                                                  \
        .member = #m, .type = FIELD_OBJECT, .offset = offsetof(S, m), .sub = (schema), __VA_ARGS__                     \
    }
#define F_CUSTOM(S, m, c, ...)                                                                                         \
    {                                                                                                                  \
        .member = #m, .type = FIELD_CUSTOM, .offset = offsetof(S, m), .codec = (c), __VA_ARGS__                        \
    }
#define SCHEMA(label, S, rows, ...)                                                                                    \
    {                                                                                                                  \
        .name = (label), .size = sizeof(S), .fields = (rows), .n = ARRAY_SIZE(rows), __VA_ARGS__                       \
    }

/* schema_init - zeroes *obj and gives each member its fallback. 0 or -ENOMEM. */
int schema_init(const struct schema *s, void *obj) MUST_CHECK;
void schema_done(const struct schema *s, void *obj);
int schema_copy(const struct schema *s, void *to, const void *from) MUST_CHECK; /* `to` is overwritten, not freed */

/* schema_parse - reads JSON over *obj, as `use` says. Limits and .valid are checked for each member that is there.
 *
 * Member names match without regard to case (REST), exactly in USE_CONFIG; of duplicates the last wins; unknown ones
 * are ignored, except in USE_CONFIG. Returns 0; -EINVAL with reterr_why naming field and reason; -ENOMEM. On failure
 * *obj may be half written and still owns what is in it. */
int schema_parse(const struct schema *s, struct json_object *in, enum schema_use use, void *obj,
                 struct why *reterr_why) MUST_CHECK;

/* schema_check - REQUIRED members and the schema's own check(), also of sub-schemas. */
int schema_check(const struct schema *s, const void *obj, struct why *reterr_why) MUST_CHECK;

/* schema_write - the object as one JSON object. */
void schema_write(const struct schema *s, const void *obj, enum schema_show show, struct json_out *out);

/* schema_write_members - the same without the braces, so that the caller can add members of its own. */
void schema_write_members(const struct schema *s, const void *obj, enum schema_show show, struct json_out *out);

/* schema_set - one member by its path ("bindings[0].port", names as on the wire), from text: true, false, 1, 0; strings
 * as they are; lists of strings comma separated; whole objects, lists of them and custom members as JSON, read as in
 * USE_CONFIG. An index at the end of a list grows it. -ENOENT with reterr_why if there is no such member; else as
 * schema_parse. */
int schema_set(const struct schema *s, void *obj, const char *path, const char *text,
               struct why *reterr_why) MUST_CHECK;

/* field_name - the name on the wire. */
static inline const char *field_name(const struct field *f)
{
    return f->wire ? f->wire : f->member;
}
