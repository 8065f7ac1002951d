/* Rooms and reservations, and what races for their last bytes must never do. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/ledger.h"

enum { RACERS = 16, RACE_LIMIT = 20000 };

struct bed {
    char dir[64];
    struct ledger *l;
    struct domain *d[2];
};

static struct ledger *open_ledger(const char *dir, bool refuse_stale, bool unlimited)
{
    const struct ledger_options o = { .state_dir = dir,
                                      .refuse_stale_growth = refuse_stale,
                                      .track = unlimited ? TRACK_NONE : TRACK_ALL };
    struct ledger *l = NULL;

    assert_int_equal(ledger_open(&o, &l), 0);
    return l;
}

static void bed_open(struct bed *b, bool refuse_stale, bool unlimited)
{
    b->l = open_ledger(b->dir, refuse_stale, unlimited);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(domain_get(b->l, DOMAIN_USER, i + 1, &b->d[i]), 0);
}

static int setup(void **state)
{
    struct bed *b = calloc(1, sizeof *b);

    assert_non_null(b);
    snprintf(b->dir, sizeof b->dir, "/tmp/tally-room-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    bed_open(b, false, false);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;
    char command[128];

    ledger_close(b->l);
    snprintf(command, sizeof command, "rm -rf '%s'", b->dir);
    assert_int_equal(system(command), 0); /* banned system: removes our own directory */
    free(b);
    return 0;
}

static uint64_t held(const struct bed *b, unsigned i)
{
    return atomic_load(&domain_usage(b->d[i])->held_bytes);
}

#define NO UINT64_MAX

/* Limits of the first domain, of the second, of a view of the second (NO: the domain's own); what is wanted; what is
 * had. */
static const struct {
    const char *name;
    uint64_t limits[3], want, least;
    int r;
    uint64_t had;
} takes[] = {
    { "without a limit all of it", { 0, 0, NO }, 1000, 1, 0, 1000 },
    { "up to the limit", { 1000, 0, NO }, 1000, 1, 0, 1000 },
    { "only what is left", { 600, 0, NO }, 1000, 1, 0, 600 },
    { "the tighter of two", { 600, 500, NO }, 1000, 1, 0, 500 },
    { "the view's limit counts for its domain", { 600, 500, 400 }, 1000, 1, 0, 400 },
    { "a view without a limit lifts that of the domain", { 600, 500, 0 }, 1000, 1, 0, 600 },
    { "not less than the least", { 600, 500, NO }, 1000, 501, -EDQUOT, 0 },
    { "exactly the least", { 600, 500, NO }, 1000, 500, 0, 500 },
    { "nothing at all is enough if nothing is the least", { 600, 1, 0 }, 0, 0, 0, 0 },
    { "more than there are numbers", { 0, 0, NO }, UINT64_MAX, 1, -EOVERFLOW, 0 },
    { "a least above the want is the want", { 600, 0, NO }, 10, 20, 0, 10 },
};

static void a_reservation_takes_what_all_its_domains_have(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(takes); i++) {
        const struct room_row rows[] = {
            { .domain = b->d[1], .own_limits = takes[i].limits[2] != NO, .limit_bytes = takes[i].limits[2] },
            { .domain = b->d[0] },
        };
        struct room *room = room_new(b->l, rows, 2);
        struct reservation rsv = { 0 };

        domain_set_limits(b->d[0], takes[i].limits[0], 0);
        domain_set_limits(b->d[1], takes[i].limits[1], 0);
        int r = reservation_take(room, (struct charge){ .bytes = takes[i].want }, takes[i].least, &rsv);
        if (r != takes[i].r || rsv.held.bytes != takes[i].had || held(b, 0) != takes[i].had ||
            held(b, 1) != takes[i].had)
            fail_msg("%s: %d, %llu held", takes[i].name, r, (unsigned long long)held(b, 0));
        reservation_drop(&rsv);
        assert_int_equal(held(b, 0) + held(b, 1), 0);
        room_unref(room);
    }
}

static void a_domain_in_two_rows_is_held_once_and_both_limits_count(void **state)
{
    struct bed *b = *state;
    const struct room_row rows[] = { { .domain = b->d[0] },
                                     { .domain = b->d[0], .own_limits = true, .limit_bytes = 70 } };
    struct room *room = room_new(b->l, rows, 2);
    struct reservation rsv = { 0 };

    domain_set_limits(b->d[0], 100, 0);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 200 }, 1, &rsv), 0);
    assert_int_equal(held(b, 0), 70);
    reservation_drop(&rsv);
    assert_int_equal(held(b, 0), 0);
    room_unref(room);
}

static void a_hold_counts_against_the_limit_at_once(void **state)
{
    struct bed *b = *state;
    const struct room_row row = { .domain = b->d[0] };
    struct room *room = room_new(b->l, &row, 1);
    struct reservation one = { 0 }, two = { 0 };
    struct room_left left;

    domain_set_limits(b->d[0], 100, 1);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 60, .files = 1 }, 60, &one), 0);
    assert_int_equal(reservation_take(room, (struct charge){ .files = 1 }, 0, &two), -EDQUOT);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 60 }, 41, &two), -EDQUOT);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 60 }, 40, &two), 0);
    room_left(room, &left);
    assert_int_equal(left.used_bytes, 100);
    assert_int_equal(left.limit_files, 1);
    domain_set_limits(b->d[0], 10, 1); /* lowered below what is held: nothing is taken away, nothing more is given */
    reservation_drop(&one);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 1 }, 1, &one), -EDQUOT);
    reservation_drop(&two);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 60 }, 1, &one), 0);
    assert_int_equal(one.held.bytes, 10);
    reservation_drop(&one);
    room_unref(room);
}

static void stale_growth_is_refused_if_so_configured(void **state)
{
    struct bed *b = *state;
    struct reservation rsv = { 0 };

    ledger_close(b->l);
    bed_open(b, true, false);
    const struct room_row row = { .domain = b->d[0] };
    struct room *room = room_new(b->l, &row, 1);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 1 }, 1, &rsv), 0);
    reservation_drop(&rsv);
    domain_mark_stale(b->d[0]);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 1 }, 1, &rsv), -EDQUOT);
    assert_int_equal(reservation_take(room, (struct charge){ 0 }, 0, &rsv), 0);
    room_unref(room);
}

static void nothing_is_refused_where_quotas_are_off(void **state)
{
    struct bed *b = *state;
    struct reservation rsv = { 0 };

    ledger_close(b->l);
    bed_open(b, false, true);
    const struct room_row row = { .domain = b->d[0], .own_limits = true, .limit_bytes = 1, .limit_files = 1 };
    struct room *room = room_new(b->l, &row, 1);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 500, .files = 5 }, 500, &rsv), 0);
    reservation_drop(&rsv);
    room_unref(room);
}

struct racer {
    struct room *room;
    uint64_t seed, bytes;
    struct reservation *kept; /* what it got, one byte or more each */
    size_t n;
    pthread_t thread;
};

/* Takes pieces of random size and keeps them, until not one byte can be had; gives some back on the way. */
static void *race(void *arg)
{
    struct racer *me = arg;

    for (;;) {
        me->seed = me->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        struct reservation rsv = { 0 };
        int r = reservation_take(me->room, (struct charge){ .bytes = 1 + (me->seed >> 60) }, 1, &rsv);

        if (r < 0)
            return NULL;
        if ((me->seed >> 40) % 4 == 0) {
            reservation_drop(&rsv);
            continue;
        }
        me->kept[me->n++] = rsv;
        me->bytes += rsv.held.bytes;
    }
}

/* With one domain all rooms are of the first; with two, half of the rooms name them in the other order. */
static void run_race(struct bed *b, size_t n_domains)
{
    const struct room_row rows[] = { { .domain = b->d[0] }, { .domain = b->d[1] } };
    const struct room_row turned[] = { { .domain = b->d[1] }, { .domain = b->d[0] } };
    struct racer racers[RACERS];
    uint64_t sum = 0;

    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){ .seed = i + 1, .kept = calloc(RACE_LIMIT, sizeof *racers[i].kept) };
        racers[i].room = room_new(b->l, n_domains == 2 && i % 2 ? turned : rows, n_domains);
        assert_non_null(racers[i].kept);
    }
    for (unsigned i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    for (unsigned i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        sum += racers[i].bytes;
    }
    assert_true(sum <= RACE_LIMIT);
    struct reservation rsv = { 0 }; /* a racer may have stopped before another gave back: the rest can still be had */
    int r = reservation_take(racers[0].room, (struct charge){ .bytes = RACE_LIMIT }, 1, &rsv);
    assert_int_equal(r, sum < RACE_LIMIT ? 0 : -EDQUOT);
    assert_int_equal(sum + rsv.held.bytes, RACE_LIMIT);
    assert_int_equal(held(b, 0), RACE_LIMIT);
    assert_int_equal(held(b, 1), n_domains == 2 ? RACE_LIMIT : 0);
    reservation_drop(&rsv);
    for (unsigned i = 0; i < RACERS; i++) {
        for (size_t k = 0; k < racers[i].n; k++)
            reservation_drop(&racers[i].kept[k]);
        room_unref(racers[i].room);
        free(racers[i].kept);
    }
    assert_int_equal(held(b, 0) + held(b, 1), 0);
}

static void sixteen_racers_get_the_last_byte_and_not_one_more(void **state)
{
    struct bed *b = *state;

    domain_set_limits(b->d[0], RACE_LIMIT, 0);
    run_race(b, 1);
}

static void sixteen_racers_get_the_last_byte_of_two_domains_and_not_one_more(void **state)
{
    struct bed *b = *state;

    domain_set_limits(b->d[0], RACE_LIMIT, 0);
    domain_set_limits(b->d[1], RACE_LIMIT + 7, 0);
    run_race(b, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reservation_takes_what_all_its_domains_have, setup, teardown),
        cmocka_unit_test_setup_teardown(a_domain_in_two_rows_is_held_once_and_both_limits_count, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hold_counts_against_the_limit_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_growth_is_refused_if_so_configured, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_refused_where_quotas_are_off, setup, teardown),
        cmocka_unit_test_setup_teardown(sixteen_racers_get_the_last_byte_and_not_one_more, setup, teardown),
        cmocka_unit_test_setup_teardown(sixteen_racers_get_the_last_byte_of_two_domains_and_not_one_more, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
