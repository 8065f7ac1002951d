/* What dir.c and dir_rename.c share: a change of one name. Private. */
#pragma once

#include "vfs/dir.h"

struct naming {
    struct vfs *v;
    struct node dir;
    const char *name;      /* NULL: O_TMPFILE */
    enum point_kind point; /* the name is a point of the home */
    struct change change;
    struct reservation rsv;
};

/* naming_open - *n may be closed afterwards, whatever it returns. -EPERM: no real directory; -EINVAL: no name. */
int naming_open(struct naming *n, struct vfs *v, uint64_t parent, const char *name) MUST_CHECK;
void naming_close(struct naming *n); /* for CLEANUP */

/* naming_ino - the backing inode that has the name now; 0: none. */
uint64_t naming_ino(const struct naming *n);

/* naming_tell - to other views of the directory, before the reply. */
void naming_tell(struct naming *n);

/* name_lost - settles an inode that has lost a name. Its record is locked. After unlocking: pin_add(), if it has become
 * pinned. */
void name_lost(struct vfs *v, struct node *child);

/* node_is_still - the node was found before its record was locked: the record has not been released since. */
bool node_is_still(struct vfs *v, const struct node *n);

void dir_lock(struct vfs *v, slot_t dir);
void dir_unlock(struct vfs *v, slot_t dir);
void dir_lock_two(struct vfs *v, slot_t a, slot_t b);
void dir_unlock_two(struct vfs *v, slot_t a, slot_t b);
