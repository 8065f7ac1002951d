/* What a client reads when something is refused. A handler either refuses in its own words (reply_refuse), or returns
 * an errno and the one table of base/problem.h says the rest. */
#include "api/reply.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/problem.h"

static const char json_content_type[] = "application/json; charset=utf-8";

int reply_result(struct http_request *rq, int status, const char *error, const char *message)
{
    struct json_out out = { .to = &rq->reply.body, .first = true };

    strbuf_reset(&rq->reply.body);
    json_begin(&out, '{');
    if (error != NULL)
        json_name_str(&out, "error", error);
    json_name_str(&out, "message", message);
    json_end(&out, '}');
    strbuf_addc(&rq->reply.body, '\n');
    rq->reply.status = status;
    rq->reply.content_type = json_content_type;
    return REPLIED;
}

int reply_refuse(struct http_request *rq, int status, enum says where, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is started in the line above */
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return where == SAYS_ERROR ? reply_result(rq, status, text, "") : reply_result(rq, status, NULL, text);
}

void reply_header(struct http_request *rq, const char *name, const char *fmt, ...)
{
    char text[4096];
    va_list args;

    va_start(args, fmt);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is started in the line above */
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text))
        return;
    strbuf_add(&rq->reply.headers, name, strlen(name) + 1);
    strbuf_add(&rq->reply.headers, text, (size_t)len + 1);
}

int reply_invalid(struct http_request *rq)
{
    const char *field = rq->why.field;
    const char *text = rq->why.text[0] != '\0' ? rq->why.text : "invalid request";

    return reply_refuse(rq, 400, SAYS_ERROR, "Validation error: %s%s%s", field, field[0] != '\0' ? " " : "", text);
}

void reply_problem(struct http_request *rq, int r)
{
    if (r == -EINVAL && rq->why.text[0] != '\0') {
        reply_invalid(rq);
        return;
    }
    const struct problem *p = problem_of(r);
    const char *text = r == -EEXIST && rq->why.text[0] != '\0' ? rq->why.text : p->http_text;
    reply_result(rq, p->http, text, "");
    if (p->http == 503)
        rq->reply.retry_after_s = 1;
    if (p->http == 500)
        IGNORE(log_fail(r, "request %s: %s %s", rq->id, rq->method, rq->target), "it returns r");
}

void reply_object(struct strbuf *out, const struct schema *s, const void *obj)
{
    struct json_out json = { .to = out, .first = true };

    schema_write(s, obj, SHOW_API, &json);
}
