/* Tokens: from HTTP Basic, and their end. What is checked in which order is the contract's (contract/rest.md §2.1): of
 * administrators status and address before the password, so that a disabled one costs no hash; of users the password
 * first, and what is told after it only its owner hears.
 *
 * A password that was right a moment ago is known by its keyed hash and answers on the event thread; any other one goes
 * to the hashing pool, an unknown name too, and takes as long. */
#include <stdio.h>
#include <time.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/log.h"
#include "base/metric.h"
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

    int r = auth_token(&a->keys[rq->conn->listener], p, now_s, &token);
    if (r < 0)
        return r;
    utc_text(now_s + TOKEN_LIFE_S, expires, sizeof(expires));
    reply_object(out, &token_schema, &(struct token_shape){ .access_token = token, .expires_at = expires });
    return 0;
}

static int last_login_note(struct http_request *rq, const struct principal *p)
{
    int64_t now_ms = sys->wall_ms();

    if (now_ms - principal_last_login(p) < LAST_LOGIN_MS)
        return 0;
    if (!rq->may_block)
        return -EWOULDBLOCK;
    int r = p->kind == HOLDER_USER ? user_set_last_login(rq->apid->store, p->username, now_ms)
                                   : admin_set_last_login(rq->apid->store, p->username, now_ms);
    if (r < 0)
        IGNORE(log_fail(r, "cannot note the login of %s", p->username), "the login is good anyway");
    auth_changed(rq->apid->auth, p->username);
    return 0;
}

/* ---- administrators ---- */

static int admin_before(struct http_request *rq, const struct principal *p)
{
    char text[512];

    if (p->admin.status != 1) {
        snprintf(text, sizeof(text), "admin \"%s\" is disabled", p->username);
        return unauthorized(rq, text);
    }
    if (!principal_may_come_from(p, rq->address)) {
        snprintf(text, sizeof(text), "login from IP %s not allowed", rq->address);
        return unauthorized(rq, text);
    }
    return 0;
}

/* ---- users ---- */

static int forbidden(struct http_request *rq, const char *error)
{
    return reply_result(rq, 403, error, "Forbidden");
}

static bool has_too_many_sessions(const struct http_request *rq, const struct user *u)
{
    const struct connections *table = rq->apid->connections;

    return u->max_sessions > 0 && table->v != NULL && connections_count(table, u->id) >= (uint64_t)u->max_sessions;
}

static int user_after(struct http_request *rq, const struct principal *p)
{
    const struct user *u = &p->user;
    char text[512];

    if (u->status != 1 || (u->expiration_date_ms > 0 && u->expiration_date_ms <= sys->wall_ms())) {
        snprintf(text, sizeof(text), "user \"%s\" is %s", p->username, u->status != 1 ? "disabled" : "expired");
        return unauthorized(rq, text);
    }
    const char *why = principal_refusal(p, "password", rq->address);
    if (why != NULL) {
        snprintf(text, sizeof(text), "login of user \"%s\" from %s not allowed: %s", p->username, rq->remote, why);
        return forbidden(rq, text);
    }
    if (has_too_many_sessions(rq, u)) {
        snprintf(text, sizeof(text), "user \"%s\" has too many open sessions: at most %lld", p->username,
                 (long long)u->max_sessions);
        return forbidden(rq, text);
    }
    return 0;
}

static void user_counted(struct http_request *rq, bool is_known, int r)
{
    static const enum metric_id metrics_of[2][3] = {
        { M_LOGIN_ATTEMPTS, M_LOGIN_OK, M_LOGIN_KO },
        { M_PASSWORD_ATTEMPTS, M_PASSWORD_OK, M_PASSWORD_KO },
    };

    for (size_t i = 0; i < ARRAY_SIZE(metrics_of); i++) {
        metric_add(metrics_of[i][0], 0, 1);
        metric_add(metrics_of[i][r == 0 ? 1 : 2], 0, 1);
    }
    if (r == REPLIED) /* refused, and not for a failure of ours */
        guards_note(rq->apid->guards, rq->address, is_known ? DEFENDER_FAILED : DEFENDER_UNKNOWN, "HTTP");
}

/* ---- both ---- */

static const struct token_kind {
    enum holder holder;
    const char *no_password;                                           /* error of an empty one */
    int (*before)(struct http_request *rq, const struct principal *p); /* may be NULL, like the others */
    int (*after)(struct http_request *rq, const struct principal *p);  /* the password was right */
    void (*counted)(struct http_request *rq, bool is_known, int r);
} kinds[] = {
    [HOLDER_ADMIN] = { HOLDER_ADMIN, "credentials cannot be null or empty", admin_before, NULL, NULL },
    [HOLDER_USER] = { HOLDER_USER, NULL, NULL, user_after, user_counted },
};

static int password_check(struct http_request *rq, const struct claim *claim, const char *password)
{
    if (auth_verified(rq->apid->auth, claim, password))
        return 0;
    if (!rq->may_block)
        return -EWOULDBLOCK;
    int r = auth_verify(rq->apid->auth, claim, password);
    return r == -EACCES ? unauthorized(rq, "invalid credentials") : r;
}

static int code_check(struct http_request *rq, const struct principal *p)
{
    if (!principal_wants_code(p))
        return 0;
    int r = auth_code(rq->apid->auth, p, rq->passcode);
    return r == -EACCES ? unauthorized(rq, "invalid credentials") : r;
}

static int holder_check(struct http_request *rq, const struct token_kind *k, const struct principal *p,
                        const char *password)
{
    int r = k->before != NULL ? k->before(rq, p) : 0;

    if (r == 0)
        r = password_check(rq, &(struct claim){ p->username, p->password }, password);
    if (r == 0 && k->after != NULL)
        r = k->after(rq, p);
    if (r == 0 && principal_last_login(p) + LAST_LOGIN_MS <= sys->wall_ms() && !rq->may_block)
        r = -EWOULDBLOCK; /* before the passcode is used up */
    if (r == 0)
        r = code_check(rq, p);
    if (r == 0)
        r = last_login_note(rq, p);
    return r;
}

static int token_give(struct http_request *rq, const struct token_kind *k, const struct authorization *h,
                      struct strbuf *out, bool *ret_known)
{
    struct principal *p = NULL;

    int r = auth_principal(rq->apid->auth, k->holder, h->username, &p);
    *ret_known = r == 0;
    if (r == -ENOENT)
        return password_check(rq, &(struct claim){ h->username, NULL }, h->password);
    if (r < 0)
        return r;
    r = holder_check(rq, k, p, h->password);
    if (r == 0)
        r = token_reply(rq, p, out);
    principal_unref(p);
    return r;
}

static int basic_token(struct http_request *rq, const struct token_kind *k, const struct authorization *h,
                       struct strbuf *out)
{
    if (h->scheme != SCHEME_BASIC || rq->authorizations > 1)
        return unauthorized(rq, NULL);
    if (h->username[0] == '\0')
        return unauthorized(rq, "invalid credentials");
    if (h->password[0] == '\0')
        return unauthorized(rq, k->no_password);
    bool is_known;
    int r = token_give(rq, k, h, out, &is_known);
    if (r != -EWOULDBLOCK && k->counted != NULL)
        k->counted(rq, is_known, r);
    return r;
}

static int token_get(struct http_request *rq, const struct token_kind *k, struct strbuf *out)
{
    struct authorization h;

    authorization_parse(rq->authorization, &h);
    int r = basic_token(rq, k, &h, out);
    authorization_done(&h);
    return r;
}

int on_token_get(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return token_get(rq, &kinds[HOLDER_ADMIN], out);
}

int on_user_token_get(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return token_get(rq, &kinds[HOLDER_USER], out);
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
    const struct auth_ask ask = { &a->keys[rq->conn->listener], route_holder(rq->route), h.token, rq->address };
    if (h.scheme == SCHEME_BEARER && auth_bearer(a->auth, &ask, &p, &jti) == TOKEN_OK)
        r = auth_logout(a->auth, jti, sys->wall_ms() / 1000 + TOKEN_LIFE_S);
    principal_unref(p);
    authorization_done(&h);
    return r;
}
