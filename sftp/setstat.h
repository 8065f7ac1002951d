/* SETSTAT: attributes in the order times, permissions, owner, size; the first that fails ends it.
 *
 * Rights are checked before SETSTAT_IGNORE skips the work; a size is always set.
 * Source: contract/sftp-quota.md §2.2, §2.6. */
#pragma once

#include "sftp/attrs.h"
#include "sftp/home_file.h"

struct setstat_target {
    int fd; /* the file itself if name is "", else its directory */
    const char *name;
    const char *path;          /* for the log */
    struct home_file *file;    /* an open one; NULL: by name */
    struct home_file *writing; /* by handle or name: open for writing, so that times are to be set again; NULL: not */
    uint32_t rights;           /* of its directory */
    const struct place *at;    /* by name: where it is */
};

int setstat(struct account *a, const struct setstat_target *t, const struct attrs *at) MUST_CHECK;

/* creation_mode - the mode for a new file or directory: 0 is the default. */
mode_t creation_mode(const struct account *a, const char *path, const struct attrs *at);
