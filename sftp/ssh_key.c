#include "sftp/ssh_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

#include "sftp/ssh_key_file.h"

const struct ssh_curve ssh_curves[] = {
    { "nistp256", "ecdsa-sha2-nistp256", "P-256", NID_X9_62_prime256v1, 32 },
    { "nistp384", "ecdsa-sha2-nistp384", "P-384", NID_secp384r1, 48 },
    { "nistp521", "ecdsa-sha2-nistp521", "P-521", NID_secp521r1, 66 },
    { 0 },
};

bool bytes_are(const uint8_t *p, size_t len, const char *s)
{
    return p && strlen(s) == len && memcmp(p, s, len) == 0;
}

const struct ssh_curve *ssh_curve_of_type(const uint8_t *type, size_t len)
{
    for (const struct ssh_curve *c = ssh_curves; c->name; c++)
        if (bytes_are(type, len, c->type))
            return c;
    return NULL;
}

void put_mpint(struct queue *q, const BIGNUM *n)
{
    int len = BN_num_bytes(n);
    bool pad = BN_num_bits(n) % 8 == 0 && len > 0;

    packet_put_u32(q, (uint32_t)(len + pad));
    if (pad)
        packet_put_u8(q, 0);
    uint8_t *to = queue_reserve(q, (size_t)MAX(len, 1));
    if (to) {
        BN_bn2bin(n, to);
        queue_commit(q, (size_t)len);
    }
}

int key_build(const char *algorithm, OSSL_PARAM_BLD *b, int selection, EVP_PKEY **ret)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    EVP_PKEY *key = NULL;
    bool ok = params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, selection, params) == 1;

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    ERR_clear_error();
    if (!ok)
        return -EINVAL;
    *ret = key;
    return 0;
}

static int rsa_from_blob(struct packet_in *in, EVP_PKEY **ret)
{
    size_t e_len, n_len;
    const uint8_t *e = packet_bytes(in, &e_len), *n = packet_bytes(in, &n_len);

    if (!e || !n || e_len > 8 || n_len > SSH_KEY_RSA_BITS_MAX / 8 + 1)
        return -EINVAL;
    BIGNUM *be = BN_bin2bn(e, (int)e_len, NULL), *bn = BN_bin2bn(n, (int)n_len, NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    int r = -EINVAL;
    if (be && bn && b && BN_num_bits(bn) >= SSH_KEY_RSA_BITS_MIN && OSSL_PARAM_BLD_push_BN(b, "n", bn) &&
        OSSL_PARAM_BLD_push_BN(b, "e", be))
        r = key_build("RSA", b, EVP_PKEY_PUBLIC_KEY, ret);
    OSSL_PARAM_BLD_free(b);
    BN_free(be);
    BN_free(bn);
    return r;
}

static int ec_from_blob(const struct ssh_curve *c, struct packet_in *in, EVP_PKEY **ret)
{
    size_t name_len, point_len;
    const uint8_t *name = packet_bytes(in, &name_len), *point = packet_bytes(in, &point_len);

    if (!bytes_are(name, name_len, c->name) || !point || point_len != 1 + 2 * c->bytes)
        return -EINVAL;
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    int r = -EINVAL;
    if (b && OSSL_PARAM_BLD_push_utf8_string(b, "group", c->openssl, 0) &&
        OSSL_PARAM_BLD_push_octet_string(b, "pub", point, point_len))
        r = key_build("EC", b, EVP_PKEY_PUBLIC_KEY, ret);
    OSSL_PARAM_BLD_free(b);
    return r;
}

static int ed25519_from_blob(struct packet_in *in, EVP_PKEY **ret)
{
    size_t len;
    const uint8_t *p = packet_bytes(in, &len);
    if (!p || len != 32)
        return -EINVAL;
    *ret = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p, len);
    return *ret ? 0 : -EINVAL;
}

int ssh_key_from_blob(const uint8_t *blob, size_t len, EVP_PKEY **ret)
{
    struct packet_in in = { .p = blob, .left = len };
    size_t type_len;
    const uint8_t *type = packet_bytes(&in, &type_len);
    const struct ssh_curve *c = ssh_curve_of_type(type, type_len);
    EVP_PKEY *key = NULL;
    int r = -EOPNOTSUPP;

    if (bytes_are(type, type_len, "ssh-ed25519"))
        r = ed25519_from_blob(&in, &key);
    else if (bytes_are(type, type_len, "ssh-rsa"))
        r = rsa_from_blob(&in, &key);
    else if (c)
        r = ec_from_blob(c, &in, &key);
    if (r == 0 && in.left > 0)
        r = -EINVAL;
    if (r < 0) {
        EVP_PKEY_free(key);
        return r;
    }
    *ret = key;
    return 0;
}

static int put_bn_param(struct queue *q, EVP_PKEY *key, const char *name)
{
    BIGNUM *n = NULL;
    if (!EVP_PKEY_get_bn_param(key, name, &n))
        return -EINVAL;
    put_mpint(q, n);
    BN_clear_free(n);
    return 0;
}

const struct ssh_curve *ssh_curve_of_key(EVP_PKEY *key)
{
    char group[64];
    size_t len;
    if (!EVP_PKEY_get_group_name(key, group, sizeof(group), &len))
        return NULL;
    int nid = EC_curve_nist2nid(group);
    if (nid == NID_undef)
        nid = OBJ_sn2nid(group);
    for (const struct ssh_curve *c = ssh_curves; c->name; c++)
        if (c->nid == nid)
            return c;
    return NULL;
}

static int ec_blob(EVP_PKEY *key, struct queue *to)
{
    const struct ssh_curve *c = ssh_curve_of_key(key);
    uint8_t point[256];
    size_t len;

    if (!c || !EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &len) || len != 1 + 2 * c->bytes)
        return -EOPNOTSUPP;
    packet_put_text(to, c->type);
    packet_put_text(to, c->name);
    packet_put_bytes(to, point, len);
    return to->failed;
}

int ssh_key_blob(EVP_PKEY *key, struct queue *to)
{
    uint8_t raw[32];
    size_t len = sizeof(raw);

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
        if (!EVP_PKEY_get_raw_public_key(key, raw, &len))
            return -EINVAL;
        packet_put_text(to, "ssh-ed25519");
        packet_put_bytes(to, raw, len);
        return to->failed;
    case EVP_PKEY_RSA:
        packet_put_text(to, "ssh-rsa");
        if (put_bn_param(to, key, "e") < 0 || put_bn_param(to, key, "n") < 0)
            return -EINVAL;
        return to->failed;
    case EVP_PKEY_EC:
        return ec_blob(key, to);
    default:
        return -EOPNOTSUPP;
    }
}

void ssh_key_fingerprint(const uint8_t *blob, size_t len, char to[64])
{
    uint8_t sum[SHA256_DIGEST_LENGTH];
    char text[48];

    SHA256(blob, len, sum);
    int n = EVP_EncodeBlock((uint8_t *)text, sum, sizeof(sum));
    while (n > 0 && text[n - 1] == '=')
        n--;
    memcpy(to, "SHA256:", 7);
    memcpy(to + 7, text, (size_t)n);
    to[7 + n] = '\0';
}

int ssh_key_sign(EVP_PKEY *key, const char *digest, const uint8_t *data, size_t len, uint8_t *sig, size_t *sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestSign(ctx, sig, sig_len, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? 0 : -EINVAL;
}

int ssh_key_verify(EVP_PKEY *key, const char *digest, const uint8_t *data, size_t len, const uint8_t *sig,
                   size_t sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestVerify(ctx, sig, sig_len, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? 0 : -EACCES;
}
