/* What runs in a channel: the SFTP engine, an SSH command, SCP. Bytes in, bytes out, and an exit status at the end. */
#pragma once

#include "sftp/account.h"

enum { STREAM_WAITS, STREAM_MORE, STREAM_ENDED };

struct stream_ops {
    size_t (*room)(const void *s);
    int (*feed)(void *s, const void *bytes, size_t len);
    void (*eof)(void *s); /* the client sends no more */
    int (*step)(void *s); /* STREAM_*; negative: the stream is broken */
    const void *(*output)(const void *s, size_t *ret_len);
    void (*sent)(void *s, size_t len);
    int (*status)(const void *s); /* exit status, once STREAM_ENDED */
    void (*trim)(void *s);
    void (*free)(void *s);
    const void *(*notices)(const void *s, size_t *ret_len); /* for the standard error; NULL: it has none */
    void (*notices_sent)(void *s);
};

struct stream {
    const struct stream_ops *ops; /* NULL: nothing runs */
    void *s;                      /* owned */
};

/* stream_sftp - the engine. stream_command - an exec request: -EOPNOTSUPP for what is not ours, -EINVAL for a line that
 * cannot be read. */
int stream_sftp(struct account *a, struct stream *ret) MUST_CHECK;
int stream_command(struct account *a, const char *line, struct stream *ret) MUST_CHECK;
void stream_free(struct stream *s);

/* words_split - a command line as a shell would, without any expansion. -EINVAL: an open quote; -E2BIG. */
enum { WORDS_MAX = 64, COMMAND_LINE_MAX = 8192 };
struct words {
    char *text; /* owned; v points into it */
    char *v[WORDS_MAX];
    size_t n;
};
int words_split(const char *line, struct words *ret) MUST_CHECK;
void words_done(struct words *w);

/* scp.c: `scp -t|-f [-r] [-p] [-d] [-v] path` */
int stream_scp(struct account *a, const struct words *w, struct stream *ret) MUST_CHECK;
