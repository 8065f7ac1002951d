/* The head of a request, judged by us: whatever two parsers could read in two ways is refused, so that no proxy before
 * us and no library below us can disagree about where a request ends (RFC 9112 §6.3, CWE-444). Rows of the raw-request
 * table in notes/http-db.md §A2; tests/e2e/test_api_raw.py sends them all. */
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http.h"

enum { GROUPS_MAX = 1024 };

static bool is_bad_value(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

static bool name_is(const char *name, size_t len, const char *wanted)
{
    return strlen(wanted) == len && strncasecmp(name, wanted, len) == 0;
}

static void head_length(struct http_head *h, const char *value, size_t len)
{
    uint64_t n = 0;

    h->lengths++;
    h->bad_length |= len == 0 || len > 18;
    for (size_t i = 0; i < len && !h->bad_length; i++) {
        h->bad_length |= value[i] < '0' || value[i] > '9';
        n = n * 10 + (uint64_t)(value[i] - '0');
    }
    h->length = n;
}

void http_head_add(struct http_head *h, const char *name, size_t name_len, const char *value, size_t value_len)
{
    h->bad_value |= is_bad_value(value, value_len) || strnlen(value, value_len) != value_len;
    if (name_is(name, name_len, "content-length"))
        head_length(h, value, value_len);
    else if (name_is(name, name_len, "host"))
        h->hosts++;
    else if (name_is(name, name_len, "transfer-encoding")) {
        h->transfer_encodings++;
        h->bad_transfer_encoding |= !name_is(value, value_len, "chunked");
    }
}

const char *http_guard(const struct http_head *h, const char *target)
{
    const struct {
        bool wrong;
        const char *text;
    } rows[] = {
        { h->lengths > 1, "more than one Content-Length" },
        { h->bad_length, "invalid Content-Length" },
        { h->hosts > 1, "more than one Host" },
        { h->hosts == 0 && !h->old_version, "no Host" },
        { h->lengths > 0 && h->transfer_encodings > 0, "Content-Length with Transfer-Encoding" },
        { h->transfer_encodings > 1 || h->bad_transfer_encoding, "unknown Transfer-Encoding" },
        { h->bad_value, "control byte in a header" },
        { target[0] != '/', "invalid request target" },
        { strstr(target, "%00") != NULL, "NUL in the request target" },
        { is_bad_value(target, strlen(target)), "control byte in the request target" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].wrong)
            return rows[i].text;
    return NULL;
}

static bool has_group(int fd, gid_t wanted)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof(groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
        return false;
    for (size_t i = 0; i < len / sizeof(groups[0]); i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

bool peer_is_trusted(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    char room[4096];
    struct group g, *found = NULL;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return false;
    if (peer.uid == 0)
        return true;
    if (getgrnam_r("tally", &g, room, sizeof(room), &found) != 0 || found == NULL)
        return false;
    return peer.gid == g.gr_gid || has_group(fd, g.gr_gid);
}
