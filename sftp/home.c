/* Links are followed here and not by the kernel, for two reasons. Rights hang on virtual paths, so we must know where
 * a path really leads, else a link in a free directory opens a closed one. And data that comes from SFTPGo has
 * absolute links that begin with the backing directory; they mean the home.
 *
 * It costs nothing where there is no link: the first try opens the parent with RESOLVE_NO_SYMLINKS. Only -ELOOP leads
 * to the walk, which gives a path without links, and that one is opened with RESOLVE_NO_SYMLINKS again: who puts a
 * link there in between gets an error, not an escape. An absolute target, and ".." at the root, mean the root of the
 * home. */
#include "sftp/home.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/sys.h"

enum { RACES_MAX = 8 };

static const char *path_relative(const char *path)
{
    return path[0] == '/' && path[1] ? path + 1 : ".";
}

void path_parent(const char *path, char to[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (len == 0)
        len = 1;
    memcpy(to, path[0] == '/' ? path : "/", len);
    to[len] = '\0';
}

bool path_is_beneath(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    if (len == 1)
        return true;
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Without any link on the way. */
static int open_straight(int dir, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(uint32_t)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int r = -EAGAIN;
    for (int i = 0; i < RACES_MAX && r == -EAGAIN; i++)
        r = sys->openat2(dir, path, &how);
    return r;
}

static int open_parent(const struct home *h, const char *path)
{
    char parent[PATH_MAX];
    path_parent(path, parent);
    return open_straight(h->fd, path_relative(parent), O_PATH | O_DIRECTORY, 0);
}

/* Text of the link at a path whose directories are no links; -EINVAL: not a link. */
static int link_text(const struct home *h, const char *path, char to[PATH_MAX])
{
    CLEANUP(fd_close) int dir = open_parent(h, path);
    if (dir < 0)
        return dir;
    ssize_t n = sys->readlinkat(dir, strrchr(path, '/') + 1, to, PATH_MAX);
    if (n < 0)
        return (int)n;
    if (n == PATH_MAX)
        return -ENAMETOOLONG;
    to[n] = '\0';
    return 0;
}

/* The walk: `real` grows by what is no link, `rest` is still to be looked at. */
struct walk {
    const struct home *home;
    char real[PATH_MAX]; /* "" is the root */
    char rest[PATH_MAX];
    unsigned links;
};

static void walk_up(struct walk *w)
{
    char *slash = strrchr(w->real, '/');
    if (slash)
        *slash = '\0';
}

/* Replaces the link at the end of real by its text. */
static int walk_link(struct walk *w, const char *text)
{
    char rest[PATH_MAX];
    const char *target = text;

    if (++w->links > HOME_LINKS_MAX)
        return -ELOOP;
    for (size_t i = 0; i < HOME_OUTSIDE_MAX; i++)
        if (w->home->outside[i] && path_is_beneath(text, w->home->outside[i]) && w->home->outside[i][1])
            target = text + strlen(w->home->outside[i]);
    if (text[0] == '/')
        w->real[0] = '\0';
    else
        walk_up(w);
    memcpy(rest, w->rest, sizeof(rest));
    if (!str_set(w->rest, sizeof(w->rest), target))
        return -ENAMETOOLONG;
    size_t len = strlen(w->rest);
    if (len + 1 + strlen(rest) >= sizeof(w->rest))
        return -ENAMETOOLONG;
    w->rest[len] = '/';
    memcpy(w->rest + len + 1, rest, strlen(rest) + 1);
    return 0;
}

static int walk_name(struct walk *w, const char *name, size_t len, bool may_follow)
{
    char text[PATH_MAX];
    size_t at = strlen(w->real);

    if (at + 1 + len >= sizeof(w->real))
        return -ENAMETOOLONG;
    w->real[at] = '/';
    memcpy(w->real + at + 1, name, len);
    w->real[at + 1 + len] = '\0';
    if (!may_follow)
        return 0;
    int r = link_text(w->home, w->real, text);
    if (r == 0)
        return walk_link(w, text);
    return r == -EINVAL || r == -ENOENT ? 0 : r;
}

static int walk_step(struct walk *w, bool follow)
{
    char name[PATH_MAX];
    size_t skip = strspn(w->rest, "/");
    size_t len = strcspn(w->rest + skip, "/");

    memcpy(name, w->rest + skip, len);
    name[len] = '\0';
    size_t used = skip + len + strspn(w->rest + skip + len, "/");
    memmove(w->rest, w->rest + used, strlen(w->rest + used) + 1);
    if (len == 0 || strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0) {
        walk_up(w);
        return 0;
    }
    return walk_name(w, name, len, follow || w->rest[0] != '\0');
}

static int walk(const struct home *h, const char *path, bool follow, char to[PATH_MAX])
{
    struct walk w = { .home = h };
    int r = str_set(w.rest, sizeof(w.rest), path) ? 0 : -ENAMETOOLONG;

    while (r == 0 && w.rest[0])
        r = walk_step(&w, follow);
    if (r == 0)
        str_set(to, PATH_MAX, w.real[0] ? w.real : "/");
    return r;
}

static int place_set(const struct home *h, const char *path, struct place *ret)
{
    int dir = open_parent(h, path);
    if (dir < 0)
        return dir;
    char *copy = strdup(path);
    if (!copy) {
        fd_close(&dir);
        return -ENOMEM;
    }
    *ret = (struct place){ .dir = dir, .path = copy, .name = copy[1] ? strrchr(copy, '/') + 1 : "." };
    return 0;
}

static bool place_is_link(const struct place *p)
{
    char text[1];
    return sys->readlinkat(p->dir, p->name, text, sizeof(text)) >= 0;
}

int home_place(const struct home *h, const char *path, bool follow, struct place *ret)
{
    char real[PATH_MAX];
    int r = -ELOOP;

    if (path[0] != '/' || strlen(path) >= PATH_MAX)
        return -ENAMETOOLONG;
    r = place_set(h, path, ret);
    if (r == 0 && (!follow || !place_is_link(ret)))
        return 0;
    if (r == 0)
        home_place_done(ret);
    else if (r != -ELOOP)
        return r;
    for (int i = 0; i < RACES_MAX; i++) {
        r = walk(h, path, follow, real);
        if (r == 0)
            r = place_set(h, real, ret);
        if (r != -ELOOP)
            return r;
    }
    return r;
}

void home_place_done(struct place *p)
{
    if (p->path)
        fd_close(&p->dir);
    free(p->path);
    *p = (struct place){ .dir = -1 };
}

int place_open(const struct place *p, int flags, mode_t mode)
{
    return open_straight(p->dir, p->name, flags, mode);
}

int place_stat(const struct place *p, struct stat *ret)
{
    return sys->fstatat(p->dir, p->name, ret, AT_SYMLINK_NOFOLLOW);
}
