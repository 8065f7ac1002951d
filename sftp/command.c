/* SSH commands: cd, pwd, checksums; scp is in scp.c. No shell: the line is split into words, and what is not in the
 * table is refused. A sum is computed in pieces, so that a close request does not wait for a large file. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/problem.h"
#include "base/str.h"
#include "sftp/engine.h"
#include "sftp/home_file.h"
#include "sftp/queue.h"
#include "sftp/stream.h"

enum { SUM_PIECE = 256 * 1024, SUM_PIECES_A_STEP = 16, COMMAND_INPUT_MAX = 64 * 1024, COMMAND_OUTPUT_MAX = 16 * 1024 };

struct command;

struct command_row {
    const char *name;
    int (*step)(struct command *c);
    const char *digest;
};

struct command {
    const struct command_row *row;
    struct account *account;
    char *line;  /* owned, for the log */
    char *shown; /* owned: the path argument as given; NULL: standard input */
    struct home_file *file;
    uint64_t off;
    EVP_MD_CTX *md;
    struct queue in, out;
    bool eof, ended;
    int status;
};

int words_split(const char *line, struct words *ret)
{
    struct words w = { .text = calloc(1, strlen(line) + 2) };
    char *to = w.text, quote = 0;
    bool in_word = false;

    if (!w.text)
        return -ENOMEM;
    for (const char *s = line; *s; s++) {
        bool plain = quote || (*s != ' ' && *s != '\t');
        if (plain && !in_word) {
            if (w.n == WORDS_MAX)
                break;
            w.v[w.n++] = to;
            in_word = true;
        }
        if (quote ? *s == quote : (*s == '\'' || *s == '"'))
            quote = quote ? 0 : *s;
        else if (*s == '\\' && quote != '\'' && s[1] && (!quote || s[1] == '"' || s[1] == '\\'))
            *to++ = *++s;
        else if (plain)
            *to++ = *s;
        else if (in_word) {
            *to++ = '\0';
            in_word = false;
        }
    }
    *to = '\0';
    if (quote || w.n == WORDS_MAX) {
        free(w.text);
        return quote ? -EINVAL : -E2BIG;
    }
    *ret = w;
    return 0;
}

void words_done(struct words *w)
{
    free(w->text);
    *w = (struct words){ 0 };
}

static int command_end(struct command *c, int r, const char *text)
{
    if (r < 0) {
        const struct problem *p = problem_of(r);
        struct strbuf b = STRBUF(COMMAND_OUTPUT_MAX);
        strbuf_addf(&b, "%s: %s%s%s\n", c->row->name, c->shown ? c->shown : "", c->shown ? ": " : "",
                    text       ? text
                    : p->error ? p->text
                               : error_text(r));
        if (strbuf_ok(&b) == 0)
            queue_add(&c->out, b.s, b.len);
        strbuf_done(&b);
    }
    c->status = r < 0;
    c->ended = true;
    activity_ssh_command(c->account->activity, c->line, r);
    return STREAM_ENDED;
}

static int cd_step(struct command *c)
{
    return command_end(c, 0, NULL);
}

static int pwd_step(struct command *c)
{
    queue_add(&c->out, "/\n", 2);
    return command_end(c, 0, NULL);
}

static int sum_end(struct command *c)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(c->md, sum, &len) != 1)
        return command_end(c, -EIO, NULL);
    str_hex(hex, sum, len);
    queue_add(&c->out, hex, 2 * (size_t)len);
    queue_add(&c->out, "  ", 2);
    const char *name = c->shown ? c->shown : "-";
    queue_add(&c->out, name, strlen(name));
    queue_add(&c->out, "\n", 1);
    if (c->file) {
        struct home_file *f = c->file;
        c->file = NULL;
        home_file_abort(c->account, f);
    }
    return command_end(c, 0, NULL);
}

static int sum_start(struct command *c)
{
    CLEANUP(mem_free) char *path = NULL;
    const char *text = NULL;

    c->md = EVP_MD_CTX_new();
    if (!c->md || EVP_DigestInit_ex(c->md, EVP_get_digestbyname(c->row->digest), NULL) != 1)
        return command_end(c, -ENOMEM, NULL);
    if (!c->shown)
        return STREAM_MORE;
    int r = path_clean(c->shown, &path);
    if (r == 0)
        r = home_file_open(c->account, path, FILE_READ | FILE_SUM, 0, &c->file, &text);
    return r < 0 ? command_end(c, r, text) : STREAM_MORE;
}

static int sum_input(struct command *c)
{
    if (c->in.len > 0) {
        EVP_DigestUpdate(c->md, queue_bytes(&c->in), c->in.len);
        queue_pass(&c->in, c->in.len);
    }
    return c->eof ? sum_end(c) : STREAM_WAITS;
}

static int sum_step(struct command *c)
{
    if (!c->md)
        return sum_start(c);
    if (!c->file)
        return sum_input(c);
    uint8_t *buf = malloc(SUM_PIECE);
    ssize_t n = buf ? 1 : -ENOMEM;
    for (int i = 0; i < SUM_PIECES_A_STEP && n > 0; i++) {
        n = home_file_read(c->account, c->file, buf, SUM_PIECE, c->off);
        if (n > 0) {
            EVP_DigestUpdate(c->md, buf, (size_t)n);
            c->off += (uint64_t)n;
        }
    }
    free(buf);
    if (n < 0)
        return command_end(c, (int)n, NULL);
    return n == 0 ? sum_end(c) : STREAM_MORE;
}

static const struct command_row rows[] = {
    { "cd", cd_step, NULL },
    { "pwd", pwd_step, NULL },
    { "md5sum", sum_step, "MD5" },
    { "sha1sum", sum_step, "SHA1" },
    { "sha256sum", sum_step, "SHA256" },
    { "sha384sum", sum_step, "SHA384" },
    { "sha512sum", sum_step, "SHA512" },
    { 0 },
};

static size_t command_room(const void *s)
{
    const struct command *c = s;
    return c->in.max - c->in.len;
}

static int command_feed(void *s, const void *bytes, size_t len)
{
    struct command *c = s;
    queue_add(&c->in, bytes, len);
    return c->in.failed;
}

static void command_eof(void *s)
{
    ((struct command *)s)->eof = true;
}

static int command_step(void *s)
{
    struct command *c = s;
    if (c->ended)
        return STREAM_ENDED;
    if (account_wait_ms(c->account) > 0)
        return STREAM_WAITS;
    activity_touch(c->account->activity);
    return c->row->step(c);
}

static const void *command_output(const void *s, size_t *ret_len)
{
    const struct command *c = s;
    *ret_len = c->out.len;
    return c->out.len ? queue_bytes(&c->out) : NULL;
}

static void command_sent(void *s, size_t len)
{
    queue_pass(&((struct command *)s)->out, len);
}

static int command_status(const void *s)
{
    return ((const struct command *)s)->status;
}

static void command_trim(void *s)
{
    queue_trim(&((struct command *)s)->in);
}

static void command_free(void *s)
{
    struct command *c = s;
    if (c->file)
        home_file_abort(c->account, c->file);
    EVP_MD_CTX_free(c->md);
    queue_done(&c->in);
    queue_done(&c->out);
    free(c->line);
    free(c->shown);
    free(c);
}

static const struct stream_ops command_ops = { command_room, command_feed,   command_eof,  command_step, command_output,
                                               command_sent, command_status, command_trim, command_free, NULL,
                                               NULL };

static int command_new(struct account *a, const struct words *w, const struct command_row *row, const char *line,
                       struct stream *ret)
{
    struct command *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    *c = (struct command){ .row = row, .account = a, .in = QUEUE(COMMAND_INPUT_MAX), .out = QUEUE(COMMAND_OUTPUT_MAX) };
    size_t arg = w->n > 1 && strcmp(w->v[1], "--") == 0 ? 2 : 1;
    int r = str_copy(&c->line, line);
    if (r == 0 && w->n > arg)
        r = str_copy(&c->shown, w->v[arg]);
    if (r < 0) {
        command_free(c);
        return r;
    }
    *ret = (struct stream){ &command_ops, c };
    return 0;
}

static bool is_enabled(const struct account *a, const char *name)
{
    if (!a->ssh_commands)
        return true;
    return strings_has(a->ssh_commands, "*") || strings_has(a->ssh_commands, name);
}

static int command_choose(struct account *a, const struct words *w, const char *line, struct stream *ret)
{
    if (strcmp(w->v[0], "scp") == 0)
        return stream_scp(a, w, ret);
    for (const struct command_row *row = rows; row->name; row++)
        if (strcmp(w->v[0], row->name) == 0)
            return command_new(a, w, row, line, ret);
    return -EOPNOTSUPP;
}

int stream_command(struct account *a, const char *line, struct stream *ret)
{
    struct words w;
    if (strlen(line) > COMMAND_LINE_MAX)
        return -E2BIG;
    int r = words_split(line, &w);
    if (r < 0)
        return r;
    r = w.n > 0 && is_enabled(a, w.v[0]) ? command_choose(a, &w, line, ret) : -EOPNOTSUPP;
    words_done(&w);
    return r;
}

void stream_free(struct stream *s)
{
    if (s->ops)
        s->ops->free(s->s);
    *s = (struct stream){ 0 };
}

/* The engine as a stream. */
struct sftp_stream {
    struct engine *engine;
    bool eof;
};

static size_t sftp_room(const void *s)
{
    return engine_room(((const struct sftp_stream *)s)->engine);
}

static int sftp_feed(void *s, const void *bytes, size_t len)
{
    return engine_feed(((struct sftp_stream *)s)->engine, bytes, len);
}

static void sftp_eof(void *s)
{
    ((struct sftp_stream *)s)->eof = true;
}

static int sftp_step(void *s)
{
    struct sftp_stream *f = s;
    size_t len;
    int r = engine_step(f->engine);
    if (r != 0)
        return r < 0 ? r : STREAM_MORE;
    engine_output(f->engine, &len);
    return f->eof && len == 0 && !engine_waits(f->engine) ? STREAM_ENDED : STREAM_WAITS;
}

static const void *sftp_output(const void *s, size_t *ret_len)
{
    return engine_output(((const struct sftp_stream *)s)->engine, ret_len);
}

static void sftp_sent(void *s, size_t len)
{
    engine_sent(((struct sftp_stream *)s)->engine, len);
}

static int sftp_status(const void *s)
{
    (void)s;
    return 0;
}

static void sftp_trim(void *s)
{
    engine_trim(((struct sftp_stream *)s)->engine);
}

static void sftp_free(void *s)
{
    engine_free(((struct sftp_stream *)s)->engine);
    free(s);
}

static const void *sftp_notices(const void *s, size_t *ret_len)
{
    return engine_notices(((const struct sftp_stream *)s)->engine, ret_len);
}

static void sftp_notices_sent(void *s)
{
    engine_notices_sent(((struct sftp_stream *)s)->engine);
}

static const struct stream_ops sftp_ops = { sftp_room,   sftp_feed,    sftp_eof,         sftp_step,
                                            sftp_output, sftp_sent,    sftp_status,      sftp_trim,
                                            sftp_free,   sftp_notices, sftp_notices_sent };

int stream_sftp(struct account *a, struct stream *ret)
{
    struct sftp_stream *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    int r = engine_new(a, &f->engine);
    if (r < 0) {
        free(f);
        return r;
    }
    *ret = (struct stream){ &sftp_ops, f };
    return 0;
}
