/* What the files of dumps share. Inside store/dump*.c only. */
#pragma once

#include "store/dump.h"
#include "store/rows.h"

/* report_add - one thing left out. `member` NULL: the whole object. -ENOMEM. */
int report_add(struct restore *r, const char *section, const char *name, const char *member, const char *fmt,
               ...) MUST_CHECK PRINTF(5, 6);

/* report_members - members of an object that its schema does not know and that say something. */
int report_members(struct restore *r, const char *section, const char *name, const struct schema *s,
                   struct json_object *in) MUST_CHECK;

/* report_foreign - a section that Tally has not: each of its objects. */
int report_foreign(struct restore *r, const char *section, struct json_object *in) MUST_CHECK;

/* secrets_drop - a second factor and recovery codes that cannot be read here are taken out, and reported. */
int secrets_drop(struct restore *r, const char *section, const char *name, struct totp_config *totp,
                 struct objects *codes) MUST_CHECK;

/* words_drop - takes names that Tally does not know out of an object's lists of names (rights, protocols), and reports
 * them: they stand for things that are not there. */
int words_drop(struct restore *r, enum dump_scope scope, const char *name, struct json_object *in) MUST_CHECK;

/* Each restores one prepared object, in the writer: an enum restored_as or a negative errno. The id is filled in. */
int user_restore(struct db *d, struct user *u, const char *mount, struct why *w) MUST_CHECK;
int folder_restore(struct db *d, struct folder *f, bool only_add, const char *mount, struct why *w) MUST_CHECK;
int admin_restore(struct db *d, struct admin *a, bool only_add) MUST_CHECK;
int api_key_restore(struct db *d, struct api_key *k, bool only_add, struct why *w) MUST_CHECK;

/* user_exists - 1 or 0. */
int user_exists(struct db *d, const char *username) MUST_CHECK;

/* path_release - the directory that a user or folder of this name has, unless it is `keep`: others of the same dump may
 * take it. */
int path_release(struct db *d, enum path_owner kind, const char *name, const char *keep) MUST_CHECK;

/* Each calls `fn` for all objects, in the order of names, on this connection. They are freed after the call. */
int users_all(struct db *d, int (*fn)(void *arg, struct user *u), void *arg) MUST_CHECK;
int folders_all(struct db *d, int (*fn)(void *arg, struct folder *f), void *arg) MUST_CHECK;
int admins_all(struct db *d, int (*fn)(void *arg, struct admin *a), void *arg) MUST_CHECK;
int api_keys_all(struct db *d, int (*fn)(void *arg, struct api_key *k), void *arg) MUST_CHECK;
