/* Whom a folder's tree moves, compared with what the store says. A user's own change is compared for that user alone;
 * all users of a folder are looked up when its tree is opened for the first time, since the charge set is kept from
 * the last life and users may have come and gone meanwhile. */
#include "vfs/homes_members.h"

#include <stdlib.h>

#include "vfs/homes_table.h"

static uint64_t limit_of(int64_t quota)
{
    return quota > 0 ? (uint64_t)quota : 0;
}

static bool is_folder(const struct domain *d)
{
    return d != NULL && domain_kind_of(d) == DOMAIN_FOLDER;
}

/* Does the user include the folder in the own quota? */
static const struct virtual_folder *included(const struct user *u, int64_t folder_id)
{
    const struct virtual_folder *f = u->virtual_folders.v;

    for (size_t i = 0; i < u->virtual_folders.n; i++)
        if (f[i].folder.id == folder_id && f[i].quota_size == -1)
            return &f[i];
    return NULL;
}

/* ---- one user ---------------------------------------------------------------------------------------------------- */

struct member {
    const struct user *user;
    const struct virtual_folder *folder;
    struct domain *domain;
    int failed;
};

static void member_join(void *arg, struct tree *t)
{
    struct member *m = arg;
    int r = tree_include(t, m->domain);

    if (r == 0)
        return;
    m->failed = log_fail(r, "folder %s cannot count for user %s (a folder counts for %d users at most): usage is stale",
                         m->folder->folder.name, m->user->username, CHARGES_MAX - 1);
    domain_set_incomplete(m->domain, true);
}

static void member_leave(void *arg, struct tree *t)
{
    const struct member *m = arg;

    if (is_folder(tree_owner(t)) && included(m->user, domain_id(tree_owner(t))) == NULL)
        tree_exclude(t, m->domain);
}

static void join_folder(struct vfs *v, struct member *m)
{
    struct domain *folder = domain_find(v->ledger, DOMAIN_FOLDER, m->folder->folder.id);

    if (folder == NULL)
        return; /* nothing is counted of it yet */
    int r = m->domain != NULL ? 0 : domain_get(v->ledger, DOMAIN_USER, m->user->id, &m->domain);
    if (r == 0)
        r = domain_trees(folder, member_join, m);
    if (r < 0)
        m->failed = log_fail(r, "folder %s cannot count for user %s", m->folder->folder.name, m->user->username);
}

void member_reconcile(struct vfs *v, const struct user *u)
{
    struct member m = { .user = u, .domain = domain_find(v->ledger, DOMAIN_USER, u->id) };
    const struct virtual_folder *f = u->virtual_folders.v;

    if (m.domain != NULL && domain_trees(m.domain, member_leave, &m) < 0)
        m.failed = log_fail(-ENOMEM, "user %s cannot leave former folders", u->username);
    for (size_t i = 0; i < u->virtual_folders.n; i++) {
        m.folder = &f[i];
        if (m.folder->quota_size == -1)
            join_folder(v, &m);
    }
    if (m.domain == NULL)
        return;
    domain_set_limits(m.domain, limit_of(u->quota_size), limit_of(u->quota_files));
    domain_set_incomplete(m.domain, m.failed < 0);
}

/* ---- all users of a folder --------------------------------------------------------------------------------------- */

struct joining {
    struct vfs *vfs;
    struct tree *tree;
    int64_t folder_id;
    int64_t *ids; /* owned; of those that the store lists, in order */
    size_t n, room;
};

static int joining_note(struct joining *j, int64_t id)
{
    if (j->n == j->room) {
        size_t room = j->room ? j->room * 2 : 64;
        int64_t *more = reallocarray(j->ids, room, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        j->ids = more;
        j->room = room;
    }
    j->ids[j->n++] = id;
    return 0;
}

static int joining_user(void *arg, int64_t id, const char *username)
{
    struct joining *j = arg;
    struct user u = { 0 };
    int r = user_load_by_id(j->vfs->store, id, &u);

    if (r == 0 && (included(&u, j->folder_id)) != NULL) {
        struct member m = { .user = &u, .folder = included(&u, j->folder_id) };
        r = joining_note(j, id);
        if (r == 0)
            r = domain_get(j->vfs->ledger, DOMAIN_USER, id, &m.domain);
        if (r == 0) {
            domain_set_limits(m.domain, limit_of(u.quota_size), limit_of(u.quota_files));
            member_join(&m, j->tree); /* the others still count */
        }
    }
    user_done(&u);
    if (r < 0 && r != -ENOENT)
        return log_fail(r, "user %s cannot be read for a folder", username);
    return 0;
}

static int id_order(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void leave_unlisted(void *arg, struct domain *d)
{
    struct joining *j = arg;
    const int64_t id = domain_id(d);

    if (domain_kind_of(d) == DOMAIN_USER && (j->n == 0 || bsearch(&id, j->ids, j->n, sizeof *j->ids, id_order) == NULL))
        tree_exclude(j->tree, d);
}

int members_reconcile(struct vfs *v, struct tree *tree, int64_t folder_id)
{
    struct joining j = { .vfs = v, .tree = tree, .folder_id = folder_id };
    int r = users_of_folder(v->store, folder_id, joining_user, &j);

    if (r == 0) {
        if (j.n > 0)
            qsort(j.ids, j.n, sizeof *j.ids, id_order);
        tree_domains_each(tree, leave_unlisted, &j);
    }
    free(j.ids);
    return r;
}

/* ---- trees of one domain ----------------------------------------------------------------------------------------- */

static void note_served(void *arg, struct tree *t)
{
    bool *is = arg;

    *is = *is || tree_root_fd(t) >= 0;
}

bool folder_is_served(const struct vfs *v, int64_t folder_id)
{
    struct domain *d = domain_find(v->ledger, DOMAIN_FOLDER, folder_id);
    bool is = false;

    return d != NULL && domain_trees(d, note_served, &is) == 0 && is;
}

struct leaving {
    struct domain *domain;
    struct tree *but;
};

static void forget_former(void *arg, struct tree *t)
{
    const struct leaving *x = arg;

    if (t != x->but && tree_owner(t) == x->domain)
        tree_forget(t);
}

void trees_forget_former(struct domain *d, struct tree *but)
{
    struct leaving x = { .domain = d, .but = but };

    if (domain_trees(d, forget_former, &x) < 0)
        domain_set_incomplete(d, true);
}
