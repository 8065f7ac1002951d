/* The map of numbers against a plain array, under many random changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "watcher/numbers.h"

enum { KEYS = 512, STEPS = 200000 };

/* Keys that are close and far, so that runs of cells form. */
static uint64_t key_of(unsigned i)
{
    return i % 2 ? i + 1 : (uint64_t)(i + 1) << 40;
}

static void a_map_holds_what_was_set_and_not_removed(void **state)
{
    struct numbers m = { 0 };
    uint64_t model[KEYS] = { 0 };
    unsigned seed = 1;
    size_t live = 0;

    (void)state;
    for (unsigned step = 1; step <= STEPS; step++) {
        unsigned i = (unsigned)rand_r(&seed) % KEYS;
        live -= model[i] != 0;
        model[i] = rand_r(&seed) % 3 ? step : 0;
        live += model[i] != 0;
        if (model[i])
            assert_int_equal(numbers_set(&m, key_of(i), model[i]), 0);
        else
            numbers_remove(&m, key_of(i));
        unsigned other = (unsigned)rand_r(&seed) % KEYS;
        assert_int_equal(numbers_find(&m, key_of(other)), model[other]);
        assert_int_equal(m.used, live);
    }
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(numbers_find(&m, key_of(i)), model[i]);
    numbers_done(&m);
}

static void a_walk_meets_each_value_once(void **state)
{
    struct numbers m = { 0 };
    bool met[KEYS + 1] = { false };
    uint64_t value;
    size_t n = 0;

    (void)state;
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(numbers_set(&m, key_of(i), i + 1), 0);
    for (size_t at = 0; (value = numbers_next(&m, &at, NULL)) != 0; n++) {
        assert_false(met[value]);
        met[value] = true;
    }
    assert_int_equal(n, KEYS);
    numbers_done(&m);
}

static void an_empty_map_has_nothing(void **state)
{
    struct numbers m = { 0 };
    size_t at = 0;

    (void)state;
    numbers_remove(&m, 7);
    assert_int_equal(numbers_find(&m, 7), 0);
    assert_int_equal(numbers_next(&m, &at, NULL), 0);
    numbers_done(&m);
}

static void a_hash_depends_on_seed_and_bytes_and_is_never_zero(void **state)
{
    (void)state;
    assert_int_not_equal(hash_bytes(1, "a", 1), hash_bytes(2, "a", 1));
    assert_int_not_equal(hash_bytes(1, "a", 1), hash_bytes(1, "b", 1));
    assert_int_not_equal(hash_bytes(1, "a", 1), hash_bytes(1, "a", 2));
    assert_int_equal(hash_bytes(1, "abc", 3), hash_bytes(1, "abc", 3));
    assert_int_not_equal(hash_bytes(0xcbf29ce484222325ULL, "", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_holds_what_was_set_and_not_removed),
        cmocka_unit_test(a_walk_meets_each_value_once),
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(a_hash_depends_on_seed_and_bytes_and_is_never_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
