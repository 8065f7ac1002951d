/* Lists of networks as sorted ranges that do not overlap, so that a look-up is a binary search. */
#pragma once

#include "base/address.h"
#include "base/why.h"

struct address_range {
    struct address first, last;
};

/* ranges_read - from a file {"addresses":[…],"networks":[…]} of at most `bytes_max`; *ret is owned: free(). An empty
 * path gives none. -EINVAL, -E2BIG and others with reterr_why. */
int ranges_read(const char *path, size_t bytes_max, size_t ranges_max, struct address_range **ret, size_t *ret_n,
                struct why *reterr_why) MUST_CHECK;

/* ranges_sort - by their start; those that overlap become one. Returns their new number. */
size_t ranges_sort(struct address_range *v, size_t n);
bool ranges_have(const struct address_range *v, size_t n, const struct address *a);
