#include "tool/member.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/defs.h"
#include "tests/unit/base/row.h"
#include "tool/tool.h"

#define KEY "ssh-ed25519 AAAA a,b"

static const char user[] =
    "{\"quota_size\":5,\"permissions\":{\"/\":[\"*\"],\"/pub\":[\"list\"]},\"public_keys\":[\"" KEY "\"],"
    "\"filters\":{\"allowed_ip\":[\"10.0.0.0/8\"]},"
    "\"virtual_folders\":[{\"name\":\"photos\",\"virtual_path\":\"/p\",\"quota_size\":-1}]}";

/* What is sent for an assignment to that user; NULL: it is refused. */
static const struct {
    const char *assignment, *sent;
    int status;
} rows[] = {
    { "quota_size=10G", "{\"quota_size\":10737418240}", 0 },
    { "quota_files=7", "{\"quota_files\":7}", 0 },
    { "status=off", "{\"status\":0}", 0 },
    { "description=a=b", "{\"description\":\"a=b\"}", 0 },
    { "description=", "{\"description\":\"\"}", 0 },
    { "filters.allowed_ip=1.2.3.4/32,::1/128", "{\"filters\":{\"allowed_ip\":[\"1.2.3.4/32\",\"::1/128\"]}}", 0 },
    { "filters.allowed_ip+=1.2.3.4/32", "{\"filters\":{\"allowed_ip\":[\"10.0.0.0/8\",\"1.2.3.4/32\"]}}", 0 },
    { "filters.allowed_ip+=10.0.0.0/8", "{\"filters\":{\"allowed_ip\":[\"10.0.0.0/8\"]}}", 0 },
    { "filters.allowed_ip-=10.0.0.0/8", "{\"filters\":{\"allowed_ip\":[]}}", 0 },
    { "filters.allow_api_key_auth=on", "{\"filters\":{\"allow_api_key_auth\":true}}", 0 },
    { "public_keys-=" KEY, "{\"public_keys\":[]}", 0 },
    { "public_keys+=k2", "{\"public_keys\":[\"" KEY "\",\"k2\"]}", 0 },
    { "permissions=list,upload", "{\"permissions\":{\"/\":[\"list\",\"upload\"],\"/pub\":[\"list\"]}}", 0 },
    { "permissions./pub+=upload", "{\"permissions\":{\"/\":[\"*\"],\"/pub\":[\"list\",\"upload\"]}}", 0 },
    { "permissions./pub=", "{\"permissions\":{\"/\":[\"*\"]}}", 0 },
    { "permissions./a.b=list", "{\"permissions\":{\"/\":[\"*\"],\"/pub\":[\"list\"],\"/a.b\":[\"list\"]}}", 0 },
    { "virtual_folders-=photos", "{\"virtual_folders\":[]}", 0 },
    { "virtual_folders=x:/x:1K",
      "{\"virtual_folders\":[{\"name\":\"x\",\"virtual_path\":\"/x\",\"quota_size\":1024,\"quota_files\":0}]}", 0 },
    { "virtual_folders+=x:/x",
      "{\"virtual_folders\":[{\"name\":\"photos\",\"virtual_path\":\"/p\",\"quota_size\":-1},"
      "{\"name\":\"x\",\"virtual_path\":\"/x\",\"quota_size\":-1,\"quota_files\":-1}]}",
      0 },
    { "anything:={\"a\":[1,null]}", "{\"anything\":{\"a\":[1,null]}}", 0 },
    { "virtual_folders-=none", NULL, TOOL_REFUSED },
    { "virtual_folders+=x", NULL, TOOL_USAGE },
    { "virtual_folders+=x:relative", NULL, TOOL_USAGE },
    { "virtual_folders+=x:/x:1:2:3", NULL, TOOL_USAGE },
    { "quota_size=many", NULL, TOOL_USAGE },
    { "quota_size=-1", NULL, TOOL_USAGE },
    { "quota_size+=1", NULL, TOOL_USAGE },
    { "quota_files=9223372036854775808", NULL, TOOL_USAGE },
    { "status=maybe", NULL, TOOL_USAGE },
    { "expiration_date=soon", NULL, TOOL_USAGE },
    { "nothing=1", NULL, TOOL_USAGE },
    { "mapped_path=/x", NULL, TOOL_USAGE },
    { "used_quota_size=0", NULL, TOOL_USAGE },
    { "=x", NULL, TOOL_USAGE },
    { "word", NULL, TOOL_USAGE },
    { "", NULL, TOOL_USAGE },
    { "anything:={", NULL, TOOL_USAGE },
};

static void an_assignment_sends_what_it_changes_and_no_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(json_put_p) struct json_object *now = json_tokener_parse(user);
        CLEANUP(json_put_p) struct json_object *body = json_object_new_object();
        int status = member_assign(rows[i].assignment, OF_USERS, now, body);
        row_equal(rows[i].assignment, status, rows[i].status);
        if (rows[i].sent == NULL)
            continue;
        CLEANUP(json_put_p) struct json_object *want = json_tokener_parse(rows[i].sent);
        if (!json_object_equal(body, want))
            row_same(rows[i].assignment, json_object_to_json_string(body), rows[i].sent);
        CLEANUP(json_put_p) struct json_object *before = json_tokener_parse(user);
        row_equal("what was is untouched", json_object_equal(now, before), 1);
    }
}

static void assignments_of_one_command_add_up(void **state)
{
    CLEANUP(json_put_p) struct json_object *now = json_tokener_parse(user);
    CLEANUP(json_put_p) struct json_object *body = json_object_new_object();

    (void)state;
    assert_int_equal(member_assign("filters.allowed_ip+=a", OF_USERS, now, body), 0);
    assert_int_equal(member_assign("filters.allowed_ip+=b", OF_USERS, now, body), 0);
    assert_int_equal(member_assign("permissions./a=list", OF_USERS, now, body), 0);
    assert_int_equal(member_assign("permissions./b=list", OF_USERS, now, body), 0);
    CLEANUP(json_put_p)
    struct json_object *want =
        json_tokener_parse("{\"filters\":{\"allowed_ip\":[\"10.0.0.0/8\",\"a\",\"b\"]},"
                           "\"permissions\":{\"/\":[\"*\"],\"/pub\":[\"list\"],\"/a\":[\"list\"],\"/b\":[\"list\"]}}");
    assert_true(json_object_equal(body, want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_assignment_sends_what_it_changes_and_no_more),
        cmocka_unit_test(assignments_of_one_command_add_up),
    };

    if (freopen("/dev/null", "w", stderr) == NULL) /* dozens of refusals */
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
