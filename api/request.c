/* A target is split first and decoded then, each segment once: so "%2F" is a character of a name and never a separator,
 * and "%257E" is the name "%7E". A NUL or another control byte in a name is refused: no name of ours may hold one. */
#include "api/request.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "base/sys.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int percent_decode(char *text, bool plus)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        int c = (unsigned char)*from;
        if (c == '%') {
            int high = hex_value(from[1]);
            int low = high < 0 ? -1 : hex_value(from[2]);
            if (low < 0)
                return -EINVAL;
            c = high * 16 + low;
            from += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f)
            return -EINVAL;
        *to++ = (char)c;
    }
    *to = '\0';
    return 0;
}

void segments_done(struct segments *s)
{
    free(s->text);
    *s = (struct segments){ 0 };
}

static int segments_decode(struct segments *s)
{
    for (char *at = s->text, *next; at != NULL; at = next) {
        next = strchr(at, '/');
        if (next != NULL)
            *next++ = '\0';
        if (*at == '\0' || s->n == SEGMENTS_MAX)
            return -ENOENT;
        int r = percent_decode(at, false);
        if (r < 0)
            return r;
        s->v[s->n++] = at;
    }
    return 0;
}

int path_split(const char *path, size_t len, struct segments *ret)
{
    struct segments s = { 0 };

    if (len == 0 || path[0] != '/')
        return -ENOENT;
    if (len > 1 && path[len - 1] == '/')
        len--;
    if (len > 1) {
        s.text = strndup(path + 1, len - 1);
        if (s.text == NULL)
            return -ENOMEM;
        int r = segments_decode(&s);
        if (r < 0) {
            segments_done(&s);
            return r;
        }
    }
    *ret = s;
    return 0;
}

int query_value(const char *query, const char *name, char **ret)
{
    size_t name_len = strlen(name);

    for (const char *at = query; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "&");
        if (strncmp(at, name, name_len) == 0 && (at[name_len] == '=' || name_len == len)) {
            size_t skip = name_len == len ? len : name_len + 1;
            char *value = strndup(at + skip, len - skip);
            int r = value == NULL ? -ENOMEM : percent_decode(value, true);
            if (r < 0) {
                free(value);
                return r;
            }
            *ret = value;
            return 0;
        }
        at += len + (at[len] == '&');
    }
    *ret = NULL;
    return 0;
}

int query_int(const char *query, const char *name, int64_t min, int64_t max, int64_t otherwise, int64_t *ret)
{
    CLEANUP(mem_free) char *text = NULL;

    int r = query_value(query, name, &text);
    if (r < 0)
        return r;
    if (text == NULL) {
        *ret = otherwise;
        return 0;
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): CLEANUP releases it, which the analyzer does not see */
    return str_int(text, min, max, ret) < 0 ? -EINVAL : 0;
}

void xid_new(char ret_id[REQUEST_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    static _Atomic uint64_t counter;
    static _Atomic uint64_t process;
    uint64_t salt = atomic_load_explicit(&process, memory_order_relaxed);

    if (salt == 0) { /* two threads may both draw one; either will do */
        sys->random(&salt, sizeof(salt));
        salt |= 1;
        atomic_store_explicit(&process, salt, memory_order_relaxed);
    }
    uint64_t n = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed) + (salt >> 40);
    uint64_t high = ((uint64_t)(sys->wall_ms() / 1000) << 32) | (salt & 0xffffffff); /* 64 bits: 32 time, 32 process */
    uint32_t low = (uint32_t)n;
    for (int i = 0; i < REQUEST_ID_LEN; i++) { /* 96 bits and 4 of padding, five at a time */
        int at = 95 - 5 * i;
        unsigned value = 0;
        for (int bit = 0; bit < 5; bit++) {
            int b = at - bit;
            unsigned one = b < 0 ? 0 : b >= 32 ? (unsigned)(high >> (b - 32)) & 1 : (low >> b) & 1;
            value = value << 1 | one;
        }
        ret_id[i] = digits[value];
    }
    ret_id[REQUEST_ID_LEN] = '\0';
}

struct http_request *request_new(struct apid *a, struct http_conn *conn, const char *target)
{
    struct http_request *rq = calloc(1, sizeof(*rq));
    if (rq == NULL)
        return NULL;

    rq->apid = a;
    rq->conn = conn;
    rq->since_ns = sys->now_ns();
    rq->body_max = BODY_MAX;
    rq->reply.body = (struct strbuf)STRBUF(REPLY_MAX);
    rq->reply.headers = (struct strbuf)STRBUF(HEADERS_MAX);
    rq->target = strdup(target);
    if (rq->target == NULL) {
        request_free(rq);
        return NULL;
    }
    const char *mark = strchr(target, '?');
    if (mark != NULL) {
        rq->target[mark - target] = '\0'; /* the query may hold what must not be logged */
        rq->query = strdup(mark + 1);
        if (rq->query == NULL) {
            request_free(rq);
            return NULL;
        }
    }
    xid_new(rq->id);
    return rq;
}

void request_free(struct http_request *rq)
{
    if (rq == NULL)
        return;
    principal_unref(rq->who);
    if (rq->api_key != NULL)
        api_key_done(rq->api_key);
    free(rq->api_key);
    segments_done(&rq->path);
    strbuf_done(&rq->body);
    strbuf_done(&rq->reply.body);
    strbuf_done(&rq->reply.headers);
    free(rq->target);
    free(rq->query);
    free(rq->user_agent);
    free(rq);
}
