/* What administrators and users do with their own account: password, profile, public keys. Users are bound by the
 * web_client options of their record (contract/rest.md §4.1). */
#include <string.h>

#include "api/account.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"

static int invalid(struct http_request *rq, const char *text)
{
    return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: %s", text);
}

/* ---- password ---- */

static int password_replace(struct http_request *rq, struct account *a, const struct changepwd_in *in)
{
    const struct claim claim = { account_name(a), *account_password(a) };

    int r = auth_verify(rq->apid->auth, &claim, in->current_password);
    if (r == -EACCES)
        return invalid(rq, "current password does not match");
    if (r == 0)
        r = str_copy(account_password(a), in->new_password);
    return r == 0 ? account_save(rq, a) : r;
}

int on_changepwd_put(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct changepwd_in *body = in;
    const char *now = body->current_password, *then = body->new_password;
    struct account a;

    (void)out;
    if (now == NULL || now[0] == '\0' || then == NULL || then[0] == '\0')
        return invalid(rq, "please provide the current password and the new one two times");
    if (strcmp(now, then) == 0)
        return invalid(rq, "the new password must be different from the current one");
    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    r = password_replace(rq, &a, body);
    account_done(&a);
    return r;
}

/* ---- profile ---- */

static bool may(const struct http_request *rq, const char *denied_by)
{
    return !strings_has(&rq->who->permissions, denied_by);
}

static int profile_fill(struct profile_shape *p, struct account *a)
{
    int r = str_copy(&p->email, *account_email(a));

    if (r == 0)
        r = str_copy(&p->description, *account_description(a));
    p->allow_api_key_auth = *account_takes_api_keys(a);
    if (r == 0 && a->kind == HOLDER_USER)
        r = strings_copy(&p->public_keys, &a->user.public_keys);
    return r;
}

int on_profile_load(struct http_request *rq, void *obj)
{
    struct account a;

    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    r = profile_fill(obj, &a);
    account_done(&a);
    return r;
}

int on_profile_get(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct schema *s = rq->route->out;
    struct profile_shape p = { 0 };

    (void)in;
    int r = on_profile_load(rq, &p);
    if (r == 0)
        reply_object(out, s, &p);
    schema_done(s, &p);
    return r;
}

/* What the user must not change is left as it is; an administrator has no such options. */
static int profile_apply(const struct http_request *rq, const struct profile_shape *p, struct account *a)
{
    int r = 0;

    if (may(rq, "info-change-disabled")) {
        r = str_copy(account_email(a), p->email);
        if (r == 0)
            r = str_copy(account_description(a), p->description);
    }
    if (may(rq, "api-key-auth-change-disabled"))
        *account_takes_api_keys(a) = p->allow_api_key_auth;
    if (r == 0 && a->kind == HOLDER_USER && may(rq, "publickey-change-disabled")) {
        strings_done(&a->user.public_keys);
        r = strings_copy(&a->user.public_keys, &p->public_keys);
    }
    return r;
}

int on_profile_put(struct http_request *rq, void *in, struct strbuf *out)
{
    struct account a;

    (void)out;
    if (!may(rq, "info-change-disabled") && !may(rq, "api-key-auth-change-disabled") &&
        !may(rq, "publickey-change-disabled"))
        return reply_refuse(rq, 403, SAYS_MESSAGE, "Forbidden");
    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    r = profile_apply(rq, in, &a);
    if (r == 0)
        r = account_save(rq, &a);
    account_done(&a);
    return r;
}

/* ---- public keys ---- */

int on_public_keys_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct json_out j = { .to = out, .first = true };
    struct account a;

    (void)in;
    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    if (a.user.public_keys.n == 0) { /* contract/rest.md §0.4, line 10 */
        json_null(&j);
    } else {
        json_begin(&j, '[');
        for (size_t i = 0; i < a.user.public_keys.n; i++)
            json_str(&j, a.user.public_keys.v[i]);
        json_end(&j, ']');
    }
    account_done(&a);
    return 0;
}

int on_public_keys_put(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct public_keys_in *body = in;
    struct account a;

    (void)out;
    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    strings_done(&a.user.public_keys);
    r = strings_copy(&a.user.public_keys, &body->public_keys);
    if (r == 0)
        r = account_save(rq, &a);
    account_done(&a);
    return r;
}
