/* Domains that come and go, sets of any size, and recounts that meet each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/ledger/bed.h"

enum { MANY = 300 };

static void a_dropped_domain_leaves_its_slot_to_nobody_who_pays_for_others(void **state)
{
    struct bed *b = *state;
    struct domain *member, *stranger;
    const struct sum nothing = { 0 };

    assert_int_equal(domain_get(b->l, DOMAIN_USER, 50, &member), 0);
    assert_int_equal(tree_include(b->trees[0], member), 0);
    assert_int_equal(bed_write(b, 0, "f", 0, 1000), 1000);
    assert_sum("included", bed_used(member), bed_walk(b, 0, ""));
    const struct usage_slot *slot = domain_usage(member);
    domain_drop(member);
    assert_int_equal(domain_get(b->l, DOMAIN_USER, 51, &stranger), 0);
    assert_ptr_equal(domain_usage(stranger), slot); /* the slot is used again */
    assert_int_equal(bed_write(b, 0, "f", 1000, 4000), 4000);
    assert_sum("a stranger", bed_used(stranger), nothing);
    bed_close(b);
    bed_open(b);
    assert_sum("after a restart", bed_used(domain_find(b->l, DOMAIN_USER, 51)), nothing);
    assert_null(domain_find(b->l, DOMAIN_USER, 50));
    assert_home(b, 0, "after a restart");
}

static void a_dropped_domain_takes_its_own_trees_along(void **state)
{
    struct bed *b = *state;
    struct domain *folder, *again, *stranger;
    struct tree *t;
    const struct sum nothing = { 0 };

    bed_sh(b, "mkdir shared; echo 12345 >shared/f");
    int at = openat(b->homes[0], "../shared", O_PATH | O_CLOEXEC);
    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 7, &folder), 0);
    assert_int_equal(tree_open(b->l, folder, at, b->homes[0], &t), 0);
    assert_int_equal(tree_include(t, b->users[1]), 0);
    recount_wait(b->l);
    assert_int_equal(bed_used(b->users[1]).files, 1);
    domain_drop(folder);
    assert_sum("its member", bed_used(b->users[1]), nothing);
    assert_int_equal(domain_get(b->l, DOMAIN_USER, 51, &stranger), 0);
    assert_sum("a stranger", bed_used(stranger), nothing);
    at = openat(b->homes[0], "../shared", O_PATH | O_CLOEXEC);
    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 8, &again), 0);
    assert_int_equal(tree_open(b->l, again, at, b->homes[0], &t), 0);
    recount_wait(b->l);
    assert_int_equal(bed_used(again).bytes, 6);
    assert_sum("a stranger", bed_used(stranger), nothing);
}

static void a_hold_in_a_dropped_domain_ends_without_harm(void **state)
{
    struct bed *b = *state;
    struct domain *d, *next;
    struct reservation rsv = { 0 };

    assert_int_equal(domain_get(b->l, DOMAIN_USER, 50, &d), 0);
    struct room *room = room_new(b->l, &(struct room_row){ .domain = d }, 1);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 500, .files = 1 }, 0, &rsv), 0);
    domain_drop(d);
    assert_int_equal(domain_get(b->l, DOMAIN_USER, 51, &next), 0);
    assert_int_equal(atomic_load(&domain_usage(next)->held_bytes), 0);
    struct room *other = room_new(b->l, &(struct room_row){ .domain = next }, 1);
    struct reservation theirs = { 0 };
    assert_int_equal(reservation_take(other, (struct charge){ .bytes = 70 }, 0, &theirs), 0);
    reservation_drop(&rsv);
    assert_int_equal(atomic_load(&domain_usage(next)->held_bytes), 70);
    reservation_drop(&theirs);
    room_unref(room);
    room_unref(other);
}

static void hundreds_may_be_charged_for_one_tree(void **state)
{
    struct bed *b = *state;
    struct domain *d;

    assert_int_equal(bed_write(b, 0, "f", 0, 100), 100);
    for (int64_t i = 0; i < MANY; i++) {
        assert_int_equal(domain_get(b->l, DOMAIN_USER, 100 + i, &d), 0);
        assert_int_equal(tree_include(b->trees[0], d), 0);
    }
    assert_int_equal(bed_write(b, 0, "f", 100, 900), 900);
    for (int64_t i = 0; i < MANY; i += 2) { /* every other one leaves; some of them for good */
        d = domain_find(b->l, DOMAIN_USER, 100 + i);
        if (i % 4 == 0)
            tree_exclude(b->trees[0], d);
        else
            domain_drop(d);
    }
    for (unsigned restarts = 0; restarts < 3; restarts++) {
        for (int64_t i = 0; i < MANY; i++) {
            struct sum want = { i % 2 ? 1000 : 0, i % 2 ? 1 : 0 };
            d = domain_find(b->l, DOMAIN_USER, 100 + i);
            assert_true(d != NULL || i % 4 == 2);
            if (d)
                assert_sum("one of many", bed_used(d), want);
        }
        assert_home(b, 0, "the owner");
        assert_home(b, 1, "another tree");
        bed_close(b);
        bed_open(b);
    }
    tree_forget(b->trees[0]);
    assert_int_equal(bed_used(domain_find(b->l, DOMAIN_USER, 101)).bytes, 0);
}

static void what_cannot_be_included_is_never_clean(void **state)
{
    struct bed *b = *state;

    domain_set_incomplete(b->users[0], true);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_STALE);
    assert_int_equal(recount_start(b->users[0], false), 0);
    recount_wait(b->l);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_STALE);
    domain_set_incomplete(b->users[0], false);
    assert_int_not_equal(bed_state(b->users[0]), DOMAIN_STALE);
}

static void a_recount_after_a_dry_run_is_not_refused_for_good(void **state)
{
    struct bed *b = *state;

    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(recount_start(b->users[0], true), 0);
        int r = recount_start(b->users[0], false);
        assert_true(r == 0 || r == -EALREADY);
        recount_wait(b->l);
        assert_int_not_equal(bed_state(b->users[0]), DOMAIN_COUNTING);
        domain_mark_stale(b->users[0]);
        assert_int_equal(bed_state(b->users[0]), DOMAIN_STALE); /* and not "counting" with nobody who counts */
        assert_int_equal(recount_start(b->users[0], false), 0);
        recount_wait(b->l);
    }
}

static void who_asks_for_a_recount_joins_the_first_count(void **state)
{
    struct bed *b = *state;
    struct domain *d;
    struct tree *t;

    bed_sh(b, "mkdir cold; for i in 1 2 3 4 5 6 7 8 9; do mkdir cold/$i; echo $i >cold/$i/f; done");
    int root = openat(b->homes[1], "../cold", O_PATH | O_CLOEXEC);
    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 7, &d), 0);
    assert_int_equal(tree_open(b->l, d, root, b->homes[1], &t), 0);
    assert_int_equal(recount_start(d, false), 0);
    recount_wait(b->l);
    assert_int_equal(bed_used(d).bytes, 18);
    assert_int_equal(atomic_load(&domain_usage(d)->scan.result), SCAN_DONE);
}

static void after_a_downtime_nothing_is_clean_before_it_was_counted(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_write(b, 0, "a", 0, 5000), 5000);
    assert_int_equal(bed_write(b, 0, "b", 0, 300), 300);
    assert_int_equal(bed_write(b, 1, "gone", 0, 300), 300);
    bed_close(b);
    bed_sh(b, "rm h0/b h1/gone; echo >h0/a");
    b->unwatched = true;
    assert_int_equal(bed_try_open(b, &b->l), 0);
    assert_int_equal(bed_state(domain_find(b->l, DOMAIN_USER, 1)), DOMAIN_COUNTING);
    assert_int_equal(bed_state(domain_find(b->l, DOMAIN_USER, 2)), DOMAIN_COUNTING);
    ledger_close(b->l);
    bed_open(b);
    recount_wait(b->l);
    assert_home(b, 0, "counted again");
    assert_home(b, 1, "empty, but it was not");
}

static void what_changed_while_the_process_was_away_is_found_in_the_background(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_write(b, 0, "a", 0, 5000), 5000);
    bed_sh(b, "echo >h0/a; echo 123 >h0/new");
    recount_verify(b->users[0]);
    recount_wait(b->l);
    assert_home(b, 0, "verified");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_dropped_domain_leaves_its_slot_to_nobody_who_pays_for_others, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(a_dropped_domain_takes_its_own_trees_along, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_hold_in_a_dropped_domain_ends_without_harm, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(hundreds_may_be_charged_for_one_tree, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_included_is_never_clean, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_recount_after_a_dry_run_is_not_refused_for_good, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(who_asks_for_a_recount_joins_the_first_count, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(after_a_downtime_nothing_is_clean_before_it_was_counted, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(what_changed_while_the_process_was_away_is_found_in_the_background, bed_up_two,
                                        bed_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
