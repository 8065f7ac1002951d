/* SCP over exec: the old protocol of `scp -O`, WinSCP and pscp, as a machine of states that never blocks.
 *
 * A sink (-t) reads "T<mtime> 0 <atime> 0", "C<mode> <size> <name>", "D<mode> 0 <name>", "E", and answers each with a
 * zero byte; after the content of a file comes a zero byte from the other side. A source (-f) sends the same and waits
 * for a zero byte after each. An error is one byte 1 (goes on) or 2 (ends), a text and a newline.
 *
 * A name from the other side is one path component, never ".", ".." or with a slash. The end is announced with an exit
 * status in any case. The size in a C line is what arrives: no more is read as content.
 *
 * Source: contract/sftp-quota.md §3; OpenSSH scp.c's protocol as described in scp(1) and by J. Pechanec, "How the SCP
 *         protocol works". */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/problem.h"
#include "base/str.h"
#include "sftp/scp.h"

static int scp_fail(struct scp *c, int r, const char *text)
{
    const struct problem *p = problem_of(r);
    struct strbuf b = STRBUF(SCP_LINE_MAX);

    strbuf_addf(&b, "%cscp: %s: %s\n", 2, c->path, text ? text : p->error ? p->text : error_text(r));
    if (strbuf_ok(&b) == 0)
        queue_add(&c->out, b.s, b.len);
    strbuf_done(&b);
    return scp_end(c, r);
}

int scp_end(struct scp *c, int r)
{
    if (c->file) {
        struct home_file *f = c->file;
        c->file = NULL;
        home_file_abort(c->account, f);
    }
    c->state = SCP_ENDED;
    c->failed = r;
    activity_ssh_command(c->account->activity, c->line, r);
    return STREAM_ENDED;
}

int scp_refuse(struct scp *c, int r, const char *text)
{
    return scp_fail(c, r, text);
}

void scp_zero(struct scp *c)
{
    queue_add(&c->out, "", 1);
}

/* A line without its newline, owned; 0: none yet; 1: taken. */
int scp_line(struct scp *c, char **ret)
{
    const uint8_t *p = c->in.len ? queue_bytes(&c->in) : NULL;
    const uint8_t *end = p ? memchr(p, '\n', c->in.len) : NULL;

    if (!end)
        return c->in.len >= SCP_LINE_MAX ? -EBADMSG : 0;
    size_t len = (size_t)(end - p);
    if (len >= SCP_LINE_MAX || memchr(p, 0, len))
        return -EBADMSG;
    char *line = strndup((const char *)p, len);
    if (!line)
        return -ENOMEM;
    queue_pass(&c->in, len + 1);
    *ret = line;
    return 1;
}

int scp_join(const char *dir, const char *name, char **ret)
{
    struct strbuf b = STRBUF(PATH_MAX);
    strbuf_addf(&b, "%s/%s", dir[1] ? dir : "", name);
    return strbuf_take(&b, ret);
}

/* The other side's zero byte. 1: it came; 0: not yet; negative: it refuses. */
int scp_answer(struct scp *c)
{
    if (c->in.len == 0)
        return c->eof ? -ECONNABORTED : 0;
    uint8_t b = *queue_bytes(&c->in);
    if (b == 1) {
        bool is_whole = c->eof || c->in.len >= SCP_LINE_MAX || memchr(queue_bytes(&c->in), '\n', c->in.len);
        return is_whole ? -ECANCELED : 0;
    }
    queue_pass(&c->in, 1);
    return b == 0 ? 1 : -ECONNABORTED;
}

static size_t scp_room(const void *s)
{
    const struct scp *c = s;
    return c->in.max - c->in.len;
}

static int scp_feed(void *s, const void *bytes, size_t len)
{
    struct scp *c = s;
    queue_add(&c->in, bytes, len);
    return c->in.failed;
}

static void scp_eof(void *s)
{
    ((struct scp *)s)->eof = true;
}

static int scp_step(void *s)
{
    struct scp *c = s;
    if (c->out.failed)
        return c->out.failed;
    if (c->state == SCP_ENDED)
        return STREAM_ENDED;
    if (c->out.len >= SCP_OUTPUT_MARK || account_wait_ms(c->account) > 0)
        return STREAM_WAITS;
    activity_touch(c->account->activity);
    return c->is_sink ? scp_sink_step(c) : scp_source_step(c);
}

static const void *scp_output(const void *s, size_t *ret_len)
{
    const struct scp *c = s;
    *ret_len = c->out.len;
    return c->out.len ? queue_bytes(&c->out) : NULL;
}

static void scp_sent(void *s, size_t len)
{
    queue_pass(&((struct scp *)s)->out, len);
}

static int scp_status(const void *s)
{
    return ((const struct scp *)s)->failed < 0;
}

static void scp_trim(void *s)
{
    queue_trim(&((struct scp *)s)->in);
}

static void scp_free(void *s)
{
    struct scp *c = s;
    if (c->file)
        home_file_abort(c->account, c->file);
    while (c->depth > 0)
        scp_level_pop(c);
    queue_done(&c->in);
    queue_done(&c->out);
    free(c->path);
    free(c->line);
    free(c);
}

static const struct stream_ops scp_ops = { scp_room,   scp_feed, scp_eof,  scp_step, scp_output, scp_sent,
                                           scp_status, scp_trim, scp_free, NULL,     NULL };

/* Options come before the path; what we do not know is as harmless as -v. */
static int scp_parse(struct scp *c, const struct words *w)
{
    bool is_source = false;
    size_t i = 1;
    for (; i < w->n && w->v[i][0] == '-' && w->v[i][1]; i++) {
        if (strcmp(w->v[i], "--") == 0) {
            i++;
            break;
        }
        c->is_sink = c->is_sink || strchr(w->v[i], 't');
        is_source = is_source || strchr(w->v[i], 'f');
        c->recursive = c->recursive || strchr(w->v[i], 'r');
        c->times = c->times || strchr(w->v[i], 'p');
    }
    if (c->is_sink == is_source || i + 1 < w->n)
        return -EINVAL;
    return path_clean(i < w->n && w->v[i][0] ? w->v[i] : "/", &c->path);
}

int stream_scp(struct account *a, const struct words *w, struct stream *ret)
{
    struct scp *c = calloc(1, sizeof(*c));
    struct strbuf line = STRBUF(COMMAND_LINE_MAX + WORDS_MAX);
    if (!c)
        return -ENOMEM;
    *c = (struct scp){ .account = a, .in = QUEUE(SCP_INPUT_MAX), .out = QUEUE(SCP_OUTPUT_MAX) };
    for (size_t i = 0; i < w->n; i++)
        strbuf_addf(&line, "%s%s", i ? " " : "", w->v[i]);
    int r = strbuf_take(&line, &c->line);
    if (r == 0)
        r = scp_parse(c, w);
    if (r < 0) {
        scp_free(c);
        return r;
    }
    *ret = (struct stream){ &scp_ops, c };
    return 0;
}
