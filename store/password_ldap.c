/* The forms of LDAP's userPassword: {SCHEME} and a digest, with the salt behind it where the scheme has one.
 *
 * The digest is base64 (RFC 2307 and OpenLDAP's habit) or, without salt, also hexadecimal (SFTPGo 2.7). {CRYPT} holds a
 * hash of crypt(3), also the old DES form.
 *
 * Source: RFC 2307 §5.3; slappasswd(8); contract/rest.md §5.5. */
#include <openssl/evp.h>
#include <string.h>

#include "store/base64.h"
#include "store/password_forms.h"

enum { LDAP_BYTES_MAX = 128 };

struct ldap_facts {
    const char *digest;
    size_t len;
    bool salted;
};

struct ldap_hash {
    uint8_t bytes[LDAP_BYTES_MAX]; /* digest, then salt */
    size_t salt_len;
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_decode(const char *s, size_t bytes, uint8_t *to)
{
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_value(s[2 * i]), low = hex_value(s[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static int ldap_parse(const struct password_form *f, const char *hash, struct ldap_hash *ret)
{
    const struct ldap_facts *facts = f->facts;
    const char *s = hash + strlen(f->prefix);
    size_t len = strlen(s);

    ret->salt_len = 0;
    if (!facts->salted && len == 2 * facts->len)
        return hex_decode(s, facts->len, ret->bytes);
    ssize_t n = base64_decode(BASE64_STD, s, len, ret->bytes, sizeof(ret->bytes));
    if (n < 0 || (size_t)n < facts->len || ((size_t)n > facts->len) != facts->salted)
        return -EINVAL;
    ret->salt_len = (size_t)n - facts->len;
    return 0;
}

static int ldap_check(const struct password_form *f, const char *hash)
{
    struct ldap_hash h;

    return ldap_parse(f, hash, &h);
}

static bool digest_of(const struct ldap_facts *facts, const char *password, const uint8_t *salt, size_t salt_len,
                      uint8_t *to)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_MD *md = EVP_MD_fetch(NULL, facts->digest, NULL);
    bool ok = ctx && md && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
              EVP_DigestUpdate(ctx, password, strlen(password)) == 1 && EVP_DigestUpdate(ctx, salt, salt_len) == 1 &&
              EVP_DigestFinal_ex(ctx, to, NULL) == 1;

    EVP_MD_free(md);
    EVP_MD_CTX_free(ctx);
    return ok;
}

static int ldap_verify(const struct password_form *f, const char *hash, const char *password)
{
    const struct ldap_facts *facts = f->facts;
    struct ldap_hash h;
    uint8_t made[EVP_MAX_MD_SIZE];
    int r = ldap_parse(f, hash, &h);

    if (r < 0)
        return r;
    if (!digest_of(facts, password, h.bytes + facts->len, h.salt_len, made))
        return -ENOMEM;
    return password_same(made, h.bytes, facts->len);
}

/* The row of what {CRYPT} holds; NULL for DES and for what we do not know. */
static const struct password_form *inner_form(const char *inner)
{
    for (const struct password_form *f = password_crypt_forms; f->prefix; f++)
        if (strncmp(inner, f->prefix, strlen(f->prefix)) == 0)
            return f;
    return NULL;
}

static int crypt_scheme_check(const struct password_form *f, const char *hash)
{
    const char *inner = hash + strlen(f->prefix);
    const struct password_form *in = inner_form(inner);

    if (in)
        return in->check(in, inner);
    return password_crypt_is_des(inner) ? 0 : -EINVAL;
}

static int crypt_scheme_verify(const struct password_form *f, const char *hash, const char *password)
{
    const char *inner = hash + strlen(f->prefix);
    const struct password_form *in = inner_form(inner);

    return in ? in->verify(in, inner, password) : password_crypt_verify(inner, password);
}

static const struct ldap_facts md5 = { "MD5", 16, false }, sha1 = { "SHA1", 20, false },
                               sha256 = { "SHA256", 32, false }, sha512 = { "SHA512", 64, false },
                               ssha1 = { "SHA1", 20, true }, ssha256 = { "SHA256", 32, true },
                               ssha512 = { "SHA512", 64, true };

const struct password_form password_ldap_forms[] = {
    { "{SSHA}", true, ldap_check, ldap_verify, &ssha1 },
    { "{SSHA256}", true, ldap_check, ldap_verify, &ssha256 },
    { "{SSHA512}", true, ldap_check, ldap_verify, &ssha512 },
    { "{SHA}", true, ldap_check, ldap_verify, &sha1 },
    { "{SHA256}", true, ldap_check, ldap_verify, &sha256 },
    { "{SHA512}", true, ldap_check, ldap_verify, &sha512 },
    { "{MD5}", true, ldap_check, ldap_verify, &md5 },
    { "{CRYPT}", true, crypt_scheme_check, crypt_scheme_verify, NULL },
    { NULL, false, NULL, NULL, NULL },
};
