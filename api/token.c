/* libjwt signs and verifies; every claim is looked at here, because libjwt looks at none: exp, nbf and aud pass it
 * unread, HS512 with our key is accepted, and with no key at all any token is. So: the size and the two dots first, a
 * key of full length always, then the algorithm, then each claim with its type, read from the whole JSON at once
 * (jwt_get_grant_int() gives 0 for a text and cannot tell).
 *
 * Logged-out tokens are kept as a hash table of SHA-256(jti) with linear probing. Entries that have expired are free
 * again; a table that is full of live ones refuses to forget, and logout says 503. */
#include "api/token.h"

#include <jwt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lock.h"
#include "base/sys.h"

enum { CLAIMS_MAX = 16384 };

static int sha256(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t ret[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned len = 0;
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, a, a_len) == 1 &&
              EVP_DigestUpdate(md, b, b_len) == 1 && EVP_DigestFinal_ex(md, ret, &len) == 1;

    EVP_MD_CTX_free(md);
    return ok ? 0 : -EIO;
}

int token_key_make(const char *passphrase, struct token_key *ret)
{
    if (passphrase == NULL || passphrase[0] == '\0') {
        sys->random(ret->key, sizeof(ret->key));
        return 0;
    }
    return sha256(passphrase, strlen(passphrase), "", 0, ret->key);
}

void token_signature(const char *a, const char *b, char ret[TOKEN_HASH_LEN + 1])
{
    uint8_t digest[32];

    if (sha256(a, strlen(a), b, strlen(b), digest) < 0)
        sys->random(digest, sizeof(digest)); /* then it matches nothing */
    EVP_EncodeBlock((unsigned char *)ret, digest, sizeof(digest));
}

void token_claims_done(struct token_claims *c)
{
    free(c->username);
    free(c->sub);
    free(c->allow_list);
    free(c->jti);
    strings_done(&c->permissions);
    *c = (struct token_claims){ 0 };
}

static void claims_write(struct json_out *j, const struct token_claims *c, const char *audience, int64_t now_s)
{
    json_begin(j, '{');
    json_name(j, "aud");
    json_begin(j, '[');
    json_str(j, audience);
    json_end(j, ']');
    json_name_int(j, "exp", now_s + TOKEN_LIFE_S);
    json_name_str(j, "jti", c->jti);
    json_name_int(j, "nbf", now_s - TOKEN_NBF_S);
    json_name(j, "permissions");
    json_begin(j, '[');
    for (size_t i = 0; i < c->permissions.n; i++)
        json_str(j, c->permissions.v[i]);
    json_end(j, ']');
    json_name_str(j, "sub", c->sub);
    if (c->allow_list != NULL)
        json_name_str(j, "tally_allow_list", c->allow_list);
    json_name_str(j, "username", c->username);
    json_end(j, '}');
}

int token_issue(const struct token_key *k, const struct token_claims *c, const char *audience, int64_t now_s,
                char **ret)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(CLAIMS_MAX);
    struct json_out out = { .to = &text, .first = true };
    jwt_t *jwt = NULL;

    claims_write(&out, c, audience, now_s);
    int r = strbuf_ok(&text);
    if (r == 0)
        r = -jwt_new(&jwt);
    if (r == 0)
        r = -jwt_add_grants_json(jwt, text.s);
    if (r == 0)
        r = -jwt_set_alg(jwt, JWT_ALG_HS256, k->key, TOKEN_KEY_LEN);
    char *token = r == 0 ? jwt_encode_str(jwt) : NULL;
    jwt_free(jwt);
    if (token == NULL)
        return r < 0 ? r : -ENOMEM;
    *ret = token;
    return 0;
}

/* Three segments, none empty, and not too long: what is checked before any library sees it. */
static bool has_token_form(const char *token)
{
    size_t len = strnlen(token, TOKEN_MAX + 1), dots = 0;

    if (len == 0 || len > TOKEN_MAX || token[0] == '.' || token[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (token[i] != '.')
            continue;
        dots++;
        if (token[i + 1] == '.')
            return false;
    }
    return dots == 2;
}

/* The claims of a token with a right signature; NULL if it has none. Owned. */
static struct json_object *token_open(const struct token_key *k, const char *token)
{
    struct json_object *claims = NULL;
    jwt_t *jwt = NULL;

    if (!has_token_form(token) || jwt_decode(&jwt, token, k->key, TOKEN_KEY_LEN) != 0)
        return NULL;
    char *text = jwt_get_alg(jwt) == JWT_ALG_HS256 ? jwt_get_grants_json(jwt, NULL) : NULL;
    if (text != NULL && json_in(text, strlen(text), JSON_WHOLE, &claims, NULL) < 0)
        claims = NULL;
    free(text);
    jwt_free(jwt);
    return claims;
}

static bool claim_number(struct json_object *claims, const char *name, int64_t *ret)
{
    struct json_object *v = json_member(claims, name);

    if (v == NULL || !json_object_is_type(v, json_type_int))
        return false;
    *ret = json_object_get_int64(v);
    return true;
}

static bool has_audience(struct json_object *claims, const char *audience)
{
    struct json_object *aud = json_member(claims, "aud");

    if (json_object_is_type(aud, json_type_string))
        return strcmp(json_object_get_string(aud), audience) == 0;
    if (!json_object_is_type(aud, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(aud); i++) {
        struct json_object *one = json_object_array_get_idx(aud, i);
        if (json_object_is_type(one, json_type_string) && strcmp(json_object_get_string(one), audience) == 0)
            return true;
    }
    return false;
}

static int claims_permissions(struct json_object *claims, struct strings *ret)
{
    struct json_object *list = json_member(claims, "permissions");
    int r = 0;

    if (!json_object_is_type(list, json_type_array))
        return 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++) {
        struct json_object *one = json_object_array_get_idx(list, i);
        r = json_object_is_type(one, json_type_string) ? strings_add(ret, json_object_get_string(one)) : -EINVAL;
    }
    return r;
}

static enum token_result claims_copy(struct json_object *claims, struct token_claims *c)
{
    const char *username = json_text(claims, "username");
    const char *sub = json_text(claims, "sub");
    const char *jti = json_text(claims, "jti");

    if (sub == NULL || jti == NULL)
        return TOKEN_BAD;
    if (username == NULL || username[0] == '\0')
        return TOKEN_CLAIMS;
    if (str_copy(&c->username, username) < 0 || str_copy(&c->sub, sub) < 0 || str_copy(&c->jti, jti) < 0 ||
        str_copy(&c->allow_list, json_text(claims, "tally_allow_list")) < 0)
        return TOKEN_FAILED;
    int r = claims_permissions(claims, &c->permissions);
    return r == 0 ? TOKEN_OK : r == -EINVAL ? TOKEN_CLAIMS : TOKEN_FAILED;
}

enum token_result token_check(const struct token_key *k, const char *token, const char *audience, int64_t now_s,
                              struct token_claims *ret)
{
    CLEANUP(json_put_p) struct json_object *claims = token_open(k, token);
    struct token_claims c = { 0 };
    int64_t exp, nbf;

    if (claims == NULL || !claim_number(claims, "exp", &exp) || !claim_number(claims, "nbf", &nbf))
        return TOKEN_BAD;
    if (exp <= now_s)
        return TOKEN_EXPIRED;
    if (nbf > now_s)
        return TOKEN_EARLY;
    if (!has_audience(claims, audience))
        return TOKEN_AUDIENCE;
    c.exp_s = exp;
    enum token_result result = claims_copy(claims, &c);
    if (result == TOKEN_OK)
        *ret = c;
    else
        token_claims_done(&c);
    return result;
}

struct logout {
    uint8_t digest[16];
    int64_t exp_s; /* 0: free */
};

struct logouts {
    struct mutex lock;
    struct logout slots[2 * LOGOUTS_MAX]; /* lock */
    size_t n;                             /* lock: taken, expired ones too */
};

int logouts_new(struct logouts **ret)
{
    struct logouts *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return -ENOMEM;
    mutex_init(&l->lock, RANK_INDEX);
    *ret = l;
    return 0;
}

void logouts_free(struct logouts *l)
{
    if (l == NULL)
        return;
    mutex_done(&l->lock);
    free(l);
}

/* The slot that holds this digest, or the free one where it would be. There is always a free one: at most half is. */
static struct logout *logout_slot(struct logouts *l, const uint8_t digest[16])
{
    uint32_t at;

    memcpy(&at, digest, sizeof(at));
    for (;; at++) {
        struct logout *s = &l->slots[at % ARRAY_SIZE(l->slots)];
        if (s->exp_s == 0 || CRYPTO_memcmp(s->digest, digest, sizeof(s->digest)) == 0)
            return s;
    }
}

/* Probing must not meet holes: so expired entries leave all at once, by building the table anew. */
static int logouts_purge_locked(struct logouts *l, int64_t now_s) REQUIRES(l->lock);
static int logouts_purge_locked(struct logouts *l, int64_t now_s)
{
    struct logout *live = calloc(LOGOUTS_MAX, sizeof(*live));
    size_t n = 0;

    if (live == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(l->slots); i++)
        if (l->slots[i].exp_s > now_s)
            live[n++] = l->slots[i];
    memset(l->slots, 0, sizeof(l->slots));
    for (size_t i = 0; i < n; i++)
        *logout_slot(l, live[i].digest) = live[i];
    l->n = n;
    free(live);
    return n < LOGOUTS_MAX ? 0 : -EAGAIN;
}

static int logouts_add_locked(struct logouts *l, const uint8_t digest[16], int64_t exp_s, int64_t now_s)
    REQUIRES(l->lock);
static int logouts_add_locked(struct logouts *l, const uint8_t digest[16], int64_t exp_s, int64_t now_s)
{
    int r = l->n < LOGOUTS_MAX ? 0 : logouts_purge_locked(l, now_s);
    if (r < 0)
        return r;

    struct logout *s = logout_slot(l, digest);
    if (s->exp_s == 0) {
        memcpy(s->digest, digest, sizeof(s->digest));
        l->n++;
    }
    s->exp_s = MAX(exp_s, 1);
    return 0;
}

int logouts_add(struct logouts *l, const char *jti, int64_t exp_s, int64_t now_s)
{
    uint8_t digest[32];

    int r = sha256(jti, strlen(jti), "", 0, digest);
    if (r < 0)
        return r;
    mutex_lock(&l->lock);
    r = logouts_add_locked(l, digest, exp_s, now_s);
    mutex_unlock(&l->lock);
    return r;
}

bool logouts_has(struct logouts *l, const char *jti)
{
    uint8_t digest[32];

    if (sha256(jti, strlen(jti), "", 0, digest) < 0)
        return true; /* better one refused than a logged-out one admitted */
    mutex_lock(&l->lock);
    bool found = logout_slot(l, digest)->exp_s != 0;
    mutex_unlock(&l->lock);
    return found;
}
