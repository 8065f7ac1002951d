/* One connection to the REST API, by libcurl: over the administrators' Unix socket, or a URL with a way to log in.
 *
 * Errors: each call returns 0 or a negative errno and then client_said() is a sentence for a person: the cause and what
 * to do. The errnos that callers tell apart:
 *
 *     -ENOTCONN  nobody there, or the connection was lost      -EACCES  who you are was refused, or a right is missing
 *     -ENOENT    404       -EEXIST 409       -EINVAL 400 and the rest of 4xx      -EIO 5xx, or an answer that is none
 *     -ECANCELED the `stop` function said so
 *
 * A token that expires in the middle is asked for again once when there is a password.
 *
 * Limits: CLIENT_BODY_MAX bytes an answer; CLIENT_CONNECT_S to connect, CLIENT_CALL_S for a call (those with .is_long
 * have CLIENT_LONG_S).
 * Lifetime: texts that client_new() is given are copied. Threads: one. */
#pragma once

#include "base/json.h"

enum {
    CLIENT_BODY_MAX = 256 << 20,
    CLIENT_CONNECT_S = 10,
    CLIENT_CALL_S = 60,
    CLIENT_LONG_S = 3600,
    CLIENT_SEGMENTS_MAX = 6,
};

/* Where to, and who one is. NULL members are not given. */
struct client_place {
    const char *socket; /* path; or: */
    const char *url;
    const char *user, *password, *otp;
    const char *token, *api_key;
    const char *ca_file;
};

struct client;

int client_new(const struct client_place *place, struct client **ret) MUST_CHECK;
void client_free(struct client *c);

struct call {
    const char *method;
    const char *path[CLIENT_SEGMENTS_MAX]; /* encoded here; ends with NULL */
    const char *query;                     /* as it is sent, without '?'; may be NULL */
    struct json_object *body;              /* borrowed; may be NULL */
    const char *raw_body;                  /* sent as it is instead, raw_len bytes */
    size_t raw_len;
    bool is_long;
};

/* client_call - *ret (may be NULL) is owned: the answer, NULL if it has no body. */
int client_call(struct client *c, const struct call *call, struct json_object **ret) MUST_CHECK;

/* client_call_raw - the answer's bytes as they came. */
int client_call_raw(struct client *c, const struct call *call, struct strbuf *ret) MUST_CHECK;

const char *client_said(const struct client *c);  /* of the last call that failed; borrowed until the next */
const char *client_where(const struct client *c); /* the socket or the URL; borrowed */

/* client_stop_when - asked about once a second while a call waits; true ends it with -ECANCELED. */
void client_stop_when(struct client *c, bool (*stop)(void *), void *arg);
