/* Access tokens: JWT, HS256 (contract/rest.md §2.2 to §2.5; notes/http-db.md §B has libjwt's traps).
 *
 * Threads: keys are constant; the set of logged-out tokens has a lock of its own. */
#pragma once

#include "store/entities.h"

enum {
    TOKEN_KEY_LEN = 32,
    TOKEN_MAX = 8192, /* bytes of a token that we look at */
    TOKEN_LIFE_S = 20 * 60,
    TOKEN_NBF_S = 30,    /* how far nbf lies in the past: clocks of proxies differ */
    TOKEN_HASH_LEN = 44, /* base64 of SHA-256 */
    LOGOUTS_MAX = 4096,  /* tokens that are remembered as logged out, at once */
};

struct token_key {
    uint8_t key[TOKEN_KEY_LEN];
};

/* token_key_make - SHA-256 of the passphrase, or random if there is none. 0 or -EIO. */
int token_key_make(const char *passphrase, struct token_key *ret) MUST_CHECK;

enum token_result {
    TOKEN_OK,
    TOKEN_BAD, /* malformed, forged, of another binding, without exp */
    TOKEN_EXPIRED,
    TOKEN_EARLY,
    TOKEN_AUDIENCE,
    TOKEN_CLAIMS,  /* no usable username */
    TOKEN_REVOKED, /* logged out, or the administrator changed */
    TOKEN_FAILED,  /* memory, or the store */
};

/* What a token says. All owned: token_claims_done(). */
struct token_claims {
    char *username;
    char *sub;        /* token_signature() of the holder at that time */
    char *allow_list; /* ours: hash of the allow list at that time; NULL in a token of SFTPGo */
    char *jti;
    struct strings permissions;
    int64_t exp_s;
};
void token_claims_done(struct token_claims *c);

/* token_issue - *ret is owned. */
int token_issue(const struct token_key *k, const struct token_claims *c, const char *audience, int64_t now_s,
                char **ret) MUST_CHECK;

/* token_check - everything but logout and the administrator's present state. *ret is filled only on TOKEN_OK. */
enum token_result token_check(const struct token_key *k, const char *token, const char *audience, int64_t now_s,
                              struct token_claims *ret);

/* token_signature - base64 of SHA-256 over two texts: username and password hash (§2.2), or a list. */
void token_signature(const char *a, const char *b, char ret[TOKEN_HASH_LEN + 1]);

/* Logged-out tokens, by jti, until they expire. */
struct logouts;
int logouts_new(struct logouts **ret) MUST_CHECK;
void logouts_free(struct logouts *l);
int logouts_add(struct logouts *l, const char *jti, int64_t exp_s, int64_t now_s) MUST_CHECK; /* -EAGAIN: full */
bool logouts_has(struct logouts *l, const char *jti);
