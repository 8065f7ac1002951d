/* The client's address behind reverse proxies that are trusted (contract/rest.md §3.4, DESIGN §10).
 *
 * Threads: any. */
#pragma once

#include "base/address.h"

enum { FORWARDED_MAX = 16 };

/* What the headers say. All borrowed. */
struct forwarded {
    const char *chain[FORWARDED_MAX]; /* X-Forwarded-For, one a header line, in their order */
    unsigned n;                       /* lines; beyond FORWARDED_MAX they are counted and nothing is believed */
    const char *true_client_ip, *x_real_ip, *cf_connecting_ip;
    const char *chosen; /* the one header that the binding names; NULL: it names none, or it is absent */
};

/* Which proxies a binding trusts. */
struct proxies {
    struct network *v; /* owned */
    size_t n;
    const char *header; /* client_ip_proxy_header; NULL or empty: none is named. Borrowed */
};
int proxies_make(const struct strings *allowed, const char *header, struct proxies *ret) MUST_CHECK;
void proxies_done(struct proxies *p);

/* client_address - whom the request is from. False: the peer itself (it is no trusted proxy, or what it says is no
 * address). X-Forwarded-For is read from the right, and trusted proxies in it are skipped, so a client cannot put
 * itself another address in front; the other headers count only where there is no X-Forwarded-For. */
bool client_address(const struct proxies *p, const char *peer, const struct forwarded *f, char ret[ADDRESS_TEXT_MAX]);
