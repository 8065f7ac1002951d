/* What the listener prepares once for all its sessions: OpenSSL's tables, libssh's options, the host keys.
 *
 * It does before the first connection what a session would do otherwise: OpenSSL's look-ups, libssh's import of the
 * host keys (notes/session-process.md §3). */
#pragma once

#include <libssh/libssh.h>
#include <libssh/server.h>

#include "base/config.h"

struct listener_bind {
    ssh_bind bind;
    bool batching;      /* libssh's calls come to io_shim */
    char *login_banner; /* NULL: none */
};

/* listener_bind_make - once, for the life of the process; the host keys come from the broker. */
int listener_bind_make(const struct config *c, int broker, struct listener_bind *ret) MUST_CHECK;
