/* sftp-stdio: the engine between standard input and output, for tests, fuzzing and `sftp -D`. */
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "sftp/engine.h"
#include "sftp/sftpd.h"

struct stdio_options {
    const char *dir;
    bool read_only;
    uint32_t upload_mode;
};

static int parse(int argc, char **argv, struct stdio_options *ret)
{
    struct stdio_options o = { .dir = "." };
    int64_t n;
    int c;

    optind = 1;
    while ((c = getopt(argc, argv, "Rd:m:")) != -1) {
        if (c == 'R')
            o.read_only = true;
        else if (c == 'd')
            o.dir = optarg;
        else if (c == 'm' && str_int(optarg, 0, 2, &n) == 0)
            o.upload_mode = (uint32_t)n;
        else
            return -EINVAL;
    }
    *ret = o;
    return optind == argc ? 0 : -EINVAL;
}

/* 0 at the end of the input. */
static int fill(struct engine *e, size_t room)
{
    static uint8_t buf[65536];
    ssize_t n = read(STDIN_FILENO, buf, MIN(room, sizeof(buf)));
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : -errno;
    if (n == 0)
        return 0;
    int r = engine_feed(e, buf, (size_t)n);
    return r < 0 ? r : 1;
}

static int drain(struct engine *e)
{
    size_t len;
    const void *out = engine_output(e, &len);
    ssize_t n = write(STDOUT_FILENO, out, len);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    engine_sent(e, (size_t)n);
    return 0;
}

/* Reads while the other side does not read, up to the engine's bounds: a client that sends many requests before it
 * looks at an answer would else wait for us while we wait for it. */
static int serve(struct engine *e)
{
    bool eof = false;
    for (;;) {
        size_t len, room = engine_room(e);
        int r = engine_step(e);
        engine_output(e, &len);
        if (r < 0 || (r == 0 && eof && len == 0))
            return r;
        struct pollfd p[2] = { { .fd = room > 0 && !eof ? STDIN_FILENO : -1, .events = POLLIN },
                               { .fd = len > 0 ? STDOUT_FILENO : -1, .events = POLLOUT } };
        if (poll(p, 2, r == 1 ? 0 : -1) < 0 && errno != EINTR)
            return -errno;
        if (p[1].revents && (r = drain(e)) < 0)
            return r;
        if (p[0].revents && (r = fill(e, engine_room(e))) <= 0) {
            if (r < 0)
                return r;
            eof = true;
        }
    }
}

int sftp_stdio_main(int argc, char **argv)
{
    struct stdio_options o;
    if (parse(argc, argv, &o) < 0) {
        log_error("usage: sftp-stdio [-R] [-d DIR] [-m UPLOAD_MODE]");
        return 2;
    }
    tzset();
    struct dir_perms all = { .path = (char[]){ "/" }, .perms = MAY_ALL };
    struct user user = { .username = (char[]){ "stdio" }, .permissions = { &all, 1 } };
    struct activity activity = { .protocol = "SFTP" };
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC };
    struct account account = {
        .home.fd = sys->openat2(AT_FDCWD, o.dir, &how),
        .user = &user,
        .activity = &activity,
        .upload_mode = o.upload_mode,
        .read_only = o.read_only,
        .uid = getuid(),
        .gid = getgid(),
    };
    if (account.home.fd < 0) {
        log_fail(account.home.fd, "cannot open %s", o.dir);
        return 1;
    }
    struct engine *e = NULL;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    int r = engine_new(&account, &e);
    if (r == 0 && fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK) < 0)
        r = -errno;
    if (r == 0)
        r = serve(e);
    IGNORE(fcntl(STDOUT_FILENO, F_SETFL, flags), "others may share it");
    engine_free(e);
    fd_close(&account.home.fd);
    if (r < 0)
        log_fail(r, "SFTP session ended");
    return r < 0;
}
