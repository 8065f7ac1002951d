#include "sftp/peer.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

void peer_of(const struct sockaddr_storage *a, struct peer *ret)
{
    *ret = (struct peer){ 0 };
    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)a;
        memcpy(ret->address.v, &v6->sin6_addr, sizeof(ret->address.v));
        ret->port = ntohs(v6->sin6_port);
        return;
    }
    const struct sockaddr_in *v4 = (const void *)a;
    ret->address.v[10] = ret->address.v[11] = 0xff;
    memcpy(ret->address.v + 12, &v4->sin_addr, 4);
    ret->port = ntohs(v4->sin_port);
}

void peer_text(const struct peer *p, char to[PEER_TEXT_MAX])
{
    char ip[ADDRESS_TEXT_MAX];

    address_text(&p->address, ip);
    snprintf(to, PEER_TEXT_MAX, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, p->port);
}

bool peer_parse(const char *text, struct peer *ret)
{
    char ip[PEER_TEXT_MAX];
    bool brackets = text[0] == '[';
    const char *colon = strrchr(text, ':');
    struct peer p;
    int64_t port;

    if (!colon || !str_set(ip, sizeof(ip), text + brackets) || str_int(colon + 1, 0, UINT16_MAX, &port) < 0)
        return false;
    size_t len = (size_t)(colon - text) - 2 * (size_t)brackets;
    if (brackets && (colon < text + 2 || colon[-1] != ']'))
        return false;
    ip[len] = '\0';
    if (!address_parse(ip, &p.address))
        return false;
    p.port = (uint16_t)port;
    *ret = p;
    return true;
}
