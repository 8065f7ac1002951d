/* The defender's table, seen and pardoned by administrators (contract/rest.md §1.3). A host's id is the hex of its
 * address as text. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "base/sys.h"

enum { HOSTS_SHOWN_MAX = DEFENDER_HOSTS_MAX, TIME_TEXT_MAX = 40 };

static bool is_on(const struct http_request *rq)
{
    return rq->apid->guards != NULL && defender_is_on(&rq->apid->guards->defender);
}

static const char *ban_text(int64_t until_ms, char to[TIME_TEXT_MAX])
{
    time_t s = (time_t)(until_ms / 1000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(to, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return to;
}

static void host_write(const struct defender_host *h, struct strbuf *out)
{
    char ip[ADDRESS_TEXT_MAX];
    char id[2 * ADDRESS_TEXT_MAX + 1];
    char ban[TIME_TEXT_MAX];

    address_text(&h->address, ip);
    str_hex(id, (const uint8_t *)ip, strlen(ip));
    const struct defender_host_shape shape = {
        .id = id,
        .ip = ip,
        .score = h->score,
        .ban_time = h->ban_until_ms > 0 ? (char *)ban_text(h->ban_until_ms, ban) : NULL,
    };
    reply_object(out, &defender_host_schema, &shape);
}

int on_hosts_list(struct http_request *rq, void *in, struct strbuf *out)
{
    CLEANUP(mem_free) struct defender_host *hosts = calloc(HOSTS_SHOWN_MAX, sizeof(*hosts));

    (void)in;
    if (hosts == NULL)
        return -ENOMEM;
    size_t n = is_on(rq) ? defender_hosts(&rq->apid->guards->defender, sys->wall_ms(), hosts, HOSTS_SHOWN_MAX) : 0;
    strbuf_addc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            strbuf_addc(out, ',');
        host_write(&hosts[i], out);
    }
    strbuf_addc(out, ']');
    return 0;
}

/* "3132372e302e302e31" is "127.0.0.1". */
static bool id_decode(const char *id, char to[ADDRESS_TEXT_MAX])
{
    size_t len = strlen(id);

    if (len == 0 || len % 2 != 0 || len / 2 >= ADDRESS_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i += 2) {
        int value = 0;
        for (size_t k = i; k < i + 2; k++) {
            if (!isxdigit((unsigned char)id[k]))
                return false;
            value = value * 16 + (isdigit((unsigned char)id[k]) ? id[k] - '0' : (id[k] | 0x20) - 'a' + 10);
        }
        to[i / 2] = (char)value;
    }
    to[len / 2] = '\0';
    return strlen(to) == len / 2;
}

static int address_check(struct http_request *rq, const char *ip)
{
    struct address a;

    return address_parse(ip, &a) ? 0 : reply_refuse(rq, 400, SAYS_ERROR, "\"%s\" is not an IP address", ip);
}

static int id_address(struct http_request *rq, char to[ADDRESS_TEXT_MAX])
{
    if (!id_decode(rq->param, to))
        return reply_refuse(rq, 400, SAYS_ERROR, "invalid host id");
    return address_check(rq, to);
}

static int host_of(const struct http_request *rq, const char *ip, struct defender_host *ret)
{
    return is_on(rq) ? defender_host(&rq->apid->guards->defender, ip, sys->wall_ms(), ret) : -ENOENT;
}

static int not_found(struct http_request *rq)
{
    return reply_refuse(rq, 404, SAYS_MESSAGE, "Not found");
}

int on_host_get(struct http_request *rq, void *in, struct strbuf *out)
{
    char ip[ADDRESS_TEXT_MAX];
    struct defender_host h;
    int r = id_address(rq, ip);

    (void)in;
    if (r != 0)
        return r;
    if (!is_on(rq))
        return reply_result(rq, 500, "defender is disabled", "Internal Server Error");
    r = host_of(rq, ip, &h);
    if (r == -ENOENT)
        return not_found(rq);
    if (r == 0)
        host_write(&h, out);
    return r;
}

static int pardon(struct http_request *rq, const char *ip)
{
    int r = is_on(rq) ? defender_forget(&rq->apid->guards->defender, ip, sys->wall_ms()) : -ENOENT;

    return r == -ENOENT ? not_found(rq) : r;
}

int on_host_delete(struct http_request *rq, void *in, struct strbuf *out)
{
    char ip[ADDRESS_TEXT_MAX];
    int r = id_address(rq, ip);

    (void)in;
    (void)out;
    return r != 0 ? r : pardon(rq, ip);
}

int on_unban_post(struct http_request *rq, void *in, struct strbuf *out)
{
    const struct unban_in *body = in;
    const char *ip = body->ip != NULL ? body->ip : "";
    int r = ip[0] == '\0' ? reply_refuse(rq, 400, SAYS_ERROR, "ip address is required") : address_check(rq, ip);

    (void)out;
    return r != 0 ? r : pardon(rq, ip);
}

/* The address of the query; *ret is owned. */
static int query_address(struct http_request *rq, char **ret)
{
    CLEANUP(mem_free) char *ip = NULL;
    int r = query_value(rq->query, "ip", &ip);

    if (r == -ENOMEM)
        return r;
    if (r < 0 || ip == NULL || ip[0] == '\0')
        return reply_refuse(rq, 400, SAYS_ERROR, "ip address is required");
    r = address_check(rq, ip);
    if (r == 0)
        *ret = TAKE_PTR(ip);
    return r;
}

int on_ban_time_get(struct http_request *rq, void *in, struct strbuf *out)
{
    CLEANUP(mem_free) char *ip = NULL;
    struct defender_host h;
    char ban[TIME_TEXT_MAX];
    int r = query_address(rq, &ip);

    (void)in;
    if (r != 0)
        return r;
    bool is_banned = host_of(rq, ip, &h) == 0 && h.ban_until_ms > 0;
    const struct ban_time_shape shape = { .date_time = is_banned ? (char *)ban_text(h.ban_until_ms, ban) : NULL };
    reply_object(out, &ban_time_schema, &shape);
    return 0;
}

int on_score_get(struct http_request *rq, void *in, struct strbuf *out)
{
    CLEANUP(mem_free) char *ip = NULL;
    struct defender_host h;
    int r = query_address(rq, &ip);

    (void)in;
    if (r != 0)
        return r;
    reply_object(out, &score_schema, &(struct score_shape){ .score = host_of(rq, ip, &h) == 0 ? h.score : 0 });
    return 0;
}
