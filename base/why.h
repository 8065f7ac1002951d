/* Why an input from a person was refused: which field, which line, in which words. */
#pragma once

#include "base/defs.h"

struct why {
    char field[160]; /* "sftpd.bindings[0].port"; empty if none */
    unsigned line;   /* in the file, 1 is the first; 0: unknown */
    char text[320];  /* a sentence without a full stop */
};

/* why_set - fills *w (NULL: nobody asked) and returns r, a negative errno. */
int why_set(struct why *w, int r, const char *field, const char *fmt, ...) PRINTF(4, 5);
