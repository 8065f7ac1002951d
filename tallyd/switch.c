#include "tallyd/switch.h"

#include <string.h>
#include <sys/socket.h>

#include "base/control.h"
#include "base/log.h"

/* A service that does not read for the sending timeout of its socket loses the message: it is hung, and the log says
 * so. */
static int port_send(const struct switch_port *p, struct json_object *o)
{
    size_t len;
    const char *text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len);

    if (text == NULL || p->fd < 0)
        return -ENOTCONN;
    if (send(p->fd, text, len, MSG_NOSIGNAL) >= 0)
        return 0;
    return log_fail(-errno, "%s does not take its control messages", p->name);
}

static void answer_nobody(const struct switch_port *from, int64_t id, int r)
{
    CLEANUP(json_put_p) struct json_object *o = json_object_new_object();

    json_object_object_add(o, "to", json_object_new_string(from->name));
    json_object_object_add(o, "from", json_object_new_string("supervisor"));
    json_object_object_add(o, "id", json_object_new_int64(id));
    json_object_object_add(o, "r", json_object_new_int(r));
    IGNORE(port_send(from, o), "it asked and is gone");
}

static void deliver(const struct switch_port *ports, size_t n, size_t from, const char *to, struct json_object *o)
{
    int64_t id = json_number(o, "id", 0);
    bool is_answer = json_member(o, "r") != NULL;
    bool found = false;

    for (size_t i = 0; i < n; i++) {
        if (i == from || (strcmp(to, "all") != 0 && strcmp(to, ports[i].name) != 0))
            continue;
        found |= port_send(&ports[i], o) == 0;
    }
    if (!found && id != 0 && !is_answer)
        answer_nobody(&ports[from], id, -ENOTCONN);
}

int switch_pass(const struct switch_port *ports, size_t n, size_t from,
                void (*mine)(void *arg, size_t from, const char *name), void *arg)
{
    static char buf[CONTROL_MAX]; /* one thread */
    CLEANUP(json_put_p) struct json_object *o = NULL;
    ssize_t len = recv(ports[from].fd, buf, sizeof buf, MSG_DONTWAIT);

    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (len == 0)
        return -EPIPE;
    if (json_in(buf, (size_t)len, JSON_WHOLE, &o, NULL) < 0)
        return log_fail(0, "%s sent a control message that is not JSON", ports[from].name);
    const char *to = json_text(o, "to");
    if (to == NULL)
        return 0;
    json_object_object_add(o, "from", json_object_new_string(ports[from].name));
    if (strcmp(to, "supervisor") != 0)
        deliver(ports, n, from, to, o);
    else if (json_text(o, "name") != NULL)
        mine(arg, from, json_text(o, "name"));
    return 0;
}

void switch_tell_all(const struct switch_port *ports, size_t n, const char *name)
{
    CLEANUP(json_put_p) struct json_object *o = json_object_new_object();

    json_object_object_add(o, "to", json_object_new_string("all"));
    json_object_object_add(o, "from", json_object_new_string("supervisor"));
    json_object_object_add(o, "name", json_object_new_string(name));
    for (size_t i = 0; i < n; i++)
        IGNORE(port_send(&ports[i], o), "logged there");
}
