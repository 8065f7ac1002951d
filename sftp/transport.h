/* One SSH connection: key exchange, login through the broker, channels.
 *
 * libssh does the protocol; what it needs a key or a user for goes to the broker (broker_proto.h). Each channel runs a
 * stream (stream.h). Only the sftp subsystem and the commands of command.c are started; a shell, a terminal, any other
 * command and all forwarding are refused at once.
 *
 * Threads: one; it is the process's only one.
 * Source:  notes/ssh.md §1.3 (traps), notes/session-process.md. */
#pragma once

#include <libssh/server.h>

#include "base/config.h"
#include "sftp/activity.h"

struct transport_options {
    const struct config *config; /* borrowed */
    ssh_bind bind;               /* borrowed; made by the listener */
    int fd;                      /* of the connection; moved */
    int broker;                  /* this session's pair; moved */
    struct connection *record;   /* borrowed */
    const char *remote, *local;  /* "ip:port" */
    bool batching;               /* libssh's calls come to io_shim */
    const char *login_banner;    /* borrowed; NULL: none */
};

/* transport_run - until the connection ends. Returns the exit status of the process. */
int transport_run(const struct transport_options *o);
