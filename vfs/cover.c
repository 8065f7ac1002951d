/* A cover is recognised by its device (all mounts of one session have the same) and by the inode that it shows, which
 * fstat_known() tells without asking the server: so an order can be given twice, and after a restart
 * all of them are. The home that is to be covered must be the very directory that the vfs serves.
 *
 * A cover that is in use (somebody's working directory, an open file) cannot be taken away plainly; it goes lazily
 * then, and who sits in it goes on in the view until it leaves. */
#include "vfs/cover.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "vfs/mount.h"
#include "vfs/mountinfo.h"

/* ---- one mount -------------------------------------------------------------------------------------------------- */

static int open_dir(int dir, const char *path)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY };

    return sys->openat2(dir, path, &how);
}

static int look(int fd, struct stat *ret)
{
    return sys->fstat_known(fd, ret);
}

struct placing {
    uint64_t id;
    char *at; /* COVER_PATH_MAX + 1 */
};

static int note_place(void *arg, const struct mounted *m)
{
    struct placing *p = arg;

    if (m->id != p->id)
        return 0;
    return str_set(p->at, COVER_PATH_MAX + 1, m->at) ? 1 : -ENAMETOOLONG;
}

/* Where the mount is that a descriptor is in. Its path by /proc/self/fd would do, but for roots that have no name in
 * their file system any more. */
static int place_of(int fd, char ret[COVER_PATH_MAX + 1])
{
    struct statx sx;
    struct placing p = { .at = ret };

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &sx) < 0)
        return -errno;
    p.id = sx.stx_mnt_id;
    int r = mounts_each(note_place, &p);
    return r == 0 ? -ENOENT : MIN(r, 0);
}

static int unmount(const char *path)
{
    int r = umount2(path, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;

    if (r != -EBUSY)
        return r;
    log_warn("%s is in use: programs that are in it go on there, others see the plain directory now", path);
    return umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 ? -errno : 0;
}

/* ---- orders ----------------------------------------------------------------------------------------------------- */

struct binder {
    const char *mount, *source;
    int mount_fd; /* while an order runs: kept open, it would keep the mount busy */
    struct stat mount_st;
};

/* The kernel may remember a home that was here before. A stat that must ask the server finds out, and then the name is
 * looked up anew (ESTALE). */
static int view_of(const struct binder *b, const char *name)
{
    struct statx sx;

    if (statx(b->mount_fd, name, AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &sx) < 0)
        return -errno;
    return sys_open_beneath(b->mount_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* Binds what `view` shows over the directory `at`. */
static int bind_over(int view, int at)
{
    CLEANUP(fd_close)
    int tree = (int)syscall(SYS_open_tree, view, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0)
        return -errno;
    return syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno
                                                                                                            : 0;
}

/* Takes a cover away that shows `ino` (0: whatever), if one is at `path`. 1: it has. */
static int take(const struct binder *b, const char *path, uint64_t ino)
{
    char place[COVER_PATH_MAX + 1];
    CLEANUP(fd_close) int at = open_dir(AT_FDCWD, path);
    struct stat st;
    int r = at < 0 ? at : look(at, &st);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (st.st_dev != b->mount_st.st_dev || (ino != 0 && st.st_ino != ino))
        return 0;
    r = place_of(at, place);
    fd_close(&at);
    if (r == 0 && strcmp(place, b->mount) != 0)
        r = unmount(place);
    return r < 0 ? r : 1;
}

/* A cover is there already and shows this home: 1; the plain directory that it must be: 0. */
static int target_check(const struct binder *b, int at, int view, const struct cover_order *o)
{
    struct stat st, home;
    int r = look(at, &st);

    if (r == 0)
        r = look(view, &home);
    if (r < 0)
        return r;
    if (st.st_dev == b->mount_st.st_dev)
        return st.st_ino == home.st_ino ? 1 : -EEXIST;
    return st.st_dev == o->dev && st.st_ino == o->ino ? 0 : -ESTALE;
}

static int put_once(const struct binder *b, const struct cover_order *o)
{
    CLEANUP(fd_close) int view = view_of(b, o->name);
    CLEANUP(fd_close) int at = view < 0 ? view : open_dir(AT_FDCWD, o->path);
    int r = at < 0 ? at : target_check(b, at, view, o);

    return r == 0 ? bind_over(view, at) : r;
}

static int put(const struct binder *b, const struct cover_order *o)
{
    int r = put_once(b, o);

    if (r == -EEXIST) { /* of a user who had this home before */
        r = take(b, o->path, 0);
        r = r < 0 ? r : put_once(b, o);
    }
    if (r == -ENOSPC)
        log_error("%s cannot be covered by the view: the kernel allows no more mounts; raise fs.mount-max", o->path);
    else if (r == -ESTALE)
        log_error("%s is not covered by the view: another directory than the one that is served is there", o->path);
    else if (r < 0)
        log_error("%s cannot be covered by the view of %s: %s", o->path, o->name, error_text(r));
    return MIN(r, 0);
}

struct sweeping {
    const struct binder *b;
    struct strings places, names;
};

static int note_cover(void *arg, const struct mounted *m)
{
    struct sweeping *s = arg;

    if (strcmp(m->source, s->b->source) != 0 || strcmp(m->at, s->b->mount) == 0)
        return 0;
    char name[COVER_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(m->root + 1, "/"), m->root + 1);
    int r = strings_add(&s->places, m->at);
    return r < 0 ? r : strings_add(&s->names, name);
}

static void sweep_one(const struct binder *b, const char *place, const char *name)
{
    CLEANUP(fd_close) int view = view_of(b, name);
    CLEANUP(fd_close) int at = open_dir(AT_FDCWD, place);
    struct stat home, st;

    if (at < 0 || look(at, &st) < 0 || (view >= 0 && (look(view, &home) < 0 || home.st_ino == st.st_ino)))
        return;
    fd_close(&at);
    if (view >= 0 || view == -ENOENT)
        IGNORE(take(b, place, st.st_ino), "it is looked at again at the next start");
}

static int sweep(const struct binder *b)
{
    struct sweeping s = { .b = b };
    int r = mounts_each(note_cover, &s);

    for (size_t i = 0; r == 0 && i < s.places.n && i < s.names.n; i++)
        sweep_one(b, s.places.v[i], s.names.v[i]);
    strings_done(&s.places);
    strings_done(&s.names);
    return r;
}

static int order_run(struct binder *b, const struct cover_order *o)
{
    b->mount_fd = open_dir(AT_FDCWD, b->mount);
    int r = b->mount_fd < 0 ? b->mount_fd : look(b->mount_fd, &b->mount_st);

    if (r == 0 && o->what == COVER_PUT)
        r = put(b, o);
    else if (r == 0 && o->what == COVER_SWEEP)
        r = sweep(b);
    else if (r == 0 && (r = take(b, o->path, o->ino)) < 0)
        log_error("the view over %s cannot be taken away: %s", o->path, error_text(r));
    fd_close(&b->mount_fd);
    return MIN(r, 0);
}

void binder_run(const char *mount, const char *source, int fd)
{
    static struct cover_order o;
    struct binder b = { .mount = mount, .source = source, .mount_fd = -1 };

    for (;;) {
        ssize_t got = recv(fd, &o, sizeof o, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        if (got != sizeof o)
            continue;
        o.name[COVER_NAME_MAX] = o.path[COVER_PATH_MAX] = '\0';
        struct cover_answer a = { .number = o.number, .r = order_run(&b, &o) };
        IGNORE(send(fd, &a, sizeof a, MSG_NOSIGNAL | MSG_DONTWAIT), "who asked is gone, and will ask again");
    }
}

/* ---- all covers ------------------------------------------------------------------------------------------------- */

struct removing {
    const char *mount, *source;
    struct strings places;
};

static int note_ours(void *arg, const struct mounted *m)
{
    struct removing *x = arg;

    if (strcmp(m->type, MOUNT_TYPE) != 0 || strcmp(m->source, x->source) != 0)
        return 0;
    return x->mount != NULL && strcmp(m->at, x->mount) == 0 ? 0 : strings_add(&x->places, m->at);
}

int covers_remove(const char *mount, const char *source)
{
    struct removing x = { .mount = mount, .source = source };
    int r = mounts_each(note_ours, &x);
    int removed = 0;

    for (size_t i = x.places.n; r == 0 && i-- > 0;) {
        int failed = unmount(x.places.v[i]);
        if (failed < 0)
            log_error("the view over %s cannot be taken away: %s", x.places.v[i], error_text(failed));
        removed += failed == 0;
    }
    strings_done(&x.places);
    return r < 0 ? r : removed;
}

/* ---- the namespace without covers ------------------------------------------------------------------------------- */

static int note_any(void *arg, const struct mounted *m)
{
    struct removing *x = arg;

    return strcmp(m->source, x->source) == 0 ? strings_add(&x->places, m->at) : 0;
}

/* In a child: makes the namespace, says so, and keeps it until it is killed. */
NORETURN static void namespace_main(const char *source, int said)
{
    struct removing x = { .source = source };
    int r = unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;

    if (r == 0)
        r = mounts_each(note_any, &x);
    for (size_t i = x.places.n; r == 0 && i-- > 0;)
        r = umount2(x.places.v[i], UMOUNT_NOFOLLOW | MNT_DETACH) < 0 ? -errno : 0;
    IGNORE(write(said, &r, sizeof r), "who waits sees the end");
    for (;;)
        pause();
}

int namespace_uncovered(const char *source, int *ret_fd)
{
    int pair[2], r = -EPIPE, fd = -1;
    char path[40];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        namespace_main(source, pair[1]);
    }
    close(pair[1]);
    if (pid > 0 && recv(pair[0], &r, sizeof r, 0) == sizeof r && r == 0) {
        snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
        struct open_how how = { .flags = O_RDONLY };
        fd = sys->openat2(AT_FDCWD, path, &how);
        r = MIN(fd, 0);
    }
    close(pair[0]);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (r == 0)
        *ret_fd = fd;
    return r;
}
