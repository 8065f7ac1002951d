/* File attributes of SFTP version 3, and the "long name" of a directory listing.
 *
 * Source: draft-ietf-secsh-filexfer-02 §5, §7; ls -l. */
#pragma once

#include <sys/stat.h>

#include "base/str.h"
#include "sftp/packet.h"

enum {
    ATTR_SIZE = 0x1,
    ATTR_UIDGID = 0x2,
    ATTR_PERMISSIONS = 0x4,
    ATTR_ACMODTIME = 0x8,
    ATTR_EXTENDED = 0x80000000,
};

enum { ATTRS_EXTENDED_MAX = 64 };

struct attrs {
    uint32_t flags;
    uint64_t size;
    uint32_t uid, gid;
    uint32_t mode;
    uint32_t atime_s, mtime_s;
};

/* attrs_parse - extended pairs are skipped. -EBADMSG: cut short, or more than ATTRS_EXTENDED_MAX pairs. */
int attrs_parse(struct packet_in *in, struct attrs *ret) MUST_CHECK;

void attrs_put(struct queue *q, const struct stat *st);
void attrs_put_none(struct queue *q);

/* attrs_long_name - a line like that of ls -l, with numbers for the owners: names would need the host's accounts. */
void attrs_long_name(struct strbuf *to, const char *name, const struct stat *st, int64_t now_s);
