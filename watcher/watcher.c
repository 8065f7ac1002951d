/* Start and stop. Both threads begin when the descriptors are there, and before the trees are told of: a mark is set in
 * the thread that opens a tree, its events wait in the kernel. At the stop the drain thread reads what is there, then
 * the rest is looked at: what was changed beneath before the stop is in the counters when the ledger is closed. */
#include "watcher/watcher.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "watcher/inside.h"
#include "watcher/kernel.h"

#define MINUTE_NS UINT64_C(60000000000)

static const struct mode {
    const char *name;
    enum watched_by first;
    bool may_fall_back;
} modes[] = {
    { "auto", BY_FANOTIFY, true },
    { "fanotify", BY_FANOTIFY, false },
    { "inotify", BY_INOTIFY, false },
    { "off", BY_NOBODY, false },
};

static const struct mode *mode_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

/* What the mode wants; in mode auto less will do, but not nothing. */
static int sources_open(struct watcher *w)
{
    int r = 0;

    if (w->first == BY_FANOTIFY) {
        w->fan = kernel_fanotify_open(w->tuning.limited_queue);
        if (w->fan < 0 && !w->may_fall_back)
            return w->fan;
        if (w->fan < 0) {
            log_info("watcher: no fanotify, inotify instead: %s", error_text(w->fan));
            w->first = BY_INOTIFY;
        }
    }
    if (w->first == BY_INOTIFY || w->may_fall_back) {
        w->ino = kernel_inotify_open();
        r = w->ino < 0 && w->first == BY_INOTIFY ? w->ino : 0;
    }
    return r;
}

static int events_open(struct watcher *w)
{
    int *events[] = { &w->stop_event, &w->work_event, &w->pause_event };

    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        *events[i] = kernel_event_open();
        if (*events[i] < 0)
            return *events[i];
    }
    return 0;
}

static int threads_start(struct watcher *w)
{
    int r = kernel_thread_start("watcher-drain", drain_run, w, &w->drainer);
    w->drains = r == 0;
    if (r == 0)
        r = kernel_thread_start("watcher-repair", repair_run, w, &w->repairer);
    w->repairs = w->drains && r == 0;
    return r;
}

static struct watcher *watcher_new(const struct config *config, struct ledger *l, const struct watcher_tuning *tuning)
{
    const struct mode *mode = mode_find(config->watcher.mode);
    struct watcher *w = mode ? calloc(1, sizeof *w) : NULL;

    if (!w)
        return NULL;
    w->ledger = l;
    w->tuning = *tuning;
    w->first = mode->first;
    w->may_fall_back = mode->may_fall_back;
    w->max_watches = config->watcher.max_watches;
    w->recount_every_ns = config->watcher.recount_every_min * MINUTE_NS;
    if (tuning->recount_every_ms > 0)
        w->recount_every_ns = tuning->recount_every_ms * UINT64_C(1000000);
    w->next_recount_ns = sys->now_ns() + w->recount_every_ns;
    w->fan = w->ino = w->stop_event = w->work_event = w->pause_event = -1;
    mutex_init(&w->lock, RANK_QUEUE);
    return w;
}

static int begin(struct watcher *w)
{
    if (w->first == BY_NOBODY)
        return 0;
    int r = dirty_new(w->tuning.places_max, &w->dirty);
    if (r == 0)
        r = sources_open(w);
    if (r == 0)
        r = events_open(w);
    if (r == 0)
        r = threads_start(w);
    if (r < 0)
        return r;
    trees_subscribe(w->ledger, trees_told, w);
    trees_each(w->ledger, trees_add, w);
    return 0;
}

int watcher_start_tuned(const struct config *config, struct ledger *ledger, const struct watcher_tuning *tuning,
                        struct watcher **ret)
{
    struct watcher *w = watcher_new(config, ledger, tuning);

    if (!w)
        return mode_find(config->watcher.mode) ? -ENOMEM : -EINVAL;
    int r = begin(w);
    if (r < 0) {
        watcher_stop(w);
        return r;
    }
    *ret = w;
    return 0;
}

int watcher_start(const struct config *config, struct ledger *ledger, struct watcher **ret)
{
    const struct watcher_tuning tuning = { .settle_ms = SETTLE_MS, .places_max = PLACES_MAX };
    return watcher_start_tuned(config, ledger, &tuning, ret);
}

static void threads_stop(struct watcher *w)
{
    atomic_store_explicit(&w->stopping, true, memory_order_release);
    kernel_event_set(w->stop_event);
    if (w->drains)
        pthread_join(w->drainer, NULL);
    if (w->repairs)
        pthread_join(w->repairer, NULL);
    if (w->repairs)
        repair_rest(w);
}

void watcher_stop(struct watcher *w)
{
    if (!w)
        return;
    threads_stop(w);
    fd_close(&w->fan);
    fd_close(&w->ino);
    fd_close(&w->stop_event);
    fd_close(&w->work_event);
    fd_close(&w->pause_event);
    ino_free(w);
    trees_free(w);
    numbers_done(&w->wishes);
    dirty_free(w->dirty);
    mutex_done(&w->lock);
    free(w);
}

void watcher_pause(struct watcher *w, bool pause)
{
    atomic_store_explicit(&w->paused, pause, memory_order_release);
    kernel_event_set(w->pause_event);
}

const char *watcher_kind(const struct watcher *w)
{
    static const char *const kinds[] = { [BY_NOBODY] = "off", [BY_FANOTIFY] = "fanotify", [BY_INOTIFY] = "inotify" };
    return kinds[w->first];
}
