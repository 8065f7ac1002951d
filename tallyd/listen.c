#include "tallyd/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"

enum { BACKLOG = 1024 };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
    socklen_t len;
};

static int address_parse(const char *text, uint32_t port, struct address *ret)
{
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, text, &ret->u.v4.sin_addr) == 1) {
        ret->u.v4.sin_family = AF_INET;
        ret->u.v4.sin_port = htons((uint16_t)port);
        ret->len = sizeof ret->u.v4;
        return 0;
    }
    if (text[0] != '\0' && inet_pton(AF_INET6, text, &ret->u.v6.sin6_addr) != 1)
        return -EINVAL;
    ret->u.v6.sin6_family = AF_INET6;
    ret->u.v6.sin6_port = htons((uint16_t)port);
    ret->len = sizeof ret->u.v6;
    return 0;
}

static int socket_listen(const struct address *a, int *ret_fd)
{
    CLEANUP(fd_close) int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    static const int on = 1;
    static const int off = 0;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return -errno;
    if (a->u.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return -errno;
    if (bind(fd, &a->u.any, a->len) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

int listen_tcp(const char *address, uint32_t port, const char *what, int *ret_fd, struct why *reterr_why)
{
    struct address a;
    int r = address_parse(address, port, &a);

    if (r < 0)
        return why_set(reterr_why, r, what, "\"%s\" is not an IP address", address);
    r = socket_listen(&a, ret_fd);
    if (r == -EAFNOSUPPORT && address[0] == '\0') { /* a kernel without IPv6 */
        IGNORE(address_parse("0.0.0.0", port, &a), "a constant");
        r = socket_listen(&a, ret_fd);
    }
    if (r == -EADDRINUSE)
        return why_set(reterr_why, r, what,
                       "port %u is taken by another program (ss -ltnp 'sport = :%u' shows which); stop it or choose "
                       "another port",
                       port, port);
    if (r < 0)
        return why_set(reterr_why, r, what, "cannot listen on %s port %u: %s", address[0] ? address : "all addresses",
                       port, error_text(r));
    return 0;
}

/* Does a program answer behind this socket file? */
static bool unix_is_alive(const struct sockaddr_un *a)
{
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) == 0;
}

static int unix_listen(const struct sockaddr_un *a, gid_t group, int *ret_fd)
{
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (lstat(a->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return -EEXIST; /* somebody's file: not ours to take away */
    if (unix_is_alive(a))
        return -EADDRINUSE;
    unlink(a->sun_path);
    mode_t mask = umask(0117);
    int r = bind(fd, (const struct sockaddr *)a, sizeof *a) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0 && (lchown(a->sun_path, 0, group) < 0 || listen(fd, BACKLOG) < 0))
        r = -errno;
    if (r == 0)
        *ret_fd = take_fd(&fd);
    return r;
}

int listen_unix(const char *path, gid_t group, const char *what, int *ret_fd, struct why *reterr_why)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (!str_set(a.sun_path, sizeof a.sun_path, path))
        return why_set(reterr_why, -ENAMETOOLONG, what, "the path of a Unix socket has at most %zu bytes: %s",
                       sizeof a.sun_path - 1, path);
    int r = unix_listen(&a, group, ret_fd);
    if (r == -EADDRINUSE)
        return why_set(reterr_why, r, what, "%s is served by another program already; stop it or choose another path",
                       path);
    if (r == -EEXIST)
        return why_set(reterr_why, r, what, "%s is there and no socket; move it away or choose another path", path);
    if (r < 0)
        return why_set(reterr_why, r, what, "cannot listen on %s: %s", path, error_text(r));
    return 0;
}

int listen_activated(const char *name)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(0, &names), found = -1;

    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (found < 0 && strcmp(names[i], name) == 0 && sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
            found = fcntl(fd, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + n);
        free(names[i]);
    }
    free(names);
    if (found >= 0)
        fcntl(found, F_SETFL, O_NONBLOCK);
    return found;
}
