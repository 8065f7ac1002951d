/* No field is believed: each length is compared with what is left before it is used, so a packet can lie about anything
 * and costs at most the bytes that it has. */
#include "sftp/packet.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t *take(struct packet_in *in, size_t n)
{
    if (in->bad || n > in->left) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *p = in->p;
    in->p += n;
    in->left -= n;
    return p;
}

uint8_t packet_u8(struct packet_in *in)
{
    const uint8_t *p = take(in, 1);
    return p ? *p : 0;
}

uint32_t packet_u32(struct packet_in *in)
{
    const uint8_t *p = take(in, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

uint64_t packet_u64(struct packet_in *in)
{
    uint64_t high = packet_u32(in);
    return high << 32 | packet_u32(in);
}

const uint8_t *packet_bytes(struct packet_in *in, size_t *ret_len)
{
    uint32_t len = packet_u32(in);
    const uint8_t *p = take(in, len);
    *ret_len = p ? len : 0;
    return p;
}

int packet_text(struct packet_in *in, size_t max, char **ret)
{
    size_t len;
    const uint8_t *p = packet_bytes(in, &len);
    if (!p)
        return -EBADMSG;
    if (len > max || memchr(p, 0, len))
        return -EINVAL;
    char *s = strndup((const char *)p, len);
    if (!s)
        return -ENOMEM;
    *ret = s;
    return 0;
}

void packet_set_u32(uint8_t *to, uint32_t n)
{
    to[0] = (uint8_t)(n >> 24);
    to[1] = (uint8_t)(n >> 16);
    to[2] = (uint8_t)(n >> 8);
    to[3] = (uint8_t)n;
}

void packet_put_u8(struct queue *q, uint8_t n)
{
    queue_add(q, &n, 1);
}

void packet_put_u32(struct queue *q, uint32_t n)
{
    uint8_t b[4];
    packet_set_u32(b, n);
    queue_add(q, b, sizeof(b));
}

void packet_put_u64(struct queue *q, uint64_t n)
{
    packet_put_u32(q, (uint32_t)(n >> 32));
    packet_put_u32(q, (uint32_t)n);
}

void packet_put_bytes(struct queue *q, const void *bytes, size_t len)
{
    packet_put_u32(q, (uint32_t)len);
    queue_add(q, bytes, len);
}

void packet_put_text(struct queue *q, const char *s)
{
    packet_put_bytes(q, s, strlen(s));
}

size_t packet_begin(struct queue *q, uint8_t type, uint32_t id)
{
    size_t mark = q->len;
    packet_put_u32(q, 0);
    packet_put_u8(q, type);
    packet_put_u32(q, id);
    return mark;
}

void packet_end(struct queue *q, size_t mark)
{
    if (!q->failed)
        packet_set_u32(q->v + q->head + mark, (uint32_t)(q->len - mark - 4));
}
