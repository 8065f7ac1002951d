/* Covers: with vfs.in_place, the view of a home bound over its home_dir, so that programs and exports that use the old
 * path are counted, too.
 *
 *   vfs ── "put alice over /home/alice" ──► binder ── open_tree, move_mount ──► the host's mount namespace
 *
 * The binder is a process of its own: to bind, it looks the home up in the mount, which waits for the vfs. The vfs
 * itself lives in a mount namespace without covers (namespace_uncovered()), where each path leads to the backing.
 * Which covers there are is asked of the kernel, never remembered: they outlive every process here.
 *
 * Source: mount_namespaces(7), open_tree(2), move_mount(2). */
#pragma once

#include "base/defs.h"

/* ---- the binder and the supervisor ------------------------------------------------------------------------------ */

enum cover_what {
    COVER_PUT,   /* a cover over a home, unless it is there already */
    COVER_TAKE,  /* the cover of a home away */
    COVER_SWEEP, /* those away whose user has no such home any more */
};

enum { COVER_NAME_MAX = 255, COVER_PATH_MAX = 4095 };

struct cover_order {
    uint64_t number;
    uint32_t what;
    uint32_t unused;
    uint64_t dev, ino; /* PUT: the backing directory that must be at `path`; TAKE: ino is what the cover shows */
    char name[COVER_NAME_MAX + 1];
    char path[COVER_PATH_MAX + 1];
};

struct cover_answer {
    uint64_t number;
    int32_t r;
    int32_t unused;
};

/* binder_run - carries out orders from `fd` (SOCK_SEQPACKET) until it ends. `mount` is vfs.mount, `source` names our
 * mounts (mount_source()). What goes wrong is logged here. */
void binder_run(const char *mount, const char *source, int fd);

/* covers_remove - takes away what of ours is mounted anywhere but at `mount`, dead or alive: plainly, or lazily where
 * it is in use. Returns how many, or a negative errno. */
int covers_remove(const char *mount, const char *source);

/* namespace_uncovered - a copy of the mount namespace without mounts of ours; new mounts of the host appear in it where
 * the host shares them. *ret_fd is for setns(2). */
int namespace_uncovered(const char *source, int *ret_fd) MUST_CHECK;

/* ---- the vfs: orders are queued, since who gives them may be what the binder waits for ------------------------- */

struct covers;

int covers_start(int fd, struct covers **ret) MUST_CHECK; /* fd is moved */
/* covers_stop - nothing is carried out any more, but may still be ordered until covers_free(). Both accept NULL. */
void covers_stop(struct covers *c);
void covers_free(struct covers *c);

/* cover_order - a copy is queued. Never waits. */
void cover_order(struct covers *c, const struct cover_order *o);

/* covers_wait - until all that was ordered is done; false after `ms`. */
bool covers_wait(struct covers *c, unsigned ms);
