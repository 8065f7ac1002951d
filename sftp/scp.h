/* Inside SCP: the machine that sink and source share. */
#pragma once

#include "sftp/home_file.h"
#include "sftp/queue.h"
#include "sftp/stream.h"

enum {
    SCP_LINE_MAX = 4096 + 64,
    SCP_INPUT_MAX = 256 * 1024,
    SCP_OUTPUT_MARK = 256 * 1024,
    SCP_OUTPUT_MAX = SCP_OUTPUT_MARK + 128 * 1024,
    SCP_DEPTH_MAX = 64,
    SCP_DRAIN_MAX = 256 << 20,
};

enum scp_state {
    SCP_START,
    SCP_LINE,    /* sink: wants a line */
    SCP_CONTENT, /* sink: content of a file; source: sends it */
    SCP_AFTER,   /* sink: the zero byte behind the content */
    SCP_HEAD,    /* source: the next item's line */
    SCP_WAIT,    /* source: a zero byte, then `next` */
    SCP_ENDED,
};

/* A directory that is being filled or sent. */
struct scp_level {
    char *path; /* owned */
    int fd;     /* source: open; -1 */
    size_t used, filled;
    bool ended;
    uint8_t *names; /* owned: getdents */
    uint32_t mtime_s, atime_s;
    bool has_times;
};

struct scp {
    struct account *account; /* borrowed */
    bool is_sink, recursive, times, eof, started;
    char *path; /* the argument, clean */
    char *line; /* the command, for the log */
    enum scp_state state, next;
    int failed;
    struct queue in, out;
    struct scp_level levels[SCP_DEPTH_MAX];
    size_t depth;
    struct home_file *file; /* owned */
    uint64_t off, left;
    bool drains; /* sink: a write was refused, the rest of the content is read and forgotten */
    bool has_times;
    uint32_t mtime_s, atime_s;
    bool target_is_dir; /* sink: names are appended to path */
};

int scp_sink_step(struct scp *c);
int scp_source_step(struct scp *c);

int scp_refuse(struct scp *c, int r, const char *text); /* tells the other side and ends */
int scp_end(struct scp *c, int r);
void scp_zero(struct scp *c);
int scp_line(struct scp *c, char **ret);
int scp_answer(struct scp *c);
int scp_join(const char *dir, const char *name, char **ret);
void scp_level_pop(struct scp *c);
