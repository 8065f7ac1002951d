/* Open files: OPEN, CLOSE, READ, WRITE, FSTAT, FSETSTAT and the server's own copy. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/sys.h"
#include "sftp/request.h"
#include "sftp/setstat.h"

enum { PFLAG_READ = 1, PFLAG_WRITE = 2, PFLAG_APPEND = 4, PFLAG_CREATE = 8, PFLAG_TRUNCATE = 16, PFLAG_EXCLUSIVE = 32 };
enum { COPY_PIECE = 4 << 20 };

static const struct {
    uint32_t wire;
    unsigned how;
} open_flags[] = {
    { PFLAG_READ, FILE_READ },     { PFLAG_WRITE, FILE_WRITE },       { PFLAG_APPEND, FILE_APPEND },
    { PFLAG_CREATE, FILE_CREATE }, { PFLAG_TRUNCATE, FILE_TRUNCATE }, { PFLAG_EXCLUSIVE, FILE_EXCLUSIVE },
};

static unsigned open_how(uint32_t wire)
{
    unsigned how = 0;
    for (size_t i = 0; i < ARRAY_SIZE(open_flags); i++)
        if (wire & open_flags[i].wire)
            how |= open_flags[i].how;
    return how;
}

/* A mode given at the open is chmod's business: it counts for those who may. */
mode_t creation_mode(const struct account *a, const char *path, const struct attrs *at)
{
    if (!(at->flags & ATTR_PERMISSIONS) || a->setstat_mode != SETSTAT_DO)
        return 0;
    return account_rights(a, path, path) & MAY_CHMOD ? at->mode & 0777 : 0;
}

int op_open(struct engine *e, struct request *rq)
{
    uint8_t name[HANDLE_BYTES];
    struct home_file *f;
    struct attrs at;
    uint32_t flags = packet_u32(&rq->in);

    if (attrs_parse(&rq->in, &at) < 0)
        return -EBADMSG;
    unsigned how = open_how(flags);
    if (!(how & (FILE_READ | FILE_WRITE)))
        return -EINVAL;
    if (how & FILE_WRITE && e->account->read_only)
        return -EROFS;
    if (e->handles.n >= HANDLES_MAX)
        return -EMFILE;
    int r = home_file_open(e->account, rq->path, how, creation_mode(e->account, rq->path, &at), &f, &rq->text);
    if (r < 0)
        return r;
    r = handles_add(&e->handles, f, NULL, name);
    if (r < 0) {
        home_file_abort(e->account, f);
        return r;
    }
    return reply_handle(e, rq, name);
}

int op_close(struct engine *e, struct request *rq)
{
    struct home_file *f = rq->item->file;
    struct dir *d = rq->item->dir;

    if (f && f->how & FILE_WRITE && !f->told)
        IGNORE(str_copy(&rq->path, f->path), "only a line for the client would lack");
    handles_remove(&e->handles, rq->item);
    dir_free(d);
    return f ? home_file_close(e->account, f) : 0;
}

/* The data goes straight into the output queue. */
int op_read(struct engine *e, struct request *rq)
{
    uint64_t off = packet_u64(&rq->in);
    uint32_t asked = packet_u32(&rq->in);
    size_t len = MIN(asked, (uint32_t)PACKET_DATA_MAX);

    if (!packet_ok(&rq->in))
        return -EBADMSG;
    if (!rq->item->file)
        return -EINVAL;
    size_t start = e->out.len;
    size_t mark = packet_begin(&e->out, FXP_DATA, rq->id);
    packet_put_u32(&e->out, 0);
    size_t at = e->out.len;
    uint8_t *to = queue_reserve(&e->out, MAX(len, (size_t)1));
    if (!to)
        return e->out.failed;
    ssize_t n = home_file_read(e->account, rq->item->file, to, len, off);
    if (n < 0 || (n == 0 && len > 0)) {
        queue_cut(&e->out, start);
        return n < 0 ? (int)n : EOF_REACHED;
    }
    queue_commit(&e->out, (size_t)n);
    packet_set_u32(e->out.v + e->out.head + at - 4, (uint32_t)n);
    packet_end(&e->out, mark);
    return ANSWERED;
}

int op_write(struct engine *e, struct request *rq)
{
    size_t len;
    uint64_t off = packet_u64(&rq->in);
    const uint8_t *data = packet_bytes(&rq->in, &len);

    if (!data)
        return -EBADMSG;
    if (!rq->item->file)
        return -EINVAL;
    return home_file_write(e->account, rq->item->file, data, len, off, &rq->text);
}

int op_fstat(struct engine *e, struct request *rq)
{
    struct stat st;
    int fd = rq->item->file ? rq->item->file->fd : rq->item->dir->fd;
    const char *path = rq->item->file ? rq->item->file->path : rq->item->dir->path;
    const char *real = rq->item->file ? rq->item->file->at.path : rq->item->dir->real;

    if (!(account_rights(e->account, path, real) & MAY_LIST))
        return -EACCES;
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);
    return r < 0 ? r : reply_attrs(e, rq, &st);
}

int op_fsetstat(struct engine *e, struct request *rq)
{
    struct attrs at;
    struct open_item *i = rq->item;
    int r = attrs_parse(&rq->in, &at);

    if (r < 0)
        return r;
    struct setstat_target t = {
        .fd = i->file ? i->file->fd : i->dir->fd,
        .name = "",
        .path = i->file ? i->file->path : i->dir->path,
        .file = i->file,
        .writing = i->file && i->file->how & FILE_WRITE ? i->file : NULL,
        .rights = i->file ? account_rights(e->account, i->file->path, i->file->at.path)
                          : account_rights(e->account, i->dir->path, i->dir->real),
    };
    return setstat(e->account, &t, &at);
}

int ext_fsync(struct engine *e, struct request *rq)
{
    (void)e;
    return sys->fsync(rq->item->file ? rq->item->file->fd : rq->item->dir->fd, false);
}

/* Regions of one file that overlap would be read while they change. */
static bool copy_overlaps(const struct copying *c)
{
    if (c->from != c->to)
        return false;
    if (c->to_end)
        return true;
    return c->from_off < c->to_off + c->left && c->to_off < c->from_off + c->left;
}

int ext_copy_data(struct engine *e, struct request *rq)
{
    size_t len;
    struct copying c = { .active = true, .id = rq->id, .from = rq->item->file };

    c.from_off = packet_u64(&rq->in);
    c.left = packet_u64(&rq->in);
    const uint8_t *name = packet_bytes(&rq->in, &len);
    c.to_off = packet_u64(&rq->in);
    if (!packet_ok(&rq->in))
        return -EBADMSG;
    struct open_item *to = handles_find(&e->handles, name, len);
    c.to = to ? to->file : NULL;
    c.to_end = c.left == 0;
    if (!c.from || !c.to || c.from_off > INT64_MAX || c.to_off > INT64_MAX || c.left > INT64_MAX || copy_overlaps(&c))
        return -EINVAL;
    if (c.to_end)
        c.left = INT64_MAX;
    e->copying = c;
    return ANSWERED;
}

/* 1: more is to come. */
static int copy_piece(struct engine *e, struct copying *c, uint8_t *buf, size_t len)
{
    const char *text = NULL;
    ssize_t n = home_file_read(e->account, c->from, buf, MIN(len, c->left), c->from_off);
    if (n <= 0)
        return n < 0 ? (int)n : c->to_end ? 0 : EOF_REACHED;
    int r = home_file_write(e->account, c->to, buf, (size_t)n, c->to_off, &text);
    if (r < 0)
        return r;
    c->from_off += (uint64_t)n;
    c->to_off += (uint64_t)n;
    c->left -= (uint64_t)n;
    return c->left > 0;
}

/* Through memory and not with copy_file_range(): limits, bandwidth and progress count as for any other write. */
void copying_step(struct engine *e)
{
    struct copying *c = &e->copying;
    uint8_t *buf = malloc(PACKET_DATA_MAX);
    int r = buf ? 1 : -ENOMEM;

    for (size_t done = 0; r == 1 && done < COPY_PIECE; done += PACKET_DATA_MAX)
        r = copy_piece(e, c, buf, PACKET_DATA_MAX);
    free(buf);
    activity_touch(e->account->activity);
    if (r == 1)
        return;
    c->active = false;
    reply_status(e, c->id, r, NULL);
    file_notice(e, c->to, r, NULL);
}
