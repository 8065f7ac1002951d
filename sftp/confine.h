/* What the listener gives up before it accepts the first connection, so that every session is born without it: the
 * file system (an empty, read-only root of its own), the network, IPC and host names (namespaces), every capability
 * but those to become the user, new privileges, and all system calls that no session makes (filter.h).
 *
 * What the kernel or a container refuses is said once in the log, and the rest is done all the same.
 *
 * Source: notes/session-process.md §3–§5; pivot_root(2), capabilities(7). */
#pragma once

#include "base/defs.h"

/* confine_listener - `dir` is any directory that exists: the empty root is mounted there for a moment, in a namespace
 * of our own. Everything that needs a path must be done before. Negative: it holds a right that it must not. */
int confine_listener(const char *dir) MUST_CHECK;

/* confine_descriptors - closes all but 0 to 2 and these two. */
void confine_descriptors(int a, int b);
