/* Operations on homes as the mount does them, through the ledger's protocol, without a mount.
 *
 * `path` is below the home; parents exist. 0, a count, or a negative errno. Threads: any. */
#pragma once

#include "ledger/ledger.h"

enum { OPS_TREES = 3 };

struct ops {
    struct ledger *l;
    struct tree *trees[OPS_TREES];
    int homes[OPS_TREES]; /* O_RDONLY descriptors of the homes */
    struct room *rooms[OPS_TREES];
    bool links_too; /* ops_storm: hard links; not where others move directories between homes */
};

ssize_t ops_write(struct ops *b, unsigned home, const char *path, uint64_t off, size_t len);
int ops_truncate(struct ops *b, unsigned home, const char *path, uint64_t size);
int ops_unlink(struct ops *b, unsigned home, const char *path);
int ops_mkdir(struct ops *b, unsigned home, const char *path);
int ops_rmdir(struct ops *b, unsigned home, const char *path);
int ops_link(struct ops *b, unsigned home, const char *from, const char *to);
int ops_rename(struct ops *b, unsigned from_home, const char *from, unsigned to_home, const char *to);
slot_t ops_slot(struct ops *b, unsigned home, const char *path); /* looked up by name, as the mount does */

/* ops_storm - one random operation of a writer with names of its own and shared ones; `seed` is its state. */
void ops_storm(struct ops *b, unsigned home, unsigned who, uint64_t *seed);
