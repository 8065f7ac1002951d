/* The supervisor's process id is in its lock file, and is true as long as the file is locked. The new process serves
 * when it is another one and the mount answers. */
#include "tallyd/reload.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "tallyd/holdings.h"
#include "vfs/mount.h"

enum { RELOAD_S = 60, LOOK_MS = 20 };

static int said(const char *what, int r)
{
    fprintf(stderr, "tallyd: --reload-vfs: %s%s%s\n", what, r < 0 ? ": " : "", r < 0 ? error_text(r) : "");
    return 1;
}

/* -ESRCH: none runs. */
static int supervisor_find(const char *state_dir, pid_t *ret)
{
    CLEANUP(fd_close) int dir = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(fd_close) int fd = dir < 0 ? -errno : sys_open_beneath(dir, LOCK_FILE, O_RDONLY | O_NOFOLLOW, 0);
    char text[32] = "";
    int64_t pid;

    if (fd < 0)
        return fd == -ENOENT ? -ESRCH : fd;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return -ESRCH;
    ssize_t n = sys->pread(fd, text, sizeof text - 1, 0);
    text[MAX(n, 0)] = '\0';
    text[strcspn(text, "\n")] = '\0';
    int r = str_int(text, 2, INT32_MAX, &pid);
    if (r == 0)
        *ret = (pid_t)pid;
    return r;
}

static bool is_vfs(pid_t pid)
{
    char path[64], comm[32] = "";

    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *f = fopen(path, "re");
    bool read = f != NULL && fgets(comm, sizeof comm, f) != NULL;
    if (f != NULL)
        fclose(f);
    return read && strcmp(comm, "tallyd-vfs\n") == 0;
}

/* The process of the file system; 0: there is none now. */
static pid_t vfs_find(pid_t supervisor)
{
    char path[64], text[4096] = "", *save = NULL;
    pid_t found = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)supervisor, (int)supervisor);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    char *line = fgets(text, sizeof text, f);
    for (char *word = line != NULL ? strtok_r(text, " \n", &save) : NULL; word != NULL;
         word = strtok_r(NULL, " \n", &save)) {
        int64_t pid;
        if (str_int(word, 2, INT32_MAX, &pid) == 0 && is_vfs((pid_t)pid))
            found = (pid_t)pid;
    }
    fclose(f);
    return found;
}

int reload_vfs(const struct config *config)
{
    uint64_t until_ns = sys->now_ns() + RELOAD_S * UINT64_C(1000000000);
    pid_t supervisor = 0, now = 0;
    int r = supervisor_find(config->state_dir, &supervisor);

    if (r < 0)
        return r == -ESRCH ? said("no tallyd runs with this state_dir", 0) : said("cannot find the running tallyd", r);
    pid_t before = vfs_find(supervisor);
    if (kill(supervisor, SIGUSR1) < 0)
        return said("cannot signal the running tallyd", -errno);
    while (sys->now_ns() < until_ns) {
        now = vfs_find(supervisor);
        if (now != 0 && now != before && mount_answers(config->vfs.mount)) {
            printf("tallyd-vfs is process %d now\n", (int)now);
            return 0;
        }
        poll(NULL, 0, LOOK_MS);
    }
    return said("the new process does not serve; the log says why", 0);
}
