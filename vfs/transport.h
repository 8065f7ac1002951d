/* The session on /dev/fuse: threads that read requests and run their handlers, one hot reader at a time.
 *
 * The reader is the leader: it keeps the lead while it runs short handlers, so one thread and its cache stay warm; it
 * lets go of it before slow ones (transport_slow), and another thread reads on.
 *
 * Residency: request buffers are locked in memory before the first read. A SIGKILL while the kernel copies a request
 * into a page that is not present would end that request with EIO at the client.
 * Source:    notes/fuse-recovery.md §1.3, §3. */
#pragma once

#include "vfs/core.h"

#define UNIQUE_RESENT (UINT64_C(1) << 63)

/* transport_open - the session on the descriptor (moved, even on failure), initialised: by the kernel's INIT, or,
 * when the state has a saved one (resume), by that. transport_start - asks for what was read but not answered to be
 * sent again (resume), and starts the threads. */
int transport_open(struct vfs *v, int fuse_fd, bool resume, struct transport **ret) MUST_CHECK;
int transport_start(struct transport *t, bool resume, unsigned threads) MUST_CHECK;

/* transport_stop - what is under way is answered; threads are gone afterwards. transport_free - the session. */
void transport_stop(struct transport *t);
void transport_free(struct transport *t);
int transport_wait(struct transport *t);

/* transport_wake - whoever waits there comes back, though the session goes on. */
void transport_wake(struct transport *t);

/* transport_slow - the handler of this thread may take long: somebody else reads now. Twice does nothing. */
void transport_slow(void);

/* transport_unique - of the request that this thread handles, with UNIQUE_RESENT. */
uint64_t transport_unique(void);

/* transport_room - a buffer of this thread for replies, `TRANSPORT_ROOM` bytes, resident. */
enum { TRANSPORT_ROOM = 1 << 20 };
void *transport_room(void);

struct fuse_session *transport_session(struct transport *t);
