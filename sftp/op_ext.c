/* Extensions that touch no file's content. Source: OpenSSH's PROTOCOL file; draft-ietf-secsh-filexfer-extensions-00. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/str.h"
#include "base/sys.h"
#include "sftp/request.h"

enum { USERS_MAX = 4096 };

static int reply_statvfs(struct engine *e, struct request *rq, int fd)
{
    struct statfs fs;
    int r = sys->fstatfs(fd, &fs);
    if (r < 0)
        return r;
    uint64_t id = (uint64_t)(uint32_t)fs.f_fsid.__val[0] << 32 | (uint32_t)fs.f_fsid.__val[1];
    const uint64_t fields[] = { (uint64_t)fs.f_bsize,
                                (uint64_t)(fs.f_frsize ? fs.f_frsize : fs.f_bsize),
                                fs.f_blocks,
                                fs.f_bfree,
                                fs.f_bavail,
                                fs.f_files,
                                fs.f_ffree,
                                fs.f_ffree,
                                id,
                                (uint64_t)fs.f_flags & (ST_RDONLY | ST_NOSUID),
                                (uint64_t)fs.f_namelen };
    size_t mark = packet_begin(&e->out, FXP_EXTENDED_REPLY, rq->id);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        packet_put_u64(&e->out, fields[i]);
    packet_end(&e->out, mark);
    return ANSWERED;
}

int ext_statvfs(struct engine *e, struct request *rq)
{
    CLEANUP(fd_close) int fd = place_open(&rq->at, O_PATH, 0);
    return fd < 0 ? fd : reply_statvfs(e, rq, fd);
}

int ext_fstatvfs(struct engine *e, struct request *rq)
{
    return reply_statvfs(e, rq, rq->item->file ? rq->item->file->fd : rq->item->dir->fd);
}

int ext_limits(struct engine *e, struct request *rq)
{
    size_t mark = packet_begin(&e->out, FXP_EXTENDED_REPLY, rq->id);
    packet_put_u64(&e->out, PACKET_MAX);
    packet_put_u64(&e->out, PACKET_DATA_MAX);
    packet_put_u64(&e->out, PACKET_DATA_MAX);
    packet_put_u64(&e->out, HANDLES_MAX);
    packet_end(&e->out, mark);
    return ANSWERED;
}

static bool is_own_name(const struct engine *e, const char *name, size_t len)
{
    const char *own = e->account->user->username;
    return own && strlen(own) == len && memcmp(own, name, len) == 0;
}

/* "~" and "~own-name" are the home, which is "/" here; of other users we know nothing. */
static int expand(const struct engine *e, const char *text, char **ret)
{
    size_t len = strcspn(text, "/");

    if (text[0] != '~')
        return path_clean(text, ret);
    if (len > 1 && !is_own_name(e, text + 1, len - 1))
        return -ENOENT;
    return path_clean(text[len] ? text + len : "/", ret);
}

int ext_expand_path(struct engine *e, struct request *rq)
{
    CLEANUP(mem_free) char *text = NULL, *path = NULL;
    int r = packet_text(&rq->in, PATH_MAX - 1, &text);
    if (r == 0)
        r = expand(e, text, &path);
    return r < 0 ? r : reply_name(e, rq, path);
}

int ext_home_directory(struct engine *e, struct request *rq)
{
    size_t len;
    const uint8_t *name = packet_bytes(&rq->in, &len);
    if (!name)
        return -EBADMSG;
    return len == 0 || is_own_name(e, (const char *)name, len) ? reply_name(e, rq, "/") : -ENOENT;
}

/* The names of one list of ids: our own user's, and "" (unknown) for all others. */
static int put_names(struct engine *e, const uint8_t *ids, size_t len, uint32_t own_id)
{
    struct packet_in in = { .p = ids, .left = len };
    const char *own = e->account->user->username ? e->account->user->username : "";

    if (len % 4 != 0 || len / 4 > USERS_MAX)
        return -EINVAL;
    packet_put_u32(&e->out, 0);
    size_t at = e->out.len;
    for (size_t i = 0; i < len / 4; i++)
        packet_put_text(&e->out, packet_u32(&in) == own_id ? own : "");
    if (!e->out.failed)
        packet_set_u32(e->out.v + e->out.head + at - 4, (uint32_t)(e->out.len - at));
    return 0;
}

int ext_users_groups(struct engine *e, struct request *rq)
{
    size_t users_len, groups_len, start = e->out.len;
    const uint8_t *users = packet_bytes(&rq->in, &users_len);
    const uint8_t *groups = packet_bytes(&rq->in, &groups_len);

    if (!users || !groups)
        return -EBADMSG;
    size_t mark = packet_begin(&e->out, FXP_EXTENDED_REPLY, rq->id);
    int r = put_names(e, users, users_len, e->account->uid);
    if (r == 0)
        r = put_names(e, groups, groups_len, e->account->gid);
    if (r < 0) {
        queue_cut(&e->out, start);
        return r;
    }
    packet_end(&e->out, mark);
    return ANSWERED;
}
