/* What is left of the path stands in one buffer. A symbolic link puts its target before the rest; an absolute target
 * begins at the root again. fstat_known() asks no file system server, so a mount whose server is away
 * (or is this process) can be seen without waiting for it. */
#include "base/dirs.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { LINKS_MAX = 40, LEFT_MAX = 8192, AGAIN_MAX = 64 };

bool name_is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

struct walking {
    const struct dir_walk *w;
    int at;     /* owned */
    char *left; /* owned; LEFT_MAX */
    int links, again;
};

static void walking_done(struct walking *k)
{
    fd_close(&k->at);
    free(k->left);
}

static int open_at(int dir, const char *name, uint64_t flags)
{
    struct open_how how = { .flags = O_PATH | flags, .resolve = RESOLVE_NO_MAGICLINKS };

    return sys->openat2(dir, name, &how);
}

static int move_to(struct walking *k, int fd)
{
    fd_close(&k->at);
    k->at = fd;
    return fd < 0 ? fd : 0;
}

/* The next name goes from what is left into `name`; false at the end, or with a failure. */
static bool next_name(struct walking *k, char name[NAME_MAX + 1], bool *ret_last, int *ret_failed)
{
    char *s = k->left + strspn(k->left, "/");
    size_t n = strcspn(s, "/");

    *ret_failed = n > NAME_MAX ? -ENAMETOOLONG : 0;
    if (n == 0 || n > NAME_MAX)
        return false;
    memcpy(name, s, n);
    name[n] = '\0';
    *ret_last = s[n + strspn(s + n, "/")] == '\0';
    memmove(k->left, s + n, strlen(s + n) + 1);
    return true;
}

static int put_before(struct walking *k, const char *name)
{
    size_t n = strlen(name), rest = strlen(k->left);

    if (n + 1 + rest >= LEFT_MAX)
        return -ENAMETOOLONG;
    memmove(k->left + n + 1, k->left, rest + 1);
    memcpy(k->left, name, n);
    k->left[n] = '/';
    return 0;
}

static int follow(struct walking *k, int link)
{
    char target[PATH_MAX];
    ssize_t n = sys->readlinkat(link, "", target, sizeof target - 1);

    if (n < 0 || ++k->links > LINKS_MAX)
        return n < 0 ? (int)n : -ELOOP;
    target[n] = '\0';
    int r = target[0] == '/' ? move_to(k, open_at(AT_FDCWD, "/", O_DIRECTORY)) : 0;
    return r < 0 ? r : put_before(k, target);
}

static int make_one(int parent, const char *name, const struct dir_rights *rights)
{
    int r = sys->mkdirat(parent, name, rights != NULL ? rights->mode : 0755);

    if (r < 0)
        return r == -EEXIST ? 0 : r;
    CLEANUP(fd_close) int fd = sys_open_beneath(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    r = sys->fchmodat(fd, "", rights != NULL ? rights->mode : 0755);
    return r == 0 && rights != NULL ? sys->fchownat(fd, "", rights->uid, rights->gid, 0) : r;
}

static int look_at(struct walking *k, const char *name, int fd, const struct stat *st)
{
    int r = k->w->look != NULL ? k->w->look(k->w->arg, fd, st) : DIR_GO_ON;

    if (r == DIR_AGAIN)
        return ++k->again > AGAIN_MAX ? -ELOOP : put_before(k, name);
    return r < 0 ? r : 1;
}

static int step(struct walking *k, const char *name, bool is_last)
{
    struct stat st;
    CLEANUP(fd_close) int fd = open_at(k->at, name, O_NOFOLLOW);

    if (fd == -ENOENT && k->w->make) {
        int r = make_one(k->at, name, is_last ? k->w->last : NULL);
        fd = r < 0 ? r : open_at(k->at, name, O_NOFOLLOW);
    }
    if (fd < 0)
        return fd;
    int r = sys->fstat_known(fd, &st);
    if (r < 0)
        return r;
    if (S_ISLNK(st.st_mode))
        return follow(k, fd);
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    r = look_at(k, name, fd, &st);
    return r > 0 ? move_to(k, take_fd(&fd)) : r;
}

int dirs_open(const char *path, const struct dir_walk *w)
{
    CLEANUP(walking_done) struct walking k = { .w = w, .at = -1, .left = malloc(LEFT_MAX) };
    char name[NAME_MAX + 1];
    bool is_last = false;
    int r;

    if (path == NULL || path[0] != '/')
        return -EINVAL;
    if (k.left == NULL)
        return -ENOMEM;
    if (!str_set(k.left, LEFT_MAX, path))
        return -ENAMETOOLONG;
    r = move_to(&k, open_at(AT_FDCWD, "/", O_DIRECTORY));
    while (r == 0 && next_name(&k, name, &is_last, &r))
        r = step(&k, name, is_last);
    return r < 0 ? r : take_fd(&k.at);
}

int dirs_make(const char *path, const struct dir_rights *rights)
{
    CLEANUP(fd_close) int fd = dirs_open(path, &(struct dir_walk){ .make = true, .last = rights });

    if (fd < 0)
        return fd;
    int r = sys->fchownat(fd, "", rights->uid, rights->gid, 0);
    return r < 0 ? r : sys->fchmodat(fd, "", rights->mode);
}
