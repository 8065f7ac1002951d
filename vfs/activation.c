/* Activation: what the store says about a user becomes domain, trees, rooms and views.
 *
 * A home is built outside the lock and put in place of the old one whole. Afterwards what the old one had and the new
 * one has not is given back: a folder's charge set loses the user's domain, a former home directory is forgotten. So
 * an update that changes nothing changes nothing, and limits count for open files at once: the user's lie in the
 * domain, a mapping's in the room of the branch, which each operation finds anew.
 *
 * A folder moves the counters of *all* users who include it with quota -1, also of those whose homes nobody has touched
 * yet: the first activation of a folder looks them up in the store (homes_members.c). */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "vfs/homes_members.h"
#include "vfs/homes_table.h"
#include "vfs/node.h"
#include "vfs/notices.h"

static void home_free_p(struct home **h)
{
    home_free(*h);
}

/* Whose a new directory is: uid 0 in the record means the service account. */
static struct backing_owner owner_of(const struct user *u)
{
    struct backing_owner owner = { .uid = (uid_t)u->uid, .gid = (gid_t)u->gid };
    struct passwd pw, *found = NULL;
    char buf[4096];

    if (u->uid != 0 && u->gid != 0)
        return owner;
    if (getpwnam_r("tally", &pw, buf, sizeof buf, &found) == 0 && found != NULL) {
        owner.uid = u->uid != 0 ? owner.uid : pw.pw_uid;
        owner.gid = u->gid != 0 ? owner.gid : pw.pw_gid;
    }
    return owner;
}

static uint64_t limit_of(int64_t quota)
{
    return quota > 0 ? (uint64_t)quota : 0;
}

/* Opens the backing directory and its tree. `what` completes "cannot serve ..." in the log. */
static int tree_at(struct vfs *v, struct domain *owner, const char *path, const struct backing_owner *who,
                   const char *what, struct tree **ret)
{
    int root = -1;
    int mount_fd = -1;
    int r = backing_open(v->backings, path, who, v->config->vfs.mount, &root, &mount_fd);

    if (r == 0)
        r = tree_open(v->ledger, owner, root, mount_fd, ret);
    if (r < 0)
        return log_fail(r, "cannot serve %s: its directory %s", what, path == NULL ? "" : path);
    return 0;
}

/* ---- folders ---------------------------------------------------------------------------------------------------- */

static int folder_open(struct vfs *v, const struct folder *f, const struct backing_owner *who,
                       struct domain **ret_domain, struct tree **ret_tree)
{
    CLEANUP(strbuf_done) struct strbuf what = STRBUF(1024);
    bool was_served = folder_is_served(v, f->id);
    int r = domain_get(v->ledger, DOMAIN_FOLDER, f->id, ret_domain);

    if (r < 0)
        return log_fail(r, "folder %s has no quota domain", f->name);
    strbuf_addf(&what, "folder %s", f->name);
    r = tree_at(v, *ret_domain, f->mapped_path, who, what.s != NULL ? what.s : "folder", ret_tree);
    return r < 0 || was_served ? r : members_reconcile(v, *ret_tree, f->id);
}

/* ---- homes ------------------------------------------------------------------------------------------------------ */

static int branch_init(struct branch *b, struct home *h, struct tree *tree, struct domain *owner)
{
    *b = (struct branch){ .home = h, .tree = tree, .owner = owner, .point = -1 };
    return 0;
}

/* The room of a folder: with quota -1 what is left to the user, else the mapping's own limits on the folder's
 * counter. */
static struct room *folder_room(struct vfs *v, struct domain *user, struct domain *folder,
                                const struct virtual_folder *f)
{
    struct room_row rows[] = {
        { .domain = folder,
          .own_limits = true,
          .limit_bytes = limit_of(f->quota_size),
          .limit_files = limit_of(f->quota_files) },
        { .domain = user },
    };

    return room_new(v->ledger, rows, f->quota_size == -1 ? 2 : 1);
}

static int home_add_folder(struct vfs *v, struct home *h, const struct virtual_folder *f,
                           const struct backing_owner *who)
{
    struct domain *domain = NULL;
    struct tree *tree = NULL;
    struct branch *b = &h->branches[h->branches_n];
    int r = folder_open(v, &f->folder, who, &domain, &tree);

    if (r == 0)
        r = branch_init(b, h, tree, domain);
    if (r == 0)
        r = state_view_number(v->state, f->folder.id, h->id, &b->view);
    if (r < 0)
        return r;
    b->folder_id = f->folder.id;
    b->is_included = f->quota_size == -1;
    b->folder_name = strdup(f->folder.name);
    b->room = folder_room(v, h->domain, domain, f);
    h->branches_n++;
    return b->folder_name == NULL || b->room == NULL ? -ENOMEM : 0;
}

/* A folder that cannot be opened is missing from the home, and the log says why; the home itself works. */
static int home_add_folders(struct vfs *v, struct home *h, const struct user *u, const struct backing_owner *who)
{
    const struct virtual_folder *folders = u->virtual_folders.v;
    const char *paths[HOME_FOLDERS_MAX + 1] = { NULL };

    for (size_t i = 0; i < u->virtual_folders.n && h->branches_n <= HOME_FOLDERS_MAX; i++) {
        size_t at = h->branches_n;
        paths[at] = folders[i].virtual_path;
        int r = home_add_folder(v, h, &folders[i], who);
        if (r == -ENOMEM)
            return r;
    }
    return h->branches_n > 1 ? points_make(v, h, paths) : 0;
}

static int home_build(struct vfs *v, const struct user *u, struct home **ret)
{
    CLEANUP(home_free_p) struct home *h = calloc(1, sizeof *h);
    CLEANUP(strbuf_done) struct strbuf what = STRBUF(1024);
    struct backing_owner who = owner_of(u);
    struct tree *tree = NULL;

    if (h == NULL || (h->branches = calloc(HOME_FOLDERS_MAX + 2, sizeof *h->branches)) == NULL ||
        (h->username = strdup(u->username)) == NULL)
        return -ENOMEM;
    h->id = u->id;
    int r = domain_get(v->ledger, DOMAIN_USER, u->id, &h->domain);
    if (r < 0)
        return log_fail(r, "user %s has no quota domain", u->username);
    domain_set_limits(h->domain, limit_of(u->quota_size), limit_of(u->quota_files));
    strbuf_addf(&what, "user %s", u->username);
    r = tree_at(v, h->domain, u->home_dir, &who, what.s != NULL ? what.s : "user", &tree);
    if (r == 0)
        r = branch_init(&h->branches[0], h, tree, h->domain);
    if (r < 0)
        return r;
    h->branches_n = 1;
    h->branches[0].room = room_new(v->ledger, &(struct room_row){ .domain = h->domain }, 1);
    if (h->branches[0].room == NULL)
        return -ENOMEM;
    r = home_add_folders(v, h, u, &who);
    if (r == 0)
        *ret = TAKE_PTR(h);
    return r;
}

static const struct branch *branch_of(const struct home *h, const struct tree *tree)
{
    for (size_t i = 0; h != NULL && i < h->branches_n; i++)
        if (h->branches[i].tree == tree)
            return &h->branches[i];
    return NULL;
}

/* What the old home had and the new one (NULL: none) has not. */
static void home_give_back(struct vfs *v, const struct home *old, const struct home *now)
{
    if (branch_of(now, old->branches[0].tree) == NULL)
        tree_forget(old->branches[0].tree);
    for (size_t i = 1; i < old->branches_n; i++) {
        const struct branch *was = &old->branches[i];
        const struct branch *is = branch_of(now, was->tree);
        if (was->is_included && (is == NULL || !is->is_included))
            tree_exclude(was->tree, old->domain);
        if (is == NULL)
            state_view_forget(v->state, was->folder_id, old->id);
    }
}

/* The kernel may know names that are no longer what they were: the points of both. */
static void home_announce(struct vfs *v, const struct home *h)
{
    for (size_t i = 0; h != NULL && i < h->points_n; i++) {
        uint64_t above = h->points[i].above < 0 ? branch_root(v, &h->branches[0]) : h->points[h->points[i].above].real;
        if (above == 0)
            above = UINT64_C(2) + h->points[h->points[i].above].number;
        notice_name(v, above, h->points[i].name);
    }
}

static int home_apply(struct vfs *v, const struct user *u)
{
    CLEANUP(home_free_p) struct home *old = NULL;
    struct home *h = NULL;
    int r = home_build(v, u, &h);

    if (r < 0)
        return r;
    member_reconcile(v, u);
    old = home_put(v->homes, h);
    if (old != NULL) {
        home_give_back(v, old, h);
        home_announce(v, old);
        home_announce(v, h);
    }
    r = state_home_add(v->state, u->id);
    if (r < 0)
        log_warn("user %s: more active homes than the %d that a restart could find again", u->username, STATE_HOMES);
    return 0;
}

static int activate_locked(struct vfs *v, const char *username)
{
    struct user u = { 0 };
    int r = home_find(v, username) != 0 ? 0 : user_load(v->store, username, &u);

    if (r == 0 && u.username != NULL)
        r = home_apply(v, &u);
    user_done(&u);
    return r;
}

int home_activate(struct vfs *v, const char *username)
{
    mutex_lock(&v->homes->activating);
    int r = activate_locked(v, username);
    mutex_unlock(&v->homes->activating);
    return r;
}

static int folder_activate_locked(struct vfs *v, const char *name)
{
    struct folder f = { 0 };
    struct domain *domain = NULL;
    struct tree *tree = NULL;
    int r = folder_load(v->store, name, &f);

    if (r == 0)
        r = folder_open(v, &f, NULL, &domain, &tree);
    folder_done(&f);
    return r;
}

int folder_activate(struct vfs *v, const char *name)
{
    mutex_lock(&v->homes->activating);
    int r = folder_activate_locked(v, name);
    mutex_unlock(&v->homes->activating);
    return r;
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

/* `id`: of the user who is gone; another one may have the name by now. */
static void home_remove(struct vfs *v, const char *username, int64_t id)
{
    CLEANUP(home_free_p) struct home *old = home_take(v->homes, username, id);
    struct domain *domain = domain_find(v->ledger, DOMAIN_USER, old != NULL ? old->id : id);

    if (old != NULL) {
        state_home_remove(v->state, old->id);
        state_dirs_forget(v->state, old->id);
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
        IGNORE(home_apply(v, &u), "logged inside; the old home stays");
    else if (r == 0)
        member_reconcile(v, &u);
    if (r == 0 && home_find(v, username) == 0)
        notice_name(v, NODE_ROOT, username); /* the kernel may know that there was no such home */
    user_done(&u);
}

void home_refresh(struct vfs *v, const char *username, int64_t id)
{
    mutex_lock(&v->homes->activating);
    refresh_locked(v, username, id);
    mutex_unlock(&v->homes->activating);
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

void folder_refresh(struct vfs *v, const char *name, int64_t id)
{
    struct folder f = { 0 };
    struct strings users = { 0 };

    mutex_lock(&v->homes->activating);
    int r = folder_load(v->store, name, &f);
    bool gone = r == -ENOENT || (r == 0 && id != 0 && f.id != id);
    if (r < 0 && !gone)
        log_fail(r, "folder %s has changed but cannot be read", name);
    r = folder_homes(v, id, &users);
    for (size_t i = 0; i < users.n; i++)
        refresh_locked(v, users.v[i], 0);
    if (r < 0)
        log_fail(r, "folder %s has changed but its users cannot be listed", name);
    struct domain *domain = gone ? domain_find(v->ledger, DOMAIN_FOLDER, id) : NULL;
    if (domain != NULL)
        domain_drop(domain);
    else if (!gone && f.name != NULL)
        folder_reconcile(v, &f);
    mutex_unlock(&v->homes->activating);
    strings_done(&users);
    folder_done(&f);
}

static void activate_by_id(struct vfs *v, int64_t id)
{
    struct user u = { 0 };
    int r = user_load_by_id(v->store, id, &u);

    if (r == 0)
        IGNORE(home_activate(v, u.username), "logged inside");
    else if (r == -ENOENT)
        state_home_remove(v->state, id);
    else
        log_fail(r, "user %lld cannot be read", (long long)id);
    user_done(&u);
}

void homes_resume(struct vfs *v)
{
    for (size_t i = 0; i < STATE_HOMES; i++)
        if (v->state->homes[i] > 0)
            activate_by_id(v, v->state->homes[i]);
}

/* ---- what was known in an earlier life --------------------------------------------------------------------------- */

/* Activates it, so that it is watched; whom the store does not know any more is dropped. */
static int known_activate(struct vfs *v, enum domain_kind kind, int64_t id)
{
    struct user u = { 0 };
    struct folder f = { 0 };
    int r = kind == DOMAIN_USER ? user_load_by_id(v->store, id, &u) : folder_load_by_id(v->store, id, &f);
    bool gone = r == -ENOENT;

    if (r == 0)
        r = kind == DOMAIN_USER ? home_activate(v, u.username) : folder_activate(v, f.name);
    else if (!gone)
        log_fail(r, "%s %lld cannot be read", domain_kind_name(kind), (long long)id);
    if (gone) {
        mutex_lock(&v->homes->activating);
        struct domain *d = domain_find(v->ledger, kind, id);
        if (d != NULL)
            domain_drop(d);
        mutex_unlock(&v->homes->activating);
    }
    user_done(&u);
    folder_done(&f);
    return r;
}

void homes_verify(struct vfs *v, bool resume, const _Atomic bool *stop)
{
    struct usage_map *map = NULL;
    const struct usage_slot *slot;
    uint32_t pos = 0;

    if (usage_open(v->config->state_dir, &map) < 0)
        return; /* nothing was ever counted */
    while (!*stop && (slot = usage_next(map, &pos)) != NULL) {
        enum domain_kind kind = (enum domain_kind)slot->kind;
        int64_t id = slot->id;

        if (id <= 0 || kind == DOMAIN_NONE)
            continue;
        int r = known_activate(v, kind, id);
        struct domain *d = domain_find(v->ledger, kind, id);
        if (d != NULL && r < 0)
            domain_mark_stale(d); /* nobody can count it now */
        else if (d != NULL && resume)
            recount_verify(d);
    }
    usage_close(map);
}
