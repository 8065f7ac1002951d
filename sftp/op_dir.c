/* Listing: getdents64 and one stat a name, in replies of bounded size. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/sys.h"
#include "sftp/request.h"

enum { READDIR_NAMES_MAX = 128, READDIR_BYTES_MAX = 64 * 1024, LONG_NAME_MAX = 512 };

/* What getdents64 gives. */
struct dirent_head {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

static int dir_open(const struct request *rq, struct dir **ret)
{
    struct dir *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->fd = place_open(&rq->at, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
    int r = d->fd < 0 ? d->fd : str_copy(&d->path, rq->path);
    if (r == 0)
        r = str_copy(&d->real, rq->at.path);
    if (r < 0) {
        dir_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

int op_opendir(struct engine *e, struct request *rq)
{
    uint8_t name[HANDLE_BYTES];
    struct dir *d;
    int r = dir_open(rq, &d);
    if (r < 0)
        return r;
    r = handles_add(&e->handles, NULL, d, name);
    if (r < 0) {
        dir_free(d);
        return r;
    }
    return reply_handle(e, rq, name);
}

/* The next entry, borrowed until the next call; NULL at the end or on an error. */
static const struct dirent_head *dir_next(struct dir *d, int *ret_error)
{
    *ret_error = 0;
    if (d->used >= d->filled) {
        ssize_t n = d->ended ? 0 : sys->getdents(d->fd, d->names, sizeof(d->names));
        d->ended = n <= 0;
        if (n <= 0) {
            *ret_error = (int)n;
            return NULL;
        }
        d->used = 0;
        d->filled = (size_t)n;
    }
    const struct dirent_head *h = (const struct dirent_head *)(const void *)(d->names + d->used);
    if (h->reclen < sizeof(*h) || d->used + h->reclen > d->filled) {
        *ret_error = -EIO;
        return NULL;
    }
    d->used += h->reclen;
    return h;
}

/* One name with its attributes; false if it has gone since, or is not to be shown. */
static bool put_name(struct queue *q, const struct dir *d, const char *name, int64_t now_s)
{
    struct stat st;
    struct strbuf line = STRBUF(LONG_NAME_MAX);

    if (strcmp(name, "..") == 0 && d->real[1] == '\0')
        return false;
    if (sys->fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    attrs_long_name(&line, name, &st, now_s);
    packet_put_text(q, name);
    packet_put_text(q, strbuf_ok(&line) == 0 && line.s ? line.s : name);
    attrs_put(q, &st);
    strbuf_done(&line);
    return true;
}

int op_readdir(struct engine *e, struct request *rq)
{
    struct dir *d = rq->item->dir;
    uint32_t n = 0;
    int r = 0;

    if (!d)
        return -ENOTDIR;
    int64_t now_s = sys->wall_ms() / 1000;
    size_t start = e->out.len;
    size_t mark = packet_begin(&e->out, FXP_NAME, rq->id);
    size_t at = e->out.len;
    packet_put_u32(&e->out, 0);
    while (n < READDIR_NAMES_MAX && e->out.len - start < READDIR_BYTES_MAX) {
        const struct dirent_head *h = dir_next(d, &r);
        if (!h)
            break;
        n += put_name(&e->out, d, h->name, now_s);
    }
    if (n == 0 || e->out.failed) {
        queue_cut(&e->out, start);
        return r < 0 ? r : EOF_REACHED;
    }
    packet_set_u32(e->out.v + e->out.head + at, n);
    packet_end(&e->out, mark);
    return ANSWERED;
}
