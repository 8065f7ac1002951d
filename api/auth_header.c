/* The Authorization header, parsed here and not by the HTTP library, whose parser of it has had holes. Strict: the
 * scheme, one or more blanks, then base64 with its padding (Basic) or one token (Bearer), and nothing behind it. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "store/base64.h"

static bool has_control_byte(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return true;
    return false;
}

static enum auth_scheme basic_split(char *text, size_t len, struct authorization *ret)
{
    char *colon = memchr(text, ':', len);

    if (colon == NULL || has_control_byte(text, len) || !str_is_utf8(text, len))
        return SCHEME_BAD;
    *colon = '\0';
    if ((size_t)(colon - text) > BASIC_NAME_MAX || strlen(colon + 1) > BASIC_PASSWORD_MAX)
        return SCHEME_BAD;
    if (str_copy(&ret->username, text) < 0 || str_copy(&ret->password, colon + 1) < 0)
        return SCHEME_BAD;
    return SCHEME_BASIC;
}

static enum auth_scheme basic_parse(const char *value, size_t len, struct authorization *ret)
{
    uint8_t text[BASIC_NAME_MAX + 1 + BASIC_PASSWORD_MAX + 1];
    ssize_t n = base64_decode(BASE64_STD, value, len, text, sizeof(text) - 1);

    if (n <= 0)
        return SCHEME_BAD;
    text[n] = '\0';
    enum auth_scheme scheme = basic_split((char *)text, (size_t)n, ret);
    OPENSSL_cleanse(text, sizeof(text));
    return scheme;
}

static enum auth_scheme bearer_parse(const char *value, size_t len, struct authorization *ret)
{
    if (len == 0 || len > TOKEN_MAX)
        return SCHEME_BAD;
    ret->token = strndup(value, len);
    return ret->token != NULL ? SCHEME_BEARER : SCHEME_BAD;
}

static const struct scheme_row {
    const char *name;
    enum auth_scheme (*parse)(const char *value, size_t len, struct authorization *ret);
} schemes[] = {
    { "basic", basic_parse },
    { "bearer", bearer_parse },
};

void authorization_parse(const char *header, struct authorization *ret)
{
    struct authorization a = { 0 };
    size_t len = header != NULL ? strnlen(header, AUTHORIZATION_MAX + 1) : 0;

    a.scheme = header == NULL ? SCHEME_NONE : SCHEME_OTHER;
    if (len > AUTHORIZATION_MAX)
        a.scheme = SCHEME_BAD;
    for (size_t i = 0; a.scheme == SCHEME_OTHER && i < ARRAY_SIZE(schemes); i++) {
        size_t name_len = strlen(schemes[i].name);
        if (strncasecmp(header, schemes[i].name, name_len) != 0 ||
            (header[name_len] != ' ' && header[name_len] != '\0'))
            continue;
        const char *value = header + name_len + strspn(header + name_len, " ");
        size_t value_len = strlen(value);
        while (value_len > 0 && value[value_len - 1] == ' ')
            value_len--;
        bool whole = memchr(value, ' ', value_len) == NULL && !has_control_byte(value, value_len);
        a.scheme = whole ? schemes[i].parse(value, value_len, &a) : SCHEME_BAD;
    }
    *ret = a;
}

static void wipe(char *s)
{
    if (s != NULL)
        OPENSSL_cleanse(s, strlen(s));
    free(s);
}

void authorization_done(struct authorization *a)
{
    free(a->username);
    wipe(a->password);
    wipe(a->token);
    *a = (struct authorization){ 0 };
}
