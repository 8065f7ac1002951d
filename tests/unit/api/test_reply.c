/* Result objects: members, escaping, statuses of errors. */
#include "api/reply.h"
#include "base/log.h"
#include "tests/unit/api/row.h"

static struct http_request *request(void)
{
    struct http_request *rq = request_new(NULL, NULL, "/x");

    assert_non_null(rq);
    return rq;
}

static void texts_are_escaped_and_empty_members_are_there(void **state)
{
    static const struct {
        const char *error, *message, *body;
    } rows[] = {
        { NULL, "", "{\"message\":\"\"}\n" },
        { "e", "", "{\"error\":\"e\",\"message\":\"\"}\n" },
        { NULL, "a\"b\\c\n", "{\"message\":\"a\\\"b\\\\c\\n\"}\n" },
        { "<b>&", "m", "{\"error\":\"\\u003cb\\u003e\\u0026\",\"message\":\"m\"}\n" },
        { "\xe2\x80\xa8", "m", "{\"error\":\"\\u2028\",\"message\":\"m\"}\n" },
        { "\x01", "m", "{\"error\":\"\\u0001\",\"message\":\"m\"}\n" },
        { "\xff", "m", "{\"error\":\"\\ufffd\",\"message\":\"m\"}\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_request *rq = request();
        row_equal(rows[i].body, reply_result(rq, 400, rows[i].error, rows[i].message), REPLIED);
        if (i != ARRAY_SIZE(rows) - 1) /* the last: U+FFFD, as text or escaped */
            row_same(rows[i].body, rq->reply.body.s, rows[i].body);
        else
            assert_true(strstr(rq->reply.body.s, "\xef\xbf\xbd") != NULL || strstr(rq->reply.body.s, "fffd") != NULL);
        row_same(rows[i].body, rq->reply.content_type, "application/json; charset=utf-8");
        request_free(rq);
    }
}

static void errors_have_their_status(void **state)
{
    static const struct {
        const char *name;
        int r, status;
        const char *body;
        unsigned retry_after_s;
    } rows[] = {
        { "not found", -ENOENT, 404, "{\"error\":\"Not Found\",\"message\":\"\"}\n", 0 },
        { "taken", -EEXIST, 409, NULL, 0 },
        { "busy", -EAGAIN, 503, NULL, 1 },
        { "no answer", -ETIMEDOUT, 503, NULL, 1 },
        { "database", -EIO, 500, NULL, 0 },
        { "memory", -ENOMEM, 500, NULL, 0 },
        { "anything", -ENOTTY, 500, NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_request *rq = request();
        reply_problem(rq, rows[i].r);
        row_equal(rows[i].name, rq->reply.status, rows[i].status);
        row_equal(rows[i].name, rq->reply.retry_after_s, rows[i].retry_after_s);
        if (rows[i].body != NULL)
            row_same(rows[i].name, rq->reply.body.s, rows[i].body);
        request_free(rq);
    }
}

static void validation_names_field_and_reason(void **state)
{
    struct http_request *rq = request();

    (void)state;
    IGNORE(why_set(&rq->why, -EINVAL, "home_dir", "must be an absolute path"), "it returns -EINVAL");
    reply_problem(rq, -EINVAL);
    assert_int_equal(rq->reply.status, 400);
    assert_string_equal(rq->reply.body.s,
                        "{\"error\":\"Validation error: home_dir must be an absolute path\",\"message\":\"\"}\n");
    IGNORE(why_set(&rq->why, -EINVAL, "", "please set a password"), "likewise");
    reply_problem(rq, -EINVAL);
    assert_string_equal(rq->reply.body.s, "{\"error\":\"Validation error: please set a password\",\"message\":\"\"}\n");
    request_free(rq);
}

static void refusals_go_where_they_are_told(void **state)
{
    struct http_request *rq = request();

    (void)state;
    assert_int_equal(reply_refuse(rq, 403, SAYS_MESSAGE, "Quota %s!", "off"), REPLIED);
    assert_string_equal(rq->reply.body.s, "{\"message\":\"Quota off!\"}\n");
    assert_int_equal(reply_refuse(rq, 400, SAYS_ERROR, "invalid %s", "mode"), REPLIED);
    assert_string_equal(rq->reply.body.s, "{\"error\":\"invalid mode\",\"message\":\"\"}\n");
    assert_int_equal(rq->reply.status, 400);
    request_free(rq);
}

static void log_nothing(const char *line, size_t len)
{
    (void)line;
    (void)len;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_escaped_and_empty_members_are_there),
        cmocka_unit_test(errors_have_their_status),
        cmocka_unit_test(validation_names_field_and_reason),
        cmocka_unit_test(refusals_go_where_they_are_told),
    };
    log_sink(log_nothing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
