/* Addresses and networks. An IPv4 address inside IPv6 (::ffff:1.2.3.4) is that IPv4 address. */
#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "store/rules.h"

enum { ADDRESS_BYTES = 16, NETWORK_TEXT_MAX = 64 };

/* IPv4 is kept as its mapped form, so that one comparison serves both. */
struct network {
    uint8_t bytes[ADDRESS_BYTES];
    unsigned bits;
    bool is_v4;
};

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool address_parse(const char *s, struct network *ret)
{
    memcpy(ret->bytes, mapped, sizeof(mapped));
    ret->is_v4 = inet_pton(AF_INET, s, ret->bytes + sizeof(mapped)) == 1;
    ret->bits = 128;
    return ret->is_v4 || inet_pton(AF_INET6, s, ret->bytes) == 1;
}

static bool network_parse(const char *s, struct network *ret)
{
    char text[NETWORK_TEXT_MAX];
    const char *slash = strchr(s, '/');
    int64_t bits;

    if (!slash || (size_t)(slash - s) >= sizeof(text) || strspn(slash + 1, "0123456789") != strlen(slash + 1))
        return false;
    memcpy(text, s, (size_t)(slash - s));
    text[slash - s] = 0;
    if (!address_parse(text, ret) || str_int(slash + 1, 0, ret->is_v4 ? 32 : 128, &bits) < 0)
        return false;
    ret->bits = (unsigned)bits + (ret->is_v4 ? 96 : 0);
    return true;
}

static bool network_has(const struct network *n, const struct network *address)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || ((n->bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}

bool is_network(const char *s)
{
    struct network n;

    return network_parse(s, &n);
}

bool address_in(const struct strings *networks, const char *address)
{
    struct network a, n;

    if (!address_parse(address, &a))
        return false;
    for (size_t i = 0; i < networks->n; i++)
        if (network_parse(networks->v[i], &n) && network_has(&n, &a))
            return true;
    return false;
}
