/* A home for fuzz targets that change files: the same few files before each input, and a file outside to guard. Only
 * one target includes it, so it is all here. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sftp/account.h"

enum { FUZZ_FILE_MAX = 1 << 20, FUZZ_DEPTH_MAX = 256 };

struct fuzz_home {
    char base[64];
    int base_fd, home_fd;
    time_t guarded_since;
    struct user user;
    struct dir_perms perms[2];
    struct activity activity;
    struct account account; /* anew for each input */
};

static struct fuzz_home fuzz_home;

static void fuzz_require(bool ok)
{
    if (!ok)
        abort();
}

static void fuzz_empty(int dir, unsigned depth)
{
    DIR *d = depth < FUZZ_DEPTH_MAX ? fdopendir(dup(dir)) : NULL;
    fuzz_require(d != NULL);
    rewinddir(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || unlinkat(dir, e->d_name, 0) == 0)
            continue;
        fchmodat(dir, e->d_name, 0700, 0);
        int sub = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        fuzz_require(sub >= 0);
        fuzz_empty(sub, depth + 1);
        close(sub);
        fuzz_require(unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0);
    }
    closedir(d);
}

static void fuzz_file(int dir, const char *name, const char *content)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    fuzz_require(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    close(fd);
}

static void fuzz_fill(int home)
{
    fuzz_file(home, "f", "content of a file that is short");
    fuzz_require(mkdirat(home, "d", 0755) == 0 && mkdirat(home, "d/sub", 0755) == 0);
    fuzz_file(home, "d/x", "x");
    fuzz_require(symlinkat("f", home, "link") == 0 && symlinkat("../guarded", home, "out") == 0 &&
                 symlinkat("/etc/passwd", home, "abs") == 0 && symlinkat("loop", home, "loop") == 0 &&
                 mkfifoat(home, "fifo", 0644) == 0);
}

static void fuzz_home_remove(void)
{
    fuzz_empty(fuzz_home.base_fd, 0);
    rmdir(fuzz_home.base);
}

static void fuzz_home_make(struct fuzz_home *h)
{
    struct stat st;

    log_level_set(LOG_ERROR);
    snprintf(h->base, sizeof(h->base), "/dev/shm/tally-fuzz-XXXXXX");
    fuzz_require(mkdtemp(h->base) != NULL);
    h->base_fd = open(h->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fuzz_file(h->base_fd, "guarded", "never changed");
    fuzz_require(fstatat(h->base_fd, "guarded", &st, 0) == 0 && mkdirat(h->base_fd, "home", 0755) == 0);
    h->guarded_since = st.st_ctim.tv_sec;
    h->home_fd = openat(h->base_fd, "home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    h->perms[0] = (struct dir_perms){ strdup("/"), MAY_ALL };
    h->perms[1] = (struct dir_perms){ strdup("/d/sub"), MAY_LIST };
    h->user = (struct user){ .username = strdup("fuzz"),
                             .permissions = { h->perms, 2 },
                             .filters.max_upload_file_size = FUZZ_FILE_MAX };
    atexit(fuzz_home_remove);
}

/* The home as it is at the start, and an account with small limits. `mode`: of uploads. */
static struct account *fuzz_home_begin(unsigned mode)
{
    struct fuzz_home *h = &fuzz_home;

    if (!h->base[0])
        fuzz_home_make(h);
    fchmod(h->home_fd, 0755);
    fuzz_empty(h->home_fd, 0);
    fuzz_fill(h->home_fd);
    h->activity = (struct activity){ .protocol = "SFTP" };
    h->account = (struct account){ .home.fd = h->home_fd,
                                   .user = &h->user,
                                   .activity = &h->activity,
                                   .upload_mode = mode % 3,
                                   .setstat_mode = SETSTAT_DO };
    return &h->account;
}

/* Nothing outside has changed: neither the guarded file nor what lies beside it. */
static void fuzz_home_end(void)
{
    struct stat st, base;
    fuzz_require(fstatat(fuzz_home.base_fd, "guarded", &st, 0) == 0 && fstat(fuzz_home.base_fd, &base) == 0);
    fuzz_require(st.st_size == 13 && st.st_ctim.tv_sec == fuzz_home.guarded_since && st.st_nlink == 1);
    fuzz_require(base.st_nlink == 3);
}
