/* Password hashes: all forms of contract/rest.md §5.5 and of DESIGN §10 are verified, new ones are bcrypt or argon2id.
 *
 * The cost in a hash is parsed before any library is called, and too dear a hash is refused (PASSWORD_COST_* in
 * password.c), both when it is stored and when it is verified: anonymous callers make us compute it.
 *
 * Threads: any; a call may take 50 ms and more of CPU: run it in a bounded pool.
 * Source:  notes/http-db.md §C; crypt(5); RFC 9106; RFC 8018. */
#pragma once

#include "base/config.h"

enum { PASSWORD_MAX = 512 };

/* password_is_hash - does the text have the form of a hash that we verify? Then it is stored as it is. */
bool password_is_hash(const char *text);

/* password_check_hash - is this hash well-formed and affordable? 0, -EINVAL (form), -E2BIG (cost). */
int password_check_hash(const char *hash) MUST_CHECK;

/* password_verify - 0: right; -EACCES: wrong; -EINVAL or -E2BIG as above; -ENOMEM. Constant time in the password. */
int password_verify(const char *hash, const char *password) MUST_CHECK;

/* password_hash - a new hash by the configured algorithm; owned. -EINVAL: longer than PASSWORD_MAX; -ERANGE (logged):
 * the configured cost is one that we refuse to verify. */
int password_hash(const struct password_hashing *how, const char *password, char **ret) MUST_CHECK;

/* password_settle - a plain text becomes its hash; a hash, an empty text and NULL stay. *password is owned. */
int password_settle(const struct password_hashing *how, char **password) MUST_CHECK;

/* password_dummy - a hash of the configured algorithm to verify against when the user is unknown. Borrowed, static. */
const char *password_dummy(const struct password_hashing *how);
