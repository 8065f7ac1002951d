/* The service's one struct, and what its parts share. Private to the room; vfs.h is for others.
 *
 * Locks, outermost first: the leader's (RANK_NONE) · directory locks and activation (RANK_CONNECTIONS) · the tables of
 * homes (RANK_HOMES) · open inodes (RANK_INODES) · the ledger's · small leaf tables (RANK_QUEUE). */
#pragma once

#include "base/lock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "vfs/backing.h"
#include "vfs/fd_cache.h"
#include "vfs/state.h"
#include "vfs/vfs.h"

enum { DIR_LOCKS = 512 };

struct backing_ids;
struct covers;
struct homes;
struct files;
struct notices;
struct pins;
struct transport;

struct vfs {
    const struct config *config; /* borrowed, like the next two */
    struct store *store;
    struct ledger *ledger;
    struct state *state;
    int state_fd;
    int fuse_fd; /* owned by the session */

    struct backings *backings;
    struct backing_ids *backing_ids;
    struct fd_cache *fds;
    struct pins *pins;
    struct homes *homes;
    struct covers *covers;    /* NULL without vfs.in_place */
    _Atomic bool has_covered; /* homes_cover() is through */
    struct files *files;
    struct notices *notices;
    struct transport *transport;
    struct mutex dir_locks[DIR_LOCKS]; /* name changes in one backing directory, whatever the view */
    bool passthrough;                  /* set by INIT, constant from then on */
};

/* How long the kernel may keep what it was told. Changes beneath are announced (notices.h). */
#define KEEP_LONG_S  86400.0
#define KEEP_SHORT_S 1.0
