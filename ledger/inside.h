/* The inside of the ledger: structures that only the files of this folder see.
 *
 * Three mapped files in the state directory, all MAP_SHARED, so that they outlive a kill of the process:
 *   domains.map   base/usage.h: what each domain holds; others read it
 *   trees.map     a slot per tree: owner, charge set, root record, epoch
 *   inodes.map    intents, file systems, then the slab of records; slot numbers are stable
 *
 * Truth and derivation. Of a record the truth is `head` (life, kind, generation), `place` (tree and parent) and `word`
 * (charged, bytes): each is one atomic word, so a kill at any instant leaves the old or the new value, never a
 * mixture. All else is derived from them in one pass when the ledger is opened: the index, free slots, lists of
 * children, subtree totals, the counters of the domains. So no order of stores matters for a crash, only for threads.
 *
 * Who guards what: `word`, `opens`, and `place` of a record that is no directory: the record's lock for writing, and
 * the tree's lock shared. `place` of a directory, charge sets, freeing of directories: the tree's lock exclusive.
 * Lists of children: the tree's lock shared and the parent's list mutex, or the tree's lock exclusive. Subtree totals:
 * atomic adds under the tree's lock shared. */
#pragma once

#include "base/lock.h"
#include "base/sys.h"
#include "ledger/index.h"
#include "ledger/ledger.h"
#include "ledger/map.h"

enum {
    RECORD_HANDLE_MAX = 20,
    RECORD_STRIPES = 4096,
    LIST_STRIPES = 256,
    INDEX_SHARDS = 256,
    FILESYSTEMS_MAX = 64,
    INTENTS_MAX = 1024,
    TREES_MAX = 1 << 20,
    NAMES_BUCKETS = 4096,
    SUBSCRIBERS_MAX = 8,
    RECOUNTS_MAX = 16,
    MAP_VERSION = 2,
    GENERATION_BITS = 20,
    GENERATION_MASK = (1 << GENERATION_BITS) - 1,
};

/* Flags in the high bits of record.head; the low 20 bits are the generation of the slot. */
enum record_flag {
    RECORD_LIVE = 1 << 20,
    RECORD_DIR = 1 << 21,
    RECORD_FILE = 1 << 22,     /* a regular file: the only kind that is charged */
    RECORD_ROOT = 1 << 23,     /* of a tree */
    RECORD_NONAME = 1 << 24,   /* st_nlink was 0 */
    RECORD_LOST = 1 << 25,     /* no name in its tree is known; only meeting it by name takes this away */
    RECORD_LINKS = 1 << 26,    /* has or had several names: it may have one elsewhere than where it hangs */
    RECORD_SUSPECT = 1 << 27,  /* its handle was refused */
    RECORD_UNLISTED = 1 << 29, /* a directory that was met, but in which nobody has looked yet */
    RECORD_PINNED = 1 << 28,   /* without a name, not open, and not charged, but kept: record_pin_locked() */
};

#define RECORD_CHARGED (UINT64_C(1) << 63)

struct record {
    _Atomic uint64_t word;  /* a file: RECORD_CHARGED | bytes; a directory: bytes of its subtree */
    _Atomic uint64_t files; /* a directory: of its subtree */
    _Atomic uint64_t place; /* tree << 32 | parent */
    _Atomic uint64_t ino;
    _Atomic uint32_t head;
    _Atomic uint32_t nfs_generation;
    _Atomic uint32_t opens;
    _Atomic uint32_t seen; /* epoch of the tree in which it was last settled or met */
    uint32_t first_child, next, prev;
    _Atomic uint16_t fs;
    _Atomic uint8_t handle_type;
    _Atomic uint8_t handle_bytes;
    _Atomic uint32_t handle[RECORD_HANDLE_MAX / 4]; /* the fields of a free slot may be read while it is filled anew */
};

/* A file system that trees live on. The device number may change with a reboot, fsid tells it again. */
struct filesystem {
    uint64_t dev;
    uint64_t fsid;
    uint32_t used;
    uint32_t unused;
};

/* Names what a worker changes just now. `used`: 1 by a worker, 2 left behind by a process that died. */
struct intent {
    _Atomic uint32_t used;
    _Atomic uint32_t slots[CHANGE_SLOTS_MAX];
} __attribute__((aligned(64)));

struct inodes_header {
    char magic[8];
    uint32_t version;
    uint32_t slot_bytes;
    uint8_t instance[16];
    uint64_t checksum; /* of the members above */
    struct filesystem filesystems[FILESYSTEMS_MAX];
    struct intent intents[INTENTS_MAX];
    _Atomic uint64_t bytes; /* that the file had when it last grew; 0: not known. A shorter one was cut */
} __attribute__((aligned(4096)));

/* A domain in a tree's charge set. Id and kind are compared when it is read: an index may have another domain by
 * then. */
struct tree_charge {
    _Atomic uint32_t domain; /* index + 1; 0: free */
    _Atomic uint32_t kind;
    _Atomic int64_t id;
};

enum tree_use { TREE_FREE, TREE_USED, TREE_MORE, TREE_TAKEN };
enum { TREE_SLOT_CHARGES = 15 };

/* A tree, or (TREE_MORE) more of the charge set of one. */
struct tree_slot {
    _Atomic uint32_t used;    /* enum tree_use */
    _Atomic uint32_t root;    /* slot of its record; TREE_MORE: index of the tree */
    _Atomic uint32_t counted; /* every file in it was met */
    _Atomic uint32_t epoch;
    struct tree_charge charges[TREE_SLOT_CHARGES]; /* the first of a tree is its owner */
} __attribute__((aligned(256)));

struct trees_header {
    char magic[8];
    uint32_t version;
    uint32_t slot_bytes;
    uint8_t instance[16];
    uint64_t checksum;
    _Atomic uint64_t bytes; /* as in inodes_header */
} __attribute__((aligned(4096)));

/* ---- domains ----------------------------------------------------------------------------------------------------- */

struct domain {
    struct ledger *l;
    _Atomic(struct usage_slot *) u; /* the numbers; changed under `m`, read by anybody. Its grave, once it is dropped */
    struct usage_slot *grave;       /* owned: what late holds and moves of a dropped domain still go to */
    uint32_t index;
    enum domain_kind kind;
    int64_t id;
    struct mutex m; /* RANK_DOMAIN */
    /* under m */
    bool untracked; /* it is not counted: nothing moves it */
    bool stale;
    bool incomplete;        /* a folder that should move it does not */
    bool dirty;             /* moved since it was clean */
    uint64_t stale_marks;   /* how often it was marked */
    unsigned counting;      /* trees of it that were never counted */
    unsigned unrepaired;    /* trees of it that wait for tree_open to repair them */
    bool recounting;        /* a recount that is no dry run is waiting or runs */
    _Atomic uint64_t moves; /* changes of used_*, for the way back to clean */
    uint64_t moved_ns;      /* time of the last one */
    /* under l->journal */
    _Atomic bool durable; /* the dirty mark is on disk */
    _Atomic int unmarked; /* why nowhere a mark of it can be made durable: it may only shrink; 0: it can */
    bool wanted;          /* waits in the journal's list */
    int mark_error;       /* of the last mark that failed */
    uint64_t mark_failures;
    bool warm; /* in the journal's list of those that it looks after */
    _Atomic bool gone;
    unsigned pins; /* must not become clean */
    struct domain *next_wanted;
    struct tree **trees;
    uint32_t n_trees;
    uint64_t saved_moves; /* moves that the row on disk knows */
    _Atomic bool row_due; /* the row must be written though nothing moved */
    struct domain *next_dropped;
};

int domains_load(struct ledger *l) MUST_CHECK;
/* domain_make - as domain_get, without looking at ledger.db. */
int domain_make(struct ledger *l, enum domain_kind kind, int64_t id, struct domain **ret) MUST_CHECK;
void domains_done(struct ledger *l);
struct domain *domain_at(struct ledger *l, uint32_t index);
struct move {
    int64_t bytes, files; /* what used_* moves by */
    bool met;             /* of a file that is met for the first time: the carried number may already have it */
};
void domain_move(struct domain *d, struct move by, struct charge unhold);
void domain_unhold(struct domain *d, struct charge held);
void domain_state_update_locked(struct domain *d) REQUIRES(d->m);
/* domain_heal - marked stale, and a recount is asked for. */
void domain_heal(struct domain *d, const char *why);
/* domain_trust - a count is over. TRUST_RECOUNTED: one of all its trees that began after `marks` stale marks: stale
 * ends unless it was marked again. With it, and after the first count of a tree of its own, the adjustment goes. What
 * was carried goes, once nothing is left to count; returned. */
enum trust { TRUST_LESS_TO_COUNT, TRUST_FIRST_COUNT, TRUST_RECOUNTED };
struct charge domain_trust(struct domain *d, enum trust how, uint64_t marks);
void domain_counting(struct domain *d, int n); /* uncounted trees more or less */
void domain_unrepaired(struct domain *d, int n);
void domain_recounting(struct domain *d, bool on);
bool domain_is_stale(struct domain *d);
bool domain_is_tracked(struct domain *d);
/* domain_starts_untracked - as the ledger's options and the limits want it, for a domain that nobody uses yet. */
bool domain_starts_untracked(const struct ledger *l, const struct domain *d);
/* domain_track - as its limits want it now. */
void domain_track(struct domain *d);
uint64_t domain_marks(struct domain *d);

/* ---- room.c ------------------------------------------------------------------------------------------------------ */

struct charge_set;
/* reservation_of - what a hold has in this domain. */
struct charge reservation_of(const struct reservation *r, const struct domain *d);
/* reservation_end - the hold is over; the domains of `set` (may be NULL) have let it go already. */
void reservation_end(struct reservation *r, const struct charge_set *set);

/* ---- trees ------------------------------------------------------------------------------------------------------- */

struct charge_set {
    _Atomic uint32_t refs;
    uint32_t n;
    struct domain *v[];
};

struct walk;

struct tree {
    struct ledger *l;
    struct tree_slot *s;
    struct domain *owner; /* the first of its set */
    uint32_t index;
    uint32_t *more; /* its TREE_MORE slots; under lock */
    uint32_t n_more;
    struct rwlock lock;     /* RANK_TREE */
    struct charge_set *set; /* under lock */
    struct walk *walk;      /* a recount that runs in it; under lock */
    bool walked;            /* the same, for the next one; under the recounts' mutex */
    int root_fd, mount_fd;  /* -1: not opened in this life */
    uint64_t dev;
    uint16_t fs;
    _Atomic bool open;
    bool unrepaired;    /* under l->opening */
    _Atomic bool quiet; /* nobody is told of what the repair finds */
    _Atomic bool gone;
    _Atomic uint32_t active; /* changes under way */
    _Atomic bool dirty_ok;   /* all domains of the set are durably dirty */
    uint64_t *above;         /* inodes of the directories above the root: nobody may open a tree there */
    uint32_t n_above;
};

int trees_load(struct ledger *l) MUST_CHECK;
void trees_done(struct ledger *l);
struct tree *tree_at(struct ledger *l, uint32_t index);
int tree_make(struct ledger *l, struct domain *owner, const struct stat *st, const struct handle *h, uint16_t fs,
              struct tree **ret) MUST_CHECK;
void tree_forget_quietly(struct tree *t); /* l->opening is held, no recount runs in it */
void tree_repaired(struct tree *t);
/* tree_unseat - another inode has the number of its root's: it waits, uncounted, for tree_open to find it gone. */
void tree_unseat(struct tree *t);
/* charge_set_new - those of `from` but `but` (both may be NULL), and `with` (may be NULL). NULL: no memory. */
struct charge_set *charge_set_new(const struct charge_set *from, const struct domain *but, struct domain *with);
struct charge_set *tree_set_ref(struct tree *t); /* as it is now; charge_set_unref() */
void charge_set_unref(struct charge_set *s);
bool charge_set_has(const struct charge_set *s, const struct domain *d);
/* charges_transfer - a charge leaves the domains of one set and enters those of another; who is in both does not
 * move. */
void charges_transfer(const struct charge_set *from, const struct charge_set *to, struct charge c);
void tree_uncount(struct tree *t); /* its records cannot be believed: it is counted when it is opened */
/* tree_counted - every file was met: the domains that have no other uncounted tree can be trusted. */
void tree_counted(struct tree *t);
void tree_settled_unmarked(struct tree *t); /* something moved while the dirty mark was not durable: ask for it */

/* ---- tree_map.c: the charge sets in trees.map -------------------------------------------------------------------- */

struct tree_slot *tree_slot_at(struct ledger *l, uint32_t index);
/* tree_slot_take - a free slot, TREE_TAKEN until it is filled. -ENOSPC. */
int tree_slot_take(struct ledger *l, uint32_t *ret) MUST_CHECK;
/* charge_store, charge_clear - one domain more or less, in one atomic store; the tree's lock is held. */
int charge_store(struct tree *t, const struct domain *d) MUST_CHECK;
void charge_clear(struct tree *t, const struct domain *d);
/* charges_load - the domains in a slot of the tree; those that are gone are cleared. -ENOENT: the owner is. */
int charges_load(struct tree *t, struct tree_slot *s, struct charge_set **ret) MUST_CHECK;
/* charges_load_more - the TREE_MORE slots, once all trees are there. */
int charges_load_more(struct ledger *l) MUST_CHECK;
void charges_free(struct tree *t); /* gives its slots back */

/* ---- records ----------------------------------------------------------------------------------------------------- */

static inline struct record *record_at(const struct ledger *l, slot_t slot);

static inline uint64_t place_of(uint32_t tree, slot_t parent)
{
    return (uint64_t)tree << 32 | parent;
}
static inline uint32_t place_tree(uint64_t place)
{
    return (uint32_t)(place >> 32);
}
static inline slot_t place_parent(uint64_t place)
{
    return (slot_t)place;
}
static inline uint32_t record_head(const struct record *r)
{
    return atomic_load_explicit(&r->head, memory_order_acquire);
}
static inline uint64_t record_place(const struct record *r)
{
    return atomic_load_explicit(&r->place, memory_order_relaxed);
}
static inline uint64_t record_word(const struct record *r)
{
    return atomic_load_explicit(&r->word, memory_order_relaxed);
}
static inline void record_flag_set(struct record *r, uint32_t flag)
{
    atomic_fetch_or_explicit(&r->head, flag, memory_order_relaxed);
}
static inline void record_flag_clear(struct record *r, uint32_t flag)
{
    atomic_fetch_and_explicit(&r->head, ~flag, memory_order_relaxed);
}

int records_load(struct ledger *l) MUST_CHECK; /* the pass over the slab */
void records_done(struct ledger *l);
int record_alloc(struct ledger *l, slot_t *ret) MUST_CHECK;
void record_release(struct ledger *l, slot_t slot); /* to the free slots; out of the index; not in any list any more */
uint32_t filesystem_find(struct ledger *l, uint64_t dev); /* index + 1, or 0 */
int filesystem_get(struct ledger *l, int fd, uint64_t dev, uint16_t *ret) MUST_CHECK;

/* What is known of an inode that was met under a name. */
struct meeting {
    slot_t parent;
    const struct stat *st;
    const struct handle *handle;
    bool in_mount;      /* an operation has it at hand: no event will tell where it is */
    struct charge lost; /* grows by what goes because its number was that of another inode before */
};
/* record_intern - the record of an inode: found or made, hung where it was met. *ret_new: it was made here and is not
 * charged yet. No record lock is held. */
int record_intern(struct tree *t, struct meeting *m, slot_t *ret, bool *ret_new) MUST_CHECK;
int record_root(struct tree *t, const struct meeting *m, slot_t *ret) MUST_CHECK; /* -EXDEV: known already */
bool record_has_handle(const struct record *r, const struct handle *h);
struct handle record_handle_copy(const struct record *r);
int record_handle(int dir, const char *name, struct handle *ret) MUST_CHECK; /* "": the descriptor itself */

/* ---- place.c ----------------------------------------------------------------------------------------------------- */

/* The tree of a live record, its lock taken; NULL if the record is free. */
struct tree *place_lock_shared(struct ledger *l, slot_t slot);
void place_unlock(struct tree *t);
void place_list_add(struct ledger *l, slot_t slot, slot_t parent);
void place_list_remove(struct ledger *l, slot_t slot);
/* place_add - bytes and files (may be negative) to a directory and all above it. */
void place_add(struct ledger *l, slot_t dir, int64_t bytes, int64_t files);
/* place_move - hangs a record elsewhere, with its charge or subtree; into another tree too. The record's lock is held
 * if it is no directory. Nothing happens if the slot is not of this generation (0: any) any more. */
void place_move(struct ledger *l, slot_t slot, uint32_t generation, struct tree *to, slot_t parent);
/* place_remove_dir - the directory is gone: what still hangs on it hangs on its parent. generation: as place_move(). */
void place_remove_dir(struct ledger *l, slot_t slot, uint32_t generation);
/* place_children - slots that hang on a directory; owned: free(). */
int place_children(struct ledger *l, slot_t dir, slot_t **ret, size_t *ret_n) MUST_CHECK;
bool place_is_empty(struct ledger *l, slot_t dir);
/* place_parent_checked - or the root, if it is no live directory of t any more: then nobody knows where that is which
 * was met in it, and the domain is stale until it is counted. The tree's lock is held. */
slot_t place_parent_checked(struct tree *t, slot_t parent);
/* place_doubt_all - an operation of the mount met or moved something in a directory that had just left its home: no
 * event tells in which home it is now. All on the file system are stale until they are counted. Very rare. */
void place_doubt_all(struct ledger *l, uint64_t dev);

/* ---- names.c: files with several names --------------------------------------------------------------------------- */

/* names_met - it has a name in this directory. names_settle_locked - the record's lock is held; if it has fewer names
 * than before, it hangs where one is left. */
void names_met(struct ledger *l, slot_t slot, slot_t parent, uint64_t links);
void names_settle_locked(struct ledger *l, slot_t slot, uint64_t links);
void names_forget(struct ledger *l, slot_t slot);
void names_done(struct ledger *l);

/* ---- settle.c ---------------------------------------------------------------------------------------------------- */

struct settling {
    bool charged;
    uint64_t bytes;
    bool met;                 /* for the first time */
    bool stamp;               /* seen in this epoch */
    struct reservation *hold; /* NULL, or what is dropped in the same instant */
};
/* settle_to - the record becomes this; true if it differed. A free slot: only the hold is dropped. */
bool settle_to(struct ledger *l, slot_t slot, const struct settling *s);

/* Who says what is so. Only a name proves that an inode is in the tree; only what was reached in the mount or by name
 * may pass as seen by a recount. */
enum settle_how { SETTLE_BY_HANDLE, SETTLE_IN_MOUNT, SETTLE_BY_NAME, SETTLE_FIRST };
bool settle_stat(struct ledger *l, slot_t slot, const struct stat *st, enum settle_how how, struct reservation *hold);
/* settle_lost - no name in the tree: uncharged unless it is open; released if nobody has it open or pinned. */
void settle_lost_locked(struct ledger *l, slot_t slot);

/* ---- journal.c: ledger.db ---------------------------------------------------------------------------------------- */

struct domain_key {
    enum domain_kind kind;
    int64_t id;
};

struct journal {
    struct mutex m; /* RANK_JOURNAL */
    pthread_cond_t wake, marked, tick;
    pthread_t thread, cleaner;
    bool runs, cleans, stop;
    struct mutex db_m;     /* RANK_INODES: the database, and what its rows say of durable marks */
    struct domain *wanted; /* linked by next_wanted */
    struct domain **warm;
    size_t n_warm, warm_room;
    struct domain_key *dropped;
    size_t n_dropped;
    struct db *db; /* under db_m while threads run */
    bool is_new;
    char instance[33]; /* hexadecimal */
    uint64_t flushed_ns;
    /* under db_m: unwritable.c */
    bool in_trouble, by_header;
    uint64_t failed_marks, heal_ns, heal_wait_ns;
};

enum row_state { ROW_CLEAN, ROW_DIRTY, ROW_STALE };
/* row_write - a domain's row with this state; it knows all moves until now. db_m is held. rows_write: in one
 * transaction. */
int row_write(struct domain *d, enum row_state state) MUST_CHECK;
int rows_write(struct ledger *l, struct domain **v, size_t n, enum row_state state) MUST_CHECK;
void rows_delete_dropped(struct ledger *l);
void *cleaning_thread(void *ledger);

/* ---- unwritable.c: ledger.db cannot be written ------------------------------------------------------------------- */

/* unwritable_mark - the mark of a domain could not be written: durable in another way, or how it failed. db_m is
 * held. */
int unwritable_mark(struct ledger *l, int failure) MUST_CHECK;
/* unwritable_due - true: the rows are to be tried again now. *ret_ok: nothing is wrong. */
bool unwritable_due(struct ledger *l, bool *ret_ok, uint64_t *ret_marks);
/* unwritable_tried - what became of it. */
void unwritable_tried(struct ledger *l, struct domain **warm, size_t n, bool written, uint64_t marks);
void unwritable_load(struct ledger *l); /* the process before was in trouble */

void journal_init(struct ledger *l);
int journal_open(struct ledger *l, const char *state_dir) MUST_CHECK;
int journal_start(struct ledger *l) MUST_CHECK;
void journal_stop(struct ledger *l);             /* the thread */
int journal_finish(struct ledger *l) MUST_CHECK; /* all that may be clean is, durably */
void journal_done(struct ledger *l);
/* journal_load - the rows: with `numbers` all that is known of the domains (the maps were made anew), else only whether
 * their dirty marks are on disk. */
int journal_load(struct ledger *l, bool numbers) MUST_CHECK;
/* journal_want - asks for the dirty mark; journal_wait waits for it. */
void journal_want(struct domain *d);
int journal_wait(struct domain *d) MUST_CHECK;
int journal_wait_tree(struct tree *t) MUST_CHECK; /* t->active is counted already */
void journal_touch(struct domain *d);             /* its row is due */
/* journal_leave - nothing is marked or linked any more; journal_forget: its row goes. */
void journal_leave(struct domain *d);
int journal_forget(struct domain *d) MUST_CHECK;
/* journal_trees - a copy of d->trees; owned: free(). */
int journal_trees(struct domain *d, struct tree ***ret, size_t *ret_n) MUST_CHECK;
void journal_pin(struct domain *d, bool pin);
int journal_link(struct domain *d, struct tree *t) MUST_CHECK; /* d->trees */
void journal_unlink(struct domain *d, struct tree *t);

/* ---- recount.c, walk.c ------------------------------------------------------------------------------------------- */

struct recount {
    struct domain *domain;
    bool dry_run;
    _Atomic bool asked; /* by somebody who waits for its report; else the ledger itself wants it */
    bool by_person;     /* an administrator does; under the queue's mutex */
    bool first;         /* a tree of the domain was never counted before */
    bool verify;        /* its own trees, though they are counted: changes may have gone unseen */
    bool background;    /* with little priority */
    bool again_now;     /* what it found out there */
    _Atomic bool cancel;
    bool again;          /* somebody asked for another one while it ran; under the queue's mutex */
    struct tree **trees; /* references for the life of the ledger */
    size_t n_trees;
    uint64_t marks; /* of the domain when it started */
    _Atomic int64_t drift_bytes, drift_files;
    struct recount *next;
};

struct recounts {
    struct mutex m; /* RANK_INDEX: asking says `recounting` in the domain */
    pthread_cond_t wake, done;
    pthread_t threads[RECOUNTS_MAX];
    unsigned n_threads;
    bool runs, stop;
    struct recount *first, **last;
    struct recount *running; /* linked by next */
};

/* recount_enter - nobody else walks the tree until recount_leave(); -ECANCELED: it is cancelled meanwhile. */
int recount_enter(struct recount *rc, struct tree *t) MUST_CHECK;
void recount_leave(struct tree *t);
int recounts_start(struct ledger *l) MUST_CHECK;
void recounts_stop(struct ledger *l);
void recount_stop_domain(struct domain *d); /* cancels what waits or runs for it, and waits */
void recount_stop_tree(struct tree *t);
/* recount_again - asks for a recount of a stale or uncounted domain; nothing if one waits already. */
void recount_again(struct domain *d);

/* walk_tree - mark, settle, sweep. 0, -ECANCELED or the first failure (then nothing was swept). */
int walk_tree(struct tree *t, struct recount *rc) MUST_CHECK;
/* walk_shade - the tree's lock is held: this directory must be listed, too. is_unasked: no operation has met it. */
void walk_shade(struct walk *w, slot_t dir, bool is_unasked);

/* Entries of one directory, without . and .. */
struct entry {
    const char *name;
    uint64_t ino;
    uint8_t type; /* DT_* */
};
/* entries_each - fn returns 0 to go on. The listing's failure, or what fn returned. */
int entries_each(int fd, int (*fn)(void *arg, const struct entry *e), void *arg) MUST_CHECK;

/* ---- look.c, repair.c, ledger.c ---------------------------------------------------------------------------------- */

/* What was found under a name, and what that changed. */
struct met {
    slot_t slot;
    struct stat st;
    bool is_new;
    bool differed;          /* the record was not what the stat says, hung elsewhere, or is new */
    struct charge was, now; /* a file of this tree: what it was charged before and after */
    bool again;             /* it has several names and was seen in this epoch already */
    struct charge lost;     /* of records whose inode number it has now */
};
/* meet_file - a regular file, settled inside its lock. -ENOENT: the name is no regular file (any more). */
int meet_file(struct tree *t, slot_t dir, int dir_fd, const char *name, uint64_t ino, struct met *ret) MUST_CHECK;
/* meet_dir - a directory; -ENOENT: the name is none (any more), or one of another file system. */
int meet_dir(struct tree *t, slot_t dir, int dir_fd, const char *name, struct met *ret) MUST_CHECK;
struct charge charge_of(const struct record *r);                           /* of a file */
int stat_slot(struct ledger *l, slot_t slot, struct stat *ret) MUST_CHECK; /* by handle */
void ledger_tell_tree(struct ledger *l, struct tree *t, bool opened);
void ledger_tell(struct ledger *l, slot_t slot, slot_t parent, const char *name);
void repair_load(struct ledger *l); /* notes which trees wait for repair */
void repair_tree(struct tree *t);

struct ledger {
    struct ledger_options o;
    int dir, lock_fd;
    char boot_id[40];
    enum ledger_start started;
    bool rows_doubted; /* the last life could not write all marks, and its maps are lost */
    _Atomic bool closing;

    struct map domains_map, trees_map, inodes_map;
    uint64_t trees_found, inodes_found; /* their bytes when they were opened */
    struct usage_header *usage;
    struct inodes_header *inodes;
    struct record *records;
    _Atomic uint32_t n_records; /* slots in the file */

    struct domain **domains; /* USAGE_DOMAINS_MAX pointers */
    struct mutex domains_m;  /* RANK_RECORD: finding and making of domains */
    struct index domain_index;
    uint32_t domain_hint;           /* no free slot below it */
    struct domain *dropped_domains; /* whose pointers somebody may still have */

    struct tree *_Atomic *trees; /* TREES_MAX pointers, set once */
    struct mutex names_m;        /* RANK_QUEUE */
    struct names *names[NAMES_BUCKETS];
    struct mutex slots_m;          /* RANK_INDEX: taking and freeing of slots in trees.map */
    uint32_t slot_hint;            /* no free slot below it; under slots_m */
    bool fs_live[FILESYSTEMS_MAX]; /* a tree of it was opened in this life; under fs_m */
    _Atomic uint32_t n_trees;
    struct mutex opening; /* RANK_INODES: one tree is opened at a time */
    struct index above;   /* (fs, ino) of directories above a root: how many */

    struct index index;
    struct mutex slab_m;      /* RANK_INDEX: free slots, growth */
    _Atomic uint64_t randoms; /* counts what was drawn for records */
    slot_t *free_slots;
    size_t free_first, n_free, free_room; /* a ring */
    struct rwlock *stripes;
    struct mutex *lists;
    struct mutex fs_m; /* RANK_INDEX */

    struct mutex intents_m; /* RANK_QUEUE */
    pthread_cond_t intents_free;
    _Atomic uint32_t intents_waiting;
    _Atomic uint32_t next_intent;
    struct tree *intent_trees[INTENTS_MAX][CHANGE_SLOTS_MAX]; /* whose active count the change holds */

    struct journal journal;
    struct recounts recounts;

    struct {
        ledger_changed *fn;
        void *arg;
    } changed[SUBSCRIBERS_MAX];
    struct {
        void (*fn)(void *arg, struct tree *t, bool opened);
        void *arg;
    } opened[SUBSCRIBERS_MAX];
    _Atomic uint32_t n_changed, n_opened;
};

static inline struct record *record_at(const struct ledger *l, slot_t slot)
{
    return &l->records[slot];
}
