/* Rate limiters: how many connections or requests may come, in all or from each address.
 *
 * `average` events a `period`, and up to `burst` at once. Who would have to wait longer than half of the time between
 * two events (at most 10 s) is refused and told how long; who comes a little early is let in and pays later. The table
 * is shared memory as the defender's, so that a limiter for several protocols counts them together.
 *
 * Units:   times in milliseconds of the monotonic clock, given by the caller.
 * Threads: any, of any process.
 * Limits:  RATE_LIMITERS_MAX limiters; RATE_SOURCES_MAX addresses each (above the hard limit of the configuration
 *          those longest quiet are dropped down to the soft limit), RATE_ALLOWED_MAX networks that are never limited.
 * Source:  contract/sftp-quota.md §4.2; the generic cell rate algorithm, ITU-T I.371. */
#pragma once

#include "base/address.h"
#include "base/config.h"

enum { RATE_LIMITERS_MAX = 8, RATE_SOURCES_MAX = 10000, RATE_ALLOWED_MAX = 64 };

enum rate_protocol { RATE_SSH = 1 << 0, RATE_HTTP = 1 << 1 };

struct rate_map;
struct rate_limits {
    struct rate_map *map;
    int fd;
};

int rate_limits_create(struct rate_limits *ret) MUST_CHECK;
int rate_limits_attach(int fd, struct rate_limits *ret) MUST_CHECK; /* fd is moved */
void rate_limits_detach(struct rate_limits *l);

/* rate_limits_set - the configuration's (struct rate_limiter_config); what they have counted is forgotten. */
void rate_limits_set(struct rate_limits *l, const struct objects *limiters);

/* rate_limits_take - one event. true: it may go on. Else *ret_wait_ms is when to come again, and *ret_is_offence says
 * whether a limiter that refused wants the defender to know. */
bool rate_limits_take(struct rate_limits *l, enum rate_protocol p, const char *address, int64_t now_ms,
                      int64_t *ret_wait_ms, bool *ret_is_offence);
