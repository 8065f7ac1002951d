/* Control messages between the supervisor and the services: events and questions, never file content.
 *
 * Each service has one AF_UNIX SOCK_SEQPACKET pair with the supervisor, one JSON object a message:
 *   {"to":"vfs","name":"scan_start","args":{…}}                an event: nobody answers
 *   {"to":"vfs","name":"scan_start","id":7,"args":{…}}         a question
 *   {"to":"api","id":7,"r":-17,"args":{…}}                     its answer; r is 0 or a negative errno
 * The supervisor passes messages on by "to" and sets "from"; "to":"all" goes to every other service. A question to a
 * service that is not there is answered -ENOTCONN by the supervisor.
 *
 * Threads: tell, ask and answer from any thread. The handler runs on control's own thread, one message at a time; it
 *          must not ask (it may answer later from another thread: control_answer copies nothing that it borrowed).
 * Limits:  a message is at most CONTROL_MAX bytes (-E2BIG); at most 64 questions wait at once (-EAGAIN).
 * Names:   the table of messages is in docs/ARCHITECTURE.md. */
#pragma once

#include "base/json.h"

enum { CONTROL_MAX = 65536, CONTROL_ASK_MS = 5000 };

struct control;

struct control_message {
    const char *from;         /* role; borrowed until the handler returns */
    const char *name;         /* borrowed */
    int64_t id;               /* 0: an event */
    struct json_object *args; /* borrowed; may be NULL */
};

/* Called for events and questions. For a question somebody calls control_answer() once with m->id and m->from. */
typedef void control_handler(void *arg, struct control *c, const struct control_message *m);

/* Called once when the other end is gone (supervisor dead): the service ends. */
typedef void control_lost(void *arg);

/* control_start - takes fd (moved) and starts the thread. */
int control_start(int fd, control_handler *handler, control_lost *lost, void *arg, struct control **ret) MUST_CHECK;
void control_stop(struct control *c);

/* control_tell - an event; args (moved, may be NULL). 0, -E2BIG, -EPIPE. */
int control_tell(struct control *c, const char *to, const char *name, struct json_object *args);

/* control_ask - a question; waits at most timeout_ms. *ret_args is owned, may be NULL. Returns the answer's r,
 * -ETIMEDOUT, -ENOTCONN, -EPIPE, -EAGAIN or -E2BIG. */
int control_ask(struct control *c, const char *to, const char *name, struct json_object *args, unsigned timeout_ms,
                struct json_object **ret_args);

/* control_answer - r (0 or negative errno) and args (moved, may be NULL). */
int control_answer(struct control *c, const char *to, int64_t id, int r, struct json_object *args);

/* control_args - {"key":"text"|number, …} from a list that ends with NULL; each has name, kind and value:
 * control_args("username", 's', name, "id", 'i', (int64_t)7, "removed", 'b', true, NULL). NULL if memory is short. */
struct json_object *control_args(const char *first, ...);
