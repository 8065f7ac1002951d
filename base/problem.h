/* One table from errno to what each protocol says: HTTP status and reason, SFTP v3 status, key in the log.
 *
 * No other file translates errors. FUSE takes the errno itself. Where SFTP has no code (quota), the text carries it. */
#pragma once

#include "base/defs.h"

struct problem {
    int error;             /* negative errno; 0 in the last row, which takes the rest */
    int http;              /* status */
    uint32_t sftp;         /* SSH_FX_* of draft-ietf-secsh-filexfer-02 §7 */
    const char *key;       /* in the log */
    const char *http_text; /* "message" or "error" of the REST API */
    const char *text;      /* a sentence for a person at an SFTP client */
};

/* problem_of - the first row that matches; never NULL; static memory. */
const struct problem *problem_of(int r);
