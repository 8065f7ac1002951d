/* Batching below libssh: one big recv() feeds the many small ones that libssh makes, and "would block" is no error.
 *
 * libssh reads at most 4096 bytes a poll(), and takes EAGAIN for the end of the connection. This file defines recv(),
 * send() and poll(), so that libssh's calls come here; they act for one descriptor of the process and pass everything
 * else on.
 *
 * Threads: that of the session. Source: notes/ssh.md §1.2, §1.3, §2, §4.7. */
#pragma once

#include "base/defs.h"

/* io_shim_start - for a descriptor (borrowed), which becomes non-blocking. Only where io_shim_calls() has been seen to
 * grow when libssh reads, else libssh would take EAGAIN for an error. Without it everything works, only slower. */
int io_shim_start(int fd) MUST_CHECK;

/* io_shim_calls - how many recv() calls have come here: the listener's self-test compares. */
unsigned io_shim_calls(void);

bool io_shim_pending(void); /* bytes that libssh has not taken yet */
