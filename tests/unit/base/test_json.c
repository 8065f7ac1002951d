#include "base/json.h"

#include <stdlib.h>

#include "tests/unit/base/row.h"

enum { TEXT_MAX = 1 << 20 };

static int in(const char *text, size_t len, unsigned flags, struct why *why)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;

    return json_in(text, len, flags, &j, why);
}

static const struct {
    const char *text;
    unsigned flags;
    int r;
    unsigned line;
    const char *says;
} in_rows[] = {
    { "{\"a\":1}", JSON_WHOLE, 0, 0, "" },
    { " [1, 2.5, -0, 1e5, \"x\", true, false, null] \n", JSON_WHOLE, 0, 0, "" },
    { "null", JSON_WHOLE, 0, 0, "" },
    { "12", JSON_WHOLE, 0, 0, "" },
    { "0.5E-3", JSON_WHOLE, 0, 0, "" },
    { "\"\xc3\xbc \\u00fc \\ud83d\\ude00 \\\\\\\"\"", JSON_WHOLE, 0, 0, "" },
    { "{} trailing", 0, 0, 0, "" },
    { "{}\xff", 0, 0, 0, "" },
    { "", 0, -EINVAL, 0, "EOF" },
    { " \n\t", 0, -EINVAL, 0, "EOF" },
    { "{} x", JSON_WHOLE, -EINVAL, 1, "column 4" },
    { "12 x", JSON_WHOLE, -EINVAL, 1, "column 4" },
    { "{}\n{}", JSON_WHOLE, -EINVAL, 2, "more text" },
    { "{", 0, -EINVAL, 1, "unexpected end" },
    { "nul", 0, -EINVAL, 1, "unexpected end" },
    { "{\"a\":1,\n \"b\" 2}", 0, -EINVAL, 2, "line 2, column 6" },
    { "{\"a\":1,}", 0, -EINVAL, 1, "column 8" },
    { "[1,]", 0, -EINVAL, 1, "column 4" },
    { "{a:1}", 0, -EINVAL, 1, "quoted" },
    { "'a'", 0, -EINVAL, 1, "unexpected character" },
    { "True", 0, -EINVAL, 1, "boolean" },
    { "01", 0, -EINVAL, 1, "" },
    { "-01", 0, -EINVAL, 1, "malformed number" },
    { "00", 0, -EINVAL, 1, "malformed number" },
    { "[1.]", 0, -EINVAL, 1, "malformed number" },
    { "1.", 0, -EINVAL, 1, "malformed number" },
    { "1e", 0, -EINVAL, 1, "" },
    { "-", 0, -EINVAL, 1, "" },
    { "NaN", 0, -EINVAL, 1, "unexpected character" },
    { "[-Infinity]", 0, -EINVAL, 1, "unexpected character" },
    { "\"a\tb\"", 0, -EINVAL, 1, "control character" },
    { "\"\t\"", 0, -EINVAL, 1, "control character" },
    { "\"\\\"\n\"", 0, -EINVAL, 1, "control character" },
    { "\"\\x\"", 0, -EINVAL, 1, "" },
    { "\"\\u12\"", 0, -EINVAL, 1, "" },
    { "[1,\n\"\xff\"]", 0, -EINVAL, 2, "UTF-8" },
    { "\"\xed\xa0\x80\"", 0, -EINVAL, 1, "UTF-8" },
    { "/* c */ 1", 0, -EINVAL, 1, "unexpected character" },
    { "// c\n{ /* \" */ \"a\": 1 // x\n}", JSON_COMMENTS | JSON_WHOLE, 0, 0, "" },
    { "\xef\xbb\xbf{}", JSON_COMMENTS | JSON_WHOLE, 0, 0, "" },
    { "{\"a//b\": \"/* no comment */ \\\" // \"}", JSON_COMMENTS | JSON_WHOLE, 0, 0, "" },
    { "/* line\nline */\n{ \"a\": }", JSON_COMMENTS, -EINVAL, 3, "column 8" },
    { "{} /* without an end", JSON_COMMENTS | JSON_WHOLE, -EINVAL, 1, "column 4" },
    { "// only a comment", JSON_COMMENTS, -EINVAL, 0, "EOF" },
    { "{\"a\":1,} // trailing comma", JSON_COMMENTS, -EINVAL, 1, "column 8" },
};

static void one_value_is_taken_and_faults_are_named_with_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(in_rows); i++) {
        struct why why = { 0 };
        row_equal(in_rows[i].text, in(in_rows[i].text, strlen(in_rows[i].text), in_rows[i].flags, &why), in_rows[i].r);
        row_equal(in_rows[i].text, why.line, in_rows[i].line);
        row_contains(in_rows[i].text, why.text, in_rows[i].says);
    }
}

static void the_length_ends_the_text_and_a_nul_byte_does_not_hide_the_rest(void **state)
{
    struct why why = { 0 };

    (void)state;
    assert_int_equal(in("12345", 2, JSON_WHOLE, NULL), 0);
    assert_int_equal(in("{}garbage", 2, JSON_WHOLE, NULL), 0);
    assert_int_equal(in("{}\0x", 4, JSON_WHOLE, &why), -EINVAL);
    assert_int_equal(in("[1\0,2]", 6, 0, &why), -EINVAL);
    assert_int_equal(in("\"a\0b\"", 5, 0, &why), -EINVAL);
}

static void a_tree_deeper_than_the_limit_is_refused(void **state)
{
    char text[2 * (JSON_DEPTH_MAX + 1)];

    (void)state;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_int_equal(in(text, (size_t)2 * JSON_DEPTH_MAX, JSON_WHOLE, NULL), 0);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    struct why why = { 0 };
    assert_int_equal(in(text, sizeof text, JSON_WHOLE, &why), -E2BIG);
    row_contains("depth", why.text, "too deep");
}

static void members_of_another_type_or_absent_ones_give_the_neutral_value(void **state)
{
    static const char text[] = "{\"s\":\"x\",\"n\":-7,\"b\":true,\"o\":{},\"z\":null,\"huge\":9223372036854775808,"
                               "\"huger\":99999999999999999999,\"low\":-99999999999999999999,\"d\":1.5}";
    CLEANUP(json_put_p) struct json_object *j = NULL;

    (void)state;
    assert_int_equal(json_in(text, strlen(text), JSON_WHOLE, &j, NULL), 0);
    assert_string_equal(json_text(j, "s"), "x");
    assert_null(json_text(j, "n"));
    assert_null(json_text(j, "S"));
    assert_int_equal(json_number(j, "n", 5), -7);
    static const char *const no_integers[] = { "s", "z", "none", "huge", "huger", "low", "d" };
    for (size_t i = 0; i < ARRAY_SIZE(no_integers); i++)
        row_equal(no_integers[i], json_number(j, no_integers[i], 5), 5);
    assert_true(json_truth(j, "b"));
    assert_false(json_truth(j, "n"));
    assert_non_null(json_member(j, "o"));
    assert_null(json_member(j, "z"));
    assert_null(json_member(json_member(j, "s"), "x"));
    assert_null(json_member(NULL, "x"));
}

static const struct {
    const char *text;
    const char *path;
    unsigned line;
} line_rows[] = {
    { "{\n\"a\": 1,\n\"b\": 2}", "b", 3 },
    { "{\n\"a\": {\n\"b\": 2}}", "a.b", 3 },
    { "{\n\"a\": {\n\"b\": 2}}", "a.c", 2 },
    { "{\n\"a\": [\n{\"p\": 1},\n{\"p\":\n2}]}", "a[1].p", 4 },
    { "{\n\"a\": [\n{\"p\": 1},\n{\"p\":\n2}]}", "a[2].p", 2 },
    { "{\n\"a\": [\n1,\n2]}", "a[1]", 4 },
    { "{\n\"a\": [[\n1],\n[2]]}", "a[1][0]", 4 },
    { "{\n\"ab\": 1}", "a", 0 },
    { "{\n\"a\": 1}", "ab", 0 },
    { "{\n\"x\": {\"a\": 1},\n\"a\": 1}", "a", 3 },
    { "{\n\"a\": 1,\n\"a\": 2}", "a", 3 },
    { "{\n\"v\": \"a\",\n// \"a\": 0\n/* \"a\":\n */ \"a\": 2}", "a", 5 },
    { "{\n\"q\\\"\": \"\\\\\",\n\"a\": 2}", "a", 3 },
    { "[]", "a", 0 },
    { "", "a", 0 },
    { "{\n\"a\": [],\n\"b\": {},\n\"c\": 3}", "c", 4 },
};

static void a_path_leads_to_the_line_of_its_member_or_the_nearest_above(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(line_rows); i++)
        row_equal(line_rows[i].text, json_line(line_rows[i].text, strlen(line_rows[i].text), line_rows[i].path),
                  line_rows[i].line);
}

static void text_that_is_no_json_never_leads_the_line_walk_astray(void **state)
{
    static const char alphabet[] = "{}[]\",:\\/*\n a1";

    (void)state;
    srandom(7);
    for (int round = 0; round < 20000; round++) {
        char text[64];
        size_t len = (size_t)random() % sizeof text;
        unsigned lines = 1;
        char *exact = malloc(len + 1); /* the sanitizer sees a step beyond */
        assert_non_null(exact);
        for (size_t i = 0; i < len; i++) {
            exact[i] = alphabet[(size_t)random() % (sizeof alphabet - 1)];
            lines += exact[i] == '\n';
        }
        assert_true(json_line(exact, len, "a[1].a") <= lines);
        IGNORE(in(exact, len, JSON_COMMENTS, NULL), "any answer will do");
        free(exact);
    }
}

static void open_brackets_without_end_stay_inside_the_walk(void **state)
{
    char text[4096];

    (void)state;
    memset(text, '[', sizeof text);
    assert_int_equal(json_line(text, sizeof text, "a"), 0);
    memset(text, '{', sizeof text);
    assert_int_equal(json_line(text, sizeof text, "a"), 0);
}

static const struct {
    const char *s;
    const char *json;
} str_rows[] = {
    { "", "\"\"" },
    { "plain ~\x7f", "\"plain ~\x7f\"" },
    { "<a href=\"x\">&", "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\"" },
    { "a\\b\n\r\t\b\f\x01\x1f", "\"a\\\\b\\n\\r\\t\\u0008\\u000c\\u0001\\u001f\"" },
    { "\xc3\xbc\xf0\x9f\x98\x80", "\"\xc3\xbc\xf0\x9f\x98\x80\"" },
    { "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9", "\"\xe2\x80\xa7\\u2028\\u2029\"" },
    { "\xff", "\"\xef\xbf\xbd\"" },
    { "a\xc3", "\"a\xef\xbf\xbd\"" },
    { "\xc3(", "\"\xef\xbf\xbd(\"" },
    { "\xe2\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "\xf5\x80\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    { NULL, "null" },
};

static void strings_are_escaped_as_the_contract_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(str_rows); i++) {
        struct strbuf b = STRBUF(TEXT_MAX);
        struct json_out out = { .to = &b };
        json_str(&out, str_rows[i].s);
        row_same(str_rows[i].json, b.s, str_rows[i].json);
        strbuf_done(&b);
    }
}

static void write_sample(struct json_out *out)
{
    json_begin(out, '{');
    json_name_str(out, "s", "x");
    json_name_int(out, "n", INT64_MIN);
    json_name_bool(out, "b", true);
    json_name(out, "empty");
    json_begin(out, '{');
    json_end(out, '}');
    json_name(out, "list");
    json_begin(out, '[');
    json_int(out, 1);
    json_null(out);
    json_begin(out, '[');
    json_end(out, ']');
    json_flag(out, false);
    json_end(out, ']');
    json_raw(out, "\"r\":1,\"t\":2", 11);
    json_raw(out, "", 0);
    json_name(out, "raw");
    json_raw(out, "[3]", 3);
    json_end(out, '}');
}

static void commas_and_lines_come_where_they_belong(void **state)
{
    struct strbuf b = STRBUF(TEXT_MAX);
    struct json_out out = { .to = &b };

    (void)state;
    write_sample(&out);
    assert_string_equal(b.s, "{\"s\":\"x\",\"n\":-9223372036854775808,\"b\":true,\"empty\":{},"
                             "\"list\":[1,null,[],false],\"r\":1,\"t\":2,\"raw\":[3]}");
    strbuf_reset(&b);
    out = (struct json_out){ .to = &b, .indent = 2 };
    write_sample(&out);
    assert_string_equal(b.s, "{\n  \"s\": \"x\",\n  \"n\": -9223372036854775808,\n  \"b\": true,\n  \"empty\": {},\n"
                             "  \"list\": [\n    1,\n    null,\n    [],\n    false\n  ],\n  \"r\":1,\"t\":2,\n"
                             "  \"raw\": [3]\n}");
    strbuf_done(&b);
}

/* A string of valid UTF-8, all lengths of sequences, with control characters and what must be escaped. */
static void random_string(char *to, size_t room)
{
    static const char *const pieces[] = { "\"",
                                          "\\",
                                          "<",
                                          ">",
                                          "&",
                                          "\n",
                                          "\x01",
                                          "/",
                                          "\x7f",
                                          "\xc2\x80",
                                          "\xdf\xbf",
                                          "\xe2\x80\xa8",
                                          "\xe2\x80\xa9",
                                          "\xef\xbf\xbf",
                                          "\xed\x9f\xbf",
                                          "\xf0\x90\x80\x80",
                                          "\xf4\x8f\xbf\xbf",
                                          "abc",
                                          " ",
                                          "\\u0041" };
    size_t len = (size_t)random() % (room - 8);

    for (size_t i = 0; i < len;) {
        const char *piece = pieces[(size_t)random() % ARRAY_SIZE(pieces)];
        size_t n = strlen(piece);
        memcpy(to, piece, n + 1);
        to += n;
        i += n;
    }
    *to = '\0';
}

static void what_is_written_reads_back_as_the_same_string(void **state)
{
    (void)state;
    srandom(20261124);
    for (int round = 0; round < 5000; round++) {
        CLEANUP(json_put_p) struct json_object *j = NULL;
        struct strbuf b = STRBUF(TEXT_MAX);
        struct json_out out = { .to = &b };
        char name[40];
        char value[200];

        random_string(name, sizeof name);
        random_string(value, sizeof value);
        json_begin(&out, '{');
        json_name_str(&out, name, value);
        json_end(&out, '}');
        assert_int_equal(strbuf_ok(&b), 0);
        assert_int_equal(json_in(b.s, b.len, JSON_WHOLE, &j, NULL), 0);
        row_same(b.s, json_text(j, name), value);
        strbuf_done(&b);
    }
}

static void bytes_of_any_kind_are_written_as_json(void **state)
{
    (void)state;
    srandom(4711);
    for (int round = 0; round < 5000; round++) {
        CLEANUP(json_put_p) struct json_object *j = NULL;
        struct strbuf b = STRBUF(TEXT_MAX);
        struct json_out out = { .to = &b };
        char bytes[32];
        size_t n = (size_t)random() % sizeof bytes;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(1 + random() % 255);
        bytes[n] = '\0';
        json_str(&out, bytes);
        assert_int_equal(json_in(b.s, b.len, JSON_WHOLE, &j, NULL), 0);
        if (str_is_utf8(bytes, n))
            row_same(b.s, json_object_get_string(j), bytes);
        strbuf_done(&b);
    }
}

static void a_full_buffer_is_told_at_the_end(void **state)
{
    struct strbuf b = STRBUF(10);
    struct json_out out = { .to = &b };

    (void)state;
    write_sample(&out);
    assert_int_equal(strbuf_ok(&b), -E2BIG);
    strbuf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_is_taken_and_faults_are_named_with_their_place),
        cmocka_unit_test(the_length_ends_the_text_and_a_nul_byte_does_not_hide_the_rest),
        cmocka_unit_test(a_tree_deeper_than_the_limit_is_refused),
        cmocka_unit_test(members_of_another_type_or_absent_ones_give_the_neutral_value),
        cmocka_unit_test(a_path_leads_to_the_line_of_its_member_or_the_nearest_above),
        cmocka_unit_test(text_that_is_no_json_never_leads_the_line_walk_astray),
        cmocka_unit_test(open_brackets_without_end_stay_inside_the_walk),
        cmocka_unit_test(strings_are_escaped_as_the_contract_says),
        cmocka_unit_test(commas_and_lines_come_where_they_belong),
        cmocka_unit_test(what_is_written_reads_back_as_the_same_string),
        cmocka_unit_test(bytes_of_any_kind_are_written_as_json),
        cmocka_unit_test(a_full_buffer_is_told_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
