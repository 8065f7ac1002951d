/* Each member is named once for both kinds. */
#include "api/account.h"

#include "api/handlers.h"
#include "api/reply.h"

int account_load(struct http_request *rq, enum holder kind, const char *username, struct account *ret)
{
    ret->kind = kind;
    return kind == HOLDER_USER ? user_load(rq->apid->store, username, &ret->user)
                               : admin_load(rq->apid->store, username, &ret->admin);
}

int account_load_own(struct http_request *rq, struct account *ret)
{
    if (rq->who->is_local)
        return reply_refuse(rq, 400, SAYS_ERROR,
                            "Validation error: no account belongs to this socket: log in as an administrator");
    return account_load(rq, rq->who->kind, rq->who->username, ret);
}

void account_done(struct account *a)
{
    if (a->kind == HOLDER_USER)
        user_done(&a->user);
    else
        admin_done(&a->admin);
}

int account_save(struct http_request *rq, const struct account *a)
{
    struct apid *d = rq->apid;
    int r = a->kind == HOLDER_USER ? user_update(d->store, &a->user, &rq->why)
                                   : admin_update(d->store, &a->admin, &rq->why);

    r = said_why(rq, r);
    if (r != 0)
        return r;
    auth_changed(d->auth, account_name(a));
    if (a->kind == HOLDER_USER)
        tell_changed(d, "user_changed", "username", a->user.username, a->user.id, false, false);
    return 0;
}

const char *account_name(const struct account *a)
{
    return a->kind == HOLDER_USER ? a->user.username : a->admin.username;
}

#define MEMBER(a, m) ((a)->kind == HOLDER_USER ? &(a)->user.m : &(a)->admin.m)

char **account_password(struct account *a)
{
    return MEMBER(a, password);
}

char **account_email(struct account *a)
{
    return MEMBER(a, email);
}

char **account_description(struct account *a)
{
    return MEMBER(a, description);
}

bool *account_takes_api_keys(struct account *a)
{
    return MEMBER(a, filters.allow_api_key_auth);
}

struct totp_config *account_totp(struct account *a)
{
    return MEMBER(a, filters.totp_config);
}

struct objects *account_recovery_codes(struct account *a)
{
    return MEMBER(a, filters.recovery_codes);
}
