/* Activation: what the store says about a user becomes domain, trees, rooms and views.
 *
 * A home is built outside the lock and put in place of the old one whole. Afterwards what the old one had and the new
 * one has not is given back: a folder's charge set loses the user's domain, a former home directory is forgotten. So
 * an update that changes nothing changes nothing, and limits count for open files at once: the user's lie in the
 * domain, a mapping's in the room of the branch, which each operation finds anew.
 *
 * A folder moves the counters of *all* users who include it with quota -1, also of those whose homes nobody has touched
 * yet: the first activation of a folder looks them up in the store (homes_members.c). */
#include "vfs/activation.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "vfs/cover.h"
#include "vfs/homes_members.h"
#include "vfs/node.h"
#include "vfs/notices.h"

enum { STALE_TRIES = 5 };

/* Whose a new directory is: uid 0 in the record means the service account. */
static struct dir_rights owner_of(const struct user *u)
{
    struct dir_rights owner = { .mode = 0700, .uid = (uid_t)u->uid, .gid = (gid_t)u->gid };
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

static int tree_try(struct vfs *v, struct domain *owner, const char *path, const struct dir_rights *who,
                    struct tree **ret)
{
    int root = -1;
    int mount_fd = -1;
    int r = backing_open(v->backings, path, who, &root, &mount_fd);

    return r < 0 ? r : tree_open(v->ledger, owner, root, mount_fd, ret);
}

/* Opens the backing directory and its tree. `what` completes "cannot serve ..." in the log. */
static int tree_at(struct vfs *v, struct domain *owner, const char *path, const struct dir_rights *who,
                   const char *what, struct tree **ret)
{
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < STALE_TRIES; i++) /* what was there went while we looked: look again */
        r = tree_try(v, owner, path, who, ret);
    return r < 0 ? log_fail(r, "cannot serve %s: its directory %s", what, path == NULL ? "" : path) : 0;
}

/* ---- folders ---------------------------------------------------------------------------------------------------- */

int folder_open(struct vfs *v, const struct folder *f, const struct dir_rights *who, struct domain **ret_domain,
                struct tree **ret_tree)
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

static int branch_init(struct branch *b, struct home *h, struct tree *tree, struct domain *owner, const char *path)
{
    struct stat st;
    int r = sys->fstatat(tree_root_fd(tree), "", &st, AT_EMPTY_PATH);

    if (r < 0)
        return r;
    *b = (struct branch){
        .home = h, .tree = tree, .owner = owner, .point = -1, .path = strdup(path), .dev = st.st_dev, .ino = st.st_ino
    };
    return b->path == NULL ? -ENOMEM : 0;
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

static int home_add_folder(struct vfs *v, struct home *h, const struct virtual_folder *f, const struct dir_rights *who)
{
    struct domain *domain = NULL;
    struct tree *tree = NULL;
    struct branch *b = &h->branches[h->branches_n];
    int r = folder_open(v, &f->folder, who, &domain, &tree);

    if (r == 0)
        r = branch_init(b, h, tree, domain, f->folder.mapped_path);
    if (r == 0)
        r = state_view_number(v->state, f->folder.id, h->id, &b->view);
    if (r < 0) {
        free(TAKE_PTR(b->path));
        return r;
    }
    b->folder_id = f->folder.id;
    b->is_included = f->quota_size == -1;
    b->folder_name = strdup(f->folder.name);
    b->room = folder_room(v, h->domain, domain, f);
    h->branches_n++;
    return b->folder_name == NULL || b->room == NULL ? -ENOMEM : 0;
}

/* A folder that cannot be opened is missing from the home, and the log says why; the home itself works. */
static int home_add_folders(struct vfs *v, struct home *h, const struct user *u, const struct dir_rights *who)
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
    struct dir_rights who = owner_of(u);
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
        r = branch_init(&h->branches[0], h, tree, h->domain, u->home_dir);
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
void home_give_back(struct vfs *v, const struct home *old, const struct home *now)
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

static void announce_one(struct vfs *v, uint64_t dir, const char *name)
{
    notice_name(v, dir, name);
    notice_listing(v, dir);
}

/* The kernel may know names and listings that are no longer what they were: the points of both. */
static void home_announce(struct vfs *v, const struct home *h)
{
    if (h != NULL)
        points_each(v, h, announce_one);
}

/* ---- covers ----------------------------------------------------------------------------------------------------- */

static void cover_say(struct vfs *v, const struct home *h, struct cover_order *o)
{
    str_set(o->name, sizeof o->name, h->username);
    str_set(o->path, sizeof o->path, h->branches[0].path);
    cover_order(v->covers, o);
}

static void home_cover(struct vfs *v, const struct home *h)
{
    struct cover_order o = { .what = COVER_PUT, .dev = h->branches[0].dev, .ino = h->branches[0].ino };

    if (v->covers != NULL)
        cover_say(v, h, &o);
}

void home_uncover(struct vfs *v, const struct home *h)
{
    struct cover_order o = { .what = COVER_TAKE, .ino = node_ino(branch_root(v, &h->branches[0])) };

    if (v->covers != NULL)
        cover_say(v, h, &o);
}

static bool is_elsewhere(const struct home *a, const struct home *b)
{
    return a->branches[0].tree != b->branches[0].tree || strcmp(a->branches[0].path, b->branches[0].path) != 0;
}

/* ---- in place of the old one ------------------------------------------------------------------------------------ */

static void note_foreign(void *arg, struct tree *t)
{
    struct domain **d = arg;

    if (*d != NULL && tree_owner(t) != *d)
        *d = NULL;
}

/* Is the user moved by a tree that is not the own one? */
static bool moves_with_others(struct vfs *v, int64_t id)
{
    struct domain *d = domain_find(v->ledger, DOMAIN_USER, id);
    struct domain *alone = d;

    return d != NULL && (domain_trees(d, note_foreign, &alone) < 0 || alone == NULL);
}

int home_apply(struct vfs *v, const struct user *u, bool has_folders_lock)
{
    CLEANUP(home_free_p) struct home *old = NULL;
    struct home *h = NULL;
    int r = home_build(v, u, &h);

    if (r < 0 || h == NULL)
        return r;
    if (has_folders_lock) {
        member_reconcile(v, u);
    } else if (moves_with_others(v, u->id)) { /* folders of an earlier life */
        mutex_lock(&v->homes->folders);
        member_reconcile(v, u);
        mutex_unlock(&v->homes->folders);
    }
    old = home_put(v->homes, h);
    if (old != NULL) {
        bool moved = is_elsewhere(old, h);
        if (moved)
            home_uncover(v, old);
        home_give_back(v, old, h);
        if (moved)
            notice_name(v, NODE_ROOT, h->username);
        home_announce(v, old);
        home_announce(v, h);
    }
    home_cover(v, h);
    r = state_home_add(v->state, u->id);
    if (r < 0)
        log_warn("user %s: more active homes than the %d that a restart could find again", u->username, STATE_HOMES);
    return 0;
}

/* ---- at the first touch ----------------------------------------------------------------------------------------- */

void own_tree_open(struct vfs *v, const struct user *u)
{
    const struct dir_rights who = owner_of(u);
    struct domain *domain = NULL;
    struct tree *tree = NULL;

    if (domain_get(v->ledger, DOMAIN_USER, u->id, &domain) == 0)
        IGNORE(tree_try(v, domain, u->home_dir, &who, &tree), "it is tried again, and logged then");
}

/* What is read inside the lock is what counts: a folder may have gone meanwhile. */
static int activate_with_folders(struct vfs *v, const char *username)
{
    struct user u = { 0 };

    mutex_lock(&v->homes->folders);
    int r = user_load(v->store, username, &u);
    if (r == 0)
        r = home_apply(v, &u, true);
    mutex_unlock(&v->homes->folders);
    user_done(&u);
    return r;
}

static int activate_claimed(struct vfs *v, const char *username)
{
    struct user u = { 0 };
    int r = user_load(v->store, username, &u);

    if (r == 0 && u.virtual_folders.n == 0) {
        r = home_apply(v, &u, false);
    } else if (r == 0) {
        own_tree_open(v, &u);
        r = activate_with_folders(v, username);
    }
    user_done(&u);
    return r;
}

int home_activate(struct vfs *v, const char *username)
{
    struct home_claim claim;

    home_claim(v->homes, &claim, username);
    int r = home_find(v, username) != 0 ? 0 : activate_claimed(v, username);
    home_unclaim(v->homes, &claim);
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
    mutex_lock(&v->homes->folders);
    int r = folder_activate_locked(v, name);
    mutex_unlock(&v->homes->folders);
    return r;
}
