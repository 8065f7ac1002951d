/* Who asks: Basic for tokens, Bearer for everything else; and the administrators as they are now.
 *
 * Each request is checked against the administrator's present row, so a token ends at once when its holder is disabled,
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

/* An administrator at one moment. */
struct principal {
    _Atomic unsigned refs;
    char *username;
    char *password; /* hash */
    int32_t status;
    uint32_t perms;             /* ADM_* */
    struct strings permissions; /* as stored */
    struct strings allow_list;
    char sub[TOKEN_HASH_LEN + 1]; /* over username and password hash */
    char allow_list_hash[TOKEN_HASH_LEN + 1];
    int64_t last_login_ms;
    int64_t token_exp_s; /* of the token that was shown; 0: none */
    bool is_local;       /* root or group tally on the administrators' socket: no row in the store */
};

struct principal *principal_ref(struct principal *p);
void principal_unref(struct principal *p);
bool principal_may_come_from(const struct principal *p, const char *address);

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

/* auth_principal - an administrator as stored now. *ret is a reference. -ENOENT, -EIO, -ENOMEM. */
int auth_principal(struct auth *a, const char *username, struct principal **ret) MUST_CHECK;
struct principal *auth_local(struct auth *a); /* a reference to the all-powerful one of the administrators' socket */

/* auth_changed - an administrator was added, changed or removed: forget what is cached. After the write. */
void auth_changed(struct auth *a, const char *username);

/* auth_bearer - the holder of a token. *ret is a reference, *ret_jti (may be NULL) is owned; both only on TOKEN_OK. */
enum token_result auth_bearer(struct auth *a, const struct token_key *k, const char *token, const char *address,
                              struct principal **ret, char **ret_jti);
int auth_logout(struct auth *a, const char *jti, int64_t exp_s) MUST_CHECK;

/* auth_token - a new token for an administrator. *ret_token is owned. */
int auth_token(struct auth *a, const struct token_key *k, const struct principal *p, int64_t now_s,
               char **ret_token) MUST_CHECK;

/* auth_verified - is this password known to be right for this principal? Costs about a microsecond. */
bool auth_verified(struct auth *a, const struct principal *p, const char *password);

/* auth_verify - computes: 0 right (and remembered), -EACCES wrong; `p` NULL: an unknown name, takes as long. Blocks. */
int auth_verify(struct auth *a, const struct principal *p, const char *password) MUST_CHECK;
