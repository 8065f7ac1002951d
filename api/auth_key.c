/* API keys: "<id>.<secret>[.<username>]" (contract/rest.md §2.6), split at the first two dots.
 *
 * A secret that was right a moment ago is known by its keyed hash, as passwords are; any other one costs a password
 * hash, so a worker checks it, and only then does the caller learn anything about the account. Until then the request's
 * body is kept, but only behind an id that exists. */
#include <stdlib.h>
#include <string.h>

#include "api/dispatch.h"
#include "api/reply.h"
#include "api/route.h"
#include "api/state.h"
#include "base/log.h"
#include "base/sys.h"

enum { KEY_TEXT_MAX = 512, LAST_USE_MS = 10 * 60 * 1000 };

struct key_parts {
    char text[KEY_TEXT_MAX + 1];
    const char *id, *secret, *username; /* username NULL: not named */
};

static bool key_split(const char *text, struct key_parts *ret)
{
    if (!str_set(ret->text, sizeof(ret->text), text))
        return false;
    char *secret = strchr(ret->text, '.');
    if (secret == NULL)
        return false;
    *secret++ = '\0';
    char *username = strchr(secret, '.');
    if (username != NULL)
        *username++ = '\0';
    ret->id = ret->text;
    ret->secret = secret;
    ret->username = username;
    return ret->id[0] != '\0' && secret[0] != '\0';
}

static int key_refuse(struct http_request *rq)
{
    return reply_refuse(rq, 401, SAYS_ERROR, "the provided api key cannot be authenticated");
}

static int holder_refuse(struct http_request *rq)
{
    return reply_refuse(rq, 401, SAYS_ERROR, "the %s associated with the provided api key cannot be authenticated",
                        rq->api_key->scope == API_KEY_USER ? "user" : "admin");
}

struct key_use {
    struct apid *a;
    int64_t at_ms;
    char *id;
};

static void use_note(void *arg)
{
    struct key_use *use = arg;

    int r = api_key_set_last_use(use->a->store, use->id, use->at_ms);
    if (r < 0 && r != -ENOENT)
        IGNORE(log_fail(r, "cannot note the use of API key %s", use->id), "the key is good anyway");
    free(use->id);
    free(use);
}

static void use_seen(struct apid *a, const struct api_key *k)
{
    int64_t now_ms = sys->wall_ms();

    if (now_ms - k->last_use_at_ms < LAST_USE_MS)
        return;
    struct key_use *use = calloc(1, sizeof(*use));
    if (use == NULL)
        return;
    *use = (struct key_use){ a, now_ms, strdup(k->id) };
    if (use->id != NULL && pool_submit(a->waiting, use_note, use) == 0)
        return; /* else the next use notes it */
    free(use->id);
    free(use);
}

/* The secret is right: whose key is it, and may that account be here? */
static int key_holder(struct http_request *rq, const struct key_parts *parts)
{
    const struct api_key *k = rq->api_key;
    enum holder kind = k->scope == API_KEY_USER ? HOLDER_USER : HOLDER_ADMIN;
    const char *fixed = kind == HOLDER_USER ? k->user : k->admin;
    const char *name = fixed != NULL && fixed[0] != '\0' ? fixed : parts->username;

    if (kind != route_holder(rq->route))
        return reply_result(rq, 403, "the scope of the provided api key does not fit this operation", "Forbidden");
    if (name == NULL || name[0] == '\0')
        return holder_refuse(rq);
    int r = auth_principal(rq->apid->auth, kind, name, &rq->who);
    if (r == -ENOENT)
        return holder_refuse(rq);
    if (r < 0) {
        reply_problem(rq, r);
        return REPLIED;
    }
    if (!principal_takes_api_keys(rq->who) || principal_refusal(rq->who, "api key", rq->address) != NULL)
        return holder_refuse(rq);
    use_seen(rq->apid, k);
    return 0;
}

static int key_load(struct http_request *rq, const char *id)
{
    struct api_key *k = calloc(1, sizeof(*k));
    int r = k != NULL ? api_key_load(rq->apid->store, id, k) : -ENOMEM;

    if (r == 0) {
        rq->api_key = k;
        return 0;
    }
    free(k);
    if (r == -ENOENT)
        return reply_refuse(rq, 400, SAYS_ERROR, "the provided api key is not valid");
    reply_problem(rq, r);
    return REPLIED;
}

int key_begin(struct http_request *rq)
{
    struct key_parts parts;

    if (!key_split(rq->api_key_text, &parts))
        return reply_refuse(rq, 400, SAYS_ERROR, "the provided api key is not valid");
    int r = key_load(rq, parts.id);
    if (r != 0)
        return r;
    const struct api_key *k = rq->api_key;
    if (k->expires_at_ms > 0 && k->expires_at_ms <= sys->wall_ms())
        return key_refuse(rq);
    rq->key_unproved = !auth_verified(rq->apid->auth, &(struct claim){ k->id, k->key }, parts.secret);
    return rq->key_unproved ? 0 : key_holder(rq, &parts);
}

int key_prove(struct http_request *rq)
{
    const struct claim claim = { rq->api_key->id, rq->api_key->key };
    struct key_parts parts;

    rq->key_unproved = false;
    if (!key_split(rq->api_key_text, &parts) || auth_verify(rq->apid->auth, &claim, parts.secret) < 0)
        return key_refuse(rq);
    return key_holder(rq, &parts);
}
