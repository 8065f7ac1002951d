/* Text for people: what a terminal shows of a string, in how many columns, and numbers in words.
 *
 * A name may hold anything: control characters would steer the terminal, direction marks reorder the line. Here each of
 * them, and each byte that is no UTF-8, becomes one replacement character. Widths are columns of the terminal
 * (wcwidth), so that East Asian names and combining marks do not shift a table.
 *
 * Units: columns. Threads: any, after setlocale(). */
#pragma once

#include <stdio.h>

#include "base/str.h"

enum { TEXT_NUMBER_MAX = 48 }; /* room for any text_*() of a number */

/* What is printed on. */
struct paper {
    unsigned width; /* columns; UINT_MAX when it is no terminal: nothing is cut */
    bool is_terminal;
    bool has_colours; /* a terminal, and NO_COLOR is not set */
    bool is_utf8;
};

enum cut { CUT_END, CUT_BEGIN }; /* where a text that is too long loses; paths lose their beginning */

/* paper_of - stdout, or what a file is. */
struct paper paper_of(int fd);

/* text_put - adds what may be seen of `s`, at most `width` columns, cut with an ellipsis. Returns columns. */
unsigned text_put(struct strbuf *to, const struct paper *p, const char *s, unsigned width, enum cut cut);
unsigned text_width(const char *s);

/* text_pad - adds `n` spaces. */
void text_pad(struct strbuf *to, unsigned n);

/* text_bar - a bar of `width` columns for a share in [0, 1]; more is shown as full. */
void text_bar(struct strbuf *to, const struct paper *p, double share, unsigned width);

/* Numbers. `to` has TEXT_NUMBER_MAX bytes and is returned. */
char *text_bytes(char *to, uint64_t bytes);          /* "1.5 GiB" */
char *text_signed_bytes(char *to, int64_t bytes);    /* "+1.5 GiB", "0 B" */
char *text_count(char *to, uint64_t n);              /* "12,345" */
char *text_signed_count(char *to, int64_t n);        /* "+12,345" */
char *text_rate(char *to, double bytes_per_s);       /* "1.5 MiB/s" */
char *text_duration(char *to, uint64_t s);           /* "1h05m", "42s" */
char *text_time(char *to, int64_t ms);               /* "2026-11-25 02:33", "never" for 0 */
char *text_share(char *to, uint64_t n, uint64_t of); /* "53%", "-" for of == 0 */

/* text_size_parse - "10G", "1.5MiB", "100": bytes; K, M, G, T, P, E are powers of 1024. 0, -EINVAL or -ERANGE. */
int text_size_parse(const char *s, int64_t *ret) MUST_CHECK;

/* text_time_parse - "2026-12-31", "2026-12-31 23:59" or "never" (0), local time: Unix milliseconds. 0 or -EINVAL. */
int text_time_parse(const char *s, int64_t *ret_ms) MUST_CHECK;
