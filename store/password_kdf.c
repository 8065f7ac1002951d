/* argon2id in the PHC form, and PBKDF2 as SFTPGo writes it.
 *
 *   $argon2id$v=19$m=65536,t=1,p=2$salt$digest          both base64 without padding
 *   $pbkdf2-sha256$150000$salt$digest                   the salt is the literal text, the digest base64 with padding
 *   $pbkdf2-b64salt-sha256$150000$c2FsdA==$digest       the salt is base64, too
 *
 * The lanes of argon2 are computed one after the other in the caller's thread (the result is the same): a stranger's
 * login must not start threads.
 *
 * Source: RFC 9106; RFC 8018; contract/rest.md §5.5. */
#include <argon2.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/sys.h"
#include "store/base64.h"
#include "store/password.h"
#include "store/password_forms.h"

enum { SALT_MAX = 384, DIGEST_MAX = 128, ARGON2_SALT = 16, ARGON2_DIGEST = 32 };

struct kdf {
    uint32_t memory_kib, passes, lanes; /* argon2 */
    int iterations;                     /* PBKDF2 */
    size_t salt_len, digest_len;
    uint8_t salt[SALT_MAX], digest[DIGEST_MAX];
};

struct pbkdf2_facts {
    const char *digest;
    size_t digest_len;
    bool salt_is_base64;
};

/* Takes the text up to `end` off *s as a number. */
static bool number_take(const char **s, const char *name, char end, int64_t max, int64_t *ret)
{
    char digits[16];

    if (!str_has_prefix(*s, name))
        return false;
    const char *from = *s + strlen(name), *to = strchr(from, end);
    if (!to || (size_t)(to - from) >= sizeof(digits))
        return false;
    memcpy(digits, from, (size_t)(to - from));
    digits[to - from] = 0;
    if (str_int(digits, 1, max, ret) < 0)
        return false;
    *s = to + 1;
    return true;
}

static bool bytes_take(enum base64_form form, const char *s, size_t len, uint8_t *to, size_t room, size_t *ret_len)
{
    ssize_t n = base64_decode(form, s, len, to, room);

    if (n < 0)
        return false;
    *ret_len = (size_t)n;
    return true;
}

static int argon2_parse(const char *hash, struct kdf *k)
{
    const char *s = hash + strlen("$argon2id$");
    int64_t m, t, p;

    if (!str_has_prefix(s, "v=19$"))
        return -EINVAL;
    s += strlen("v=19$");
    if (!number_take(&s, "m=", ',', UINT32_MAX, &m) || !number_take(&s, "t=", ',', UINT32_MAX, &t) ||
        !number_take(&s, "p=", '$', UINT32_MAX, &p))
        return -EINVAL;
    const char *end = strchr(s, '$');
    if (!end || !bytes_take(BASE64_UNPADDED, s, (size_t)(end - s), k->salt, SALT_MAX, &k->salt_len) ||
        !bytes_take(BASE64_UNPADDED, end + 1, strlen(end + 1), k->digest, DIGEST_MAX, &k->digest_len))
        return -EINVAL;
    k->memory_kib = (uint32_t)m;
    k->passes = (uint32_t)t;
    k->lanes = (uint32_t)p;
    return k->salt_len < ARGON2_MIN_SALT_LENGTH || k->digest_len < 12 ? -EINVAL : 0;
}

static int argon2_cost(const struct kdf *k)
{
    if (k->memory_kib > PASSWORD_COST_MEMORY_KIB || k->passes > PASSWORD_COST_ARGON2_PASSES ||
        k->lanes > PASSWORD_COST_ARGON2_LANES || (uint64_t)k->memory_kib * k->passes > PASSWORD_COST_ARGON2_WORK)
        return -E2BIG;
    return k->memory_kib < 8 * k->lanes ? -EINVAL : 0;
}

static int argon2_check(const struct password_form *f, const char *hash)
{
    (void)f;
    struct kdf k;
    int r = argon2_parse(hash, &k);

    return r < 0 ? r : argon2_cost(&k);
}

static int argon2_compute(struct kdf *k, const char *password, uint8_t *to)
{
    argon2_context ctx = {
        .outlen = (uint32_t)k->digest_len,
        .pwd = (uint8_t *)(uintptr_t)password, /* not written: FLAG_CLEAR_PASSWORD is off */
        .pwdlen = (uint32_t)strlen(password),
        .salt = k->salt,
        .saltlen = (uint32_t)k->salt_len,
        .t_cost = k->passes,
        .m_cost = k->memory_kib,
        .lanes = k->lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13,
    };
    ctx.out = to;
    int code = argon2id_ctx(&ctx);

    return code == ARGON2_OK ? 0 : code == ARGON2_MEMORY_ALLOCATION_ERROR ? -ENOMEM : -EINVAL;
}

static int argon2_verify_(const struct password_form *f, const char *hash, const char *password)
{
    (void)f;
    struct kdf k;
    uint8_t made[DIGEST_MAX];
    int r = argon2_parse(hash, &k);

    if (r == 0)
        r = argon2_compute(&k, password, made);
    return r < 0 ? r : password_same(made, k.digest, k.digest_len);
}

int password_argon2_make(const char *password, uint32_t memory_kib, uint32_t passes, uint32_t lanes, char **ret)
{
    struct kdf k = {
        .memory_kib = memory_kib, .passes = passes, .lanes = lanes, .salt_len = ARGON2_SALT, .digest_len = ARGON2_DIGEST
    };
    char salt[4 * ARGON2_SALT / 2], digest[2 * ARGON2_DIGEST];
    int r = argon2_cost(&k);

    if (r < 0)
        return -EINVAL; /* we would refuse it ourselves */
    sys->random(k.salt, k.salt_len);
    r = argon2_compute(&k, password, k.digest);
    if (r < 0)
        return r;
    base64_encode(BASE64_UNPADDED, k.salt, k.salt_len, salt);
    base64_encode(BASE64_UNPADDED, k.digest, k.digest_len, digest);
    struct strbuf b = STRBUF(PASSWORD_MAX);
    strbuf_addf(&b, "$argon2id$v=19$m=%u,t=%u,p=%u$%s$%s", memory_kib, passes, lanes, salt, digest);
    return strbuf_take(&b, ret);
}

static int pbkdf2_parse(const struct password_form *f, const char *hash, struct kdf *k)
{
    const struct pbkdf2_facts *facts = f->facts;
    const char *s = hash + strlen(f->prefix);
    int64_t iterations;

    if (!number_take(&s, "", '$', INT32_MAX, &iterations))
        return -EINVAL;
    const char *end = strchr(s, '$');
    size_t n = end ? (size_t)(end - s) : 0;
    if (n == 0 || n > SALT_MAX)
        return -EINVAL;
    if (!facts->salt_is_base64) {
        memcpy(k->salt, s, n);
        k->salt_len = n;
    } else if (!bytes_take(BASE64_STD, s, n, k->salt, SALT_MAX, &k->salt_len)) {
        return -EINVAL;
    }
    if (!bytes_take(BASE64_STD, end + 1, strlen(end + 1), k->digest, DIGEST_MAX, &k->digest_len))
        return -EINVAL;
    k->iterations = (int)iterations;
    return k->digest_len < 16 ? -EINVAL : 0;
}

static int pbkdf2_check(const struct password_form *f, const char *hash)
{
    const struct pbkdf2_facts *facts = f->facts;
    struct kdf k;
    int r = pbkdf2_parse(f, hash, &k);

    if (r < 0)
        return r;
    uint64_t blocks = (k.digest_len + facts->digest_len - 1) / facts->digest_len;
    return blocks * (uint64_t)k.iterations > PASSWORD_COST_PBKDF2 ? -E2BIG : 0;
}

static int pbkdf2_verify(const struct password_form *f, const char *hash, const char *password)
{
    const struct pbkdf2_facts *facts = f->facts;
    struct kdf k;
    uint8_t made[DIGEST_MAX];
    int r = pbkdf2_parse(f, hash, &k);

    if (r < 0)
        return r;
    EVP_MD *md = EVP_MD_fetch(NULL, facts->digest, NULL);
    if (!md)
        return -ENOMEM;
    int ok = PKCS5_PBKDF2_HMAC(password, (int)strlen(password), k.salt, (int)k.salt_len, k.iterations, md,
                               (int)k.digest_len, made);
    EVP_MD_free(md);
    return ok == 1 ? password_same(made, k.digest, k.digest_len) : -ENOMEM;
}

static const struct pbkdf2_facts sha1 = { "SHA1", 20, false }, sha256 = { "SHA256", 32, false },
                                 sha512 = { "SHA512", 64, false }, sha256_b64salt = { "SHA256", 32, true };

const struct password_form password_kdf_forms[] = {
    { "$argon2id$", false, argon2_check, argon2_verify_, NULL },
    { "$pbkdf2-sha1$", false, pbkdf2_check, pbkdf2_verify, &sha1 },
    { "$pbkdf2-sha256$", false, pbkdf2_check, pbkdf2_verify, &sha256 },
    { "$pbkdf2-sha512$", false, pbkdf2_check, pbkdf2_verify, &sha512 },
    { "$pbkdf2-b64salt-sha256$", false, pbkdf2_check, pbkdf2_verify, &sha256_b64salt },
    { NULL, false, NULL, NULL, NULL },
};
