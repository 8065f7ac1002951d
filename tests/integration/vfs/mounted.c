#include "tests/integration/vfs/mounted.h"

#include <errno.h>

static struct vfs_bed bed;
static unsigned homes;

int mounted_setup(void **state)
{
    bed_start(&bed);
    *state = &bed;
    return 0;
}

int mounted_teardown(void **state)
{
    (void)state;
    bed_stop(&bed);
    return 0;
}

int err(int64_t r)
{
    return r < 0 ? -errno : (int)r;
}

void home_open(struct vfs_bed *b, struct home_of *h, const char *name, int64_t id)
{
    char path[256];

    *h = (struct home_of){ .bed = b, .id = id };
    assert_true(id > 0);
    snprintf(h->name, sizeof h->name, "%s", name);
    snprintf(h->backing, sizeof h->backing, "%s/%s", b->data, name);
    snprintf(path, sizeof path, "%s/%s", b->mnt, name);
    h->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->dir < 0)
        fail_msg("%s: %s", path, strerror(errno)); /* banned strerror: a test prints it */
}

void home_new(struct vfs_bed *b, struct home_of *h, uint64_t bytes, uint64_t files)
{
    char name[32];

    snprintf(name, sizeof name, "u%u", ++homes);
    home_open(b, h, name, bed_quota(b, name, bytes, files));
}

void home_close(struct home_of *h)
{
    if (h->dir >= 0)
        close(h->dir);
    h->dir = -1;
}

static int64_t write_all(int fd, size_t len, off_t off, bool seek)
{
    char *buf = calloc(1, len + 1);
    ssize_t n = seek ? pwrite(fd, buf, len, off) : write(fd, buf, len);
    int64_t r = n < 0 ? -errno : n;

    free(buf);
    close(fd);
    return r;
}

int64_t put(int dir, const char *name, size_t len)
{
    int fd = openat(dir, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

    return fd < 0 ? -errno : write_all(fd, len, 0, false);
}

int64_t append(int dir, const char *name, size_t len)
{
    int fd = openat(dir, name, O_APPEND | O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : write_all(fd, len, 0, false);
}

int64_t write_at(int dir, const char *name, size_t len, off_t off)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : write_all(fd, len, off, true);
}

int64_t size_of(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : st.st_size;
}

void rows_equal(const char *name, int64_t is, int64_t should)
{
    if (is != should)
        fail_msg("%s: %lld instead of %lld", name, (long long)is, (long long)should);
}
