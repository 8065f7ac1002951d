#include "sftp/login.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/sys.h"
#include "sftp/ssh_cert.h"
#include "sftp/ssh_key.h"
#include "store/password.h"
#include "store/public_key.h"
#include "store/totp.h"

enum { CACHE_SLOTS = 1024, CODE_SLOTS = 1024, CACHE_MS = 120000, MAC_BYTES = 32, USERNAME_MAX = 255 };

struct cached {
    uint8_t mac[MAC_BYTES];
    uint64_t until_ns; /* 0: empty */
};

/* The step of the last code that a user has used: none is good twice. */
struct used_code {
    int64_t user_id, step;
};

struct login {
    const struct config *config;
    struct store *store;
    struct login_hooks *hooks;
    _Atomic bool passwords, interactive; /* are allowed */
    uint8_t key[MAC_BYTES];
    struct mutex lock;
    struct cached cache[CACHE_SLOTS];   /* guarded by lock */
    struct ssh_authorities authorities; /* guarded by lock */
    struct used_code codes[CODE_SLOTS]; /* guarded by lock */
};

int login_settings(struct login *l, const struct config *c)
{
    struct ssh_authorities fresh = { 0 }, former;
    struct why why = { 0 };

    atomic_store_explicit(&l->passwords, c->sftpd.password_authentication, memory_order_relaxed);
    atomic_store_explicit(&l->interactive, c->sftpd.keyboard_interactive_authentication, memory_order_relaxed);
    int r = ssh_authorities_read(c->state_dir, &c->sftpd.trusted_user_ca_keys, &fresh, &why);
    if (r < 0)
        return log_fail(r, "%s: %s", why.field, why.text);
    mutex_lock(&l->lock);
    former = l->authorities;
    l->authorities = fresh;
    mutex_unlock(&l->lock);
    ssh_authorities_done(&former);
    return 0;
}

int login_new(const struct config *config, struct store *store, struct login_hooks *hooks, struct login **ret)
{
    struct login *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->config = config;
    l->store = store;
    l->hooks = hooks;
    sys->random(l->key, sizeof(l->key));
    mutex_init(&l->lock, RANK_INDEX);
    int r = login_settings(l, config);
    if (r < 0) {
        login_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void login_free(struct login *l)
{
    if (!l)
        return;
    ssh_authorities_done(&l->authorities);
    mutex_done(&l->lock);
    OPENSSL_cleanse(l, sizeof(*l));
    free(l);
}

void login_step_done(struct login_step *s)
{
    free(s->username);
    *s = (struct login_step){ 0 };
}

bool login_interactive_is_on(const struct login *l)
{
    return atomic_load_explicit(&l->interactive, memory_order_relaxed);
}

/* Over name, password and stored hash, each with its length, so that no two triples run together. */
static bool cache_mac(struct login *l, const char *username, const char *password, const char *hash,
                      uint8_t mac[MAC_BYTES])
{
    struct queue q = QUEUE(64 * 1024);
    unsigned len = MAC_BYTES;

    packet_put_text(&q, username);
    packet_put_text(&q, password);
    packet_put_text(&q, hash);
    bool ok = !q.failed && HMAC(EVP_sha256(), l->key, sizeof(l->key), queue_bytes(&q), q.len, mac, &len) != NULL;
    if (q.v)
        OPENSSL_cleanse(q.v, q.room);
    queue_done(&q);
    return ok;
}

static struct cached *cache_slot(struct login *l, const uint8_t mac[MAC_BYTES])
{
    return &l->cache[((size_t)mac[0] << 8 | mac[1]) % CACHE_SLOTS];
}

static bool cache_has(struct login *l, const uint8_t mac[MAC_BYTES])
{
    mutex_lock(&l->lock);
    const struct cached *c = cache_slot(l, mac);
    bool has = c->until_ns > sys->now_ns() && CRYPTO_memcmp(c->mac, mac, MAC_BYTES) == 0;
    mutex_unlock(&l->lock);
    return has;
}

static void cache_put(struct login *l, const uint8_t mac[MAC_BYTES])
{
    mutex_lock(&l->lock);
    struct cached *c = cache_slot(l, mac);
    memcpy(c->mac, mac, MAC_BYTES);
    c->until_ns = sys->now_ns() + (uint64_t)CACHE_MS * 1000000;
    mutex_unlock(&l->lock);
}

static int check_password(struct login *l, const struct user *u, const char *password)
{
    uint8_t mac[MAC_BYTES];
    bool has_hash = u->password && u->password[0];

    if (!has_hash) {
        IGNORE(password_verify(password_dummy(&l->config->data_provider.password_hashing), password),
               "only its time counts");
        return -EACCES;
    }
    bool keyed = cache_mac(l, u->username, password, u->password, mac);
    if (keyed && cache_has(l, mac))
        return 0;
    int r = password_verify(u->password, password);
    if (r == 0 && keyed)
        cache_put(l, mac);
    return r;
}

/* ---- methods ---- */

/* The methods of SSH, what must be on for them, and the step that makes a key into one of the last two. */
static const struct method {
    const char *name;
    unsigned uses; /* enum login_next: what the server's configuration can switch off */
    bool is_after_key;
} methods[] = {
    { "publickey", 0, false },
    { "password", LOGIN_PASSWORD, false },
    { "keyboard-interactive", LOGIN_INTERACTIVE, false },
    { "publickey+password", LOGIN_PASSWORD, true },
    { "publickey+keyboard-interactive", LOGIN_INTERACTIVE, true },
};

static bool method_is_on(const struct login *l, const struct method *m)
{
    if (m->uses == LOGIN_PASSWORD)
        return atomic_load_explicit(&l->passwords, memory_order_relaxed);
    return m->uses != LOGIN_INTERACTIVE || login_interactive_is_on(l);
}

static const struct method *method_of(const struct login_from *from, unsigned uses)
{
    bool is_after_key = from->step && from->step->next != 0 && uses != 0;
    const struct method *m = methods;

    while (m->uses != uses || m->is_after_key != is_after_key)
        m++;
    return m;
}

/* The steps that may follow this user's key: none while a single step would do. */
static unsigned next_steps(const struct login *l, const struct user *u)
{
    unsigned next = 0;

    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        const struct method *m = &methods[i];
        if (!method_is_on(l, m) || strings_has(&u->filters.denied_login_methods, m->name))
            continue;
        if (!m->is_after_key)
            return 0;
        next |= m->uses;
    }
    return next;
}

static int refuse(struct login_result *ret, const char *reason)
{
    ret->reason = reason;
    return -EACCES;
}

/* ---- passwords ---- */

/* The password is looked at first in any case, so that time does not tell which rule refused. */
static int check_user(struct login *l, const struct login_from *from, const struct user *u, const char *password,
                      const struct method *m, struct login_result *ret)
{
    CLEANUP(mem_free) char *other = NULL;
    enum hook_says says = hook_check_password(l->hooks, u, password, from->address, &other);
    int r = says == HOOK_YES ? 0 : says == HOOK_NO ? -EACCES : check_password(l, u, other ? other : password);
    const char *refusal = user_login_refusal(u, m->name, "SSH", from->address, sys->wall_ms());

    if (other)
        OPENSSL_cleanse(other, strlen(other));
    if (r < 0)
        return refuse(ret, says == HOOK_NO ? "the password hook refused" : "invalid credentials");
    if (!method_is_on(l, m))
        return refuse(ret, "the login method is switched off");
    if (!refusal && strcmp(m->name, "password") == 0 && login_wants_code(u))
        return refuse(ret, "the user has a second factor, which only keyboard-interactive asks for");
    return refusal ? refuse(ret, refusal) : 0;
}

static int password_login(struct login *l, const struct login_from *from, const char *password, unsigned uses,
                          struct login_result *ret)
{
    const struct method *m = method_of(from, uses);
    struct user u = { 0 };

    ret->method = m->name;
    if (strlen(from->username) > USERNAME_MAX || strlen(password) > PASSWORD_MAX)
        return refuse(ret, "name or password too long");
    int r = user_load(l->store, from->username, &u);
    if (r == -ENOENT) {
        struct user nobody = { 0 };
        IGNORE(check_password(l, &nobody, password), "only its time counts");
        ret->is_unknown = true;
        return refuse(ret, "no such user");
    }
    if (r < 0)
        return r;
    r = check_user(l, from, &u, password, m, ret);
    if (r == 0 && m->is_after_key && (strcmp(from->step->username, u.username) != 0 || !(from->step->next & uses)))
        r = refuse(ret, "the key before was another user's");
    if (r < 0) {
        user_done(&u);
        return r;
    }
    ret->user = u;
    return 0;
}

int login_by_password(struct login *l, const struct login_from *from, const char *password, struct login_result *ret)
{
    return password_login(l, from, password, LOGIN_PASSWORD, ret);
}

int login_by_line(struct login *l, const struct login_from *from, const char *password, struct login_result *ret)
{
    return password_login(l, from, password, LOGIN_INTERACTIVE, ret);
}

bool login_wants_code(const struct user *u)
{
    const struct totp_config *t = &u->filters.totp_config;
    return t->enabled && strings_has(&t->protocols, "SSH");
}

/* Two users in one place forget each other's step, no more. */
static bool code_is_fresh(struct login *l, int64_t user_id, int64_t step)
{
    mutex_lock(&l->lock);
    struct used_code *used = &l->codes[(uint64_t)user_id % CODE_SLOTS];
    bool is_fresh = used->user_id != user_id || used->step < step;
    if (is_fresh)
        *used = (struct used_code){ user_id, step };
    mutex_unlock(&l->lock);
    return is_fresh;
}

int login_by_code(struct login *l, const struct user *u, const char *code)
{
    int64_t step = 0;
    int r = totp_config_check(l->config, &u->filters.totp_config, code, sys->wall_ms() / 1000, &step);

    return r < 0 || code_is_fresh(l, u->id, step) ? r : -EACCES;
}

/* ---- keys ---- */

static bool user_has_key(const struct user *u, const uint8_t *blob, size_t len)
{
    char type[PUBLIC_KEY_TYPE_MAX];
    bool has = false;

    for (size_t i = 0; i < u->public_keys.n && !has; i++) {
        uint8_t *own = NULL;
        size_t own_len = 0;
        if (public_key_parse(u->public_keys.v[i], type, &own, &own_len) < 0)
            continue;
        has = own_len == len && memcmp(own, blob, len) == 0;
        free(own);
    }
    return has;
}

static const char *key_refusal(struct login *l, const struct login_from *from, const struct user *u,
                               const uint8_t *blob, size_t len)
{
    const struct ssh_cert_use use = { .username = u->username,
                                      .address = from->address,
                                      .now_s = sys->wall_ms() / 1000 };

    if (!ssh_cert_is(blob, len))
        return user_has_key(u, blob, len) ? NULL : "unknown key";
    mutex_lock(&l->lock);
    const char *refusal = ssh_cert_refusal(&l->authorities, blob, len, &use);
    mutex_unlock(&l->lock);
    return refusal;
}

int login_key_known(struct login *l, const struct login_from *from, const uint8_t *blob, size_t len,
                    struct login_result *ret)
{
    struct user u = { 0 };

    ret->method = methods[0].name;
    if (strlen(from->username) > USERNAME_MAX)
        return refuse(ret, "name too long");
    int r = user_load(l->store, from->username, &u);
    ret->is_unknown = r == -ENOENT;
    if (r < 0)
        return r == -ENOENT ? refuse(ret, "no such user") : r;
    unsigned next = next_steps(l, &u);
    const char *method = next & LOGIN_PASSWORD ? methods[3].name : next ? methods[4].name : methods[0].name;
    const char *refusal = key_refusal(l, from, &u, blob, len);
    if (!refusal)
        refusal = user_login_refusal(&u, method, "SSH", from->address, sys->wall_ms());
    if (refusal) {
        user_done(&u);
        return refuse(ret, refusal);
    }
    ret->user = u;
    ret->next = next;
    return 0;
}

int login_by_signature(struct login *l, const struct login_from *from, const struct login_proof *p,
                       struct login_result *ret)
{
    ret->method = methods[0].name;
    if (strlen(from->username) > USERNAME_MAX)
        return refuse(ret, "name too long");
    int r = proof_check(p, &ret->reason);
    return r < 0 ? r : login_key_known(l, from, p->blob, p->blob_len, ret);
}
