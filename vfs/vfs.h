/* The file system of homes: <mount>/<username>/..., one FUSE session for all of them.
 *
 * It answers the kernel's requests on backing files that it reaches through private clones of their mounts, and asks
 * the ledger before and after each change of a size. Read-only opens pass through to the kernel; writes come here.
 *
 *   transport.c   session, leader/follower loop, resume after a crash
 *   op_*.c        the FUSE operations: tables and short handlers
 *   homes.c       users and folders to trees, views and rooms; looked up in the store when first touched
 *   backing.c     clones of backing mounts, one a file system
 *   node.c        node ids: view (12 bits) | generation (20) | slot (32)
 *   file.c        open files: the open table in shared memory, writes, truncates
 *   writers.c     who writes, for the list of connections
 *   dir.c         names: create, unlink, rename, link, listing
 *
 * Threads: its own. The functions below may be called from any thread that holds no lock of the ledger.
 * Source:  notes/fuse.md, notes/fuse-recovery.md (newer, it wins). */
#pragma once

#include "base/config.h"
#include "ledger/ledger.h"
#include "store/store.h"

struct vfs;

struct vfs_options {
    const struct config *config; /* borrowed for the life of the vfs, like the next two */
    struct store *store;
    struct ledger *ledger;
    int fuse_fd;      /* the session, mounted; moved */
    int state_fd;     /* memfd that outlives this process: saved INIT, open table, backing ids, journal; moved */
    int notify_fd;    /* to the notifier; moved */
    int cover_fd;     /* to the binder, with vfs.in_place; moved. Without it 0 or -1 */
    dev_t cover_dev;  /* the device of our mounts, where this process has a mount namespace of its own */
    bool resume;      /* this process follows one that died: the session is already initialised */
    unsigned threads; /* 0: a good number */
};

int vfs_start(const struct vfs_options *o, struct vfs **ret) MUST_CHECK;

/* vfs_stop - answers what is under way and ends; the kernel's mount stays until the supervisor takes it away. */
void vfs_stop(struct vfs *v);

/* vfs_wait - until the session ends by itself (unmounted by somebody). Returns 0 or a negative errno. */
int vfs_wait(struct vfs *v);

/* vfs_wake - whoever is in vfs_wait() comes back: called before vfs_stop(), which frees what it looks at. */
void vfs_wake(struct vfs *v);

/* vfs_activate_user - what the first touch of a home does: domain, tree, rooms; makes the home directory if it is
 * missing. -ENOENT: no such user; -ENOTDIR and others: the backing directory, logged with its path. */
int vfs_activate_user(struct vfs *v, const char *username) MUST_CHECK;
int vfs_activate_folder(struct vfs *v, const char *name) MUST_CHECK;

/* vfs_user_changed, vfs_folder_changed - read the store again: limits count at once for open files; folders that were
 * added or taken away appear, disappear and move their charges; a removed user's home is no longer there. */
void vfs_user_changed(struct vfs *v, const char *username, int64_t id);
void vfs_folder_changed(struct vfs *v, const char *name, int64_t id);

/* vfs_verify - opens again all homes and folders that were counted before, and has counted what changed while nobody
 * watched. May take long; ends early when *stop is set. The watcher must watch already. */
void vfs_verify(struct vfs *v, bool resume, const _Atomic bool *stop);

/* Who has a file of a home open for writing, SFTP sessions included: they are programs on this machine, too. */
struct vfs_writer {
    uint64_t handle;
    char username[256];
    char path[1024];  /* in the home; cut if it is longer */
    char process[32]; /* "": it is gone, and somebody else has its descriptor */
    uint32_t pid, uid;
    uint64_t bytes; /* written through this handle */
    int64_t since_ms, active_ms;
};

/* vfs_writer_next - the next one from *pos on, which is moved; false: there is none. */
bool vfs_writer_next(struct vfs *v, uint32_t *pos, struct vfs_writer *ret);

/* vfs_writer_close - the handle is revoked: nothing can be changed through it any more (EIO). -ENOENT. */
int vfs_writer_close(struct vfs *v, uint64_t handle);

/* vfs_covered - with vfs.in_place: true once all homes are covered by their view, or false after `ms`. vfs_verify()
 * covers them first. */
bool vfs_covered(struct vfs *v, unsigned ms);

struct vfs_status {
    bool passthrough;
    const char *libfuse; /* version, static */
    uint64_t open_files;
};
void vfs_status(const struct vfs *v, struct vfs_status *ret);
