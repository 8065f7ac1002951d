/* The sftp role: store (reading), connection table, broker. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sftp/sftpd.h"
#include "tallyd/service.h"

enum { LISTEN_MAX = 16 };

struct sftp_role {
    struct role *role;
    struct store *store;
    struct connections connections;
    struct guards guards;
    struct sftpd *_Atomic sftpd; /* the control thread looks at it, too */
    struct control *control;
};

static int connection_close(struct sftp_role *s, struct json_object *args)
{
    const char *id = json_text(args, "connection_id");

    return id == NULL ? -EINVAL : sftpd_close_connection(s->sftpd, id);
}

static void user_changed(struct sftp_role *s, struct json_object *args)
{
    if (json_number(args, "removed", 0) != 0 || json_number(args, "disconnect", 0) != 0)
        sftpd_close_user(s->sftpd, json_number(args, "id", 0));
}

static void users_changed(struct sftp_role *s, struct json_object *args)
{
    struct json_object *list = json_member(args, "list");

    for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++)
        user_changed(s, json_object_array_get_idx(list, i));
}

static void reload(struct sftp_role *s)
{
    if (level_reload(s->role->config_path) == 0)
        IGNORE(sftpd_reload(s->sftpd), "logged there; the old configuration stays");
}

static void message(void *arg, struct control *c, const struct control_message *m)
{
    struct sftp_role *s = arg;
    struct json_object *answer = NULL;
    int r = -EOPNOTSUPP;

    if (s->sftpd == NULL)
        r = -ENOTCONN; /* still starting */
    else if (strcmp(m->name, "connection_close") == 0)
        r = connection_close(s, m->args);
    else if (strcmp(m->name, "user_changed") == 0)
        user_changed(s, m->args);
    else if (strcmp(m->name, "users_changed") == 0)
        users_changed(s, m->args);
    else if (strcmp(m->name, "reload") == 0)
        reload(s);
    else if (strcmp(m->name, "status") == 0) {
        answer = sftpd_status(s->sftpd);
        r = 0;
    }
    if (m->id != 0)
        IGNORE(control_answer(c, m->from, m->id, r, answer), "who asked is gone");
    else
        json_object_put(answer);
}

static int start_all(struct sftp_role *s, struct role *role)
{
    static int listen_fds[LISTEN_MAX];
    size_t n = 0;
    int connections_fd = role_take_fd(role, "connections");

    for (; n < LISTEN_MAX; n++) {
        char name[32];
        snprintf(name, sizeof name, "sftp.%zu", n);
        listen_fds[n] = role_take_fd(role, name);
    }
    int r = store_open(role->config, STORE_READ, &s->store);
    if (r < 0)
        return log_fail(r, "cannot open the store");
    r = connections_attach(dup(connections_fd), true, &s->connections);
    if (r == 0)
        r = guards_take(role, &s->guards);
    if (r == 0)
        r = role_control(role, message, s, &s->control);
    if (r < 0)
        return log_fail(r, "cannot start the SFTP server");
    struct sftpd_options o = { .config = role->config,
                               .config_path = role->config_path,
                               .store = s->store,
                               .control = s->control,
                               .connections = &s->connections,
                               .guards = &s->guards,
                               .listen_fds = listen_fds,
                               .listen_n = n,
                               .metrics_fd = role->metrics_fd,
                               .connections_fd = connections_fd };
    struct sftpd *sftpd;
    r = sftpd_start(&o, &sftpd);
    if (r < 0)
        return log_fail(r, "cannot start the SFTP server");
    s->sftpd = sftpd;
    return 0;
}

int role_sftp(struct role *role)
{
    static struct sftp_role s;

    s.role = role;
    if (start_all(&s, role) < 0)
        return 1;
    role_ready_and_wait(s.control);
    control_stop(s.control);
    sftpd_stop(s.sftpd);
    connections_detach(&s.connections);
    guards_detach(&s.guards);
    store_close(s.store);
    return 0;
}
