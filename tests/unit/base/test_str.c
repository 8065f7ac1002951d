#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/base/row.h"

static const struct {
    const char *name, *text;
    int64_t min, max, value;
    int r;
} int_rows[] = {
    { "zero", "0", INT64_MIN, INT64_MAX, 0, 0 },
    { "highest", "9223372036854775807", INT64_MIN, INT64_MAX, INT64_MAX, 0 },
    { "lowest", "-9223372036854775808", INT64_MIN, INT64_MAX, INT64_MIN, 0 },
    { "one above the highest", "9223372036854775808", INT64_MIN, INT64_MAX, 7, -ERANGE },
    { "one below the lowest", "-9223372036854775809", INT64_MIN, INT64_MAX, 7, -ERANGE },
    { "above max", "11", 0, 10, 7, -ERANGE },
    { "below min", "-1", 0, 10, 7, -ERANGE },
    { "empty", "", 0, 10, 7, -EINVAL },
    { "only a sign", "-", 0, 10, 7, -EINVAL },
    { "a plus", "+1", 0, 10, 7, -EINVAL },
    { "blank before", " 1", 0, 10, 7, -EINVAL },
    { "letters behind", "1x", 0, 10, 7, -EINVAL },
    { "hexadecimal", "0x1", 0, 10, 7, -EINVAL },
};

static void numbers_are_whole_strings_in_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(int_rows); i++) {
        int64_t n = 7;
        row_equal(int_rows[i].name, str_int(int_rows[i].text, int_rows[i].min, int_rows[i].max, &n), int_rows[i].r);
        row_equal(int_rows[i].name, n, int_rows[i].value); /* untouched on failure */
    }
}

static void a_buffer_never_passes_its_maximum_and_remembers_it(void **state)
{
    struct strbuf b = STRBUF(10);

    (void)state;
    strbuf_adds(&b, "12345");
    strbuf_addi(&b, -1234);
    assert_string_equal(b.s, "12345-1234");
    strbuf_addc(&b, 'x');
    assert_int_equal(strbuf_ok(&b), -E2BIG);
    strbuf_adds(&b, "");
    assert_int_equal(b.len, 10);
    strbuf_reset(&b);
    assert_int_equal(strbuf_ok(&b), 0);
    strbuf_addf(&b, "%s-%d", "ab", 7);
    strbuf_addu(&b, 0);
    assert_string_equal(b.s, "ab-70");
    strbuf_done(&b);
}

static void an_empty_buffer_gives_an_empty_string(void **state)
{
    struct strbuf b = STRBUF(10);
    char *s = NULL;

    (void)state;
    assert_int_equal(strbuf_take(&b, &s), 0);
    assert_string_equal(s, "");
    free(s);
}

static const struct {
    const char *name, *text;
    size_t len;
    bool is;
} utf8_rows[] = {
    { "ascii", "abc", 3, true },
    { "two bytes", "\xc3\xa4", 2, true },
    { "four bytes", "\xf0\x9f\x98\x80", 4, true },
    { "overlong slash", "\xc0\xaf", 2, false },
    { "overlong three", "\xe0\x80\xaf", 3, false },
    { "surrogate", "\xed\xa0\x80", 3, false },
    { "above U+10FFFF", "\xf4\x90\x80\x80", 4, false },
    { "cut", "\xe2\x82", 2, false },
    { "lone continuation", "\x80", 1, false },
    { "latin-1", "f\xfcr", 3, false },
};

static void only_valid_utf8_is_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(utf8_rows); i++)
        row_equal(utf8_rows[i].name, str_is_utf8(utf8_rows[i].text, utf8_rows[i].len), utf8_rows[i].is);
}

static void a_fixed_string_is_cut_and_ended(void **state)
{
    char to[4];

    (void)state;
    assert_true(str_set(to, sizeof to, "abc"));
    assert_false(str_set(to, sizeof to, "abcd"));
    assert_string_equal(to, "abc");
}

static void a_list_owns_copies(void **state)
{
    struct strings a = { 0 };
    struct strings b = { 0 };

    (void)state;
    assert_int_equal(strings_add(&a, "x"), 0);
    assert_int_equal(strings_add(&a, "y"), 0);
    assert_int_equal(strings_copy(&b, &a), 0);
    strings_done(&a);
    assert_true(strings_has(&b, "y"));
    assert_false(strings_has(&b, "z"));
    strings_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_whole_strings_in_range),
        cmocka_unit_test(a_buffer_never_passes_its_maximum_and_remembers_it),
        cmocka_unit_test(an_empty_buffer_gives_an_empty_string),
        cmocka_unit_test(only_valid_utf8_is_utf8),
        cmocka_unit_test(a_fixed_string_is_cut_and_ended),
        cmocka_unit_test(a_list_owns_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
