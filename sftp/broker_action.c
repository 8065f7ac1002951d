/* Hooks of actions. What nobody waits for goes to a queue (base/hook.h); a session that waits is handed, with its
 * socket unwatched, to one of a few threads of our own: a worker of the broker that slept in a hook would keep others
 * from logging in. The thread answers and gives the session back. */
#include <stdlib.h>
#include <string.h>

#include "base/hook.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "sftp/action.h"
#include "sftp/broker.h"

enum { BODY_MAX = 64 * 1024, NUMBER_MAX = 24 };

struct job {
    struct session *session; /* nobody else's until the answer is sent */
    struct action_event event;
};

struct broker_actions {
    struct sftpd *sftpd;
    const struct actions_config *config; /* of the start */
    uint32_t wanted;
    struct hook_queue *later;
    struct mutex lock;
    pthread_cond_t more;
    struct job jobs[ACTIONS_WAITING_MAX]; /* guarded by lock: a ring */
    size_t first, n;
    bool stop;
    pthread_t threads[ACTION_THREADS];
    size_t threads_n;
};

/* What a hook is told, in both forms. An empty or zero member is left out of the JSON unless `always`. */
enum told {
    ACTION,
    USERNAME,
    PATH,
    TARGET,
    VIRTUAL_PATH,
    VIRTUAL_TARGET,
    SSH_CMD,
    FILE_SIZE,
    FS_PROVIDER,
    STATUS,
    PROTOCOL,
    IP,
    SESSION_ID,
    OPEN_FLAGS,
    TIMESTAMP,
    TOLD
};

static const struct {
    const char *variable, *member;
    bool is_number, always;
} told[TOLD] = {
    [ACTION] = { "SFTPGO_ACTION", "action", false, true },
    [USERNAME] = { "SFTPGO_ACTION_USERNAME", "username", false, true },
    [PATH] = { "SFTPGO_ACTION_PATH", "path", false, true },
    [TARGET] = { "SFTPGO_ACTION_TARGET", "target_path", false, false },
    [VIRTUAL_PATH] = { "SFTPGO_ACTION_VIRTUAL_PATH", "virtual_path", false, true },
    [VIRTUAL_TARGET] = { "SFTPGO_ACTION_VIRTUAL_TARGET", "virtual_target_path", false, false },
    [SSH_CMD] = { "SFTPGO_ACTION_SSH_CMD", "ssh_cmd", false, false },
    [FILE_SIZE] = { "SFTPGO_ACTION_FILE_SIZE", "file_size", true, false },
    [FS_PROVIDER] = { "SFTPGO_ACTION_FS_PROVIDER", "fs_provider", true, true },
    [STATUS] = { "SFTPGO_ACTION_STATUS", "status", true, true },
    [PROTOCOL] = { "SFTPGO_ACTION_PROTOCOL", "protocol", false, true },
    [IP] = { "SFTPGO_ACTION_IP", "ip", false, true },
    [SESSION_ID] = { "SFTPGO_ACTION_SESSION_ID", "session_id", false, true },
    [OPEN_FLAGS] = { "SFTPGO_ACTION_OPEN_FLAGS", "open_flags", true, false },
    [TIMESTAMP] = { "SFTPGO_ACTION_TIMESTAMP", "timestamp", true, true },
};

struct telling {
    const char *text[TOLD]; /* borrowed */
    int64_t number[TOLD];   /* where is_number */
    char digits[TOLD][NUMBER_MAX];
    char path[2 * PATH_MAX], target[2 * PATH_MAX];
    struct hook_value values[TOLD];
    struct strbuf body;
};

/* The place on the host, through the mount; a home's virtual paths are clean, so the text is, too. */
static void place_on_host(const struct sftpd *s, const struct session *n, const char *path, char *to, size_t room)
{
    struct strbuf b = STRBUF(room);
    if (path[0])
        strbuf_addf(&b, "%s/%s%s", s->o.config->vfs.mount, n->username, path[1] ? path : "");
    str_set(to, room, strbuf_ok(&b) == 0 && b.s ? b.s : "");
    strbuf_done(&b);
}

static void tell_body(struct telling *t)
{
    struct json_out j = { .to = &t->body, .first = true };
    json_begin(&j, '{');
    for (size_t i = 0; i < TOLD; i++) {
        bool is_empty = told[i].is_number ? t->number[i] == 0 : !t->text[i][0];
        if (is_empty && !told[i].always)
            continue;
        if (told[i].is_number)
            json_name_int(&j, told[i].member, t->number[i]);
        else
            json_name_str(&j, told[i].member, t->text[i]);
    }
    json_end(&j, '}');
}

static void tell_values(struct telling *t)
{
    for (size_t i = 0; i < TOLD; i++) {
        struct strbuf b = STRBUF(NUMBER_MAX);
        strbuf_addi(&b, t->number[i]);
        str_set(t->digits[i], NUMBER_MAX, strbuf_ok(&b) == 0 ? b.s : "");
        strbuf_done(&b);
        t->values[i] =
            (struct hook_value){ .variable = told[i].variable, .value = told[i].is_number ? t->digits[i] : t->text[i] };
    }
}

static int tell(const struct sftpd *s, const struct session *n, const struct action_event *e, struct telling *t)
{
    place_on_host(s, n, e->path, t->path, sizeof(t->path));
    place_on_host(s, n, e->target, t->target, sizeof(t->target));
    t->text[ACTION] = action_name(e->action);
    t->text[USERNAME] = n->username;
    t->text[PATH] = t->path;
    t->text[TARGET] = t->target;
    t->text[VIRTUAL_PATH] = e->path;
    t->text[VIRTUAL_TARGET] = e->target;
    t->text[SSH_CMD] = e->command;
    t->text[PROTOCOL] = e->protocol;
    t->text[IP] = n->address;
    t->text[SESSION_ID] = n->connection_id;
    t->number[FILE_SIZE] = (int64_t)MIN(e->size_bytes, (uint64_t)INT64_MAX);
    t->number[STATUS] = e->status;
    t->number[OPEN_FLAGS] = e->open_flags;
    t->number[TIMESTAMP] = sys->wall_ms() * 1000000;
    t->body = (struct strbuf)STRBUF(BODY_MAX);
    tell_values(t);
    tell_body(t);
    return strbuf_ok(&t->body);
}

static struct hook_request request_of(const struct broker_actions *a, const struct telling *t)
{
    return (struct hook_request){
        .hook = a->config->hook,
        .values = t->values,
        .values_n = TOLD,
        .body = t->body.s,
        .timeout_ms = ACTION_TIMEOUT_MS,
        .uid = a->sftpd->service_uid,
        .gid = a->sftpd->service_gid,
    };
}

/* Runs a hook that is waited for: has it said yes? */
static bool hook_agrees(const struct broker_actions *a, const struct session *n, const struct action_event *e)
{
    struct telling *t = calloc(1, sizeof(*t));
    struct hook_answer answer = { 0 };
    bool agrees = false;
    int r = t ? tell(a->sftpd, n, e, t) : -ENOMEM;

    if (r == 0) {
        struct hook_request q = request_of(a, t);
        r = hook_run(&q, &answer);
        agrees = r == 0 && hook_accepted(&q, &answer);
    }
    if (r < 0)
        log_fail(r, "the hook %s for %s of %s failed", a->config->hook, action_name(e->action), n->username);
    hook_answer_done(&answer);
    if (t)
        strbuf_done(&t->body);
    free(t);
    return agrees;
}

static int answer(struct session *n, bool agrees)
{
    struct queue q = QUEUE(16);
    packet_put_u8(&q, SAY_ACTION_DONE);
    packet_put_u8(&q, agrees);
    int r = broker_send_now(n->watched.fd, &q, NULL, 0);
    queue_done(&q);
    return r;
}

/* False at the end. *ret_run: not if the broker is being stopped. */
static bool job_next(struct broker_actions *a, struct job *ret, bool *ret_run)
{
    mutex_lock(&a->lock);
    while (a->n == 0 && !a->stop)
        pthread_cond_wait(&a->more, &a->lock.m);
    bool has = a->n > 0;
    if (has) {
        *ret = a->jobs[a->first];
        a->first = (a->first + 1) % ACTIONS_WAITING_MAX;
        a->n--;
    }
    *ret_run = !a->stop;
    mutex_unlock(&a->lock);
    return has;
}

static void give_back(struct sftpd *s, struct session *n, bool agrees)
{
    if (answer(n, agrees) < 0 || broker_watch(s, &n->watched, true) < 0)
        session_end(s, n);
}

static void *action_thread(void *arg)
{
    struct broker_actions *a = arg;
    struct job j;
    bool run;

    while (job_next(a, &j, &run)) {
        bool agrees = run && hook_agrees(a, j.session, &j.event);
        action_done(&j.event);
        give_back(a->sftpd, j.session, agrees);
    }
    return NULL;
}

/* The event is moved when it could be added. */
static bool job_add(struct broker_actions *a, struct session *n, const struct action_event *e)
{
    mutex_lock(&a->lock);
    bool has_room = a->n < ACTIONS_WAITING_MAX && !a->stop;
    if (has_room) {
        a->jobs[(a->first + a->n++) % ACTIONS_WAITING_MAX] = (struct job){ n, *e };
        pthread_cond_signal(&a->more);
    }
    mutex_unlock(&a->lock);
    if (!has_room) /* else e and n are another's already */
        log_warn("too many hooks are waited for: %s of %s is refused", action_name(e->action), n->username);
    return has_room;
}

static void run_later(const struct broker_actions *a, const struct session *n, const struct action_event *e)
{
    struct telling *t = calloc(1, sizeof(*t));
    int r = t ? tell(a->sftpd, n, e, t) : -ENOMEM;

    if (r == 0) {
        struct hook_request q = request_of(a, t);
        r = hook_later(a->later, &q);
    }
    if (r < 0 && r != -EAGAIN)
        log_fail(r, "the hook for %s of %s is left out", action_name(e->action), n->username);
    if (t)
        strbuf_done(&t->body);
    free(t);
}

bool action_serve(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct broker_actions *a = s->actions;
    struct action_event e;

    if (!n->logged_in || action_parse(in, &e) < 0)
        return false;
    bool is_wanted = a && a->wanted & 1U << e.action;
    bool goes_on = true;
    if (is_wanted && e.waits)
        n->action = malloc(sizeof(e));
    if (n->action) {
        *n->action = e;
        return true;
    }
    if (e.waits)
        goes_on = answer(n, !is_wanted && e.action != ACTION_PRE_DELETE) == 0; /* nobody has deleted it */
    else if (is_wanted)
        run_later(a, n, &e);
    action_done(&e);
    return goes_on;
}

void action_hand_over(struct sftpd *s, struct session *n)
{
    struct action_event e = *n->action;
    free(n->action);
    n->action = NULL;
    if (job_add(s->actions, n, &e)) /* from here on it is another's */
        return;
    action_done(&e);
    give_back(s, n, false);
}

int broker_actions_start(struct sftpd *s)
{
    const struct actions_config *c = &s->o.config->common.actions;
    if (actions_wanted(c) == 0)
        return 0;
    struct broker_actions *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    *a = (struct broker_actions){ .sftpd = s, .config = c, .wanted = actions_wanted(c) };
    mutex_init(&a->lock, RANK_QUEUE);
    pthread_cond_init(&a->more, NULL);
    s->actions = a;
    int r = hook_queue_new(ACTION_THREADS, &a->later);
    for (; r == 0 && a->threads_n < ACTION_THREADS; a->threads_n += r == 0)
        r = -pthread_create(&a->threads[a->threads_n], NULL, action_thread, a);
    return r;
}

void broker_actions_stop(struct sftpd *s)
{
    struct broker_actions *a = s->actions;
    if (!a)
        return;
    mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->more);
    mutex_unlock(&a->lock);
    for (size_t i = 0; i < a->threads_n; i++)
        pthread_join(a->threads[i], NULL);
    hook_queue_free(a->later);
    pthread_cond_destroy(&a->more);
    mutex_done(&a->lock);
    free(a);
    s->actions = NULL;
}
