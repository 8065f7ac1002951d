#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static char last[LOG_LINE_MAX + 1];
static size_t last_len;

static void keep(const char *line, size_t len)
{
    assert_in_range(len, 1, LOG_LINE_MAX);
    memcpy(last, line, len);
    last[len] = '\0';
    last_len = len;
}

static struct json_object *last_json(void)
{
    struct json_object *o = NULL;

    assert_int_equal(last[last_len - 1], '\n');
    assert_int_equal(json_in(last, last_len, JSON_WHOLE, &o, NULL), 0);
    return o;
}

static int use_sink(void **state)
{
    (void)state;
    log_open("test", LOG_INFO); /* stderr of a test is no terminal under ctest; by hand use 2>file */
    log_sink(keep);
    last[0] = '\0';
    return 0;
}

static void a_line_is_one_json_object_whatever_is_in_it(void **state)
{
    static const struct log_field fields[] = { { "file_path", "/a\"\\\n\x01", 0 }, { "size_bytes", NULL, -5 }, { 0 } };

    (void)state;
    log_fields(LOG_INFO, "Upload", fields, "x\"y");
    struct json_object *o = last_json();
    assert_string_equal(json_text(o, "sender"), "Upload");
    assert_string_equal(json_text(o, "file_path"), "/a\"\\\n\x01");
    assert_int_equal(json_number(o, "size_bytes", 0), -5);
    assert_string_equal(json_text(o, "message"), "x\"y");
    json_object_put(o);
}

static void a_long_line_is_cut_and_stays_json(void **state)
{
    static char text[3 * LOG_LINE_MAX];
    struct log_field fields[] = { { "a", text, 0 }, { 0 } };

    (void)state;
    for (size_t fill = LOG_LINE_MAX - 300; fill < LOG_LINE_MAX + 300; fill++) {
        memset(text, '"', fill / 2); /* each takes two bytes */
        text[fill / 2] = '\0';
        log_fields(LOG_INFO, "s", fields, NULL);
        assert_int_equal(last[last_len - 1], '\n');
    }
    log_info("%s", text);
    json_object_put(last_json());
}

static void a_failure_says_why_and_hands_the_error_on(void **state)
{
    (void)state;
    assert_int_equal(log_fail(-ENOENT, "cannot open %s", "f"), -ENOENT);
    struct json_object *o = last_json();
    assert_string_equal(json_text(o, "message"), "cannot open f: No such file or directory");
    json_object_put(o);
}

static void lower_levels_are_not_written(void **state)
{
    (void)state;
    log_debug("hidden");
    assert_string_equal(last, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_is_one_json_object_whatever_is_in_it, use_sink),
        cmocka_unit_test_setup(a_long_line_is_cut_and_stays_json, use_sink),
        cmocka_unit_test_setup(a_failure_says_why_and_hands_the_error_on, use_sink),
        cmocka_unit_test_setup(lower_levels_are_not_written, use_sink),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
