/* Lines for the person at the client: which errors have one, how often, and that a terminal is safe from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sftp/notice.h"

static void only_what_the_protocol_has_no_word_for_is_said(void **state)
{
    (void)state;
    assert_true(notice_wanted(-EDQUOT));
    assert_true(notice_wanted(-ENOSPC));
    assert_true(notice_wanted(-EFBIG));
    assert_false(notice_wanted(-EACCES));
    assert_false(notice_wanted(-ENOENT));
    assert_false(notice_wanted(0));
}

static void a_line_names_the_file_and_the_cause_and_has_no_control_characters(void **state)
{
    struct notices n = NOTICES;
    (void)state;

    notice_add(&n, "/a\033[2J\nb", -EDQUOT, NULL);
    size_t len = n.lines.len;
    char text[NOTICE_BYTES_MAX + 1] = "";
    memcpy(text, queue_bytes(&n.lines), len);
    assert_non_null(strstr(text, "tally: /a?[2J?b: quota exceeded"));
    assert_int_equal(text[len - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    notices_done(&n);
}

static void a_long_path_keeps_its_end(void **state)
{
    struct notices n = NOTICES;
    char path[4096];
    (void)state;

    memset(path, 'p', sizeof(path));
    path[0] = '/';
    memcpy(path + sizeof(path) - 6, "/last", 6);
    notice_add(&n, path, -ENOSPC, "no room");
    assert_in_range(n.lines.len, 100, NOTICE_BYTES_MAX);
    char text[NOTICE_BYTES_MAX + 1] = "";
    memcpy(text, queue_bytes(&n.lines), n.lines.len);
    assert_non_null(strstr(text, "/last: no room\n"));
    notices_done(&n);
}

static void lines_are_bounded_in_number_and_in_bytes(void **state)
{
    struct notices n = NOTICES;
    size_t sent = 0;
    (void)state;

    for (unsigned i = 0; i < 10 * NOTICES_MAX; i++) {
        notice_add(&n, "/f", -EDQUOT, NULL);
        assert_in_range(n.lines.len, 0, NOTICES_BYTES_MAX);
        assert_int_equal(n.lines.failed, 0);
        if (i % 3 == 0) {
            sent += n.lines.len;
            queue_pass(&n.lines, n.lines.len);
        }
    }
    assert_int_equal(n.n, NOTICES_MAX);
    assert_in_range(sent, NOTICES_MAX * 10, NOTICES_MAX * NOTICE_BYTES_MAX);
    notices_done(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_protocol_has_no_word_for_is_said),
        cmocka_unit_test(a_line_names_the_file_and_the_cause_and_has_no_control_characters),
        cmocka_unit_test(a_long_path_keeps_its_end),
        cmocka_unit_test(lines_are_bounded_in_number_and_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
