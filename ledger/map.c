/* A mapped file that grows without moving: the whole range that it may ever have is mapped at once, and growth only
 * makes the file longer. Pages past its end would be SIGBUS, so nobody touches them before map_grow() has returned.
 * Blocks are allocated at growth, because a hole that cannot be filled later is SIGBUS, too, and not an error that
 * somebody can handle. */
#include <string.h>
#include <sys/mman.h>

#include "ledger/inside.h"

enum { MAP_CHUNK = 1 << 20, MAP_HEAD = 4096 };

int map_open(struct map *m, int dir, const char *name, uint64_t max)
{
    CLEANUP(fd_close) int fd = sys_open_beneath(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return fd;
    int64_t size = sys->size(fd);
    if (size < 0)
        return (int)size;
    void *base = mmap(NULL, max, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED)
        return -ENOMEM;
    *m = (struct map){ .fd = take_fd(&fd), .base = base, .bytes = MIN((uint64_t)size, max), .max = max };
    return 0;
}

void map_close(struct map *m)
{
    if (m->base)
        munmap(m->base, m->max);
    m->base = NULL;
    fd_close(&m->fd);
}

int map_grow(struct map *m, uint64_t bytes)
{
    if (bytes <= m->bytes)
        return 0;
    if (bytes > m->max)
        return -ENOSPC;
    uint64_t to = MIN((bytes + MAP_CHUNK - 1) / MAP_CHUNK * MAP_CHUNK, m->max);
    int r = sys->fallocate(m->fd, 0, m->bytes, to - m->bytes);
    if (r == -EOPNOTSUPP)
        r = sys->ftruncate(m->fd, to);
    if (r == 0)
        m->bytes = to;
    return r;
}

int map_clear(struct map *m)
{
    memset(m->base, 0, m->bytes);
    return 0;
}

int map_sync(struct map *m)
{
    return sys->msync(m->base, m->bytes) == 0 ? 0 : -EIO;
}

int map_sync_head(struct map *m)
{
    return sys->msync(m->base, MAP_HEAD) == 0 ? 0 : -EIO;
}
