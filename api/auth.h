/* Who asks: Basic for tokens, Bearer or an API key for everything else; administrators and users as they are now.
 *
 * Each request is checked against the holder's present row, so a token ends at once when its holder is disabled,
 * deleted or gets another password, other permissions or another allow list (DESIGN §10).
 *
 * Threads: any. Principals are immutable and shared: a change makes a new one. */
#pragma once

#include "api/token.h"
#include "store/store.h"

enum {
    AUTHORIZATION_MAX = TOKEN_MAX + 16, /* bytes of the header that we look at */
    BASIC_NAME_MAX = 255,
    BASIC_PASSWORD_MAX = 512,
    PRINCIPAL_FRESH_MS = 1000, /* how old a cached row may be: nobody but us writes, and we say when */
    VERIFIED_FRESH_MS = 60000, /* how long a right password is remembered, as a keyed hash */
};

enum holder { HOLDER_ADMIN, HOLDER_USER };

/* An administrator or a user at one moment. */
struct principal {
    _Atomic unsigned refs;
    enum holder kind;
    char *username;               /* borrowed from the row, like the next */
    const char *password;         /* hash; NULL: none */
    uint32_t perms;               /* ADM_* */
    struct strings permissions;   /* what a token says: of administrators as stored, of users their web_client options;
                                   borrowed from the row */
    char sub[TOKEN_HASH_LEN + 1]; /* over all that a token must end with */
    char allow_list_hash[TOKEN_HASH_LEN + 1]; /* of administrators */
    bool is_local; /* root or group tally on the administrators' socket: no row in the store */
    union {
        struct admin admin;
        struct user user;
    };
};

struct principal *principal_ref(struct principal *p);
void principal_unref(struct principal *p);

/* principal_of_admin, principal_of_user - *row is moved (also on failure). principal_local - the all-powerful one of
 * the administrators' socket. */
int principal_of_admin(struct admin *row, struct principal **ret) MUST_CHECK;
int principal_of_user(struct user *row, struct principal **ret) MUST_CHECK;
struct principal *principal_local(void);

/* principal_refusal - NULL while the holder may use the API from this address, having shown a "password" or an "api
 * key"; else why not. principal_may_come_from - only the address. */
const char *principal_refusal(const struct principal *p, const char *method, const char *address);
bool principal_may_come_from(const struct principal *p, const char *address);
bool principal_wants_code(const struct principal *p); /* a second factor for HTTP */
bool principal_takes_api_keys(const struct principal *p);
const struct totp_config *principal_totp(const struct principal *p);
int64_t principal_last_login(const struct principal *p);

enum auth_scheme { SCHEME_NONE, SCHEME_BASIC, SCHEME_BEARER, SCHEME_OTHER, SCHEME_BAD };

/* The parts of an Authorization header. All owned: authorization_done(), which also wipes. */
struct authorization {
    enum auth_scheme scheme;
    char *username, *password; /* Basic */
    char *token;               /* Bearer */
};

/* authorization_parse - NULL is SCHEME_NONE. SCHEME_BAD: too long, no base64, no colon, control bytes, not UTF-8. */
void authorization_parse(const char *header, struct authorization *ret);
void authorization_done(struct authorization *a);

struct auth;
int auth_new(struct store *store, const struct config *config, struct auth **ret) MUST_CHECK;
void auth_free(struct auth *a);

/* auth_principal - an administrator or user as stored now. *ret is a reference. -ENOENT, -EIO, -ENOMEM. */
int auth_principal(struct auth *a, enum holder kind, const char *username, struct principal **ret) MUST_CHECK;
struct principal *auth_local(struct auth *a); /* a reference to the all-powerful one of the administrators' socket */

/* auth_changed - an administrator or user of that name was added, changed or removed: forget what is cached. After the
 * write. */
void auth_changed(struct auth *a, const char *username);

/* auth_bearer - the holder of a token. *ret is a reference, *ret_jti (may be NULL) is owned; both only on TOKEN_OK. */
struct auth_ask {
    const struct token_key *key;
    enum holder kind; /* whose tokens are good here */
    const char *token, *address;
};
enum token_result auth_bearer(struct auth *a, const struct auth_ask *ask, struct principal **ret, char **ret_jti);
int auth_logout(struct auth *a, const char *jti, int64_t exp_s) MUST_CHECK;

/* auth_token - a new token. *ret_token is owned. */
int auth_token(const struct token_key *k, const struct principal *p, int64_t now_s, char **ret_token) MUST_CHECK;

/* What is proved by a password: a principal, or an API key. */
struct claim {
    const char *name;
    const char *hash; /* NULL or empty: nobody, but it takes as long as for somebody */
};

/* auth_verified - is this password known to be right? Costs about a microsecond. */
bool auth_verified(struct auth *a, const struct claim *c, const char *password);

/* auth_verify - computes: 0 right (and remembered), -EACCES wrong. Blocks. */
int auth_verify(struct auth *a, const struct claim *c, const char *password) MUST_CHECK;

/* auth_code - the second factor: 0, or -EACCES if the passcode is absent, wrong or was used before (RFC 6238 §5.2). */
int auth_code(struct auth *a, const struct principal *p, const char *passcode) MUST_CHECK;
