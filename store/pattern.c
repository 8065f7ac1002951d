/* Shell patterns, names and other forms of text that the contract allows.
 *
 * The matcher keeps one place to go back to, that behind the last '*': a name cannot cost more than its length times
 * that of the pattern. '*' and '?' never see a '/', since patterns are for base names.
 *
 * Source: contract/sftp-quota.md §2.6; Go's path.Match (documentation); HTML Living Standard §4.10.5.1.5. */
#include <arpa/inet.h>
#include <string.h>

#include "store/rules.h"

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_name(const char *s)
{
    const char *p = s;

    while (is_alnum(*p) || (*p && strchr("-_.~", *p)))
        p++;
    return *s && !*p;
}

/* Labels of letters, digits and inner hyphens, at most 63 each, with dots between them. */
static bool is_domain(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, ".");
        if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
            return false;
        for (size_t i = 0; i < n; i++)
            if (!is_alnum(s[i]) && s[i] != '-')
                return false;
        if (!s[n])
            return true;
        s += n + 1;
    }
}

bool is_email(const char *s)
{
    const char *p = s;

    while (is_alnum(*p) || (*p && strchr(".!#$%&'*+/=?^_`{|}~-", *p)))
        p++;
    return p > s && *p == '@' && is_domain(p + 1);
}

bool is_absolute(const char *s)
{
    return s[0] == '/';
}

void lower_ascii(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s + ('a' - 'A'));
}

/* One character of UTF-8 off *s; a bad byte is a character of its own. */
static uint32_t rune_take(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    unsigned more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
    uint32_t rune = more ? p[0] & (0x3fU >> more) : p[0];

    for (unsigned i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            *s += 1;
            return p[0];
        }
        rune = rune << 6 | (p[i] & 0x3fU);
    }
    *s += more + 1;
    return rune;
}

/* A bound of a range; false if there is none (end, ']', '-'). */
static bool bound_take(const char **s, uint32_t *ret)
{
    if (**s == '-' || **s == ']')
        return false;
    if (**s == '\\')
        ++*s;
    if (!**s)
        return false;
    *ret = rune_take(s);
    return true;
}

/* A class, with *s behind its '['. 1: `c` is in it, 0: not, -EINVAL. *s is left behind its ']'. */
static int class_match(const char **s, uint32_t c)
{
    bool negated = **s == '^', in = false;
    unsigned ranges = 0;

    *s += negated;
    while (**s != ']' || ranges == 0) {
        uint32_t low, high;
        if (!bound_take(s, &low))
            return -EINVAL;
        high = low;
        if (**s == '-') {
            ++*s;
            if (!bound_take(s, &high))
                return -EINVAL;
        }
        in |= low <= c && c <= high;
        ranges++;
    }
    ++*s;
    return in != negated;
}

/* One element of the pattern that is no '*' against one character. 1, 0 or -EINVAL; *p moves behind it. */
static int element_match(const char **p, uint32_t c)
{
    if (**p == '[') {
        ++*p;
        return class_match(p, c);
    }
    if (**p == '?') {
        ++*p;
        return c != '/';
    }
    if (**p == '\\' && !*++*p)
        return -EINVAL;
    return rune_take(p) == c;
}

bool pattern_is_valid(const char *pattern)
{
    while (*pattern) {
        if (*pattern == '*')
            pattern++;
        else if (element_match(&pattern, 'a') < 0)
            return false;
    }
    return true;
}

bool pattern_match(const char *pattern, const char *name)
{
    const char *p = pattern, *s = name, *star = NULL, *star_s = NULL;

    while (*s || *p) {
        if (*p == '*') {
            star = ++p;
            star_s = s;
            continue;
        }
        const char *next = s;
        uint32_t c = *s ? rune_take(&next) : 0;
        if (*p && *s && element_match(&p, c) == 1) {
            s = next;
            continue;
        }
        if (!star || !*star_s || *star_s == '/')
            return false;
        rune_take(&star_s);
        p = star;
        s = star_s;
    }
    return true;
}
