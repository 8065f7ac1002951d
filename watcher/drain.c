/* The drain thread: reads what the kernel has and puts places into the dirty set, nothing else, so that the kernel's
 * queue stays short whatever a repair costs.
 *
 * Creates and removals of our own are told, too (fan.c), and cost an event each. So after it has read, it waits a
 * moment before it looks again: a busy mount wakes it some hundred times a second, not once for each file. */
#include "base/log.h"
#include "base/metric.h"
#include "watcher/inside.h"
#include "watcher/kernel.h"

void drain_add(struct watcher *w, enum watched_by by, struct place at, const char *name)
{
    if (dirty_add(w->dirty, at, name) < 0)
        trees_lost(w, by, "too many places wait to be looked at");
}

static void drain_once(struct watcher *w)
{
    bool added = false;

    if (w->fan >= 0)
        added |= fan_drain(w);
    if (w->ino >= 0)
        added |= ino_drain(w);
    if (!added)
        return;
    uint64_t none = 0;
    IGNORE(atomic_compare_exchange_strong(&w->added_ns, &none, sys->now_ns()), "the first of the round counts");
    metric_set(M_WATCHER_BACKLOG, 0, (int64_t)dirty_count(w->dirty));
    kernel_event_set(w->work_event);
}

void *drain_run(void *arg)
{
    struct watcher *w = arg;
    int stop = w->stop_event;

    while (!atomic_load_explicit(&w->stopping, memory_order_acquire)) {
        bool paused = atomic_load_explicit(&w->paused, memory_order_acquire);
        kernel_event_clear(w->pause_event);
        if (!paused)
            drain_once(w);
        kernel_wait((int[]){ stop, w->pause_event, paused ? -1 : w->fan, paused ? -1 : w->ino }, 4, -1);
        metric_add(M_WATCHER_WAKES, 0, 1);
        kernel_wait((int[]){ stop, w->pause_event }, 2, BATCH_MS);
    }
    drain_once(w); /* what was done before the stop is counted before the ledger becomes clean */
    return NULL;
}
