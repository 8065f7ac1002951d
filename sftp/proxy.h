/* The PROXY protocol: before the first byte of SSH a proxy says for whom it connects.
 *
 * Threads: the listener's one. Limits: PROXY_HEADER_MAX bytes, PROXY_WAIT_MS until the header is there, PROXY_WAITING
 * connections that wait at once.
 * Source:  haproxy's proxy-protocol.txt, versions 1 and 2; contract/sftp-quota.md §2.8. */
#pragma once

#include <poll.h>

#include "sftp/peer.h"

enum { PROXY_HEADER_MAX = 536, PROXY_WAIT_MS = 5000, PROXY_STRANGER_MS = 500, PROXY_WAITING = 64 };

/* What a header says. */
struct proxy_header {
    bool has_peer; /* false: the proxy speaks for itself, or of something that is no TCP */
    struct peer from;
};

/* proxy_parse - a header at the start of these bytes. Returns its length; 0: it is not complete yet; -EBADMSG: this is
 * none. */
int proxy_parse(const uint8_t *p, size_t len, struct proxy_header *ret) MUST_CHECK;

/* A connection whose first bytes are awaited. */
struct proxy_waiting {
    int fd; /* owned */
    struct peer peer;
    bool is_trusted; /* its header counts, and must come with `is_needed` */
    bool is_needed;
    uint64_t until_ns;
};

struct proxy_queue {
    struct proxy_waiting v[PROXY_WAITING];
    size_t n;
};

/* proxy_wait - fd is moved. false: there is no room, fd stays the caller's. */
bool proxy_wait(struct proxy_queue *q, const struct proxy_waiting *w);

/* proxy_polls - what to poll for; their number. proxy_left_ms - until the first one's time is over; -1: none waits. */
size_t proxy_polls(const struct proxy_queue *q, struct pollfd *to);
int proxy_left_ms(const struct proxy_queue *q, uint64_t now_ns);

/* proxy_next - one that is decided: its header was read, or it goes on without one. *ret_fd is owned. false: none.
 * Those that are refused are closed, and told to `refused`. */
typedef void proxy_refused(const struct peer *p, const char *why);
bool proxy_next(struct proxy_queue *q, uint64_t now_ns, proxy_refused *refused, int *ret_fd, struct peer *ret_peer);
