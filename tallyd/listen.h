/* Listening sockets of the bindings, opened by the supervisor before anything else starts. */
#pragma once

#include "base/config.h"

/* listen_tcp - "" is every address, IPv6 and IPv4. -EADDRINUSE and others with reterr_why, whose field is `what`. */
int listen_tcp(const char *address, uint32_t port, const char *what, int *ret_fd, struct why *reterr_why) MUST_CHECK;

/* listen_unix - a socket file of root and a group (may be 0), mode 0660; a dead one of an earlier run is replaced. */
int listen_unix(const char *path, gid_t group, const char *what, int *ret_fd, struct why *reterr_why) MUST_CHECK;

/* listen_activated - the socket that systemd opened and named so ("httpd.0", "sftp.0": FileDescriptorName= of a .socket
 * unit), moved to the caller; -1: there is none. Listens already; non-blocking from now on. */
int listen_activated(const char *name);
