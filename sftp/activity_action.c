/* Actions from the session's side: the message to the broker, and the wait for its answer. */
#include <string.h>

#include "sftp/action.h"
#include "sftp/activity.h"
#include "sftp/session.h"

enum { MESSAGE_MAX = 48 * 1024 };

/* Which log line is which action. */
static const struct {
    const char *sender;
    enum action action;
} senders[] = {
    { "Remove", ACTION_DELETE },
    { "Rename", ACTION_RENAME },
    { "Mkdir", ACTION_MKDIR },
    { "Rmdir", ACTION_RMDIR },
};

bool activity_wants(const struct activity *a, enum action action)
{
    return a->actions && a->actions->wanted & 1U << action;
}

static enum action_status status_of(int r)
{
    if (r == 0)
        return ACTION_OK;
    return r == -EDQUOT || r == -EFBIG ? ACTION_QUOTA : ACTION_FAILED;
}

/* 1: the hook agrees; 0: it does not. Without a broker that answers nothing is agreed. */
static int action_ask(struct action_link *l, const struct queue *q)
{
    uint8_t buf[4096]; /* SAY_CLOSE may come instead */
    int fds[BROKER_FDS_MAX];
    ssize_t n = broker_ask(l->broker, q, SAY_ACTION_DONE, buf, sizeof(buf), fds);
    if (n < 0 && !l->broker->close_asked) { /* a late answer would be taken for that of the next question */
        l->broker->close_asked = true;
        str_set(l->broker->close_reason, sizeof(l->broker->close_reason), "the server's hook took too long");
    }
    return n >= 2 && buf[1] == 1;
}

static int action_send(struct activity *a, struct action_event *e)
{
    struct queue q = QUEUE(MESSAGE_MAX);
    int r = 0;

    e->protocol = a->protocol;
    e->waits = action_waits(a->actions->config, e->action);
    packet_put_u8(&q, SAY_ACTION);
    action_put(&q, e);
    if (e->waits)
        r = action_ask(a->actions, &q);
    else
        IGNORE(broker_send(a->actions->broker->fd, &q, NULL, 0), "a broker that is gone ends the session anyway");
    queue_done(&q);
    return r;
}

void activity_tell(struct activity *a, enum action action, const char *path, const struct activity_told *t)
{
    if (!activity_wants(a, action))
        return;
    struct action_event e = { .action = action,
                              .path = path ? path : "",
                              .target = t && t->target ? t->target : "",
                              .command = t && t->command ? t->command : "",
                              .size_bytes = t ? t->size_bytes : 0,
                              .status = status_of(t ? t->r : 0) };
    IGNORE(action_send(a, &e), "it has happened; nobody is asked");
}

int activity_ask(struct activity *a, enum action action, const char *path, uint64_t size_bytes, uint32_t open_flags)
{
    if (!activity_wants(a, action))
        return action == ACTION_PRE_DELETE ? 0 : 1;
    struct action_event e = { .action = action,
                              .path = path,
                              .target = "",
                              .command = "",
                              .size_bytes = size_bytes,
                              .status = ACTION_OK,
                              .open_flags = open_flags };
    return action_send(a, &e);
}

void activity_changed(struct activity *a, const char *sender, const char *path, const char *target)
{
    activity_command(a, sender, path, target, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(senders); i++)
        if (strcmp(senders[i].sender, sender) == 0)
            activity_tell(a, senders[i].action, path,
                          &(struct activity_told){ .target = target, .size_bytes = a->size_bytes });
}
