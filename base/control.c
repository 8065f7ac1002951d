/* One receiving thread a service. A question takes a slot in `waiting`, sends, and sleeps on the slot's condition until
 * the answer with its id comes, the time is over, or the other end is gone. Ids grow and are never reused, so a late
 * answer finds no slot and is dropped. Sending is one send(2) on a SEQPACKET socket: whole messages, from any thread,
 * no lock. */
#include "base/control.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"

enum { QUESTIONS_MAX = 64, SEND_MS = 5000 };

struct question {
    int64_t id; /* 0: the slot is free */
    bool answered;
    int r;
    struct json_object *args; /* owned */
    pthread_cond_t woken;
};

struct control {
    int fd;
    int stop_fd; /* eventfd */
    pthread_t thread;
    control_handler *handler;
    control_lost *lost;
    void *arg;
    struct mutex lock; /* guards what follows */
    struct question waiting[QUESTIONS_MAX];
    int64_t last_id;
    bool gone;
};

static struct question *question_find(struct control *c, int64_t id)
{
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        if (c->waiting[i].id == id)
            return &c->waiting[i];
    return NULL;
}

static void questions_fail(struct control *c)
{
    mutex_lock(&c->lock);
    c->gone = true;
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        pthread_cond_signal(&c->waiting[i].woken);
    mutex_unlock(&c->lock);
}

static void answer_arrived(struct control *c, int64_t id, struct json_object *o)
{
    mutex_lock(&c->lock);
    struct question *q = id > 0 ? question_find(c, id) : NULL;
    if (q != NULL) {
        q->answered = true;
        q->r = (int)json_number(o, "r", 0);
        q->args = json_object_get(json_member(o, "args"));
        json_object_object_del(o, "args"); /* counts of json-c are not atomic: from here on it is the waiter's alone */
        pthread_cond_signal(&q->woken);
    }
    mutex_unlock(&c->lock);
}

static void message_arrived(struct control *c, const char *text, size_t len)
{
    CLEANUP(json_put_p) struct json_object *o = NULL;
    struct why why;
    int r = json_in(text, len, JSON_WHOLE, &o, &why);

    if (r < 0) {
        log_warn("a control message is not JSON: %s", why.text);
        return;
    }
    struct control_message m = { .from = json_text(o, "from"),
                                 .name = json_text(o, "name"),
                                 .id = json_number(o, "id", 0),
                                 .args = json_member(o, "args") };
    if (json_member(o, "r") != NULL)
        answer_arrived(c, m.id, o);
    else if (m.name != NULL)
        c->handler(c->arg, c, &m);
}

/* true while there may be more */
static bool receive_one(struct control *c, char *buf)
{
    struct pollfd fds[2] = { { .fd = c->fd, .events = POLLIN }, { .fd = c->stop_fd, .events = POLLIN } };

    if (poll(fds, 2, -1) < 0)
        return errno == EINTR;
    if (fds[1].revents != 0)
        return false;
    ssize_t n = recv(c->fd, buf, CONTROL_MAX, MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0) {
        questions_fail(c);
        c->lost(c->arg);
        return false;
    }
    message_arrived(c, buf, (size_t)n);
    return true;
}

static void *control_thread(void *arg)
{
    struct control *c = arg;
    char *buf = malloc(CONTROL_MAX);

    while (buf != NULL && receive_one(c, buf))
        ;
    free(buf);
    questions_fail(c);
    return NULL;
}

static void control_done(struct control *c)
{
    for (size_t i = 0; i < QUESTIONS_MAX; i++) {
        pthread_cond_destroy(&c->waiting[i].woken);
        json_object_put(c->waiting[i].args);
    }
    mutex_done(&c->lock);
    fd_close(&c->fd);
    fd_close(&c->stop_fd);
    free(c);
}

static void condition_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

int control_start(int fd, control_handler *handler, control_lost *lost, void *arg, struct control **ret)
{
    struct control *c = calloc(1, sizeof *c);

    if (c == NULL) {
        fd_close(&fd);
        return -ENOMEM;
    }
    *c = (struct control){ .fd = fd, .stop_fd = eventfd(0, EFD_CLOEXEC), .handler = handler, .lost = lost, .arg = arg };
    mutex_init(&c->lock, RANK_QUEUE);
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        condition_init(&c->waiting[i].woken);
    int r = c->stop_fd < 0 ? -errno : -pthread_create(&c->thread, NULL, control_thread, c);
    if (r < 0) {
        control_done(c);
        return r;
    }
    *ret = c;
    return 0;
}

void control_stop(struct control *c)
{
    if (c == NULL)
        return;
    uint64_t one = 1;
    IGNORE(write(c->stop_fd, &one, sizeof one), "an eventfd takes a 1");
    pthread_join(c->thread, NULL);
    control_done(c);
}

/* Sends {"to":…,"name":…,…}; `o` is moved. A receiver that does not read for SEND_MS is as good as gone. */
static int control_send(struct control *c, struct json_object *o)
{
    if (o == NULL)
        return -ENOMEM;
    size_t len;
    const char *text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len);
    int r = 0;
    if (text == NULL || len > CONTROL_MAX)
        r = -E2BIG;
    while (r == 0 && send(c->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        struct pollfd p = { .fd = c->fd, .events = POLLOUT };
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN || poll(&p, 1, SEND_MS) <= 0)
            r = errno == EAGAIN || errno == 0 ? -EPIPE : -errno;
    }
    json_object_put(o);
    return r;
}

static struct json_object *message_new(const char *to, const char *name, int64_t id, struct json_object *args)
{
    struct json_object *o = json_object_new_object();

    if (o == NULL) {
        json_object_put(args);
        return NULL;
    }
    json_object_object_add(o, "to", json_object_new_string(to));
    if (name != NULL)
        json_object_object_add(o, "name", json_object_new_string(name));
    if (id != 0)
        json_object_object_add(o, "id", json_object_new_int64(id));
    if (args != NULL)
        json_object_object_add(o, "args", args);
    return o;
}

int control_tell(struct control *c, const char *to, const char *name, struct json_object *args)
{
    return control_send(c, message_new(to, name, 0, args));
}

int control_answer(struct control *c, const char *to, int64_t id, int r, struct json_object *args)
{
    struct json_object *o = message_new(to, NULL, id, args);

    if (o != NULL)
        json_object_object_add(o, "r", json_object_new_int(r));
    return control_send(c, o);
}

/* A slot for a new question; NULL if too many wait or the other end is gone. */
static struct question *question_new(struct control *c, int64_t *ret_id)
{
    mutex_lock(&c->lock);
    struct question *q = c->gone ? NULL : question_find(c, 0);
    if (q != NULL)
        *ret_id = q->id = ++c->last_id;
    mutex_unlock(&c->lock);
    return q;
}

static int question_await(struct control *c, struct question *q, unsigned timeout_ms, struct json_object **ret_args)
{
    struct timespec until;
    int r;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    mutex_lock(&c->lock);
    int waited = 0;
    while (!q->answered && !c->gone && waited == 0)
        waited = pthread_cond_timedwait(&q->woken, &c->lock.m, &until);
    r = q->answered ? q->r : c->gone ? -EPIPE : -ETIMEDOUT;
    if (q->answered && ret_args != NULL)
        *ret_args = TAKE_PTR(q->args);
    json_object_put(q->args);
    q->args = NULL;
    q->answered = false;
    q->id = 0;
    mutex_unlock(&c->lock);
    return r;
}

int control_ask(struct control *c, const char *to, const char *name, struct json_object *args, unsigned timeout_ms,
                struct json_object **ret_args)
{
    int64_t id = 0;
    struct question *q = question_new(c, &id);

    if (ret_args != NULL)
        *ret_args = NULL;
    if (q == NULL) {
        json_object_put(args);
        return c->gone ? -EPIPE : -EAGAIN;
    }
    int r = control_send(c, message_new(to, name, id, args));
    if (r == 0)
        return question_await(c, q, timeout_ms, ret_args);
    mutex_lock(&c->lock);
    q->id = 0;
    mutex_unlock(&c->lock);
    return r;
}

struct json_object *control_args(const char *first, ...)
{
    struct json_object *o = json_object_new_object();
    va_list ap;

    va_start(ap, first);
    for (const char *name = first; o != NULL && name != NULL; name = va_arg(ap, const char *)) {
        int kind = va_arg(ap, int);
        if (kind == 's')
            json_object_object_add(o, name, json_object_new_string(va_arg(ap, const char *)));
        else if (kind == 'b')
            json_object_object_add(o, name, json_object_new_boolean(va_arg(ap, int)));
        else
            json_object_object_add(o, name, json_object_new_int64(va_arg(ap, int64_t)));
    }
    va_end(ap);
    return o;
}
