/* Tokens: from HTTP Basic, and their end. What is checked in which order is the contract's (contract/rest.md §2.1):
 * status and address before the password, so that a disabled administrator costs no hash.
 *
 * A password that was right a moment ago is known by its keyed hash and answers on the event thread; any other one goes
 * to the hashing pool, an unknown name too, and takes as long. */
#include <stdio.h>
#include <time.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/log.h"
#include "base/sys.h"

enum { LAST_LOGIN_MS = 10 * 60 * 1000 };

static int unauthorized(struct http_request *rq, const char *error)
{
    rq->reply.challenge = true;
    return reply_result(rq, 401, error, "Unauthorized");
}

static void utc_text(int64_t at_s, char *to, size_t room)
{
    time_t t = (time_t)at_s;
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(to, room, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static int token_reply(struct http_request *rq, const struct principal *p, struct strbuf *out)
{
    struct apid *a = rq->apid;
    CLEANUP(mem_free) char *token = NULL;
    int64_t now_s = sys->wall_ms() / 1000;
    char expires[32];

    int r = auth_token(a->auth, &a->keys[rq->conn->listener], p, now_s, &token);
    if (r < 0)
        return r;
    utc_text(now_s + TOKEN_LIFE_S, expires, sizeof(expires));
    reply_object(out, &token_schema, &(struct token_shape){ .access_token = token, .expires_at = expires });
    return 0;
}

static int last_login_note(struct http_request *rq, const struct principal *p)
{
    int64_t now_ms = sys->wall_ms();

    if (now_ms - p->last_login_ms < LAST_LOGIN_MS)
        return 0;
    if (!rq->may_block)
        return -EWOULDBLOCK;
    int r = admin_set_last_login(rq->apid->store, p->username, now_ms);
    if (r < 0)
        IGNORE(log_fail(r, "cannot note the login of administrator %s", p->username), "the login is good anyway");
    auth_changed(rq->apid->auth, p->username);
    return 0;
}

static int basic_check(struct http_request *rq, const struct principal *p, const char *password)
{
    char text[512];

    if (p->status != 1) {
        snprintf(text, sizeof(text), "admin \"%s\" is disabled", p->username);
        return unauthorized(rq, text);
    }
    if (!principal_may_come_from(p, rq->conn->address)) {
        snprintf(text, sizeof(text), "login from IP %s not allowed", rq->conn->address);
        return unauthorized(rq, text);
    }
    if (auth_verified(rq->apid->auth, p, password))
        return 0;
    if (!rq->may_block)
        return -EWOULDBLOCK;
    int r = auth_verify(rq->apid->auth, p, password);
    return r == -EACCES ? unauthorized(rq, "invalid credentials") : r;
}

static int unknown_check(struct http_request *rq, const char *password)
{
    if (!rq->may_block)
        return -EWOULDBLOCK;
    IGNORE(auth_verify(rq->apid->auth, NULL, password), "nobody has this name: it only takes its time");
    return unauthorized(rq, "invalid credentials");
}

static int basic_token(struct http_request *rq, const struct authorization *h, struct strbuf *out)
{
    struct principal *p = NULL;

    if (h->scheme != SCHEME_BASIC || rq->authorizations > 1)
        return unauthorized(rq, NULL);
    if (h->username[0] == '\0')
        return unauthorized(rq, "invalid credentials");
    if (h->password[0] == '\0')
        return unauthorized(rq, "credentials cannot be null or empty");
    int r = auth_principal(rq->apid->auth, h->username, &p);
    if (r == -ENOENT)
        return unknown_check(rq, h->password);
    if (r < 0)
        return r;
    r = basic_check(rq, p, h->password);
    if (r == 0)
        r = last_login_note(rq, p);
    if (r == 0)
        r = token_reply(rq, p, out);
    principal_unref(p);
    return r;
}

int on_token_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct authorization h;

    (void)in;
    authorization_parse(rq->authorization, &h);
    int r = basic_token(rq, &h, out);
    authorization_done(&h);
    return r;
}

/* The dispatcher has found the token good: its jti is read once more. */
int on_logout_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct apid *a = rq->apid;
    struct authorization h;
    struct principal *p = NULL;
    CLEANUP(mem_free) char *jti = NULL;
    int r = 0;

    (void)in;
    (void)out;
    authorization_parse(rq->authorization, &h);
    if (h.scheme == SCHEME_BEARER &&
        auth_bearer(a->auth, &a->keys[rq->conn->listener], h.token, rq->conn->address, &p, &jti) == TOKEN_OK)
        r = auth_logout(a->auth, jti, sys->wall_ms() / 1000 + TOKEN_LIFE_S);
    principal_unref(p);
    authorization_done(&h);
    return r;
}
