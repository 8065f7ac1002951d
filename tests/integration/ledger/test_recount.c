/* Recounts: exact while others write, from a cold ledger, and honest about what was wrong. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/ledger/bed.h"

enum { WRITERS = 4 };

static const struct usage_scan *scan_of(struct bed *b, unsigned home)
{
    return &domain_usage(b->users[home])->scan;
}

static const char grow_tree[] = "for i in 1 2 3 4 5 6; do mkdir -p h0/a$i/b/c; for j in 1 2 3 4 5 6 7 8 9; do "
                                "head -c $((i * j * 11)) /dev/zero >h0/a$i/b/f$j; echo >h0/a$i/b/c/g$j; done; done; "
                                "ln h0/a1/b/f1 h0/a2/hard; ln -s f1 h0/a1/b/soft; mkfifo h0/a1/fifo";

static void a_recount_finds_what_was_made_beneath_and_reports_the_drift(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_write(b, 0, "own", 0, 5000), 5000);
    bed_sh(b, grow_tree);
    struct sum truth = bed_walk(b, 0, "");
    assert_int_equal(recount_start(b->users[0], false), 0);
    recount_wait(b->l);
    assert_home(b, 0, "recounted");
    const struct usage_scan *s = scan_of(b, 0);
    assert_int_equal(atomic_load(&s->result), SCAN_DONE);
    assert_int_equal(atomic_load(&s->files_seen), truth.files);
    assert_int_equal(atomic_load(&s->bytes_seen), truth.bytes);
    assert_int_equal(atomic_load(&s->drift_bytes), 5000 - (int64_t)truth.bytes);
    assert_int_equal(atomic_load(&s->drift_files), 1 - (int64_t)truth.files);
    assert_true(atomic_load(&s->start_ms) > 0 && atomic_load(&s->end_ms) >= atomic_load(&s->start_ms));
    bed_sh(b, "rm -r h0/a1 h0/a3; mv h0/a2 a2; rm h0/own");
    assert_int_equal(recount_start(b->users[0], false), 0);
    recount_wait(b->l);
    assert_home(b, 0, "less");
    assert_int_equal(atomic_load(&s->drift_bytes), (int64_t)(truth.bytes - bed_walk(b, 0, "").bytes));
}

static void a_recount_is_not_fooled_by_inode_numbers_that_are_used_again(void **state)
{
    struct bed *b = *state;

    for (unsigned i = 0; i < 10; i++) {
        bed_sh(b, "for i in 1 2 3 4 5 6 7 8; do mkdir -p h0/a$i/b; echo $i >h0/a$i/b/f; done");
        assert_int_equal(recount_start(b->users[0], false), 0);
        recount_wait(b->l);
        assert_home(b, 0, "known");
        bed_sh(b, "rm -r h0/*; for i in 1 2 3 4 5 6 7 8; do mkdir -p h0/z$i/y/b; echo 12345 >h0/z$i/y/b/g; done");
        assert_int_equal(recount_start(b->users[0], true), 0);
        recount_wait(b->l);
        struct sum before = bed_used(b->users[0]), truth = bed_walk(b, 0, "");
        assert_int_equal(atomic_load(&scan_of(b, 0)->drift_bytes), (int64_t)(before.bytes - truth.bytes));
        assert_int_equal(recount_start(b->users[0], false), 0);
        recount_wait(b->l);
        assert_home(b, 0, "used again");
        for (unsigned k = 1; k <= 8; k++) { /* the handles in the records are those of the new inodes */
            char path[32];
            snprintf(path, sizeof path, "z%u/y/b/g", k);
            assert_int_equal(look_slot(b->l, bed_slot(b, 0, path)), 0);
        }
        assert_home(b, 0, "looked at by handle");
        bed_sh(b, "rm -r h0/*");
    }
}

static void a_dry_run_reports_and_changes_nothing(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_mkdir(b, 0, "a1"), 0);
    assert_int_equal(bed_write(b, 0, "a1/own", 0, 5000), 5000);
    assert_int_equal(bed_write(b, 0, "gone", 0, 300), 300);
    assert_int_equal(bed_link(b, 0, "a1/own", "two"), 0);
    bed_sh(b, grow_tree);
    bed_sh(b, "rm h0/gone; echo >>h0/a1/own");
    struct sum truth = bed_walk(b, 0, ""), before = bed_used(b->users[0]);
    assert_int_equal(recount_start(b->users[0], true), 0);
    recount_wait(b->l);
    const struct usage_scan *s = scan_of(b, 0);
    assert_sum("untouched", bed_used(b->users[0]), before);
    struct stat st;
    assert_int_equal(fstatat(b->homes[0], "a3", &st, 0), 0);
    assert_int_equal(record_find(b->l, st.st_dev, st.st_ino), SLOT_NONE);
    assert_int_equal(atomic_load(&s->dry_run), 1);
    assert_int_equal(atomic_load(&s->files_seen), truth.files);
    assert_int_equal(atomic_load(&s->bytes_seen), truth.bytes);
    assert_int_equal(atomic_load(&s->drift_bytes), (int64_t)(before.bytes - truth.bytes));
    assert_int_equal(atomic_load(&s->drift_files), (int64_t)(before.files - truth.files));
}

static void a_home_with_content_is_counted_when_it_is_first_opened(void **state)
{
    struct bed *b = *state;
    struct domain *d;
    struct tree *t;

    bed_sh(b, grow_tree);
    bed_sh(b, "mkdir cold; mv h0/* cold/");
    int root = openat(b->homes[1], "../cold", O_PATH | O_CLOEXEC);
    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 7, &d), 0);
    assert_int_equal(tree_open(b->l, d, root, b->homes[1], &t), 0);
    recount_wait(b->l);
    close(b->homes[0]);
    b->homes[0] = openat(b->homes[1], "../cold", O_RDONLY | O_CLOEXEC);
    assert_sum("counted", bed_used(d), bed_walk(b, 0, ""));
    assert_int_equal(bed_state(d), DOMAIN_DIRTY);
    assert_int_equal(tree_include(t, b->users[1]), 0);
    assert_sum("included", bed_used(b->users[1]), bed_walk(b, 0, ""));
}

static void an_empty_home_is_clean_at_once(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_state(b->users[0]), DOMAIN_CLEAN);
    assert_int_equal(atomic_load(&scan_of(b, 0)->start_ms), 0);
}

static void one_recount_of_a_domain_at_a_time(void **state)
{
    struct bed *b = *state;

    bed_sh(b, grow_tree);
    int first = recount_start(b->users[0], false), second = recount_start(b->users[0], true);
    assert_int_equal(first, 0);
    assert_true(second == -EALREADY || atomic_load(&scan_of(b, 0)->end_ms) > 0);
    recount_wait(b->l);
    assert_int_equal(recount_cancel(b->users[0]), -ENOENT);
    domain_mark_stale(b->users[0]);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_STALE);
    assert_int_equal(recount_start(b->users[0], false), 0);
    recount_wait(b->l);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_DIRTY);
    assert_home(b, 0, "recounted");
}

static void a_cancelled_recount_says_so_and_leaves_a_stale_domain_stale(void **state)
{
    struct bed *b = *state;

    bed_sh(b, grow_tree);
    domain_mark_stale(b->users[1]);
    assert_int_equal(recount_start(b->users[0], false), 0); /* keeps the one thread busy for a moment */
    assert_int_equal(recount_start(b->users[1], false), 0);
    int r = recount_cancel(b->users[1]);
    recount_wait(b->l);
    if (r == 0 && atomic_load(&scan_of(b, 1)->result) == SCAN_CANCELLED)
        assert_int_equal(bed_state(b->users[1]), DOMAIN_STALE);
    else
        assert_int_equal(atomic_load(&scan_of(b, 1)->result), SCAN_DONE);
    assert_int_equal(recount_start(b->users[1], false), 0);
    recount_wait(b->l);
    assert_int_equal(atomic_load(&scan_of(b, 1)->result), SCAN_DONE);
    assert_home(b, 1, "counted at last");
}

static void await_progress(struct bed *b, unsigned home, uint64_t files)
{
    for (unsigned i = 0; i < 20000 && atomic_load(&scan_of(b, home)->files_seen) < files; i++)
        poll(NULL, 0, 1);
    assert_true(atomic_load(&scan_of(b, home)->files_seen) >= files);
}

/* Recounts that take an hour, so that they can be looked at. */
static void open_slowly(struct bed *b, unsigned recounts)
{
    bed_close(b);
    b->recounts = recounts;
    b->recount_rate = 20;
    bed_open(b);
    recount_wait(b->l);
    bed_sh(b, grow_tree);
    bed_sh(b, "cp -a h0/a1 h1/; for i in $(seq 400); do echo >h0/a1/b/c/m$i; echo >h1/a1/b/c/m$i; done");
}

static void two_recounts_run_at_once_with_progress_and_are_cancelled(void **state)
{
    struct bed *b = *state;

    open_slowly(b, 2);
    struct sum before = bed_used(b->users[1]);
    assert_int_equal(recount_start(b->users[0], false), 0);
    assert_int_equal(recount_start(b->users[1], true), 0);
    await_progress(b, 0, 2);
    await_progress(b, 1, 2);
    await_progress(b, 0, 4); /* the first still goes on */
    for (unsigned home = 0; home < 2; home++) {
        assert_int_equal(recount_start(b->users[home], false), -EALREADY);
        assert_int_equal(recount_start(b->users[home], true), -EALREADY);
        assert_true(recount_is_by_person(b->users[home]));
        assert_int_equal(atomic_load(&scan_of(b, home)->end_ms), 0);
        assert_int_equal(recount_cancel(b->users[home]), 0);
    }
    recount_wait(b->l);
    for (unsigned home = 0; home < 2; home++) {
        assert_int_equal(atomic_load(&scan_of(b, home)->result), SCAN_CANCELLED);
        assert_true(atomic_load(&scan_of(b, home)->files_seen) < 400);
        assert_int_equal(recount_cancel(b->users[home]), -ENOENT);
    }
    assert_sum("a cancelled dry run", bed_used(b->users[1]), before);
}

static void with_one_at_a_time_the_second_waits_and_can_be_cancelled_waiting(void **state)
{
    struct bed *b = *state;

    open_slowly(b, 1);
    assert_int_equal(recount_start(b->users[0], false), 0);
    await_progress(b, 0, 2);
    assert_int_equal(recount_start(b->users[1], false), 0);
    await_progress(b, 0, 5);
    assert_int_equal(atomic_load(&scan_of(b, 1)->files_seen), 0);
    assert_int_equal(recount_cancel(b->users[1]), 0);
    assert_int_equal(atomic_load(&scan_of(b, 1)->result), SCAN_CANCELLED);
    assert_int_equal(recount_cancel(b->users[0]), 0);
    recount_wait(b->l);
}

/* Both directories are being listed, or one is and the other will be: what changes places is in no listing of both. */
static void a_directory_that_is_renamed_past_the_walk_is_not_missed(void **state)
{
    struct bed *b = *state;

    bed_close(b);
    b->recount_rate = 100;
    bed_open(b);
    bed_sh(b, "mkdir -p h0/x/s h0/y/s; for i in $(seq 40); do echo >h0/x/f$i; echo >h0/y/f$i; done;"
              "echo 12345 >h0/x/s/in; echo 1234567 >h0/y/s/in");
    assert_int_equal(look_dir(b->trees[0], tree_root(b->trees[0])), 0);
    assert_home(b, 0, "known");
    assert_int_equal(recount_start(b->users[0], false), 0);
    await_progress(b, 0, 1);
    assert_int_equal(bed_rename(b, 0, "x/s", 0, "y/of-x"), 0);
    assert_int_equal(bed_rename(b, 0, "y/s", 0, "x/of-y"), 0);
    assert_int_equal(bed_mkdir(b, 0, "x/new"), 0);
    assert_int_equal(bed_rename(b, 0, "y/of-x", 0, "x/new/deep"), 0);
    recount_wait(b->l);
    assert_home(b, 0, "renamed meanwhile");
    assert_int_equal(atomic_load(&scan_of(b, 0)->drift_files), 0);
}

static void two_domains_of_one_tree_are_recounted_at_once(void **state)
{
    struct bed *b = *state;

    bed_close(b);
    b->recounts = 4;
    bed_open(b);
    assert_int_equal(tree_include(b->trees[0], b->users[1]), 0);
    for (unsigned round = 0; round < 6; round++) {
        bed_sh(b, round % 2 ? "rm -r h0/a*" : grow_tree);
        assert_int_equal(recount_start(b->users[0], false), 0);
        assert_int_equal(recount_start(b->users[1], false), 0);
        recount_wait(b->l);
        assert_home(b, 0, "the owner");
        assert_sum("the other", bed_used(b->users[1]), bed_walk(b, 0, ""));
        assert_int_equal(atomic_load(&scan_of(b, 1)->result), SCAN_DONE);
    }
}

static void an_adjustment_during_the_first_count_is_taken_and_goes_with_its_end(void **state)
{
    struct bed *b = *state;

    bed_sh(b, grow_tree);
    bed_close(b);
    bed_sh(b, "rm -f ../state/*");
    b->recount_rate = 200;
    bed_open(b);
    await_progress(b, 0, 1);
    assert_false(recount_is_by_person(b->users[0]));
    domain_adjust(b->users[0], false, 123456789, 7);
    assert_true(usage_reported_bytes(domain_usage(b->users[0])) >= 123456789);
    recount_wait(b->l);
    assert_int_equal(usage_reported_bytes(domain_usage(b->users[0])), bed_walk(b, 0, "").bytes);
    assert_int_equal(usage_reported_files(domain_usage(b->users[0])), bed_walk(b, 0, "").files);
}

struct writer {
    struct bed *b;
    unsigned who;
    uint64_t seed;
    pthread_t thread;
    _Atomic bool *stop;
};

static void *write_storm(void *arg)
{
    struct writer *w = arg;

    while (!atomic_load(w->stop))
        bed_storm(w->b, 0, w->who, &w->seed);
    return NULL;
}

/* The writers go on until the last recount is over: what that one missed, no other one finds. */
static void storm_and_recount(struct bed *b, uint64_t seed, bool dry_run)
{
    struct writer writers[WRITERS];
    _Atomic bool stop = false;

    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .b = b, .who = i, .seed = seed * 100 + i, .stop = &stop };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_storm, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        int r = recount_start(b->users[0], dry_run && i % 2);
        assert_true(r == 0 || r == -EALREADY);
        recount_wait(b->l);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    recount_wait(b->l);
}

static void counters_are_exact_while_four_writers_work_and_recounts_run(void **state)
{
    struct bed *b = *state;

    for (uint64_t round = 0; round < 3; round++) {
        storm_and_recount(b, round, true);
        assert_home(b, 0, "after a storm");
        assert_int_equal(atomic_load(&domain_usage(b->users[0])->held_bytes), 0);
        assert_int_equal(recount_start(b->users[0], true), 0);
        recount_wait(b->l);
        assert_int_equal(atomic_load(&scan_of(b, 0)->drift_bytes), 0);
        assert_int_equal(atomic_load(&scan_of(b, 0)->drift_files), 0);
    }
}

static void a_cold_ledger_becomes_exact_while_four_writers_work(void **state)
{
    struct bed *b = *state;

    for (uint64_t round = 0; round < 4; round++) {
        bed_close(b);
        bed_sh(b, "rm -f ../state/*");
        if (round == 0)
            bed_sh(b, grow_tree);
        bed_open(b); /* counts h0 in the background */
        storm_and_recount(b, 50 + round, false);
        assert_home(b, 0, "after a cold start");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_recount_finds_what_was_made_beneath_and_reports_the_drift, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(a_recount_is_not_fooled_by_inode_numbers_that_are_used_again, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(a_dry_run_reports_and_changes_nothing, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_home_with_content_is_counted_when_it_is_first_opened, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(an_empty_home_is_clean_at_once, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(one_recount_of_a_domain_at_a_time, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_cancelled_recount_says_so_and_leaves_a_stale_domain_stale, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(two_recounts_run_at_once_with_progress_and_are_cancelled, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(with_one_at_a_time_the_second_waits_and_can_be_cancelled_waiting, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(a_directory_that_is_renamed_past_the_walk_is_not_missed, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(two_domains_of_one_tree_are_recounted_at_once, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(an_adjustment_during_the_first_count_is_taken_and_goes_with_its_end, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(counters_are_exact_while_four_writers_work_and_recounts_run, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(a_cold_ledger_becomes_exact_while_four_writers_work, bed_up_two, bed_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
