/* Lines for the person at the client, beside the protocol: SFTP v3 has no status for a quota, and OpenSSH's sftp and
 * scp print a word of their own ("Failure") instead of our sentence. What they do show is the channel's standard error.
 *
 * A line is given once for each open file, and at most NOTICES_MAX times in a channel: a client that never reads its
 * standard error must not lose the window that its data needs.
 *
 * Source: RFC 4254 §5.2 (extended data); contract/sftp-quota.md §1. */
#pragma once

#include "sftp/queue.h"

enum { NOTICES_MAX = 32, NOTICE_BYTES_MAX = 512, NOTICES_BYTES_MAX = 8 * NOTICE_BYTES_MAX };

struct notices {
    struct queue lines; /* not sent yet */
    unsigned n;         /* ever given */
};

#define NOTICES                                                                                                        \
    {                                                                                                                  \
        .lines = QUEUE(NOTICES_BYTES_MAX)                                                                              \
    }

/* notice_wanted - is this one of the errors for which the protocol has no word? */
bool notice_wanted(int r);

/* notice_add - "tally: <path>: <sentence>"; `text` NULL: that of the errno. What does not fit is dropped. */
void notice_add(struct notices *n, const char *path, int r, const char *text);
void notices_done(struct notices *n);
