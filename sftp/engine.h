/* The SFTP version 3 engine: bytes in, bytes out, no SSH.
 *
 * Requests are done one after another, in their order, by the caller's thread. Both queues are bounded: feed only what
 * engine_room() says; engine_step() stops when the output is over its mark, and goes on when engine_sent() has made
 * room. A long copy on the server (copy-data) and sums (check-file) are done in pieces, one a step.
 *
 * Source:  draft-ietf-secsh-filexfer-02; OpenSSH's PROTOCOL file for the extensions; contract/sftp-quota.md §2.
 * Limits:  PACKET_MAX a request; ENGINE_OUTPUT_MARK + one reply of output; HANDLES_MAX handles.
 * Threads: one. */
#pragma once

#include "sftp/account.h"

enum { ENGINE_OUTPUT_MARK = 256 * 1024 };

struct engine;

/* engine_new - for an account (borrowed). */
int engine_new(struct account *a, struct engine **ret) MUST_CHECK;

/* engine_free - aborts what is open. */
void engine_free(struct engine *e);

/* engine_room - how many bytes may be fed now. */
size_t engine_room(const struct engine *e);
int engine_feed(struct engine *e, const void *bytes, size_t len) MUST_CHECK; /* -E2BIG: more than that */

/* engine_step - works on requests. 1: there is more to do right now; 0: wants input or room for output; -EPROTO: this
 * is not SFTP, end the channel; -ENOMEM. */
int engine_step(struct engine *e) MUST_CHECK;

/* engine_output - what is to be sent; borrowed until the next step. */
const void *engine_output(const struct engine *e, size_t *ret_len);
void engine_sent(struct engine *e, size_t len);

/* engine_notices - lines for the person at the client (notice.h); borrowed until the next step. */
const void *engine_notices(const struct engine *e, size_t *ret_len);
void engine_notices_sent(struct engine *e);

/* engine_waits - does a bandwidth limit hold back what was fed already? */
bool engine_waits(const struct engine *e);

/* engine_trim - gives memory back while nothing happens. */
void engine_trim(struct engine *e);
