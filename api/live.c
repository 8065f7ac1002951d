/* One reader of the map for all threads, under a lock that is held for a look-up: tens of nanoseconds. A map that is
 * not there yet is looked for at most once a second, so that listing 500 users does not open a missing file 500 times.
 */
#include "api/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/sys.h"

enum { RETRY_MS = 1000 };

struct live {
    char *state_dir;
    char boot_id[37];
    struct mutex lock;
    struct usage_map *map; /* lock; NULL: not there yet */
    uint64_t retry_ns;     /* lock */
};

int live_new(const char *state_dir, struct live **ret)
{
    struct live *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return -ENOMEM;
    mutex_init(&l->lock, RANK_INDEX);
    l->state_dir = strdup(state_dir);
    int r = l->state_dir != NULL ? sys_boot_id(l->boot_id) : -ENOMEM;
    if (r < 0) {
        live_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void live_free(struct live *l)
{
    if (l == NULL)
        return;
    usage_close(l->map);
    mutex_done(&l->lock);
    free(l->state_dir);
    free(l);
}

static struct usage_map *live_map_locked(struct live *l) REQUIRES(l->lock);
static struct usage_map *live_map_locked(struct live *l)
{
    uint64_t now = sys->now_ns();

    if (l->map == NULL && now >= l->retry_ns && usage_open(l->state_dir, &l->map) < 0) {
        l->map = NULL;
        l->retry_ns = now + RETRY_MS * UINT64_C(1000000);
    }
    return l->map;
}

#define READ(x) atomic_load_explicit(&(x), memory_order_relaxed)

static void scan_read(const struct usage_scan *s, struct live_scan *ret)
{
    *ret = (struct live_scan){
        .start_ms = READ(s->start_ms),
        .end_ms = READ(s->end_ms),
        .files_seen = READ(s->files_seen),
        .bytes_seen = READ(s->bytes_seen),
        .files_expected = READ(s->files_expected),
        .drift_bytes = READ(s->drift_bytes),
        .drift_files = READ(s->drift_files),
        .error = READ(s->error),
        .result = (enum scan_result)READ(s->result),
        .dry_run = READ(s->dry_run) != 0,
    };
}

static void slot_read(const struct usage_slot *s, struct live_numbers *ret)
{
    ret->id = READ(s->id);
    ret->used_bytes = usage_reported_bytes(s);
    ret->used_files = usage_reported_files(s);
    ret->held_bytes = READ(s->held_bytes);
    ret->adjust_bytes = READ(s->adjust_bytes);
    ret->adjust_files = READ(s->adjust_files);
    ret->changed_ms = READ(s->changed_ms);
    ret->state = (enum domain_state)READ(s->state);
    scan_read(&s->scan, &ret->scan);
}

void live_read(struct live *l, enum domain_kind kind, int64_t id, struct live_numbers *ret)
{
    *ret = (struct live_numbers){ .id = id, .state = DOMAIN_STALE };
    mutex_lock(&l->lock);
    struct usage_map *map = live_map_locked(l);
    const struct usage_slot *s = map != NULL ? usage_find(map, kind, id) : NULL;
    if (s != NULL)
        slot_read(s, ret);
    if (s != NULL && !usage_is_believed(map, l->boot_id))
        ret->state = DOMAIN_STALE;
    mutex_unlock(&l->lock);
}

static bool scan_runs(const struct usage_slot *s)
{
    return READ(s->scan.start_ms) != 0 && READ(s->scan.end_ms) == 0;
}

size_t live_scans(struct live *l, enum domain_kind kind, struct live_numbers *ret, size_t room)
{
    const struct usage_slot *s;
    uint32_t pos = 0;
    size_t n = 0;

    mutex_lock(&l->lock);
    struct usage_map *map = live_map_locked(l);
    while (map != NULL && n < room && (s = usage_next(map, &pos)) != NULL)
        if (READ(s->kind) == kind && scan_runs(s))
            slot_read(s, &ret[n++]);
    mutex_unlock(&l->lock);
    return n;
}

void live_states(struct live *l, uint64_t ret[DOMAIN_COUNTING + 1])
{
    const struct usage_slot *s;
    uint32_t pos = 0;

    memset(ret, 0, (DOMAIN_COUNTING + 1) * sizeof(*ret));
    mutex_lock(&l->lock);
    struct usage_map *map = live_map_locked(l);
    bool believed = map != NULL && usage_is_believed(map, l->boot_id);
    while (map != NULL && (s = usage_next(map, &pos)) != NULL)
        if (READ(s->state) <= DOMAIN_COUNTING)
            ret[believed ? READ(s->state) : DOMAIN_STALE]++;
    mutex_unlock(&l->lock);
}
