/* The mounts of this process's namespace, read without touching any of them.
 *
 * Source: proc_pid_mountinfo(5). */
#pragma once

#include "base/defs.h"

/* A mount; the texts are borrowed for the call. */
struct mounted {
    uint64_t id;      /* as statx(2) gives it */
    const char *root; /* what of the file system is shown: "/" or, for a bind, "/name", then perhaps "//deleted" */
    const char *at;
    const char *type;
    const char *source;
};

/* mounts_each - calls fn for each, in the order in which they were made, until it returns non-zero, which is returned.
 * -errno: /proc/self/mountinfo cannot be read. */
int mounts_each(int (*fn)(void *arg, const struct mounted *m), void *arg) MUST_CHECK;
