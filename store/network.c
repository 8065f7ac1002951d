/* Addresses and networks as entities have them: lists of CIDR texts. */
#include "base/address.h"
#include "store/rules.h"

bool is_network(const char *s)
{
    return network_is(s);
}

bool address_in(const struct strings *networks, const char *address)
{
    struct address a;
    struct network n;

    if (!address_parse(address, &a))
        return false;
    for (size_t i = 0; i < networks->n; i++)
        if (network_parse(networks->v[i], false, &n) && network_has(&n, &a))
            return true;
    return false;
}
