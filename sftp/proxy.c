/* Bytes are looked at (MSG_PEEK) until a header is whole or cannot become one, and then exactly it is taken: what
 * follows belongs to SSH. */
#include "sftp/proxy.h"

#include <string.h>
#include <sys/socket.h>

enum { V1_MAX = 107, V2_HEAD = 16, V2_V4 = 12, V2_V6 = 36, TCP_V4 = 0x11, TCP_V6 = 0x21, NS_MS = 1000000 };

static const uint8_t v2_mark[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };
static const char v1_mark[] = "PROXY ";

/* "TCP4 1.2.3.4 5.6.7.8 111 22", without the mark and the line end. */
static int v1_parse(char *line, struct proxy_header *ret)
{
    char *fields[6];
    size_t n = 0;
    struct peer p, to;
    int64_t from_port, to_port;

    for (char *f; n < 6 && (f = strsep(&line, " ")) != NULL;)
        fields[n++] = f;
    if (n > 0 && strcmp(fields[0], "UNKNOWN") == 0) {
        *ret = (struct proxy_header){ 0 };
        return 0;
    }
    bool is_v6 = n > 0 && strcmp(fields[0], "TCP6") == 0;
    if (n != 5 || (!is_v6 && strcmp(fields[0], "TCP4") != 0) || (strchr(fields[1], ':') != NULL) != is_v6 ||
        !address_parse(fields[1], &p.address) || !address_parse(fields[2], &to.address) ||
        str_int(fields[3], 0, UINT16_MAX, &from_port) < 0 || str_int(fields[4], 0, UINT16_MAX, &to_port) < 0)
        return -EBADMSG;
    p.port = (uint16_t)from_port;
    *ret = (struct proxy_header){ .has_peer = true, .from = p };
    return 0;
}

static int v1_take(const uint8_t *p, size_t len, struct proxy_header *ret)
{
    char line[V1_MAX + 1];
    const uint8_t *end = memmem(p, MIN(len, (size_t)V1_MAX), "\r\n", 2);
    size_t mark = sizeof(v1_mark) - 1;

    if (!end)
        return len >= V1_MAX ? -EBADMSG : 0;
    size_t n = (size_t)(end - p);
    if (memchr(p, '\0', n))
        return -EBADMSG;
    memcpy(line, p + mark, n - mark);
    line[n - mark] = '\0';
    return v1_parse(line, ret) < 0 ? -EBADMSG : (int)n + 2;
}

static void v2_peer(const uint8_t *p, bool is_v6, struct peer *ret)
{
    size_t size = is_v6 ? ADDRESS_BYTES : 4;
    const uint8_t *port = p + 2 * size;

    *ret = (struct peer){ 0 };
    if (!is_v6)
        ret->address.v[10] = ret->address.v[11] = 0xff;
    memcpy(ret->address.v + (is_v6 ? 0 : 12), p, size);
    ret->port = (uint16_t)(port[0] << 8 | port[1]);
}

static int v2_take(const uint8_t *p, size_t len, struct proxy_header *ret)
{
    if (len < V2_HEAD)
        return 0;
    size_t body = (size_t)p[14] << 8 | p[15];
    unsigned command = p[12] & 0x0f;
    bool is_v6 = p[13] == TCP_V6;

    if (p[12] >> 4 != 2 || command > 1 || body > PROXY_HEADER_MAX - V2_HEAD)
        return -EBADMSG;
    if (len < V2_HEAD + body)
        return 0;
    bool has_peer = command == 1 && (is_v6 || p[13] == TCP_V4);
    if (has_peer && body < (size_t)(is_v6 ? V2_V6 : V2_V4))
        return -EBADMSG;
    *ret = (struct proxy_header){ .has_peer = has_peer };
    if (has_peer)
        v2_peer(p + V2_HEAD, is_v6, &ret->from);
    return (int)(V2_HEAD + body);
}

static bool begins(const uint8_t *p, size_t len, const void *mark, size_t mark_len)
{
    return memcmp(p, mark, MIN(len, mark_len)) == 0;
}

int proxy_parse(const uint8_t *p, size_t len, struct proxy_header *ret)
{
    size_t v1 = sizeof(v1_mark) - 1;

    if (len == 0)
        return 0;
    if (begins(p, len, v2_mark, sizeof(v2_mark)))
        return v2_take(p, len, ret);
    if (!begins(p, len, v1_mark, v1))
        return -EBADMSG;
    return len < v1 ? 0 : v1_take(p, len, ret);
}

/* ---- waiting ---- */

bool proxy_wait(struct proxy_queue *q, const struct proxy_waiting *w)
{
    if (q->n == PROXY_WAITING)
        return false;
    q->v[q->n++] = *w;
    return true;
}

size_t proxy_polls(const struct proxy_queue *q, struct pollfd *to)
{
    for (size_t i = 0; i < q->n; i++)
        to[i] = (struct pollfd){ .fd = q->v[i].fd, .events = POLLIN };
    return q->n;
}

int proxy_left_ms(const struct proxy_queue *q, uint64_t now_ns)
{
    int left = -1;

    for (size_t i = 0; i < q->n; i++) {
        int ms = q->v[i].until_ns > now_ns ? (int)((q->v[i].until_ns - now_ns) / NS_MS) + 1 : 0;
        left = left < 0 ? ms : MIN(left, ms);
    }
    return left;
}

enum fate { WAITS, GOES_ON, REFUSED };

static enum fate look(struct proxy_waiting *w, uint64_t now_ns, const char **ret_why)
{
    uint8_t buf[PROXY_HEADER_MAX];
    struct proxy_header h = { 0 };
    ssize_t got = recv(w->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
    bool is_late = now_ns >= w->until_ns;

    *ret_why = "no PROXY header came";
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return REFUSED;
    int n = got > 0 ? proxy_parse(buf, (size_t)got, &h) : 0;
    if (n > 0) {
        *ret_why = "the PROXY header could not be read";
        if (recv(w->fd, buf, (size_t)n, MSG_DONTWAIT) != n)
            return REFUSED;
        if (h.has_peer && w->is_trusted)
            w->peer = h.from;
        return GOES_ON;
    }
    if (n == 0 && !is_late)
        return WAITS;
    return w->is_needed ? REFUSED : GOES_ON;
}

bool proxy_next(struct proxy_queue *q, uint64_t now_ns, proxy_refused *refused, int *ret_fd, struct peer *ret_peer)
{
    for (size_t i = q->n; i-- > 0;) {
        struct proxy_waiting w = q->v[i];
        const char *why;
        enum fate fate = look(&w, now_ns, &why);
        if (fate == WAITS)
            continue;
        q->v[i] = q->v[--q->n];
        if (fate == GOES_ON) {
            *ret_fd = w.fd;
            *ret_peer = w.peer;
            return true;
        }
        refused(&w.peer, why);
        fd_close(&w.fd);
    }
    return false;
}
