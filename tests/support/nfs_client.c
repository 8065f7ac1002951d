/* nfs_client: one NFSv4 request sequence a process, for tests of homes that an NFS server exports.
 *
 *   nfs_client PORT EXPORT put LOCAL REMOTE        creates or replaces REMOTE with what LOCAL holds ("-": stdin)
 *   nfs_client PORT EXPORT append LOCAL REMOTE     writes behind REMOTE's end
 *   nfs_client PORT EXPORT get REMOTE LOCAL        reads REMOTE into LOCAL ("-": stdout)
 *   nfs_client PORT EXPORT truncate REMOTE BYTES
 *   nfs_client PORT EXPORT rm|rmdir|mkdir REMOTE
 *   nfs_client PORT EXPORT mv|ln FROM TO
 *   nfs_client PORT EXPORT stat REMOTE             prints size and number of links
 *   nfs_client PORT EXPORT hold REMOTE             writes a byte, commits, locks the file, says "held", waits for the
 *                                                  end of stdin, unlocks
 *
 * The server is on 127.0.0.1. REMOTE is a path below the export (pseudo path) EXPORT. Exit status 0; 1 with one line
 * "nfs_client: WHAT: ERRNO-NAME: text of libnfs" on stderr; 2 for wrong usage. A process a command, so that nothing is
 * cached on this side and the server sees a new client each time.
 *
 * libnfs 4.0 cannot encode an NFSv4 request of more than 4096 bytes, headers included (4000 bytes of content are too
 * many), so content goes in pieces of 3072; its nfs_creat() opens for reading only. Its errno is not always that of the
 * server, but its text has the name: NFS4ERR_DQUOT. Source: nfsc/libnfs.h. */
#include <fcntl.h>
#include <nfsc/libnfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/defs.h"
#include "base/str.h"

enum { PIECE_BYTES = 3072, TIMEOUT_MS = 20000, LOCKED_BYTES = 1 << 30 };

typedef int command_fn(struct nfs_context *nfs, const char *a, const char *b);

static int local_open(const char *path, int flags)
{
    if (strcmp(path, "-") == 0)
        return dup(flags == O_RDONLY ? STDIN_FILENO : STDOUT_FILENO);
    return open(path, flags | O_CLOEXEC, 0600);
}

/* Fills the piece, so that a pipe on stdin makes the same writes as a file. */
static ssize_t local_read(int fd, char *buf)
{
    size_t len = 0;

    while (len < PIECE_BYTES) {
        ssize_t n = read(fd, buf + len, PIECE_BYTES - len);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* Writes the whole piece; a server may take less of it (the part that fits a quota). */
static int piece_write(struct nfs_context *nfs, struct nfsfh *to, uint64_t off, char *buf, size_t len)
{
    while (len > 0) {
        int n = nfs_pwrite(nfs, to, off, len, buf);
        if (n <= 0)
            return n < 0 ? n : -EIO;
        buf += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int content_write(struct nfs_context *nfs, struct nfsfh *to, uint64_t off, int from)
{
    char buf[PIECE_BYTES];
    ssize_t n;

    while ((n = local_read(from, buf)) > 0) {
        int r = piece_write(nfs, to, off, buf, (size_t)n);
        if (r < 0)
            return r;
        off += (uint64_t)n;
    }
    return (int)n;
}

/* Closing is part of the result: a server may tell only then that the disk is full. */
static int file_fill(struct nfs_context *nfs, struct nfsfh *to, uint64_t off, const char *local)
{
    CLEANUP(fd_close) int from = local_open(local, O_RDONLY);
    int r = from < 0 ? -errno : content_write(nfs, to, off, from);
    int closed = nfs_close(nfs, to);
    return r < 0 ? r : closed;
}

static int command_put(struct nfs_context *nfs, const char *local, const char *remote)
{
    struct nfsfh *to;
    int r = nfs_open2(nfs, remote, O_WRONLY | O_CREAT | O_TRUNC, 0644, &to);
    return r < 0 ? r : file_fill(nfs, to, 0, local);
}

static int command_append(struct nfs_context *nfs, const char *local, const char *remote)
{
    struct nfs_stat_64 st;
    struct nfsfh *to;
    int r = nfs_stat64(nfs, remote, &st);
    if (r == 0)
        r = nfs_open(nfs, remote, O_WRONLY, &to);
    return r < 0 ? r : file_fill(nfs, to, st.nfs_size, local);
}

static int content_read(struct nfs_context *nfs, struct nfsfh *from, int to)
{
    char buf[PIECE_BYTES];
    int n;

    while ((n = nfs_read(nfs, from, sizeof buf, buf)) > 0)
        if (write(to, buf, (size_t)n) != n)
            return -EIO;
    return n;
}

static int command_get(struct nfs_context *nfs, const char *remote, const char *local)
{
    CLEANUP(fd_close) int to = local_open(local, O_WRONLY | O_CREAT | O_TRUNC);
    struct nfsfh *from;

    if (to < 0)
        return -errno;
    int r = nfs_open(nfs, remote, O_RDONLY, &from);
    if (r < 0)
        return r;
    r = content_read(nfs, from, to);
    int closed = nfs_close(nfs, from);
    return r < 0 ? r : closed;
}

static int command_truncate(struct nfs_context *nfs, const char *remote, const char *bytes)
{
    int64_t size;
    int r = str_int(bytes, 0, INT64_MAX, &size);
    return r < 0 ? r : nfs_truncate(nfs, remote, (uint64_t)size);
}

static int command_stat(struct nfs_context *nfs, const char *remote, const char *unused)
{
    struct nfs_stat_64 st;
    int r = nfs_stat64(nfs, remote, &st);

    (void)unused;
    if (r == 0)
        printf("%llu %llu\n", (unsigned long long)st.nfs_size, (unsigned long long)st.nfs_nlink);
    return r;
}

static int command_rm(struct nfs_context *nfs, const char *remote, const char *unused)
{
    (void)unused;
    return nfs_unlink(nfs, remote);
}

static int command_rmdir(struct nfs_context *nfs, const char *remote, const char *unused)
{
    (void)unused;
    return nfs_rmdir(nfs, remote);
}

static int command_mkdir(struct nfs_context *nfs, const char *remote, const char *unused)
{
    (void)unused;
    return nfs_mkdir(nfs, remote);
}

static int held_await(struct nfs_context *nfs, struct nfsfh *file)
{
    char c;

    printf("held\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return nfs_lockf(nfs, file, NFS4_F_ULOCK, LOCKED_BYTES);
}

static int command_hold(struct nfs_context *nfs, const char *remote, const char *unused)
{
    struct nfsfh *file = NULL;
    char byte = 'h';
    int r = nfs_open(nfs, remote, O_RDWR, &file);

    (void)unused;
    if (r < 0)
        return r;
    r = nfs_pwrite(nfs, file, 0, 1, &byte);
    if (r >= 0)
        r = nfs_fsync(nfs, file);
    if (r >= 0)
        r = nfs_lockf(nfs, file, NFS4_F_TLOCK, LOCKED_BYTES);
    if (r < 0)
        return r;
    r = held_await(nfs, file);
    IGNORE(nfs_close(nfs, file), "libnfs 4.0 counts wrong after a lock: NFS4ERR_BAD_SEQID");
    return r;
}

static const struct command {
    const char *name;
    int args;
    command_fn *run;
} commands[] = {
    { "put", 2, command_put },   { "append", 2, command_append }, { "get", 2, command_get },
    { "mv", 2, nfs_rename },     { "ln", 2, nfs_link },           { "truncate", 2, command_truncate },
    { "rm", 1, command_rm },     { "rmdir", 1, command_rmdir },   { "mkdir", 1, command_mkdir },
    { "stat", 1, command_stat }, { "hold", 1, command_hold },
};

static const struct command *command_find(const char *name, int args)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i].name, name) == 0 && commands[i].args == args)
            return &commands[i];
    return NULL;
}

/* A port can only be given in a URL; parsing one sets it in the context. */
static int context_set_port(struct nfs_context *nfs, const char *port)
{
    char url[128];

    snprintf(url, sizeof url, "nfs://127.0.0.1/?version=4&nfsport=%s", port);
    struct nfs_url *parsed = nfs_parse_url_incomplete(nfs, url);
    if (!parsed)
        return -EINVAL;
    nfs_destroy_url(parsed);
    return 0;
}

static int context_mount(struct nfs_context *nfs, const char *port, const char *export)
{
    int r = context_set_port(nfs, port);

    if (r < 0)
        return r;
    nfs_set_timeout(nfs, TIMEOUT_MS);
    return nfs_mount(nfs, "127.0.0.1", export);
}

static int fail(struct nfs_context *nfs, int r, const char *what)
{
    const char *name = strerrorname_np(-r);
    fprintf(stderr, "nfs_client: %s: %s: %s\n", what, name ? name : "?", nfs ? nfs_get_error(nfs) : "no context");
    return 1;
}

static int run(struct nfs_context *nfs, char **argv, const struct command *c)
{
    int r = context_mount(nfs, argv[1], argv[2]);
    if (r < 0)
        return fail(nfs, r, "mount");
    r = c->run(nfs, argv[4], c->args > 1 ? argv[5] : NULL);
    return r < 0 ? fail(nfs, r, c->name) : 0;
}

int main(int argc, char **argv)
{
    const struct command *c = argc > 4 ? command_find(argv[3], argc - 4) : NULL;
    int64_t port;

    if (!c || str_int(argv[1], 1, 65535, &port) < 0) {
        fprintf(stderr, "usage: nfs_client PORT EXPORT COMMAND ARGUMENTS; commands are listed in %s\n", __FILE__);
        return 2;
    }
    struct nfs_context *nfs = nfs_init_context();
    if (!nfs)
        return fail(NULL, -ENOMEM, "start");
    int status = run(nfs, argv, c);
    nfs_destroy_context(nfs);
    return status;
}
