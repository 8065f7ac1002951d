/* Nobody can take the last place of the open table, and places that were given back can be taken again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "vfs/shares.h"
#include "vfs/vacant.h"

enum { ROOM = 120 };

/* Takes until it is refused. Returns how many, the refusal in *ret_r. */
static uint32_t take_all(struct shares *s, uint64_t uid, uint64_t tree, struct held *held, int *ret_r,
                         enum share_kind *ret_kind)
{
    const struct holders who = { .id = { [SHARE_UID] = uid, [SHARE_TREE] = tree } };
    uint32_t n = 0;

    while ((*ret_r = share_take(s, &who, false, &held[n], ret_kind)) == 0)
        n++;
    return n;
}

/* In this order; each takes what it can get. */
static const struct {
    const char *name;
    uint64_t uid, tree;
    uint32_t got;
    enum share_kind kind;
} rows[] = {
    { "the first gets half", 1, 1, 60, SHARE_UID },
    { "it gets no more in another tree", 1, 2, 0, SHARE_UID },
    { "the second gets half of the rest", 2, 2, 30, SHARE_UID },
    { "the tree that the first filled is full for others", 3, 1, 0, SHARE_TREE },
    { "the third gets half of the rest", 3, 3, 15, SHARE_UID },
    { "a newcomer finds room", 4, 4, 8, SHARE_UID },
    { "and one more", 5, 5, 4, SHARE_UID },
};

static void whoever_wants_all_leaves_as_much_as_it_has(void **state)
{
    static struct held held[ARRAY_SIZE(rows)][ROOM];
    struct shares *s = NULL;
    uint32_t used = 0;

    (void)state;
    assert_int_equal(shares_new(ROOM, &s), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        enum share_kind kind = SHARE_KINDS;
        int r;
        uint32_t got = take_all(s, rows[i].uid, rows[i].tree, held[i], &r, &kind);
        if (got != rows[i].got || r != -EMFILE || kind != rows[i].kind)
            fail_msg("%s: got %u, %d, kind %d", rows[i].name, got, r, kind);
        used += got;
    }
    assert_int_equal(shares_used(s), used);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (uint32_t n = 0; n < rows[i].got; n++)
            share_give(s, &held[i][n]);
    assert_int_equal(shares_used(s), 0);
    int r;
    enum share_kind kind;
    assert_int_equal(take_all(s, 1, 1, held[0], &r, &kind), ROOM / 2);
    shares_free(s);
}

static void a_full_table_is_full_for_everybody(void **state)
{
    struct shares *s = NULL;
    struct held held;
    enum share_kind kind;

    (void)state;
    assert_int_equal(shares_new(4, &s), 0);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(share_take(s, &(struct holders){ .id = { i, i } }, false, &held, &kind), 0);
    assert_int_equal(share_take(s, &(struct holders){ .id = { 9, 9 } }, false, &held, &kind), -ENFILE);
    assert_int_equal(share_take(s, &(struct holders){ .id = { 0, 0 } }, true, &held, &kind), 0); /* was its already */
    shares_free(s);
}

static void the_place_that_was_given_back_last_is_taken_first(void **state)
{
    struct vacant v;
    uint32_t n;

    (void)state;
    assert_int_equal(vacant_init(&v, 5), 0);
    vacant_resume(&v, 3);
    vacant_give(&v, 1);
    assert_true(vacant_take(&v, &n) && n == 1);
    assert_true(vacant_take(&v, &n) && n == 3);
    assert_true(vacant_take(&v, &n) && n == 4);
    assert_false(vacant_take(&v, &n));
    vacant_give(&v, 2);
    vacant_give(&v, 0);
    assert_true(vacant_take(&v, &n) && n == 0);
    assert_true(vacant_take(&v, &n) && n == 2);
    assert_false(vacant_take(&v, &n));
    vacant_done(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_wants_all_leaves_as_much_as_it_has),
        cmocka_unit_test(a_full_table_is_full_for_everybody),
        cmocka_unit_test(the_place_that_was_given_back_last_is_taken_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
