/* A dump holds every password hash, so its file is never readable by others, not even for a moment, and never half
 * there. Each step of a name is opened by itself and no symbolic link is followed: who can write below backups_path may
 * not choose another place. */
#include "api/backup.h"

#include <stdio.h>
#include <string.h>

#include "api/request.h"
#include "base/sys.h"

enum { READ_STEP = 1 << 16 };

const char *backup_name_check(const char *name)
{
    if (*name == '\0')
        return "it is missing";
    if (*name == '/')
        return "it must be a relative path";
    if (strstr(name, "..") != NULL)
        return "it must not contain \"..\"";
    size_t len = strlen(name);
    if (name[len - 1] == '/')
        return "it must name a file";
    return len < 1024 ? NULL : "it is too long";
}

/* ---- writing ---- */

/* backups_path itself: relative to state_dir, or absolute, which then needs no state_dir. */
static int backups_open(const struct config *c)
{
    const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
    CLEANUP(fd_close) int state = sys->openat2(AT_FDCWD, c->state_dir, &how);

    return state < 0 ? state : sys->openat2(state, c->data_provider.backups_path, &how);
}

/* One directory below `dir`, which is closed; made if it is not there. */
static int step_into(int dir, const char *name)
{
    int r = sys->mkdirat(dir, name, 0700);
    int inner =
        r == 0 || r == -EEXIST ? sys_open_beneath(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0) : r;

    fd_close(&dir);
    return inner;
}

/* The directory of a file, and its last name, which points into `name` (which is cut up). */
static int parent_open(const struct config *c, char *name, const char **ret_last)
{
    int dir = backups_open(c);
    char *at = name;
    unsigned depth = 0;

    for (char *slash; dir >= 0 && (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        *slash = '\0';
        if (*at == '\0' || strcmp(at, ".") == 0)
            continue;
        dir = ++depth > BACKUP_DEPTH_MAX ? (fd_close(&dir), -ENAMETOOLONG) : step_into(dir, at);
    }
    *ret_last = at;
    return dir;
}

static int write_all(int fd, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = sys->pwrite(fd, text + at, len - at, at);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        at += (size_t)n;
    }
    return sys->fsync(fd, false);
}

int backup_write(const struct config *c, const char *name, const char *text, size_t len)
{
    CLEANUP(mem_free) char *steps = strdup(name);
    char id[REQUEST_ID_LEN + 1], temporary[REQUEST_ID_LEN + 16];
    const char *last;

    if (steps == NULL)
        return -ENOMEM;
    CLEANUP(fd_close) int dir = parent_open(c, steps, &last);
    if (dir < 0)
        return dir;
    xid_new(id);
    snprintf(temporary, sizeof temporary, ".dump-%s", id);
    CLEANUP(fd_close) int fd = sys_open_beneath(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    int r = write_all(fd, text, len);
    if (r == 0)
        r = sys->renameat2(dir, temporary, dir, last, 0);
    if (r == 0)
        return sys->fsync(dir, false);
    IGNORE(sys->unlinkat(dir, temporary, 0), "the first failure is the one to tell");
    return r;
}

/* ---- reading ---- */

int backup_open(const char *path)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path, &how);
    struct stat st;

    int r = fd < 0 ? fd : sys->fstatat(fd, "", &st, AT_EMPTY_PATH);
    if (r < 0)
        return r;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    return S_ISREG(st.st_mode) ? take_fd(&fd) : -EINVAL;
}

int backup_read(int fd, struct strbuf *to)
{
    char block[READ_STEP];
    size_t before = to->len;

    for (;;) {
        ssize_t n = sys->pread(fd, block, sizeof block, to->len - before);
        if (n <= 0)
            return n < 0 ? (int)n : strbuf_ok(to);
        strbuf_add(to, block, (size_t)n);
        if (strbuf_ok(to) < 0)
            return strbuf_ok(to);
    }
}
