/* Listings of directories: the root's homes, real directories with the points of their home laid over, synthetic ones.
 *
 * Stateless: each request opens the directory, goes to the cookie and reads, so a listing survives a restart. */
#pragma once

#include "vfs/call.h"
#include "vfs/node.h"

/* list_read - fills at most `room` bytes of `buf` with entries after the cookie `off`; with `plus`, entries carry
 * attributes. Bytes, 0 at the end, or a negative errno. */
ssize_t list_read(struct call *c, uint64_t dir, char *buf, size_t room, uint64_t off, bool plus);
