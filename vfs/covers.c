/* A list of orders and a thread that gives them one after the other and waits for the answer. An answer that does not
 * come (the binder was started anew) is waited for no longer than ANSWER_MS; then the order is given again, which does
 * no harm. Answers to a predecessor of this process are told by their number. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "vfs/cover.h"

enum { ANSWER_MS = 10000, WAIT_STEP_MS = 20, WAITING_MAX = 1 << 20 };

struct waiting {
    struct waiting *next;
    uint32_t what;
    uint64_t dev, ino;
    char *name, *path; /* owned; there may be very many, so no longer than they must be */
};

struct covers {
    int fd, work_fd;
    pthread_t thread;
    struct mutex lock; /* RANK_QUEUE */
    struct waiting *first, **last;
    size_t n; /* with the one that is under way */
    uint64_t number;
    bool said_full;
    _Atomic bool stop;
};

static void waiting_free(struct waiting *w)
{
    if (w == NULL)
        return;
    free(w->name);
    free(w->path);
    free(w);
}

static struct waiting *waiting_new(const struct cover_order *o)
{
    struct waiting *w = malloc(sizeof *w);

    if (w == NULL)
        return NULL;
    *w = (struct waiting){
        .what = o->what, .dev = o->dev, .ino = o->ino, .name = strdup(o->name), .path = strdup(o->path)
    };
    if (w->name != NULL && w->path != NULL)
        return w;
    waiting_free(w);
    return NULL;
}

static struct waiting *peek(struct covers *c)
{
    mutex_lock(&c->lock);
    struct waiting *w = c->first;
    mutex_unlock(&c->lock);
    return w;
}

static void done(struct covers *c)
{
    mutex_lock(&c->lock);
    struct waiting *w = c->first;
    c->first = w->next;
    if (c->first == NULL)
        c->last = &c->first;
    c->n--;
    mutex_unlock(&c->lock);
    waiting_free(w);
}

static bool give(struct covers *c, const struct waiting *w)
{
    struct cover_order o = { .number = ++c->number, .what = w->what, .dev = w->dev, .ino = w->ino };

    str_set(o.name, sizeof o.name, w->name);
    str_set(o.path, sizeof o.path, w->path);
    return send(c->fd, &o, sizeof o, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN;
}

/* true: this order was answered. */
static bool answered(struct covers *c, uint64_t number)
{
    struct pollfd heard = { .fd = c->fd, .events = POLLIN };
    struct cover_answer a;
    uint64_t until_ns = sys->now_ns() + ANSWER_MS * UINT64_C(1000000);

    while (!c->stop && sys->now_ns() < until_ns) {
        if (poll(&heard, 1, WAIT_STEP_MS) <= 0)
            continue;
        ssize_t got = recv(c->fd, &a, sizeof a, MSG_DONTWAIT);
        if (got == 0)
            return true; /* nobody is there any more, nor will be */
        if (got == sizeof a && a.number == number)
            return true;
    }
    return false;
}

static void *covers_main(void *arg)
{
    struct covers *c = arg;
    struct pollfd work = { .fd = c->work_fd, .events = POLLIN };
    eventfd_t times;

    while (!c->stop) {
        struct waiting *w = peek(c);
        if (w == NULL) {
            if (poll(&work, 1, -1) > 0)
                eventfd_read(c->work_fd, &times);
            continue;
        }
        if (!give(c, w) || answered(c, c->number))
            done(c);
    }
    return NULL;
}

void covers_free(struct covers *c)
{
    if (c == NULL)
        return;
    while (c->first != NULL)
        done(c);
    fd_close(&c->fd);
    fd_close(&c->work_fd);
    mutex_done(&c->lock);
    free(c);
}

int covers_start(int fd, struct covers **ret)
{
    struct covers *c = calloc(1, sizeof *c);

    if (c == NULL) {
        fd_close(&fd);
        return -ENOMEM;
    }
    c->fd = fd;
    c->last = &c->first;
    mutex_init(&c->lock, RANK_QUEUE);
    sys->random(&c->number, sizeof c->number);
    c->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = c->work_fd < 0 ? -errno : -pthread_create(&c->thread, NULL, covers_main, c);
    if (r < 0) {
        covers_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void covers_stop(struct covers *c)
{
    if (c == NULL)
        return;
    c->stop = true;
    eventfd_write(c->work_fd, 1);
    pthread_join(c->thread, NULL);
}

void cover_order(struct covers *c, const struct cover_order *o)
{
    struct waiting *w = waiting_new(o);

    mutex_lock(&c->lock);
    bool full = w == NULL || c->n == WAITING_MAX;
    if (!full) {
        *c->last = w;
        c->last = &w->next;
        c->n++;
    }
    bool say = full && !c->said_full;
    c->said_full |= full;
    mutex_unlock(&c->lock);
    if (full)
        waiting_free(w);
    if (say)
        log_error("too many homes wait to be covered by their view; some stay plain until the next start");
    eventfd_write(c->work_fd, 1);
}

static bool is_idle(struct covers *c)
{
    mutex_lock(&c->lock);
    bool idle = c->n == 0;
    mutex_unlock(&c->lock);
    return idle;
}

bool covers_wait(struct covers *c, unsigned ms)
{
    uint64_t until_ns = sys->now_ns() + ms * UINT64_C(1000000);

    while (!is_idle(c) && sys->now_ns() < until_ns)
        poll(NULL, 0, WAIT_STEP_MS);
    return is_idle(c);
}
