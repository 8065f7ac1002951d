/* Two small caches make a check of the row cost nothing.
 *
 * Principals: the last PRINCIPALS administrators that asked. We are the only writer of the store, so a row changes only
 * by our own hand, and auth_changed() drops it after the write and before the reply. A load that began before that must
 * not put the old row back: it remembers the generation, and only the same generation may insert. The age limit is for
 * a database that somebody replaces under us.
 *
 * Verified passwords: HMAC-SHA256 under a key of this process over name, NUL, password; never the password. Only
 * successes. An entry is worth what the row's password hash was then: another hash, and it matches no more. */
#include "api/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "base/lock.h"
#include "base/sys.h"
#include "store/password.h"

enum { PRINCIPALS = 64, VERIFIED = 256 };

struct cached_principal {
    struct principal *p; /* reference; NULL: free */
    uint64_t loaded_ns;
};

struct verified {
    uint8_t mac[32];
    char sub[TOKEN_HASH_LEN + 1];
    uint64_t until_ns; /* 0: free */
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
};

static struct principal *principal_new(void)
{
    struct principal *p = calloc(1, sizeof(*p));

    if (p != NULL)
        atomic_init(&p->refs, 1);
    return p;
}

struct principal *principal_ref(struct principal *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void principal_unref(struct principal *p)
{
    if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(p->username);
    free(p->password);
    strings_done(&p->permissions);
    strings_done(&p->allow_list);
    free(p);
}

bool principal_may_come_from(const struct principal *p, const char *address)
{
    return p->allow_list.n == 0 || address_in(&p->allow_list, address);
}

static int allow_list_hash(const struct strings *l, char ret[TOKEN_HASH_LEN + 1])
{
    CLEANUP(strbuf_done) struct strbuf all = STRBUF(1 << 20);

    for (size_t i = 0; i < l->n; i++)
        strbuf_addf(&all, "%s\n", l->v[i]);
    int r = strbuf_ok(&all);
    if (r == 0)
        token_signature("allow_list\n", all.len > 0 ? all.s : "", ret);
    return r;
}

/* Moves what it needs out of the row. */
static int principal_of(struct admin *row, struct principal **ret)
{
    struct principal *p = principal_new();
    if (p == NULL)
        return -ENOMEM;

    p->username = TAKE_PTR(row->username);
    p->password = TAKE_PTR(row->password);
    p->status = row->status;
    p->permissions = row->permissions;
    row->permissions = (struct strings){ 0 };
    p->allow_list = row->filters.allow_list;
    row->filters.allow_list = (struct strings){ 0 };
    p->last_login_ms = row->last_login_ms;
    token_signature(p->username, p->password != NULL ? p->password : "", p->sub);
    int r = perms_of(admin_perms, &p->permissions, &p->perms);
    if (r == 0)
        r = allow_list_hash(&p->allow_list, p->allow_list_hash);
    if (r < 0) {
        principal_unref(p);
        return r == -EINVAL ? -EIO : r; /* a row that says what does not exist */
    }
    *ret = p;
    return 0;
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
    a->local = principal_new();
    int r = a->local != NULL ? str_copy(&a->local->username, "") : -ENOMEM;
    if (r == 0)
        r = logouts_new(&a->logouts);
    if (r < 0) {
        auth_free(a);
        return r;
    }
    a->local->status = 1;
    a->local->perms = ADM_ALL;
    a->local->is_local = true;
    *ret = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < PRINCIPALS; i++)
        principal_unref(a->principals[i].p);
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

static struct cached_principal *principal_find_locked(struct auth *a, const char *username) REQUIRES(a->lock);
static struct cached_principal *principal_find_locked(struct auth *a, const char *username)
{
    for (size_t i = 0; i < PRINCIPALS; i++)
        if (a->principals[i].p != NULL && strcmp(a->principals[i].p->username, username) == 0)
            return &a->principals[i];
    return NULL;
}

static struct principal *principal_cached(struct auth *a, const char *username, uint64_t *ret_generation)
{
    struct principal *p = NULL;

    mutex_lock(&a->lock);
    *ret_generation = a->generation;
    struct cached_principal *c = principal_find_locked(a, username);
    if (c != NULL && sys->now_ns() - c->loaded_ns < PRINCIPAL_FRESH_MS * UINT64_C(1000000))
        p = principal_ref(c->p);
    mutex_unlock(&a->lock);
    return p;
}

static void principal_keep_locked(struct auth *a, struct principal *p, uint64_t generation) REQUIRES(a->lock);
static void principal_keep_locked(struct auth *a, struct principal *p, uint64_t generation)
{
    struct cached_principal *c = principal_find_locked(a, p->username);

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

int auth_principal(struct auth *a, const char *username, struct principal **ret)
{
    struct admin row = { 0 };
    struct principal *p;
    uint64_t generation;

    p = principal_cached(a, username, &generation);
    if (p == NULL) {
        int r = admin_load(a->store, username, &row);
        if (r < 0)
            return r;
        r = principal_of(&row, &p);
        admin_done(&row);
        if (r < 0)
            return r;
        mutex_lock(&a->lock);
        principal_keep_locked(a, p, generation);
        mutex_unlock(&a->lock);
    }
    *ret = p;
    return 0;
}

void auth_changed(struct auth *a, const char *username)
{
    mutex_lock(&a->lock);
    a->generation++;
    struct cached_principal *c = principal_find_locked(a, username);
    if (c != NULL) {
        principal_unref(c->p);
        *c = (struct cached_principal){ 0 };
    }
    mutex_unlock(&a->lock);
}

static bool same_text(const char *a, const char *b)
{
    size_t len = strlen(a);

    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

/* Is the holder still the one that the token was made for? */
static bool token_fits(const struct token_claims *c, const struct principal *p, const char *address)
{
    uint32_t perms = 0;

    if (p->status != 1 || !same_text(c->sub, p->sub))
        return false;
    if (perms_of(admin_perms, &c->permissions, &perms) < 0 || perms != p->perms)
        return false;
    if (c->allow_list != NULL && !same_text(c->allow_list, p->allow_list_hash))
        return false;
    return principal_may_come_from(p, address);
}

static enum token_result bearer_holder(struct auth *a, const struct token_claims *c, const char *address,
                                       struct principal **ret)
{
    struct principal *p = NULL;

    int r = auth_principal(a, c->username, &p);
    if (r < 0)
        return r == -ENOENT ? TOKEN_REVOKED : TOKEN_FAILED;
    if (!token_fits(c, p, address)) {
        principal_unref(p);
        return TOKEN_REVOKED;
    }
    *ret = p;
    return TOKEN_OK;
}

enum token_result auth_bearer(struct auth *a, const struct token_key *k, const char *token, const char *address,
                              struct principal **ret, char **ret_jti)
{
    struct token_claims c = { 0 };

    enum token_result result = token_check(k, token, "API", sys->wall_ms() / 1000, &c);
    if (result == TOKEN_OK && logouts_has(a->logouts, c.jti))
        result = TOKEN_REVOKED;
    if (result == TOKEN_OK)
        result = bearer_holder(a, &c, address, ret);
    if (result == TOKEN_OK && ret_jti != NULL)
        *ret_jti = TAKE_PTR(c.jti);
    token_claims_done(&c);
    return result;
}

int auth_logout(struct auth *a, const char *jti, int64_t exp_s)
{
    return logouts_add(a->logouts, jti, exp_s, sys->wall_ms() / 1000);
}

static void password_mac(struct auth *a, const char *username, const char *password, uint8_t ret[32])
{
    uint8_t text[BASIC_NAME_MAX + 1 + BASIC_PASSWORD_MAX + 1];
    size_t name_len = strnlen(username, BASIC_NAME_MAX), len = strnlen(password, BASIC_PASSWORD_MAX);
    unsigned mac_len = 0;

    memcpy(text, username, name_len);
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

bool auth_verified(struct auth *a, const struct principal *p, const char *password)
{
    uint8_t mac[32];

    password_mac(a, p->username, password, mac);
    mutex_lock(&a->lock);
    const struct verified *v = verified_slot(a, mac);
    bool known =
        v->until_ns > sys->now_ns() && CRYPTO_memcmp(v->mac, mac, sizeof(mac)) == 0 && same_text(v->sub, p->sub);
    mutex_unlock(&a->lock);
    return known;
}

static void verified_keep(struct auth *a, const struct principal *p, const char *password)
{
    uint8_t mac[32];

    password_mac(a, p->username, password, mac);
    mutex_lock(&a->lock);
    struct verified *v = verified_slot(a, mac);
    memcpy(v->mac, mac, sizeof(mac));
    memcpy(v->sub, p->sub, sizeof(v->sub));
    v->until_ns = sys->now_ns() + VERIFIED_FRESH_MS * UINT64_C(1000000);
    mutex_unlock(&a->lock);
}

int auth_verify(struct auth *a, const struct principal *p, const char *password)
{
    if (p == NULL || p->password == NULL || p->password[0] == '\0') {
        const char *dummy = password_dummy(&a->config->data_provider.password_hashing);
        IGNORE(password_verify(dummy, password), "nobody has it: only the time counts");
        return -EACCES;
    }
    int r = password_verify(p->password, password);
    if (r == 0)
        verified_keep(a, p, password);
    return r == -EINVAL || r == -E2BIG ? -EACCES : r;
}

int auth_token(struct auth *a, const struct token_key *k, const struct principal *p, int64_t now_s, char **ret_token)
{
    char jti[REQUEST_ID_LEN + 1];
    struct token_claims c = {
        .username = p->username,
        .sub = (char *)p->sub,
        .allow_list = (char *)p->allow_list_hash,
        .jti = jti,
        .permissions = p->permissions,
    };

    (void)a;
    xid_new(jti);
    return token_issue(k, &c, "API", now_s, ret_token);
}
