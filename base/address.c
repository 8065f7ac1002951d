#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

enum { NETWORK_TEXT_MAX = 64, MAPPED_BITS = 96 };

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool parse(const char *s, struct address *ret, bool *ret_is_v4)
{
    struct address a;

    memcpy(a.v, mapped, sizeof mapped);
    *ret_is_v4 = inet_pton(AF_INET, s, a.v + sizeof mapped) == 1;
    if (!*ret_is_v4 && inet_pton(AF_INET6, s, a.v) != 1)
        return false;
    *ret = a;
    return true;
}

bool address_parse(const char *text, struct address *ret)
{
    bool is_v4;

    return parse(text, ret, &is_v4);
}

void address_text(const struct address *a, char to[ADDRESS_TEXT_MAX])
{
    to[0] = '\0';
    if (memcmp(a->v, mapped, sizeof mapped) == 0)
        inet_ntop(AF_INET, a->v + sizeof mapped, to, ADDRESS_TEXT_MAX);
    else
        inet_ntop(AF_INET6, a->v, to, ADDRESS_TEXT_MAX);
}

bool address_without_port(const char *text, char to[ADDRESS_TEXT_MAX])
{
    char bare[ADDRESS_TEXT_MAX];
    bool brackets = text[0] == '[';
    const char *from = brackets ? text + 1 : text, *colon = strchr(from, ':');
    bool one_colon = colon != NULL && strchr(colon + 1, ':') == NULL;
    size_t len = brackets ? strcspn(from, "]") : one_colon ? (size_t)(colon - from) : strlen(from);
    struct address a;

    if (len >= sizeof bare || (brackets && from[len] != ']'))
        return false;
    memcpy(bare, from, len);
    bare[len] = '\0';
    if (!address_parse(bare, &a))
        return false;
    address_text(&a, to);
    return true;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return memcmp(a->v, b->v, sizeof a->v) == 0;
}

bool network_parse(const char *text, bool or_address, struct network *ret)
{
    char address[NETWORK_TEXT_MAX];
    size_t len = strcspn(text, "/");
    struct network n;
    bool is_v4;
    int64_t bits;

    if (len >= sizeof address || (text[len] == '\0' && !or_address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!parse(address, &n.address, &is_v4))
        return false;
    bits = is_v4 ? 32 : 128;
    if (text[len] == '/' && (strspn(text + len + 1, "0123456789") != strlen(text + len + 1) ||
                             str_int(text + len + 1, 0, is_v4 ? 32 : 128, &bits) < 0))
        return false;
    n.bits = (unsigned)bits + (is_v4 ? MAPPED_BITS : 0);
    *ret = n;
    return true;
}

bool network_has(const struct network *n, const struct address *a)
{
    unsigned whole = n->bits / 8;
    unsigned rest = n->bits % 8;

    if (memcmp(n->address.v, a->v, whole) != 0)
        return false;
    return rest == 0 || ((n->address.v[whole] ^ a->v[whole]) >> (8 - rest)) == 0;
}

bool network_is(const char *text)
{
    struct network n;

    return network_parse(text, false, &n);
}

bool network_or_address_is(const char *text)
{
    struct network n;

    return network_parse(text, true, &n);
}
