#include "sftp/setstat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"

static int at_flags(const struct setstat_target *t)
{
    return t->name[0] ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
}

static int set_times(struct account *a, const struct setstat_target *t, const struct attrs *at)
{
    char atime[24], mtime[24];
    const struct timespec ts[2] = { { .tv_sec = at->atime_s }, { .tv_sec = at->mtime_s } };
    int r = t->name[0] ? sys->utimensat(t->fd, t->name, ts, AT_SYMLINK_NOFOLLOW) : open_set_times(t->fd, ts);
    if (r < 0)
        return r;
    if (t->writing) {
        t->writing->has_times = true;
        memcpy(t->writing->times, ts, sizeof(ts));
    }
    snprintf(atime, sizeof(atime), "%" PRIu32, at->atime_s);
    snprintf(mtime, sizeof(mtime), "%" PRIu32, at->mtime_s);
    activity_command(a->activity, "Chtimes", t->path, NULL, &(struct activity_numbers){ "", -1, -1, -1, atime, mtime });
    return 0;
}

static int set_mode(struct account *a, const struct setstat_target *t, const struct attrs *at)
{
    char mode[16];
    int r = t->name[0] ? sys->fchmodat(t->fd, t->name, at->mode & 07777) : open_set_mode(t->fd, at->mode & 07777);
    if (r < 0)
        return r;
    snprintf(mode, sizeof(mode), "%04" PRIo32, at->mode & 07777);
    activity_command(a->activity, "Chmod", t->path, NULL, &(struct activity_numbers){ mode, -1, -1, -1, "", "" });
    return 0;
}

static int set_owner(struct account *a, const struct setstat_target *t, const struct attrs *at)
{
    int r = sys->fchownat(t->fd, t->name, at->uid, at->gid, at_flags(t));
    if (r < 0)
        return r;
    activity_command(a->activity, "Chown", t->path, NULL,
                     &(struct activity_numbers){ "", at->uid, at->gid, -1, "", "" });
    return 0;
}

static int truncate_place(struct account *a, const struct place *at, uint64_t size)
{
    struct stat st;
    int r = home_file_size_allowed(a, size);
    if (r < 0)
        return r;
    CLEANUP(fd_close) int fd = place_open(at, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);
    if (r < 0)
        return r;
    return S_ISREG(st.st_mode) ? sys->ftruncate(fd, size) : -EINVAL;
}

static int set_size(struct account *a, const struct setstat_target *t, const struct attrs *at)
{
    if (at->size > INT64_MAX)
        return -EFBIG;
    int r = t->file ? home_file_resize(a, t->file, at->size) : t->at ? truncate_place(a, t->at, at->size) : -EISDIR;
    if (r < 0)
        return r;
    activity_command(a->activity, "Truncate", t->path, NULL,
                     &(struct activity_numbers){ "", -1, -1, (int64_t)at->size, "", "" });
    return 0;
}

static const struct {
    uint32_t flag;
    uint32_t right;
    bool always; /* also where setstat_mode says to ignore */
    int (*set)(struct account *a, const struct setstat_target *t, const struct attrs *at);
} steps[] = {
    { ATTR_ACMODTIME, MAY_CHTIMES, false, set_times },
    { ATTR_PERMISSIONS, MAY_CHMOD, false, set_mode },
    { ATTR_UIDGID, MAY_CHOWN, false, set_owner },
    { ATTR_SIZE, MAY_OVERWRITE, true, set_size },
};

/* Who uploads a file may set its times and mode while it is open? No: the right is needed, as in SFTPGo. */
int setstat(struct account *a, const struct setstat_target *t, const struct attrs *at)
{
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (!(at->flags & steps[i].flag))
            continue;
        if (!(t->rights & steps[i].right))
            return -EACCES;
        if (a->setstat_mode != SETSTAT_DO && !steps[i].always)
            continue;
        int r = steps[i].set(a, t, at);
        if (r < 0)
            return r;
    }
    return 0;
}
