/* The mount belongs to whoever holds the descriptor of /dev/fuse that was named in mount(2). As long as one process
 * has it open, requests wait for a reader; when the last one closes it, the mount is dead: each call in it fails with
 * ENOTCONN, and only an unmount takes it away. So the supervisor opens and mounts, and the vfs role borrows.
 *
 * Is something mounted at a path, and is it dead? /proc/self/mountinfo says the first without touching the mount; a
 * statfs of a dead one fails with ENOTCONN at once (a stat does not: the kernel answers it from its cache). That of a
 * living but stuck one would wait, hence only FUSE mounts of ours (fstype "fuse.tally") are asked, by a process that is
 * killed when it gets no answer. */
#include "vfs/mount.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "base/str.h"
#include "vfs/mountinfo.h"

enum { MOUNTS_STACKED_MAX = 64, PROBE_MS = 1000, PROBE_DEAD = 1 };
enum probed { MOUNT_ANSWERS, MOUNT_IS_DEAD, MOUNT_IS_SILENT };

struct finding {
    const char *path;
    bool found;
    char type[64], source[MOUNT_SOURCE_MAX];
};

/* The last mount of a path is the top one. */
static int mount_note(void *arg, const struct mounted *m)
{
    struct finding *f = arg;

    if (strcmp(m->at, f->path) != 0)
        return 0;
    f->found = true;
    str_set(f->type, sizeof f->type, m->type);
    str_set(f->source, sizeof f->source, m->source);
    return 0;
}

/* Asks the file system something that the kernel cannot answer from its cache. */
NORETURN static void probe_main(const char *path)
{
    struct statfs sf;
    bool dead = statfs(path, &sf) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);

    _exit(dead ? PROBE_DEAD : 0);
}

/* In a process of its own, which can be killed when a living but stuck mount does not answer. */
static enum probed mount_probe(const char *path)
{
    int status = 0;
    int pid_fd = -1;
    pid_t pid = fork();

    if (pid == 0)
        probe_main(path);
    if (pid < 0)
        return MOUNT_IS_SILENT;
    pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = { .fd = pid_fd, .events = POLLIN };
    if (pid_fd < 0 || poll(&ended, 1, PROBE_MS) != 1)
        kill(pid, SIGKILL);
    fd_close(&pid_fd);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return MOUNT_IS_SILENT;
    return WEXITSTATUS(status) == PROBE_DEAD ? MOUNT_IS_DEAD : MOUNT_ANSWERS;
}

static bool mount_is_dead(const char *path)
{
    return mount_probe(path) == MOUNT_IS_DEAD;
}

bool mount_answers(const char *path)
{
    return mount_probe(path) == MOUNT_ANSWERS;
}

bool mount_is_ours(const char *path, const char *source)
{
    struct finding m = { .path = path };

    return mounts_each(mount_note, &m) == 0 && m.found && strcmp(m.type, MOUNT_TYPE) == 0 &&
           strcmp(m.source, source) == 0;
}

void mount_source(const char *state_dir, char ret[MOUNT_SOURCE_MAX])
{
    snprintf(ret, MOUNT_SOURCE_MAX, "tally:%s", state_dir);
}

int mount_clean(const char *path, struct why *reterr_why)
{
    for (int i = 0; i < MOUNTS_STACKED_MAX; i++) {
        struct finding m = { .path = path };
        int r = mounts_each(mount_note, &m);
        if (r < 0)
            return why_set(reterr_why, r, "vfs.mount", "/proc/self/mountinfo cannot be read: %s", error_text(r));
        if (!m.found)
            break;
        if (strcmp(m.type, MOUNT_TYPE) != 0 || !mount_is_dead(path))
            return why_set(reterr_why, -EBUSY, "vfs.mount", "something is mounted at %s already (%s)", path, m.type);
        if (umount2(path, MNT_DETACH) < 0)
            return why_set(reterr_why, -errno, "vfs.mount", "the dead mount at %s cannot be taken away: %s", path,
                           error_text(errno));
    }
    CLEANUP(fd_close) int dir = dirs_open(path, &(struct dir_walk){ .make = true });
    int r = MIN(dir, 0);
    if (r < 0)
        return why_set(reterr_why, r, "vfs.mount", "%s cannot be made: %s", path, error_text(r));
    return 0;
}

int mount_homes(const char *path, const char *source, int *ret_fd, struct why *reterr_why)
{
    CLEANUP(fd_close) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char options[128];

    if (fd < 0) {
        int r = errno == ENOENT || errno == ENXIO || errno == ENODEV ? -ENODEV : -errno;
        return why_set(reterr_why, r, "vfs.mount", "/dev/fuse cannot be opened: %s; is the fuse module loaded?",
                       error_text(errno));
    }
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd);
    if (mount(source, path, MOUNT_TYPE, MS_NOSUID | MS_NODEV, options) < 0) {
        int r = errno == ENODEV ? -ENODEV : -errno;
        return why_set(reterr_why, r, "vfs.mount", "mount at %s: %s", path, error_text(r));
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

int unmount_homes(const char *path)
{
    if (umount2(path, UMOUNT_NOFOLLOW) == 0)
        return 0;
    if (errno != EBUSY)
        return -errno;
    return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

static void entry_forget(int fuse_fd, const struct entry_notice *n)
{
    struct fuse_notify_inval_entry_out what = { .parent = n->parent, .namelen = n->len };
    struct fuse_out_header head = { .len = (uint32_t)(sizeof head + sizeof what + n->len + 1),
                                    .error = FUSE_NOTIFY_INVAL_ENTRY };
    struct iovec iov[] = { { &head, sizeof head }, { &what, sizeof what }, { (void *)n->name, n->len + 1 } };

    /* -ENOENT: the kernel does not know the directory or the name, the usual case */
    IGNORE(writev(fuse_fd, iov, ARRAY_SIZE(iov)), "there is nobody to tell, and the next notice may fare better");
}

void notifier_run(int fuse_fd, int from_fd)
{
    struct entry_notice n;

    for (;;) {
        ssize_t got = recv(from_fd, &n, sizeof n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        if (got != sizeof n || n.len > NOTICE_NAME_MAX)
            continue;
        n.name[n.len] = '\0';
        entry_forget(fuse_fd, &n);
    }
}
