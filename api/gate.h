/* The connection gate: how many may be busy at once, of one address and in all (contract/rest.md §1.0).
 *
 * HTTP requests that are being answered and SSH connections count together. The latter are read from the connection
 * table at most once a second, since a walk over the table costs more than a small request.
 * Threads: any. */
#pragma once

#include "base/connections.h"

struct gate;
int gate_new(const struct connections *table, struct gate **ret) MUST_CHECK;
void gate_free(struct gate *g);

/* gate_sessions - live connections of an address, or (NULL) of all. */
unsigned gate_sessions(struct gate *g, const char *address);
