/* Which system calls listener and sessions may make. One table says it; a call that is not in it kills the process.
 *
 * Two filters, since a second one can only take away: the listener's, which every session inherits at no cost, and one
 * that a session adds at its login against what only listening and logging in need. Both are made once, in the
 * listener; the second is a single system call in the session.
 *
 * Source: seccomp(2); notes/session-process.md §5 (measured lists). */
#pragma once

#include "base/defs.h"

/* filter_listener - in force from here on. -ENOSYS, -EINVAL: this kernel has none. */
int filter_listener(void) MUST_CHECK;

/* filter_login - adds the second one, where there was a first. */
int filter_login(void) MUST_CHECK;
