/* What outlives a crash of the vfs process: a memfd that the supervisor keeps, mapped by each incarnation.
 *
 * The kernel's INIT, the open table, backing ids, the journal of pre-images, the numbers of views, the synthetic
 * directories, and which homes were active. Everything else is rebuilt from the ledger, the store and these.
 *
 * Threads:  an entry is one thread's while it is made; its first word is written last, so a reader of another
 *           incarnation sees whole entries.
 * Lifetime: of the mount. Nothing here survives an unmount.
 * Source:   notes/fuse-recovery.md §1.3. */
#pragma once

#include <stdatomic.h>

#include "base/defs.h"

enum {
    STATE_VERSION = 3,
    STATE_INIT_MAX = 512,
    STATE_OPENS = 1 << 18,
    STATE_BACKINGS = STATE_OPENS,
    STATE_HOMES = 1 << 20,
    STATE_VIEWS = 1 << 20,
    STATE_DIRS = 1 << 20,
    STATE_JOURNAL = 256,
    STATE_PATH_MAX = 511,
};
#define STATE_GONE    INT64_C(-1) /* in place of an id: free, but others that were put off by it come after it */
#define STATE_CLAIMED UINT64_MAX  /* in place of a unique: being written */
#define STATE_MAGIC   "tallyvfs"

/* An open file. Its number and generation are the kernel's file handle: number | generation << 32. */
struct state_open {
    _Atomic uint32_t used;
    uint32_t generation; /* new at each use, never 0 */
    uint64_t unique;     /* of the request that opened it, without the resend bit */
    uint64_t node;
    uint32_t flags;             /* of open(2) */
    uint8_t is_born;            /* opened by CREATE or TMPFILE: a replay answers with the entry, too */
    _Atomic uint8_t is_revoked; /* an administrator closed it: it grows and changes nothing any more */
    uint16_t unused;
    uint32_t uid;           /* who opened it */
    _Atomic uint32_t pid;   /* the thread that opened it or wrote last; the numbers are for the list of writers */
    _Atomic uint64_t bytes; /* written through it */
    int64_t since_ms;
    _Atomic int64_t active_ms;
};

/* The backing id of an inode that is open. Published after the ioctl: `id` is 0 while only the intent is known. */
struct state_backing {
    _Atomic uint32_t slot; /* of the ledger; 0: free, once it is whole */
    uint32_t generation;
    _Atomic int32_t id;
    int32_t lowest; /* the id will be this or a higher one: finds an id that was lost between ioctl and publishing */
};

/* The number by which a user sees a folder, in node ids. */
struct state_view {
    _Atomic int64_t folder_id; /* 0: free, STATE_GONE */
    int64_t user_id;
    uint32_t view;
    uint32_t unused;
};

/* A directory that exists only on the way to a virtual folder. Its place in the array is in the node id. */
struct state_dir {
    _Atomic int64_t user_id; /* 0: free, STATE_GONE */
    char path[STATE_PATH_MAX + 1];
};

/* The pre-image of a request that changes names (journal.c). */
struct state_journal {
    _Atomic uint64_t unique; /* 0: free */
    uint32_t op;
    uint32_t unused;
    uint64_t a, b;
};

struct state {
    char magic[8];
    uint32_t version;
    _Atomic uint32_t init_len; /* 0: the session is not initialised */
    uint8_t init[STATE_INIT_MAX];
    _Atomic int32_t highest_backing;          /* highest backing id seen */
    _Atomic uint32_t opens_end, backings_end; /* no entry from here on was ever used */
    struct state_journal journal[STATE_JOURNAL];
    struct state_view views[STATE_VIEWS];
    struct state_dir dirs[STATE_DIRS];
    _Atomic int64_t homes[STATE_HOMES]; /* ids of users whose homes are active; 0, STATE_GONE */
    struct state_open opens[STATE_OPENS];
    struct state_backing backings[STATE_BACKINGS];
};

/* state_map - maps the memfd (borrowed); makes it empty unless `resume`. -EPROTO: resume, but of another version or not
 * initialised. */
int state_map(int fd, bool resume, struct state **ret) MUST_CHECK;
void state_unmap(struct state *s);

/* state_raise - an end of an array is at least this. */
void state_raise(_Atomic uint32_t *end, uint32_t least);

/* state_home_add, state_home_remove - the set of active homes. Adding twice does nothing; a full one is -ENOSPC. */
int state_home_add(struct state *s, int64_t user_id);
void state_home_remove(struct state *s, int64_t user_id);

/* state_view_number - the number of a user's view of a folder: the old one or a new one. -ENOSPC. state_viewers - the
 * users who have one, at most `room`; how many. state_viewer - the user who has this number; 0. */
int state_view_number(struct state *s, int64_t folder_id, int64_t user_id, uint32_t *ret) MUST_CHECK;
size_t state_viewers(struct state *s, int64_t folder_id, int64_t *ret_users, size_t room);
int64_t state_viewer(struct state *s, int64_t folder_id, uint32_t view);
void state_view_forget(struct state *s, int64_t folder_id, int64_t user_id);

/* state_dir_number - the place of a synthetic directory: the old one or a new one. -ENOSPC, -ENAMETOOLONG. */
int state_dir_number(struct state *s, int64_t user_id, const char *path, uint32_t *ret) MUST_CHECK;
void state_dirs_forget(struct state *s, int64_t user_id);
