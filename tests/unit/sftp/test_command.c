/* SSH commands and SCP, without SSH: words, sums, and SCP peers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sys.h"
#include "sftp/stream.h"
#include "tests/unit/sftp/bed.h"

static void lines_are_split_without_any_expansion(void **state)
{
    static const struct {
        const char *line;
        int r;
        size_t n;
        const char *words[4];
    } rows[] = {
        { "scp -t /a", 0, 3, { "scp", "-t", "/a" } },
        { "  md5sum   'a b'  ", 0, 2, { "md5sum", "a b" } },
        { "md5sum \"a\\\"b\" c\\ d", 0, 3, { "md5sum", "a\"b", "c d" } },
        { "x '$HOME `id` *'", 0, 2, { "x", "$HOME `id` *" } },
        { "x a'b'\"c\"", 0, 2, { "x", "abc" } },
        { "x ''", 0, 2, { "x", "" } },
        { "", 0, 0, { NULL } },
        { "x 'open", -EINVAL, 0, { NULL } },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct words w = { 0 };
        if (words_split(rows[i].line, &w) != rows[i].r || w.n != rows[i].n)
            fail_msg("%s: %zu words", rows[i].line, w.n);
        for (size_t k = 0; k < w.n; k++)
            assert_string_equal(w.v[k], rows[i].words[k]);
        words_done(&w);
    }
}

/* Runs a command with all its input at once; its output as text, its exit status as result. */
static int run(struct bed *b, const char *line, const char *in, size_t in_len, char *out, size_t room)
{
    struct stream s = { 0 };
    size_t len = 0, n = 0;
    int r = stream_command(&b->account, line, &s);
    if (r < 0)
        return r;
    assert_int_equal(s.ops->feed(s.s, in, in_len), 0);
    s.ops->eof(s.s);
    do {
        r = s.ops->step(s.s);
        const void *p = s.ops->output(s.s, &n);
        assert_true(len + n < room);
        if (n > 0)
            memcpy(out + len, p, n);
        len += n;
        s.ops->sent(s.s, n);
    } while (r == STREAM_MORE);
    out[len] = '\0';
    assert_int_equal(r, STREAM_ENDED);
    r = s.ops->status(s.s);
    stream_free(&s);
    return r;
}

static void commands_do_what_they_say_and_others_are_refused(void **state)
{
    static const struct {
        const char *line, *in, *out;
        int r;
    } rows[] = {
        { "pwd", "", "/\n", 0 },
        { "cd /", "", "", 0 },
        { "md5sum /f", "", "9a0364b9e99bb480dd25e1f0284c8555  /f\n", 0 },
        { "sha1sum", "content", "040f06fd774092478d450774f5ba30c5da78acc8  -\n", 0 },
        { "sha256sum none", "", "sha256sum: none: no such file or directory\n", 1 },
        { "ls /", "", "", -EOPNOTSUPP },
        { "/bin/sh -c id", "", "", -EOPNOTSUPP },
        { "md5sum; id", "", "", -EOPNOTSUPP },
        { "rsync --server .", "", "", -EOPNOTSUPP },
    };
    struct bed *b = *state;
    char out[4096];
    bed_file(b, "f", "content");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        out[0] = '\0';
        int r = run(b, rows[i].line, rows[i].in, strlen(rows[i].in), out, sizeof(out));
        if (r != rows[i].r || strcmp(out, rows[i].out) != 0)
            fail_msg("%s: %d, %s", rows[i].line, r, out);
    }
}

static void a_sum_needs_the_right_to_download(void **state)
{
    struct bed *b = *state;
    char out[4096];
    bed_file(b, "f", "content");
    bed_allow(b, "/", MAY_ALL & ~(uint32_t)MAY_DOWNLOAD);
    assert_int_equal(run(b, "md5sum /f", "", 0, out, sizeof(out)), 1);
    assert_non_null(strstr(out, "permission denied"));
}

static void only_enabled_commands_run(void **state)
{
    char *names[] = { (char[]){ "pwd" }, (char[]){ "scp" } };
    struct strings some = { .v = names, .n = 2 }, none = { 0 };
    struct bed *b = *state;
    char out[4096];
    bed_file(b, "f", "content");
    b->account.ssh_commands = &some;
    assert_int_equal(run(b, "pwd", "", 0, out, sizeof(out)), 0);
    assert_int_equal(run(b, "scp -f /f", "\0\0\0", 3, out, sizeof(out)), 0);
    assert_int_equal(run(b, "md5sum /f", "", 0, out, sizeof(out)), -EOPNOTSUPP);
    b->account.ssh_commands = &none;
    assert_int_equal(run(b, "pwd", "", 0, out, sizeof(out)), -EOPNOTSUPP);
}

static void scp_sinks_refuse_names_that_lead_elsewhere(void **state)
{
    static const char *const inputs[] = { "C0644 3 ../f\nabc",
                                          "C0644 3 a/b\nabc",
                                          "C0644 3 ..\nabc",
                                          "C0644 3 .\nabc",
                                          "C0644 3 \nabc",
                                          "D0755 0 ..\n",
                                          "C0644 -3 f\nabc",
                                          "C9644 3 f\nabc",
                                          "C0644 99999999999999999999 f\nabc",
                                          "C0644\n",
                                          "E\n",
                                          "X\n",
                                          "T1 0\n" };
    struct bed *b = *state;
    char out[4096];
    for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
        if (run(b, "scp -r -t /", inputs[i], strlen(inputs[i]), out, sizeof(out)) != 1)
            fail_msg("%s", inputs[i]);
        assert_int_equal(bed_entries(b), 0);
    }
}

static void scp_sinks_keep_what_an_upload_mode_keeps(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        uint32_t mode;
        int r;
        const char *content;
    } rows[] = {
        { "C0644 3 f\nabc\0", 14, UPLOAD_STANDARD, 0, "abc" },  { "C0644 3 f\nabc\0", 14, UPLOAD_ATOMIC, 0, "abc" },
        { "C0644 3 f\nab", 12, UPLOAD_STANDARD, 1, "ab" },      { "C0644 3 f\nab", 12, UPLOAD_ATOMIC, 1, "old" },
        { "C0644 3 f\nab", 12, UPLOAD_ATOMIC_RESUME, 1, "ab" },
    };
    struct bed *b = *state;
    char out[4096];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        b->account.upload_mode = rows[i].mode;
        bed_file(b, "f", "old");
        assert_int_equal(run(b, "scp -t /f", rows[i].in, rows[i].len, out, sizeof(out)), rows[i].r);
        bed_content(b, "f", rows[i].content);
        assert_int_equal(bed_entries(b), 1);
    }
}

static int fstatfs_full(int fd, struct statfs *ret)
{
    (void)fd;
    *ret = (struct statfs){ .f_bsize = 4096, .f_bavail = 100 };
    return 0;
}

static void a_file_without_room_is_refused_before_it_is_sent_and_the_original_stays(void **state)
{
    static struct sys full;
    struct bed *b = *state;
    char out[4096];
    bed_file(b, "f", "old");
    full = sys_real;
    full.fstatfs = fstatfs_full;
    sys = &full;
    assert_int_equal(run(b, "scp -t /f", "C0644 1000000000 f\n", 19, out, sizeof(out)), 1);
    sys = &sys_real;
    assert_non_null(strstr(out + 1, "no room for a file of this size")); /* behind the first zero byte */
    bed_content(b, "f", "old");
}

static void scp_sources_send_what_is_there(void **state)
{
    struct bed *b = *state;
    char out[4096];
    bed_run(b, (const char *const[]){ "mkdir", "d", NULL });
    bed_file(b, "d/f", "content");
    assert_int_equal(run(b, "scp -f /d/f", "\0\0\0", 3, out, sizeof(out)), 0);
    assert_string_equal(out, "C0644 7 f\ncontent");
    assert_int_equal(run(b, "scp -f /d", "\0", 1, out, sizeof(out)), 1); /* without -r */
    assert_int_equal(run(b, "scp -r -f /d", "\0\0\0\0\0", 5, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "D0755 0 d\nC0644 7 f\ncontent"));
    assert_int_equal(run(b, "scp -f /none", "\0", 1, out, sizeof(out)), 1);
    assert_non_null(strstr(out, "no such file"));
    assert_int_equal(run(b, "scp -f '/*'", "\0", 1, out, sizeof(out)), 1);
    assert_non_null(strstr(out, "expands no patterns"));
    assert_int_equal(run(b, "scp -t -f /d", "", 0, out, sizeof(out)), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_split_without_any_expansion),
        cmocka_unit_test_setup_teardown(commands_do_what_they_say_and_others_are_refused, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(a_sum_needs_the_right_to_download, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(only_enabled_commands_run, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(scp_sinks_refuse_names_that_lead_elsewhere, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(scp_sinks_keep_what_an_upload_mode_keeps, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(a_file_without_room_is_refused_before_it_is_sent_and_the_original_stays,
                                        bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(scp_sources_send_what_is_there, bed_setup, bed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
