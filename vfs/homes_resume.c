/* After a crash the kernel holds node ids in homes that are not active in this process. A request for one activates its
 * home first; all others follow in the background, so that nobody waits for homes of others.
 *
 * Who sees a folder in a home must be told of what is changed through another one: so before anything is changed
 * through a home with folders, all who see one of these folders are active, and who sees theirs. Homes of such a group
 * are activated one group after the other; is_settled says that a home's whole group is there. A home without folders
 * is its own group. */
#include <stdlib.h>

#include "vfs/homes_members.h"
#include "vfs/homes_table.h"
#include "vfs/node.h"
#include "vfs/transport.h"

enum { VIEWERS_MAX = 4096 }; /* as many views as a folder can have */

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

/* ---- a group ----------------------------------------------------------------------------------------------------- */

struct group {
    int64_t *ids; /* owned; of users */
    size_t n, room;
};

static int group_add(struct group *g, int64_t id)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->ids[i] == id)
            return 0;
    if (g->n == g->room) {
        size_t room = g->room ? g->room * 2 : 64;
        int64_t *more = reallocarray(g->ids, room, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        g->ids = more;
        g->room = room;
    }
    g->ids[g->n++] = id;
    return 0;
}

/* The folders that an active home shows; how many. */
static size_t folders_of(struct vfs *v, int64_t user_id, int64_t ret[HOME_FOLDERS_MAX + 2])
{
    struct homes *h = v->homes;
    size_t n = 0;

    rwlock_lock_shared(&h->lock);
    const struct home *home = homes_get_by_id(h, user_id);
    for (size_t i = 1; home != NULL && i < home->branches_n; i++)
        ret[n++] = home->branches[i].folder_id;
    rwlock_unlock(&h->lock);
    return n;
}

/* Those who see a folder of this user's. */
static int group_grow(struct vfs *v, struct group *g, int64_t user_id)
{
    int64_t folders[HOME_FOLDERS_MAX + 2];
    size_t n = folders_of(v, user_id, folders);
    CLEANUP(mem_free) int64_t *viewers = n > 0 ? calloc(VIEWERS_MAX, sizeof *viewers) : NULL;
    int r = n > 0 && viewers == NULL ? -ENOMEM : 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        size_t found = state_viewers(v->state, folders[i], viewers, VIEWERS_MAX);
        for (size_t k = 0; r == 0 && k < found; k++)
            r = group_add(g, viewers[k]);
    }
    return r;
}

static void group_settled(struct vfs *v, const struct group *g)
{
    struct homes *h = v->homes;

    rwlock_lock(&h->lock);
    for (size_t i = 0; i < g->n; i++) {
        struct home *home = homes_get_by_id(h, g->ids[i]);
        if (home != NULL)
            home->is_settled = true;
    }
    rwlock_unlock(&h->lock);
}

static bool user_is_settled(struct vfs *v, int64_t id)
{
    struct homes *h = v->homes;

    rwlock_lock_shared(&h->lock);
    const struct home *home = homes_get_by_id(h, id);
    bool is = home != NULL && home->is_settled;
    rwlock_unlock(&h->lock);
    return is;
}

static void group_resume(struct vfs *v, int64_t id)
{
    struct group g = { 0 };
    int r = group_add(&g, id);

    for (size_t i = 0; r == 0 && i < g.n; i++) {
        activate_by_id(v, g.ids[i]);
        r = group_grow(v, &g, g.ids[i]);
    }
    if (r < 0)
        log_fail(r, "not all who share a folder with user %lld are told of its changes", (long long)id);
    group_settled(v, &g);
    free(g.ids);
}

static void user_resume(struct vfs *v, int64_t id)
{
    if (!user_is_settled(v, id))
        activate_by_id(v, id);
    if (user_is_settled(v, id))
        return;
    mutex_lock(&v->homes->resuming);
    if (!user_is_settled(v, id))
        group_resume(v, id);
    mutex_unlock(&v->homes->resuming);
}

/* ---- on demand --------------------------------------------------------------------------------------------------- */

/* Whose home shows this node; 0: nobody's. */
static int64_t viewer_of(struct vfs *v, uint64_t node)
{
    if (node_generation(node) == 0)
        return node >= 2 && node - 2 < STATE_DIRS ? v->state->dirs[node - 2].user_id : 0;
    struct tree *tree = tree_of(v->ledger, node_slot(node));
    struct domain *owner = tree != NULL ? tree_owner(tree) : NULL;
    if (owner == NULL || domain_kind_of(owner) == DOMAIN_USER)
        return owner != NULL && node_view(node) == 0 ? domain_id(owner) : 0;
    return state_viewer(v->state, domain_id(owner), node_view(node));
}

void node_resume(struct vfs *v, uint64_t node)
{
    int64_t id = node == NODE_ROOT ? 0 : viewer_of(v, node);

    if (id <= 0 || user_is_settled(v, id))
        return;
    transport_slow();
    user_resume(v, id);
}

void homes_resume_begin(struct vfs *v)
{
    atomic_store(&v->homes->resumes, true);
}

bool homes_resuming(const struct vfs *v)
{
    return atomic_load_explicit(&v->homes->resumes, memory_order_relaxed);
}

/* ---- in the background ------------------------------------------------------------------------------------------- */

void homes_resume(struct vfs *v, const _Atomic bool *stop)
{
    for (size_t i = 0; i < STATE_HOMES && !*stop; i++)
        if (v->state->homes[i] > 0)
            user_resume(v, v->state->homes[i]);
    if (!*stop)
        atomic_store(&v->homes->resumes, false);
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
        mutex_lock(&v->homes->folders);
        struct domain *d = domain_find(v->ledger, kind, id);
        if (d != NULL)
            domain_drop(d);
        mutex_unlock(&v->homes->folders);
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
