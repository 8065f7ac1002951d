/* Homes and shared folders with what they hold, for `usage` and `top`.
 *
 * The numbers come with the lists, 500 a request. Whether one of them can be trusted is asked for only where the status
 * says that some cannot, and of homes that seem to be empty, which the daemon may not have looked into yet; and only of
 * those that are shown, since that is a request each. Beyond 5,000 it is "unknown".
 *
 * Lifetime: owned by the list; homes_done(). */
#pragma once

#include "tool/tool.h"

enum home_order { BY_SHARE, BY_SIZE, BY_FILES, BY_NAME };

struct home {
    char *name;
    uint64_t bytes, files, limit_bytes, limit_files;
    char state[16]; /* "clean", "dirty", "stale", "counting", "unknown"; empty: not asked, it is certain */
};

struct homes {
    struct home *v;
    size_t n, room;
};

void homes_done(struct homes *h);

/* homes_load - those whose names match (NULL: all). 0 or a negative errno of client_call(). */
int homes_load(struct client *c, bool folders, const char *pattern, struct homes *ret) MUST_CHECK;

void homes_sort(struct homes *h, enum home_order order);

/* homes_ask_states - of the first n, where they may be uncertain. */
int homes_ask_states(struct client *c, bool folders, struct homes *h, size_t n) MUST_CHECK;

/* home_share - how full it is: of bytes or files, whichever is fuller; below 0 without a limit. */
double home_share(const struct home *h);
bool home_is_uncertain(const struct home *h);

/* home_order_find - by its name on the command line. -EINVAL. */
int home_order_find(const char *name, enum home_order *ret) MUST_CHECK;
