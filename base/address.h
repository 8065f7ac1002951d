/* IP addresses and networks. An IPv4 address inside IPv6 (::ffff:1.2.3.4) is that IPv4 address.
 *
 * Threads: any. Source: RFC 4291 §2.5.5.2, RFC 4632. */
#pragma once

#include "base/str.h"

enum { ADDRESS_BYTES = 16, ADDRESS_TEXT_MAX = 48 };

/* IPv4 is kept as its mapped form, so that one comparison serves both. */
struct address {
    uint8_t v[ADDRESS_BYTES];
};

struct network {
    struct address address;
    unsigned bits; /* of the 128 */
};

/* address_parse - false if the text is no address. address_text - as people write it. */
bool address_parse(const char *text, struct address *ret);
void address_text(const struct address *a, char to[ADDRESS_TEXT_MAX]);
bool address_equal(const struct address *a, const struct address *b);

/* address_without_port - "ip", "ip:port", "[ip6]:port" or "[ip6]": the bare address as people write it. False: none. */
bool address_without_port(const char *text, char to[ADDRESS_TEXT_MAX]);

/* network_parse - "10.0.0.0/8", "2001:db8::/32"; with `or_address` also one address, a network of one. */
bool network_parse(const char *text, bool or_address, struct network *ret);
bool network_has(const struct network *n, const struct address *a);

/* network_is - is the text a network? For field rows. network_or_address_is - or one address? */
bool network_is(const char *text);
bool network_or_address_is(const char *text);
