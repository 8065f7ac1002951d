/* Each part is opened once, by root, before the first service starts; the services get the descriptors by name. The
 * mount can be made anew later, when the vfs cannot resume over it. */
#include "tallyd/holdings.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/connections.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "tallyd/listen.h"
#include "tallyd/service.h"
#include "vfs/mount.h"

enum { CLEAN_MS = 2000, CLEAN_STEP_MS = 20 };

void holdings_init(struct holdings *h, const struct config *config)
{
    *h = (struct holdings){
        .config = config, .fuse_fd = -1, .vfs_state_fd = -1, .notify_fd = -1, .notify_read_fd = -1, .lock_fd = -1
    };
}

static int fail_why(int r, const struct why *why)
{
    if (why->field[0] != '\0')
        log_error("%s: %s", why->field, why->text);
    else
        log_error("%s", why->text);
    return r;
}

static int share(struct holdings *h, const char *name, int fd)
{
    if (fd < 0)
        return fd;
    if (h->shared_n == ROLE_FDS_MAX - 8) {
        fd_close(&fd);
        return log_fail(-E2BIG, "too many bindings");
    }
    str_set(h->shared[h->shared_n].name, sizeof h->shared[0].name, name);
    h->shared[h->shared_n++].fd = fd;
    return 0;
}

/* Makes a directory and what leads to it; the last one with this owner and mode, also when it is there already. */
static int make_dir(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    char part[4096];

    if (!str_set(part, sizeof part, path))
        return log_fail(-ENAMETOOLONG, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return log_fail(-errno, "cannot make the directory %s", part);
        *slash = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return log_fail(-errno, "cannot make the directory %s", part);
    CLEANUP(fd_close) int fd = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return log_fail(-errno, "cannot use the directory %s", part);
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
        return log_fail(-errno, "cannot set owner and mode of %s", part);
    return 0;
}

/* The dumps, which the api writes. One that an administrator made stays as it is. */
static int make_backups_dir(const struct config *c)
{
    CLEANUP(fd_close) int state = open(c->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *path = c->data_provider.backups_path;
    uid_t uid;
    gid_t gid;

    if (state < 0)
        return log_fail(-errno, "cannot use the directory %s", c->state_dir);
    if (mkdirat(state, path, 0700) < 0)
        return errno == EEXIST ? 0 : log_fail(-errno, "data_provider.backups_path: cannot make the directory %s", path);
    int r = account_find("tally-api", &uid, &gid);
    if (r == 0 && fchownat(state, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        r = log_fail(-errno, "data_provider.backups_path: cannot give %s to tally-api", path);
    return r;
}

/* state_dir is root's, and the api (group tally) makes the store's files in it; sticky, so that it cannot touch
 * the others. */
static int make_dirs(const struct config *c)
{
    gid_t gid;
    int r = administrators_find(&gid);

    if (r == 0)
        r = make_dir(c->state_dir, 01770, 0, gid);
    if (r == 0)
        r = make_backups_dir(c);
    if (r == 0)
        r = make_dir(c->runtime_dir, 0755, 0, 0);
    if (r == 0)
        r = make_dir(c->data_provider.users_base_dir, 0755, 0, 0);
    return r;
}

static int take_lock(struct holdings *h)
{
    CLEANUP(fd_close) int dir = open(h->config->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return log_fail(-errno, "cannot open %s", h->config->state_dir);
    h->lock_fd = sys_open_beneath(dir, "tallyd.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (h->lock_fd < 0)
        return log_fail(h->lock_fd, "cannot open the lock file in %s", h->config->state_dir);
    if (flock(h->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return log_fail(-errno, "another tallyd runs with the state directory %s", h->config->state_dir);
    return 0;
}

static int open_sftp_sockets(struct holdings *h)
{
    const struct sftpd_binding *b = h->config->sftpd.bindings.v;
    struct why why;

    for (size_t i = 0; i < h->config->sftpd.bindings.n; i++) {
        char what[64];
        char name[32];
        int fd;
        if (b[i].port == 0)
            continue;
        snprintf(what, sizeof what, "sftpd.bindings[%zu]", i);
        snprintf(name, sizeof name, "sftp.%zu", i);
        fd = listen_activated(name);
        int r = fd >= 0 ? 0 : listen_tcp(b[i].address ? b[i].address : "", b[i].port, what, &fd, &why);
        if (r < 0)
            return fail_why(r, &why);
        if ((r = share(h, name, fd)) < 0)
            return r;
    }
    return 0;
}

static int open_httpd_socket(struct holdings *h, const struct httpd_binding *b, size_t i)
{
    char what[64];
    char name[32];
    struct why why;
    int fd = -1;
    int r;

    snprintf(what, sizeof what, "httpd.bindings[%zu]", i);
    snprintf(name, sizeof name, "httpd.%zu", i);
    if ((fd = listen_activated(name)) >= 0)
        return share(h, name, fd);
    if (b->address != NULL && b->address[0] == '/')
        r = listen_unix(b->address, 0, what, &fd, &why);
    else if (b->port != 0)
        r = listen_tcp(b->address ? b->address : "", b->port, what, &fd, &why);
    else
        return 0;
    return r < 0 ? fail_why(r, &why) : share(h, name, fd);
}

static int open_admin_socket(struct holdings *h)
{
    char path[4096];
    struct why why;
    gid_t gid;
    int fd;
    int r = administrators_find(&gid);

    if (r < 0)
        return r;
    snprintf(path, sizeof path, "%s/api.sock", h->config->runtime_dir);
    r = listen_unix(path, gid, "runtime_dir", &fd, &why);
    return r < 0 ? fail_why(r, &why) : share(h, "admin", fd);
}

static int open_api_sockets(struct holdings *h)
{
    const struct httpd_binding *b = h->config->httpd.bindings.v;
    const struct telemetry_config *t = &h->config->telemetry;
    struct why why;
    int fd;
    int r = 0;

    for (size_t i = 0; r == 0 && i < h->config->httpd.bindings.n; i++)
        r = open_httpd_socket(h, &b[i], i);
    if (r == 0)
        r = open_admin_socket(h);
    if (r < 0 || t->bind_port == 0)
        return r;
    r = listen_tcp(t->bind_address ? t->bind_address : "", t->bind_port, "telemetry.bind_port", &fd, &why);
    return r < 0 ? fail_why(r, &why) : share(h, "telemetry", fd);
}

static int open_tables(struct holdings *h)
{
    struct connections table;
    int metrics_fd;
    int r = connections_create(&table);

    if (r < 0)
        return log_fail(r, "cannot make the connection table");
    r = share(h, "connections", fcntl(table.fd, F_DUPFD_CLOEXEC, 3));
    connections_detach(&table);
    if (r < 0)
        return r;
    r = metric_create(&metrics_fd);
    if (r < 0 || (r = metric_attach(metrics_fd, 0)) < 0)
        return log_fail(r, "cannot make the metrics table");
    return share(h, "metrics", metrics_fd);
}

static int open_guards(struct holdings *h)
{
    int r = guards_create(&h->guards);

    if (r < 0)
        return log_fail(r, "cannot make the tables of the defender and the rate limiters");
    r = guards_set(&h->guards, &h->config->common);
    if (r == 0)
        r = share(h, "defender", fcntl(h->guards.defender.fd, F_DUPFD_CLOEXEC, 3));
    return r < 0 ? r : share(h, "rates", fcntl(h->guards.rates.fd, F_DUPFD_CLOEXEC, 3));
}

void holdings_reload(struct holdings *h, const char *config_path)
{
    CLEANUP(config_done) struct config c = { 0 };
    struct why why = { 0 };

    if (config_load(config_path, environ, &c, &why) < 0)
        return; /* level_reload() has logged it */
    IGNORE(guards_set(&h->guards, &c.common), "logged; what was in force stays");
}

/* In the child: keeps two descriptors (what else it inherited would outlive the supervisor with it) and no rights. */
NORETURN static void notifier_main(struct holdings *h)
{
    sigset_t none;
    int fuse_high = fcntl(h->fuse_fd, F_DUPFD, 10); /* out of the way of 3 and 4 */
    int from_high = fcntl(h->notify_read_fd, F_DUPFD, 10);
    int fuse_fd = dup2(fuse_high, 3);
    int from_fd = dup2(from_high, 4);

    IGNORE(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "the end of its messages is the rule, this is the net");
    IGNORE(prctl(PR_SET_NAME, "tallyd-notify", 0, 0, 0), "a name is a help for people");
    close_range(5, ~0U, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fuse_fd == 3 && from_fd == 4)
        notifier_run(fuse_fd, from_fd);
    _exit(0);
}

int notifier_start(struct holdings *h)
{
    h->notifier = fork();
    if (h->notifier < 0)
        return log_fail(-errno, "cannot start the notifier");
    if (h->notifier == 0)
        notifier_main(h);
    return 0;
}

/* The last processes of a predecessor that was just killed may hold its mount for a moment: we have the lock of the
 * state directory, so what still looks alive there gets that moment. */
static int clean_mount(const struct holdings *h, struct why *why)
{
    uint64_t until_ns = sys->now_ns() + CLEAN_MS * UINT64_C(1000000);
    int r = mount_clean(h->config->vfs.mount, why);

    while (r == -EBUSY && sys->now_ns() < until_ns) {
        poll(NULL, 0, CLEAN_STEP_MS);
        r = mount_clean(h->config->vfs.mount, why);
    }
    return r;
}

/* A new mount with an empty state for the vfs. */
int mount_open(struct holdings *h)
{
    struct why why;
    int pair[2];
    int r = clean_mount(h, &why);

    if (r == 0)
        r = mount_homes(h->config->vfs.mount, &h->fuse_fd, &why);
    if (r < 0)
        return fail_why(r, &why);
    h->vfs_state_fd = memfd_create("tally-vfs", MFD_CLOEXEC);
    if (h->vfs_state_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return log_fail(-errno, "cannot make the vfs role's memory");
    h->notify_read_fd = pair[0];
    h->notify_fd = pair[1];
    return notifier_start(h);
}

void mount_close(struct holdings *h)
{
    if (h->fuse_fd < 0)
        return;
    int r = unmount_homes(h->config->vfs.mount);
    if (r < 0)
        IGNORE(log_fail(r, "cannot unmount %s", h->config->vfs.mount), "logged");
    fd_close(&h->fuse_fd);
    fd_close(&h->vfs_state_fd);
    fd_close(&h->notify_fd);
    fd_close(&h->notify_read_fd);
    if (h->notifier > 0) {
        kill(h->notifier, SIGKILL);
        waitpid(h->notifier, NULL, 0);
    }
    h->notifier = 0;
}

int holdings_open(struct holdings *h)
{
    int r = make_dirs(h->config);

    if (r == 0)
        r = take_lock(h);
    if (r == 0)
        r = open_sftp_sockets(h);
    if (r == 0)
        r = open_api_sockets(h);
    if (r == 0)
        r = open_tables(h);
    if (r == 0)
        r = open_guards(h);
    return r;
}
