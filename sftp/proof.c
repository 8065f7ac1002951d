#include "sftp/proof.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "sftp/ssh_cert.h"
#include "sftp/ssh_key.h"

enum { USERAUTH_REQUEST = 50, USER_PRESENT = 1, SK_DATA = 32 + 1 + 4 + 32, MESSAGE_MAX = 32 * 1024 };

static const struct ssh_algorithm algorithms[] = {
    { "ssh-ed25519", "ssh-ed25519", NULL },
    { "rsa-sha2-256", "ssh-rsa", "SHA256" },
    { "rsa-sha2-512", "ssh-rsa", "SHA512" },
    { "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "SHA256" },
    { "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "SHA384" },
    { "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", "SHA512" },
};

const struct ssh_algorithm *ssh_algorithm_find(const uint8_t *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (strlen(algorithms[i].name) == len && memcmp(algorithms[i].name, name, len) == 0)
            return &algorithms[i];
    return NULL;
}

/* The algorithm of a certificate is that of its key with this behind it. */
static const char cert_tail[] = "-cert-v01@openssh.com";

static const struct ssh_algorithm *algorithm_of(const uint8_t *name, size_t len, bool is_cert)
{
    size_t tail = sizeof(cert_tail) - 1;

    if (!is_cert)
        return ssh_algorithm_find(name, len);
    if (len <= tail || memcmp(name + len - tail, cert_tail, tail) != 0)
        return NULL;
    return ssh_algorithm_find(name, len - tail);
}

static int refuse(const char **reterr_reason, const char *reason)
{
    *reterr_reason = reason;
    return -EACCES;
}

static bool next_is(struct packet_in *in, const void *s, size_t want)
{
    size_t len;
    const uint8_t *p = packet_bytes(in, &len);
    return p && len == want && memcmp(p, s, want) == 0;
}

static bool next_is_text(struct packet_in *in, const char *s)
{
    return next_is(in, s, strlen(s));
}

/* What was signed names this session, this user, this key, and an algorithm, which is returned. */
static int data_check(const struct login_proof *p, const uint8_t **ret_name, size_t *ret_len,
                      const char **reterr_reason)
{
    struct packet_in in = { .p = p->data, .left = p->data_len };

    if (p->session_id_len == 0 || !next_is(&in, p->session_id, p->session_id_len))
        return refuse(reterr_reason, "a signature for another session");
    if (packet_u8(&in) != USERAUTH_REQUEST || !next_is_text(&in, p->username))
        return refuse(reterr_reason, "a signature for another user");
    if (!next_is_text(&in, "ssh-connection") || !next_is_text(&in, "publickey") || packet_u8(&in) == 0)
        return refuse(reterr_reason, "malformed signature");
    *ret_name = packet_bytes(&in, ret_len);
    if (!next_is(&in, p->blob, p->blob_len) || !packet_ok(&in) || in.left > 0)
        return refuse(reterr_reason, "a signature of another key");
    return 0;
}

static int plain_check(const struct login_proof *p, const struct packet_in *key_blob, bool is_cert,
                       const char **reterr_reason)
{
    struct packet_in in = *key_blob;
    const uint8_t *name = NULL;
    size_t name_len = 0, type_len;
    EVP_PKEY *key = NULL;
    int r = data_check(p, &name, &name_len, reterr_reason);

    if (r < 0)
        return r;
    const struct ssh_algorithm *a = algorithm_of(name, name_len, is_cert);
    const uint8_t *type = packet_bytes(&in, &type_len);
    if (!a || !type || strlen(a->key_type) != type_len || memcmp(a->key_type, type, type_len) != 0)
        return refuse(reterr_reason, "a signature algorithm that is not accepted");
    r = ssh_key_from_blob(key_blob->p, key_blob->left, &key);
    if (r == 0)
        r = ssh_key_verify(key, a->digest, p->data, p->data_len, p->sig, p->sig_len);
    EVP_PKEY_free(key);
    return r < 0 ? refuse(reterr_reason, "bad signature") : 0;
}

/* ---- security keys ---- */

static const struct sk_kind {
    const char *type, *plain, *digest;
    unsigned strings; /* of the public key, before the application */
} sk_kinds[] = {
    { "sk-ssh-ed25519@openssh.com", "ssh-ed25519", NULL, 1 },
    { "sk-ecdsa-sha2-nistp256@openssh.com", "ecdsa-sha2-nistp256", "SHA256", 2 },
};

static const struct sk_kind *sk_kind_of(struct packet_in *blob)
{
    size_t len;
    const uint8_t *type = packet_bytes(blob, &len);

    for (size_t i = 0; i < ARRAY_SIZE(sk_kinds); i++)
        if (type && strlen(sk_kinds[i].type) == len && memcmp(sk_kinds[i].type, type, len) == 0)
            return &sk_kinds[i];
    return NULL;
}

/* The message that the client signed the hash of; its algorithm is the type of the blob. */
static int message_hash(const struct login_proof *p, uint8_t hash[SHA256_DIGEST_LENGTH])
{
    struct packet_in in = { .p = p->blob, .left = p->blob_len };
    struct queue q = QUEUE(MESSAGE_MAX);
    size_t type_len;
    const uint8_t *type = packet_bytes(&in, &type_len);

    packet_put_bytes(&q, p->session_id, p->session_id_len);
    packet_put_u8(&q, USERAUTH_REQUEST);
    packet_put_text(&q, p->username);
    packet_put_text(&q, "ssh-connection");
    packet_put_text(&q, "publickey");
    packet_put_u8(&q, 1);
    packet_put_bytes(&q, type, type_len);
    packet_put_bytes(&q, p->blob, p->blob_len);
    int r = packet_ok(&in) ? q.failed : -EINVAL;
    if (r == 0)
        SHA256(queue_bytes(&q), q.len, hash);
    queue_done(&q);
    return r;
}

static int sk_data_check(const struct login_proof *p, const uint8_t *application, size_t application_len,
                         const char **reterr_reason)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];

    if (p->session_id_len == 0 || p->data_len != SK_DATA)
        return refuse(reterr_reason, "malformed signature");
    SHA256(application, application_len, hash);
    if (memcmp(hash, p->data, sizeof(hash)) != 0)
        return refuse(reterr_reason, "a signature for another application");
    if (!(p->data[32] & USER_PRESENT))
        return refuse(reterr_reason, "nobody touched the security key");
    if (message_hash(p, hash) < 0 || memcmp(hash, p->data + SK_DATA - 32, sizeof(hash)) != 0)
        return refuse(reterr_reason, "a signature for another session, user or key");
    return 0;
}

static int sk_check(const struct login_proof *p, const struct packet_in *key_blob, const char **reterr_reason)
{
    struct packet_in in = *key_blob;
    const struct sk_kind *k = sk_kind_of(&in);
    struct queue plain = QUEUE(SSH_KEY_BLOB_MAX);
    EVP_PKEY *key = NULL;
    size_t len;

    packet_put_text(&plain, k->plain);
    for (unsigned i = 0; i < k->strings; i++) {
        const uint8_t *part = packet_bytes(&in, &len);
        packet_put_bytes(&plain, part, len);
    }
    const uint8_t *application = packet_bytes(&in, &len);
    int r = !application || in.left > 0 || plain.failed ? refuse(reterr_reason, "malformed key") : 0;
    if (r == 0)
        r = sk_data_check(p, application, len, reterr_reason);
    if (r == 0 && (ssh_key_from_blob(queue_bytes(&plain), plain.len, &key) < 0 ||
                   ssh_key_verify(key, k->digest, p->data, p->data_len, p->sig, p->sig_len) < 0))
        r = refuse(reterr_reason, "bad signature");
    EVP_PKEY_free(key);
    queue_done(&plain);
    return r;
}

int proof_check(const struct login_proof *p, const char **reterr_reason)
{
    bool is_cert = ssh_cert_is(p->blob, p->blob_len);
    struct queue inner = QUEUE(SSH_KEY_BLOB_MAX);
    struct packet_in key_blob = { .p = p->blob, .left = p->blob_len };
    int r = is_cert ? ssh_cert_key(p->blob, p->blob_len, &inner) : 0;

    if (is_cert)
        key_blob = (struct packet_in){ .p = queue_bytes(&inner), .left = inner.len };
    if (r < 0) {
        r = refuse(reterr_reason, "malformed certificate");
    } else {
        struct packet_in look = key_blob;
        r = sk_kind_of(&look) ? sk_check(p, &key_blob, reterr_reason)
                              : plain_check(p, &key_blob, is_cert, reterr_reason);
    }
    queue_done(&inner);
    return r;
}
