/* The ledger: who holds how many bytes and files. The only code that moves a counter.
 *
 *   domain      one per user and per virtual folder: limits, usage, holds, adjustment, state. Lives in domains.map.
 *   tree        a home or a folder's backing directory; its *charge set* names the domains that its files move.
 *   record      one per inode of a counted tree: what it is charged, or, for a directory, the totals of its subtree.
 *               Lives in inodes.map under a stable slot number; a node id of the mount holds that slot.
 *   settle      sets a record to what fstat says inside the record's lock and moves all domains of the charge set by
 *               the difference: level-triggered, idempotent. Operations, events, recounts and repair all end in it.
 *   room        what a reservation may take: the charge set with the limits of the view through which one writes.
 *
 * A change in the mount:   change_begin() → reservation_take() → the system call → settle → reservation_drop()
 *                          → change_end().
 * change_begin() makes the dirty mark of the domains durable before the first change (one fsync a burst) and names the
 * records in an intent slot, so that a crash in between is repaired by looking at just those again.
 *
 * Files, in the order to read: inside.h (all structures; what is true and what is derived), map.c (mapped files),
 * index_table.c (inode to slot), domain.c (counters), room.c (reservations), record.c (slab, locks), place.c (where
 * a record hangs, subtree totals), settle.c (the one function), tree.c and tree_open.c (charge sets), change.c
 * (intents), journal.c and cleaning.c (ledger.db: dirty and clean again), meet.c (inodes by name), walk.c and
 * recount.c (mark, settle, sweep), look.c (events), gone.c (what is missing), record_load.c (the pass at start),
 * repair.c (after a crash), ledger.c (open, close).
 *
 * Locks:     RANK_RECORD (a stripe of locks over the slots) before RANK_TREE (charge sets, parents) before RANK_INDEX
 * before
 *            RANK_DOMAIN before RANK_JOURNAL. Only the record's lock is held across disk I/O. Functions without
 * `_locked`
 *            want no lock of RANK_RECORD or higher held: record_get takes the record's own.
 * Limits:    the administrator's adjustment counts: limits hold for the reported number.
 * Errors:    negative errno. A counter that would go below zero is reported, its domain marked stale, never clamped
 *            silently.
 * Ownership: domains, trees and rooms are reference-counted where it says so; slots are numbers.
 * Source:    DESIGN §5, §7; notes/watcher.md §C.2; notes/http-db.md §D4. */
#pragma once

#include <sys/stat.h>

#include "base/sys.h"
#include "base/usage.h"

struct ledger;
struct domain; /* borrowed, for the life of the ledger */
struct tree;   /* borrowed, for the life of the ledger */

typedef uint32_t slot_t;
enum { SLOT_NONE = 0, CHANGE_SLOTS_MAX = 4, CHARGES_MAX = 1 << 16 };

/* Who is counted. TRACK_LIMITED: folders, and users with a limit; one that gets a limit later is stale until it is
 * counted. TRACK_NONE: nobody, nothing is refused, and all is counted when it is opened with another one next time. */
enum ledger_track { TRACK_ALL, TRACK_LIMITED, TRACK_NONE };

struct ledger_options {
    const char *state_dir;    /* borrowed during ledger_open */
    bool refuse_stale_growth; /* ledger.stale_growth */
    enum ledger_track track;
    unsigned recounts;        /* that run at once; 0: 1 */
    unsigned recount_threads; /* of each; 0: as many as processors */
    unsigned recount_rate;    /* files that each looks at in a second; 0: as many as it can */
    bool recounts_idle;       /* with the least priority, for processor and disk */
    bool unwatched;           /* changes beneath may have gone unseen since it was closed: every tree is counted */
    const char *boot_id;      /* NULL: the real one; tests pretend another boot with it */
    unsigned clean_after_ms;  /* without a change, a dirty domain becomes clean; 0: 30 s */
};

/* How the ledger came up. */
enum ledger_start { LEDGER_NEW, LEDGER_CLEAN, LEDGER_REPAIRED, LEDGER_STALE };

/* ledger_open - maps or makes the files, repairs after a crash of the process (same boot), marks stale after a crash of
 * the machine. -EPROTO: a state directory of a newer version; -EBUSY: another ledger has it open. */
int ledger_open(const struct ledger_options *o, struct ledger **ret) MUST_CHECK;
enum ledger_start ledger_started(const struct ledger *l);

/* ledger_close - stops recounts, settles everything to clean, makes it durable. */
void ledger_close(struct ledger *l);

/* ---- domains ---------------------------------------------------------------------------------------------------- */

/* domain_get - finds or makes the domain of a user or folder. */
int domain_get(struct ledger *l, enum domain_kind kind, int64_t id, struct domain **ret) MUST_CHECK;
struct domain *domain_find(struct ledger *l, enum domain_kind kind, int64_t id); /* NULL if there is none */

/* domain_drop - the user or folder is gone: its own trees are forgotten, the others exclude it, its slot becomes free.
 * What still holds room in it, or moves it, touches nobody. */
void domain_drop(struct domain *d);

/* domain_trees - calls fn, without locks, for each tree that moves the domain now, its own too. -ENOMEM. */
int domain_trees(struct domain *d, void (*fn)(void *arg, struct tree *t), void *arg) MUST_CHECK;

/* domain_set_incomplete - a folder that should move it could not be included: it is stale until that is taken back. */
void domain_set_incomplete(struct domain *d, bool is);

enum domain_kind domain_kind_of(const struct domain *d);
int64_t domain_id(const struct domain *d);

/* domain_set_limits - 0: none. At once for everybody. */
void domain_set_limits(struct domain *d, uint64_t bytes, uint64_t files);

/* domain_adjust - PUT …/usage: the reported numbers become (reset) or move by (add) these; the counter itself stays. */
void domain_adjust(struct domain *d, bool add, uint64_t bytes, uint64_t files);

/* domain_mark_stale - before anything else is done about a lost event. */
void domain_mark_stale(struct domain *d);

/* What a statfs shows: usage and limits of the tightest domain of a room. */
struct room_left {
    uint64_t limit_bytes, used_bytes; /* limit 0: none */
    uint64_t limit_files, used_files;
};

/* ---- trees ------------------------------------------------------------------------------------------------------ */

/* tree_open - finds or makes the tree whose root directory is `root_fd` (O_PATH, through the private clone of its
 * mount; moved). `mount_fd` (borrowed for good) is any directory of that clone, for open_by_handle_at. The tree's own
 * domain is `owner`. A tree that was never counted is counted in the background: its domains say `counting` meanwhile;
 * an empty new directory is clean at once. What a crashed process left half done in the tree is repaired here, before
 * it returns. -ENOTDIR; -EXDEV: inside another tree or around one; -EEXIST: it is the tree of another owner; -ENOMEM.
 * */
int tree_open(struct ledger *l, struct domain *owner, int root_fd, int mount_fd, struct tree **ret) MUST_CHECK;

/* tree_include, tree_exclude - another domain (a user with quota -1) is moved by this tree, or no longer: its counter
 * takes or gives the tree's totals in the same instant. -E2BIG: more than CHARGES_MAX. Including twice does nothing. */
int tree_include(struct tree *t, struct domain *d) MUST_CHECK;
void tree_exclude(struct tree *t, struct domain *d);

/* tree_domains - the charge set as it is now (it outlives a restart): at most `max` borrowed domains; returns how
 * many. The owner is the first. */
size_t tree_domains(struct tree *t, struct domain **ret, size_t max);
/* tree_domains_each - calls fn for each of them, without locks. */
void tree_domains_each(struct tree *t, void (*fn)(void *arg, struct domain *d), void *arg);

/* tree_forget - the home or folder is gone: its records are released, its domains give back its totals. */
void tree_forget(struct tree *t);

slot_t tree_root(const struct tree *t);
int tree_root_fd(const struct tree *t);  /* O_PATH, borrowed */
int tree_mount_fd(const struct tree *t); /* borrowed */
struct domain *tree_owner(const struct tree *t);
struct tree *tree_of(struct ledger *l, slot_t slot); /* NULL: no such record */

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* A copy of what a record says. */
struct record_view {
    struct tree *tree;
    uint64_t ino;            /* of the backing inode */
    struct handle handle;    /* of the backing inode */
    uint32_t generation;     /* of the slot: 20 bits, new at each reuse; part of the node id */
    uint32_t nfs_generation; /* random for each record: the FUSE generation of handles */
    slot_t parent;           /* a directory in which it has a name; SLOT_NONE for a root */
    bool is_dir;
    bool is_charged;
    bool is_nameless; /* no name in its tree: charged only while it is open */
    uint64_t bytes;   /* a regular file: what it is charged; a directory: its subtree */
    uint64_t files;   /* a directory: of its subtree */
    uint32_t opens;
};

struct reservation;

/* record_get - the record of an inode that was found in directory `parent` by name: found, or made. `fd` is O_PATH on
 * it and *st is its fresh fstat. A regular file met for the first time is charged here. The parent of a record that has
 * moved is brought up to date (the subtree totals move). A file that already has a record in another tree (a hard link
 * made beneath the mount) keeps it: *ret is that slot. -ENOMEM, -ENOSPC (state directory full). */
int record_get(struct tree *t, slot_t parent, int fd, const struct stat *st, slot_t *ret) MUST_CHECK;

/* record_create - record_get for an inode that was just created: the reservation's hold on the file is dropped in the
 * same instant in which the file is charged (also on failure). Else the last file of a limit may be refused wrongly. */
int record_create(struct tree *t, slot_t parent, int fd, const struct stat *st, struct reservation *r,
                  slot_t *ret) MUST_CHECK;

/* record_find - the slot of an inode, or SLOT_NONE. */
slot_t record_find(struct ledger *l, dev_t dev, uint64_t ino);

/* record_view - false if the slot is free or its generation is another one (0: any). */
bool record_view(struct ledger *l, slot_t slot, uint32_t generation, struct record_view *ret);

/* record_open_fd - a new descriptor of the backing inode by its handle; flags as in open(2), O_PATH too. -ESTALE. */
int record_open_fd(struct ledger *l, slot_t slot, uint32_t generation, int flags) MUST_CHECK;

/* handle_open - open_by_handle_at(2), again if it is refused only for the moment: under a storm of renames. */
int handle_open(int mount_fd, const struct handle *h, int flags) MUST_CHECK;

/* Locks of records: a stripe of read-write locks, so two slots may share one. The _many form orders and dedupes; NONE
 * slots are skipped; at most RECORD_LOCK_MAX. Shared suffices for a write that cannot grow the file. After locking,
 * look at the generation again (record_view): the slot may have been released before. */
enum { RECORD_LOCK_MAX = 8 };
void record_lock(struct ledger *l, slot_t slot);
void record_lock_shared(struct ledger *l, slot_t slot);
void record_unlock(struct ledger *l, slot_t slot);
void record_lock_many(struct ledger *l, const slot_t *slots, size_t n);
void record_unlock_many(struct ledger *l, const slot_t *slots, size_t n);

/* settle_locked - the record becomes what *st says (st_size, st_nlink of a regular file); the record's lock is held for
 * writing and *st was taken inside it. Other kinds of inodes: nothing. */
void settle_locked(struct ledger *l, slot_t slot, const struct stat *st);

/* settle_gone_locked - the inode has no name any more and is not open: released. The slot is reused later, with another
 * generation. For an inode that is still open it only notes that no name is left (its charge stays). */
void settle_gone_locked(struct ledger *l, slot_t slot);

/* settle_moved - a file or directory got another parent inside its tree, or, for a file, in another tree: the charge
 * (for a directory: the subtree totals) moves along. Both parents' tree locks are taken inside; the record's lock is
 * held by the caller. The caller has reserved room in the target. -EXDEV for a directory with content into another
 * tree. */
int settle_moved_locked(struct ledger *l, slot_t slot, slot_t new_parent, const struct stat *st) MUST_CHECK;

/* An inode that is open through the mount stays charged without a name. The vfs says when; the record's lock is held.
 * */
void record_opened_locked(struct ledger *l, slot_t slot);
void record_closed_locked(struct ledger *l, slot_t slot, const struct stat *st);

/* record_reopened_locked - the same for one that is nameless and not open: it is charged again with what *st says
 * (taken inside the lock), and the hold for that is dropped in the same instant. */
void record_reopened_locked(struct ledger *l, slot_t slot, const struct stat *st, struct reservation *r);

/* record_pin_locked - before settle_gone_locked(): the record stays, uncharged unless it is open, until
 * record_unpin_locked(), so that those who still have its node id find the inode, and may open it. The caller keeps a
 * descriptor meanwhile, so that the number of the inode is not reused. Pins end with the process. */
void record_pin_locked(struct ledger *l, slot_t slot);
void record_unpin_locked(struct ledger *l, slot_t slot, uint32_t generation);

/* records_reset_opens - at start, before the vfs tells its open table again: nothing is open or pinned. Then
 * orphans_settle releases what has no name. */
void records_reset_opens(struct ledger *l);
void orphans_settle(struct ledger *l);

/* ---- changes and reservations ----------------------------------------------------------------------------------- */

/* A change that is under way. */
struct change {
    struct ledger *ledger;
    unsigned intent; /* index of the intent slot */
};

/* change_begin - the domains of the trees of these records are durably dirty and the records are named in an intent
 * slot. Directories named here are listed again if the process dies now. Waits while all intent slots are taken. If the
 * mark cannot be made durable, the domain is stale, and reservation_take() refuses growth. -EIO: the ledger ends. */
int change_begin(struct ledger *l, const slot_t *slots, size_t n, struct change *ret) MUST_CHECK;
/* change_add - names one more record (the inode that was just created). */
void change_add(struct change *c, slot_t slot);
void change_end(struct change *c); /* for CLEANUP; empty change: nothing */

struct charge {
    uint64_t bytes;
    uint64_t files;
};

/* The domains that a view may fill, with its limits: immutable, reference-counted. */
struct room_row {
    struct domain *domain;
    bool own_limits;                   /* limits below count instead of the domain's own */
    uint64_t limit_bytes, limit_files; /* 0: none */
};
struct room;
struct room *room_new(struct ledger *l, const struct room_row *rows, size_t n); /* NULL if memory is short */
struct room *room_ref(struct room *r);
void room_unref(struct room *r);
void room_left(struct room *r, struct room_left *ret);

/* A hold on room. All zero: holds nothing. Keep it on the stack, with CLEANUP(reservation_drop). */
struct reservation {
    struct room *room; /* borrowed */
    struct charge held;
};

/* reservation_take - hold room for `want`, or for fewer bytes if that is all there is, but at least `least_bytes`. In
 * every domain of the room, or in none. A hold counts against the limits from this moment, so two writers can never
 * both get the last byte. Returns 0; -EDQUOT; -EOVERFLOW; -ENOSPC or -EIO: nothing durable can say that the domain
 * changes, so it must not grow. On failure nothing is held. Want of zero always succeeds. */
int reservation_take(struct room *room, struct charge want, uint64_t least_bytes, struct reservation *ret) MUST_CHECK;

/* reservation_commit_locked - settle_locked() and reservation_drop() in one: in no domain do hold and use of the same
 * bytes count twice for a moment, so nobody else is refused wrongly near the limit. Prefer it to the pair for writes,
 * truncates and creates. The record's lock is held for writing. */
void reservation_commit_locked(struct reservation *r, struct ledger *l, slot_t slot, const struct stat *st);

/* reservation_drop - after the settle: the hold goes, what was settled stays. */
void reservation_drop(struct reservation *r);

/* ---- repair: the watcher, recounts ------------------------------------------------------------------------------- */

/* look - something may have changed at `name` in this directory: settle what is there now. New directories are
 * walked. */
int look(struct tree *t, slot_t dir, const char *name);
/* look_slot - something may have changed about this inode (by handle): settle, or release it if it is gone. */
int look_slot(struct ledger *l, slot_t slot);
/* look_dir - list a directory again, and what is new in it, recursively. */
int look_dir(struct tree *t, slot_t dir);
/* look_named - as look(), for an event about the name itself (made, renamed, gone): subscribers are always told, since
 * the kernel may have cached another meaning of the name. */
int look_named(struct tree *t, slot_t dir, const char *name);
/* look_gone - a name vanished from this directory and nobody said which inode it was (inotify): the records that had
 * their name here are compared with a listing, those that are missing are looked at by handle: released, moved, or,
 * when other names of them may exist, left to a recount. O(records of this directory). */
int look_gone(struct tree *t, slot_t dir);

/* Called, with no lock held, when something beneath the mount differed from the record: the kernel's caches of this
 * inode (and of `name` in `parent`, if name is not NULL) are out of date. */
typedef void ledger_changed(void *arg, slot_t slot, slot_t parent, const char *name);
void ledger_subscribe(struct ledger *l, ledger_changed *fn, void *arg);

/* recount_start - mark, settle, sweep over all trees of a domain, in the background. -EALREADY: one runs. Progress and
 * the report are in the domain's usage slot. dry_run: counts and reports, changes nothing. One that the ledger itself
 * began for the domain is joined. */
int recount_start(struct domain *d, bool dry_run) MUST_CHECK;
int recount_cancel(struct domain *d); /* -ENOENT: none runs */
/* recount_lost - the same for those who lost events: an administrator who asks meanwhile joins it. */
int recount_lost(struct domain *d) MUST_CHECK;
bool recount_is_by_person(struct domain *d); /* one that recount_start() asked for waits or runs */
/* recount_verify - in the background, with little priority: are the domain's own trees what was counted? */
void recount_verify(struct domain *d);
void recount_wait(struct ledger *l); /* until none runs: for tests and the clean stop */

const struct usage_slot *domain_usage(const struct domain *d);

/* trees_each - the watcher's list; fn is called without locks. */
void trees_each(struct ledger *l, void (*fn)(void *arg, struct tree *t), void *arg);
/* trees_subscribe - told of each tree that is opened later, before tree_open returns. */
void trees_subscribe(struct ledger *l, void (*fn)(void *arg, struct tree *t, bool opened), void *arg);
