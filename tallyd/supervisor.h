/* The supervisor: opens sockets and the mount, starts the services and keeps them alive.
 *
 *   tallyd (root)      one thread, one poll loop: signals, control messages, deaths, restarts
 *    ├─ api            first: it makes the store
 *    ├─ vfs            then: the homes
 *    └─ sftp           last: people come in when everything serves
 *
 * It parses nothing from outside. It holds /dev/fuse and the shared memories, so that a service that dies is started
 * anew over the same mount and tables; when the supervisor dies, the services end (their control sockets close).
 * Stopping goes the other way round.
 *
 * Source: DESIGN §2, §11; sd_notify(3). */
#pragma once

#include "base/config.h"

/* A dump that the api role restores before anything is served (--loaddata-*). */
struct start_restore {
    const char *from; /* file; NULL: none */
    int64_t mode, scan;
    bool clean; /* the file is removed once it is restored */
    bool skip_unsupported;
};

/* supervisor_run - until SIGTERM or SIGINT. Returns the exit status: 0 after a clean stop. */
int supervisor_run(const struct config *config, const char *config_path, const struct start_restore *restore);
