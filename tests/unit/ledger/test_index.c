/* The index against a plain array that says the same slowly. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ledger/inside.h"

enum { KEYS = 3000, STEPS = 60000, THREADS = 4 };

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % below;
}

static void insertions_and_removals_agree_with_an_array(void **state)
{
    static uint32_t want[KEYS];
    struct index x;
    uint64_t seed = 7;

    (void)state;
    assert_int_equal(index_init(&x, 1), 0); /* one shard: the longest runs of neighbours */
    for (unsigned i = 0; i < STEPS; i++) {
        uint32_t key = draw(&seed, KEYS), value = 1 + draw(&seed, 1000), there = 0;

        if (draw(&seed, 2) == 0) {
            assert_int_equal(index_insert(&x, key % 3, key, value, &there), 0);
            assert_int_equal(there, want[key] ? want[key] : value);
            want[key] = there;
        } else {
            index_remove(&x, key % 3, key, value + 1000); /* another value: nothing goes */
            assert_int_equal(index_find(&x, key % 3, key), want[key]);
            index_remove(&x, key % 3, key, want[key]);
            want[key] = 0;
        }
        key = draw(&seed, KEYS);
        assert_int_equal(index_find(&x, key % 3, key), want[key]);
        assert_int_equal(index_find(&x, key % 3 + 1, key), 0); /* another space */
    }
    index_done(&x);
}

static void a_count_goes_with_its_last_user(void **state)
{
    struct index x;

    (void)state;
    assert_int_equal(index_init(&x, 4), 0);
    assert_int_equal(index_count(&x, 1, 77, 1), 0);
    assert_int_equal(index_count(&x, 1, 77, 1), 0);
    assert_int_equal(index_find(&x, 1, 77), 2);
    assert_int_equal(index_count(&x, 1, 77, -1), 0);
    assert_int_equal(index_count(&x, 1, 77, -1), 0);
    assert_int_equal(index_find(&x, 1, 77), 0);
    index_done(&x);
}

struct finder {
    struct index *x;
    uint32_t me, won;
    pthread_t thread;
};

static void *insert_all(void *arg)
{
    struct finder *f = arg;

    for (uint32_t key = 0; key < KEYS; key++) {
        uint32_t there = 0;

        if (index_insert(f->x, 0, key, f->me, &there) == 0 && there == f->me)
            f->won++;
    }
    return NULL;
}

static void one_of_several_inserters_wins_each_key(void **state)
{
    struct finder f[THREADS];
    struct index x;
    uint32_t won = 0;

    (void)state;
    assert_int_equal(index_init(&x, 16), 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        f[i] = (struct finder){ .x = &x, .me = i + 1 };
        assert_int_equal(pthread_create(&f[i].thread, NULL, insert_all, &f[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(f[i].thread, NULL);
        won += f[i].won;
    }
    assert_int_equal(won, KEYS);
    index_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(insertions_and_removals_agree_with_an_array),
        cmocka_unit_test(a_count_goes_with_its_last_user),
        cmocka_unit_test(one_of_several_inserters_wins_each_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
