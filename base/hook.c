/* Running a program: everything that allocates happens before fork(), since other threads may hold malloc's lock then;
 * the child makes system calls only. An execve() that fails says so by its errno in a pipe that a success closes.
 *
 * One loop waits for the child's output, the room in its input, its end (a pidfd) and the clock. The answer is complete
 * when the child has ended and what it wrote is read: a grandchild that keeps the pipe open is not waited for. */
#include "base/hook.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hook_inside.h"
#include "base/sys.h"

enum { ENVIRONMENT_MAX = 1 << 20, SIGNAL_STATUS = 128, FAILURE_FD = 3 };

bool hook_is_url(const char *hook)
{
    return (str_has_prefix(hook, "http://") && hook[7] > ' ') || (str_has_prefix(hook, "https://") && hook[8] > ' ');
}

bool hook_is_valid(const char *hook)
{
    return hook_is_url(hook) || (hook[0] == '/' && hook[1] != '\0');
}

void hook_answer_done(struct hook_answer *a)
{
    if (a->text)
        explicit_bzero(a->text, a->len);
    free(a->text);
    *a = (struct hook_answer){ 0 };
}

bool hook_accepted(const struct hook_request *q, const struct hook_answer *a)
{
    return a->status == (hook_is_url(q->hook) ? HOOK_HTTP_OK : 0);
}

/* ---- what the child gets ---- */

struct child {
    pid_t pid;
    int pidfd, in, out, failure; /* our ends; -1: none */
    int theirs[3];               /* in, out, failure: the child's */
    char **environment;          /* owned; the strings we made are in `made` */
    char *made[HOOK_VALUES_MAX];
    size_t made_n;
};

static void child_done(struct child *c)
{
    fd_close(&c->pidfd);
    fd_close(&c->in);
    fd_close(&c->out);
    fd_close(&c->failure);
    for (size_t i = 0; i < ARRAY_SIZE(c->theirs); i++)
        fd_close(&c->theirs[i]);
    for (size_t i = 0; i < c->made_n; i++) {
        explicit_bzero(c->made[i], strlen(c->made[i])); /* a password may be among them */
        free(c->made[i]);
    }
    free(c->environment);
}

static int variable_make(struct child *c, const struct hook_value *v)
{
    struct strbuf b = STRBUF(ENVIRONMENT_MAX);

    strbuf_addf(&b, "%s=%s", v->variable, v->value ? v->value : "");
    int r = strbuf_take(&b, &c->made[c->made_n]);
    strbuf_done(&b);
    if (r == 0)
        c->environment[c->made_n] = c->made[c->made_n];
    c->made_n += r == 0;
    return r;
}

static int environment_make(const struct hook_request *q, struct child *c)
{
    size_t n = 0;

    while (environ && environ[n])
        n++;
    c->environment = calloc(n + HOOK_VALUES_MAX + 1, sizeof(*c->environment));
    if (!c->environment)
        return -ENOMEM;
    for (size_t i = 0; i < q->values_n; i++) {
        int r = i < HOOK_VALUES_MAX ? 0 : -E2BIG;
        if (r == 0 && q->values[i].variable)
            r = variable_make(c, &q->values[i]);
        if (r < 0)
            return r;
    }
    size_t m = c->made_n;
    for (size_t i = 0; i < n; i++)
        if (!str_has_prefix(environ[i], "TALLY_")) /* secrets of ours may be in these */
            c->environment[m++] = environ[i];
    return 0;
}

static int pipe_make(int *ret_read, int *ret_write)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    *ret_read = pair[0];
    *ret_write = pair[1];
    return 0;
}

static int pipes_make(const struct hook_request *q, struct child *c)
{
    int r = pipe_make(&c->out, &c->theirs[1]);

    if (r == 0)
        r = pipe_make(&c->failure, &c->theirs[2]);
    if (r == 0 && q->input)
        r = pipe_make(&c->theirs[0], &c->in);
    if (r == 0 && !q->input) {
        c->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        r = c->theirs[0] < 0 ? -errno : 0;
    }
    if (r == 0 && c->in >= 0 && fcntl(c->in, F_SETFL, O_NONBLOCK) < 0)
        r = -errno;
    if (r == 0 && fcntl(c->out, F_SETFL, O_NONBLOCK) < 0)
        r = -errno;
    return r;
}

static int ids_drop(const struct hook_request *q)
{
    if (q->uid == 0 || geteuid() != 0)
        return 0;
    if (syscall(SYS_setgroups, 1, &q->gid) < 0 || syscall(SYS_setresgid, q->gid, q->gid, q->gid) < 0 ||
        syscall(SYS_setresuid, q->uid, q->uid, q->uid) < 0)
        return -errno;
    return 0;
}

/* Only system calls: see the top of the file. */
static NORETURN void child_main(const struct hook_request *q, const struct child *c)
{
    char *const argv[] = { (char *)q->hook, NULL };
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigset_t none;

    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        sigaction(s, &standard, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    int failure = fcntl(c->theirs[2], F_DUPFD_CLOEXEC, FAILURE_FD + 1);
    int r = ids_drop(q);
    if (r == 0 && (failure < 0 || dup2(c->theirs[0], 0) < 0 || dup2(c->theirs[1], 1) < 0 || chdir("/") < 0))
        r = -errno;
    if (r == 0 && dup3(failure, FAILURE_FD, O_CLOEXEC) == FAILURE_FD) {
        failure = FAILURE_FD;
        close_range(FAILURE_FD + 1, ~0U, 0);
    }
    if (r == 0) {
        execve(q->hook, argv, c->environment);
        r = -errno;
    }
    IGNORE(write(failure, &r, sizeof(r)), "the parent sees the end without a reason then");
    _exit(127);
}

static int child_start(const struct hook_request *q, struct child *c)
{
    int r = environment_make(q, c);

    if (r == 0)
        r = pipes_make(q, c);
    if (r < 0)
        return r;
    c->pid = fork();
    if (c->pid == 0)
        child_main(q, c);
    if (c->pid < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(c->theirs); i++)
        fd_close(&c->theirs[i]);
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    return c->pidfd < 0 ? -errno : 0;
}

/* ---- talking to it ---- */

static int input_write(struct child *c, const char *input, size_t *at)
{
    size_t left = strlen(input) - *at;
    ssize_t n = left > 0 ? write(c->in, input + *at, left) : 0;

    if (n > 0)
        *at += (size_t)n;
    if (left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || *at == strlen(input))
        fd_close(&c->in); /* all told, or it does not want to know */
    return 0;
}

/* Reads what is there. 1: there may be more later, 0: the end. */
static int output_read(struct child *c, struct strbuf *to)
{
    char block[16384];
    ssize_t n;

    while ((n = read(c->out, block, sizeof(block))) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0)
            strbuf_add(to, block, (size_t)n);
        if (strbuf_ok(to) < 0)
            return strbuf_ok(to);
    }
    explicit_bzero(block, sizeof(block));
    return n < 0 && errno == EAGAIN ? 1 : 0;
}

static int talk(const struct hook_request *q, struct child *c, struct strbuf *to)
{
    uint64_t end = sys->now_ns() + (uint64_t)q->timeout_ms * 1000000;
    size_t told = 0;

    for (;;) {
        uint64_t now = sys->now_ns();
        struct pollfd p[] = { { .fd = c->pidfd, .events = POLLIN },
                              { .fd = c->out, .events = POLLIN },
                              { .fd = c->in, .events = POLLOUT } };
        if (now >= end)
            return -ETIMEDOUT;
        if (poll(p, ARRAY_SIZE(p), (int)((end - now) / 1000000) + 1) < 0 && errno != EINTR)
            return -errno;
        int r = p[2].revents ? input_write(c, q->input, &told) : 0;
        if (r == 0 && p[1].revents)
            r = output_read(c, to);
        if (r < 0)
            return r;
        if (p[1].revents && r == 0)
            fd_close(&c->out);
        if (p[0].revents) /* it has ended: what it wrote is in the pipe */
            return c->out >= 0 ? MIN(output_read(c, to), 0) : 0;
    }
}

static int child_reap(struct child *c, int r, int *ret_status)
{
    int status = 0, failure = 0;

    if (r < 0 && kill(-c->pid, SIGKILL) < 0)
        kill(c->pid, SIGKILL); /* before its setsid() */
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (r == 0 && read(c->failure, &failure, sizeof(failure)) == sizeof(failure))
        return failure;
    *ret_status = WIFSIGNALED(status) ? SIGNAL_STATUS + WTERMSIG(status) : WEXITSTATUS(status);
    return r;
}

static int program_run(const struct hook_request *q, struct hook_answer *ret)
{
    struct child c = { .pidfd = -1, .in = -1, .out = -1, .failure = -1, .theirs = { -1, -1, -1 } };
    struct strbuf text = STRBUF(HOOK_ANSWER_MAX);
    struct hook_answer a = { 0 };
    int r = child_start(q, &c);

    if (r == 0)
        r = talk(q, &c, &text);
    if (c.pid > 0)
        r = child_reap(&c, r, &a.status);
    child_done(&c);
    a.len = text.len;
    if (r == 0)
        strbuf_add(&text, "", 0);
    if (r == 0)
        r = text.s ? strbuf_take(&text, &a.text) : str_copy(&a.text, "");
    strbuf_done(&text);
    if (r == 0)
        *ret = a;
    return r;
}

int hook_run(const struct hook_request *q, struct hook_answer *ret)
{
    if (!hook_is_valid(q->hook) || q->timeout_ms == 0)
        return -EINVAL;
    return hook_is_url(q->hook) ? hook_http(q, ret) : program_run(q, ret);
}
