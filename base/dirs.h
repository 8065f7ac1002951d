/* Directories by an absolute path, opened one name after the other, and made where they are missing.
 *
 * Symbolic links on the way are followed by hand, so that each directory can be looked at before it is walked through:
 * a mount may be there that the caller must not enter.
 *
 * Threads: any. Source: path_resolution(7), open_by_handle_at(2). */
#pragma once

#include "base/sys.h"

/* Whose a directory is that is made, and its mode (the umask does not count). */
struct dir_rights {
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

enum dir_seen { DIR_GO_ON, DIR_AGAIN }; /* DIR_AGAIN: open the same name once more */

struct dir_walk {
    bool make;                     /* what is missing; what leads to it is root's, 0755 */
    const struct dir_rights *last; /* of the last one if it is made; NULL: like the others */
    /* looks at a directory, before what is in it; may be NULL. A negative errno ends the walk. */
    int (*look)(void *arg, int fd, const struct stat *st);
    void *arg;
};

/* "." or "..". */
bool name_is_dot(const char *name);

/* dirs_open - the directory as an O_PATH descriptor, owned. -EINVAL: not absolute; -ENAMETOOLONG; -ELOOP: too many
 * symbolic links; -ENOTDIR: something else is there; what open(2), mkdir(2) and `look` say. */
int dirs_open(const char *path, const struct dir_walk *w) MUST_CHECK;

/* dirs_make - the directory is there and has these rights, also if it was there before. */
int dirs_make(const char *path, const struct dir_rights *rights) MUST_CHECK;
