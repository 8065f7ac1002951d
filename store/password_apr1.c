/* $apr1$salt$digest: Apache's variant of md5crypt, which neither libcrypt nor libcrypto's API has.
 *
 * The algorithm is md5crypt with another magic word. A = MD5(password, salt, password). The first state is
 * MD5(password, magic, salt, A repeated over the password's length, then for each bit of the length, from the lowest, a
 * NUL or the password's first byte). Then 1,000 rounds mix state, password and salt in an order that depends on the
 * round's number. The result is written in crypt's base64 with the bytes in an order of its own.
 *
 * Source: Apache's documentation, "Password Formats"; the description of md5crypt by P.-H. Kamp; vectors of
 * `openssl passwd -apr1` in the tests. */
#include <openssl/evp.h>
#include <string.h>

#include "store/password_forms.h"

enum { MD5_LEN = 16, APR1_SALT_MAX = 8, APR1_DIGEST_CHARS = 22, APR1_ROUNDS = 1000 };

static const char magic[] = "$apr1$";
static const char itoa64[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* One password being hashed. `failed` stays once a step has failed. */
struct apr1 {
    EVP_MD_CTX *ctx;
    EVP_MD *md;
    const char *password, *salt;
    size_t password_len, salt_len;
    bool failed;
    uint8_t state[MD5_LEN];
};

static void begin(struct apr1 *a)
{
    a->failed |= EVP_DigestInit_ex(a->ctx, a->md, NULL) != 1;
}

static void feed(struct apr1 *a, const void *bytes, size_t len)
{
    a->failed |= EVP_DigestUpdate(a->ctx, bytes, len) != 1;
}

static void feed_password(struct apr1 *a)
{
    feed(a, a->password, a->password_len);
}

static void feed_salt(struct apr1 *a)
{
    feed(a, a->salt, a->salt_len);
}

static void finish(struct apr1 *a)
{
    a->failed |= EVP_DigestFinal_ex(a->ctx, a->state, NULL) != 1;
}

static void first_state(struct apr1 *a)
{
    uint8_t inner[MD5_LEN];

    begin(a);
    feed_password(a);
    feed_salt(a);
    feed_password(a);
    finish(a);
    memcpy(inner, a->state, MD5_LEN);

    begin(a);
    feed_password(a);
    feed(a, magic, strlen(magic));
    feed_salt(a);
    for (size_t left = a->password_len; left > 0; left -= left > MD5_LEN ? MD5_LEN : left)
        feed(a, inner, left > MD5_LEN ? MD5_LEN : left);
    for (size_t bits = a->password_len; bits > 0; bits >>= 1)
        feed(a, bits & 1 ? "" : a->password, 1);
    finish(a);
}

static void round_of(struct apr1 *a, unsigned i)
{
    begin(a);
    if (i & 1)
        feed_password(a);
    else
        feed(a, a->state, MD5_LEN);
    if (i % 3)
        feed_salt(a);
    if (i % 7)
        feed_password(a);
    if (i & 1)
        feed(a, a->state, MD5_LEN);
    else
        feed_password(a);
    finish(a);
}

static void digest_text(const uint8_t s[MD5_LEN], char to[APR1_DIGEST_CHARS + 1])
{
    static const uint8_t order[5][3] = { { 0, 6, 12 }, { 1, 7, 13 }, { 2, 8, 14 }, { 3, 9, 15 }, { 4, 10, 5 } };
    size_t n = 0;

    for (size_t i = 0; i < 5; i++) {
        uint32_t v = (uint32_t)s[order[i][0]] << 16 | (uint32_t)s[order[i][1]] << 8 | s[order[i][2]];
        for (unsigned k = 0; k < 4; k++, v >>= 6)
            to[n++] = itoa64[v & 63];
    }
    to[n++] = itoa64[s[11] & 63];
    to[n++] = itoa64[s[11] >> 6];
    to[n] = 0;
}

static int apr1_compute(struct apr1 *a, char to[APR1_DIGEST_CHARS + 1])
{
    a->ctx = EVP_MD_CTX_new();
    a->md = EVP_MD_fetch(NULL, "MD5", NULL);
    a->failed = !a->ctx || !a->md;
    if (!a->failed) {
        first_state(a);
        for (unsigned i = 0; i < APR1_ROUNDS; i++)
            round_of(a, i);
        digest_text(a->state, to);
    }
    EVP_MD_free(a->md);
    EVP_MD_CTX_free(a->ctx);
    return a->failed ? -ENOMEM : 0;
}

/* The salt's length, or -EINVAL if the hash is not of this form. */
static ssize_t salt_length(const char *hash)
{
    const char *salt = hash + strlen(magic), *end = strchr(salt, '$');

    if (!end || end == salt || end - salt > APR1_SALT_MAX || strlen(end + 1) != APR1_DIGEST_CHARS ||
        strspn(end + 1, itoa64) != APR1_DIGEST_CHARS)
        return -EINVAL;
    return end - salt;
}

static int apr1_check(const struct password_form *f, const char *hash)
{
    (void)f;
    ssize_t n = salt_length(hash);

    return n < 0 ? (int)n : 0;
}

static int apr1_verify(const struct password_form *f, const char *hash, const char *password)
{
    (void)f;
    char made[APR1_DIGEST_CHARS + 1];
    struct apr1 a = { .password = password, .password_len = strlen(password), .salt = hash + strlen(magic) };
    ssize_t n = salt_length(hash);

    if (n < 0)
        return (int)n;
    a.salt_len = (size_t)n;
    int r = apr1_compute(&a, made);
    return r < 0 ? r : password_same(made, a.salt + n + 1, APR1_DIGEST_CHARS);
}

const struct password_form password_apr1_forms[] = {
    { "$apr1$", false, apr1_check, apr1_verify, NULL },
    { NULL, false, NULL, NULL, NULL },
};
