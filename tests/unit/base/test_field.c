#include "base/field.h"

#include <stdlib.h>

#include "tests/unit/base/row.h"

enum { TEXT_MAX = 1 << 20 };

/* ---- a struct with one member of each type ---- */

struct leaf {
    char *name;
    int32_t weight;
};

struct inner {
    bool on;
    struct strings words;
    struct objects leaves;
};

struct pair { /* of the custom codec: "a=b" */
    char *text;
};

struct all {
    int64_t id;
    char *key;
    bool flag;
    int32_t i32;
    int64_t i64;
    uint32_t u32;
    uint64_t u64;
    int64_t small;
    char *text;
    char *path;
    struct strings list;
    struct inner inner;
    struct objects leaves;
    struct pair pair;
    char *secret;
    char *hidden;
};

static int pair_parse(struct json_object *in, void *member, const char *name, struct why *why)
{
    struct pair *p = member;

    if (in == NULL)
        return 0;
    if (!json_object_is_type(in, json_type_string) || strchr(json_object_get_string(in), '=') == NULL)
        return why_set(why, -EINVAL, name, "must be a pair");
    return str_copy(&p->text, json_object_get_string(in));
}

static void pair_write(const void *member, struct json_out *out)
{
    json_str(out, ((const struct pair *)member)->text);
}

static int pair_copy(void *to, const void *from)
{
    return str_copy(&((struct pair *)to)->text, ((const struct pair *)from)->text);
}

static void pair_done(void *member)
{
    mem_free(&((struct pair *)member)->text);
}

static bool pair_is_empty(const void *member)
{
    return ((const struct pair *)member)->text == NULL;
}

static const struct field_codec pair_codec = { pair_parse, pair_write, pair_copy, pair_done, pair_is_empty };

static bool is_absolute(const char *s)
{
    return s[0] == '/';
}

static const struct field leaf_fields[] = {
    F_STRING(struct leaf, name, .flags = FIELD_KEY | FIELD_REQUIRED, .max = 8),
    F_I32(struct leaf, weight, .fallback = "3"),
};

static int leaf_check(const void *obj, struct why *why)
{
    const struct leaf *l = obj;

    return l->weight == 13 ? why_set(why, -EINVAL, "weight", "is unlucky") : 0;
}
static const struct schema leaf_schema = SCHEMA("leaf", struct leaf, leaf_fields, .check = leaf_check);

static const struct field inner_fields[] = {
    F_BOOL(struct inner, on, .flags = FIELD_OMIT_EMPTY),
    F_STRINGS(struct inner, words, .flags = FIELD_OMIT_EMPTY, .valid = is_absolute, .valid_text = "must be absolute"),
    F_OBJECTS(struct inner, leaves, .sub = &leaf_schema, .flags = FIELD_OMIT_EMPTY, .max = 3),
};
static const struct schema inner_schema = SCHEMA("inner", struct inner, inner_fields);

static const struct field all_fields[] = {
    F_I64(struct all, id, .flags = FIELD_READ_ONLY),
    F_STRING(struct all, key, .flags = FIELD_KEY | FIELD_REQUIRED),
    F_BOOL(struct all, flag, .fallback = "true"),
    F_I32(struct all, i32),
    F_I64(struct all, i64, .wire = "wide"),
    F_U32(struct all, u32),
    F_U64(struct all, u64),
    F_I64(struct all, small, .min = -1, .max = 10, .fallback = "-1"),
    F_STRING(struct all, text, .max = 5, .fallback = "abc"),
    F_STRING(struct all, path, .valid = is_absolute, .valid_text = "must be an absolute path"),
    F_STRINGS(struct all, list, .max = 3, .fallback = "x,y"),
    F_OBJECT(struct all, inner, &inner_schema),
    F_OBJECTS(struct all, leaves, .sub = &leaf_schema, .fallback = "[{\"name\":\"oak\"}]"),
    F_CUSTOM(struct all, pair, &pair_codec, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct all, secret, .flags = FIELD_WRITE_ONLY | FIELD_OMIT_EMPTY),
    F_STRING(struct all, hidden, .flags = FIELD_HIDDEN),
};
static const struct schema all_schema = SCHEMA("all", struct all, all_fields);

#define FRESH                                                                                                          \
    "{\"id\":0,\"key\":\"\",\"flag\":true,\"i32\":0,\"wide\":0,\"u32\":0,\"u64\":0,\"small\":-1,\"text\":\"abc\","     \
    "\"path\":\"\",\"list\":[\"x\",\"y\"],\"inner\":{},\"leaves\":[{\"name\":\"oak\",\"weight\":3}]}"

/* ---- the bed ---- */

struct bed {
    struct all a;
    struct strbuf text;
    struct why why;
};

static int setup(void **state)
{
    static struct bed bed;

    bed = (struct bed){ .text = STRBUF(TEXT_MAX) };
    *state = &bed;
    return schema_init(&all_schema, &bed.a);
}

static int teardown(void **state)
{
    struct bed *b = *state;

    schema_done(&all_schema, &b->a);
    strbuf_done(&b->text);
    return 0;
}

static const char *shown(struct bed *b, enum schema_show show)
{
    struct json_out out = { .to = &b->text };

    strbuf_reset(&b->text);
    schema_write(&all_schema, &b->a, show, &out);
    assert_int_equal(strbuf_ok(&b->text), 0);
    return b->text.s;
}

static int parse(struct bed *b, const char *json, enum schema_use use)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;

    b->why = (struct why){ 0 };
    assert_int_equal(json_in(json, strlen(json), JSON_WHOLE, &j, &b->why), 0);
    return schema_parse(&all_schema, j, use, &b->a, &b->why);
}

static void renew(struct bed *b)
{
    schema_done(&all_schema, &b->a);
    assert_int_equal(schema_init(&all_schema, &b->a), 0);
}

/* ---- tests ---- */

static void a_new_object_has_its_fallbacks(void **state)
{
    assert_string_equal(shown(*state, SHOW_API), FRESH);
}

static const struct {
    const char *json;
    const char *field;
    const char *says;
} bad_rows[] = {
    { "[]", "", "must be an object" },
    { "null", "", "must be an object" },
    { "{\"flag\":1}", "flag", "must be true or false" },
    { "{\"i32\":\"1\"}", "i32", "must be an integer" },
    { "{\"i32\":1.5}", "i32", "must be an integer" },
    { "{\"i32\":true}", "i32", "must be an integer" },
    { "{\"i32\":{}}", "i32", "must be an integer" },
    { "{\"i32\":2147483648}", "i32", "must be at most 2147483647" },
    { "{\"i32\":-2147483649}", "i32", "must be at least -2147483648" },
    { "{\"u32\":-1}", "u32", "must be at least 0" },
    { "{\"u32\":4294967296}", "u32", "must be at most 4294967295" },
    { "{\"u64\":-1}", "u64", "must be at least 0" },
    { "{\"u64\":9223372036854775808}", "u64", "must be at most 9223372036854775807" },
    { "{\"u64\":18446744073709551616}", "u64", "must be at most 9223372036854775807" },
    { "{\"wide\":9223372036854775808}", "wide", "must be at most 9223372036854775807" },
    { "{\"wide\":99999999999999999999999}", "wide", "must be at most" },
    { "{\"wide\":-9223372036854775809}", "wide", "must be at least" },
    { "{\"wide\":-99999999999999999999999}", "wide", "must be at least" },
    { "{\"wide\":1e300}", "wide", "must be an integer" },
    { "{\"wide\":1e999}", "wide", "must be an integer" },
    { "{\"small\":11}", "small", "must be at most 10" },
    { "{\"small\":-2}", "small", "must be at least -1" },
    { "{\"text\":1}", "text", "must be a string" },
    { "{\"text\":\"abcdef\"}", "text", "must not be longer than 5 bytes" },
    { "{\"text\":\"a\\u0000b\"}", "text", "NUL" },
    { "{\"path\":\"rel\"}", "path", "must be an absolute path" },
    { "{\"list\":\"x\"}", "list", "must be a list" },
    { "{\"list\":[\"x\",2]}", "list[1]", "must be a string" },
    { "{\"list\":[null]}", "list[0]", "must be a string" },
    { "{\"list\":[\"1\",\"2\",\"3\",\"4\"]}", "list", "must not have more than 3 entries" },
    { "{\"inner\":[]}", "inner", "must be an object" },
    { "{\"inner\":{\"on\":\"yes\"}}", "inner.on", "must be true or false" },
    { "{\"INNER\":{\"Words\":[\"/a\",\"b\"]}}", "inner.words[1]", "must be absolute" },
    { "{\"inner\":{\"leaves\":[{},{\"name\":7}]}}", "inner.leaves[1].name", "must be a string" },
    { "{\"inner\":{\"leaves\":[{},{},{},{}]}}", "inner.leaves", "must not have more than 3 entries" },
    { "{\"leaves\":[{\"name\":\"too long a name\"}]}", "leaves[0].name", "must not be longer than 8 bytes" },
    { "{\"leaves\":[null]}", "leaves[0]", "must be an object" },
    { "{\"pair\":\"x\"}", "pair", "must be a pair" },
};

static void a_bad_value_is_refused_by_its_path_in_every_use(void **state)
{
    static const enum schema_use uses[] = { USE_CREATE, USE_MERGE, USE_LOAD };
    struct bed *b = *state;

    for (size_t u = 0; u < ARRAY_SIZE(uses); u++) {
        for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
            renew(b);
            row_equal(bad_rows[i].json, parse(b, bad_rows[i].json, uses[u]), -EINVAL);
            row_same(bad_rows[i].json, b->why.field, bad_rows[i].field);
            row_contains(bad_rows[i].json, b->why.text, bad_rows[i].says);
        }
    }
}

static const struct {
    const char *json;
    enum schema_use use;
    const char *part; /* of the object afterwards, all members shown */
} good_rows[] = {
    { "{\"i32\":-2147483648,\"u32\":4294967295}", USE_CREATE, "\"i32\":-2147483648,\"wide\":0,\"u32\":4294967295" },
    { "{\"u64\":9223372036854775807}", USE_CREATE, "\"u64\":9223372036854775807" },
    { "{\"wide\":-9223372036854775807}", USE_CREATE, "\"wide\":-9223372036854775807" },
    { "{\"wide\":1e3}", USE_CREATE, "\"wide\":1000" },
    { "{\"wide\":-2.0}", USE_CREATE, "\"wide\":-2" },
    { "{\"i64\":5}", USE_CREATE, "\"wide\":0" }, /* the name in C is no name on the wire */
    { "{\"TEXT\":\"q\",\"Flag\":false}", USE_CREATE, "\"flag\":false" },
    { "{\"text\":\"1\",\"TEXT\":\"2\"}", USE_CREATE, "\"text\":\"2\"" },
    { "{\"text\":\"\"}", USE_CREATE, "\"text\":\"\"" },
    { "{\"path\":\"\"}", USE_CREATE, "\"path\":\"\"" }, /* .valid sees no empty string */
    { "{\"unknown\":{\"a\":[1]}}", USE_CREATE, "\"text\":\"abc\"" },
    { "{\"text\":null,\"flag\":null,\"small\":null}", USE_CREATE, "\"small\":-1,\"text\":\"abc\"" },
    { "{\"list\":null}", USE_CREATE, "\"list\":[]" },
    { "{\"list\":[]}", USE_CREATE, "\"list\":[]" },
    { "{\"inner\":null}", USE_CREATE, "\"inner\":{}" },
    { "{\"leaves\":null}", USE_CREATE, "\"leaves\":[]" },
    { "{\"leaves\":[{\"name\":\"a\"},{\"weight\":9}]}", USE_CREATE,
      "\"leaves\":[{\"name\":\"a\",\"weight\":3},{\"name\":\"\",\"weight\":9}]" },
    { "{\"pair\":\"a=b\"}", USE_CREATE, "\"pair\":\"a=b\"" },
    { "{\"id\":\"not even looked at\",\"hidden\":7}", USE_CREATE, "\"id\":0" },
    { "{\"id\":7}", USE_MERGE, "\"id\":0" },
    { "{\"id\":7}", USE_LOAD, "\"id\":7" },
    { "{\"hidden\":\"h\"}", USE_CREATE, "\"hidden\":\"\"" },
    { "{\"hidden\":\"h\"}", USE_LOAD, "\"hidden\":\"h\"" },
    { "{\"key\":\"k\"}", USE_CREATE, "\"key\":\"k\"" },
    { "{\"key\":\"k\"}", USE_MERGE, "\"key\":\"\"" },
    { "{\"secret\":\"s\"}", USE_CREATE, "\"secret\":\"s\"" },
    { "{\"leaves\":[{\"name\":\"k\"}]}", USE_MERGE, "\"leaves\":[{\"name\":\"k\"" }, /* a new object's key counts */
};

static void a_good_value_is_taken_as_its_use_says(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(good_rows); i++) {
        renew(b);
        row_equal(good_rows[i].json, parse(b, good_rows[i].json, good_rows[i].use), 0);
        row_contains(good_rows[i].json, shown(b, SHOW_ALL), good_rows[i].part);
    }
}

static void a_merge_keeps_what_the_body_does_not_name(void **state)
{
    struct bed *b = *state;

    assert_int_equal(parse(b,
                           "{\"key\":\"k\",\"text\":\"old\",\"list\":[\"1\"],\"secret\":\"s\",\"pair\":\"a=b\","
                           "\"inner\":{\"on\":true,\"words\":[\"/w\"]},\"leaves\":[{\"name\":\"a\"}]}",
                           USE_CREATE),
                     0);
    assert_int_equal(
        parse(b, "{\"text\":null,\"pair\":null,\"u32\":4,\"inner\":{\"words\":[\"/v\",\"/u\"]}}", USE_MERGE), 0);
    assert_string_equal(
        shown(b, SHOW_ALL),
        "{\"id\":0,\"key\":\"k\",\"flag\":true,\"i32\":0,\"wide\":0,\"u32\":4,\"u64\":0,\"small\":-1,"
        "\"text\":\"old\",\"path\":\"\",\"list\":[\"1\"],"
        "\"inner\":{\"on\":true,\"words\":[\"/v\",\"/u\"]},"
        "\"leaves\":[{\"name\":\"a\",\"weight\":3}],\"pair\":\"a=b\",\"secret\":\"s\",\"hidden\":\"\"}");
}

static void a_list_that_breaks_in_the_middle_leaves_the_old_one(void **state)
{
    struct bed *b = *state;

    assert_int_equal(parse(b, "{\"list\":[\"new\",1]}", USE_MERGE), -EINVAL);
    assert_int_equal(parse(b, "{\"leaves\":[{\"name\":\"new\"},1]}", USE_MERGE), -EINVAL);
    assert_string_equal(shown(b, SHOW_API), FRESH);
}

static void replies_never_show_secret_or_hidden_members(void **state)
{
    struct bed *b = *state;

    assert_int_equal(parse(b, "{\"secret\":\"s3\",\"hidden\":\"h1\"}", USE_LOAD), 0);
    assert_null(strstr(shown(b, SHOW_API), "s3"));
    assert_null(strstr(shown(b, SHOW_API), "hidden"));
    assert_non_null(strstr(shown(b, SHOW_ALL), "\"secret\":\"s3\",\"hidden\":\"h1\""));
}

static void what_is_shown_loads_back_to_the_same(void **state)
{
    struct bed *b = *state;

    assert_int_equal(parse(b,
                           "{\"id\":9,\"key\":\"k\",\"u64\":7,\"secret\":\"s\",\"hidden\":\"h\",\"pair\":\"a=b\","
                           "\"inner\":{\"on\":true,\"leaves\":[{\"name\":\"<&>\"}]},\"list\":[]}",
                           USE_LOAD),
                     0);
    char *first = strdup(shown(b, SHOW_ALL));
    renew(b);
    int r = parse(b, first, USE_LOAD);
    bool same = strcmp(first, shown(b, SHOW_ALL)) == 0;
    free(first);
    assert_int_equal(r, 0);
    assert_true(same);
}

static void a_copy_is_equal_and_shares_nothing(void **state)
{
    struct bed *b = *state;
    struct all copy;

    assert_int_equal(
        parse(b, "{\"key\":\"k\",\"pair\":\"a=b\",\"inner\":{\"words\":[\"/w\"],\"leaves\":[{}]}}", USE_LOAD), 0);
    char *before = strdup(shown(b, SHOW_ALL));
    assert_int_equal(schema_copy(&all_schema, &copy, &b->a), 0);
    schema_done(&all_schema, &b->a); /* a shared pointer would be freed twice: the sanitizer sees it */
    b->a = copy;
    bool same = strcmp(before, shown(b, SHOW_ALL)) == 0;
    free(before);
    assert_true(same);
}

static const struct {
    const char *json;
    int r;
    const char *field;
    const char *says;
} check_rows[] = {
    { "{\"key\":\"k\"}", 0, "", "" },
    { "{}", -EINVAL, "key", "is required" },
    { "{\"key\":\"\"}", -EINVAL, "key", "is required" },
    { "{\"key\":\"k\",\"leaves\":[{\"name\":\"a\"},{}]}", -EINVAL, "leaves[1].name", "is required" },
    { "{\"key\":\"k\",\"inner\":{\"leaves\":[{\"name\":\"a\",\"weight\":13}]}}", -EINVAL, "inner.leaves[0].weight",
      "is unlucky" },
};

static void a_check_names_the_whole_way_to_what_is_wrong(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(check_rows); i++) {
        renew(b);
        row_equal(check_rows[i].json, parse(b, check_rows[i].json, USE_CREATE), 0);
        row_equal(check_rows[i].json, schema_check(&all_schema, &b->a, &b->why), check_rows[i].r);
        row_same(check_rows[i].json, b->why.field, check_rows[i].field);
        row_same(check_rows[i].json, b->why.text, check_rows[i].says);
    }
}

static const struct {
    const char *path, *text;
    int r;
    const char *says; /* in the object on success, in the reason on failure */
} set_rows[] = {
    { "flag", "false", 0, "\"flag\":false" },
    { "flag", "0", 0, "\"flag\":false" },
    { "flag", "TRUE", 0, "\"flag\":true" },
    { "flag", "yes", -EINVAL, "must be true or false" },
    { "i32", "-5", 0, "\"i32\":-5" },
    { "i32", "5x", -EINVAL, "must be an integer" },
    { "i32", "", -EINVAL, "must be an integer" },
    { "u32", "99999999999999999999", -EINVAL, "must be at most" },
    { "u32", "-99999999999999999999", -EINVAL, "must be at least" },
    { "wide", "-9223372036854775807", 0, "\"wide\":-9223372036854775807" },
    { "text", "q\"", 0, "\"text\":\"q\\\"\"" },
    { "text", "abcdef", -EINVAL, "must not be longer" },
    { "text", "\xff", -EINVAL, "must be UTF-8" },
    { "path", "rel", -EINVAL, "must be an absolute path" },
    { "list", "a, b ,c", 0, "\"list\":[\"a\",\"b\",\"c\"]" },
    { "list", "", 0, "\"list\":[]" },
    { "list", "a,,b,", 0, "\"list\":[\"a\",\"b\"]" },
    { "list", "a,b,c,d", -EINVAL, "must not have more than 3 entries" },
    { "list[1]", "z", 0, "\"list\":[\"x\",\"z\"]" },
    { "list[0]", "z", 0, "\"list\":[\"z\",\"y\"]" },
    { "list[2]", "z", 0, "\"list\":[\"x\",\"y\",\"z\"]" },
    { "list[3]", "z", -EINVAL, "leaves a gap" },
    { "inner.on", "1", 0, "\"inner\":{\"on\":true}" },
    { "inner.words", "/a,b", -EINVAL, "must be absolute" },
    { "inner.leaves[0].name", "elm", 0, "\"inner\":{\"leaves\":[{\"name\":\"elm\",\"weight\":3}]}" },
    { "inner", "{\"on\":true}", 0, "\"inner\":{\"on\":true}" },
    { "inner", "{\"of\":true}", -EINVAL, "unknown key; did you mean \"on\"?" },
    { "inner", "{", -EINVAL, "invalid JSON" },
    { "leaves[0].weight", "4", 0, "\"leaves\":[{\"name\":\"oak\",\"weight\":4}]" },
    { "leaves[1].name", "elm", 0, "{\"name\":\"elm\",\"weight\":3}]" },
    { "leaves[2].name", "elm", -EINVAL, "leaves a gap: the list has 1 entries" },
    { "leaves[1000000].name", "elm", -ENOENT, "unknown key" },
    { "leaves", "[]", 0, "\"leaves\":[]" },
    { "pair", "\"a=b\"", 0, "\"pair\":\"a=b\"" },
    { "none", "1", -ENOENT, "unknown key" },
    { "i64", "1", -ENOENT, "unknown key; did you mean \"u64\"?" },
    { "Flag", "1", -ENOENT, "did you mean \"flag\"?" },
    { "", "1", -ENOENT, "unknown key" },
    { ".flag", "1", -ENOENT, "unknown key" },
    { "flag.x", "1", -ENOENT, "unknown key" },
    { "flag[0]", "1", -ENOENT, "unknown key" },
    { "inner.", "1", -ENOENT, "unknown key" },
    { "inner[0]", "1", -ENOENT, "unknown key" },
    { "list.x", "1", -ENOENT, "unknown key" },
    { "list[", "1", -ENOENT, "unknown key" },
    { "list[]", "1", -ENOENT, "unknown key" },
    { "list[x]", "1", -ENOENT, "unknown key" },
    { "list[-1]", "1", -ENOENT, "unknown key" },
    { "list[0].x", "1", -ENOENT, "unknown key" },
    { "list[0]x", "1", -ENOENT, "unknown key" },
    { "leaves[0]", "{}", -ENOENT, "unknown key" },
    { "leaves[0]name", "1", -ENOENT, "unknown key" },
    { "leaves[0].none", "1", -ENOENT, "unknown key" },
};

static void text_reaches_a_member_by_its_path_or_says_why_not(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(set_rows); i++) {
        renew(b);
        b->why = (struct why){ 0 };
        row_equal(set_rows[i].path, schema_set(&all_schema, &b->a, set_rows[i].path, set_rows[i].text, &b->why),
                  set_rows[i].r);
        row_contains(set_rows[i].path, set_rows[i].r == 0 ? shown(b, SHOW_API) : b->why.text, set_rows[i].says);
        if (set_rows[i].r == -ENOENT)
            row_same(set_rows[i].path, shown(b, SHOW_API), FRESH);
    }
}

static const struct {
    const char *json;
    const char *field;
    const char *says;
} strict_rows[] = {
    { "{\"none\":1}", "none", "unknown key" },
    { "{\"Flag\":true}", "Flag", "unknown key; did you mean \"flag\"?" },
    { "{\"txet\":\"\"}", "txet", "unknown key; did you mean \"text\"?" },
    { "{\"inner\":{\"wrds\":[]}}", "inner.wrds", "unknown key; did you mean \"words\"?" },
    { "{\"leaves\":[{},{\"wheight\":1}]}", "leaves[1].wheight", "unknown key; did you mean \"weight\"?" },
    { "{\"flag\":null}", "flag", "must be true or false" },
    { "{\"text\":null}", "text", "must be a string" },
    { "{\"list\":null}", "list", "must be a list" },
    { "{\"inner\":null}", "inner", "must be an object" },
};

static void a_configuration_takes_no_unknown_name_and_no_null(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(strict_rows); i++) {
        renew(b);
        row_equal(strict_rows[i].json, parse(b, strict_rows[i].json, USE_CONFIG), -EINVAL);
        row_same(strict_rows[i].json, b->why.field, strict_rows[i].field);
        row_same(strict_rows[i].json, b->why.text, strict_rows[i].says);
    }
}

static void a_very_long_unknown_name_is_cut_and_has_no_suggestion(void **state)
{
    struct bed *b = *state;
    char json[600];

    snprintf(json, sizeof json, "{\"%0500d\":1}", 7);
    assert_int_equal(parse(b, json, USE_CONFIG), -EINVAL);
    assert_int_equal(strlen(b->why.field), sizeof b->why.field - 1);
    assert_string_equal(b->why.text, "unknown key");
}

static void nobody_needs_to_ask_why(void **state)
{
    struct bed *b = *state;
    CLEANUP(json_put_p) struct json_object *j = NULL;

    assert_int_equal(json_in("{\"flag\":1}", 10, JSON_WHOLE, &j, NULL), 0);
    assert_int_equal(schema_parse(&all_schema, j, USE_CREATE, &b->a, NULL), -EINVAL);
    assert_int_equal(schema_check(&all_schema, &b->a, NULL), -EINVAL);
    assert_int_equal(schema_set(&all_schema, &b->a, "none", "", NULL), -ENOENT);
}

int main(void)
{
#define WITH_BED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_BED(a_new_object_has_its_fallbacks),
        WITH_BED(a_bad_value_is_refused_by_its_path_in_every_use),
        WITH_BED(a_good_value_is_taken_as_its_use_says),
        WITH_BED(a_merge_keeps_what_the_body_does_not_name),
        WITH_BED(a_list_that_breaks_in_the_middle_leaves_the_old_one),
        WITH_BED(replies_never_show_secret_or_hidden_members),
        WITH_BED(what_is_shown_loads_back_to_the_same),
        WITH_BED(a_copy_is_equal_and_shares_nothing),
        WITH_BED(a_check_names_the_whole_way_to_what_is_wrong),
        WITH_BED(text_reaches_a_member_by_its_path_or_says_why_not),
        WITH_BED(a_configuration_takes_no_unknown_name_and_no_null),
        WITH_BED(a_very_long_unknown_name_is_cut_and_has_no_suggestion),
        WITH_BED(nobody_needs_to_ask_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
