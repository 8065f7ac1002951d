/* The defender and the rate limiters, on a clock of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/defender.h"
#include "base/defender_lists.h"
#include "base/rate_limit.h"
#include "tests/unit/base/row.h"

enum { MINUTE = 60000, START = 1700000000 };
#define T0 (INT64_C(1000) * START)
#define A  "192.0.2.1"

static struct defender_config standard(void)
{
    return (struct defender_config){ .enabled = true,
                                     .ban_time_min = 30,
                                     .ban_time_increment = 50,
                                     .threshold = 15,
                                     .score_invalid = 2,
                                     .score_valid = 1,
                                     .score_limit_exceeded = 3,
                                     .observation_time_min = 30,
                                     .entries_soft_limit = 100,
                                     .entries_hard_limit = 150 };
}

static int defender_setup(void **state)
{
    struct defender *d = calloc(1, sizeof *d);
    struct defender_config c = standard();
    struct why why;

    assert_non_null(d);
    assert_int_equal(defender_create(d), 0);
    assert_int_equal(defender_set(d, &c, &why), 0);
    *state = d;
    return 0;
}

static int defender_teardown(void **state)
{
    defender_detach(*state);
    free(*state);
    return 0;
}

static void the_threshold_bans_and_not_before(void **state)
{
    struct defender *d = *state;
    struct defender_host h;

    for (int i = 0; i < 7; i++)
        assert_false(defender_note(d, A, DEFENDER_UNKNOWN, T0 + i));
    assert_false(defender_refuses(d, A, T0 + 10));
    assert_int_equal(defender_host(d, A, T0 + 10, &h), 0);
    assert_int_equal(h.score, 14);
    assert_int_equal(h.ban_until_ms, 0);
    assert_true(defender_note(d, A, DEFENDER_FAILED, T0 + 10));
    assert_int_equal(defender_host(d, A, T0 + 10, &h), 0);
    assert_int_equal(h.score, 0);
    assert_int_equal(h.ban_until_ms, T0 + 10 + 30 * MINUTE);
    assert_false(defender_refuses(d, "192.0.2.2", T0 + 10));
    assert_true(defender_refuses(d, "::ffff:" A, T0 + 10)); /* the same address */
}

static void an_attempt_of_a_banned_address_lengthens_the_ban(void **state)
{
    struct defender *d = *state;
    struct defender_host h;

    for (int i = 0; i < 5; i++)
        defender_note(d, A, DEFENDER_LIMIT, T0);
    assert_true(defender_refuses(d, A, T0 + 1));
    assert_true(defender_refuses(d, A, T0 + 2));
    assert_int_equal(defender_host(d, A, T0 + 2, &h), 0);
    assert_int_equal(h.ban_until_ms, T0 + (30 + 15 + 15) * MINUTE);
    assert_false(defender_refuses(d, A, T0 + 60 * MINUTE));
    assert_int_equal(defender_host(d, A, T0 + 60 * MINUTE, &h), -ENOENT);
}

static void scores_are_forgotten_after_the_observation_time(void **state)
{
    struct defender *d = *state;

    for (int i = 0; i < 14; i++)
        assert_false(defender_note(d, A, DEFENDER_FAILED, T0));
    assert_false(defender_note(d, A, DEFENDER_FAILED, T0 + 30 * MINUTE));
    for (int i = 0; i < 1000; i++) /* one every three minutes: ten in any half hour */
        assert_false(defender_note(d, A, DEFENDER_FAILED, T0 + (60 + 3 * i) * (int64_t)MINUTE));
}

static void many_small_events_are_all_counted(void **state)
{
    struct defender_config c = standard();
    struct why why;
    int n = 1;

    c.threshold = 500;
    assert_int_equal(defender_set(*state, &c, &why), 0);
    while (!defender_note(*state, A, DEFENDER_FAILED, T0 + n))
        n++;
    assert_int_equal(n, 500);
}

static void a_pardon_ends_the_ban_and_forgets_the_scores(void **state)
{
    struct defender *d = *state;
    struct defender_host h;

    assert_int_equal(defender_forget(d, A, T0), -ENOENT);
    for (int i = 0; i < 5; i++)
        defender_note(d, A, DEFENDER_LIMIT, T0);
    assert_int_equal(defender_forget(d, A, T0), 0);
    assert_false(defender_refuses(d, A, T0));
    assert_int_equal(defender_host(d, A, T0, &h), -ENOENT);
    assert_int_equal(defender_forget(d, "nonsense", T0), -ENOENT);
}

static void above_the_hard_limit_the_least_are_dropped_and_bans_are_kept(void **state)
{
    static struct defender_host all[300];
    struct defender *d = *state;
    char text[32];

    for (int i = 0; i < 5; i++)
        defender_note(d, A, DEFENDER_LIMIT, T0);
    for (int i = 0; i < 149; i++) {
        snprintf(text, sizeof text, "10.0.0.%d", i);
        for (int k = 0; k < 1 + i % 3; k++)
            defender_note(d, text, DEFENDER_FAILED, T0);
    }
    assert_int_equal(defender_hosts(d, T0, all, 300), 150);
    defender_note(d, "10.0.1.1", DEFENDER_FAILED, T0);
    assert_int_equal(defender_hosts(d, T0, all, 300), 100);
    assert_true(all[0].ban_until_ms > 0);
    unsigned ones = 0;
    for (int i = 1; i < 100; i++)
        ones += all[i].score == 1;
    assert_int_equal(ones, 1); /* the newest; the others with a score of one went first */
    assert_int_equal(defender_hosts(d, T0, all, 3), 3);
}

static void write_list(char path[32], const char *text)
{
    str_set(path, 32, "/tmp/tally-list-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void the_block_list_wins_over_the_safe_list(void **state)
{
    struct defender_config c = standard();
    char safe[32], blocked[32];
    struct why why;

    write_list(safe, "{\"addresses\":[\"" A "\"],\"networks\":[\"10.0.0.0/8\",\"2001:db8::/32\"]}");
    write_list(blocked, "{\"networks\":[\"10.1.0.0/16\"]}");
    c.safelist_file = safe;
    c.blocklist_file = blocked;
    assert_int_equal(defender_set(*state, &c, &why), 0);
    unlink(safe);
    unlink(blocked);
    static const struct {
        const char *address;
        bool is_banned, can_be;
    } rows[] = {
        { A, false, false },
        { "192.0.2.2", false, true },
        { "10.0.0.1", false, false },
        { "10.1.0.1", true, false },
        { "10.1.255.255", true, false },
        { "10.2.0.0", false, false },
        { "11.0.0.0", false, true },
        { "9.255.255.255", false, true },
        { "2001:db8::1", false, false },
        { "2001:db9::1", false, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        row_equal(rows[i].address, defender_refuses(*state, rows[i].address, T0), rows[i].is_banned);
        bool banned = false;
        for (int k = 0; k < 5; k++)
            banned = defender_note(*state, rows[i].address, DEFENDER_LIMIT, T0) || banned;
        row_equal(rows[i].address, banned, rows[i].can_be);
    }
}

static void a_bad_list_changes_nothing_and_is_named(void **state)
{
    static const struct {
        const char *text, *why;
        int r;
    } rows[] = {
        { "", "EOF", -EINVAL },
        { "[]", "must be {", -EINVAL },
        { "{\"addresses\":[\"10.0.0.0/8\"]}", "none of \"addresses\"", -EINVAL },
        { "{\"networks\":[\"10.0.0.1\"]}", "none of \"networks\"", -EINVAL },
        { "{\"networks\":[\"10.0.0.0/33\"]}", "no network", -EINVAL },
        { "{\"addresses\":[\"host\"]}", "no address", -EINVAL },
        { "{\"addresses\":[null]}", "null", -EINVAL },
        { "{\"addresses\":[1]}", "no address", -EINVAL },
    };
    struct defender *d = *state;
    struct why why;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct defender_config c = standard();
        char path[32];
        write_list(path, rows[i].text);
        c.enabled = false;
        c.blocklist_file = path;
        row_equal(rows[i].text, defender_set(d, &c, &why), rows[i].r);
        row_contains(rows[i].text, why.text, rows[i].why);
        row_contains(rows[i].text, why.text, path);
        unlink(path);
        assert_true(defender_is_on(d));
    }
    struct defender_config c = standard();
    c.safelist_file = (char[]){ "/nonexistent/list" };
    assert_int_equal(defender_set(d, &c, &why), -ENOENT);
}

static void ranges_that_overlap_become_one(void **state)
{
    static const char *const networks[] = { "10.0.0.0/8", "10.1.0.0/16", "9.0.0.0/8", "10.255.0.0/16", "12.0.0.1/32" };
    struct address_range v[ARRAY_SIZE(networks)];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(networks); i++) {
        struct network n;
        assert_true(network_parse(networks[i], false, &n));
        v[i] = (struct address_range){ n.address, n.address };
        for (unsigned bit = n.bits; bit < 128; bit++)
            v[i].last.v[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    assert_int_equal(ranges_sort(v, ARRAY_SIZE(networks)), 3);
    struct address a;
    assert_true(address_parse("10.200.0.1", &a));
    assert_true(ranges_have(v, 3, &a));
    assert_true(address_parse("12.0.0.2", &a));
    assert_false(ranges_have(v, 3, &a));
    assert_false(ranges_have(v, 0, &a));
}

static void a_process_that_dies_in_it_stops_nobody(void **state)
{
    struct defender *d = *state;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(1);
        for (;;) /* most of the time it holds the lock */
            IGNORE(defender_refuses(d, A, T0), "");
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_false(defender_note(d, A, DEFENDER_FAILED, T0));
    struct defender_host h;
    assert_int_equal(defender_host(d, A, T0, &h), 0);
    assert_int_equal(h.score, 1);
}

/* ---- rates ---- */

static int rates_setup(void **state)
{
    struct rate_limits *l = calloc(1, sizeof *l);

    assert_non_null(l);
    assert_int_equal(rate_limits_create(l), 0);
    *state = l;
    return 0;
}

static int rates_teardown(void **state)
{
    rate_limits_detach(*state);
    free(*state);
    return 0;
}

static char *both[] = { (char[]){ "SSH" }, (char[]){ "HTTP" } };

static struct rate_limiter_config limiter(uint32_t average, uint32_t period_ms, uint32_t burst, uint32_t type)
{
    return (struct rate_limiter_config){ .average = average,
                                         .period_ms = period_ms,
                                         .burst = burst,
                                         .type = type,
                                         .protocols = { both, 2 },
                                         .entries_soft_limit = 100,
                                         .entries_hard_limit = 150 };
}

static bool take(struct rate_limits *l, enum rate_protocol p, const char *address, int64_t now_ms, int64_t *ret_wait)
{
    bool offence;
    return rate_limits_take(l, p, address, now_ms, ret_wait, &offence);
}

static void a_burst_goes_through_and_then_the_average(void **state)
{
    struct rate_limiter_config c = limiter(10, 1000, 5, 2);
    struct objects one = { &c, 1 };
    int64_t wait = 0;
    unsigned n = 0;

    rate_limits_set(*state, &one);
    while (take(*state, RATE_SSH, A, 0, &wait))
        n++;
    assert_int_equal(n, 5);
    assert_int_equal(wait, 100);
    for (int64_t now = 1; now <= 100000; now++)
        n += take(*state, RATE_SSH, A, now, &wait);
    assert_in_range(n, 1004, 1006);
    assert_true(take(*state, RATE_SSH, "192.0.2.2", 100000, &wait)); /* another address */
}

static void what_comes_a_little_early_goes_through_and_pays_later(void **state)
{
    struct rate_limiter_config c = limiter(1, 1000, 1, 2);
    struct objects one = { &c, 1 };
    int64_t wait;

    rate_limits_set(*state, &one);
    assert_true(take(*state, RATE_SSH, A, 0, &wait));
    assert_false(take(*state, RATE_SSH, A, 499, &wait));
    assert_int_equal(wait, 501);
    assert_true(take(*state, RATE_SSH, A, 500, &wait));
    assert_false(take(*state, RATE_SSH, A, 1400, &wait));
    assert_int_equal(wait, 600);
}

static void a_global_limiter_counts_all_protocols_and_addresses_together(void **state)
{
    struct rate_limiter_config c = limiter(1, 60000, 2, 1);
    struct objects one = { &c, 1 };
    int64_t wait;

    rate_limits_set(*state, &one);
    assert_true(take(*state, RATE_SSH, A, 0, &wait));
    assert_true(take(*state, RATE_HTTP, "192.0.2.2", 0, &wait));
    assert_false(take(*state, RATE_HTTP, "192.0.2.3", 0, &wait));
}

static void protocols_and_allowed_addresses_are_left_alone(void **state)
{
    struct rate_limiter_config c = limiter(1, 60000, 1, 2);
    char *allowed[] = { (char[]){ "10.0.0.0/8" }, (char[]){ "192.0.2.9" } };
    struct objects one = { &c, 1 };
    int64_t wait;

    c.protocols.n = 1; /* SSH */
    c.allow_list = (struct strings){ allowed, 2 };
    c.generate_defender_events = true;
    rate_limits_set(*state, &one);
    for (int i = 0; i < 10; i++) {
        assert_true(take(*state, RATE_HTTP, A, 0, &wait));
        assert_true(take(*state, RATE_SSH, "10.1.1.1", 0, &wait));
        assert_true(take(*state, RATE_SSH, "192.0.2.9", 0, &wait));
    }
    bool offence = false;
    assert_true(rate_limits_take(*state, RATE_SSH, A, 0, &wait, &offence));
    assert_false(offence);
    assert_false(rate_limits_take(*state, RATE_SSH, A, 0, &wait, &offence));
    assert_true(offence);
    c.average = 0;
    rate_limits_set(*state, &one);
    assert_true(take(*state, RATE_SSH, A, 0, &wait));
}

static void sources_are_bounded_and_the_busiest_are_kept(void **state)
{
    struct rate_limiter_config c = limiter(1, 60000, 3, 2);
    struct objects one = { &c, 1 };
    char text[32];
    int64_t wait;

    rate_limits_set(*state, &one);
    for (int i = 0; i < 3; i++)
        assert_true(take(*state, RATE_SSH, A, 0, &wait));
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "10.0.%d.%d", i / 250, i % 250);
        assert_true(take(*state, RATE_SSH, text, 0, &wait));
    }
    assert_false(take(*state, RATE_SSH, A, 0, &wait));
}

int main(void)
{
#define DEFENDER(f) cmocka_unit_test_setup_teardown(f, defender_setup, defender_teardown)
#define RATES(f)    cmocka_unit_test_setup_teardown(f, rates_setup, rates_teardown)
    const struct CMUnitTest tests[] = {
        DEFENDER(the_threshold_bans_and_not_before),
        DEFENDER(an_attempt_of_a_banned_address_lengthens_the_ban),
        DEFENDER(scores_are_forgotten_after_the_observation_time),
        DEFENDER(many_small_events_are_all_counted),
        DEFENDER(a_pardon_ends_the_ban_and_forgets_the_scores),
        DEFENDER(above_the_hard_limit_the_least_are_dropped_and_bans_are_kept),
        DEFENDER(the_block_list_wins_over_the_safe_list),
        DEFENDER(a_bad_list_changes_nothing_and_is_named),
        DEFENDER(a_process_that_dies_in_it_stops_nobody),
        cmocka_unit_test(ranges_that_overlap_become_one),
        RATES(a_burst_goes_through_and_then_the_average),
        RATES(what_comes_a_little_early_goes_through_and_pays_later),
        RATES(a_global_limiter_counts_all_protocols_and_addresses_together),
        RATES(protocols_and_allowed_addresses_are_left_alone),
        RATES(sources_are_bounded_and_the_busiest_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
