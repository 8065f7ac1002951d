/* Each part is opened once, by root, before the first service starts; the services get the descriptors by name. The
 * mount is in holdings_mount.c. */
#include "tallyd/holdings.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/connections.h"
#include "base/dirs.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "tallyd/listen.h"
#include "tallyd/service.h"

void holdings_init(struct holdings *h, const struct config *config)
{
    *h = (struct holdings){
        .config = config,
        .fuse_fd = -1,
        .vfs_state_fd = -1,
        .notify_fd = -1,
        .notify_read_fd = -1,
        .cover_fd = -1,
        .cover_read_fd = -1,
        .namespace_fd = -1,
        .lock_fd = -1,
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

static int make_dir(const char *path, mode_t mode, gid_t gid)
{
    int r = dirs_make(path, &(struct dir_rights){ .mode = mode, .gid = gid });

    return r < 0 ? log_fail(r, "cannot make the directory %s", path) : 0;
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
        r = make_dir(c->state_dir, 01770, gid);
    if (r == 0)
        r = make_backups_dir(c);
    if (r == 0)
        r = make_dir(c->runtime_dir, 0755, 0);
    if (r == 0 && c->data_provider.users_base_dir[0] != '\0')
        r = make_dir(c->data_provider.users_base_dir, 0755, 0);
    return r;
}

static int take_lock(struct holdings *h)
{
    CLEANUP(fd_close) int dir = open(h->config->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char pid[16];

    if (dir < 0)
        return log_fail(-errno, "cannot open %s", h->config->state_dir);
    h->lock_fd = sys_open_beneath(dir, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (h->lock_fd < 0)
        return log_fail(h->lock_fd, "cannot open the lock file in %s", h->config->state_dir);
    if (flock(h->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return log_fail(-errno, "another tallyd runs with the state directory %s", h->config->state_dir);
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    int r = sys->ftruncate(h->lock_fd, 0);
    if (r == 0)
        r = (int)MIN(sys->pwrite(h->lock_fd, pid, (size_t)n, 0), 0);
    return r < 0 ? log_fail(r, "cannot write the lock file in %s", h->config->state_dir) : 0;
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
