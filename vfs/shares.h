/* Who has how much of the open table: a bound for each uid and each tree, so that nobody can take the last place.
 *
 * One holder may have at most as many places as are free. Alone it gets half of the table; the second to come who
 * takes all it can gets half of the rest, and so on. A newcomer finds room in any case.
 *
 * Threads:  any.
 * Source:   Choudhury, Hahne: "Dynamic queue length thresholds for shared-memory packet switches" (1998), alpha = 1. */
#pragma once

#include "base/defs.h"

enum share_kind { SHARE_UID, SHARE_TREE, SHARE_KINDS };

struct shares;
struct share;

/* Whose a place is. */
struct holders {
    uint64_t id[SHARE_KINDS]; /* uid; whatever names the tree */
};

/* What a place has taken: given back as it is. */
struct held {
    struct share *of[SHARE_KINDS]; /* borrowed */
};

int shares_new(uint32_t room, struct shares **ret) MUST_CHECK;
void shares_free(struct shares *s);

/* share_take - a place for these. -ENFILE: none is left for anybody; -EMFILE: one of them has its share already
 * (*reterr_kind says which); -ENOMEM. With `always` (after a restart: the places are theirs already) only -ENOMEM. */
int share_take(struct shares *s, const struct holders *who, bool always, struct held *ret,
               enum share_kind *reterr_kind) MUST_CHECK;
void share_give(struct shares *s, const struct held *held);

uint32_t shares_used(struct shares *s);
