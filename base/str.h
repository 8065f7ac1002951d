/* Strings: a growing buffer with a maximum, lists of strings, and strict numbers.
 *
 * Lifetime: what a strbuf holds is owned by it; strbuf_take() moves it to the caller (free with free()).
 * Errors:   a strbuf remembers its first failure (-ENOMEM, -E2BIG at its maximum); later calls do nothing, and
 *           strbuf_ok() or strbuf_take() tells at the end. */
#pragma once

#include <stdarg.h>

#include "base/defs.h"

struct strbuf {
    char *s;    /* NUL-terminated once not empty; NULL before */
    size_t len; /* without the NUL */
    size_t room;
    size_t max; /* bytes it may ever hold */
    int failed; /* 0 or the first negative errno */
};

#define STRBUF(limit)                                                                                                  \
    {                                                                                                                  \
        .max = (limit)                                                                                                 \
    }

void strbuf_done(struct strbuf *b);
void strbuf_reset(struct strbuf *b); /* empty, memory kept */
void strbuf_add(struct strbuf *b, const void *bytes, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) PRINTF(2, 3);
void strbuf_addi(struct strbuf *b, int64_t n);
void strbuf_addu(struct strbuf *b, uint64_t n);
int strbuf_ok(const struct strbuf *b) MUST_CHECK; /* 0 or the failure */
int strbuf_take(struct strbuf *b, char **ret_s) MUST_CHECK;

/* A list of owned strings. All zero: empty. */
struct strings {
    char **v;
    size_t n;
};

void strings_done(struct strings *l);
int strings_add(struct strings *l, const char *s) MUST_CHECK; /* copies; -ENOMEM */
int strings_copy(struct strings *to, const struct strings *from) MUST_CHECK;
bool strings_has(const struct strings *l, const char *s);

/* str_copy - replaces *to (freed) by a copy of `from`; NULL stays NULL. 0 or -ENOMEM. */
int str_copy(char **to, const char *from) MUST_CHECK;

/* str_int - the whole string is a decimal integer in [min, max]. 0, -EINVAL or -ERANGE; *ret untouched on failure. */
int str_int(const char *s, int64_t min, int64_t max, int64_t *ret) MUST_CHECK;

/* str_set - copies into a fixed array, cut at its end; always NUL-terminated. Returns false if it was cut. */
bool str_set(char *to, size_t room, const char *from);

bool str_equal_nocase(const char *a, const char *b);
bool str_has_prefix(const char *s, const char *prefix);
bool str_is_utf8(const char *s, size_t len);

/* str_hex - lower-case hex of bytes; `to` needs 2 * len + 1. */
void str_hex(char *to, const uint8_t *bytes, size_t len);
