/* settle: the one function that moves counters.
 *
 * A record becomes what a stat says that was taken inside the record's lock. The difference goes to the totals of all
 * directories above it and to every domain of the tree's charge set. It is level-triggered: it does not matter who saw
 * what, how often or in which order; the last stat of an inode decides, and stats of one inode are ordered by its
 * lock. So an operation in the mount, an event from beneath, a recount and the repair after a crash can all look at
 * the same file without agreeing with each other.
 *
 *   charged = (has a name in its tree, or is open) ? size : nothing
 *
 * A record that is not charged any more is released, unless it is pinned: the kernel may have looked its inode up
 * before the last name went, and may still open it. Then it is charged again.
 *
 * The charge set cannot change in between: settle holds the tree's lock shared from the old word to the last domain,
 * and include and exclude hold it exclusively. */
#include "ledger/inside.h"

static bool is_live_file(const struct record *r)
{
    uint32_t wanted = RECORD_LIVE | RECORD_FILE;

    return (record_head(r) & wanted) == wanted;
}

static uint32_t opens_of(const struct record *r)
{
    return atomic_load_explicit(&r->opens, memory_order_relaxed);
}

static void move_domains(const struct charge_set *set, struct move by, struct reservation *hold)
{
    for (uint32_t i = 0; i < set->n; i++)
        domain_move(set->v[i], by, reservation_of(hold, set->v[i]));
    if (hold)
        reservation_end(hold, set);
}

static bool settle_in_tree(struct tree *t, slot_t slot, const struct settling *s)
{
    struct ledger *l = t->l;
    struct record *r = record_at(l, slot);
    uint64_t old = record_word(r);
    uint64_t now = s->charged ? s->bytes | RECORD_CHARGED : 0;
    struct move by = { .met = s->met };

    if (s->stamp)
        atomic_store_explicit(&r->seen, atomic_load_explicit(&t->s->epoch, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&r->word, now, memory_order_release);
    by.bytes = (int64_t)(now & ~RECORD_CHARGED) - (int64_t)(old & ~RECORD_CHARGED);
    by.files = (now & RECORD_CHARGED ? 1 : 0) - (old & RECORD_CHARGED ? 1 : 0);
    if (old != now) {
        place_add(l, place_parent(record_place(r)), by.bytes, by.files);
        if (!atomic_load_explicit(&t->dirty_ok, memory_order_relaxed))
            tree_settled_unmarked(t);
    }
    if (old != now || s->hold)
        move_domains(t->set, by, s->hold);
    return old != now;
}

bool settle_to(struct ledger *l, slot_t slot, const struct settling *s)
{
    struct tree *t = is_live_file(record_at(l, slot)) ? place_lock_shared(l, slot) : NULL;
    bool differed = false;

    if (t) {
        differed = settle_in_tree(t, slot, s);
        place_unlock(t);
    }
    if (s->hold)
        reservation_end(s->hold, NULL); /* of nothing, if the tree has dropped it */
    return differed;
}

/* Without a name it belongs to the tree, but to no directory of it below the root. */
static void hang_on_root(struct ledger *l, slot_t slot)
{
    struct tree *t = tree_of(l, slot);

    if (t && place_parent(record_place(record_at(l, slot))) != tree_root(t))
        place_move(l, slot, 0, t, tree_root(t));
}

/* RECORD_LINKS stays when all names but one go: which one is left, and so whether the record hangs where it should, is
 * only known when it is met under it. */
static void note_links(struct record *r, const struct stat *st, bool named)
{
    uint32_t head = record_head(r);

    if (st->st_nlink == 0 && !(head & RECORD_NONAME))
        record_flag_set(r, RECORD_NONAME);
    else if (st->st_nlink > 0 && (head & RECORD_NONAME))
        record_flag_clear(r, RECORD_NONAME);
    if (st->st_nlink > 1 && !(head & RECORD_LINKS))
        record_flag_set(r, RECORD_LINKS);
    else if (st->st_nlink == 1 && named && (head & RECORD_LINKS))
        record_flag_clear(r, RECORD_LINKS);
}

static bool means(const struct record *r, const struct stat *st)
{
    return is_live_file(r) && r->ino == st->st_ino && S_ISREG(st->st_mode);
}

bool settle_stat(struct ledger *l, slot_t slot, const struct stat *st, enum settle_how how, struct reservation *hold)
{
    struct record *r = record_at(l, slot);

    if (slot == SLOT_NONE || !means(r, st)) { /* another kind, or the slot has another inode by now */
        if (hold)
            reservation_end(hold, NULL);
        return false;
    }
    bool had_links = record_head(r) & RECORD_LINKS;
    if (had_links)
        names_settle_locked(l, slot, st->st_nlink);
    note_links(r, st, how >= SETTLE_BY_NAME);
    if (had_links && !(record_head(r) & RECORD_LINKS))
        names_forget(l, slot);
    if (how >= SETTLE_BY_NAME && (record_head(r) & RECORD_LOST))
        record_flag_clear(r, RECORD_LOST);
    bool is_open = opens_of(r) > 0;
    bool is_named = st->st_nlink > 0 && !(record_head(r) & RECORD_LOST);
    if (!is_named && is_open)
        hang_on_root(l, slot);
    const struct settling s = {
        .charged = is_named || is_open,
        .bytes = (uint64_t)st->st_size,
        .met = how == SETTLE_FIRST,
        .stamp = how >= SETTLE_IN_MOUNT,
        .hold = hold,
    };
    return settle_to(l, slot, &s);
}

void settle_locked(struct ledger *l, slot_t slot, const struct stat *st)
{
    settle_stat(l, slot, st, SETTLE_IN_MOUNT, NULL);
}

static void release_locked(struct ledger *l, slot_t slot)
{
    const struct settling nothing = { 0 };

    settle_to(l, slot, &nothing);
    struct tree *t = place_lock_shared(l, slot);
    if (t == NULL)
        return;
    place_list_remove(l, slot);
    record_release(l, slot);
    place_unlock(t);
}

/* No name is left, and nobody has it open. */
static void let_go_locked(struct ledger *l, slot_t slot)
{
    const struct settling nothing = { 0 };

    if (record_head(record_at(l, slot)) & RECORD_PINNED)
        settle_to(l, slot, &nothing);
    else
        release_locked(l, slot);
}

static void nameless_locked(struct ledger *l, slot_t slot, uint32_t flag)
{
    struct record *r = record_at(l, slot);
    uint32_t head = record_head(r);

    if (!(head & RECORD_LIVE) || (head & RECORD_ROOT))
        return;
    if (head & RECORD_DIR) {
        place_remove_dir(l, slot, 0);
        return;
    }
    record_flag_set(r, flag);
    if (opens_of(r) > 0)
        hang_on_root(l, slot);
    else
        let_go_locked(l, slot);
}

void settle_gone_locked(struct ledger *l, slot_t slot)
{
    if (slot != SLOT_NONE)
        nameless_locked(l, slot, RECORD_NONAME);
}

void settle_lost_locked(struct ledger *l, slot_t slot)
{
    nameless_locked(l, slot, RECORD_LOST);
}

int settle_moved_locked(struct ledger *l, slot_t slot, slot_t new_parent, const struct stat *st)
{
    struct record *r = record_at(l, slot);
    struct tree *to = tree_of(l, new_parent);
    struct tree *from = tree_of(l, slot);

    if (to == NULL || from == NULL) {
        if (from)
            place_doubt_all(l, from->dev);
        return -ESTALE;
    }
    if (from != to && (record_head(r) & RECORD_DIR) && !place_is_empty(l, slot))
        return -EXDEV;
    place_move(l, slot, 0, to, new_parent);
    if (place_parent(record_place(r)) != new_parent)
        place_doubt_all(l, to->dev);
    settle_stat(l, slot, st, SETTLE_BY_NAME, NULL);
    return 0;
}

void record_opened_locked(struct ledger *l, slot_t slot)
{
    struct record *r = record_at(l, slot);
    uint64_t word = record_word(r);

    if (atomic_fetch_add_explicit(&r->opens, 1, memory_order_relaxed) > 0 || (word & RECORD_CHARGED))
        return;
    const struct settling s = { .charged = true, .bytes = word }; /* its size comes with the next settle */
    settle_to(l, slot, &s);
}

void record_reopened_locked(struct ledger *l, slot_t slot, const struct stat *st, struct reservation *r)
{
    atomic_fetch_add_explicit(&record_at(l, slot)->opens, 1, memory_order_relaxed);
    settle_stat(l, slot, st, SETTLE_IN_MOUNT, r);
}

void record_pin_locked(struct ledger *l, slot_t slot)
{
    record_flag_set(record_at(l, slot), RECORD_PINNED);
}

void record_unpin_locked(struct ledger *l, slot_t slot, uint32_t generation)
{
    struct record *r = record_at(l, slot);
    uint32_t head = record_head(r);

    if (!(head & RECORD_LIVE) || !(head & RECORD_PINNED) || (head & GENERATION_MASK) != generation)
        return;
    record_flag_clear(r, RECORD_PINNED);
    if (opens_of(r) == 0 && (head & (RECORD_NONAME | RECORD_LOST)))
        release_locked(l, slot);
}

void record_closed_locked(struct ledger *l, slot_t slot, const struct stat *st)
{
    struct record *r = record_at(l, slot);

    if (opens_of(r) == 0)
        return;
    atomic_fetch_sub_explicit(&r->opens, 1, memory_order_relaxed);
    if (st)
        settle_stat(l, slot, st, SETTLE_IN_MOUNT, NULL);
    if (opens_of(r) == 0 && (record_head(r) & (RECORD_NONAME | RECORD_LOST)))
        let_go_locked(l, slot);
}

void records_reset_opens(struct ledger *l)
{
    uint32_t n = atomic_load_explicit(&l->n_records, memory_order_acquire);

    for (slot_t slot = 1; slot < n; slot++) {
        struct record *r = record_at(l, slot);

        if (opens_of(r) != 0)
            atomic_store_explicit(&r->opens, 0, memory_order_relaxed);
        if (record_head(r) & RECORD_PINNED)
            record_flag_clear(r, RECORD_PINNED);
    }
}

void orphans_settle(struct ledger *l)
{
    uint32_t n = atomic_load_explicit(&l->n_records, memory_order_acquire);

    for (slot_t slot = 1; slot < n; slot++) {
        struct record *r = record_at(l, slot);

        if (!is_live_file(r) || !(record_head(r) & (RECORD_NONAME | RECORD_LOST)))
            continue;
        record_lock(l, slot);
        if (is_live_file(r) && opens_of(r) == 0 && (record_head(r) & (RECORD_NONAME | RECORD_LOST)))
            release_locked(l, slot);
        record_unlock(l, slot);
    }
}
