#include "sftp/login.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/sys.h"
#include "sftp/ssh_key.h"
#include "store/password.h"
#include "store/public_key.h"

enum { CACHE_SLOTS = 1024, CACHE_MS = 120000, MAC_BYTES = 32, USERNAME_MAX = 255 };

struct cached {
    uint8_t mac[MAC_BYTES];
    uint64_t until_ns; /* 0: empty */
};

struct login {
    const struct config *config;
    struct store *store;
    _Atomic bool passwords; /* are allowed */
    uint8_t key[MAC_BYTES];
    struct mutex lock;
    struct cached cache[CACHE_SLOTS]; /* guarded by lock */
};

int login_new(const struct config *config, struct store *store, struct login **ret)
{
    struct login *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->config = config;
    l->store = store;
    login_allow_passwords(l, config->sftpd.password_authentication);
    sys->random(l->key, sizeof(l->key));
    mutex_init(&l->lock, RANK_INDEX);
    *ret = l;
    return 0;
}

void login_allow_passwords(struct login *l, bool yes)
{
    atomic_store_explicit(&l->passwords, yes, memory_order_relaxed);
}

void login_free(struct login *l)
{
    if (!l)
        return;
    mutex_done(&l->lock);
    OPENSSL_cleanse(l, sizeof(*l));
    free(l);
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

static int refuse(const char **reterr_reason, const char *reason)
{
    *reterr_reason = reason;
    return -EACCES;
}

/* The password is looked at first in any case, so that time does not tell which rule refused. */
static int check_user(struct login *l, const struct user *u, const char *password, const char *address,
                      const char **reterr_reason)
{
    int r = check_password(l, u, password);
    const char *refusal = user_login_refusal(u, "password", "SSH", address, sys->wall_ms());
    if (r < 0)
        return refuse(reterr_reason, "invalid credentials");
    return refusal ? refuse(reterr_reason, refusal) : 0;
}

int login_by_password(struct login *l, const char *username, const char *password, const char *address,
                      struct user *ret, const char **reterr_reason)
{
    struct user u = { 0 };
    if (strlen(username) > USERNAME_MAX || strlen(password) > PASSWORD_MAX)
        return refuse(reterr_reason, "name or password too long");
    int r = user_load(l->store, username, &u);
    if (r == -ENOENT) {
        struct user nobody = { 0 };
        IGNORE(check_password(l, &nobody, password), "only its time counts");
        return refuse(reterr_reason, "no such user");
    }
    if (r < 0)
        return r;
    r = atomic_load_explicit(&l->passwords, memory_order_relaxed) ? check_user(l, &u, password, address, reterr_reason)
                                                                  : refuse(reterr_reason, "passwords are switched off");
    if (r < 0) {
        user_done(&u);
        return r;
    }
    *ret = u;
    return 0;
}

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

int login_key_known(struct login *l, const char *username, const uint8_t *blob, size_t len, const char *address,
                    struct user *ret, const char **reterr_reason)
{
    struct user u = { 0 };
    if (strlen(username) > USERNAME_MAX)
        return refuse(reterr_reason, "name too long");
    int r = user_load(l->store, username, &u);
    if (r < 0)
        return r == -ENOENT ? refuse(reterr_reason, "no such user") : r;
    const char *refusal = user_login_refusal(&u, "publickey", "SSH", address, sys->wall_ms());
    if (!user_has_key(&u, blob, len))
        refusal = "unknown key";
    if (refusal) {
        user_done(&u);
        return refuse(reterr_reason, refusal);
    }
    *ret = u;
    return 0;
}

/* RFC 4252 §7. */
struct signed_request {
    char *username;
    const uint8_t *session_id, *algorithm, *blob; /* in the data */
    size_t session_id_len, algorithm_len, blob_len;
};

static bool text_is(struct packet_in *in, const char *s)
{
    size_t len;
    const uint8_t *p = packet_bytes(in, &len);
    return p && len == strlen(s) && memcmp(p, s, len) == 0;
}

static int signed_request_parse(const struct login_proof *p, struct signed_request *ret)
{
    struct signed_request s = { 0 };
    struct packet_in in = { .p = p->data, .left = p->data_len };

    s.session_id = packet_bytes(&in, &s.session_id_len);
    uint8_t type = packet_u8(&in);
    int r = packet_text(&in, USERNAME_MAX, &s.username);
    if (r < 0)
        return -EBADMSG;
    bool ok = type == 50 && text_is(&in, "ssh-connection") && text_is(&in, "publickey") && packet_u8(&in) != 0;
    s.algorithm = packet_bytes(&in, &s.algorithm_len);
    s.blob = packet_bytes(&in, &s.blob_len);
    if (!ok || !packet_ok(&in) || in.left > 0) {
        free(s.username);
        return -EBADMSG;
    }
    *ret = s;
    return 0;
}

int login_proof_user(const struct login_proof *p, char **ret)
{
    struct signed_request s;
    int r = signed_request_parse(p, &s);
    if (r == 0)
        *ret = s.username;
    return r;
}

/* Signature algorithms, the key type they want, and their digest. */
static const struct {
    const char *algorithm, *key_type, *digest;
} algorithms[] = {
    { "ssh-ed25519", "ssh-ed25519", NULL },
    { "rsa-sha2-256", "ssh-rsa", "SHA256" },
    { "rsa-sha2-512", "ssh-rsa", "SHA512" },
    { "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "SHA256" },
    { "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "SHA384" },
    { "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", "SHA512" },
};

static int verify(const struct login_proof *p, const struct signed_request *s)
{
    struct packet_in blob = { .p = s->blob, .left = s->blob_len };
    size_t type_len, i = 0;
    const uint8_t *type = packet_bytes(&blob, &type_len);
    EVP_PKEY *key = NULL;

    while (i < ARRAY_SIZE(algorithms) && !(strlen(algorithms[i].algorithm) == s->algorithm_len &&
                                           memcmp(algorithms[i].algorithm, s->algorithm, s->algorithm_len) == 0))
        i++;
    if (i == ARRAY_SIZE(algorithms) || !type || strlen(algorithms[i].key_type) != type_len ||
        memcmp(algorithms[i].key_type, type, type_len) != 0)
        return -EACCES;
    int r = ssh_key_from_blob(s->blob, s->blob_len, &key);
    if (r == 0)
        r = ssh_key_verify(key, algorithms[i].digest, p->data, p->data_len, p->sig, p->sig_len);
    EVP_PKEY_free(key);
    return r < 0 ? -EACCES : 0;
}

int login_by_signature(struct login *l, const struct login_proof *p, const char *address, struct user *ret,
                       const char **reterr_reason)
{
    struct signed_request s;
    if (signed_request_parse(p, &s) < 0)
        return refuse(reterr_reason, "malformed signature");
    int r = 0;
    if (p->session_id_len == 0 || s.session_id_len != p->session_id_len ||
        memcmp(s.session_id, p->session_id, p->session_id_len) != 0)
        r = refuse(reterr_reason, "a signature for another session");
    if (r == 0 && verify(p, &s) < 0)
        r = refuse(reterr_reason, "bad signature");
    if (r == 0)
        r = login_key_known(l, s.username, s.blob, s.blob_len, address, ret, reterr_reason);
    free(s.username);
    return r;
}
