/* The tables of homes: found by name, and by tree. Private to homes*.c, home_points.c and activation.c.
 *
 * Homes are built outside the lock and put in whole; what is in the table changes only under `lock` for writing. */
#pragma once

#include "vfs/homes.h"

enum { HOME_BUCKETS = 1 << 16, HOME_FOLDERS_MAX = 128, HOME_POINTS_MAX = 512 };

struct home;

/* A tree as one home sees it. */
struct branch {
    struct branch *next; /* in the bucket of its tree */
    struct home *home;
    struct tree *tree;
    struct domain *owner; /* of the tree */
    struct room *room;
    int64_t folder_id; /* 0: the home itself */
    char *folder_name;
    char *path; /* of its directory, as configured; */
    dev_t dev;  /* and what was there when it was opened */
    ino_t ino;
    uint32_t view;
    bool has_points;  /* names in it may lead to folders */
    bool is_included; /* quota -1: the user's domain is in the tree's charge set */
    int32_t point;    /* its place in the home's points; -1: the home itself */
};

struct point {
    int32_t above;   /* -1: the home's root */
    int32_t branch;  /* -1: only on the way */
    uint32_t number; /* of the synthetic directory; used when it is not real */
    uint64_t real;   /* node id of the real directory of that name; 0: none */
    char *name;
};

struct home {
    struct home *next;       /* in the bucket of its name */
    struct home *next_by_id; /* in that of its user's id */
    char *username;
    int64_t id;
    struct domain *domain;
    bool is_settled;         /* after a crash: whoever else sees its folders is active, too (homes_resume.c) */
    struct branch *branches; /* [0] is the home itself */
    size_t branches_n;
    struct point *points;
    size_t points_n;
};

/* A home that is being activated or changed. On the stack of who does it. */
struct home_claim {
    struct home_claim *next;
    const char *username;
};

/* One activation of a home at a time (claims, waited for without a lock: its disk may be slow, and the others go on).
 * Charge sets of folders are compared with the store under `folders`, which is taken after the claim: what was read
 * inside it is the truth until it is left. */
struct homes {
    struct mutex claiming; /* RANK_HOMES: the list */
    pthread_cond_t claimed;
    struct home_claim *claims;
    struct mutex folders;  /* RANK_CONNECTIONS */
    struct mutex resuming; /* RANK_NONE: homes with folders are activated again */
    _Atomic bool resumes;  /* not all homes that the kernel may know are active yet */
    struct rwlock lock;    /* RANK_HOMES: the tables */
    struct home *by_name[HOME_BUCKETS];
    struct home *by_id[HOME_BUCKETS];
    struct branch *by_tree[HOME_BUCKETS];
};

/* home_claim, home_unclaim - waits until nobody else activates or changes the home of that name. */
void home_claim(struct homes *h, struct home_claim *c, const char *username);
void home_unclaim(struct homes *h, struct home_claim *c);

struct home *homes_get(struct homes *h, const char *username) REQUIRES_SHARED(h->lock);
struct home *homes_get_by_id(struct homes *h, int64_t id) REQUIRES_SHARED(h->lock);
struct branch *branch_get(struct homes *h, const struct tree *tree, uint32_t view) REQUIRES_SHARED(h->lock);

/* home_put - in place of what has its name; the old one is returned (owned) or NULL. home_take - out of the
 * table; `id` (0: any) is the user's. */
struct home *home_put(struct homes *h, struct home *new_home);
struct home *home_take(struct homes *h, const char *username, int64_t id);
void home_free(struct home *h);

/* The node id of a branch's root. */
uint64_t branch_root(struct vfs *v, const struct branch *b);

/* points_make - the points of a home from the virtual paths of branches 1...; finds out which directories are real. */
int points_make(struct vfs *v, struct home *h, const char *const *virtual_paths) MUST_CHECK;
void points_free(struct home *h);
