/* What the list of connections and `top` share. */
#pragma once

#include "base/json.h"

enum { CONNECTION_FROM_MAX = 128 };

/* connection_from - where it comes from: an address, or the local program that writes, "rsync[4711]". */
void connection_from(struct json_object *c, char *to, size_t room);
