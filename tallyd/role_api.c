/* The api role: the store (the only writer), the REST API, the metrics. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "api/apid.h"
#include "base/lock.h"
#include "base/log.h"
#include "tallyd/service.h"

enum { SOCKETS_MAX = 18 };

struct api_role {
    struct role *role;
    struct store *store;
    struct connections connections;
    struct guards guards;
    struct mutex lock; /* guards apid against the control thread: NULL before the start and from the stop on */
    struct apid *apid;
    struct control *control;
};

static void message(void *arg, struct control *c, const struct control_message *m)
{
    struct api_role *a = arg;
    const char *username = json_text(m->args, "username");

    mutex_lock(&a->lock);
    if (strcmp(m->name, "login") == 0 && username != NULL && a->apid != NULL)
        apid_login_seen(a->apid, username, json_number(m->args, "at_ms", 0));
    if (strcmp(m->name, "reload") == 0 && a->apid != NULL)
        apid_reload(a->apid);
    mutex_unlock(&a->lock);
    if (strcmp(m->name, "reload") == 0)
        IGNORE(level_reload(a->role->config_path), "logged there");
    if (m->id != 0)
        IGNORE(control_answer(c, m->from, m->id, -EOPNOTSUPP, NULL), "who asked is gone");
}

/* Gives the control thread another one to talk to; returns the former. */
static struct apid *set_apid(struct api_role *a, struct apid *apid)
{
    mutex_lock(&a->lock);
    struct apid *former = a->apid;
    a->apid = apid;
    mutex_unlock(&a->lock);
    return former;
}

static size_t take_sockets(struct role *role, struct apid_socket *sockets)
{
    const struct httpd_binding *bindings = role->config->httpd.bindings.v;
    size_t n = 0;
    int fd;

    for (size_t i = 0; i < SOCKETS_MAX - 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "httpd.%zu", i);
        if ((fd = role_take_fd(role, name)) >= 0)
            sockets[n++] = (struct apid_socket){ .fd = fd, .binding = &bindings[i] };
    }
    if ((fd = role_take_fd(role, "admin")) >= 0)
        sockets[n++] = (struct apid_socket){ .fd = fd, .is_admin_socket = true };
    if ((fd = role_take_fd(role, "telemetry")) >= 0)
        sockets[n++] = (struct apid_socket){ .fd = fd, .is_telemetry = true };
    return n;
}

/* Each connection is a descriptor, and the usual soft limit is as low as one listener's connections. */
static void limit_raise(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
        return;
    l.rlim_cur = l.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &l) < 0)
        IGNORE(log_fail(-errno, "cannot raise the number of open files"), "it serves with fewer");
}

static int start_all(struct api_role *a, struct role *role)
{
    static struct apid_socket sockets[SOCKETS_MAX];

    limit_raise();
    size_t n = take_sockets(role, sockets);
    int r = store_open(role->config, STORE_WRITE, &a->store);

    if (r < 0)
        return log_fail(r, "cannot open the store");
    r = connections_attach(role_take_fd(role, "connections"), false, &a->connections);
    if (r == 0)
        r = guards_take(role, &a->guards);
    if (r == 0)
        r = role_control(role, message, a, &a->control);
    if (r < 0)
        return log_fail(r, "cannot start the API");
    struct apid_options o = { .config = role->config,
                              .store = a->store,
                              .control = a->control,
                              .connections = &a->connections,
                              .guards = &a->guards,
                              .sockets = sockets,
                              .sockets_n = n,
                              .restore = { .fd = role_take_fd(role, "loaddata"),
                                           .mode = role->restore_mode,
                                           .scan_quota = role->restore_scan,
                                           .skip_unsupported = role->restore_skips } };
    struct apid *apid;
    r = apid_start(&o, &apid);
    fd_close(&o.restore.fd);
    if (r == -EBADMSG)
        return r;
    if (r < 0)
        return log_fail(r, "cannot start the API");
    set_apid(a, apid);
    return 0;
}

int role_api(struct role *role)
{
    static struct api_role a;

    a.role = role;
    mutex_init(&a.lock, RANK_HOMES);
    int r = start_all(&a, role);
    if (r < 0)
        return r == -EBADMSG ? EXIT_REFUSED : 1;
    role_ready_and_wait(a.control);
    apid_stop(set_apid(&a, NULL)); /* its workers may still ask; then the channel goes */
    control_stop(a.control);
    connections_detach(&a.connections);
    guards_detach(&a.guards);
    store_close(a.store);
    return 0;
}
