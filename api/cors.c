/* A preflight is answered before authentication, because a browser sends it without credentials; one that is not
 * allowed gets the same status without the headers that allow, which is how a browser is told no. An origin pattern may
 * have one "*". */
#include "api/cors.h"

#include <string.h>

#include "api/reply.h"

static const char *const usual_methods[] = { "GET", "POST", "HEAD" };
static const char *const usual_headers[] = { "Accept", "Content-Type", "X-Requested-With", "Origin" };

static bool pattern_fits(const char *pattern, const char *origin)
{
    const char *star = strchr(pattern, '*');

    if (star == NULL)
        return str_equal_nocase(pattern, origin);
    size_t before = (size_t)(star - pattern), after = strlen(star + 1), len = strlen(origin);
    return len >= before + after && strncasecmp(origin, pattern, before) == 0 &&
           strcasecmp(origin + len - after, star + 1) == 0;
}

static bool allows_all(const struct cors_config *c)
{
    return c->allowed_origins.n == 0 || strings_has(&c->allowed_origins, "*");
}

static bool allows_origin(const struct cors_config *c, const char *origin)
{
    if (allows_all(c))
        return true;
    for (size_t i = 0; i < c->allowed_origins.n; i++)
        if (pattern_fits(c->allowed_origins.v[i], origin))
            return true;
    return false;
}

/* In the list, or in `usual` where the list is empty. */
static bool is_listed(const struct strings *l, const char *const *usual, size_t usual_n, const char *text)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], "*") == 0 || str_equal_nocase(l->v[i], text))
            return true;
    for (size_t i = 0; l->n == 0 && i < usual_n; i++)
        if (str_equal_nocase(usual[i], text))
            return true;
    return false;
}

static bool allows_method(const struct cors_config *c, const char *method)
{
    return is_listed(&c->allowed_methods, usual_methods, ARRAY_SIZE(usual_methods), method);
}

static bool allows_headers(const struct cors_config *c, const char *list)
{
    char name[128];

    for (const char *at = list; at != NULL && *at != '\0';) {
        at += strspn(at, " \t,");
        size_t len = strcspn(at, " \t,");
        if (len >= sizeof(name))
            return false;
        memcpy(name, at, len);
        name[len] = '\0';
        if (len > 0 && !is_listed(&c->allowed_headers, usual_headers, ARRAY_SIZE(usual_headers), name))
            return false;
        at += len;
    }
    return true;
}

static void list_header(struct http_request *rq, const char *name, const struct strings *l)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(4096);

    for (size_t i = 0; i < l->n; i++)
        strbuf_addf(&text, "%s%s", i > 0 ? ", " : "", l->v[i]);
    if (text.len > 0 && strbuf_ok(&text) == 0)
        reply_header(rq, name, "%s", text.s);
}

static void origin_headers(const struct cors_config *c, struct http_request *rq)
{
    bool all = allows_all(c); /* with "*" browsers send no credentials, whatever else is said */

    reply_header(rq, "Access-Control-Allow-Origin", "%s", all ? "*" : rq->origin);
    if (c->allow_credentials)
        reply_header(rq, "Access-Control-Allow-Credentials", "true");
}

static void preflight(const struct cors_config *c, struct http_request *rq)
{
    reply_header(rq, "Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    rq->reply.status = 204;
    if (rq->origin == NULL || !allows_origin(c, rq->origin) || !allows_method(c, rq->cors_method) ||
        !allows_headers(c, rq->cors_headers))
        return;
    origin_headers(c, rq);
    reply_header(rq, "Access-Control-Allow-Methods", "%s", rq->cors_method);
    if (rq->cors_headers != NULL && rq->cors_headers[0] != '\0')
        reply_header(rq, "Access-Control-Allow-Headers", "%s", rq->cors_headers);
    if (c->max_age_s > 0)
        reply_header(rq, "Access-Control-Max-Age", "%u", c->max_age_s);
}

bool cors_apply(const struct cors_config *c, struct http_request *rq)
{
    if (!c->enabled)
        return false;
    if (strcmp(rq->method, "OPTIONS") == 0 && rq->cors_method != NULL) {
        preflight(c, rq);
        return true;
    }
    reply_header(rq, "Vary", "Origin");
    if (rq->origin == NULL || !allows_origin(c, rq->origin))
        return false;
    origin_headers(c, rq);
    list_header(rq, "Access-Control-Expose-Headers", &c->exposed_headers);
    return false;
}
