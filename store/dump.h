/* Dumps: the whole store as one JSON document, and back. The form is SFTPGo's (contract/rest.md §5.2): written as
 * version 10, read from versions 8 to 17 as far as users, folders, administrators and API keys
 * go.
 *
 * A restore is one transaction: with one invalid object nothing changes. What a dump has and Tally has not (groups,
 * roles, shares, members of later versions) is never lost silently: it is listed in the result, object by object.
 * Password hashes and secrets go out and come in as they are. Usage is never restored: the ledger counts what is there.
 *
 * Threads:   any; both block, and a restore hashes the plain passwords it finds.
 * Ownership: results belong to the caller: restore_done().
 * Source:    contract/rest.md §5; DESIGN §10. */
#pragma once

#include "store/store.h"

enum {
    DUMP_VERSION = 10,
    DUMP_VERSION_MIN = 8,
    DUMP_VERSION_MAX = 17,
    RESTORE_PLAIN_MAX = 1000,  /* plain passwords in one dump: each costs a hash */
    RESTORE_LISTED_MAX = 1000, /* things left out that are kept for the report; all are counted */
};

enum dump_scope {
    DUMP_USERS = 1 << 0,
    DUMP_FOLDERS = 1 << 1,
    DUMP_ADMINS = 1 << 2,
    DUMP_API_KEYS = 1 << 3,
    DUMP_ALL = (1 << 4) - 1,
};

/* Live numbers of a user or folder, for those who know them. */
struct dump_usage {
    int64_t bytes, files, changed_ms;
};
typedef void dump_usage_fn(void *arg, bool is_user, int64_t id, struct dump_usage *ret);

/* dump_write - one snapshot of the store as an object; sections outside of `scopes` are absent. `usage` may be NULL. */
int dump_write(struct store *s, uint32_t scopes, dump_usage_fn *usage, void *arg, struct json_out *out) MUST_CHECK;

struct restore_options {
    bool only_add;         /* what exists stays as it is */
    bool skip_unsupported; /* objects on storage that Tally has not are left out; without it they refuse the dump */
};

enum restored_as { RESTORE_KEPT, RESTORE_ADDED, RESTORE_UPDATED };

struct restored {
    enum dump_scope scope; /* one of them */
    enum restored_as as;
    int64_t id; /* of an API key 0 */
    char *name;
    bool is_limited; /* a user with a quota */
};

/* Something of the dump that is not in the store now. */
struct left_out {
    const char *section; /* "users"; borrowed from the result */
    char *name;          /* of the object, or where it stands: "[3]" */
    char *member;        /* NULL: all of the object */
    char *reason;
};

struct restore {
    struct restored *v; /* folders, users, administrators, API keys */
    size_t n;
    struct left_out *left_out; /* at most RESTORE_LISTED_MAX */
    size_t left_out_n;
    uint64_t left_out_total;
    struct strings sections; /* what left_out.section points to */
};

/* dump_restore - text of a dump into the store. -EINVAL with reterr_why: no JSON, no dump, a version that is not read,
 * an invalid object (why.field is "users[3]", why.text names object and member) or two objects of one name; -EROFS: a
 * reader's store; else as store.h. Nothing has changed then. */
int dump_restore(struct store *s, const char *text, size_t len, const struct restore_options *o, struct restore *ret,
                 struct why *reterr_why) MUST_CHECK;
void restore_done(struct restore *r);

/* restore_count - how many of a scope came in so. */
size_t restore_count(const struct restore *r, enum dump_scope scope, enum restored_as as);

/* dump_scope_of - the bit of a section's name ("users"); 0: none of ours. */
uint32_t dump_scope_of(const char *name);
