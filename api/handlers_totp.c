/* The second factor and the recovery codes, the same for administrators and users (contract/rest.md §1.1 rows 36-42).
 *
 * generate and validate store nothing: save does, after the client has shown by validate that the phone agrees. */
#include <stdlib.h>
#include <string.h>

#include "api/account.h"
#include "api/handlers.h"
#include "api/qr.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/sys.h"
#include "store/secret.h"
#include "store/totp.h"

enum { RECOVERY_LEAST = 5 }; /* with fewer unused codes, switching the second factor on makes new ones */

static const char *const totp_protocols[] = { "SSH", "FTP", "HTTP" };

int on_totp_configs_get(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    totp_configs_write(rq->apid->config, out);
    return 0;
}

/* [{"name":…,"issuer":…,"algo":…}], or null as the contract has it */
void totp_configs_write(const struct config *c, struct strbuf *out)
{
    const struct totp_provider *p = c->mfa.totp.v;

    if (c->mfa.totp.n == 0) {
        strbuf_adds(out, "null");
        return;
    }
    strbuf_addc(out, '[');
    for (size_t i = 0; i < c->mfa.totp.n; i++) {
        if (i > 0)
            strbuf_addc(out, ',');
        reply_object(out, &totp_config_schema,
                     &(struct totp_config_shape){ .name = p[i].name, .issuer = p[i].issuer, .algo = p[i].algo });
    }
    strbuf_addc(out, ']');
}

static int provider_of(struct http_request *rq, const char *name, const struct totp_provider **ret)
{
    *ret = totp_provider_find(rq->apid->config, name);
    if (*ret != NULL)
        return 0;
    return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: the TOTP configuration \"%.64s\" does not exist",
                        name != NULL ? name : "");
}

int on_totp_generate(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct totp_name_in *body = in;
    CLEANUP(secret_text_free) char *secret = NULL;
    CLEANUP(mem_free) char *qr = NULL;
    const struct totp_provider *p;

    int r = provider_of(rq, body->config_name, &p);
    if (r == 0)
        r = totp_secret_new(&secret);
    if (r == 0)
        r = qr_of_totp(p, rq->who->username, secret, &qr);
    if (r != 0)
        return r;
    reply_object(
        out, &totp_new_schema,
        &(struct totp_new_shape){ .config_name = p->name, .issuer = p->issuer, .secret = secret, .qr_code = qr });
    return 0;
}

int on_totp_validate(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct totp_validate_in *body = in;
    const struct totp_provider *p;
    int64_t step;

    (void)out;
    int r = provider_of(rq, body->config_name, &p);
    if (r != 0)
        return r;
    r = totp_check(p, body->secret, body->passcode, sys->wall_ms() / 1000, &step);
    return r == -EACCES || r == -EINVAL ? reply_refuse(rq, 400, SAYS_MESSAGE, "Invalid passcode") : r;
}

/* ---- save ---- */

static int secret_take(struct http_request *rq, const struct secret *from, const char *owner, struct totp_config *to)
{
    const char *status = from->status != NULL ? from->status : "";

    if (strcmp(status, "Plain") != 0) { /* what was read from us and comes back: the stored one stays */
        if (to->secret.payload != NULL)
            return 0;
        return reply_refuse(rq, 400, SAYS_ERROR,
                            "Validation error: secret must be {\"status\":\"Plain\",\"payload\":\"…\"}");
    }
    if (!totp_secret_is_valid(from->payload))
        return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: secret must be base32 text");
    return secret_seal(from->payload, owner, &to->secret);
}

static int protocols_check(struct http_request *rq, const struct strings *from)
{
    for (size_t i = 0; i < from->n; i++) {
        bool known = false;
        for (size_t k = 0; k < ARRAY_SIZE(totp_protocols) && !known; k++)
            known = strcmp(from->v[i], totp_protocols[k]) == 0;
        if (!known)
            return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: protocols must be SSH, FTP or HTTP");
    }
    return 0;
}

static int protocols_take(struct http_request *rq, const struct strings *from, struct totp_config *to)
{
    if (from->n == 0)
        return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: protocols must name at least one");
    strings_done(&to->protocols);
    return strings_copy(&to->protocols, from);
}

static size_t codes_left(const struct objects *codes)
{
    const struct recovery_code *v = codes->v;
    size_t n = 0;

    for (size_t i = 0; i < codes->n; i++)
        n += !v[i].used;
    return n;
}

static int totp_apply(struct http_request *rq, const struct totp_save_in *body, struct account *a)
{
    struct totp_config *t = account_totp(a);
    const struct totp_provider *p;

    int r = protocols_check(rq, &body->protocols);
    if (r == 0 && !body->enabled)
        totp_config_done(t);
    if (r != 0 || !body->enabled)
        return r;
    r = provider_of(rq, body->config_name, &p);
    if (r == 0)
        r = secret_take(rq, &body->secret, account_name(a), t);
    if (r == 0 && a->kind == HOLDER_USER)
        r = protocols_take(rq, &body->protocols, t);
    if (r == 0)
        r = str_copy(&t->config_name, p->name);
    if (r == 0 && codes_left(account_recovery_codes(a)) < RECOVERY_LEAST)
        r = recovery_codes_new(account_name(a), account_recovery_codes(a), NULL);
    t->enabled = r == 0;
    return r;
}

int on_totp_save(struct http_request *rq, void *in, struct strbuf *out)
{
    struct account a;

    (void)out;
    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    r = totp_apply(rq, in, &a);
    if (r == 0)
        r = account_save(rq, &a);
    account_done(&a);
    return r;
}

/* ---- recovery codes ---- */

static int codes_write(const struct objects *codes, struct strbuf *out)
{
    const struct recovery_code *v = codes->v;

    strbuf_addc(out, '[');
    for (size_t i = 0; i < codes->n; i++) {
        CLEANUP(secret_text_free) char *text = NULL;
        int r = secret_open(&v[i].secret, &text);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            continue; /* of another server: nobody can read it */
        if (out->len > 1)
            strbuf_addc(out, ',');
        reply_object(out, &recovery_code_shape_schema,
                     &(struct recovery_code_shape){ .code = text, .used = v[i].used });
    }
    strbuf_addc(out, ']');
    return 0;
}

int on_recovery_codes_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct account a;

    (void)in;
    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    r = codes_write(account_recovery_codes(&a), out);
    account_done(&a);
    return r;
}

int on_recovery_codes_post(struct http_request *rq, void *in, struct strbuf *out)
{
    struct json_out j = { .to = out, .first = true };
    struct strings texts = { 0 };
    struct account a;

    (void)in;
    int r = account_load_own(rq, &a);
    if (r != 0)
        return r;
    r = recovery_codes_new(account_name(&a), account_recovery_codes(&a), &texts);
    if (r == 0)
        r = account_save(rq, &a);
    json_begin(&j, '[');
    for (size_t i = 0; r == 0 && i < texts.n; i++)
        json_str(&j, texts.v[i]);
    json_end(&j, ']');
    strings_done(&texts);
    account_done(&a);
    return r;
}

/* ---- an administrator helps somebody who lost the phone ---- */

static int second_factor_disable(struct http_request *rq, enum holder kind)
{
    struct account a;

    int r = account_load(rq, kind, rq->param, &a);
    if (r != 0)
        return r;
    totp_config_done(account_totp(&a));
    recovery_codes_done(account_recovery_codes(&a));
    r = account_save(rq, &a);
    account_done(&a);
    return r;
}

int on_admin_2fa_disable(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    (void)out;
    return second_factor_disable(rq, HOLDER_ADMIN);
}

int on_user_2fa_disable(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    (void)out;
    return second_factor_disable(rq, HOLDER_USER);
}
