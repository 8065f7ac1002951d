/* See program.h. */
#include "tool/program.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"

#define MS UINT64_C(1000000)

/* Reads until its end; -ETIMEDOUT. */
static int drain(int fd, uint64_t until_ns, struct strbuf *to)
{
    char block[4096];

    for (;;) {
        uint64_t now = sys->now_ns();
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        if (now >= until_ns || poll(&wait, 1, (int)((until_ns - now) / MS) + 1) == 0)
            return -ETIMEDOUT;
        ssize_t n = read(fd, block, sizeof block);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        if (to->len + (size_t)n <= PROGRAM_OUTPUT_MAX)
            strbuf_add(to, block, (size_t)n);
    }
}

static int start(char *const argv[], int out, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    int r = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

int program_run(char *const argv[], struct strbuf *ret_said)
{
    int ends[2];
    int status = 0;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    CLEANUP(fd_close) int in = ends[0];
    int r = start(argv, ends[1], &pid);
    close(ends[1]);
    if (r < 0)
        return r;
    r = drain(in, sys->now_ns() + PROGRAM_S * 1000 * MS, ret_said);
    if (r < 0)
        kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) < 0)
        return -errno;
    if (r < 0)
        return r;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -ECANCELED;
}
