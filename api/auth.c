/* Three small caches make a check of the row cost nothing.
 *
 * Principals: the last PRINCIPALS administrators and users that asked. We are the only writer of the store, so a row
 * changes only by our own hand, and auth_changed() drops it after the write and before the reply. A load that began
 * before that must not put the old row back: it remembers the generation, and only the same generation may insert. The
 * age limit is for a database that somebody replaces under us.
 *
 * Tokens: the claims of those whose signature was right, by SHA-256 of token, audience and key. Whether a token was
 * logged out and whether its holder is still the same is asked for each request.
 *
 * Verified passwords: HMAC-SHA256 under a key of this process over name, NUL, password; never the password. Only
 * successes. An entry is worth what the password hash was then: another hash, and it matches no more. */
#include "api/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/sys.h"
#include "store/password.h"
#include "store/totp.h"

enum { PRINCIPALS = 64, VERIFIED = 256, TOKENS = 256 };

struct cached_principal {
    struct principal *p; /* reference; NULL: free */
    uint64_t loaded_ns;
};

struct verified {
    uint8_t mac[32];
    char hash[TOKEN_HASH_LEN + 1]; /* of name and password hash */
    uint64_t until_ns;             /* 0: free */
};

struct used_code {
    uint8_t mac[32]; /* of the account */
    int64_t step;
};

/* A token whose signature and claims were found good. */
struct checked_token {
    _Atomic unsigned refs;
    struct token_claims claims;
};

struct cached_token {
    uint8_t digest[32];      /* of token, audience and key */
    struct checked_token *t; /* reference; NULL: free */
};

struct auth {
    struct store *store;
    const struct config *config;
    struct logouts *logouts;
    struct principal *local;
    uint8_t mac_key[32];
    struct mutex lock;
    struct cached_principal principals[PRINCIPALS]; /* lock */
    uint64_t generation;                            /* lock */
    struct verified verified[VERIFIED];             /* lock */
    struct cached_token tokens[TOKENS];             /* lock */
    struct used_code used_codes[VERIFIED];          /* lock */
};

static void checked_unref(struct checked_token *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    token_claims_done(&t->claims);
    free(t);
}

int auth_new(struct store *store, const struct config *config, struct auth **ret)
{
    struct auth *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return -ENOMEM;

    a->store = store;
    a->config = config;
    mutex_init(&a->lock, RANK_INDEX);
    sys->random(a->mac_key, sizeof(a->mac_key));
    a->local = principal_local();
    int r = a->local != NULL ? logouts_new(&a->logouts) : -ENOMEM;
    if (r < 0) {
        auth_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < PRINCIPALS; i++)
        principal_unref(a->principals[i].p);
    for (size_t i = 0; i < TOKENS; i++)
        checked_unref(a->tokens[i].t);
    principal_unref(a->local);
    logouts_free(a->logouts);
    mutex_done(&a->lock);
    OPENSSL_cleanse(a, sizeof(*a));
    free(a);
}

struct principal *auth_local(struct auth *a)
{
    return principal_ref(a->local);
}

static struct cached_principal *principal_find_locked(struct auth *a, enum holder kind, const char *username)
    REQUIRES(a->lock);
static struct cached_principal *principal_find_locked(struct auth *a, enum holder kind, const char *username)
{
    for (size_t i = 0; i < PRINCIPALS; i++) {
        const struct principal *p = a->principals[i].p;
        if (p != NULL && p->kind == kind && strcmp(p->username, username) == 0)
            return &a->principals[i];
    }
    return NULL;
}

static struct principal *principal_cached(struct auth *a, enum holder kind, const char *username,
                                          uint64_t *ret_generation)
{
    struct principal *p = NULL;

    mutex_lock(&a->lock);
    *ret_generation = a->generation;
    struct cached_principal *c = principal_find_locked(a, kind, username);
    if (c != NULL && sys->now_ns() - c->loaded_ns < PRINCIPAL_FRESH_MS * UINT64_C(1000000))
        p = principal_ref(c->p);
    mutex_unlock(&a->lock);
    return p;
}

static void principal_keep_locked(struct auth *a, struct principal *p, uint64_t generation) REQUIRES(a->lock);
static void principal_keep_locked(struct auth *a, struct principal *p, uint64_t generation)
{
    struct cached_principal *c = principal_find_locked(a, p->kind, p->username);

    if (generation != a->generation)
        return;
    for (size_t i = 0; c == NULL && i < PRINCIPALS; i++)
        if (a->principals[i].p == NULL)
            c = &a->principals[i];
    if (c == NULL) { /* the oldest */
        c = &a->principals[0];
        for (size_t i = 1; i < PRINCIPALS; i++)
            if (a->principals[i].loaded_ns < c->loaded_ns)
                c = &a->principals[i];
    }
    principal_unref(c->p);
    *c = (struct cached_principal){ principal_ref(p), sys->now_ns() };
}

static int principal_load(struct auth *a, enum holder kind, const char *username, struct principal **ret)
{
    struct admin admin;
    struct user user;

    int r = kind == HOLDER_ADMIN ? admin_load(a->store, username, &admin) : user_load(a->store, username, &user);
    if (r < 0)
        return r;
    return kind == HOLDER_ADMIN ? principal_of_admin(&admin, ret) : principal_of_user(&user, ret);
}

int auth_principal(struct auth *a, enum holder kind, const char *username, struct principal **ret)
{
    uint64_t generation;
    struct principal *p = principal_cached(a, kind, username, &generation);

    if (p == NULL) {
        int r = principal_load(a, kind, username, &p);
        if (r < 0)
            return r;
        mutex_lock(&a->lock);
        principal_keep_locked(a, p, generation);
        mutex_unlock(&a->lock);
    }
    *ret = p;
    return 0;
}

static void principal_forget_locked(struct auth *a, enum holder kind, const char *username) REQUIRES(a->lock);
static void principal_forget_locked(struct auth *a, enum holder kind, const char *username)
{
    struct cached_principal *c = principal_find_locked(a, kind, username);

    if (c == NULL)
        return;
    principal_unref(c->p);
    *c = (struct cached_principal){ 0 };
}

void auth_changed(struct auth *a, const char *username)
{
    mutex_lock(&a->lock);
    a->generation++;
    principal_forget_locked(a, HOLDER_ADMIN, username);
    principal_forget_locked(a, HOLDER_USER, username);
    mutex_unlock(&a->lock);
}

static bool same_text(const char *a, const char *b)
{
    size_t len = strlen(a);

    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

/* Is the holder still the one that the token was made for? What a user's token says of options is not asked: they are
 * looked up anew for each request. */
static bool token_fits(const struct token_claims *c, const struct principal *p, const char *address)
{
    uint32_t perms = 0;

    if (principal_refusal(p, "password", address) != NULL || !same_text(c->sub, p->sub))
        return false;
    if (p->kind == HOLDER_USER)
        return true;
    if (perms_of(admin_perms, &c->permissions, &perms) < 0 || perms != p->perms)
        return false;
    return c->allow_list == NULL || same_text(c->allow_list, p->allow_list_hash);
}

static enum token_result bearer_holder(struct auth *a, const struct auth_ask *ask, const struct token_claims *c,
                                       struct principal **ret)
{
    struct principal *p = NULL;

    int r = auth_principal(a, ask->kind, c->username, &p);
    if (r < 0)
        return r == -ENOENT ? TOKEN_REVOKED : TOKEN_FAILED;
    if (!token_fits(c, p, ask->address)) {
        principal_unref(p);
        return TOKEN_REVOKED;
    }
    *ret = p;
    return TOKEN_OK;
}

static const char *const audiences[] = { [HOLDER_ADMIN] = "API", [HOLDER_USER] = "APIUser" };

static int token_digest(const struct auth_ask *ask, uint8_t ret[32])
{
    uint8_t text[TOKEN_MAX + TOKEN_KEY_LEN + 1];
    size_t len = strnlen(ask->token, TOKEN_MAX);
    unsigned digest_len = 0;

    memcpy(text, ask->key->key, TOKEN_KEY_LEN);
    text[TOKEN_KEY_LEN] = (uint8_t)ask->kind;
    memcpy(text + TOKEN_KEY_LEN + 1, ask->token, len);
    int ok = EVP_Digest(text, TOKEN_KEY_LEN + 1 + len, ret, &digest_len, EVP_sha256(), NULL);
    OPENSSL_cleanse(text, TOKEN_KEY_LEN);
    return ok == 1 ? 0 : -EIO;
}

/* One that was found good before and has not expired; a reference, or NULL. */
static struct checked_token *checked_find(struct auth *a, const uint8_t digest[32], int64_t now_s)
{
    struct checked_token *t = NULL;

    mutex_lock(&a->lock);
    const struct cached_token *c = &a->tokens[digest[0]];
    if (c->t != NULL && CRYPTO_memcmp(c->digest, digest, sizeof(c->digest)) == 0 && c->t->claims.exp_s > now_s) {
        t = c->t;
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    }
    mutex_unlock(&a->lock);
    return t;
}

static void checked_keep(struct auth *a, const uint8_t digest[32], struct checked_token *t)
{
    mutex_lock(&a->lock);
    struct cached_token *c = &a->tokens[digest[0]];
    struct checked_token *former = c->t;
    memcpy(c->digest, digest, sizeof(c->digest));
    c->t = t;
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    mutex_unlock(&a->lock);
    checked_unref(former);
}

/* Signature and claims; *ret is a reference. */
static enum token_result token_look(struct auth *a, const struct auth_ask *ask, struct checked_token **ret)
{
    int64_t now_s = sys->wall_ms() / 1000;
    uint8_t digest[32];
    struct checked_token *t;

    if (token_digest(ask, digest) < 0)
        return TOKEN_FAILED;
    t = checked_find(a, digest, now_s);
    if (t == NULL) {
        t = calloc(1, sizeof(*t));
        if (t == NULL)
            return TOKEN_FAILED;
        atomic_init(&t->refs, 1);
        enum token_result result = token_check(ask->key, ask->token, audiences[ask->kind], now_s, &t->claims);
        if (result != TOKEN_OK) {
            checked_unref(t);
            return result;
        }
        checked_keep(a, digest, t);
    }
    *ret = t;
    return TOKEN_OK;
}

enum token_result auth_bearer(struct auth *a, const struct auth_ask *ask, struct principal **ret, char **ret_jti)
{
    struct checked_token *t = NULL;
    CLEANUP(mem_free) char *jti = NULL;

    enum token_result result = token_look(a, ask, &t);
    if (result == TOKEN_OK && logouts_has(a->logouts, t->claims.jti))
        result = TOKEN_REVOKED;
    if (result == TOKEN_OK && ret_jti != NULL && str_copy(&jti, t->claims.jti) < 0)
        result = TOKEN_FAILED;
    if (result == TOKEN_OK)
        result = bearer_holder(a, ask, &t->claims, ret);
    if (result == TOKEN_OK && ret_jti != NULL)
        *ret_jti = TAKE_PTR(jti);
    checked_unref(t);
    return result;
}

int auth_logout(struct auth *a, const char *jti, int64_t exp_s)
{
    return logouts_add(a->logouts, jti, exp_s, sys->wall_ms() / 1000);
}

static void claim_mac(struct auth *a, const char *name, const char *password, uint8_t ret[32])
{
    uint8_t text[BASIC_NAME_MAX + 1 + BASIC_PASSWORD_MAX + 1];
    size_t name_len = strnlen(name, BASIC_NAME_MAX), len = strnlen(password, BASIC_PASSWORD_MAX);
    unsigned mac_len = 0;

    memcpy(text, name, name_len);
    text[name_len] = '\0';
    memcpy(text + name_len + 1, password, len);
    if (HMAC(EVP_sha256(), a->mac_key, sizeof(a->mac_key), text, name_len + 1 + len, ret, &mac_len) == NULL)
        sys->random(ret, 32); /* matches nothing */
    OPENSSL_cleanse(text, sizeof(text));
}

static struct verified *verified_slot(struct auth *a, const uint8_t mac[32])
{
    return &a->verified[mac[0]];
}

bool auth_verified(struct auth *a, const struct claim *c, const char *password)
{
    char hash[TOKEN_HASH_LEN + 1];
    uint8_t mac[32];

    if (c->hash == NULL || c->hash[0] == '\0')
        return false;
    claim_mac(a, c->name, password, mac);
    token_signature(c->name, c->hash, hash);
    mutex_lock(&a->lock);
    const struct verified *v = verified_slot(a, mac);
    bool known =
        v->until_ns > sys->now_ns() && CRYPTO_memcmp(v->mac, mac, sizeof(mac)) == 0 && same_text(v->hash, hash);
    mutex_unlock(&a->lock);
    return known;
}

static void verified_keep(struct auth *a, const struct claim *c, const char *password)
{
    uint8_t mac[32];

    claim_mac(a, c->name, password, mac);
    mutex_lock(&a->lock);
    struct verified *v = verified_slot(a, mac);
    memcpy(v->mac, mac, sizeof(mac));
    token_signature(c->name, c->hash, v->hash);
    v->until_ns = sys->now_ns() + VERIFIED_FRESH_MS * UINT64_C(1000000);
    mutex_unlock(&a->lock);
}

int auth_verify(struct auth *a, const struct claim *c, const char *password)
{
    if (c->hash == NULL || c->hash[0] == '\0') {
        const char *dummy = password_dummy(&a->config->data_provider.password_hashing);
        IGNORE(password_verify(dummy, password), "nobody has it: only the time counts");
        return -EACCES;
    }
    int r = password_verify(c->hash, password);
    if (r == 0)
        verified_keep(a, c, password);
    return r == -EINVAL || r == -E2BIG ? -EACCES : r;
}

/* Remembers the last step that an account has used; two accounts in one place forget each other, no more. */
static bool code_is_fresh(struct auth *a, const struct principal *p, int64_t step)
{
    uint8_t mac[32];

    claim_mac(a, p->username, p->kind == HOLDER_USER ? "user" : "admin", mac);
    mutex_lock(&a->lock);
    struct used_code *u = &a->used_codes[mac[0]];
    bool fresh = memcmp(u->mac, mac, sizeof(mac)) != 0 || u->step < step;
    if (fresh) {
        memcpy(u->mac, mac, sizeof(mac));
        u->step = step;
    }
    mutex_unlock(&a->lock);
    return fresh;
}

int auth_code(struct auth *a, const struct principal *p, const char *passcode)
{
    int64_t step = 0;

    int r = totp_config_check(a->config, principal_totp(p), passcode, sys->wall_ms() / 1000, &step);
    if (r == -ENOENT || r == -EINVAL)
        log_error("the second factor of %s cannot be checked: its configuration is not in mfa.totp", p->username);
    if (r == 0 && !code_is_fresh(a, p, step))
        r = -EACCES;
    return r == -ENOMEM ? r : r < 0 ? -EACCES : 0;
}

int auth_token(const struct token_key *k, const struct principal *p, int64_t now_s, char **ret_token)
{
    char jti[REQUEST_ID_LEN + 1];
    struct token_claims c = {
        .username = p->username,
        .sub = (char *)p->sub,
        .allow_list = p->kind == HOLDER_ADMIN ? (char *)p->allow_list_hash : NULL,
        .jti = jti,
        .permissions = p->permissions,
    };

    xid_new(jti);
    return token_issue(k, &c, audiences[p->kind], now_s, ret_token);
}
