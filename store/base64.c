/* Strict: each text has one reading, so that a hash or key cannot be written in two ways. */
#include "store/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    const char *p = c ? strchr(alphabet, c) : NULL;

    return p ? (int)(p - alphabet) : -1;
}

/* Takes the padding off; false if it is not what the form asks for. */
static bool unpad(enum base64_form form, const char *s, size_t *len)
{
    size_t n = *len;

    if (form == BASE64_STD && n % 4 != 0)
        return false;
    if (form == BASE64_STD && n > 0 && s[n - 1] == '=')
        n -= s[n - 2] == '=' ? 2 : 1;
    *len = n;
    return n % 4 != 1;
}

ssize_t base64_decode(enum base64_form form, const char *s, size_t len, uint8_t *to, size_t room)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    if (!unpad(form, s, &len))
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        int v = value_of(s[i]);
        if (v < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        if (n == room)
            return -E2BIG;
        to[n++] = (uint8_t)(bits >> have);
        bits &= (1U << have) - 1;
    }
    return bits == 0 ? (ssize_t)n : -EINVAL;
}

void base64_encode(enum base64_form form, const uint8_t *bytes, size_t len, char *to)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (have += 8; have >= 6; have -= 6)
            to[n++] = alphabet[bits >> (have - 6) & 63];
    }
    if (have > 0)
        to[n++] = alphabet[bits << (6 - have) & 63];
    while (form == BASE64_STD && n % 4 != 0)
        to[n++] = '=';
    to[n] = 0;
}
