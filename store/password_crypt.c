/* The forms of crypt(3): bcrypt, md5crypt, sha256crypt, sha512crypt, yescrypt, and DES inside {CRYPT}.
 *
 * Each form is checked to the last character before crypt_rn() sees it: crypt would take rounds=999999999. bcrypt reads
 * 72 bytes of the password, as every bcrypt does; libxcrypt reads 511 of it and refuses more.
 *
 * Yescrypt's parameters are base64 digits of 6 bits, `j` then N (as log2, from 1) then r (from 1); what needs more than
 * one digit costs more than we allow, and nobody's crypt_gensalt() makes it.
 *
 * Source: crypt(5); libxcrypt 4.4; notes/http-db.md §C. */
#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/sys.h"
#include "store/password.h"
#include "store/password_forms.h"

enum { BCRYPT_LEN = 60, BCRYPT_READS = 72, CRYPT_SALT_MAX = 16, DES_LEN = 13 };

static const char itoa64[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

struct crypt_facts {
    size_t digest_chars;
};

/* `n` characters of crypt's base64 and nothing behind them. */
static bool is_tail(const char *s, size_t n)
{
    return strlen(s) == n && strspn(s, itoa64) == n;
}

static int bcrypt_check(const struct password_form *f, const char *hash)
{
    (void)f;
    const char *cost = hash + 4;

    if (strlen(hash) != BCRYPT_LEN || cost[0] < '0' || cost[0] > '9' || cost[1] < '0' || cost[1] > '9' ||
        cost[2] != '$' || !is_tail(cost + 3, BCRYPT_LEN - 7))
        return -EINVAL;
    int n = (cost[0] - '0') * 10 + cost[1] - '0';
    if (n < 4 || n > 31)
        return -EINVAL;
    return n > PASSWORD_COST_BCRYPT ? -E2BIG : 0;
}

/* $1$salt$digest, $5$[rounds=N$]salt$digest, $6$ likewise. */
static int md5_sha_check(const struct password_form *f, const char *hash)
{
    const struct crypt_facts *facts = f->facts;
    const char *s = hash + strlen(f->prefix);
    int64_t rounds = 0;

    if (f->prefix[1] != '1' && str_has_prefix(s, "rounds=")) {
        const char *end = strchr(s, '$');
        char digits[16];
        size_t n = end ? (size_t)(end - s) - 7 : 0;
        if (n == 0 || n >= sizeof(digits))
            return -EINVAL;
        memcpy(digits, s + 7, n);
        digits[n] = 0;
        if (str_int(digits, 1000, 999999999, &rounds) < 0)
            return -EINVAL;
        s = end + 1;
    }
    const char *end = strchr(s, '$');
    if (!end || end - s > CRYPT_SALT_MAX || strspn(s, itoa64) != (size_t)(end - s) ||
        !is_tail(end + 1, facts->digest_chars))
        return -EINVAL;
    return rounds > PASSWORD_COST_SHA_ROUNDS ? -E2BIG : 0;
}

static int digit64(char c)
{
    const char *p = c ? strchr(itoa64, c) : NULL;

    return p ? (int)(p - itoa64) : -1;
}

static int yescrypt_check(const struct password_form *f, const char *hash)
{
    (void)f;
    const char *s = hash + 3;

    if (strlen(s) < 5 || s[0] != 'j' || digit64(s[1]) < 0 || digit64(s[2]) < 0)
        return -EINVAL;
    if (s[3] != '$')
        return -E2BIG; /* more parameters, or larger ones */
    const char *salt = s + 4, *end = strchr(salt, '$');
    if (!end || strspn(salt, itoa64) != (size_t)(end - salt) || !is_tail(end + 1, 43))
        return -EINVAL;
    unsigned log2n = (unsigned)digit64(s[1]) + 1, r = (unsigned)digit64(s[2]) + 1;
    uint64_t bytes = log2n < 40 ? (128ULL * r) << log2n : UINT64_MAX;
    return bytes > (uint64_t)PASSWORD_COST_MEMORY_KIB * 1024 ? -E2BIG : 0;
}

/* What crypt makes of a password with this setting; NULL on failure. Lives in *d. */
static const char *crypt_with(struct crypt_data *d, const char *setting, const char *password)
{
    char *s = crypt_rn(password, setting, d, (int)sizeof(*d));

    return s && s[0] != '*' ? s : NULL;
}

static struct crypt_data *crypt_room(void)
{
    return calloc(1, sizeof(struct crypt_data));
}

static void crypt_room_free(struct crypt_data *d)
{
    if (d)
        OPENSSL_cleanse(d, sizeof(*d));
    free(d);
}
DEFINE_CLEANUP(struct crypt_data, crypt_room_free)

int password_crypt_verify(const char *hash, const char *password)
{
    CLEANUP(crypt_room_free_p) struct crypt_data *d = crypt_room();

    if (!d)
        return -ENOMEM;
    const char *made = crypt_with(d, hash, password);
    if (!made || strlen(made) != strlen(hash))
        return -EACCES;
    return password_same(made, hash, strlen(hash));
}

static int crypt_verify(const struct password_form *f, const char *hash, const char *password)
{
    (void)f;
    return password_crypt_verify(hash, password);
}

static int bcrypt_verify(const struct password_form *f, const char *hash, const char *password)
{
    (void)f;
    char head[BCRYPT_READS + 1];

    str_set(head, sizeof(head), password); /* cut where bcrypt stops reading: libxcrypt refuses 512 bytes */
    int r = password_crypt_verify(hash, head);
    OPENSSL_cleanse(head, sizeof(head));
    return r;
}

bool password_crypt_is_des(const char *hash)
{
    return is_tail(hash, DES_LEN);
}

static int bcrypt_make(struct crypt_data *d, const char *password, unsigned cost, char **ret)
{
    char head[BCRYPT_READS + 1], setting[CRYPT_GENSALT_OUTPUT_SIZE], random[16];

    sys->random(random, sizeof(random));
    if (!crypt_gensalt_rn("$2a$", cost, random, (int)sizeof(random), setting, (int)sizeof(setting)))
        return -EINVAL;
    str_set(head, sizeof(head), password);
    const char *made = crypt_with(d, setting, head);
    OPENSSL_cleanse(head, sizeof(head));
    if (!made)
        return -EINVAL;
    char *copy = strdup(made);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

int password_crypt_make(const char *password, unsigned cost, char **ret)
{
    struct crypt_data *d = crypt_room();
    int r = d ? bcrypt_make(d, password, cost, ret) : -ENOMEM;

    crypt_room_free(d);
    return r;
}

static const struct crypt_facts md5_facts = { 22 }, sha256_facts = { 43 }, sha512_facts = { 86 };

const struct password_form password_crypt_forms[] = {
    { "$2a$", false, bcrypt_check, bcrypt_verify, NULL },
    { "$2b$", false, bcrypt_check, bcrypt_verify, NULL },
    { "$2y$", false, bcrypt_check, bcrypt_verify, NULL },
    { "$1$", false, md5_sha_check, crypt_verify, &md5_facts },
    { "$5$", false, md5_sha_check, crypt_verify, &sha256_facts },
    { "$6$", false, md5_sha_check, crypt_verify, &sha512_facts },
    { "$y$", false, yescrypt_check, crypt_verify, NULL },
    { NULL, false, NULL, NULL, NULL },
};
