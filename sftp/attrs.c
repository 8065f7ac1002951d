#include "sftp/attrs.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { HALF_YEAR_S = 182 * 86400 };

static int extended_skip(struct packet_in *in)
{
    uint32_t n = packet_u32(in);
    if (n > ATTRS_EXTENDED_MAX)
        return -EBADMSG;
    for (uint32_t i = 0; i < 2 * n; i++) {
        size_t len;
        packet_bytes(in, &len);
    }
    return 0;
}

int attrs_parse(struct packet_in *in, struct attrs *ret)
{
    struct attrs a = { .flags = packet_u32(in) };
    if (a.flags & ATTR_SIZE)
        a.size = packet_u64(in);
    if (a.flags & ATTR_UIDGID) {
        a.uid = packet_u32(in);
        a.gid = packet_u32(in);
    }
    if (a.flags & ATTR_PERMISSIONS)
        a.mode = packet_u32(in);
    if (a.flags & ATTR_ACMODTIME) {
        a.atime_s = packet_u32(in);
        a.mtime_s = packet_u32(in);
    }
    if (a.flags & ATTR_EXTENDED && extended_skip(in) < 0)
        return -EBADMSG;
    if (!packet_ok(in))
        return -EBADMSG;
    *ret = a;
    return 0;
}

/* Times of version 3 have 32 bits: what does not fit is shown as the nearest that does. */
static uint32_t time_u32(int64_t s)
{
    return s < 0 ? 0 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

void attrs_put(struct queue *q, const struct stat *st)
{
    packet_put_u32(q, ATTR_SIZE | ATTR_UIDGID | ATTR_PERMISSIONS | ATTR_ACMODTIME);
    packet_put_u64(q, (uint64_t)st->st_size);
    packet_put_u32(q, st->st_uid);
    packet_put_u32(q, st->st_gid);
    packet_put_u32(q, st->st_mode);
    packet_put_u32(q, time_u32(st->st_atim.tv_sec));
    packet_put_u32(q, time_u32(st->st_mtim.tv_sec));
}

void attrs_put_none(struct queue *q)
{
    packet_put_u32(q, 0);
}

static void mode_text(char to[11], mode_t mode)
{
    static const struct {
        mode_t type;
        char letter;
    } types[] = { { S_IFDIR, 'd' },  { S_IFLNK, 'l' }, { S_IFIFO, 'p' },
                  { S_IFSOCK, 's' }, { S_IFCHR, 'c' }, { S_IFBLK, 'b' } };
    static const char bits[] = "rwxrwxrwx";

    to[0] = '-';
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if ((mode & S_IFMT) == types[i].type)
            to[0] = types[i].letter;
    for (unsigned i = 0; i < 9; i++)
        to[i + 1] = mode & (0400U >> i) ? bits[i] : '-';
    if (mode & S_ISUID)
        to[3] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        to[6] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        to[9] = mode & S_IXOTH ? 't' : 'T';
    to[10] = '\0';
}

/* UTC: a session has no zone files, and the person at the client is somewhere else. */
static void add_time(struct strbuf *to, int64_t s, int64_t now_s)
{
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    struct tm tm;
    time_t t = (time_t)s;

    if (!gmtime_r(&t, &tm))
        tm = (struct tm){ .tm_mday = 1, .tm_year = 70 };
    strbuf_addf(to, "%s %2d ", months[(unsigned)tm.tm_mon % 12], tm.tm_mday);
    if (s > now_s + 60 || s < now_s - HALF_YEAR_S)
        strbuf_addf(to, " %4ld", 1900L + tm.tm_year);
    else
        strbuf_addf(to, "%02d:%02d", tm.tm_hour, tm.tm_min);
}

void attrs_long_name(struct strbuf *to, const char *name, const struct stat *st, int64_t now_s)
{
    char mode[11];

    mode_text(mode, st->st_mode);
    strbuf_addf(to, "%s %4" PRIu64 " %-8" PRIu32 " %-8" PRIu32 " %12" PRId64 " ", mode, (uint64_t)st->st_nlink,
                st->st_uid, st->st_gid, (int64_t)st->st_size);
    add_time(to, st->st_mtim.tv_sec, now_s);
    strbuf_addf(to, " %s", name);
}
