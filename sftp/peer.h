/* The two ends of a connection: address and port, and how they are written: "1.2.3.4:22", "[::1]:22". */
#pragma once

#include <sys/socket.h>

#include "base/address.h"

enum { PEER_TEXT_MAX = 72 };

struct peer {
    struct address address;
    uint16_t port;
};

void peer_of(const struct sockaddr_storage *a, struct peer *ret);
void peer_text(const struct peer *p, char to[PEER_TEXT_MAX]);
bool peer_parse(const char *text, struct peer *ret);
