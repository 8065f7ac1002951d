/* The switch of control messages, in the supervisor: by "to", with "from" filled in. */
#pragma once

#include "base/json.h"

struct switch_port {
    const char *name;
    int fd; /* -1: nobody is there */
};

/* switch_pass - reads one message that waits at ports[from] and passes it on. What is for "supervisor" is given to
 * `mine`. A question to nobody is answered -ENOTCONN. 0; -EPIPE: the other end of ports[from] is gone. */
int switch_pass(const struct switch_port *ports, size_t n, size_t from,
                void (*mine)(void *arg, size_t from, const char *name), void *arg) MUST_CHECK;

/* switch_tell_all - an event without arguments to everybody. */
void switch_tell_all(const struct switch_port *ports, size_t n, const char *name);
