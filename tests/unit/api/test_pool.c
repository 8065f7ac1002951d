/* The pool: all jobs run, a full queue refuses, closing loses none. */
#include <semaphore.h>
#include <stdatomic.h>

#include "api/pool.h"
#include "tests/unit/api/row.h"

struct gate_job {
    sem_t started, go;
    _Atomic int done;
};

static void job_waits(void *arg)
{
    struct gate_job *j = arg;

    sem_post(&j->started);
    sem_wait(&j->go);
    atomic_fetch_add(&j->done, 1);
}

static void job_counts(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void a_full_queue_refuses_and_what_is_queued_runs(void **state)
{
    struct gate_job j = { .done = 0 };
    _Atomic int counted = 0;
    struct pool *p = NULL;

    (void)state;
    sem_init(&j.started, 0, 0);
    sem_init(&j.go, 0, 0);
    assert_int_equal(pool_start(1, 2, &p), 0);
    assert_int_equal(pool_submit(p, job_waits, &j), 0);
    sem_wait(&j.started); /* the only worker is at it */
    assert_int_equal(pool_submit(p, job_counts, &counted), 0);
    assert_int_equal(pool_submit(p, job_counts, &counted), 0);
    assert_int_equal(pool_submit(p, job_counts, &counted), -EAGAIN);
    assert_int_equal(atomic_load(&counted), 0);
    sem_post(&j.go);
    pool_close(p);
    assert_int_equal(atomic_load(&j.done), 1);
    assert_int_equal(atomic_load(&counted), 2);
    assert_int_equal(pool_submit(p, job_counts, &counted), -ESHUTDOWN);
    pool_stop(p);
    sem_destroy(&j.started);
    sem_destroy(&j.go);
}

static void many_jobs_all_run_once(void **state)
{
    _Atomic int counted = 0;
    struct pool *p = NULL;
    int accepted = 0;

    (void)state;
    assert_int_equal(pool_start(4, POOL_QUEUE_MAX, &p), 0);
    for (int i = 0; i < 20000; i++)
        accepted += pool_submit(p, job_counts, &counted) == 0;
    pool_close(p);
    assert_int_equal(atomic_load(&counted), accepted);
    assert_true(accepted >= POOL_QUEUE_MAX);
    pool_stop(p);
    pool_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_refuses_and_what_is_queued_runs),
        cmocka_unit_test(many_jobs_all_run_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
