/* The connections of all listeners: what each is doing, until when, and which one has to go when there are too many.
 *
 *            open            head complete         body complete        reply left
 *   ──────► CONN_HEAD ─────► CONN_BODY ──────────► CONN_WORK ─────────► CONN_REPLY ──┐
 *             ▲                                                                      │
 *             └──────────────────────────────────────────────────────────────────────┘
 *
 * In the first two states we wait for the client. Each state but CONN_WORK has an absolute deadline: a byte now and
 * then does not move it. When a listener has nearly all the connections it may have, the one that keeps us waiting for
 * the longest is cut off for each new one, so that idle strangers cannot keep others out.
 *
 * Threads: any; event threads move their own connections, a sweeper cuts off. */
#pragma once

#include "api/http.h"

struct conns;
int conns_new(const struct http_limits *limits, struct conns **ret) MUST_CHECK;
void conns_free(struct conns *c); /* none is open */

/* conn_open - a new one; owned by the list until conn_close(). NULL: no memory. */
struct http_conn *conn_open(struct conns *c, const struct listener *l, unsigned index, int fd);
void conn_close(struct http_conn *conn);

enum conn_state { CONN_HEAD, CONN_BODY, CONN_WORK, CONN_REPLY };
void conn_move(struct http_conn *conn, enum conn_state state);

/* conn_client - whose request it is now; counts for conns_in_flight() from then on until CONN_HEAD. */
void conn_client(struct http_conn *conn, const char *address);

/* conns_in_flight - requests with a complete head that are not answered yet: of one address, or (NULL) of all. */
unsigned conns_in_flight(struct conns *c, const char *address);
