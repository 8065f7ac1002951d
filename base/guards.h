/* What keeps strangers in bounds, as one thing that is handed to those who ask it: listener, broker and api.
 *
 * The supervisor makes the maps and sets them; each process attaches by the descriptors "defender" and "rates". */
#pragma once

#include "base/defender.h"
#include "base/rate_limit.h"
#include "base/role.h"

struct guards {
    struct defender defender;
    struct rate_limits rates;
};

int guards_create(struct guards *ret) MUST_CHECK;

/* guards_take - from a role's descriptors. */
int guards_take(struct role *r, struct guards *ret) MUST_CHECK;
void guards_detach(struct guards *g);

/* guards_set - from a configuration; a list that cannot be read is logged, and nothing changes then. */
int guards_set(struct guards *g, const struct common_config *c);

/* guards_note - an event of an address for the defender; a ban is logged. `protocol` is for the log. */
void guards_note(struct guards *g, const char *address, enum defender_event e, const char *protocol);

/* guards_refusal - NULL: this address may come once more, it is neither banned nor too fast. Else the
 * reason, static; *ret_wait_ms is 0 for a ban. */
const char *guards_refusal(struct guards *g, enum rate_protocol p, const char *address, int64_t *ret_wait_ms);

/* rates_refusal - the same without the ban. */
const char *rates_refusal(struct guards *g, enum rate_protocol p, const char *address, int64_t *ret_wait_ms);
