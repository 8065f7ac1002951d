/* The source: `scp -f`. Links are followed; what is no file or directory, or may not be read, is told and left out. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/problem.h"
#include "base/str.h"
#include "base/sys.h"
#include "sftp/scp.h"

/* There is no shell that would expand them. */
#define NO_PATTERNS "no such file, and this server expands no patterns: use sftp, or name each file"

enum { NAMES_BYTES = 16384, CONTENT_PIECE = 64 * 1024 };

static void put_line(struct scp *c, struct strbuf *b)
{
    if (strbuf_ok(b) == 0)
        queue_add(&c->out, b->s, b->len);
    else
        c->out.failed = strbuf_ok(b);
    strbuf_done(b);
}

static int wait_then(struct scp *c, enum scp_state next)
{
    c->state = SCP_WAIT;
    c->next = next;
    return STREAM_MORE;
}

/* Something inside a tree that cannot be sent: a warning, and on. The one thing that was asked for: the end. */
static int leave_out(struct scp *c, const char *path, int r, const char *text)
{
    struct strbuf b = STRBUF(SCP_LINE_MAX);
    const struct problem *p = problem_of(r);

    if (c->depth == 0)
        return scp_refuse(c, r, text);
    strbuf_addf(&b, "%cscp: %s: %s\n", 1, path, text ? text : p->text);
    put_line(c, &b);
    c->failed = r;
    c->state = SCP_HEAD;
    return STREAM_MORE;
}

static void put_times(struct scp *c, const struct stat *st)
{
    struct strbuf b = STRBUF(SCP_LINE_MAX);
    if (!c->times)
        return;
    strbuf_addf(&b, "T%lld 0 %lld 0\n", (long long)MAX(st->st_mtim.tv_sec, 0), (long long)MAX(st->st_atim.tv_sec, 0));
    put_line(c, &b);
}

static void put_item(struct scp *c, char letter, const struct stat *st, const char *path)
{
    struct strbuf b = STRBUF(SCP_LINE_MAX);
    const char *name = strrchr(path, '/') + 1;
    const char *user = c->account->user->username;

    put_times(c, st);
    strbuf_addf(&b, "%c%04o %lld %s\n", letter, st->st_mode & 07777, letter == 'D' ? 0LL : (long long)st->st_size,
                name[0]           ? name
                : user && user[0] ? user
                                  : "home");
    put_line(c, &b);
}

/* With -p two messages are sent and two zero bytes come: the first is eaten here. */
static int source_file(struct scp *c, const char *path)
{
    struct stat st;
    const char *text = NULL;
    int r = home_file_open(c->account, path, FILE_READ, 0, &c->file, &text);
    if (r < 0)
        return leave_out(c, path, r, text);
    r = sys->fstatat(c->file->fd, "", &st, AT_EMPTY_PATH);
    if (r < 0 || strchr(path, '\n')) {
        home_file_abort(c->account, c->file);
        c->file = NULL;
        return leave_out(c, path, r < 0 ? r : -EINVAL, NULL);
    }
    c->off = 0;
    c->left = (uint64_t)st.st_size;
    put_item(c, 'C', &st, path);
    c->has_times = c->times;
    return wait_then(c, SCP_CONTENT);
}

static int source_dir(struct scp *c, const char *path, const struct place *at, const struct stat *st)
{
    if (!c->recursive)
        return leave_out(c, path, -EISDIR, "not a regular file");
    if (!(account_rights_at(c->account, path, at->path) & MAY_DOWNLOAD))
        return leave_out(c, path, -EACCES, NULL);
    if (c->depth == SCP_DEPTH_MAX || strchr(path, '\n'))
        return leave_out(c, path, -ENAMETOOLONG, NULL);
    struct scp_level l = { .path = strdup(path), .names = malloc(NAMES_BYTES) };
    l.fd = place_open(at, O_RDONLY | O_DIRECTORY, 0);
    if (l.fd < 0 || !l.path || !l.names) {
        free(l.path);
        free(l.names);
        int r = l.fd < 0 ? l.fd : -ENOMEM;
        fd_close(&l.fd);
        return leave_out(c, path, r, NULL);
    }
    c->levels[c->depth++] = l;
    put_item(c, 'D', st, path);
    c->has_times = c->times;
    return wait_then(c, SCP_HEAD);
}

static int source_item(struct scp *c, const char *path)
{
    CLEANUP(home_place_done) struct place at = { .dir = -1 };
    struct stat st;
    int r = home_place(&c->account->home, path, true, &at);
    if (r == 0)
        r = place_stat(&at, &st);
    if (r < 0)
        return leave_out(c, path, r, r == -ENOENT && strpbrk(path, "*?[") ? NO_PATTERNS : NULL);
    if (S_ISDIR(st.st_mode))
        return source_dir(c, path, &at, &st);
    return source_file(c, path);
}

struct dirent_head {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

static const char *level_next(struct scp_level *l)
{
    if (l->used >= l->filled) {
        ssize_t n = sys->getdents(l->fd, l->names, NAMES_BYTES);
        if (n <= 0)
            return NULL;
        l->used = 0;
        l->filled = (size_t)n;
    }
    const struct dirent_head *h = (const struct dirent_head *)(const void *)(l->names + l->used);
    l->used += MAX(h->reclen, (uint16_t)sizeof(*h));
    return h->name;
}

/* The next item of the deepest directory, or its end. */
static int source_head(struct scp *c)
{
    CLEANUP(mem_free) char *path = NULL;
    if (c->depth == 0) {
        if (c->started)
            return scp_end(c, c->failed);
        c->started = true;
        return source_item(c, c->path);
    }
    struct scp_level *l = &c->levels[c->depth - 1];
    const char *name = level_next(l);
    if (!name) {
        scp_level_pop(c);
        queue_add(&c->out, "E\n", 2);
        return wait_then(c, SCP_HEAD);
    }
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return STREAM_MORE;
    int r = scp_join(l->path, name, &path);
    return r < 0 ? leave_out(c, l->path, r, NULL) : source_item(c, path);
}

static int source_wait(struct scp *c)
{
    int r = scp_answer(c);
    if (r == 0)
        return STREAM_WAITS;
    if (r < 0)
        return scp_end(c, r);
    if (c->has_times) {
        c->has_times = false; /* the answer to the T line; that to the item is still to come */
        return STREAM_MORE;
    }
    c->state = c->next;
    return STREAM_MORE;
}

static int source_file_end(struct scp *c)
{
    struct home_file *f = c->file;
    c->file = NULL;
    int r = home_file_close(c->account, f);
    if (r < 0)
        return scp_refuse(c, r, NULL);
    scp_zero(c);
    return wait_then(c, SCP_HEAD);
}

/* The size was promised: a file that shrinks meanwhile ends the copy, for nothing else could stand for the rest. */
static int source_content(struct scp *c)
{
    if (c->left == 0)
        return source_file_end(c);
    uint8_t *to = queue_reserve(&c->out, CONTENT_PIECE);
    if (!to)
        return c->out.failed;
    ssize_t n = home_file_read(c->account, c->file, to, (size_t)MIN((uint64_t)CONTENT_PIECE, c->left), c->off);
    if (n <= 0)
        return scp_end(c, n < 0 ? (int)n : -EIO);
    queue_commit(&c->out, (size_t)n);
    c->off += (uint64_t)n;
    c->left -= (uint64_t)n;
    return STREAM_MORE;
}

static int source_start(struct scp *c)
{
    return wait_then(c, SCP_HEAD);
}

int scp_source_step(struct scp *c)
{
    switch (c->state) {
    case SCP_START:
        return source_start(c);
    case SCP_WAIT:
        return source_wait(c);
    case SCP_CONTENT:
        return source_content(c);
    default:
        return source_head(c);
    }
}
