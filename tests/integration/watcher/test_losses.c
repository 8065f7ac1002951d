/* Lost events, limits and storms: the numbers heal, and never look trustworthy before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/watcher/bed.h"

#include "base/log.h"

static const char setup[] = "mkdir -p h/a/b h/c; printf 12345 >h/a/b/f";

static unsigned warned; /* lines about inotify watches */

static void count_warnings(const char *line, size_t len)
{
    (void)len;
    warned += strstr(line, "watcher.max_watches") != NULL;
}

static int tear_down(void **state)
{
    struct bed *b = *state;
    bed_free(b);
    log_sink(NULL);
    return 0;
}

static struct bed *begin(void **state)
{
    const char *mode = *state;
    struct bed *b = bed_new(mode, setup);
    *state = b;
    return b;
}

/* Once the loss is known, a domain that does not say stale or counting is right, at every moment. */
static void await_healed(struct bed *b, int64_t overflows)
{
    AWAIT("the overflow is noticed", bed_metric(M_WATCHER_OVERFLOWS) > overflows);
    AWAIT("trusted again", bed_state(b, 0) <= DOMAIN_DIRTY && bed_state(b, 1) <= DOMAIN_DIRTY);
    assert_true(bed_is_right(b));
    bed_await_right(b, "after the recount");
}

static void more_places_than_fit_are_recounted(void **state)
{
    struct bed *b = begin(state);
    int64_t before = bed_metric(M_WATCHER_OVERFLOWS);

    b->tuning.places_max = 50;
    bed_watch(b);
    watcher_pause(b->watcher, true);
    bed_run(b, "seq -f h/a/%.0f 300 | xargs touch; printf more >>h/a/b/f; mkdir -p h/x/y; printf 1 >h/x/y/z");
    watcher_pause(b->watcher, false);
    await_healed(b, before);
}

/* The queue of the kernel ends at 16,384 by default: an event a file is more than enough. */
static void a_full_queue_of_the_kernel_is_recounted(void **state)
{
    struct bed *b = begin(state);
    int64_t before = bed_metric(M_WATCHER_OVERFLOWS);

    b->tuning.limited_queue = true;
    bed_watch(b);
    watcher_pause(b->watcher, true);
    bed_run(b, "seq -f out/%.0f 20000 | xargs touch; seq -f h/a/%.0f 20000 | xargs touch; printf more >>h/a/b/f;"
               "mkdir -p h/x/y; printf 1 >h/x/y/z; rm -r h/c");
    assert_false(bed_is_right(b));
    watcher_pause(b->watcher, false);
    await_healed(b, before);
    bed_run(b, "printf more >>h/x/y/z; mkdir -p h/x/y/w; printf new >h/x/y/w/v");
    bed_await_right(b, "changes where events were lost");
}

static void directories_without_a_watch_are_stale_until_a_recount(void **state)
{
    struct bed *b = begin(state);

    warned = 0;
    log_sink(count_warnings);
    b->max_watches = 3; /* of h: itself and two below; the rest waits */
    b->tuning.recount_every_ms = 500;
    bed_watch(b);
    bed_run(b, "mkdir -p h/n1/n2/n3; printf 1 >h/n1/n2/n3/f");
    bed_await_right(b, "new directories");
    bed_run(b, "printf 12345 >>h/n1/n2/n3/f");
    bed_await_right(b, "a write where no watch is");
    assert_int_equal(warned, 1);
    assert_int_equal(bed_metric(M_WATCHER_WATCHES), 3);
}

static void a_storm_of_changes_is_counted_to_the_byte(void **state)
{
    struct bed *b = begin(state);
    pid_t writers[3];
    char script[64];

    /* what inotify cannot see, the periodic recount finds */
    b->tuning.recount_every_ms = strcmp(b->mode, "inotify") == 0 ? 500 : 0;
    bed_watch(b);
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
            snprintf(script, sizeof script, "\"$SELF\" storm %zu 4000", round * 10 + i + 1);
            writers[i] = bed_spawn(b, script);
        }
        for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
            bed_join(writers[i]);
        bed_await_right(b, "a storm");
    }
}

static void a_mode_that_is_off_watches_nothing(void **state)
{
    struct bed *b = begin(state);
    char mode[] = "off";
    const struct config config = { .watcher = { .mode = mode } };

    assert_int_equal(watcher_start(&config, b->ledger, &b->watcher), 0);
    assert_string_equal(watcher_kind(b->watcher), "off");
}

static void an_unknown_mode_is_refused(void **state)
{
    struct bed *b = begin(state);
    char mode[] = "kqueue";
    const struct config config = { .watcher = { .mode = mode } };

    assert_int_equal(watcher_start(&config, b->ledger, &b->watcher), -EINVAL);
}

int main(int argc, char **argv)
{
    static char fanotify[] = "fanotify", inotify[] = "inotify", none[] = "off";
    int status;

#define IN_MODE(test, mode)                                                                                            \
    {                                                                                                                  \
#test " (" #mode ")", test, NULL, tear_down, mode                                                              \
    }
    const struct CMUnitTest tests[] = {
        IN_MODE(more_places_than_fit_are_recounted, fanotify),
        IN_MODE(more_places_than_fit_are_recounted, inotify),
        IN_MODE(a_full_queue_of_the_kernel_is_recounted, fanotify),
        IN_MODE(a_full_queue_of_the_kernel_is_recounted, inotify),
        IN_MODE(directories_without_a_watch_are_stale_until_a_recount, inotify),
        IN_MODE(a_storm_of_changes_is_counted_to_the_byte, fanotify),
        IN_MODE(a_storm_of_changes_is_counted_to_the_byte, inotify),
        IN_MODE(a_mode_that_is_off_watches_nothing, none),
        IN_MODE(an_unknown_mode_is_refused, none),
    };
    if (bed_main(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
