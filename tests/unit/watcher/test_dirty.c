/* The dirty set: each place once, in order, with a maximum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"
#include "watcher/dirty.h"

enum { MANY = 20000 };

static struct dirty *set; /* owned by setup and teardown */

static int set_up(void **state)
{
    (void)state;
    return dirty_new(MANY, &set);
}

static int tear_down(void **state)
{
    (void)state;
    dirty_free(set);
    set = NULL;
    return 0;
}

static const struct {
    struct place at;
    const char *name;
} in[] = {
    { { DIRTY_NAME, 7, false }, "a" }, { { DIRTY_NAME, 7, false }, "b" }, { { DIRTY_NAME, 8, false }, "a" },
    { { DIRTY_SLOT, 7, false }, "" },  { { DIRTY_GONE, 7, false }, "" },  { { DIRTY_NAME, 7, false }, "a" },
    { { DIRTY_NAME, 7, true }, "b" },  { { DIRTY_SLOT, 7, false }, "" },  { { DIRTY_NAME, 7, false }, "b" },
};

static const struct {
    struct place at;
    const char *name;
} out[] = {
    { { DIRTY_NAME, 7, false }, "a" }, { { DIRTY_NAME, 7, true }, "b" }, { { DIRTY_NAME, 8, false }, "a" },
    { { DIRTY_SLOT, 7, false }, "" },  { { DIRTY_GONE, 7, false }, "" },
};

static void places_come_out_once_and_in_the_order_of_their_first_event(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(in); i++)
        assert_int_equal(dirty_add(set, in[i].at, in[i].name), 0);
    assert_int_equal(dirty_count(set), ARRAY_SIZE(out));

    struct dirty_place *p = dirty_take(set);
    for (size_t i = 0; i < ARRAY_SIZE(out); i++) {
        assert_non_null(p);
        assert_int_equal(p->at.kind, out[i].at.kind);
        assert_int_equal(p->at.id, out[i].at.id);
        assert_int_equal(p->at.renamed, out[i].at.renamed);
        assert_string_equal(p->name, out[i].name);
        struct dirty_place *next = p->next;
        dirty_place_free(p);
        p = next;
    }
    assert_null(p);
    assert_null(dirty_take(set));
}

static void add_numbered(unsigned first, unsigned n, int wanted)
{
    for (unsigned i = first; i < first + n; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i % 100);
        assert_int_equal(dirty_add(set, (struct place){ DIRTY_NAME, i / 100, false }, name), wanted);
    }
}

static void many_places_are_merged_while_the_table_grows(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++)
        add_numbered(0, MANY, 0);
    assert_int_equal(dirty_count(set), MANY);
}

static void a_full_set_says_that_it_lost_all(void **state)
{
    (void)state;
    add_numbered(0, MANY, 0);
    add_numbered(0, 1, 0); /* is there already */
    add_numbered(MANY, 1, -EOVERFLOW);
    assert_int_equal(dirty_count(set), 0);
    add_numbered(0, 10, 0);
    assert_int_equal(dirty_count(set), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(places_come_out_once_and_in_the_order_of_their_first_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_places_are_merged_while_the_table_grows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_set_says_that_it_lost_all, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
