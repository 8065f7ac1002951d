/* Life of a service:
 *
 *   waiting ──start──► running ──"ready"──► serving ──dies──► waiting (back-off) ──► running …
 *
 * The next service is started when the one before it serves, and only the first time; after that each is on its own.
 * The first restart is immediate, since clients of the mount stall meanwhile; a service that dies within QUICK_DEATH_MS
 * again and again waits, and longer each time if it failed. It has failed if it died before it was ready, or by itself
 * soon after (a request that kills it comes again); one that served and was killed has not. A vfs that fails
 * MOUNT_TRIES times in a row gets a new mount: better that programs with open files see an error than that they hang.
 *
 * Everything that must outlive a service is in the holdings. */
#include "tallyd/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "tallyd/fd_store.h"
#include "tallyd/holdings.h"
#include "tallyd/service.h"
#include "tallyd/switch.h"

enum {
    SERVICES_MAX = 4,
    QUICK_DEATH_MS = 5000,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 10000,
    STOP_MS = 20000, /* a service that has not stopped by then is killed */
    MOUNT_TRIES = 5,
    START_TRIES = 3, /* a service that never served and dies so often ends the start */
    CONTROL_SEND_S = 2,
    RELOAD_MS = 5000, /* what the old vfs has to end in, at a reload */
    VFS = 1,          /* its row */
    EXIT_START_AGAIN = 75,
};

struct service {
    const struct service_row *row;
    pid_t pid; /* 0: none */
    bool was_ready, is_ready;
    bool is_reloaded;                   /* of the program that is on disk now, not of ours (reload_vfs()) */
    uint64_t kill_at_ms;                /* 0, or when its time to end is over */
    uint64_t started_ms, restart_at_ms; /* 0: not planned */
    unsigned backoff_ms;
    unsigned quick_deaths; /* in a row */
    unsigned failures;     /* in a row: deaths that the next try may well repeat */
};

struct supervisor {
    const struct config *config;
    const char *config_path;
    struct service services[SERVICES_MAX];
    struct switch_port ports[SERVICES_MAX];
    struct holdings held;
    const struct start_restore *restore;
    int restore_fd; /* the dump to be restored; -1: none, or it is done */
    int signal_fd;
    bool stopping, all_ready_once, has_failed;
    bool leaves_mount;  /* to the next start, by systemd's descriptor store */
    char program[4096]; /* our file's path; "": unknown */
    size_t stop_at;     /* services from here upwards have been told to stop */
    uint64_t stop_deadline_ms;
    uint64_t watchdog_ms; /* systemd wants to hear from us as often; 0: it does not */
    uint64_t told_alive_ms;
};

static uint64_t now_ms(void)
{
    return sys->now_ns() / 1000000;
}

/* ---- services ---- */

/* Does this service get the dump? The api, until it has served once. */
static bool is_restorer(const struct supervisor *s, const struct service *v)
{
    return s->restore_fd >= 0 && strcmp(v->row->name, "api") == 0;
}

static void describe_fds(const struct role_fd *fds, size_t n, struct strbuf *to)
{
    for (size_t i = 0; i < n; i++)
        strbuf_addf(to, "%s%s=%d", i ? "," : "", fds[i].name, fds[i].fd);
}

/* What a service is told on its command line: first spaces, as room for the process title. */
NORETURN static void program_exec(const struct supervisor *s, const struct service *v, bool resume)
{
    char mode[32], scan[32];
    const char *argv[16] = { "tallyd                          ", "--role", v->row->name, "--config",
                             s->config_path ? s->config_path : "" };
    size_t n = 5;

    snprintf(mode, sizeof mode, "%lld", (long long)s->restore->mode);
    snprintf(scan, sizeof scan, "%lld", (long long)s->restore->scan);
    if (resume)
        argv[n++] = "--resume";
    if (is_restorer(s, v)) {
        argv[n++] = "--loaddata-mode";
        argv[n++] = mode;
        argv[n++] = "--loaddata-scan";
        argv[n++] = scan;
        if (s->restore->skip_unsupported)
            argv[n++] = "--loaddata-skip-unsupported";
    }
    if (v->is_reloaded && s->program[0] != '\0')
        execv(s->program, (char *const *)(uintptr_t)argv);
    execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* With vfs.in_place the vfs lives where no view covers a home. The working directory stays: the configuration's path
 * may be relative. */
static int vfs_namespace_enter(const struct holdings *h)
{
    char dev[32];

    if (h->namespace_fd < 0)
        return 0;
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (setns(h->namespace_fd, CLONE_NEWNS) < 0 || (here >= 0 && fchdir(here) < 0))
        return log_fail(-errno, "the vfs cannot have a mount namespace without covers");
    snprintf(dev, sizeof dev, "%llu", (unsigned long long)h->mount_dev);
    return setenv(COVER_DEV, dev, 1) < 0 ? -errno : 0;
}

/* In the child: hands over what the service needs and becomes it. Everything else is close-on-exec. */
NORETURN static void service_exec(struct supervisor *s, const struct service *v, int control_fd, bool resume)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(4096);
    struct role_fd fds[ROLE_FDS_MAX];
    size_t n = s->held.shared_n;
    sigset_t none;

    memcpy(fds, s->held.shared, sizeof fds[0] * n);
    fds[n++] = (struct role_fd){ .name = "control", .fd = control_fd };
    if (strcmp(v->row->name, "vfs") == 0) {
        fds[n++] = (struct role_fd){ .name = "fuse", .fd = s->held.fuse_fd };
        fds[n++] = (struct role_fd){ .name = "state", .fd = s->held.vfs_state_fd };
        fds[n++] = (struct role_fd){ .name = "notify", .fd = s->held.notify_fd };
        if (s->held.cover_fd >= 0)
            fds[n++] = (struct role_fd){ .name = "cover", .fd = s->held.cover_fd };
        if (vfs_namespace_enter(&s->held) < 0)
            _exit(127);
    }
    if (is_restorer(s, v))
        fds[n++] = (struct role_fd){ .name = "loaddata", .fd = s->restore_fd };
    for (size_t i = 0; i < n; i++)
        fcntl(fds[i].fd, F_SETFD, 0);
    describe_fds(fds, n, &text);
    if (strbuf_ok(&text) == 0 && setenv("TALLY_FDS", text.s, 1) == 0) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        program_exec(s, v, resume);
    }
    _exit(127);
}

static int service_start(struct supervisor *s, size_t i)
{
    struct service *v = &s->services[i];
    struct timeval timeout = { .tv_sec = CONTROL_SEND_S };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return log_fail(-errno, "cannot start %s", v->row->process);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    v->pid = fork();
    if (v->pid == 0)
        service_exec(s, v, pair[1], v->was_ready || v->quick_deaths > 0);
    fd_close(&pair[1]);
    if (v->pid < 0) {
        v->pid = 0;
        fd_close(&pair[0]);
        return log_fail(-errno, "cannot start %s", v->row->process);
    }
    s->ports[i].fd = pair[0];
    v->started_ms = now_ms();
    v->restart_at_ms = 0;
    return 0;
}

static void announce_ready(struct supervisor *s)
{
    for (size_t i = 0; i < services_n; i++)
        if (!s->services[i].is_ready)
            return;
    if (!s->all_ready_once) {
        log_info("ready");
        sd_notify(0, "READY=1");
    }
    s->all_ready_once = true;
}

/* The dump is in the store. */
static void restore_end(struct supervisor *s)
{
    fd_close(&s->restore_fd);
    log_info("%s is restored", s->restore->from);
    if (s->restore->clean && unlink(s->restore->from) < 0)
        log_fail(-errno, "cannot remove %s", s->restore->from);
}

/* Messages to the supervisor. */
static void supervisor_message(void *arg, size_t from, const char *name)
{
    struct supervisor *s = arg;
    struct service *v = &s->services[from];

    if (strcmp(name, "ready") != 0)
        return;
    if (v->was_ready)
        log_info("%s serves again", v->row->process);
    if (is_restorer(s, v))
        restore_end(s);
    v->is_ready = v->was_ready = true;
    if (from + 1 < services_n && s->services[from + 1].started_ms == 0 && !s->stopping)
        if (service_start(s, from + 1) < 0)
            s->services[from + 1].restart_at_ms = now_ms() + BACKOFF_FIRST_MS;
    announce_ready(s);
}

static void plan_restart(struct service *v)
{
    bool was_quick = now_ms() - v->started_ms < QUICK_DEATH_MS;

    v->quick_deaths = was_quick ? v->quick_deaths + 1 : 1;
    if (v->quick_deaths <= 1)
        v->backoff_ms = 0;
    else if (v->failures == 0)
        v->backoff_ms = BACKOFF_FIRST_MS;
    else
        v->backoff_ms = MIN(MAX(v->backoff_ms * 2, (unsigned)BACKOFF_FIRST_MS), (unsigned)BACKOFF_MAX_MS);
    v->restart_at_ms = now_ms() + v->backoff_ms;
    metric_add(M_ROLE_RESTARTS, v->row->metric_role, 1);
}

static void stop_begin(struct supervisor *s)
{
    if (s->stopping)
        return;
    log_info("stopping");
    sd_notify(0, "STOPPING=1");
    s->stopping = true;
    s->stop_at = services_n;
}

/* ---- a new process for the file system ---- */

static void reload_vfs_begin(struct supervisor *s)
{
    struct service *v = &s->services[VFS];

    if (s->stopping || v->pid == 0 || v->kill_at_ms != 0)
        return;
    log_info("the file system goes on in a new process of %s", s->program);
    v->is_reloaded = true;
    v->kill_at_ms = now_ms() + RELOAD_MS;
    kill(v->pid, SIGTERM);
}

/* It has ended as it was told, or its successor has failed: then one of our own program serves again. */
static void reload_vfs_step(struct service *v)
{
    if (v->kill_at_ms != 0) {
        v->kill_at_ms = 0;
        v->failures = v->quick_deaths = 0;
        v->restart_at_ms = now_ms();
    } else if (v->is_reloaded && v->failures > 0) {
        log_error("the new program cannot serve the file system; the former one goes on");
        v->is_reloaded = false;
    }
}

static void kill_due(struct supervisor *s)
{
    struct service *v = &s->services[VFS];

    if (v->kill_at_ms != 0 && v->pid != 0 && now_ms() >= v->kill_at_ms)
        kill(v->pid, SIGKILL);
}

static void renew_mount(struct supervisor *s, struct service *v)
{
    log_error("the mount %s is given up and made anew; programs with files open in it will see errors",
              s->config->vfs.mount);
    mount_close(&s->held);
    v->was_ready = false;
    v->failures = 0;
    v->quick_deaths = 0; /* the new process starts, it does not resume */
    if (mount_open(&s->held) < 0)
        v->restart_at_ms = now_ms() + BACKOFF_MAX_MS;
}

static bool is_failure(const struct service *v, int status)
{
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

    return !v->is_ready || (!was_killed && now_ms() - v->started_ms < QUICK_DEATH_MS);
}

static void service_died(struct supervisor *s, size_t i, int status)
{
    struct service *v = &s->services[i];

    v->failures = is_failure(v, status) ? v->failures + 1 : 0;
    v->pid = 0;
    v->is_ready = false;
    fd_close(&s->ports[i].fd);
    if (s->stopping)
        return;
    if (WIFSIGNALED(status))
        log_error("%s was killed by signal %d (%s)", v->row->process, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (v->kill_at_ms == 0)
        log_error("%s ended with status %d", v->row->process, WEXITSTATUS(status));
    plan_restart(v);
    reload_vfs_step(v);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_REFUSED) {
        s->has_failed = true;
        stop_begin(s);
        return;
    }
    if (!s->all_ready_once && !v->was_ready && v->quick_deaths >= START_TRIES) {
        log_error("%s cannot start; the reason stands above", v->row->process);
        s->has_failed = true;
        stop_begin(s);
        return;
    }
    bool gone = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MOUNT_GONE;
    if (strcmp(v->row->name, "vfs") == 0 && (gone || v->failures >= MOUNT_TRIES))
        renew_mount(s, v);
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < services_n; i++)
            if (s->services[i].pid == pid)
                service_died(s, i, status);
        if (!s->stopping)
            helper_died(&s->held, pid);
    }
}

static void restart_due(struct supervisor *s)
{
    for (size_t i = 0; i < services_n && !s->stopping; i++) {
        struct service *v = &s->services[i];
        if (v->restart_at_ms == 0 || v->pid != 0 || v->restart_at_ms > now_ms())
            continue;
        bool needs_mount = strcmp(v->row->name, "vfs") == 0 && s->held.fuse_fd < 0;
        if ((needs_mount && mount_open(&s->held) < 0) || service_start(s, i) < 0)
            v->restart_at_ms = now_ms() + BACKOFF_MAX_MS;
    }
}

/* ---- stopping: from the last service to the first, each with its time ---- */

/* true when everything is down */
static bool stop_step(struct supervisor *s)
{
    if (s->stop_at < services_n && s->services[s->stop_at].pid != 0) {
        if (now_ms() > s->stop_deadline_ms) {
            log_error("%s did not stop in time and is killed", s->services[s->stop_at].row->process);
            kill(s->services[s->stop_at].pid, SIGKILL);
            s->stop_deadline_ms = now_ms() + STOP_MS;
        }
        return false;
    }
    while (s->stop_at > 0) {
        s->stop_at--;
        if (s->services[s->stop_at].pid == 0)
            continue;
        kill(s->services[s->stop_at].pid, SIGTERM);
        s->stop_deadline_ms = now_ms() + STOP_MS;
        return false;
    }
    return true;
}

/* ---- the loop ---- */

/* A restart of everything that clients of the mount do not notice. */
static void leave_begin(struct supervisor *s)
{
    if (!fd_store_is_there()) {
        log_warn("SIGUSR2 is ignored: nobody would keep the mount (FileDescriptorStoreMax= of a systemd unit does)");
        return;
    }
    s->leaves_mount = true;
    stop_begin(s);
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            stop_begin(s);
        else if (info.ssi_signo == SIGUSR1)
            reload_vfs_begin(s);
        else if (info.ssi_signo == SIGUSR2)
            leave_begin(s);
        else if (info.ssi_signo == SIGHUP) {
            log_info("reload");
            if (level_reload(s->config_path) == 0) {
                holdings_reload(&s->held, s->config_path);
                switch_tell_all(s->ports, services_n, "reload");
            }
        }
    }
    reap(s);
}

/* systemd's watchdog (sd_watchdog_enabled(3)): a loop that no longer turns is started anew. */
static void tell_alive(struct supervisor *s)
{
    if (s->watchdog_ms == 0 || now_ms() - s->told_alive_ms < s->watchdog_ms / 2)
        return;
    s->told_alive_ms = now_ms();
    sd_notify(0, "WATCHDOG=1");
}

static int wait_ms(const struct supervisor *s)
{
    uint64_t now = now_ms();
    uint64_t next = s->stopping ? now + 1000 : UINT64_MAX;

    if (s->watchdog_ms != 0)
        next = MIN(next, s->told_alive_ms + s->watchdog_ms / 2);

    for (size_t i = 0; i < services_n; i++) {
        if (s->services[i].restart_at_ms != 0 && s->services[i].pid == 0)
            next = MIN(next, s->services[i].restart_at_ms);
        if (s->services[i].kill_at_ms != 0)
            next = MIN(next, MAX(s->services[i].kill_at_ms, now + 1));
    }
    return next == UINT64_MAX ? -1 : next <= now ? 0 : (int)MIN(next - now, 60000U);
}

static void supervisor_loop(struct supervisor *s)
{
    while (!s->stopping || !stop_step(s)) {
        struct pollfd fds[SERVICES_MAX + 1] = { { .fd = s->signal_fd, .events = POLLIN } };

        for (size_t i = 0; i < services_n; i++)
            fds[i + 1] = (struct pollfd){ .fd = s->ports[i].fd, .events = POLLIN };
        if (poll(fds, (nfds_t)services_n + 1, wait_ms(s)) < 0 && errno != EINTR)
            return;
        for (size_t i = 0; i < services_n; i++)
            if (fds[i + 1].revents != 0 && switch_pass(s->ports, services_n, i, supervisor_message, s) == -EPIPE)
                fd_close(&s->ports[i].fd); /* its death comes as a signal */
        take_signals(s);
        restart_due(s);
        tell_alive(s);
        kill_due(s);
    }
}

static int open_signals(struct supervisor *s)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? log_fail(-errno, "signalfd") : 0;
}

/* As root, since the api role may not read it where it lies. */
static int open_restore(struct supervisor *s)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
    struct stat st;

    if (s->restore->from == NULL)
        return 0;
    s->restore_fd = sys->openat2(AT_FDCWD, s->restore->from, &how);
    int r = s->restore_fd < 0 ? s->restore_fd : sys->fstatat(s->restore_fd, "", &st, AT_EMPTY_PATH);
    if (r == 0 && !S_ISREG(st.st_mode))
        r = -EINVAL;
    return r < 0 ? log_fail(r, "--loaddata-from: cannot read %s", s->restore->from) : 0;
}

/* The one that was kept for us, or a new one. */
static int open_mount(struct supervisor *s)
{
    int r = mount_take(&s->held);

    if (r > 0) {
        log_info("the mount %s is taken over as it is", s->config->vfs.mount);
        s->services[VFS].was_ready = true; /* so its process resumes */
    }
    return r == 0 ? mount_open(&s->held) : MIN(r, 0);
}

static int open_all(struct supervisor *s)
{
    int r = geteuid() == 0 ? 0 : log_fail(-EPERM, "tallyd is started as root; its services give up what they need not");

    if (r == 0)
        r = open_restore(s);
    if (r == 0)
        r = open_signals(s);
    if (r == 0)
        r = holdings_open(&s->held);
    if (r == 0)
        r = open_mount(s);
    return r;
}

int supervisor_run(const struct config *config, const char *config_path, const struct start_restore *restore)
{
    struct supervisor s = {
        .config = config, .config_path = config_path, .restore = restore, .restore_fd = -1, .signal_fd = -1
    };
    uint64_t watchdog_us = 0;
    int r;

    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        s.watchdog_ms = MAX(watchdog_us / 1000, UINT64_C(1));
    holdings_init(&s.held, config);
    IGNORE(readlink("/proc/self/exe", s.program, sizeof s.program - 1), "then a reload starts the running program");
    for (size_t i = 0; i < services_n; i++) {
        s.services[i].row = &services[i];
        s.ports[i] = (struct switch_port){ .name = services[i].name, .fd = -1 };
    }
    r = open_all(&s);
    if (r == 0)
        r = service_start(&s, 0);
    if (r == 0)
        supervisor_loop(&s);
    if (s.held.fuse_fd >= 0 && fd_store_is_there() && (s.leaves_mount || s.has_failed || r < 0)) {
        mount_leave(&s.held);
        return EXIT_START_AGAIN;
    }
    mount_close(&s.held);
    if (r == 0)
        log_info("stopped");
    return r == 0 && !s.has_failed ? 0 : 1;
}
