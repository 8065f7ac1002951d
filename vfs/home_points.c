/* Points: the names that lead to virtual folders.
 *
 * For /a/b/photos a home has three: "a", "a/b" and the folder itself. A directory on the way is real when the home
 * has one of that name, else synthetic; which of the two is looked up at activation and again at each lookup of the
 * name, since directories may come and go beneath the mount. Homes have few points, so they are searched one by one.
 * Folders may lie in folders: then the points below one are laid over the folder's directories, in this home's view.
 *
 * A folder's name hides a real entry of the same name; a name on the way hides a real entry that is no directory. */
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "vfs/homes_table.h"
#include "vfs/node.h"

void points_free(struct home *h)
{
    for (size_t i = 0; i < h->points_n; i++)
        free(h->points[i].name);
    free(h->points);
    h->points = NULL;
    h->points_n = 0;
}

static int32_t point_named(const struct home *h, int32_t above, const char *name)
{
    for (size_t i = 0; i < h->points_n; i++)
        if (h->points[i].above == above && strcmp(h->points[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

/* The path of a point from the home's root, for the state. */
static int point_path(const struct home *h, int32_t at, struct strbuf *to)
{
    int32_t chain[HOME_POINTS_MAX];
    size_t n = 0;

    for (; at >= 0 && n < ARRAY_SIZE(chain); at = h->points[at].above)
        chain[n++] = at;
    while (n > 0) {
        strbuf_addc(to, '/');
        strbuf_adds(to, h->points[chain[--n]].name);
    }
    return strbuf_ok(to);
}

static int point_number(struct vfs *v, const struct home *h, int32_t at, uint32_t *ret)
{
    CLEANUP(strbuf_done) struct strbuf path = STRBUF(STATE_PATH_MAX + 1);
    int r = point_path(h, at, &path);

    if (r == 0)
        r = state_dir_number(v->state, h->id, path.s, ret);
    if (r < 0)
        log_fail(r, "user %s cannot have a folder at %s: %d names of at most %d bytes lead to folders, in all homes",
                 h->username, path.s != NULL ? path.s : "its path", STATE_DIRS, STATE_PATH_MAX);
    return r;
}

/* Finds or adds the point `name` under `above`. */
static int point_add(struct vfs *v, struct home *h, int32_t above, const char *name, int32_t *ret)
{
    *ret = point_named(h, above, name);
    if (*ret >= 0)
        return 0;
    if (h->points_n == HOME_POINTS_MAX)
        return -E2BIG;
    struct point *p = &h->points[h->points_n];
    *p = (struct point){ .above = above, .branch = -1, .name = strdup(name) };
    if (p->name == NULL)
        return -ENOMEM;
    *ret = (int32_t)h->points_n++;
    return point_number(v, h, *ret, &h->points[*ret].number);
}

/* The points of one virtual path; the last is the folder. */
static int path_add(struct vfs *v, struct home *h, int32_t branch, const char *path)
{
    CLEANUP(mem_free) char *copy = strdup(path);
    char *save = NULL;
    int32_t at = -1;
    int r = 0;

    if (copy == NULL)
        return -ENOMEM;
    for (char *name = strtok_r(copy, "/", &save); name != NULL && r == 0; name = strtok_r(NULL, "/", &save))
        r = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : point_add(v, h, at, name, &at);
    if (r < 0 || at < 0)
        return r < 0 ? r : -EINVAL;
    h->points[at].branch = branch;
    h->branches[branch].point = at;
    return 0;
}

/* The branch whose directories a point is laid over: the nearest folder above it, or the home itself. */
static struct branch *point_over(const struct home *h, const struct point *p)
{
    for (int32_t above = p->above; above >= 0; above = h->points[above].above)
        if (h->points[above].branch >= 0)
            return &h->branches[h->points[above].branch];
    return &h->branches[0];
}

/* The directory above a point: a real one, a synthetic one or the root of a branch. */
static uint64_t above_node(struct vfs *v, const struct home *h, const struct point *p);

/* The real directory of that name: 0 if there is none. */
static uint64_t real_in(struct vfs *v, const struct branch *over, uint64_t dir, const char *name)
{
    slot_t slot = SLOT_NONE;
    struct record_view rec;
    struct stat st;
    CLEANUP(fd_close) int fd = record_open_fd(v->ledger, node_slot(dir), node_generation(dir), O_PATH);

    if (fd < 0)
        return 0;
    CLEANUP(fd_close) int down = sys_open_beneath(fd, name, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0);
    if (down < 0 || sys->fstatat(down, "", &st, AT_EMPTY_PATH) < 0 ||
        record_get(over->tree, node_slot(dir), down, &st, &slot) < 0 || !record_view(v->ledger, slot, 0, &rec))
        return 0;
    return node_id(over->view, rec.generation, slot);
}

/* Parents come before children in the array. */
static void point_look(struct vfs *v, struct home *h, struct point *p)
{
    struct branch *over = point_over(h, p);
    uint64_t dir = above_node(v, h, p);

    over->has_points = true;
    p->real = p->branch < 0 && node_generation(dir) != 0 ? real_in(v, over, dir, p->name) : 0;
}

int points_make(struct vfs *v, struct home *h, const char *const *virtual_paths)
{
    h->points = calloc(HOME_POINTS_MAX, sizeof *h->points);
    if (h->points == NULL)
        return -ENOMEM;
    for (size_t i = 1; i < h->branches_n; i++) {
        int r = path_add(v, h, (int32_t)i, virtual_paths[i]);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < h->points_n; i++)
        point_look(v, h, &h->points[i]);
    return 0;
}

static uint64_t point_node(struct vfs *v, const struct home *h, const struct point *p)
{
    if (p->branch >= 0)
        return branch_root(v, &h->branches[p->branch]);
    return p->real != 0 ? p->real : UINT64_C(2) + p->number;
}

static uint64_t above_node(struct vfs *v, const struct home *h, const struct point *p)
{
    return p->above < 0 ? branch_root(v, &h->branches[0]) : point_node(v, h, &h->points[p->above]);
}

/* The branch that a real directory is in, and whether it is its root. NULL: nobody sees it so. */
static const struct branch *branch_with(struct vfs *v, uint64_t dir, bool *ret_is_root) NO_ANALYSIS /* see below */
{
    struct tree *tree = tree_of(v->ledger, node_slot(dir));
    const struct branch *b = tree != NULL ? branch_get(v->homes, tree, node_view(dir)) : NULL;

    *ret_is_root = b != NULL && tree_root(tree) == node_slot(dir);
    return b != NULL && b->view == node_view(dir) ? b : NULL;
}

/* The home that a directory's node id belongs to and the point that it is (-1: the home's root). NULL: not one of
 * these. */
static struct home *dir_home(struct vfs *v, uint64_t dir, int32_t *ret_point) NO_ANALYSIS /* v->homes is locked */
{
    struct home *home = NULL;

    if (node_generation(dir) == 0) {
        if (dir < 2 || dir - 2 >= STATE_DIRS)
            return NULL;
        home = homes_get_by_id(v->homes, v->state->dirs[dir - 2].user_id); /* ids of users are above 0 */
    } else {
        bool is_root;
        const struct branch *b = branch_with(v, dir, &is_root);
        home = b != NULL ? b->home : NULL;
        if (home != NULL && is_root) {
            *ret_point = b->point;
            return home;
        }
    }
    for (size_t i = 0; home != NULL && i < home->points_n; i++) {
        if (home->points[i].branch < 0 && point_node(v, home, &home->points[i]) == dir) {
            *ret_point = (int32_t)i;
            return home;
        }
    }
    return NULL;
}

static struct point_seen point_show(struct vfs *v, const struct home *h, const struct point *p)
{
    return (struct point_seen){ .kind = p->branch >= 0 ? POINT_FOLDER : POINT_ON_THE_WAY,
                                .node = point_node(v, h, p),
                                .is_real = p->branch < 0 && p->real != 0 };
}

struct point_seen point_find(struct vfs *v, uint64_t dir, const char *name)
{
    struct homes *h = v->homes;
    struct point_seen seen = { 0 };
    int32_t above = -1;

    rwlock_lock_shared(&h->lock);
    struct home *home = dir_home(v, dir, &above);
    int32_t at = home != NULL ? point_named(home, above, name) : -1;
    if (at >= 0)
        seen = point_show(v, home, &home->points[at]);
    rwlock_unlock(&h->lock);
    return seen;
}

bool point_nth(struct vfs *v, uint64_t dir, size_t n, char *ret_name, size_t room, struct point_seen *ret)
{
    struct homes *h = v->homes;
    int32_t above = -1;
    bool found = false;

    rwlock_lock_shared(&h->lock);
    struct home *home = dir_home(v, dir, &above);
    for (size_t i = 0; home != NULL && i < home->points_n && !found; i++) {
        if (home->points[i].above != above || n-- > 0)
            continue;
        str_set(ret_name, room, home->points[i].name);
        *ret = point_show(v, home, &home->points[i]);
        found = true;
    }
    rwlock_unlock(&h->lock);
    return found;
}

bool point_is(struct vfs *v, uint64_t node)
{
    struct homes *h = v->homes;
    int32_t at = -1;

    rwlock_lock_shared(&h->lock);
    bool found = dir_home(v, node, &at) != NULL && at >= 0;
    rwlock_unlock(&h->lock);
    return found;
}

void point_real(struct vfs *v, uint64_t dir, const char *name, uint64_t node)
{
    struct homes *h = v->homes;
    int32_t above = -1;

    rwlock_lock(&h->lock);
    struct home *home = dir_home(v, dir, &above);
    int32_t at = home != NULL ? point_named(home, above, name) : -1;
    if (at >= 0 && home->points[at].branch < 0)
        home->points[at].real = node;
    rwlock_unlock(&h->lock);
}

uint64_t point_parent(struct vfs *v, uint64_t node)
{
    struct homes *h = v->homes;
    uint64_t parent = 0;
    int32_t at = -1;

    rwlock_lock_shared(&h->lock);
    struct home *home = dir_home(v, node, &at);
    if (home != NULL && at >= 0)
        parent = above_node(v, home, &home->points[at]);
    rwlock_unlock(&h->lock);
    return parent;
}

void points_each(struct vfs *v, const struct home *h, void (*fn)(struct vfs *v, uint64_t dir, const char *name))
{
    for (size_t i = 0; i < h->points_n; i++)
        fn(v, above_node(v, h, &h->points[i]), h->points[i].name);
}

bool branch_named(struct vfs *v, const struct tree *tree, uint32_t view, char *ret_user, size_t user_room,
                  char *ret_path, size_t path_room)
{
    CLEANUP(strbuf_done) struct strbuf path = STRBUF(PATH_MAX);
    struct homes *h = v->homes;

    rwlock_lock_shared(&h->lock);
    const struct branch *b = branch_get(h, tree, view);
    if (b != NULL) {
        str_set(ret_user, user_room, b->home->username);
        if (b->point >= 0)
            IGNORE(point_path(b->home, b->point, &path), "a path that is too long is cut");
    }
    rwlock_unlock(&h->lock);
    str_set(ret_path, path_room, path.s != NULL ? path.s : "");
    return b != NULL;
}
