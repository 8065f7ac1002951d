#include "tallyd/switch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/log.h"

/* Two services at a switch; the test holds their ends. */
struct bed {
    struct switch_port ports[2];
    int ends[2];
    char mine[64];
};

static int bed_open(void **state)
{
    static struct bed b;

    memset(&b, 0, sizeof b);
    for (int i = 0; i < 2; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        b.ports[i] = (struct switch_port){ .name = i == 0 ? "api" : "vfs", .fd = pair[0] };
        b.ends[i] = pair[1];
    }
    *state = &b;
    return 0;
}

static int bed_close(void **state)
{
    struct bed *b = *state;

    for (int i = 0; i < 2; i++) {
        fd_close(&b->ports[i].fd);
        fd_close(&b->ends[i]);
    }
    return 0;
}

static void note(void *arg, size_t from, const char *name)
{
    struct bed *b = arg;

    (void)from;
    strncat(b->mine, name, sizeof b->mine - strlen(b->mine) - 1);
}

static int pass(struct bed *b, const char *text)
{
    assert_true(send(b->ends[0], text, strlen(text), 0) > 0);
    return switch_pass(b->ports, 2, 0, note, b);
}

static struct json_object *received(struct bed *b, int end)
{
    char buf[4096];
    struct json_object *o = NULL;
    ssize_t n = recv(b->ends[end], buf, sizeof buf, MSG_DONTWAIT);

    if (n > 0)
        assert_int_equal(json_in(buf, (size_t)n, JSON_WHOLE, &o, NULL), 0);
    return o;
}

static void a_message_arrives_with_its_sender(void **state)
{
    struct bed *b = *state;

    assert_int_equal(pass(b, "{\"to\":\"vfs\",\"name\":\"x\",\"from\":\"liar\"}"), 0);
    struct json_object *o = received(b, 1);
    assert_string_equal(json_text(o, "from"), "api");
    json_object_put(o);
    assert_null(received(b, 0));
}

static void a_question_to_nobody_is_answered(void **state)
{
    struct bed *b = *state;

    assert_int_equal(pass(b, "{\"to\":\"sftp\",\"name\":\"x\",\"id\":9}"), 0);
    struct json_object *o = received(b, 0);
    assert_int_equal(json_number(o, "r", 0), -ENOTCONN);
    assert_int_equal(json_number(o, "id", 0), 9);
    json_object_put(o);
}

static void what_is_for_the_supervisor_stays_there(void **state)
{
    struct bed *b = *state;

    assert_int_equal(pass(b, "{\"to\":\"supervisor\",\"name\":\"ready\"}"), 0);
    assert_string_equal(b->mine, "ready");
    assert_null(received(b, 1));
}

static void an_event_for_all_reaches_the_others_only(void **state)
{
    struct bed *b = *state;

    assert_int_equal(pass(b, "{\"to\":\"all\",\"name\":\"user_changed\"}"), 0);
    struct json_object *o = received(b, 1);
    assert_non_null(o);
    json_object_put(o);
    assert_null(received(b, 0));
}

static void bad_messages_are_dropped(void **state)
{
    static const char *const bad[] = { "not json", "{}", "[]", "{\"to\":7}", "null", "{\"to\":\"supervisor\"}" };
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(pass(b, bad[i]), 0);
    assert_null(received(b, 1));
    assert_string_equal(b->mine, "");
}

static void a_closed_end_is_told(void **state)
{
    struct bed *b = *state;

    fd_close(&b->ends[0]);
    assert_int_equal(switch_pass(b->ports, 2, 0, note, b), -EPIPE);
}

static void no_log(const char *line, size_t len)
{
    (void)line;
    (void)len;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_arrives_with_its_sender, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(a_question_to_nobody_is_answered, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(what_is_for_the_supervisor_stays_there, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(an_event_for_all_reaches_the_others_only, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(bad_messages_are_dropped, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(a_closed_end_is_told, bed_open, bed_close),
    };

    log_sink(no_log);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
