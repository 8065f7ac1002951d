/* The forms of password hashes, one row each: how a hash is told, checked and verified. Inside store/ only.
 *
 * A check parses the whole hash and its cost and calls no library; a verify may rely on it. */
#pragma once

#include "base/defs.h"

struct password_form {
    const char *prefix;
    bool any_case;                                                                        /* LDAP's scheme names */
    int (*check)(const struct password_form *f, const char *hash);                        /* 0, -EINVAL, -E2BIG */
    int (*verify)(const struct password_form *f, const char *hash, const char *password); /* 0, -EACCES, -ENOMEM */
    const void *facts; /* of the file that has the functions */
};

/* What a caller may make us compute: about 1.5 s on one core of 2020 (notes/http-db.md §C). */
enum {
    PASSWORD_COST_BCRYPT = 14,
    PASSWORD_COST_SHA_ROUNDS = 1000000,
    PASSWORD_COST_PBKDF2 = 2000000,    /* iterations times blocks of output */
    PASSWORD_COST_MEMORY_KIB = 262144, /* argon2, yescrypt */
    PASSWORD_COST_ARGON2_PASSES = 10,
    PASSWORD_COST_ARGON2_LANES = 8,
    PASSWORD_COST_ARGON2_WORK = 1048576, /* KiB times passes */
};

/* Rows of each file; end with prefix NULL. */
extern const struct password_form password_crypt_forms[], password_kdf_forms[], password_ldap_forms[],
    password_apr1_forms[];

/* password_form_of - the row whose prefix the text has; NULL: plain text. */
const struct password_form *password_form_of(const char *text);

/* password_same - 0 if equal, -EACCES if not, in constant time of the length. */
int password_same(const void *a, const void *b, size_t len) MUST_CHECK;

/* password_crypt_make - bcrypt "$2a$"; owned. */
int password_crypt_make(const char *password, unsigned cost, char **ret) MUST_CHECK;

/* password_argon2_make - argon2id; owned. */
int password_argon2_make(const char *password, uint32_t memory_kib, uint32_t passes, uint32_t lanes,
                         char **ret) MUST_CHECK;

/* Verifies any text of crypt(3), after its form was checked; also DES, which has no prefix. */
int password_crypt_verify(const char *hash, const char *password) MUST_CHECK;
bool password_crypt_is_des(const char *hash);
