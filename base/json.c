/* JSON in and out.
 *
 * In: json-c parses, but even its strict mode takes things that RFC 8259 does not have: raw control characters in
 * strings, NaN and Infinity, "-01" and "1.", bytes that are no UTF-8. So what json-c took is looked at once more by
 * lexical_fault(), which needs no grammar since json-c has checked that. json-c also saturates integers that do not fit
 * 64 bits: to UINT64_MAX, which is too large for every reader here, and to INT64_MIN, which readers therefore refuse.
 *
 * Comments are blanked in a copy before json-c sees the text (its own comments come only with its lax mode); positions
 * stay what they were.
 *
 * Out: a loop that copies runs of plain bytes, with a table that knows what is not plain. No printf anywhere: lists of
 * thousands of objects go through here. Of the state only "is this the first at its level" is needed, no stack: after a
 * nested value its parent always has a member. */
#include "base/json.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_BYTES_MAX = INT_MAX - 1 }; /* json-c counts in int */

/* ---- in ---- */

/* Line and column (in bytes) of an offset, both from 1. */
static void position(const char *text, size_t at, unsigned *ret_line, unsigned *ret_column)
{
    *ret_line = 1;
    *ret_column = 1;
    for (size_t i = 0; i < at; i++) {
        *ret_column = text[i] == '\n' ? 1 : *ret_column + 1;
        *ret_line += text[i] == '\n';
    }
}

static int json_fail(struct why *w, int r, const char *text, size_t at, const char *what)
{
    unsigned line;
    unsigned column;

    position(text, at, &line, &column);
    why_set(w, r, NULL, "invalid JSON at line %u, column %u: %s", line, column, what);
    if (w != NULL)
        w->line = line;
    return r;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* Moves *at from a string's quote behind the string; false, at the place, on a raw control character. */
static bool string_skip(const char *s, size_t len, size_t *at)
{
    for (++*at; *at < len && s[*at] != '"'; ++*at) {
        if ((unsigned char)s[*at] < 0x20)
            return false;
        if (s[*at] == '\\')
            ++*at;
    }
    *at = MIN(*at + 1, len);
    return true;
}

/* Moves *at behind a number; false, at the place, on a leading zero or a point without digits. */
static bool number_skip(const char *s, size_t len, size_t *at)
{
    if (s[*at] == '0' && *at + 1 < len && is_digit(s[*at + 1]))
        return false;
    while (*at < len && is_digit(s[*at]))
        ++*at;
    if (*at < len && s[*at] == '.' && (*at + 1 == len || !is_digit(s[*at + 1])))
        return false;
    while (*at < len && (is_digit(s[*at]) || is_in(s[*at], "+-.eE")))
        ++*at;
    return true;
}

/* What json-c took and RFC 8259 does not: a text and, in *ret_at, where; NULL if there is nothing. */
static const char *lexical_fault(const char *s, size_t len, size_t *ret_at)
{
    size_t i = 0;
    const char *fault = NULL;

    while (fault == NULL && i < len) {
        if (s[i] == '"')
            fault = string_skip(s, len, &i) ? NULL : "control character in a string";
        else if (is_digit(s[i]))
            fault = number_skip(s, len, &i) ? NULL : "malformed number";
        else if (s[i] == 'N' || s[i] == 'I') /* NaN, Infinity; no literal of JSON has a capital letter */
            fault = "unexpected character";
        else
            i++;
    }
    *ret_at = i;
    return fault;
}

/* The offset of the line of the first bytes that are no UTF-8. */
static size_t utf8_fault(const char *s, size_t len)
{
    size_t line = 0;

    while (line < len) {
        const char *nl = memchr(s + line, '\n', len - line);
        size_t end = nl ? (size_t)(nl - s) + 1 : len;
        if (!str_is_utf8(s + line, end - line))
            return line;
        line = end;
    }
    return 0;
}

/* The offset after a comment that begins at `at`; `at` itself if none does, or if it has no end. */
static size_t comment_end(const char *s, size_t len, size_t at)
{
    if (at + 1 < len && s[at] == '/' && s[at + 1] == '/') {
        const char *nl = memchr(s + at, '\n', len - at);
        return nl ? (size_t)(nl - s) : len;
    }
    if (at + 1 < len && s[at] == '/' && s[at + 1] == '*') {
        const char *close = memmem(s + at + 2, len - at - 2, "*/", 2);
        return close ? (size_t)(close - s) + 2 : at;
    }
    return at;
}

void json_blank_comments(char *text, size_t len)
{
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        memset(text, ' ', 3); /* a byte order mark */
    for (size_t i = 0; i < len;) {
        size_t end = comment_end(text, len, i);
        for (; i < end; i++)
            if (text[i] != '\n')
                text[i] = ' ';
        if (i >= len || text[i] != '"')
            i++;
        else
            IGNORE(string_skip(text, len, &i), "a broken string is found later");
    }
}

/* The offset of the first byte that is no white space, `len` if there is none. */
static size_t blanks_end(const char *s, size_t len, size_t at)
{
    while (at < len && is_in(s[at], " \t\r\n"))
        at++;
    return at;
}

/* The grammar, by json-c. *ret_end: the offset after the value or of the fault. */
static struct json_object *parse(struct json_tokener *t, const char *text, size_t len, size_t *ret_end)
{
    struct json_object *j = json_tokener_parse_ex(t, text, (int)len);

    *ret_end = json_tokener_get_parse_end(t);
    if (json_tokener_get_error(t) != json_tokener_continue)
        return j;
    *ret_end = len;
    return json_tokener_parse_ex(t, "", 1); /* the NUL says that this is all: a number may end here */
}

static const char *fault_text(enum json_tokener_error e)
{
    return e == json_tokener_error_parse_eof ? "unexpected end" : json_tokener_error_desc(e);
}

static int parse_checked(struct json_tokener *t, const char *text, size_t len, unsigned flags, struct json_object **ret,
                         struct why *why)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    size_t end;
    size_t at = 0;

    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    j = parse(t, text, len, &end);
    enum json_tokener_error e = json_tokener_get_error(t);
    if (e == json_tokener_error_depth)
        return json_fail(why, -E2BIG, text, MIN(end, len), "too deep");
    if (e != json_tokener_success)
        return json_fail(why, -EINVAL, text, MIN(end, len), fault_text(e));

    end = MIN(end, len);
    const char *fault = lexical_fault(text, end, &at);
    if (fault != NULL)
        return json_fail(why, -EINVAL, text, at, fault);
    if (!str_is_utf8(text, end))
        return json_fail(why, -EINVAL, text, utf8_fault(text, end), "not UTF-8 in this line");
    end = blanks_end(text, len, end);
    if ((flags & JSON_WHOLE) && end < len)
        return json_fail(why, -EINVAL, text, end, "more text after the value");
    *ret = TAKE_PTR(j);
    return 0;
}

static int parse_text(const char *text, size_t len, unsigned flags, struct json_object **ret, struct why *why)
{
    if (blanks_end(text, len, 0) == len)
        return why_set(why, -EINVAL, NULL, "EOF");
    struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH_MAX);
    if (t == NULL)
        return why_set(why, -ENOMEM, NULL, "out of memory");
    int r = parse_checked(t, text, len, flags, ret, why);
    json_tokener_free(t);
    return r;
}

static int parse_commented(const char *text, size_t len, unsigned flags, struct json_object **ret, struct why *why)
{
    char *copy = malloc(len + 1);

    if (copy == NULL)
        return why_set(why, -ENOMEM, NULL, "out of memory");
    if (len > 0)
        memcpy(copy, text, len);
    json_blank_comments(copy, len);
    int r = parse_text(copy, len, flags, ret, why);
    free(copy);
    return r;
}

int json_in(const char *text, size_t len, unsigned flags, struct json_object **ret, struct why *reterr_why)
{
    if (len > JSON_BYTES_MAX)
        return why_set(reterr_why, -E2BIG, NULL, "too long");
    if (flags & JSON_COMMENTS)
        return parse_commented(text, len, flags, ret, reterr_why);
    return parse_text(text, len, flags, ret, reterr_why);
}

void json_put_p(struct json_object **j)
{
    json_object_put(*j);
}

struct json_object *json_member(struct json_object *o, const char *name)
{
    struct json_object *member = NULL;

    if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &member))
        return NULL;
    return member;
}

const char *json_text(struct json_object *o, const char *name)
{
    struct json_object *member = json_member(o, name);

    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : NULL;
}

int64_t json_number(struct json_object *o, const char *name, int64_t otherwise)
{
    struct json_object *member = json_member(o, name);

    if (!json_object_is_type(member, json_type_int) || json_object_get_uint64(member) > INT64_MAX)
        return otherwise;
    int64_t n = json_object_get_int64(member);
    return n == INT64_MIN ? otherwise : n; /* saturated */
}

bool json_truth(struct json_object *o, const char *name)
{
    struct json_object *member = json_member(o, name);

    return json_object_is_type(member, json_type_boolean) && json_object_get_boolean(member);
}

/* ---- out ---- */

/* Before a value or a name: the comma and the line. */
static void separate(struct json_out *j)
{
    if (j->named) {
        j->named = false;
        return;
    }
    if (j->depth == 0)
        return;
    if (!j->first)
        strbuf_addc(j->to, ',');
    j->first = false;
    if (j->indent == 0)
        return;
    strbuf_addc(j->to, '\n');
    for (unsigned i = 0; i < j->depth * j->indent; i++)
        strbuf_addc(j->to, ' ');
}

void json_begin(struct json_out *j, char open)
{
    assert(open == '{' || open == '[');
    separate(j);
    strbuf_addc(j->to, open);
    j->depth++;
    j->first = true;
}

void json_end(struct json_out *j, char close)
{
    assert(j->depth > 0 && (close == '}' || close == ']'));
    j->depth--;
    if (!j->first && j->indent > 0) {
        strbuf_addc(j->to, '\n');
        for (unsigned i = 0; i < j->depth * j->indent; i++)
            strbuf_addc(j->to, ' ');
    }
    j->first = false;
    strbuf_addc(j->to, close);
}

/* Length of the sequence that a lead byte promises; 0 for what cannot begin one. */
static size_t sequence_len(unsigned char lead)
{
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* One character that is not plain; returns how many bytes of s it was. */
static size_t add_special(struct strbuf *to, const char *s, size_t left)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char c = (unsigned char)s[0];

    if (c >= 0x80) {
        size_t n = sequence_len(c);
        if (n == 0 || n > left || !str_is_utf8(s, n)) {
            strbuf_add(to, "\xef\xbf\xbd", 3); /* U+FFFD */
            return 1;
        }
        if (n == 3 && memcmp(s, "\xe2\x80", 2) == 0 && (s[2] == '\xa8' || s[2] == '\xa9'))
            strbuf_add(to, s[2] == '\xa8' ? "\\u2028" : "\\u2029", 6);
        else
            strbuf_add(to, s, n);
        return n;
    }
    char named = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c == '"' || c == '\\' ? (char)c : '\0';
    if (named != '\0')
        strbuf_add(to, (char[]){ '\\', named }, 2);
    else
        strbuf_add(to, (char[]){ '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] }, 6);
    return 1;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void add_string(struct strbuf *to, const char *s)
{
    size_t left = strlen(s);

    strbuf_addc(to, '"');
    while (left > 0) {
        size_t run = 0;
        while (run < left && is_plain((unsigned char)s[run]))
            run++;
        if (run > 0)
            strbuf_add(to, s, run);
        else
            run = add_special(to, s, left);
        s += run;
        left -= run;
    }
    strbuf_addc(to, '"');
}

void json_name(struct json_out *j, const char *name)
{
    separate(j);
    add_string(j->to, name);
    strbuf_addc(j->to, ':');
    if (j->indent > 0)
        strbuf_addc(j->to, ' ');
    j->named = true;
}

void json_str(struct json_out *j, const char *s)
{
    separate(j);
    if (s == NULL)
        strbuf_add(j->to, "null", 4);
    else
        add_string(j->to, s);
}

void json_int(struct json_out *j, int64_t n)
{
    separate(j);
    strbuf_addi(j->to, n);
}

void json_flag(struct json_out *j, bool b)
{
    separate(j);
    strbuf_adds(j->to, b ? "true" : "false");
}

void json_null(struct json_out *j)
{
    separate(j);
    strbuf_add(j->to, "null", 4);
}

void json_raw(struct json_out *j, const char *text, size_t len)
{
    if (len == 0 && !j->named)
        return; /* no members */
    separate(j);
    strbuf_add(j->to, text, len);
}

void json_name_str(struct json_out *j, const char *name, const char *s)
{
    json_name(j, name);
    json_str(j, s);
}

void json_name_int(struct json_out *j, const char *name, int64_t n)
{
    json_name(j, name);
    json_int(j, n);
}

void json_name_bool(struct json_out *j, const char *name, bool b)
{
    json_name(j, name);
    json_flag(j, b);
}
