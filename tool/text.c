/* Characters are taken one by one with mbrtowc(), which knows the locale: in one without UTF-8 every byte above 127 is
 * unknown and shown as '?'. Columns are wcwidth()'s; what it calls unprintable is replaced, which covers the control
 * characters of C0 and C1. Direction marks are printable to it, so they are named here (Unicode TR 36 §2.1, "Trojan
 * Source"). */
#include "tool/text.h"

#include <langinfo.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

enum { WIDTH_FALLBACK = 80, WIDTH_MIN = 20 };

struct paper paper_of(int fd)
{
    struct paper p = { .width = UINT_MAX, .is_terminal = isatty(fd) == 1 };
    struct winsize size;
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    p.is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (!p.is_terminal)
        return p;
    p.width = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : WIDTH_FALLBACK;
    p.width = MAX(p.width, (unsigned)WIDTH_MIN);
    p.has_colours = (no_colour == NULL || no_colour[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
    return p;
}

/* ---- characters ---- */

struct glyph {
    const char *s; /* its bytes, or NULL: show the replacement */
    size_t len;    /* of the input */
    unsigned columns;
};

static bool is_direction_mark(wchar_t c)
{
    return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x061c ||
           c == 0x2028 || c == 0x2029;
}

static struct glyph glyph_at(const char *s)
{
    wchar_t c;
    mbstate_t state = { 0 };
    size_t n = mbrtowc(&c, s, MB_CUR_MAX, &state);

    if (n == 0 || n == (size_t)-1 || n == (size_t)-2)
        return (struct glyph){ .len = 1, .columns = 1 };
    int columns = wcwidth(c);
    if (columns < 0 || is_direction_mark(c))
        return (struct glyph){ .len = n, .columns = 1 };
    return (struct glyph){ .s = s, .len = n, .columns = (unsigned)columns };
}

static const char *ellipsis(const struct paper *p)
{
    return p->is_utf8 ? "\xe2\x80\xa6" : "~";
}

static void put_glyph(struct strbuf *to, const struct paper *p, struct glyph g)
{
    if (g.s != NULL)
        strbuf_add(to, g.s, g.len);
    else
        strbuf_adds(to, p->is_utf8 ? "\xef\xbf\xbd" : "?");
}

unsigned text_width(const char *s)
{
    unsigned columns = 0;

    while (*s != '\0') {
        struct glyph g = glyph_at(s);
        columns += g.columns;
        s += g.len;
    }
    return columns;
}

/* As many glyphs of s as fit. */
static unsigned put_some(struct strbuf *to, const struct paper *p, const char *s, unsigned width)
{
    unsigned columns = 0;

    while (*s != '\0') {
        struct glyph g = glyph_at(s);
        if (g.columns > width - columns)
            break;
        put_glyph(to, p, g);
        columns += g.columns;
        s += g.len;
    }
    return columns;
}

unsigned text_put(struct strbuf *to, const struct paper *p, const char *s, unsigned width, enum cut cut)
{
    unsigned all = text_width(s);

    if (all <= width)
        return put_some(to, p, s, all);
    if (width == 0)
        return 0;
    if (cut == CUT_END) {
        unsigned columns = put_some(to, p, s, width - 1);
        strbuf_adds(to, ellipsis(p));
        return columns + 1;
    }
    while (all > width - 1) {
        struct glyph g = glyph_at(s);
        all -= g.columns;
        s += g.len;
    }
    strbuf_adds(to, ellipsis(p));
    return 1 + put_some(to, p, s, all);
}

void text_pad(struct strbuf *to, unsigned n)
{
    while (n-- > 0)
        strbuf_addc(to, ' ');
}

/* Eighths of a column, so that a home of a gigabyte that grows by some megabytes is seen to move. */
void text_bar(struct strbuf *to, const struct paper *p, double share, unsigned width)
{
    static const char *const eighths[] = { " ",      "\u258f", "\u258e", "\u258d", "\u258c",
                                           "\u258b", "\u258a", "\u2589", "\u2588" };
    double part = isfinite(share) && share > 0 ? (share < 1 ? share : 1) : 0;
    unsigned filled = (unsigned)(part * width * 8 + 0.5);

    if (filled == 0 && part > 0)
        filled = 1; /* something is there */
    for (unsigned i = 0; i < width; i++) {
        unsigned here = filled > i * 8 ? MIN(filled - i * 8, 8U) : 0;
        if (p->is_utf8)
            strbuf_adds(to, eighths[here]);
        else
            strbuf_addc(to, here >= 4 || (i == 0 && here > 0) ? '#' : '.');
    }
}

/* ---- numbers ---- */

char *text_bytes(char *to, uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double n = (double)bytes;
    size_t unit = 0;

    while (n >= 1023.95 && unit + 1 < ARRAY_SIZE(units)) {
        n /= 1024;
        unit++;
    }
    snprintf(to, TEXT_NUMBER_MAX, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
    return to;
}

static const char *sign_of(int64_t n)
{
    return n > 0 ? "+" : n < 0 ? "-" : "";
}

static uint64_t magnitude(int64_t n)
{
    return n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
}

char *text_signed_bytes(char *to, int64_t bytes)
{
    char number[TEXT_NUMBER_MAX];

    snprintf(to, TEXT_NUMBER_MAX, "%s%.40s", sign_of(bytes), text_bytes(number, magnitude(bytes)));
    return to;
}

char *text_count(char *to, uint64_t n)
{
    char digits[24];
    size_t at = 0;
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            to[at++] = ',';
        to[at++] = digits[i];
    }
    to[at] = '\0';
    return to;
}

char *text_signed_count(char *to, int64_t n)
{
    char number[TEXT_NUMBER_MAX];

    snprintf(to, TEXT_NUMBER_MAX, "%s%.40s", sign_of(n), text_count(number, magnitude(n)));
    return to;
}

char *text_rate(char *to, double bytes_per_s)
{
    char number[TEXT_NUMBER_MAX];

    snprintf(to, TEXT_NUMBER_MAX, "%.40s/s", text_bytes(number, bytes_per_s > 0 ? (uint64_t)bytes_per_s : 0));
    return to;
}

char *text_duration(char *to, uint64_t s)
{
    unsigned long long minutes = s / 60;
    unsigned long long hours = minutes / 60;

    if (s < 60)
        snprintf(to, TEXT_NUMBER_MAX, "%llus", (unsigned long long)s);
    else if (hours == 0)
        snprintf(to, TEXT_NUMBER_MAX, "%llum%02llus", minutes, (unsigned long long)s % 60);
    else if (hours < 48)
        snprintf(to, TEXT_NUMBER_MAX, "%lluh%02llum", hours, minutes % 60);
    else
        snprintf(to, TEXT_NUMBER_MAX, "%llud", hours / 24);
    return to;
}

char *text_time(char *to, int64_t ms)
{
    time_t s = ms / 1000;
    struct tm tm;

    if (ms <= 0 || localtime_r(&s, &tm) == NULL || strftime(to, TEXT_NUMBER_MAX, "%Y-%m-%d %H:%M", &tm) == 0)
        snprintf(to, TEXT_NUMBER_MAX, "never");
    return to;
}

char *text_share(char *to, uint64_t n, uint64_t of)
{
    if (of == 0)
        snprintf(to, TEXT_NUMBER_MAX, "-");
    else
        snprintf(to, TEXT_NUMBER_MAX, "%.0f%%", floor((double)n / (double)of * 100));
    return to;
}

/* ---- and back ---- */

static int unit_of(const char *s, double *ret)
{
    static const char letters[] = "KMGTPE";
    const char *at = *s != '\0' ? strchr(letters, *s >= 'a' ? *s - 32 : *s) : NULL;

    if (*s == '\0' || strcmp(s, "B") == 0) {
        *ret = 1;
        return 0;
    }
    if (at == NULL || (s[1] != '\0' && strcmp(s + 1, "B") != 0 && strcmp(s + 1, "iB") != 0))
        return -EINVAL;
    *ret = ldexp(1, 10 * (int)(at - letters + 1));
    return 0;
}

int text_size_parse(const char *s, int64_t *ret)
{
    double unit;
    char *end;
    size_t digits = strspn(s, "0123456789.");

    if (str_int(s, 0, INT64_MAX, ret) == 0)
        return 0;
    if (digits == 0 || digits > 24)
        return -EINVAL;
    double n = strtod(s, &end);
    if (end != s + digits || unit_of(end + (*end == ' '), &unit) < 0)
        return -EINVAL;
    if (n * unit >= 0x1p63)
        return -ERANGE;
    *ret = (int64_t)(n * unit);
    return 0;
}

int text_time_parse(const char *s, int64_t *ret_ms)
{
    static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M" };

    if (strcmp(s, "never") == 0) {
        *ret_ms = 0;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct tm tm = { .tm_isdst = -1 };
        const char *end = strptime(s, formats[i], &tm);
        time_t at = end != NULL && *end == '\0' ? mktime(&tm) : (time_t)-1;
        if (at > 0) {
            *ret_ms = (int64_t)at * 1000;
            return 0;
        }
    }
    return -EINVAL;
}
