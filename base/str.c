/* A strbuf doubles its room up to its maximum; its first failure sticks, so callers check once, at the end. */
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void strbuf_done(struct strbuf *b)
{
    free(b->s);
    b->s = NULL;
    b->len = b->room = 0;
}

void strbuf_reset(struct strbuf *b)
{
    b->len = 0;
    b->failed = 0;
    if (b->s != NULL)
        b->s[0] = '\0';
}

/* Makes room for `more` bytes and the NUL. */
static bool strbuf_grow(struct strbuf *b, size_t more)
{
    size_t need;
    size_t room = b->room ? b->room : 64;

    if (b->failed != 0)
        return false;
    if (__builtin_add_overflow(b->len, more, &need) || need > b->max) {
        b->failed = -E2BIG;
        return false;
    }
    if (need + 1 <= b->room)
        return true;
    while (room < need + 1)
        room *= 2;
    char *s = realloc(b->s, room);
    if (s == NULL) {
        b->failed = -ENOMEM;
        return false;
    }
    b->s = s;
    b->room = room;
    return true;
}

void strbuf_add(struct strbuf *b, const void *bytes, size_t len)
{
    if (!strbuf_grow(b, len))
        return;
    if (len > 0)
        memcpy(b->s + b->len, bytes, len);
    b->len += len;
    b->s[b->len] = '\0';
}

void strbuf_adds(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_addc(struct strbuf *b, char c)
{
    if (b->failed == 0 && b->len + 1 < b->room && b->len < b->max) {
        b->s[b->len++] = c;
        b->s[b->len] = '\0';
        return;
    }
    strbuf_add(b, &c, 1);
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;
    va_list again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && strbuf_grow(b, (size_t)n)) {
        vsnprintf(b->s + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void strbuf_addu(struct strbuf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    strbuf_add(b, digits + at, sizeof digits - at);
}

void strbuf_addi(struct strbuf *b, int64_t n)
{
    if (n < 0)
        strbuf_addc(b, '-');
    strbuf_addu(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

int strbuf_ok(const struct strbuf *b)
{
    return b->failed;
}

int strbuf_take(struct strbuf *b, char **ret_s)
{
    strbuf_add(b, "", 0); /* an empty buffer is "", not NULL */
    if (b->failed != 0)
        return b->failed;
    *ret_s = TAKE_PTR(b->s);
    b->len = b->room = 0;
    return 0;
}

void strings_done(struct strings *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (struct strings){ 0 };
}

int strings_add(struct strings *l, const char *s)
{
    char **v = reallocarray(l->v, l->n + 1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    l->v = v;
    v[l->n] = strdup(s);
    if (v[l->n] == NULL)
        return -ENOMEM;
    l->n++;
    return 0;
}

int strings_copy(struct strings *to, const struct strings *from)
{
    struct strings copy = { 0 };

    for (size_t i = 0; i < from->n; i++) {
        int r = strings_add(&copy, from->v[i]);
        if (r < 0) {
            strings_done(&copy);
            return r;
        }
    }
    *to = copy;
    return 0;
}

bool strings_has(const struct strings *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return true;
    return false;
}

int str_copy(char **to, const char *from)
{
    char *copy = from ? strdup(from) : NULL;

    if (from != NULL && copy == NULL)
        return -ENOMEM;
    free(*to);
    *to = copy;
    return 0;
}

int str_int(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    const char *p = s[0] == '-' ? s + 1 : s;
    int64_t n = 0;

    if (*p == '\0')
        return -EINVAL;
    for (; *p != '\0'; p++) {
        if (*p < '0' || *p > '9')
            return -EINVAL;
        int64_t digit = s[0] == '-' ? -(*p - '0') : *p - '0';
        if (__builtin_mul_overflow(n, (int64_t)10, &n) || __builtin_add_overflow(n, digit, &n))
            return -ERANGE;
    }
    if (n < min || n > max)
        return -ERANGE;
    *ret = n;
    return 0;
}

bool str_set(char *to, size_t room, const char *from)
{
    size_t len = strlen(from);
    size_t n = MIN(len, room - 1);

    memcpy(to, from, n);
    to[n] = '\0';
    return n == len;
}

bool str_equal_nocase(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

bool str_has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Length of the UTF-8 sequence at s (1 to 4), or 0 if it is none: overlong forms, surrogates and more than U+10FFFF are
 * none (RFC 3629 §4). */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    static const struct {
        unsigned char first, last, low, high; /* lead bytes; bounds of the second byte */
        size_t len;
    } rows[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (s[0] < rows[i].first || s[0] > rows[i].last)
            continue;
        if (rows[i].len > left || (rows[i].len > 1 && (s[1] < rows[i].low || s[1] > rows[i].high)))
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].len;
    }
    return 0;
}

bool str_is_utf8(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len((const unsigned char *)s + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void str_hex(char *to, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
    to[2 * len] = '\0';
}
