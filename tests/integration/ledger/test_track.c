/* Who is counted: all, those with a limit, or nobody; and what becomes of the numbers when that changes. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/ledger/bed.h"

enum { TURNS = 200, WRITERS = 3 };

static const struct sum nothing;

static void reopen(struct bed *b, enum ledger_track track)
{
    bed_close(b);
    b->track = track;
    bed_open(b);
}

static int setup(void **state)
{
    struct bed *b = bed_new(2);

    reopen(b, TRACK_LIMITED);
    *state = b;
    return 0;
}

static void a_user_without_a_limit_is_not_counted_and_one_with_a_limit_is(void **state)
{
    struct bed *b = *state;

    domain_set_limits(b->users[1], 100000, 0);
    assert_int_equal(bed_write(b, 0, "f", 0, 5000), 5000);
    assert_int_equal(bed_write(b, 1, "f", 0, 5000), 5000);
    assert_sum("without", bed_used(b->users[0]), nothing);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_CLEAN);
    assert_home(b, 1, "with");
    assert_int_equal(bed_write(b, 0, "f", 5000, 60000), 60000);
    assert_int_equal(bed_write(b, 1, "f", 50000, 60000), 50000);
    assert_int_equal(bed_unlink(b, 0, "f"), 0);
    assert_int_equal(atomic_load(&domain_usage(b->users[0])->held_bytes), 0);
    assert_sum("without, in the end", bed_used(b->users[0]), nothing);
}

static void a_limit_that_comes_later_makes_a_number_that_is_stale_until_it_is_counted(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_write(b, 0, "known", 0, 1000), 1000);
    bed_put(b, 0, "unseen", 70);
    b->recount_rate = 1; /* so that it can be seen before it is counted */
    reopen(b, TRACK_LIMITED);
    domain_set_limits(b->users[0], 0, 10);
    enum domain_state s = bed_state(b->users[0]);
    assert_true(s == DOMAIN_STALE || s == DOMAIN_COUNTING);
    b->recount_rate = 0;
    reopen(b, TRACK_LIMITED);
    domain_set_limits(b->users[0], 0, 10);
    recount_wait(b->l);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_DIRTY);
    assert_home(b, 0, "counted");
    domain_set_limits(b->users[0], 0, 0);
    assert_sum("without a limit again", bed_used(b->users[0]), nothing);
    reopen(b, TRACK_ALL);
    recount_wait(b->l);
    assert_home(b, 0, "all are counted");
}

struct writer {
    struct bed *b;
    pthread_t thread;
    uint64_t seed;
    unsigned who;
    _Atomic bool *stop;
};

static void *storm(void *arg)
{
    struct writer *w = arg;

    while (!atomic_load(w->stop))
        bed_storm(w->b, 0, w->who, &w->seed);
    return NULL;
}

static void limits_may_come_and_go_while_files_are_written(void **state)
{
    struct bed *b = *state;
    struct writer writers[WRITERS];
    _Atomic bool stop = false;

    assert_int_equal(tree_include(b->trees[0], b->users[1]), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .b = b, .who = i, .seed = 7 + i, .stop = &stop };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, storm, &writers[i]), 0);
    }
    for (unsigned i = 0; i <= TURNS; i++) {
        domain_set_limits(b->users[0], i % 2 ? 0 : UINT64_C(1) << 40, 0);
        domain_set_limits(b->users[1], i % 3 ? 0 : UINT64_C(1) << 40, i % 2 ? 1000000 : 0);
    }
    domain_set_limits(b->users[1], UINT64_C(1) << 40, 0);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    recount_wait(b->l);
    assert_home(b, 0, "after all turns");
    assert_sum("included", bed_used(b->users[1]), bed_walk(b, 0, ""));
    const struct usage_scan *scan = &domain_usage(b->users[0])->scan;
    assert_int_equal(recount_start(b->users[0], true), 0);
    recount_wait(b->l);
    assert_int_equal(atomic_load(&scan->drift_bytes), 0);
    assert_int_equal(atomic_load(&scan->drift_files), 0);
}

static void with_tracking_off_nothing_is_refused_or_counted_and_later_all_is(void **state)
{
    struct bed *b = *state;

    reopen(b, TRACK_ALL);
    assert_int_equal(bed_write(b, 0, "before", 0, 333), 333);
    for (unsigned deaths = 0; deaths < 2; deaths++) {
        bed_close(b);
        b->track = TRACK_NONE;
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            bed_open(b);
            domain_set_limits(b->users[0], 1000, 1);
            bool ok = bed_write(b, 0, "off", 0, 5000) == 5000 && bed_mkdir(b, 0, "d") <= 0 &&
                      bed_write(b, 0, "d/f", deaths, 100) == 100 && bed_used(b->users[0]).bytes == 0 &&
                      recount_start(b->users[0], false) == -EOPNOTSUPP &&
                      atomic_load(&domain_usage(b->users[0])->held_bytes) == 0;
            if (deaths == 0)
                bed_close(b);
            _exit(ok ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        b->track = TRACK_ALL;
        bed_open(b);
        recount_wait(b->l);
        assert_home(b, 0, "tracked again");
        assert_int_not_equal(bed_state(b->users[0]), DOMAIN_STALE);
    }
}

static void growth_of_a_stale_home_is_refused_if_so_wished_and_shrinking_never(void **state)
{
    struct bed *b = *state;

    for (unsigned refuse = 0; refuse < 2; refuse++) {
        b->refuse_stale_growth = refuse;
        reopen(b, TRACK_ALL);
        recount_wait(b->l);
        assert_int_equal(bed_write(b, 0, "f", 0, 1000), 1000);
        domain_mark_stale(b->users[0]);
        assert_int_equal(bed_write(b, 0, "f", 1000, 10), refuse ? -EDQUOT : 10);
        assert_int_equal(bed_write(b, 0, "new", 0, 1), refuse ? -EDQUOT : 1);
        assert_int_equal(bed_write(b, 0, "f", 0, 1000), 1000);
        assert_int_equal(bed_truncate(b, 0, "f", 500), 0);
        assert_int_equal(recount_start(b->users[0], false), 0);
        recount_wait(b->l);
        assert_int_equal(bed_write(b, 0, "f", 1000, 10), 10);
        assert_home(b, 0, "in the end");
        bed_sh(b, "rm h0/*");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_user_without_a_limit_is_not_counted_and_one_with_a_limit_is, setup, bed_down),
        cmocka_unit_test_setup_teardown(a_limit_that_comes_later_makes_a_number_that_is_stale_until_it_is_counted,
                                        setup, bed_down),
        cmocka_unit_test_setup_teardown(limits_may_come_and_go_while_files_are_written, setup, bed_down),
        cmocka_unit_test_setup_teardown(with_tracking_off_nothing_is_refused_or_counted_and_later_all_is, setup,
                                        bed_down),
        cmocka_unit_test_setup_teardown(growth_of_a_stale_home_is_refused_if_so_wished_and_shrinking_never, setup,
                                        bed_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
