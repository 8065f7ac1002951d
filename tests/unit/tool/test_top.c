#include "tool/top.h"

#include <stdio.h>

#include "base/sys.h"
#include "tests/unit/base/row.h"

#define S UINT64_C(1000000000)

static int64_t wall_at_100_s(void)
{
    return 100000;
}

/* Connection c with a transfer of /f: `bytes` so far, begun at 99 s. */
static void look(struct picture *p, const char *kind, long long bytes, uint64_t now_ns)
{
    char text[400];

    snprintf(text, sizeof text,
             "[{\"username\":\"ann\",\"connection_id\":\"c\",\"last_activity\":90000,\"active_transfers\":"
             "[{\"operation_type\":\"%s\",\"path\":\"/f\",\"size\":%lld,\"start_time\":99000}]},"
             "{\"username\":\"bob\",\"connection_id\":\"d\",\"last_activity\":90000}]",
             kind, bytes);
    CLEANUP(json_put_p) struct json_object *j = json_tokener_parse(text);
    assert_int_equal(picture_take(p, j, now_ns), 0);
}

static void rates_are_what_moved_between_two_looks(void **state)
{
    static const struct {
        const char *name;
        long long first, second;
        uint64_t ns, rate;
    } rows[] = {
        { "a megabyte in a second", 1000000, 2000000, S, 1000000 },
        { "a megabyte in half a second", 1000000, 2000000, S / 2, 2000000 },
        { "nothing moved", 1000000, 1000000, S, 0 },
        { "a file that was begun anew", 1000000, 10, S, 0 },
        { "more than 32 bits", 0, INT64_C(20000000000), S, UINT64_C(20000000000) },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct picture p = { 0 };
        look(&p, "upload", rows[i].first, 10 * S);
        look(&p, "upload", rows[i].second, 10 * S + rows[i].ns);
        row_equal(rows[i].name, (int64_t)p.up_rate, (int64_t)rows[i].rate);
        row_equal(rows[i].name, (int64_t)p.lives[0].up_rate, (int64_t)rows[i].rate);
        row_equal(rows[i].name, (int64_t)p.down_rate, 0);
        row_equal(rows[i].name, (int64_t)p.transfers_n, 1);
        picture_done(&p);
    }
}

static void a_new_transfer_has_the_rate_of_its_life(void **state)
{
    struct picture p = { 0 };

    (void)state;
    look(&p, "download", 5000, 10 * S); /* it is a second old */
    assert_int_equal(p.down_rate, 5000);
    assert_string_equal(p.lives[0].does, "down /f");
    assert_string_equal(p.lives[1].does, "idle 10s");
    picture_done(&p);
}

static void answers_that_lack_everything_are_borne(void **state)
{
    static const char *const rows[] = { "[]",
                                        "[{}]",
                                        "[null]",
                                        "[{\"active_transfers\":[{}]}]",
                                        "[{\"active_transfers\":7,\"username\":[]}]",
                                        "[{\"active_transfers\":[null,{\"size\":-5}]}]" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct picture p = { 0 };
        CLEANUP(json_put_p) struct json_object *j = json_tokener_parse(rows[i]);
        row_equal(rows[i], picture_take(&p, j, S), 0);
        picture_sort(&p, LIVE_BY_USER);
        row_equal(rows[i], (int64_t)p.up_rate, 0);
        picture_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_what_moved_between_two_looks),
        cmocka_unit_test(a_new_transfer_has_the_rate_of_its_life),
        cmocka_unit_test(answers_that_lack_everything_are_borne),
    };
    struct sys virtual_time = sys_real;

    virtual_time.wall_ms = wall_at_100_s;
    sys = &virtual_time;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
