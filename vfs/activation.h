/* What activation gives to those who follow changes (homes_changes.c). Private to the two. */
#pragma once

#include "vfs/homes_table.h"

static inline void home_free_p(struct home **h)
{
    home_free(*h);
}

/* home_apply - the home as *u says, in place of the one that is there. The caller has claimed it;
 * `has_folders_lock`: holds homes.folders, too (needed where the old or the new one has virtual folders). */
int home_apply(struct vfs *v, const struct user *u, bool has_folders_lock) MUST_CHECK;

/* own_tree_open - the slow part of it, without that lock: what is open already is found at once later. */
void own_tree_open(struct vfs *v, const struct user *u);

/* home_give_back - what the old home had and the new one (NULL: none) has not. home_uncover - its cover, first. */
void home_give_back(struct vfs *v, const struct home *old, const struct home *now);
void home_uncover(struct vfs *v, const struct home *h);

/* folder_open - the domain and tree of a folder; at its first opening with all its members. Under homes.folders. */
int folder_open(struct vfs *v, const struct folder *f, const struct dir_rights *who, struct domain **ret_domain,
                struct tree **ret_tree) MUST_CHECK;
