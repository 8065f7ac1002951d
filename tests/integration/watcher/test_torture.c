/* Everything at once: operations of the mount, changes beneath it by other processes, recounts in a loop, queues that
 * overflow, trees that are turned over by renames. When it is quiet again the numbers are those of a walk, to the byte,
 * in every directory.
 *
 * Two kinds of rounds, since a recount hides what events miss: in the first there is neither a recount nor an overflow,
 * so what is right is right by events and operations alone; in the second there is all of it.
 *
 * TALLY_TORTURE_OPS: operations of each writer and round; without it, few enough for every day. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/str.h"
#include "tests/integration/watcher/bed.h"
#include "tests/support/ops.h"

enum { OPS_EVERY_DAY = 1500, MOUNT_WRITERS = 2, FOREIGN_WRITERS = 2, ROUNDS = 2 };

static const char setup[] = "mkdir -p h/d0/e0 h/d1 h/d2 g/d0 out/d0; printf 12345 >h/d0/e0/f";

struct writer {
    struct ops *ops;
    pthread_t thread;
    uint64_t seed;
    int64_t steps;
    unsigned who;
    _Atomic unsigned *working;
};

static int64_t steps_of_each(void)
{
    const char *text = getenv("TALLY_TORTURE_OPS");
    int64_t n = OPS_EVERY_DAY;

    if (text)
        assert_int_equal(str_int(text, 1, INT32_MAX, &n), 0);
    return n;
}

static void *storm(void *arg)
{
    struct writer *w = arg;

    for (int64_t i = 0; i < w->steps; i++)
        ops_storm(w->ops, (unsigned)(i % 8 == 7), w->who, &w->seed);
    atomic_fetch_sub(w->working, 1);
    return NULL;
}

static void ops_of(struct bed *b, struct ops *o)
{
    o->l = b->ledger;
    for (unsigned i = 0; i < ARRAY_SIZE(b->homes); i++) {
        const struct room_row row = { .domain = b->homes[i].domain };

        o->trees[i] = b->homes[i].tree;
        o->homes[i] = b->homes[i].dir;
        o->rooms[i] = room_new(b->ledger, &row, 1);
        assert_non_null(o->rooms[i]);
    }
}

static bool runs(pid_t pid)
{
    siginfo_t info = { .si_pid = 0 };

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

/* Recounts one after the other, and the reader of events asleep now and then, so that queues overflow. */
static void disturb(struct bed *b, unsigned turn)
{
    struct domain *d = b->homes[turn % 2].domain;
    int r = recount_start(d, turn % 5 == 0);

    assert_true(r == 0 || r == -EALREADY);
    if (turn % 7 == 3)
        assert_true(recount_cancel(d) <= 0);
    watcher_pause(b->watcher, turn % 3 != 0);
    bed_pause();
}

static void one_round(struct bed *b, struct ops *o, unsigned round, bool disturbed)
{
    struct writer writers[MOUNT_WRITERS];
    pid_t foreign[FOREIGN_WRITERS];
    _Atomic unsigned working = MOUNT_WRITERS;
    int64_t steps = steps_of_each();
    char script[64];

    for (unsigned i = 0; i < FOREIGN_WRITERS; i++) {
        snprintf(script, sizeof script, "\"$SELF\" storm %u %lld", round * 10 + i + 1, (long long)steps);
        foreign[i] = bed_spawn(b, script);
    }
    for (unsigned i = 0; i < MOUNT_WRITERS; i++) {
        writers[i] =
            (struct writer){ .ops = o, .who = i, .seed = round * 100 + i, .steps = steps, .working = &working };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, storm, &writers[i]), 0);
    }
    for (unsigned turn = 0; atomic_load(&working) > 0 || runs(foreign[0]) || runs(foreign[1]); turn++) {
        if (disturbed)
            disturb(b, turn);
        else
            bed_pause();
    }
    for (unsigned i = 0; i < FOREIGN_WRITERS; i++)
        bed_join(foreign[i]);
    for (unsigned i = 0; i < MOUNT_WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    watcher_pause(b->watcher, false);
}

static void overflow(struct bed *b)
{
    int64_t before = bed_metric(M_WATCHER_OVERFLOWS);

    watcher_pause(b->watcher, true);
    bed_run(b, "seq -f h/many-%.0f 300 | xargs touch");
    watcher_pause(b->watcher, false);
    AWAIT("the overflow is noticed", bed_metric(M_WATCHER_OVERFLOWS) > before);
    bed_run(b, "rm h/many-*");
}

static void no_drift(struct bed *b, const char *what)
{
    bed_await_right(b, what);
    recount_wait(b->ledger);
    AWAIT("trusted", bed_state(b, 0) <= DOMAIN_DIRTY && bed_state(b, 1) <= DOMAIN_DIRTY);
    for (unsigned i = 0; i < ARRAY_SIZE(b->homes); i++) {
        const struct usage_slot *u = domain_usage(b->homes[i].domain);

        assert_int_equal(recount_start(b->homes[i].domain, true), 0);
        recount_wait(b->ledger);
        assert_int_equal(atomic_load(&u->scan.drift_bytes), 0);
        assert_int_equal(atomic_load(&u->scan.drift_files), 0);
        assert_int_equal(atomic_load(&u->held_bytes), 0);
        assert_int_equal(atomic_load(&u->held_files), 0);
    }
    assert_true(bed_is_right(b));
}

static void all_rounds(struct bed *b, bool disturbed)
{
    struct ops o = { 0 };

    b->tuning.limited_queue = disturbed;
    b->tuning.places_max = disturbed ? 60 : PLACES_MAX;
    if (strcmp(b->mode, "inotify") == 0) /* what it cannot see is found by recounts */
        b->tuning.recount_every_ms = 300;
    bed_watch(b);
    ops_of(b, &o);
    int64_t overflows = bed_metric(M_WATCHER_OVERFLOWS), underflows = bed_metric(M_LEDGER_UNDERFLOWS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        one_round(b, &o, round, disturbed);
        if (disturbed) /* also where the writers were too slow for it */
            overflow(b);
        no_drift(b, disturbed ? "with recounts and overflows" : "by events and operations alone");
    }
    assert_true(disturbed || bed_metric(M_WATCHER_OVERFLOWS) == overflows);
    assert_int_equal(bed_metric(M_LEDGER_UNDERFLOWS), underflows);
    for (unsigned i = 0; i < ARRAY_SIZE(b->homes); i++)
        room_unref(o.rooms[i]);
}

static int tear_down(void **state)
{
    bed_free(*state);
    return 0;
}

static struct bed *begin(void **state)
{
    const char *mode = *state;
    struct bed *b = bed_new(mode, setup);

    *state = b;
    return b;
}

static void mount_and_foreign_writers_make_no_drift(void **state)
{
    all_rounds(begin(state), false);
}

static void nor_do_recounts_and_overflows_at_the_same_time(void **state)
{
    all_rounds(begin(state), true);
}

int main(int argc, char **argv)
{
    static char fanotify[] = "fanotify", inotify[] = "inotify";
    int status;

#define IN_MODE(test, mode)                                                                                            \
    {                                                                                                                  \
#test " (" #mode ")", test, NULL, tear_down, mode                                                              \
    }
    const struct CMUnitTest tests[] = {
        IN_MODE(mount_and_foreign_writers_make_no_drift, fanotify),
        IN_MODE(mount_and_foreign_writers_make_no_drift, inotify),
        IN_MODE(nor_do_recounts_and_overflows_at_the_same_time, fanotify),
        IN_MODE(nor_do_recounts_and_overflows_at_the_same_time, inotify),
    };
    if (bed_main(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
