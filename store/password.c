/* Which form a hash has, and what is done with it. The rows live with their code: password_crypt.c (crypt(3)),
 * password_kdf.c (argon2id, PBKDF2), password_apr1.c, password_ldap.c.
 *
 * A text with a known prefix is a hash, even a broken one: it is refused when it is stored, not hashed once more and
 * then never matched. */
#include "store/password.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "store/password_forms.h"

enum { BCRYPT_COST = 10 }; /* where the configuration says none */

static const struct password_form *const groups[] = { password_crypt_forms, password_kdf_forms, password_apr1_forms,
                                                      password_ldap_forms };

const struct password_form *password_form_of(const char *text)
{
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
        for (const struct password_form *f = groups[g]; f->prefix; f++) {
            size_t n = strlen(f->prefix);
            if (f->any_case ? strncasecmp(text, f->prefix, n) == 0 : strncmp(text, f->prefix, n) == 0)
                return f;
        }
    return NULL;
}

int password_same(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0 ? 0 : -EACCES;
}

bool password_is_hash(const char *text)
{
    return password_form_of(text) != NULL;
}

int password_check_hash(const char *hash)
{
    const struct password_form *f = password_form_of(hash);

    if (!f || strlen(hash) > PASSWORD_MAX)
        return -EINVAL;
    return f->check(f, hash);
}

int password_verify(const char *hash, const char *password)
{
    int r = password_check_hash(hash);

    if (r < 0)
        return r;
    if (strlen(password) > PASSWORD_MAX)
        return -EACCES;
    const struct password_form *f = password_form_of(hash);
    return f->verify(f, hash, password);
}

static bool is_argon2(const struct password_hashing *how)
{
    return how->algo && strcmp(how->algo, "argon2id") == 0;
}

static unsigned bcrypt_cost(const struct password_hashing *how)
{
    return how->bcrypt_options.cost ? how->bcrypt_options.cost : BCRYPT_COST;
}

int password_hash(const struct password_hashing *how, const char *password, char **ret)
{
    if (strlen(password) > PASSWORD_MAX)
        return -EINVAL;
    if (password_check_hash(password_dummy(how)) < 0) /* else nobody could log in with the hash */
        return log_fail(-ERANGE, "data_provider.password_hashing asks for a cost that is never verified");
    if (!is_argon2(how))
        return password_crypt_make(password, bcrypt_cost(how), ret);
    return password_argon2_make(password, how->argon2_options.memory_kib, how->argon2_options.iterations,
                                how->argon2_options.parallelism, ret);
}

int password_settle(const struct password_hashing *how, char **password)
{
    char *hash = NULL;

    if (!*password || !**password || password_is_hash(*password))
        return 0;
    int r = password_hash(how, *password, &hash);
    if (r < 0)
        return r;
    explicit_bzero(*password, strlen(*password));
    free(*password);
    *password = hash;
    return 0;
}

/* Salt and digest belong to no password that anybody knows; computing takes as long as with a real one. */
const char *password_dummy(const struct password_hashing *how)
{
    static _Thread_local char text[128];

    if (is_argon2(how))
        snprintf(text, sizeof(text),
                 "$argon2id$v=19$m=%u,t=%u,p=%u$ZHVtbXlkdW1teWR1bW15MA$c29tZXRoaW5nIHRoYXQgbm9ib2R5IGhhcyBzYWlkIHk",
                 how->argon2_options.memory_kib, how->argon2_options.iterations, how->argon2_options.parallelism);
    else
        snprintf(text, sizeof(text), "$2a$%02u$abcdefghijklmnopqrstuOabcdefghijklmnopqrstuvwxyz01234",
                 bcrypt_cost(how));
    return text;
}
