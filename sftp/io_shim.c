#include "sftp/io_shim.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SHIM_BYTES = 256 * 1024, ANSWERED_MAX = 16 };

static struct {
    bool on;
    int fd;
    size_t at, filled;
    unsigned answered; /* polls without the kernel, since it was asked */
    uint8_t bytes[SHIM_BYTES];
} shim;

static unsigned seen_calls;

bool io_shim_pending(void)
{
    return shim.on && shim.at < shim.filled;
}

/* The plain calls, past libc's names, which are ours. */
static ssize_t real_recv(int fd, void *buf, size_t len, int flags)
{
    return (ssize_t)syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

static int real_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    return (int)syscall(SYS_poll, fds, n, timeout);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    seen_calls++;
    if (!shim.on || fd != shim.fd || flags != 0)
        return real_recv(fd, buf, len, flags);
    if (shim.at == shim.filled) {
        ssize_t n = real_recv(fd, shim.bytes, sizeof(shim.bytes), 0);
        if (n <= 0)
            return n;
        shim.at = 0;
        shim.filled = (size_t)n;
    }
    size_t n = MIN(len, shim.filled - shim.at);
    __builtin_memcpy(buf, shim.bytes + shim.at, n);
    shim.at += n;
    return (ssize_t)n;
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    bool own = shim.on && fd == shim.fd;
    ssize_t n = (ssize_t)syscall(SYS_sendto, fd, buf, len, own ? flags | MSG_NOSIGNAL : flags, NULL, 0);
    return n < 0 && errno == EAGAIN && own ? 0 : n;
}

/* With bytes in hand our descriptor is readable, and that is enough of an answer: libssh asks for POLLOUT each time,
 * and the kernel's answer to it would cost more than the reading. It is asked now and then, so that answers go out
 * while much comes in. */
int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct pollfd *own = NULL;

    for (nfds_t i = 0; i < n && io_shim_pending(); i++)
        if (fds[i].fd == shim.fd && fds[i].events & POLLIN)
            own = &fds[i];
    if (!own)
        return real_poll(fds, n, timeout);
    if (++shim.answered >= ANSWERED_MAX) {
        shim.answered = 0;
        if (real_poll(fds, n, 0) < 0)
            return -1;
    } else {
        for (nfds_t i = 0; i < n; i++)
            fds[i].revents = 0;
    }
    own->revents = (short)(own->revents | POLLIN);
    int ready = 0;
    for (nfds_t i = 0; i < n; i++)
        ready += fds[i].revents != 0;
    return ready;
}

unsigned io_shim_calls(void)
{
    return seen_calls;
}

int io_shim_start(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    shim.fd = fd;
    shim.at = shim.filled = 0;
    shim.on = true;
    return 0;
}
