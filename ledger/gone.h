/* What is gone, what left, and what hung on it: from the record of something that has no name any more where it hangs,
 * to where it is now, or to nothing.
 *
 * Threads: any; no lock of RANK_RECORD or higher is held. Returns 0 or a failure that leaves the number in doubt. */
#pragma once

#include "ledger/inside.h"

struct slots {
    slot_t *v;
    size_t n, room;
};
int slots_push(struct slots *s, slot_t slot) MUST_CHECK;

/* What hangs on a directory now. What comes later is in no listing that begins now, and not missing in it. */
struct hanging {
    slot_t *v;
    uint32_t *generations;
    size_t n;
};
int hanging_take(struct ledger *l, slot_t dir, struct hanging *ret) MUST_CHECK;
void hanging_done(struct hanging *h);

/* What goes on the way. All zero but `l`: a begin; it ends with gone_end(). */
struct gone {
    struct ledger *l;
    struct slots dirs;  /* to be looked at in the end */
    struct charge lost; /* charges that went */
};
/* gone_name - what hung on `dir` has no name there any more. */
int gone_name(struct gone *g, slot_t dir, slot_t slot, uint32_t generation) MUST_CHECK;
/* gone_dir - the inode of this directory is no more: nor is a name in it. */
int gone_dir(struct gone *g, slot_t dir, uint32_t generation) MUST_CHECK;
/* gone_end - looks at what was found on the way; `r` is the failure so far, or 0. Returns the first failure. */
int gone_end(struct gone *g, int r) MUST_CHECK;
