/* ledger.db cannot be written: its disk is full, or fails.
 *
 * A dirty mark says: after a crash of the machine this number is not to be believed. When no row can be written, the
 * header of domains.map says it for all domains at once: its block is there already, so a full disk does not matter.
 * Then everything goes on, growth too; only a crash of the machine would be dearer, since all is counted again.
 *
 * If the header cannot be written either, nothing durable can say that the number changed. What makes a home smaller
 * goes on (whoever deletes is perhaps just making room), what would make it larger is refused, and the domain is stale,
 * for everybody to see. A crash of the process does no harm in either case: the maps outlive it.
 *
 * It heals by itself: the rows of all that was marked in this way are tried again, less and less often, and when they
 * are written, the header's word is taken back. */
#include "base/log.h"
#include "base/metric.h"
#include "ledger/inside.h"

#define SECOND_NS    UINT64_C(1000000000)
#define HEAL_WAIT_NS (30 * SECOND_NS) /* at most */

int unwritable_mark(struct ledger *l, int failure)
{
    struct journal *j = &l->journal;
    int r = 0;

    if (!j->in_trouble)
        log_error("ledger: ledger.db cannot be written: %s. Until it can be, a crash of the machine makes all numbers "
                  "stale. Make room on its disk, or mend it",
                  error_text(failure));
    j->in_trouble = true;
    j->failed_marks++;
    metric_set(M_LEDGER_UNWRITABLE, 0, 1);
    if (!j->by_header) {
        atomic_store(&l->usage->unmarked, 1);
        r = map_sync_head(&l->domains_map);
        j->by_header = r == 0;
    }
    return r == 0 ? 0 : failure == -ENOSPC ? -ENOSPC : -EIO;
}

void unwritable_load(struct ledger *l)
{
    struct journal *j = &l->journal;
    uint32_t n = atomic_load_explicit(&l->usage->slots, memory_order_relaxed);

    if (atomic_load(&l->usage->unmarked) == 0)
        return;
    j->in_trouble = j->by_header = true;
    for (uint32_t i = 0; i < n; i++) {
        struct domain *d = l->domains[i];

        if (d && atomic_load_explicit(&d->u->state, memory_order_relaxed) != DOMAIN_CLEAN) {
            journal_touch(d);
            journal_want(d);
        }
    }
}

bool unwritable_due(struct ledger *l, bool *ret_ok, uint64_t *ret_marks)
{
    struct journal *j = &l->journal;

    mutex_lock(&j->db_m);
    bool due = j->in_trouble && sys->now_ns() >= j->heal_ns;
    *ret_ok = !j->in_trouble;
    *ret_marks = j->failed_marks;
    mutex_unlock(&j->db_m);
    return due;
}

/* Nothing that the header said is unknown to the rows now. */
static bool end_locked(struct ledger *l, uint64_t marks)
{
    struct journal *j = &l->journal;

    j->heal_wait_ns = 0;
    if (j->failed_marks != marks)
        return false; /* there was another one meanwhile */
    atomic_store(&l->usage->unmarked, 0);
    if (map_sync_head(&l->domains_map) < 0)
        atomic_store(&l->usage->unmarked, 1);
    else
        j->in_trouble = j->by_header = false;
    return !j->in_trouble;
}

static void heal(struct domain *d)
{
    if (atomic_exchange(&d->unmarked, 0) == 0)
        return;
    journal_want(d);
    if (domain_is_stale(d))
        recount_again(d);
}

void unwritable_tried(struct ledger *l, struct domain **warm, size_t n, bool written, uint64_t marks)
{
    struct journal *j = &l->journal;
    bool over = false;

    mutex_lock(&j->db_m);
    if (written) {
        over = end_locked(l, marks);
    } else {
        j->heal_wait_ns = MIN(j->heal_wait_ns ? j->heal_wait_ns * 2 : SECOND_NS, HEAL_WAIT_NS);
        j->heal_ns = sys->now_ns() + j->heal_wait_ns;
    }
    mutex_unlock(&j->db_m);
    if (!over)
        return;
    metric_set(M_LEDGER_UNWRITABLE, 0, 0);
    log_info("ledger: ledger.db can be written again");
    for (size_t i = 0; i < n; i++)
        heal(warm[i]);
}
