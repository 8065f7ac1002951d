/* The watcher: changes made beneath the mount, seen by the kernel's notifications on the backing directories.
 *
 * Events say where to look, never what changed: look(), look_slot() and look_dir() of the ledger do the rest, so events
 * may be coalesced, repeated or reordered without harm. An overflow or a lost watch marks the domains stale first, then
 * recounts. `fanotify`: one mark a backing file system, our own clone ignored. `inotify`: a watch a directory, watch
 * first, then list; blind to writes through cold file handles, so it always comes with a periodic recount.
 *
 * A tree is watched before its tree_open() returns; what happened while no watcher ran is found by a recount only.
 * mount_fd of the trees must be in a detached clone of the mount, or our own writes are looked at like foreign ones.
 *
 * Files: inside.h first, it says which file does what. Threads: its own. Source: notes/watcher.md. */
#pragma once

#include "base/config.h"
#include "ledger/ledger.h"

struct watcher;

/* watcher_start - watches all trees of the ledger and those that are opened later. -EINVAL: an unknown mode; -EPERM and
 * others: the mode that was asked for cannot be had (auto: none of the modes). */
int watcher_start(const struct config *config, struct ledger *ledger, struct watcher **ret) MUST_CHECK;
/* watcher_stop - what was changed before it is looked at first. After the last tree_open(), before ledger_close(). */
void watcher_stop(struct watcher *w);

/* watcher_kind - "fanotify", "inotify", "off": what really runs. Static. */
const char *watcher_kind(const struct watcher *w);
