/* Members: the users whose own quota a folder fills (quota -1). Their domains are in the charge set of its tree.
 *
 * Threads: one at a time, under homes.activating. */
#pragma once

#include "vfs/core.h"

/* member_reconcile - this user is moved by the trees of the folders that the store says, and by no other folder's; the
 * limits are the user's. A user who cannot be included is stale, and the log says why. */
void member_reconcile(struct vfs *v, const struct user *u);

/* members_reconcile - the same for all users of a folder and its tree. */
int members_reconcile(struct vfs *v, struct tree *tree, int64_t folder_id) MUST_CHECK;

/* folder_is_served - was its tree opened in this life? */
bool folder_is_served(const struct vfs *v, int64_t folder_id);

/* trees_forget_former - the domain's own trees but one: its directory is another one now. */
void trees_forget_former(struct domain *d, struct tree *but);
