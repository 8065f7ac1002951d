/* Homes: from the users and folders of the store to trees, views and rooms.
 *
 * A *branch* is a tree as one home sees it: the home itself (view 0) or a virtual folder in it (its own view number).
 * Its room says what a write through it may fill. A *point* is a name on the way to a virtual folder or the folder
 * itself; the points of a home are a small tree of names, laid over the home's real directories.
 *
 * A home is activated when it is first touched. Limits of users live in their domains; limits of a mapping in the
 * branch's room, which is swapped: open files find it through their view at each write.
 *
 * With vfs.in_place an active home is also bound over its home_dir (cover.h).
 *
 * Threads: any that holds no lock. A home is activated by one thread at a time, which may wait for its disk; homes with
 *          virtual folders one after the other.
 * Source:  DESIGN §4, §5. */
#pragma once

#include "vfs/core.h"

/* A branch as an operation uses it: a copy, with a reference on the room. */
struct place {
    struct tree *tree;
    struct room *room; /* owned: place_done() */
    uint32_t view;
    uint32_t salt;       /* of the user, in a folder: another user's NFS handle of the same view number is stale */
    int64_t in_quota_of; /* the user whose own quota it fills; 0: the folder's only */
    bool is_shared;      /* other branches show the same tree */
    bool has_points;     /* names in this branch may be points: folders lie in it */
};
void place_done(struct place *p);

int homes_new(struct vfs *v, struct homes **ret) MUST_CHECK;
void homes_free(struct homes *h);

/* homes_resume_begin - from now on node_resume() is to be asked before each request; homes_resume - activates what the
 * state says was active, for the kernel may hold node ids in it, and ends that. */
void homes_resume_begin(struct vfs *v);
void homes_resume(struct vfs *v, const _Atomic bool *stop);

/* homes_resuming, node_resume - if so: the home that a node id is in is activated, and who shares its folders. */
bool homes_resuming(const struct vfs *v);
void node_resume(struct vfs *v, uint64_t node);

/* homes_verify - activates all users and folders that the ledger has a domain for, so that their trees are watched and
 * NFS handles of earlier mounts are good; what was never counted is counted then. With `resume` all others are counted
 * once more, in the background. Ends early when *stop is set. */
void homes_verify(struct vfs *v, bool resume, const _Atomic bool *stop);

/* homes_cover - with vfs.in_place: activates all users whose home directory is there, so that each is covered by its
 * view, and has covers of users who are gone taken away. */
void homes_cover(struct vfs *v, const _Atomic bool *stop);

/* home_find - the root's node id of an active home; 0: not active. */
uint64_t home_find(struct vfs *v, const char *username);
int home_activate(struct vfs *v, const char *username) MUST_CHECK;
int folder_activate(struct vfs *v, const char *name) MUST_CHECK;
void home_refresh(struct vfs *v, const char *username, int64_t id);
void folder_refresh(struct vfs *v, const char *name, int64_t id);

/* root_follow - if another directory than the one that is served is at the path of this root of a home or folder, that
 * one is served from now on, and the answer is true: look it up anew. Waits for the disk. */
bool root_follow(struct vfs *v, uint64_t node);

/* place_find - the branch of a tree by view number; with another number (after a move between trees) any branch of it.
 * false: nobody sees this tree. */
bool place_find(struct vfs *v, struct tree *tree, uint32_t view, struct place *ret);

/* branch_named - whose the branch is, and its path in that home: "" for the home itself, else "/a/folder". false:
 * nobody sees this tree. */
bool branch_named(struct vfs *v, const struct tree *tree, uint32_t view, char *ret_user, size_t user_room,
                  char *ret_path, size_t path_room);

/* branches_each - node ids under which an inode may be known: one for each branch of the tree but `not_view`. */
void branches_each(struct vfs *v, struct tree *tree, uint32_t not_view, void (*fn)(void *arg, uint32_t view),
                   void *arg);

/* ---- points ------------------------------------------------------------------------------------------------------ */

enum point_kind { POINT_NONE, POINT_FOLDER, POINT_ON_THE_WAY };

/* What a name in a directory of a home is. */
struct point_seen {
    enum point_kind kind;
    uint64_t node; /* of a folder's root, or of the synthetic directory */
    bool is_real;  /* on the way, and a real directory of the home has that name */
};

/* point_find - looks `name` up among the points of directory `dir` (a node id: the root of the home or of a folder, a
 * real directory on the way or a synthetic one). */
struct point_seen point_find(struct vfs *v, uint64_t dir, const char *name);

/* point_nth - the n-th point in that directory, for listings; false at the end. */
bool point_nth(struct vfs *v, uint64_t dir, size_t n, char *ret_name, size_t room, struct point_seen *ret);

/* point_is - is this node the real directory of a point, so that it may not be removed or renamed? */
bool point_is(struct vfs *v, uint64_t node);

/* point_real - a real directory with a point's name was found or has gone (node 0). */
void point_real(struct vfs *v, uint64_t dir, const char *name, uint64_t node);

/* point_parent - the node id of the directory above a synthetic directory or a folder's root (by node); 0: none. */
uint64_t point_parent(struct vfs *v, uint64_t node);

/* points_each - the directories and names of all points of a home. Takes no lock: the home is the caller's. */
struct home;
void points_each(struct vfs *v, const struct home *h, void (*fn)(struct vfs *v, uint64_t dir, const char *name));
