/* OpenSSH's private key format: "openssh-key-v1", cipher and kdf "none", one key; a public blob, then check numbers,
 * the type, the public fields again, the private fields, a comment, and padding 1, 2, 3, … to a multiple of 8. */
#include "sftp/ssh_key_file.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

static const char begin_line[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
static const char end_line[] = "-----END OPENSSH PRIVATE KEY-----\n";
static const char magic[] = "openssh-key-v1"; /* with its NUL */

/* Base64 in lines of 70, as OpenSSH writes it. */
static int put_armor(const struct queue *q, struct strbuf *to)
{
    char *text = malloc(q->len * 4 / 3 + 8);
    if (!text)
        return -ENOMEM;
    size_t n = (size_t)EVP_EncodeBlock((uint8_t *)text, queue_bytes(q), (int)q->len);
    strbuf_adds(to, begin_line);
    for (size_t i = 0; i < n; i += 70) {
        strbuf_add(to, text + i, MIN(n - i, (size_t)70));
        strbuf_addc(to, '\n');
    }
    strbuf_adds(to, end_line);
    OPENSSL_cleanse(text, n);
    free(text);
    return strbuf_ok(to);
}

/* `fields`: the private section from the type to before the comment. */
static int put_file(const uint8_t *blob, size_t blob_len, const struct queue *fields, struct strbuf *to)
{
    struct queue q = QUEUE(SSH_KEY_FILE_MAX), secret = QUEUE(SSH_KEY_FILE_MAX);
    uint32_t check = 0;

    IGNORE(RAND_bytes((uint8_t *)&check, sizeof(check)), "two equal numbers are all that is asked for");
    packet_put_u32(&secret, check);
    packet_put_u32(&secret, check);
    queue_add(&secret, queue_bytes(fields), fields->len);
    packet_put_text(&secret, "tally");
    for (uint8_t i = 1; secret.len % 8 != 0; i++)
        packet_put_u8(&secret, i);
    queue_add(&q, magic, sizeof(magic));
    packet_put_text(&q, "none");
    packet_put_text(&q, "none");
    packet_put_text(&q, "");
    packet_put_u32(&q, 1);
    packet_put_bytes(&q, blob, blob_len);
    packet_put_bytes(&q, queue_bytes(&secret), secret.len);
    int r = q.failed ? q.failed : secret.failed;
    if (r == 0)
        r = put_armor(&q, to);
    if (secret.v)
        OPENSSL_cleanse(secret.v, secret.room);
    if (q.v)
        OPENSSL_cleanse(q.v, q.room);
    queue_done(&secret);
    queue_done(&q);
    return r;
}

static int put_private_bn(struct queue *q, EVP_PKEY *key, const char *const *names)
{
    for (; *names; names++) {
        BIGNUM *n = NULL;
        if (!EVP_PKEY_get_bn_param(key, *names, &n))
            return -EINVAL;
        put_mpint(q, n);
        BN_clear_free(n);
    }
    return q->failed;
}

static int put_private(struct queue *q, EVP_PKEY *key, const struct queue *blob)
{
    static const char *const rsa[] = {
        "n", "e", "d", OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2, NULL
    };
    static const char *const ec[] = { OSSL_PKEY_PARAM_PRIV_KEY, NULL };
    uint8_t raw[64];
    size_t seed_len = 32, public_len = 32;

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
        if (!EVP_PKEY_get_raw_private_key(key, raw, &seed_len) ||
            !EVP_PKEY_get_raw_public_key(key, raw + 32, &public_len))
            return -EINVAL;
        queue_add(q, queue_bytes(blob), blob->len); /* type and public key */
        packet_put_bytes(q, raw, sizeof(raw));
        OPENSSL_cleanse(raw, sizeof(raw));
        return q->failed;
    case EVP_PKEY_RSA:
        packet_put_text(q, "ssh-rsa");
        return put_private_bn(q, key, rsa);
    case EVP_PKEY_EC:
        queue_add(q, queue_bytes(blob), blob->len);
        return put_private_bn(q, key, ec);
    default:
        return -EOPNOTSUPP;
    }
}

int ssh_key_write(EVP_PKEY *key, struct strbuf *to)
{
    struct queue blob = QUEUE(SSH_KEY_BLOB_MAX), fields = QUEUE(SSH_KEY_FILE_MAX);
    int r = ssh_key_blob(key, &blob);
    if (r == 0)
        r = put_private(&fields, key, &blob);
    if (r == 0)
        r = put_file(queue_bytes(&blob), blob.len, &fields, to);
    if (fields.v)
        OPENSSL_cleanse(fields.v, fields.room);
    queue_done(&fields);
    queue_done(&blob);
    return r;
}

/* A number of `bytes` bytes, odd and below any modulus of that size. */
static void put_random_mpint(struct queue *q, size_t bytes)
{
    uint8_t v[SSH_KEY_RSA_BITS_MAX / 8];

    bytes = MIN(bytes, sizeof(v));
    IGNORE(RAND_bytes(v, (int)bytes), "nobody computes with it");
    v[0] = 1;
    v[bytes - 1] |= 1;
    packet_put_bytes(q, v, bytes);
}

static int put_shell_rsa(struct queue *q, struct packet_in *in)
{
    size_t e_len, n_len;
    const uint8_t *e = packet_bytes(in, &e_len), *n = packet_bytes(in, &n_len);
    if (!e || !n || n_len < 64)
        return -EINVAL;
    packet_put_text(q, "ssh-rsa");
    packet_put_bytes(q, n, n_len);
    packet_put_bytes(q, e, e_len);
    put_random_mpint(q, n_len - 1);
    for (int i = 0; i < 3; i++)
        put_random_mpint(q, n_len / 2);
    return q->failed;
}

int ssh_key_write_shell(const uint8_t *blob, size_t len, struct strbuf *to)
{
    struct queue fields = QUEUE(SSH_KEY_FILE_MAX);
    struct packet_in in = { .p = blob, .left = len };
    size_t type_len, public_len;
    uint8_t raw[64];
    const uint8_t *type = packet_bytes(&in, &type_len);
    const struct ssh_curve *c = ssh_curve_of_type(type, type_len);
    int r = 0;

    if (bytes_are(type, type_len, "ssh-rsa")) {
        r = put_shell_rsa(&fields, &in);
    } else if (c) {
        queue_add(&fields, blob, len);
        put_random_mpint(&fields, c->bytes - 1);
    } else if (bytes_are(type, type_len, "ssh-ed25519")) {
        const uint8_t *public = packet_bytes(&in, &public_len);
        if (!public || public_len != 32)
            return -EINVAL;
        IGNORE(RAND_bytes(raw, 32), "nobody signs with it");
        memcpy(raw + 32, public, 32);
        queue_add(&fields, blob, len);
        packet_put_bytes(&fields, raw, sizeof(raw));
    } else {
        r = -EOPNOTSUPP;
    }
    if (r == 0)
        r = fields.failed ? fields.failed : put_file(blob, len, &fields, to);
    queue_done(&fields);
    return r;
}

static int read_ed25519(struct packet_in *in, EVP_PKEY **ret)
{
    size_t public_len, len;
    packet_bytes(in, &public_len);
    const uint8_t *p = packet_bytes(in, &len);
    if (!p || len != 64)
        return -EINVAL;
    *ret = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, p, 32);
    return *ret ? 0 : -EINVAL;
}

static int read_ec(const struct ssh_curve *c, struct packet_in *in, EVP_PKEY **ret)
{
    size_t name_len, point_len, d_len;
    const uint8_t *name = packet_bytes(in, &name_len), *point = packet_bytes(in, &point_len);
    const uint8_t *d = packet_bytes(in, &d_len);

    if (!bytes_are(name, name_len, c->name) || !point || !d || d_len > c->bytes + 1)
        return -EINVAL;
    BIGNUM *bd = BN_bin2bn(d, (int)d_len, NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    int r = -EINVAL;
    if (bd && b && OSSL_PARAM_BLD_push_utf8_string(b, "group", c->openssl, 0) &&
        OSSL_PARAM_BLD_push_octet_string(b, "pub", point, point_len) && OSSL_PARAM_BLD_push_BN(b, "priv", bd))
        r = key_build("EC", b, EVP_PKEY_KEYPAIR, ret);
    OSSL_PARAM_BLD_free(b);
    BN_clear_free(bd);
    return r;
}

/* dP and dQ are not in the file. */
static bool push_rsa(OSSL_PARAM_BLD *b, BIGNUM *v[6], BN_CTX *ctx, BIGNUM *dp, BIGNUM *dq)
{
    static const char *const names[] = {
        "n", "e", "d", OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2
    };
    BIGNUM *p1 = BN_dup(v[4]), *q1 = BN_dup(v[5]);
    bool ok =
        p1 && q1 && BN_sub_word(p1, 1) && BN_sub_word(q1, 1) && BN_mod(dp, v[2], p1, ctx) && BN_mod(dq, v[2], q1, ctx);

    for (size_t i = 0; ok && i < ARRAY_SIZE(names); i++)
        ok = OSSL_PARAM_BLD_push_BN(b, names[i], v[i]);
    BN_clear_free(p1);
    BN_clear_free(q1);
    return ok && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp) &&
           OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq);
}

static int read_rsa(struct packet_in *in, EVP_PKEY **ret)
{
    BIGNUM *v[6] = { NULL }, *dp = BN_new(), *dq = BN_new();
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    BN_CTX *ctx = BN_CTX_new();
    bool ok = dp && dq && b && ctx;

    for (size_t i = 0; i < 6; i++) {
        size_t len;
        const uint8_t *p = packet_bytes(in, &len);
        v[i] = p && len <= SSH_KEY_RSA_BITS_MAX / 8 + 1 ? BN_bin2bn(p, (int)len, NULL) : NULL;
        ok = ok && v[i];
    }
    int r = ok && push_rsa(b, v, ctx, dp, dq) ? key_build("RSA", b, EVP_PKEY_KEYPAIR, ret) : -EINVAL;
    for (size_t i = 0; i < 6; i++)
        BN_clear_free(v[i]);
    BN_clear_free(dp);
    BN_clear_free(dq);
    BN_CTX_free(ctx);
    OSSL_PARAM_BLD_free(b);
    return r;
}

static int read_private(struct packet_in *in, EVP_PKEY **ret)
{
    size_t len;
    uint32_t check = packet_u32(in);
    if (check != packet_u32(in))
        return -EINVAL;
    const uint8_t *type = packet_bytes(in, &len);
    const struct ssh_curve *c = ssh_curve_of_type(type, len);
    if (bytes_are(type, len, "ssh-ed25519"))
        return read_ed25519(in, ret);
    if (bytes_are(type, len, "ssh-rsa"))
        return read_rsa(in, ret);
    return c ? read_ec(c, in, ret) : -EOPNOTSUPP;
}

static int read_openssh(const uint8_t *bytes, size_t bytes_len, EVP_PKEY **ret)
{
    struct packet_in in = { .p = bytes, .left = bytes_len };
    size_t cipher_len, kdf_len, len;

    if (bytes_len < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0)
        return -EINVAL;
    in.p += sizeof(magic);
    in.left -= sizeof(magic);
    const uint8_t *cipher = packet_bytes(&in, &cipher_len), *kdf = packet_bytes(&in, &kdf_len);
    packet_bytes(&in, &len);
    if (!bytes_are(cipher, cipher_len, "none") || !bytes_are(kdf, kdf_len, "none") || packet_u32(&in) != 1)
        return -EINVAL; /* encrypted, or several */
    packet_bytes(&in, &len);
    const uint8_t *secret = packet_bytes(&in, &len);
    if (!secret)
        return -EINVAL;
    struct packet_in fields = { .p = secret, .left = len };
    return read_private(&fields, ret);
}

static int read_armor(const char *text, size_t len, EVP_PKEY **ret)
{
    size_t skip = strlen(begin_line), n = 0;
    const char *end = memmem(text, len, "-----END", 8);
    if (!end || (size_t)(end - text) < skip)
        return -EINVAL;
    char *base64 = malloc(len);
    uint8_t *bytes = malloc(len);
    int r = base64 && bytes ? 0 : -ENOMEM;
    for (const char *s = text + skip; r == 0 && s < end; s++)
        if (*s != '\n' && *s != '\r')
            base64[n++] = *s;
    if (r == 0) {
        int got = EVP_DecodeBlock(bytes, (const uint8_t *)base64, (int)n);
        r = got > 0 ? read_openssh(bytes, (size_t)got, ret) : -EINVAL;
        OPENSSL_cleanse(bytes, len);
        OPENSSL_cleanse(base64, len);
    }
    free(base64);
    free(bytes);
    return r;
}

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

int ssh_key_read(const char *text, size_t len, EVP_PKEY **ret)
{
    if (len > SSH_KEY_FILE_MAX)
        return -EINVAL;
    if (len >= strlen(begin_line) && memcmp(text, begin_line, strlen(begin_line)) == 0)
        return read_armor(text, len, ret);
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (!key)
        return -EINVAL;
    *ret = key;
    return 0;
}
