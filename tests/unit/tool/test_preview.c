#include "tool/preview.h"

#include "base/defs.h"
#include "tests/unit/base/row.h"

static const struct {
    const char *name, *now, *then, *differs;
} rows[] = {
    { "the same", "{\"email\":\"a\"}", "{\"email\":\"a\"}", "" },
    { "another value", "{\"email\":\"a\",\"uid\":1}", "{\"email\":\"b\",\"uid\":1}", "email" },
    { "several", "{\"email\":\"a\",\"uid\":1}", "{\"email\":\"b\",\"uid\":2}", "email, uid" },
    { "absent is empty", "{\"email\":\"\",\"uid\":0,\"public_keys\":[],\"filters\":{\"hooks\":{\"x\":false}}}", "{}",
      "" },
    { "null is empty", "{}", "{\"email\":null,\"virtual_folders\":null}", "" },
    { "what goes away", "{\"email\":\"a\"}", "{}", "email" },
    { "what comes", "{}", "{\"email\":\"a\"}", "email" },
    { "order of members", "{\"filters\":{\"a\":1,\"b\":2}}", "{\"filters\":{\"b\":2,\"a\":1}}", "" },
    { "order of a list", "{\"public_keys\":[\"a\",\"b\"]}", "{\"public_keys\":[\"b\",\"a\"]}", "public_keys" },
    { "deep inside", "{\"filters\":{\"a\":{\"b\":1}}}", "{\"filters\":{\"a\":{\"b\":2}}}", "filters" },
    { "what the server makes itself", "{\"id\":1,\"used_quota_size\":5,\"last_login\":7}", "{\"id\":2}", "" },
    { "also inside a list", "{\"virtual_folders\":[{\"name\":\"x\",\"id\":1}]}",
      "{\"virtual_folders\":[{\"name\":\"x\",\"id\":2}]}", "" },
    { "what Tally does not know", "{}", "{\"role\":\"x\",\"has_password\":true}", "" },
};

static void a_difference_is_what_a_restore_would_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(json_put_p) struct json_object *now = json_tokener_parse(rows[i].now);
        CLEANUP(json_put_p) struct json_object *then = json_tokener_parse(rows[i].then);
        struct strbuf to = STRBUF(1000);
        size_t n = preview_differs(now, then, &to);
        row_same(rows[i].name, to.s ? to.s : "", rows[i].differs);
        row_equal(rows[i].name, n > 0, rows[i].differs[0] != '\0');
        strbuf_done(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_difference_is_what_a_restore_would_change) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
