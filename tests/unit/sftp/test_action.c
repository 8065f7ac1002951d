/* Messages about actions: what an honest session sends arrives, and nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sftp/action.h"

enum { MESSAGE_MAX = 64 * 1024 };

static int parse(const struct queue *q, struct action_event *ret)
{
    struct packet_in in = { .p = queue_bytes(q), .left = q->len };
    return action_parse(&in, ret);
}

static void what_is_put_is_parsed(void **state)
{
    (void)state;
    for (unsigned a = 0; a < ACTIONS; a++) {
        struct queue q = QUEUE(MESSAGE_MAX);
        struct action_event got;
        action_put(&q, &(struct action_event){ .action = (enum action)a,
                                               .waits = a % 2,
                                               .path = "/a/b",
                                               .target = "/c",
                                               .command = "md5sum /a",
                                               .protocol = "SCP",
                                               .size_bytes = UINT64_MAX,
                                               .status = ACTION_QUOTA,
                                               .open_flags = 512 });
        assert_int_equal(parse(&q, &got), 0);
        assert_int_equal(got.action, a);
        assert_int_equal(got.waits, a % 2);
        assert_string_equal(got.path, "/a/b");
        assert_string_equal(got.target, "/c");
        assert_string_equal(got.command, "md5sum /a");
        assert_string_equal(got.protocol, "SCP");
        assert_true(got.size_bytes == UINT64_MAX && got.status == ACTION_QUOTA && got.open_flags == 512);
        action_done(&got);
        queue_done(&q);
    }
}

static void no_dishonest_message_is_believed(void **state)
{
    static const struct {
        const char *name;
        unsigned action, protocol, status;
        const char *path, *target;
    } rows[] = {
        { "unknown action", ACTIONS, 0, 1, "/a", "" },
        { "unknown protocol", 0, 3, 1, "/a", "" },
        { "status 0", 0, 0, 0, "/a", "" },
        { "status 4", 0, 0, 4, "/a", "" },
        { "path that leads up", 0, 0, 1, "/../etc", "" },
        { "relative path", 0, 0, 1, "a", "" },
        { "path not clean", 0, 0, 1, "/a//b", "" },
        { "target that leads up", 3, 0, 1, "/a", "/b/../.." },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct queue q = QUEUE(MESSAGE_MAX);
        struct action_event got;
        packet_put_u8(&q, (uint8_t)rows[i].action);
        packet_put_u8(&q, 0);
        packet_put_u8(&q, (uint8_t)rows[i].protocol);
        packet_put_u8(&q, (uint8_t)rows[i].status);
        packet_put_u64(&q, 0);
        packet_put_u32(&q, 0);
        packet_put_text(&q, rows[i].path);
        packet_put_text(&q, rows[i].target);
        packet_put_text(&q, "");
        if (parse(&q, &got) != -EBADMSG)
            fail_msg("%s", rows[i].name);
        queue_cut(&q, q.len - 1);
        assert_int_equal(parse(&q, &got), -EBADMSG);
        queue_done(&q);
    }
}

static void a_hook_is_told_what_the_configuration_names(void **state)
{
    char *on[] = { (char[]){ "upload" }, (char[]){ "pre-delete" } }, *sync[] = { (char[]){ "upload" } };
    struct actions_config c = { .execute_on = { on, 2 }, .execute_sync = { sync, 1 } };
    (void)state;
    assert_int_equal(actions_wanted(&c), 0);
    c.hook = (char[]){ "/bin/true" };
    assert_int_equal(actions_wanted(&c), 1U << ACTION_UPLOAD | 1U << ACTION_PRE_DELETE);
    assert_true(action_waits(&c, ACTION_UPLOAD));
    assert_true(action_waits(&c, ACTION_PRE_DELETE));
    assert_false(action_waits(&c, ACTION_RENAME));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_parsed),
        cmocka_unit_test(no_dishonest_message_is_believed),
        cmocka_unit_test(a_hook_is_told_what_the_configuration_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
