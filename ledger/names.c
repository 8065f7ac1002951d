/* Directories in which files with several names have been met.
 *
 * A record hangs in one directory, and for a file with one name that is all there is to know. When one of several names
 * goes, nobody says which of the others is left where; so the directories in which such a file was met are remembered,
 * and when its st_nlink falls, the one in which it hangs is listed, and the others if it is not there any more. They
 * are hints: what a listing does not confirm is not believed, and without any the record hangs on the root of its tree
 * until it is met again. So they need not outlive the process. */
#include <stdlib.h>

#include "ledger/inside.h"

enum { NAMES_PARENTS = 8 };

struct names {
    struct names *next;
    slot_t slot;
    uint64_t links;
    uint32_t n; /* met so often in another directory; the oldest are overwritten */
    slot_t parents[NAMES_PARENTS];
};

static struct names **find_locked(struct ledger *l, slot_t slot) REQUIRES(l->names_m);
static struct names **find_locked(struct ledger *l, slot_t slot)
{
    struct names **at = &l->names[slot % NAMES_BUCKETS];

    while (*at && (*at)->slot != slot)
        at = &(*at)->next;
    return at;
}

static void add_parent(struct names *x, slot_t parent)
{
    for (uint32_t i = 0; i < MIN(x->n, (uint32_t)NAMES_PARENTS); i++)
        if (x->parents[i] == parent)
            return;
    x->parents[x->n++ % NAMES_PARENTS] = parent;
}

/* Found, or made with what the record says; NULL: no memory. */
static struct names *get_locked(struct ledger *l, slot_t slot, uint64_t links) REQUIRES(l->names_m);
static struct names *get_locked(struct ledger *l, slot_t slot, uint64_t links)
{
    struct names **at = find_locked(l, slot);

    if (*at == NULL && (*at = calloc(1, sizeof **at)) != NULL) {
        (*at)->slot = slot;
        (*at)->links = links;
        add_parent(*at, place_parent(record_place(record_at(l, slot))));
    }
    return *at;
}

void names_met(struct ledger *l, slot_t slot, slot_t parent, uint64_t links)
{
    mutex_lock(&l->names_m);
    struct names *x = get_locked(l, slot, links);
    if (x) {
        add_parent(x, parent);
        x->links = MAX(x->links, links);
    }
    mutex_unlock(&l->names_m);
}

void names_forget(struct ledger *l, slot_t slot)
{
    mutex_lock(&l->names_m);
    struct names **at = find_locked(l, slot), *x = *at;
    if (x)
        *at = x->next;
    mutex_unlock(&l->names_m);
    free(x);
}

/* A copy, if there are fewer names than before. */
static bool has_lost(struct ledger *l, slot_t slot, uint64_t links, struct names *ret)
{
    mutex_lock(&l->names_m);
    struct names *x = get_locked(l, slot, links);
    bool lost = x && links < x->links;
    if (x)
        x->links = links;
    if (lost)
        *ret = *x;
    mutex_unlock(&l->names_m);
    return lost;
}

static int is_ino(void *arg, const struct entry *e)
{
    const uint64_t *ino = arg;

    return e->ino == *ino ? 1 : 0;
}

/* 1: the directory has a name of the file; 0: it has none; or a negative errno. */
static int has_name(struct ledger *l, struct tree *t, slot_t dir, slot_t slot)
{
    uint64_t ino = record_at(l, slot)->ino;
    uint32_t wanted = RECORD_LIVE | RECORD_DIR;

    if (dir == SLOT_NONE || (record_head(record_at(l, dir)) & wanted) != wanted || tree_of(l, dir) != t)
        return 0;
    CLEANUP(fd_close) int fd = record_open_fd(l, dir, 0, O_RDONLY | O_DIRECTORY | O_NOATIME | O_NOFOLLOW);
    if (fd < 0)
        return fd == -ESTALE || fd == -ENOENT ? 0 : fd;
    return entries_each(fd, is_ino, &ino);
}

void names_settle_locked(struct ledger *l, slot_t slot, uint64_t links)
{
    struct names x;
    struct tree *t = tree_of(l, slot);
    slot_t at = place_parent(record_place(record_at(l, slot)));

    if (links == 0 || t == NULL || !has_lost(l, slot, links, &x) || has_name(l, t, at, slot) != 0)
        return;
    slot_t to = tree_root(t);
    for (uint32_t i = 0; i < MIN(x.n, (uint32_t)NAMES_PARENTS); i++)
        if (x.parents[i] != at && has_name(l, t, x.parents[i], slot) == 1) {
            to = x.parents[i];
            break;
        }
    place_move(l, slot, 0, t, to);
}

void names_done(struct ledger *l)
{
    for (size_t i = 0; i < NAMES_BUCKETS; i++)
        while (l->names[i]) {
            struct names *x = l->names[i];
            l->names[i] = x->next;
            free(x);
        }
}
