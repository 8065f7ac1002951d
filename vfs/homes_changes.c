/* Changes in the store, and what is found again after a restart.
 *
 * A change of a user is followed for that user alone, a change of a folder for all whose homes show it. Who is about to
 * be activated meanwhile reads the store inside homes.folders, if there are folders, and so sees the change or is seen
 * by it. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "vfs/activation.h"
#include "vfs/cover.h"
#include "vfs/homes_members.h"
#include "vfs/node.h"
#include "vfs/notices.h"

/* `id`: of the user who is gone; another one may have the name by now. */
static void home_remove(struct vfs *v, const char *username, int64_t id)
{
    CLEANUP(home_free_p) struct home *old = home_take(v->homes, username, id);
    struct domain *domain = domain_find(v->ledger, DOMAIN_USER, old != NULL ? old->id : id);

    if (old != NULL) {
        state_home_remove(v->state, old->id);
        state_dirs_forget(v->state, old->id);
        home_uncover(v, old);
        home_give_back(v, old, NULL);
    }
    if (domain != NULL)
        domain_drop(domain);
    notice_name(v, NODE_ROOT, username);
}

static void refresh_locked(struct vfs *v, const char *username, int64_t id)
{
    struct user u = { 0 };
    int r = user_load(v->store, username, &u);

    if (r == -ENOENT || (r == 0 && id != 0 && u.id != id))
        home_remove(v, username, id);
    else if (r < 0)
        log_fail(r, "user %s has changed but cannot be read", username);
    if (r == 0 && home_find(v, username) != 0)
        IGNORE(home_apply(v, &u, true), "logged inside; the old home stays");
    else if (r == 0)
        member_reconcile(v, &u);
    if (r == 0 && home_find(v, username) == 0)
        notice_name(v, NODE_ROOT, username); /* the kernel may know that there was no such home */
    user_done(&u);
}

/* What a slow disk may delay, before the lock that others want, too. */
static void refresh_prepare(struct vfs *v, const char *username)
{
    struct user u = { 0 };

    if (home_find(v, username) != 0 && user_load(v->store, username, &u) == 0)
        own_tree_open(v, &u);
    user_done(&u);
}

void home_refresh(struct vfs *v, const char *username, int64_t id)
{
    struct home_claim claim;

    home_claim(v->homes, &claim, username);
    refresh_prepare(v, username);
    mutex_lock(&v->homes->folders);
    refresh_locked(v, username, id);
    mutex_unlock(&v->homes->folders);
    home_unclaim(v->homes, &claim);
}

/* The users whose homes show a folder: their names (owned by the list). */
static int folder_homes(struct vfs *v, int64_t folder_id, struct strings *ret)
{
    struct homes *h = v->homes;
    int r = 0;

    rwlock_lock_shared(&h->lock);
    for (size_t i = 0; i < HOME_BUCKETS; i++)
        for (struct home *home = h->by_name[i]; home != NULL; home = home->next)
            for (size_t b = 1; r == 0 && b < home->branches_n; b++)
                if (home->branches[b].folder_id == folder_id)
                    r = strings_add(ret, home->username);
    rwlock_unlock(&h->lock);
    return r;
}

/* It is still there, and somebody knows it: its members and its directory are those that the store says. */
static void folder_reconcile(struct vfs *v, const struct folder *f)
{
    struct domain *domain = NULL;
    struct tree *tree = NULL;

    if (!folder_is_served(v, f->id) || folder_open(v, f, NULL, &domain, &tree) < 0)
        return; /* a failure is logged inside */
    trees_forget_former(domain, tree);
    int r = members_reconcile(v, tree, f->id);
    if (r < 0)
        log_fail(r, "folder %s has changed but its users cannot be listed", f->name);
}

/* Whose directory or domain has gone, after the homes that showed it have let go. */
static void folder_settle(struct vfs *v, const char *name, int64_t id)
{
    struct folder f = { 0 };
    int r = folder_load(v->store, name, &f);
    bool gone = r == -ENOENT || (r == 0 && id != 0 && f.id != id);
    struct domain *domain = gone ? domain_find(v->ledger, DOMAIN_FOLDER, id) : NULL;

    if (r < 0 && !gone)
        log_fail(r, "folder %s has changed but cannot be read", name);
    if (domain != NULL)
        domain_drop(domain);
    else if (!gone && f.name != NULL)
        folder_reconcile(v, &f);
    folder_done(&f);
}

void folder_refresh(struct vfs *v, const char *name, int64_t id)
{
    struct strings users = { 0 };

    mutex_lock(&v->homes->folders);
    int r = folder_homes(v, id, &users);
    mutex_unlock(&v->homes->folders);
    if (r < 0)
        log_fail(r, "folder %s has changed but its users cannot be listed", name);
    for (size_t i = 0; i < users.n; i++)
        home_refresh(v, users.v[i], 0);
    strings_done(&users);
    mutex_lock(&v->homes->folders);
    folder_settle(v, name, id);
    mutex_unlock(&v->homes->folders);
}

/* ---- covers ------------------------------------------------------------------------------------------------------ */

struct covering {
    struct vfs *vfs;
    const _Atomic bool *stop;
};

/* A home whose directory is there is bound over it; another one when somebody comes and it is made. */
static int cover_user(void *arg, int64_t id, const char *username)
{
    const struct covering *c = arg;
    struct user u = { 0 };
    struct stat st;
    int r = user_load(c->vfs->store, username, &u);

    (void)id;
    if (r == 0 && backing_look(c->vfs->backings, u.home_dir, &st) == 0)
        IGNORE(home_activate(c->vfs, username), "logged inside");
    else if (r < 0 && r != -ENOENT)
        log_fail(r, "user %s cannot be read, so the home is not covered", username);
    user_done(&u);
    return *c->stop ? 1 : 0;
}

void homes_cover(struct vfs *v, const _Atomic bool *stop)
{
    struct covering c = { .vfs = v, .stop = stop };

    if (v->covers == NULL)
        return;
    int r = users_after(v->store, 0, cover_user, &c);
    if (r < 0)
        log_fail(r, "not all homes are covered by their view: the users cannot be listed");
    cover_order(v->covers, &(struct cover_order){ .what = COVER_SWEEP });
}
