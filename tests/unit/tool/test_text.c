#include "tool/text.h"

#include <locale.h>
#include <stdlib.h>

#include "tests/unit/base/row.h"

static const struct paper unicode = { .width = 80, .is_utf8 = true };

static const struct {
    const char *name, *text;
    unsigned width;
    enum cut cut;
    const char *shown;
    unsigned columns;
} put_rows[] = {
    { "plain", "ann", 10, CUT_END, "ann", 3 },
    { "fits exactly", "annabell", 8, CUT_END, "annabell", 8 },
    { "loses its end", "annabella", 8, CUT_END, "annabel…", 8 },
    { "loses its beginning", "/srv/photos", 7, CUT_BEGIN, "…photos", 7 },
    { "one column", "ann", 1, CUT_END, "…", 1 },
    { "no column", "ann", 0, CUT_END, "", 0 },
    { "wide characters take two", "日本語", 10, CUT_END, "日本語", 6 },
    { "a wide character is not cut in two", "日本語", 4, CUT_END, "日…", 3 },
    { "a wide one at the beginning is not, either", "日本語", 4, CUT_BEGIN, "…語", 3 },
    { "combining marks take none", "e\u0301x", 10, CUT_END, "e\u0301x", 2 },
    { "escape sequences steer nothing", "a\033[2Jb", 10, CUT_END, "a\ufffd[2Jb", 6 },
    { "nor does C1", "a\302\2332Jb", 10, CUT_END, "a\ufffd2Jb", 5 },
    { "lines stay one", "a\nb\rc\td", 10, CUT_END, "a\ufffdb\ufffdc\ufffdd", 7 },
    { "direction marks reorder nothing", "a\u202eb\u2066c", 10, CUT_END, "a\ufffdb\ufffdc", 5 },
    { "bytes that are no UTF-8", "a\xff\xc3", 10, CUT_END, "a\ufffd\ufffd", 3 },
    { "an overlong form", "\xc0\xaf", 10, CUT_END, "\ufffd\ufffd", 2 },
};

static void what_is_shown_fits_and_steers_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(put_rows); i++) {
        struct strbuf to = STRBUF(1000);
        unsigned columns = text_put(&to, &unicode, put_rows[i].text, put_rows[i].width, put_rows[i].cut);
        row_same(put_rows[i].name, to.s ? to.s : "", put_rows[i].shown);
        row_equal(put_rows[i].name, columns, put_rows[i].columns);
        strbuf_done(&to);
    }
}

static const struct {
    const char *text;
    int r;
    int64_t bytes;
} size_rows[] = {
    { "0", 0, 0 },
    { "100", 0, 100 },
    { "1K", 0, 1024 },
    { "1.5k", 0, 1536 },
    { "10G", 0, INT64_C(10) << 30 },
    { "10 GiB", 0, INT64_C(10) << 30 },
    { "2TB", 0, INT64_C(2) << 40 },
    { "9223372036854775807", 0, INT64_MAX },
    { "7E", 0, INT64_C(7) << 60 },
    { "8E", -ERANGE, 0 },
    { "9223372036854775808", -ERANGE, 0 },
    { "", -EINVAL, 0 },
    { "G", -EINVAL, 0 },
    { "-1", -EINVAL, 0 },
    { "1X", -EINVAL, 0 },
    { "1GG", -EINVAL, 0 },
    { "1.2.3G", -EINVAL, 0 },
    { "0x10", -EINVAL, 0 },
    { "1e3", -EINVAL, 0 },
    { "nan", -EINVAL, 0 },
};

static void sizes_are_read_as_people_write_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(size_rows); i++) {
        int64_t n = 0;
        int r = text_size_parse(size_rows[i].text, &n);
        row_equal(size_rows[i].text, r, size_rows[i].r);
        if (r == 0)
            row_equal(size_rows[i].text, n, size_rows[i].bytes);
    }
}

static const struct {
    uint64_t bytes;
    const char *shown;
} bytes_rows[] = {
    { 0, "0 B" },
    { 1023, "1023 B" },
    { 1024, "1.0 KiB" },
    { 1048575, "1.0 MiB" }, /* not "1024.0 KiB" */
    { UINT64_C(3) << 39, "1.5 TiB" },
    { UINT64_MAX, "16.0 EiB" },
};

static void sizes_are_shown_in_the_unit_that_fits(void **state)
{
    char to[TEXT_NUMBER_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bytes_rows); i++)
        row_same(bytes_rows[i].shown, text_bytes(to, bytes_rows[i].bytes), bytes_rows[i].shown);
    row_same("smallest", text_signed_bytes(to, INT64_MIN), "-8.0 EiB");
    row_same("count", text_count(to, 1234567), "1,234,567");
    row_same("count", text_count(to, UINT64_MAX), "18,446,744,073,709,551,615");
    row_same("signed", text_signed_count(to, -1234), "-1,234");
    row_same("duration", text_duration(to, 59), "59s");
    row_same("duration", text_duration(to, 3900), "1h05m");
    row_same("share", text_share(to, 999, 1000), "99%"); /* never 100 % before it is */
    row_same("share", text_share(to, 1, 0), "-");
    row_same("time", text_time(to, 0), "never");
}

static void a_bar_is_as_wide_as_asked_and_full_only_when_it_is(void **state)
{
    static const struct {
        const char *name;
        double share;
        const char *shown;
    } rows[] = {
        { "empty", 0, "    " },       { "half", 0.5, "██  " }, { "full", 1, "████" },
        { "more", 7, "████" },        { "none", -1, "    " },  { "a trace is seen", 0.0001, "▏   " },
        { "nan", 0.0 / 0.0, "    " },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct strbuf to = STRBUF(1000);
        text_bar(&to, &unicode, rows[i].share, 4);
        row_same(rows[i].name, to.s, rows[i].shown);
        strbuf_done(&to);
    }
}

static void dates_are_days_or_minutes(void **state)
{
    int64_t ms;

    (void)state;
    assert_int_equal(text_time_parse("2026-12-31", &ms), 0);
    assert_int_equal(ms, INT64_C(1798675200000));
    assert_int_equal(text_time_parse("2026-12-31 01:00", &ms), 0);
    assert_int_equal(ms, INT64_C(1798678800000));
    assert_int_equal(text_time_parse("never", &ms), 0);
    assert_int_equal(ms, 0);
    assert_int_equal(text_time_parse("2026-13-01", &ms), -EINVAL);
    assert_int_equal(text_time_parse("tomorrow", &ms), -EINVAL);
    assert_int_equal(text_time_parse("2026-12-31x", &ms), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_fits_and_steers_nothing),
        cmocka_unit_test(sizes_are_read_as_people_write_them),
        cmocka_unit_test(sizes_are_shown_in_the_unit_that_fits),
        cmocka_unit_test(a_bar_is_as_wide_as_asked_and_full_only_when_it_is),
        cmocka_unit_test(dates_are_days_or_minutes),
    };

    setenv("TZ", "UTC", 1);
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
