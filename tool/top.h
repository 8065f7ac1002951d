/* `tally top`: what is looked at (top_data.c), and how it is drawn (top.c).
 *
 * Units: rates are bytes a second since the look before. Threads: one. */
#pragma once

#include "tool/client.h"
#include "tool/connections.h"
#include "tool/homes.h"

/* A live connection. Texts are borrowed from the answer that it came in. */
struct live {
    const char *id, *username, *protocol;
    char from[CONNECTION_FROM_MAX];
    char does[512];
    int64_t since_ms;
    uint64_t up_rate, down_rate;
};

/* A transfer as the last look saw it, to have a rate at the next. */
struct seen {
    uint64_t key; /* of connection, path and start */
    uint64_t bytes;
};

enum live_order { LIVE_BY_RATE, LIVE_BY_USER, LIVE_BY_AGE, LIVE_ORDERS };

struct picture {
    struct json_object *answer; /* owned: what `lives` borrows from */
    struct live *lives;         /* owned */
    size_t lives_n, transfers_n;
    struct seen *seen; /* owned, sorted by key */
    size_t seen_n;
    uint64_t at_ns; /* of the last look at connections; 0: none yet */
    uint64_t up_rate, down_rate;
    struct homes homes;
    uint64_t homes_at_ns, homes_took_ns;
    uint64_t stale, counting;
};

void picture_done(struct picture *p);

/* picture_look - connections now; homes when it is their turn: a list of 10^5 users costs 200 requests, so they get at
 * most a twentieth of the time. 0 or a negative errno of client_call(); the picture before stays. */
int picture_look(struct picture *p, struct client *c) MUST_CHECK;

void picture_sort(struct picture *p, enum live_order order);
const char *live_order_name(enum live_order order);

/* picture_take - what an answer of GET /connections says; rates are from the look before. */
int picture_take(struct picture *p, struct json_object *answer, uint64_t now_ns) MUST_CHECK;
