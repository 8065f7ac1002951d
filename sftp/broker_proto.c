#include "sftp/broker_proto.h"

#include <string.h>
#include <sys/socket.h>

static int send_message(int fd, const struct queue *message, const int *fds, size_t fds_n, int flags)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * BROKER_FDS_MAX)];
    } control = { 0 };
    struct iovec iov = { .iov_base = message->v + message->head, .iov_len = message->len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (message->failed)
        return message->failed;
    if (fds_n > 0) {
        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * fds_n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds_n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fds_n);
    }
    ssize_t n;
    do
        n = fds_n > 0 ? sendmsg(fd, &m, flags) : send(fd, iov.iov_base, iov.iov_len, flags);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int broker_send(int fd, const struct queue *message, const int *fds, size_t fds_n)
{
    return send_message(fd, message, fds, fds_n, MSG_NOSIGNAL);
}

int broker_send_now(int fd, const struct queue *message, const int *fds, size_t fds_n)
{
    return send_message(fd, message, fds, fds_n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take_fds(struct msghdr *m, int ret_fds[BROKER_FDS_MAX])
{
    size_t taken = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (taken < BROKER_FDS_MAX)
                ret_fds[taken++] = fd;
            else
                fd_close(&fd);
        }
    }
}

static ssize_t receive_plain(int fd, void *buf, size_t room)
{
    ssize_t n;
    do
        n = recv(fd, buf, room, MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    return (size_t)n > room ? -EBADMSG : n;
}

ssize_t broker_receive(int fd, void *buf, size_t room, int *ret_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * BROKER_FDS_MAX)];
    } control;
    struct iovec iov = { .iov_base = buf, .iov_len = room };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)
    };
    ssize_t n;

    if (!ret_fds)
        return receive_plain(fd, buf, room);
    for (size_t i = 0; i < BROKER_FDS_MAX; i++)
        ret_fds[i] = -1;
    do
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    take_fds(&m, ret_fds);
    if (m.msg_flags & MSG_TRUNC) {
        for (size_t i = 0; i < BROKER_FDS_MAX; i++)
            fd_close(&ret_fds[i]);
        return -EBADMSG;
    }
    return n;
}
