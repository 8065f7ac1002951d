/* The wire form that SSH and SFTP share: big-endian numbers and strings with a length before them.
 *
 * In:     struct packet_in walks over borrowed bytes. A read past the end gives zero and sets `bad`; callers read all
 *         fields and ask packet_ok() once.
 * Out:    into a struct queue; packet_begin() and packet_end() put the length before an SFTP packet.
 * Source: RFC 4251 §5; draft-ietf-secsh-filexfer-02 §3. */
#pragma once

#include "sftp/queue.h"

/* Packet types of SFTP version 3. */
enum {
    FXP_INIT = 1,
    FXP_VERSION = 2,
    FXP_OPEN = 3,
    FXP_CLOSE = 4,
    FXP_READ = 5,
    FXP_WRITE = 6,
    FXP_LSTAT = 7,
    FXP_FSTAT = 8,
    FXP_SETSTAT = 9,
    FXP_FSETSTAT = 10,
    FXP_OPENDIR = 11,
    FXP_READDIR = 12,
    FXP_REMOVE = 13,
    FXP_MKDIR = 14,
    FXP_RMDIR = 15,
    FXP_REALPATH = 16,
    FXP_STAT = 17,
    FXP_RENAME = 18,
    FXP_READLINK = 19,
    FXP_SYMLINK = 20,
    FXP_STATUS = 101,
    FXP_HANDLE = 102,
    FXP_DATA = 103,
    FXP_NAME = 104,
    FXP_ATTRS = 105,
    FXP_EXTENDED = 200,
    FXP_EXTENDED_REPLY = 201,
};

enum {
    FX_OK = 0,
    FX_EOF = 1,
    FX_NO_SUCH_FILE = 2,
    FX_PERMISSION_DENIED = 3,
    FX_FAILURE = 4,
    FX_BAD_MESSAGE = 5,
    FX_OP_UNSUPPORTED = 8,
};

enum {
    PACKET_MAX = 256 * 1024,     /* an SFTP packet without its length; what limits@openssh.com says */
    PACKET_DATA_MAX = 255 * 1024 /* data of one READ or WRITE */
};

struct packet_in {
    const uint8_t *p;
    size_t left;
    bool bad;
};

uint8_t packet_u8(struct packet_in *in);
uint32_t packet_u32(struct packet_in *in);
uint64_t packet_u64(struct packet_in *in);

/* packet_bytes - a string's bytes, borrowed from the packet; NULL and *ret_len 0 when bad. */
const uint8_t *packet_bytes(struct packet_in *in, size_t *ret_len);

/* packet_text - a string as an owned C string. -EBADMSG: cut short; -EINVAL: a NUL inside, or longer than `max`. */
int packet_text(struct packet_in *in, size_t max, char **ret) MUST_CHECK;

static inline bool packet_ok(const struct packet_in *in)
{
    return !in->bad;
}

void packet_put_u8(struct queue *q, uint8_t n);
void packet_put_u32(struct queue *q, uint32_t n);
void packet_put_u64(struct queue *q, uint64_t n);
void packet_put_bytes(struct queue *q, const void *bytes, size_t len);
void packet_put_text(struct queue *q, const char *s);

/* packet_begin - starts an SFTP packet with type and request id; returns the mark for packet_end(). */
size_t packet_begin(struct queue *q, uint8_t type, uint32_t id);
void packet_end(struct queue *q, size_t mark);

void packet_set_u32(uint8_t *to, uint32_t n);
