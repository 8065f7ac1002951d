/* The sink: `scp -t`. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/sys.h"
#include "sftp/scp.h"

struct scp_item {
    uint32_t mode;
    uint64_t size;
    const char *name; /* in the line */
};

void scp_level_pop(struct scp *c)
{
    struct scp_level *l = &c->levels[--c->depth];
    free(l->path);
    free(l->names);
    if (!c->is_sink)
        fd_close(&l->fd);
    *l = (struct scp_level){ .fd = -1 };
}

static int item_parse(char *line, struct scp_item *ret)
{
    int64_t size, mode = 0;
    char *space = strchr(line, ' ');
    char *name = space ? strchr(space + 1, ' ') : NULL;

    if (!name)
        return -EBADMSG;
    *space = *name = '\0';
    for (const char *s = line + 1; *s; s++) {
        if (*s < '0' || *s > '7' || mode > 07777)
            return -EBADMSG;
        mode = mode * 8 + (*s - '0');
    }
    name++;
    if (str_int(space + 1, 0, INT64_MAX, &size) < 0)
        return -EBADMSG;
    if (!name[0] || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    *ret = (struct scp_item){ .mode = (uint32_t)mode & 0777, .size = (uint64_t)size, .name = name };
    return 0;
}

static int item_path(struct scp *c, const char *name, char **ret)
{
    if (c->depth > 0)
        return scp_join(c->levels[c->depth - 1].path, name, ret);
    return c->target_is_dir ? scp_join(c->path, name, ret) : str_copy(ret, c->path);
}

/* What stands at a path, a link followed. */
static int type_of(struct scp *c, const char *path, mode_t *ret)
{
    CLEANUP(home_place_done) struct place at = { .dir = -1 };
    struct stat st;
    int r = home_place(&c->account->home, path, true, &at);
    if (r == 0)
        r = place_stat(&at, &st);
    if (r == 0)
        *ret = st.st_mode & S_IFMT;
    return r;
}

static int times_parse(struct scp *c, const char *line)
{
    char field[4][24];
    const char *s = line + 1;
    int64_t mtime, atime;

    for (size_t i = 0; i < 4; i++) {
        size_t len = strcspn(s, " ");
        if (len == 0 || len >= sizeof(field[i]))
            return -EBADMSG;
        memcpy(field[i], s, len);
        field[i][len] = '\0';
        s += len + (s[len] == ' ');
    }
    if (*s || str_int(field[0], 0, UINT32_MAX, &mtime) < 0 || str_int(field[2], 0, UINT32_MAX, &atime) < 0)
        return -EBADMSG;
    c->mtime_s = (uint32_t)mtime;
    c->atime_s = (uint32_t)atime;
    c->has_times = true;
    return 0;
}

/* Times are a wish: who may not set them still gets the file. */
static void times_set(struct scp *c, const struct home_file *f)
{
    const struct timespec ts[2] = { { .tv_sec = c->atime_s }, { .tv_sec = c->mtime_s } };
    if (c->has_times && c->times && account_rights(c->account, f->path, f->at.path) & MAY_CHTIMES)
        IGNORE(open_set_times(f->fd, ts), "the content counts");
    c->has_times = false;
}

/* A source listens only between files: what is too much to be read and forgotten (sink_write) must be refused before it
 * is sent, or its person gets no words. By what the home says is free; what is replaced makes room. */
static int room_check(struct scp *c, const char *path, uint64_t size)
{
    CLEANUP(home_place_done) struct place at = { .dir = -1 };
    struct stat st;
    struct statfs fs;

    if (size <= SCP_DRAIN_MAX)
        return 0;
    int r = home_place(&c->account->home, path, true, &at);
    if (r == 0)
        r = sys->fstatfs(at.dir, &fs);
    if (r < 0)
        return r;
    uint64_t replaced = place_stat(&at, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    uint64_t block = (uint64_t)fs.f_bsize, room;
    bool is_much = __builtin_mul_overflow((uint64_t)fs.f_bavail + 1, block, &room);
    return is_much || size <= room || size - room <= replaced ? 0 : -EDQUOT;
}

static int sink_file(struct scp *c, const struct scp_item *item)
{
    CLEANUP(mem_free) char *path = NULL;
    const char *text = NULL;
    int r = item_path(c, item->name, &path);

    if (r == 0)
        r = home_file_size_allowed(c->account, item->size);
    if (r == 0)
        r = room_check(c, path, item->size);
    if (r == -EDQUOT)
        text = "there is no room for a file of this size: delete something or ask for more space";
    if (r == 0)
        r = home_file_open(c->account, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, 0, &c->file, &text);
    if (r < 0)
        return scp_refuse(c, r, text);
    c->off = 0;
    c->left = item->size;
    c->drains = false;
    c->state = item->size > 0 ? SCP_CONTENT : SCP_AFTER;
    scp_zero(c);
    return STREAM_MORE;
}

static int make_dir(struct scp *c, const char *path)
{
    CLEANUP(home_place_done) struct place at = { .dir = -1 };
    mode_t type;
    int r = type_of(c, path, &type);
    if (r == 0)
        return S_ISDIR(type) ? 0 : -ENOTDIR;
    if (r != -ENOENT)
        return r;
    r = home_place(&c->account->home, path, false, &at);
    if (r < 0)
        return r;
    if (c->account->read_only || !(account_rights(c->account, path, at.path) & MAY_CREATE_DIRS))
        return -EACCES;
    r = sys->mkdirat(at.dir, at.name, 0777);
    if (r == 0)
        activity_changed(c->account->activity, "Mkdir", path, NULL);
    return r;
}

static int sink_dir(struct scp *c, const struct scp_item *item)
{
    char *path = NULL;
    if (!c->recursive)
        return scp_refuse(c, -EISDIR, "a directory without -r");
    if (c->depth == SCP_DEPTH_MAX)
        return scp_refuse(c, -ENAMETOOLONG, "too many directories inside each other");
    int r = item_path(c, item->name, &path);
    if (r == 0)
        r = make_dir(c, path);
    if (r < 0) {
        free(path);
        return scp_refuse(c, r, NULL);
    }
    c->levels[c->depth++] = (struct scp_level){ .path = path, .fd = -1 };
    c->has_times = false;
    scp_zero(c);
    return STREAM_MORE;
}

static int sink_item(struct scp *c, char *line)
{
    struct scp_item item;
    int r = item_parse(line, &item);
    if (r < 0)
        return scp_refuse(c, r, r == -EINVAL ? "unexpected file name" : "malformed message");
    return line[0] == 'C' ? sink_file(c, &item) : sink_dir(c, &item);
}

static int sink_message(struct scp *c, char *line)
{
    switch (line[0]) {
    case 'C':
    case 'D':
        return sink_item(c, line);
    case 'T':
        if (times_parse(c, line) < 0)
            return scp_refuse(c, -EBADMSG, "malformed times");
        break;
    case 'E':
        if (c->depth == 0)
            return scp_refuse(c, -EBADMSG, "no directory is open");
        scp_level_pop(c);
        break;
    case 1:
        break; /* a warning of the other side: it goes on */
    default:
        return line[0] == 2 ? scp_end(c, -ECONNABORTED) : scp_refuse(c, -EBADMSG, "unknown message");
    }
    if (line[0] != 1)
        scp_zero(c);
    return STREAM_MORE;
}

static int sink_line(struct scp *c)
{
    CLEANUP(mem_free) char *line = NULL;
    int r = scp_line(c, &line);
    if (r == 0)
        return c->eof ? scp_end(c, c->in.len || c->depth ? -ECONNABORTED : 0) : STREAM_WAITS;
    return r < 0 ? scp_refuse(c, r, "malformed message") : sink_message(c, line);
}

/* A source reads no answer before it has sent the whole file: who ends at once is a "lost connection" to it, without
 * words. So the rest is read, unless that is very much; home_file_close() says the error. */
static int sink_write(struct scp *c, size_t n)
{
    const char *text = NULL;
    int r = c->drains ? 0 : home_file_write(c->account, c->file, queue_bytes(&c->in), n, c->off, &text);

    if (r < 0 && c->left > SCP_DRAIN_MAX)
        return scp_refuse(c, r, text);
    c->drains = c->drains || r < 0;
    return STREAM_MORE;
}

static int sink_content(struct scp *c)
{
    size_t n = (size_t)MIN((uint64_t)c->in.len, c->left);

    if (n == 0)
        return c->eof ? scp_end(c, -ECONNABORTED) : STREAM_WAITS;
    if (sink_write(c, n) == STREAM_ENDED)
        return STREAM_ENDED;
    queue_pass(&c->in, n);
    c->off += n;
    c->left -= n;
    if (c->left == 0)
        c->state = SCP_AFTER;
    return STREAM_MORE;
}

/* The zero byte says that the other side has read its file well; anything else is its error. */
static int sink_after(struct scp *c)
{
    int r = scp_answer(c);
    if (r == 0)
        return STREAM_WAITS;
    if (r < 0)
        return scp_end(c, r);
    struct home_file *f = c->file;
    c->file = NULL;
    times_set(c, f);
    r = home_file_close(c->account, f);
    if (r < 0)
        return scp_refuse(c, r, NULL);
    scp_zero(c);
    c->state = SCP_LINE;
    return STREAM_MORE;
}

static int sink_start(struct scp *c)
{
    mode_t type;
    int r = type_of(c, c->path, &type);
    c->target_is_dir = r == 0 && S_ISDIR(type);
    c->state = SCP_LINE;
    scp_zero(c);
    return STREAM_MORE;
}

int scp_sink_step(struct scp *c)
{
    switch (c->state) {
    case SCP_START:
        return sink_start(c);
    case SCP_CONTENT:
        return sink_content(c);
    case SCP_AFTER:
        return sink_after(c);
    default:
        return sink_line(c);
    }
}
