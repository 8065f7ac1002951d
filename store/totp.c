/* liboath computes; which step a passcode is of is looked for here, since its own search tells no step. The comparison
 * takes the same time for each of the three steps and each digit. */
#include "store/totp.h"

#include <liboath/oath.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "store/secret.h"

enum { SECRET_BYTES = 20, STEPS_AROUND = 1, RECOVERY_BYTES = 13, BASE32_GROUP = 8 };

static const struct {
    const char *algo;
    int flags;
} algos[] = {
    { "sha1", 0 },
    { "sha256", OATH_TOTP_HMAC_SHA256 },
    { "sha512", OATH_TOTP_HMAC_SHA512 },
};

static int algo_flags(const char *algo)
{
    for (size_t i = 0; i < ARRAY_SIZE(algos); i++)
        if (strcmp(algo, algos[i].algo) == 0)
            return algos[i].flags;
    return 0; /* the configuration knows no others */
}

const struct totp_provider *totp_provider_find(const struct config *c, const char *name)
{
    const struct totp_provider *p = c->mfa.totp.v;

    for (size_t i = 0; name && i < c->mfa.totp.n; i++)
        if (strcmp(p[i].name, name) == 0)
            return &p[i];
    return NULL;
}

static int base32_text(const uint8_t *bytes, size_t len, char **ret)
{
    char *text = NULL;

    if (oath_base32_encode((const char *)bytes, len, &text, NULL) != OATH_OK)
        return -ENOMEM;
    text[strcspn(text, "=")] = 0;
    *ret = text;
    return 0;
}

int totp_secret_new(char **ret)
{
    uint8_t bytes[SECRET_BYTES];

    sys->random(bytes, sizeof(bytes));
    int r = base32_text(bytes, sizeof(bytes), ret);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return r;
}

/* Secrets come without their padding as a rule; the library wants it. */
static int secret_bytes(const char *base32, char **ret, size_t *ret_len)
{
    char padded[TOTP_SECRET_TEXT_MAX + BASE32_GROUP + 1];
    size_t len = base32 ? strnlen(base32, TOTP_SECRET_TEXT_MAX + 1) : 0;

    if (len == 0 || len > TOTP_SECRET_TEXT_MAX)
        return -EINVAL;
    memcpy(padded, base32, len);
    while (len % BASE32_GROUP != 0)
        padded[len++] = '=';
    int r = oath_base32_decode(padded, len, ret, ret_len);
    OPENSSL_cleanse(padded, sizeof(padded));
    return r == OATH_OK ? 0 : -EINVAL;
}

bool totp_secret_is_valid(const char *base32)
{
    char *bytes = NULL;
    size_t len = 0;

    if (secret_bytes(base32, &bytes, &len) < 0)
        return false;
    free(bytes);
    return len > 0;
}

static int steps_check(const char *secret, size_t len, int flags, const char *passcode, int64_t now_s,
                       int64_t *ret_step)
{
    int r = -EACCES;

    int64_t now = now_s / TOTP_STEP_S;

    for (int64_t step = MAX(now - STEPS_AROUND, (int64_t)0); step <= now + STEPS_AROUND; step++) {
        char right[TOTP_PASSCODE_MAX + 1];
        if (oath_totp_generate2(secret, len, (time_t)(step * TOTP_STEP_S), TOTP_STEP_S, 0, TOTP_PASSCODE_MAX, flags,
                                right) != OATH_OK)
            return -EINVAL;
        if (CRYPTO_memcmp(right, passcode, TOTP_PASSCODE_MAX) != 0)
            continue;
        *ret_step = step;
        r = 0;
    }
    return r;
}

int totp_check(const struct totp_provider *p, const char *base32, const char *passcode, int64_t now_s,
               int64_t *ret_step)
{
    char *bytes = NULL;
    size_t len = 0;

    if (!passcode || strlen(passcode) != TOTP_PASSCODE_MAX)
        return -EACCES;
    int r = secret_bytes(base32, &bytes, &len);
    if (r < 0)
        return r;
    r = steps_check(bytes, len, algo_flags(p->algo), passcode, now_s, ret_step);
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    return r;
}

int totp_config_check(const struct config *c, const struct totp_config *t, const char *passcode, int64_t now_s,
                      int64_t *ret_step)
{
    const struct totp_provider *p = totp_provider_find(c, t->config_name);
    CLEANUP(secret_text_free) char *base32 = NULL;

    if (!p)
        return -ENOENT;
    int r = secret_open(&t->secret, &base32);
    return r < 0 ? r : totp_check(p, base32, passcode, now_s, ret_step);
}

void totp_config_done(struct totp_config *t)
{
    free(t->config_name);
    secret_done(&t->secret);
    strings_done(&t->protocols);
    *t = (struct totp_config){ 0 };
}

void recovery_codes_done(struct objects *codes)
{
    struct recovery_code *v = codes->v;

    for (size_t i = 0; i < codes->n; i++)
        secret_done(&v[i].secret);
    free(v);
    *codes = (struct objects){ 0 };
}

static int recovery_text(char **ret)
{
    CLEANUP(secret_text_free) char *random = NULL;
    struct strbuf b = STRBUF(64);
    uint8_t bytes[RECOVERY_BYTES];

    sys->random(bytes, sizeof(bytes));
    int r = base32_text(bytes, sizeof(bytes), &random);
    if (r < 0)
        return r;
    strbuf_addf(&b, "RC-%.5s-%.5s-%.5s-%.5s", random, random + 5, random + 10, random + 15);
    return strbuf_take(&b, ret);
}

static int recovery_code_new(const char *owner, struct recovery_code *code, struct strings *texts)
{
    CLEANUP(secret_text_free) char *text = NULL;
    int r = recovery_text(&text);

    if (r == 0)
        r = secret_seal(text, owner, &code->secret);
    return r == 0 && texts ? strings_add(texts, text) : r;
}

int recovery_codes_new(const char *owner, struct objects *codes, struct strings *ret_texts)
{
    struct recovery_code *v = calloc(RECOVERY_CODES, sizeof(*v));
    struct objects made = { .v = v, .n = RECOVERY_CODES };
    int r = v ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < RECOVERY_CODES; i++)
        r = recovery_code_new(owner, &v[i], ret_texts);
    if (r < 0) {
        if (v)
            recovery_codes_done(&made);
        if (ret_texts)
            strings_done(ret_texts);
        return r;
    }
    recovery_codes_done(codes);
    *codes = made;
    return 0;
}
