/* A home, reached by one descriptor, and places in it.
 *
 * A place is a directory that is open, and a name in it: what unlinkat(), renameat2() and the like want. Its `path` is
 * the real virtual path: free of symbolic links (the last name only when it was followed). Rights are looked up by it,
 * so a link never gives more than its target does.
 *
 * Lifetime: a place is owned: home_place_done(). All zero with dir -1: nothing.
 * Source:   openat2(2), path_resolution(7). */
#pragma once

#include <limits.h>
#include <sys/stat.h>

#include "base/defs.h"

enum { HOME_LINKS_MAX = 40, HOME_OUTSIDE_MAX = 2 };

struct home {
    int fd; /* of the home directory; O_PATH is enough */
    /* Absolute host paths that mean this home when a symbolic link begins with one (the mount, the backing directory);
     * NULL: none. Borrowed. Any other absolute target means the home's root. */
    const char *outside[HOME_OUTSIDE_MAX];
};

struct place {
    int dir;          /* O_PATH */
    char *path;       /* clean virtual path */
    const char *name; /* in path; "." for the root of the home */
};

/* home_place - where a clean virtual path is. With `follow` a symbolic link at its end is followed, too; the last name
 * need not exist. -ENOENT, -ENOTDIR, -EACCES, -ELOOP, -ENAMETOOLONG, -ENOMEM. */
int home_place(const struct home *h, const char *path, bool follow, struct place *ret) MUST_CHECK;
void home_place_done(struct place *p);

/* place_open - the named file itself; a symbolic link is -ELOOP, and nothing leads out. */
int place_open(const struct place *p, int flags, mode_t mode) MUST_CHECK;
int place_stat(const struct place *p, struct stat *ret) MUST_CHECK; /* a link itself */

/* path_parent - the directory of a clean path, into `to`; "/" for "/". */
void path_parent(const char *path, char to[PATH_MAX]);

/* path_is_beneath - is a clean path the directory itself or beneath it? */
bool path_is_beneath(const char *path, const char *dir);
