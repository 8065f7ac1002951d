/* JSON: one safe way in, one fast way out.
 *
 * In:  json_in() parses one value with limits (size, depth); the tree is json-c's. Trailing bytes are an error only in
 *      JSON_WHOLE; comments are allowed only with JSON_COMMENTS.
 * Out: struct json_out writes into a strbuf, members in the order of the calls; '<', '>', '&', U+2028 and U+2029 are
 *      escaped as the contract says (contract/rest.md §1.0); strings that are not UTF-8 have U+FFFD for each bad byte.
 *
 * Source: RFC 8259. Threads: any, one writer a thread. */
#pragma once

#include <json-c/json.h>

#include "base/str.h"
#include "base/why.h"

enum { JSON_WHOLE = 1, JSON_COMMENTS = 2 };

/* json_in - parses. *ret is owned: json_object_put(). -EINVAL with reterr_why, -E2BIG (deeper than 32), -ENOMEM. An
 * empty text is -EINVAL with the text "EOF". A JSON null gives *ret == NULL and 0. */
int json_in(const char *text, size_t len, unsigned flags, struct json_object **ret, struct why *reterr_why) MUST_CHECK;

void json_put_p(struct json_object **j); /* for CLEANUP */

/* json_member - a member by exact name; NULL if absent, null or `o` is no object. Borrowed. */
struct json_object *json_member(struct json_object *o, const char *name);
const char *json_text(struct json_object *o, const char *name);                  /* NULL if absent or no string */
int64_t json_number(struct json_object *o, const char *name, int64_t otherwise); /* if absent or no integer */
bool json_truth(struct json_object *o, const char *name);

/* json_line - the line (1 is the first) where the member at a path ("sftpd.bindings[0].port") stands, or the nearest
 * member or list entry above it; 0 if there is neither. `text` is JSON that json_in() took; comments are allowed. Of
 * duplicate members the last counts. */
unsigned json_line(const char *text, size_t len, const char *path);

/* json_blank_comments - overwrites comments, and a byte order mark, with spaces; positions stay. */
void json_blank_comments(char *text, size_t len);

enum { JSON_DEPTH_MAX = 32 };

struct json_out {
    struct strbuf *to; /* borrowed */
    unsigned depth;    /* open objects and lists */
    bool first;        /* nothing was written at this level yet */
    bool named;        /* a name was written and waits for its value */
    unsigned indent;   /* spaces a level; 0: compact */
};

void json_begin(struct json_out *j, char open); /* '{' or '[' */
void json_end(struct json_out *j, char close);  /* '}' or ']' */
void json_name(struct json_out *j, const char *name);
void json_str(struct json_out *j, const char *s); /* NULL: null */
void json_int(struct json_out *j, int64_t n);
void json_flag(struct json_out *j, bool b); /* true or false; json_bool is a type of json-c */
void json_null(struct json_out *j);
void json_raw(struct json_out *j, const char *text, size_t len); /* one complete value, or members of an object */
/* name and value in one */
void json_name_str(struct json_out *j, const char *name, const char *s);
void json_name_int(struct json_out *j, const char *name, int64_t n);
void json_name_bool(struct json_out *j, const char *name, bool b);
