/* The descriptor store of systemd: what is put there stays open when this process dies, and comes back to the next one
 * (FileDescriptorStoreMax= of the unit). Without systemd all of these do nothing.
 *
 * Threads: the supervisor's one. Source: sd_notify(3) FDSTORE, sd_listen_fds(3). */
#pragma once

#include "base/defs.h"

/* fd_store_is_there - somebody keeps descriptors for us. */
bool fd_store_is_there(void);

/* fd_store_put - a copy is kept under this name, also when poll(2) finds an error on it. fd_store_remove - no
 * longer. */
void fd_store_put(const char *name, int fd);
void fd_store_remove(const char *name);

/* fd_store_take - what was kept under these names: ret_fds[i], owned, -1 if there was none. What has other names is
 * closed. Only the first call finds anything. */
void fd_store_take(const char *const *names, int *ret_fds, size_t n);
