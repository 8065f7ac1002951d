/* What the rows of `tally check` look at and give. */
#pragma once

#include <limits.h>

#include "base/config.h"

enum level { NOT_LOOKED, FINE, WARN, BAD };

struct finding {
    enum level level; /* NOT_LOOKED: the row has nothing to say here */
    char text[1200];
    const char *advice; /* for WARN and BAD */
};

struct checking {
    const char *config_path;
    const struct config *config; /* NULL: it cannot be read */
    char tallyd[PATH_MAX + 16];
    struct json_object *status, *version; /* NULL: the daemon does not answer */
    char unreachable[1024];
    const char *where;
};

void found(struct finding *f, enum level level, const char *fmt, ...) PRINTF(3, 4);
void advise(struct finding *f, const char *advice);
