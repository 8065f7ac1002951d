/* Targets: split first, decoded once; queries; request ids. */
#include <stdlib.h>

#include "api/request.h"
#include "tests/unit/api/row.h"

static void targets_are_split_before_they_are_decoded(void **state)
{
    static const struct {
        const char *path;
        int r;
        size_t n;
        const char *last;
    } rows[] = {
        { "/", 0, 0, NULL },
        { "/a", 0, 1, "a" },
        { "/a/", 0, 1, "a" },
        { "/a/b/c", 0, 3, "c" },
        { "/a%2Fb", 0, 1, "a/b" },
        { "/a%2fb/c", 0, 2, "c" },
        { "/%41", 0, 1, "A" },
        { "/%257E", 0, 1, "%7E" },
        { "/a+b", 0, 1, "a+b" },
        { "/%C3%A4", 0, 1, "\xc3\xa4" },
        { "/1/2/3/4/5/6/7/8", 0, 8, "8" },
        { "/1/2/3/4/5/6/7/8/9", -ENOENT, 0, NULL },
        { "//", 0, 0, NULL }, /* the root, with a slash behind it */
        { "//a", -ENOENT, 0, NULL },
        { "/a//b", -ENOENT, 0, NULL },
        { "/a//", -ENOENT, 0, NULL },
        { "", -ENOENT, 0, NULL },
        { "a", -ENOENT, 0, NULL },
        { "/%", -EINVAL, 0, NULL },
        { "/%4", -EINVAL, 0, NULL },
        { "/%4g", -EINVAL, 0, NULL },
        { "/%00", -EINVAL, 0, NULL },
        { "/%1f", -EINVAL, 0, NULL },
        { "/%7f", -EINVAL, 0, NULL },
        { "/a\x01", -EINVAL, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct segments s = { 0 };
        row_equal(rows[i].path, path_split(rows[i].path, strlen(rows[i].path), &s), rows[i].r);
        row_equal(rows[i].path, (int64_t)s.n, (int64_t)rows[i].n);
        if (rows[i].last != NULL)
            row_same(rows[i].path, s.v[s.n - 1], rows[i].last);
        segments_done(&s);
    }
}

static void the_first_parameter_of_a_query_wins(void **state)
{
    static const struct {
        const char *query, *name;
        int r;
        const char *value;
    } rows[] = {
        { NULL, "a", 0, NULL },
        { "", "a", 0, NULL },
        { "a=1", "a", 0, "1" },
        { "b=2&a=1", "a", 0, "1" },
        { "a=1&a=2", "a", 0, "1" },
        { "a", "a", 0, "" },
        { "a=", "a", 0, "" },
        { "a=x=y", "a", 0, "x=y" },
        { "aa=1", "a", 0, NULL },
        { "a=x+y%20z", "a", 0, "x y z" },
        { "&&a=1&", "a", 0, "1" },
        { "a=%", "a", -EINVAL, NULL },
        { "a=%00", "a", -EINVAL, NULL },
        { "b=%&a=1", "a", 0, "1" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *name = rows[i].query != NULL ? rows[i].query : "(none)";
        char *value = NULL;
        row_equal(name, query_value(rows[i].query, rows[i].name, &value), rows[i].r);
        row_same(name, value, rows[i].value);
        free(value);
    }
}

static void numbers_of_a_query_are_strict(void **state)
{
    static const struct {
        const char *query;
        int r;
        int64_t n;
    } rows[] = {
        { NULL, 0, 100 },
        { "limit=5", 0, 5 },
        { "limit=0", 0, 0 },
        { "limit=9223372036854775807", 0, INT64_MAX },
        { "limit=9223372036854775808", -EINVAL, 7 },
        { "limit=-1", -EINVAL, 7 },
        { "limit=", -EINVAL, 7 },
        { "limit=x", -EINVAL, 7 },
        { "limit=1.0", -EINVAL, 7 },
        { "limit=1%20", -EINVAL, 7 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *name = rows[i].query != NULL ? rows[i].query : "(none)";
        int64_t n = 7;
        row_equal(name, query_int(rows[i].query, "limit", 0, INT64_MAX, 100, &n), rows[i].r);
        row_equal(name, n, rows[i].n);
    }
}

static void request_ids_are_unlike_each_other_and_safe_in_a_log(void **state)
{
    char last[REQUEST_ID_LEN + 1] = "", id[REQUEST_ID_LEN + 1];

    (void)state;
    for (int i = 0; i < 10000; i++) {
        xid_new(id);
        assert_int_equal(strlen(id), REQUEST_ID_LEN);
        assert_int_equal(strspn(id, "0123456789abcdefghijklmnopqrstuv"), REQUEST_ID_LEN);
        assert_string_not_equal(id, last);
        memcpy(last, id, sizeof(last));
    }
}

static void the_query_is_kept_apart_from_what_is_logged(void **state)
{
    struct http_request *rq = request_new(NULL, NULL, "/a?secret=1");

    (void)state;
    assert_non_null(rq);
    assert_string_equal(rq->target, "/a");
    assert_string_equal(rq->query, "secret=1");
    request_free(rq);
    request_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_split_before_they_are_decoded),
        cmocka_unit_test(the_first_parameter_of_a_query_wins),
        cmocka_unit_test(numbers_of_a_query_are_strict),
        cmocka_unit_test(request_ids_are_unlike_each_other_and_safe_in_a_log),
        cmocka_unit_test(the_query_is_kept_apart_from_what_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
