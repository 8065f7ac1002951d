/* Leader and followers. One mutex around read(2), which the leader keeps from request to request and lets go of before
 * what is slow: twelve lines that give one client the speed of a single thread and do not make others wait behind an
 * fsync. To let go after each request would wake a follower each time. More readers at once are only colder; io_uring
 * cannot survive a crash of this process.
 *
 * A signal ends the wait of the leader when the session shall stop: read(2) returns EINTR. One that arrives just
 * before the read would be lost, so the stopper repeats it until the threads are gone. A descriptor that does not
 * block was the other way; but that is a property of the open file, which outlives us and belongs to the supervisor
 * as well.
 *
 * Resume: the kernel sends INIT once in the life of a mount. Its bytes are in the state, and are fed to libfuse again
 * under another unique; the kernel does not know that one and drops the answer. Then FUSE_NOTIFY_RESEND: everything
 * that was read but not answered comes again, with the highest bit of its unique set. */
#include "vfs/transport.h"

#include <linux/fuse.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vfs/call.h"
#include "vfs/homes.h"
#include "vfs/op.h"

enum {
    NOTIFY_RESEND = 7,                    /* FUSE_NOTIFY_RESEND of Linux 6.9; Debian 12 has older headers */
    REQUEST_ROOM = (1 << 20) + (1 << 16), /* max_write and its headers */
    WRITE_WAITED_NS = 5000000,            /* much longer than a copy of 1 MiB: it waited for the disk */
    WRITES_WAIT_NS = 1000000000,
    THREADS_MAX = 64,
    THREADS_USUAL = 16, /* slow handlers (fsync, a copy) hold one each; parked ones cost nothing but a buffer */
    STOP_AGAIN_MS = 5,
};
#define INIT_UNIQUE_AGAIN (UINT64_C(1) << 61) /* the kernel counts up from 2: it never gets there */

struct worker {
    struct transport *transport;
    pthread_t thread;
    bool leads;
    uint64_t unique;
    void *request; /* REQUEST_ROOM */
    void *reply;   /* TRANSPORT_ROOM */
};

struct transport {
    struct vfs *vfs;
    struct fuse_session *session;
    int fd;
    bool is_mounted; /* the session owns fd */
    int ended_fd;    /* eventfd: readable when the last thread is gone */
    struct mutex lead;
    _Atomic bool stop;
    _Atomic uint64_t suspect_until_ns;     /* a write took long: look why */
    _Atomic uint64_t writes_wait_until_ns; /* relaxed: a hint */
    _Atomic unsigned running;
    _Atomic int error;
    struct worker workers[THREADS_MAX];
    unsigned n;
};

static _Thread_local struct worker *me;

static int stop_signal(void)
{
    return SIGRTMIN + 3;
}

static void stop_signal_came(int number)
{
    (void)number;
}

uint64_t transport_unique(void)
{
    return me != NULL ? me->unique : 0;
}

void *transport_room(void)
{
    return me->reply;
}

void transport_slow(void) NO_ANALYSIS
{
    if (me == NULL || !me->leads)
        return;
    me->leads = false;
    mutex_unlock(&me->transport->lead);
}

struct fuse_session *transport_session(struct transport *t)
{
    return t->session;
}

/* Memory that is there and stays there. */
static void *resident(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    memset(p, 0, len);
    if (mlock(p, len) < 0)
        log_warn("request buffers cannot be locked in memory (%s): a crash may cost a client an EIO",
                 error_text(errno));
    return p;
}

static int worker_init(struct worker *w, struct transport *t)
{
    w->transport = t;
    w->request = resident(REQUEST_ROOM);
    w->reply = resident(TRANSPORT_ROOM);
    return w->request == NULL || w->reply == NULL ? -ENOMEM : 0;
}

static void worker_done(struct worker *w)
{
    if (w->request != NULL)
        munmap(w->request, REQUEST_ROOM);
    if (w->reply != NULL)
        munmap(w->reply, TRANSPORT_ROOM);
}

/* An identity of its own for what callers create (call.c). */
static void worker_identity(void)
{
    if (unshare(CLONE_FS) < 0)
        log_warn("threads share one umask: %s", error_text(errno));
    if (prctl(PR_SET_SECUREBITS, prctl(PR_GET_SECUREBITS) | SECBIT_NO_SETUID_FIXUP) < 0)
        log_warn("capabilities drop with the fsuid (%s): files in directories of supplementary groups may be refused",
                 error_text(errno));
    umask(077);
}

/* Requests whose handlers are slow by what they are; handlers that turn out to be slow say so themselves. */
static bool is_slow(const struct fuse_in_header *in)
{
    return in->opcode == FUSE_FSYNC || in->opcode == FUSE_FSYNCDIR || in->opcode == FUSE_FALLOCATE ||
           in->opcode == FUSE_COPY_FILE_RANGE;
}

/* A write into the page cache is a copy, and to wake a follower for it costs more than the others' waiting. It is slow
 * when more is dirty than the disk takes; then it is for all writes, and one that has waited tells the next ones. */
static bool writes_wait(const struct transport *t)
{
    return sys->now_ns() < atomic_load_explicit(&t->writes_wait_until_ns, memory_order_relaxed);
}

/* How often this thread gave its processor away. One that was taken away (others have work, too) is not counted: that
 * write did not wait for the disk. */
static long thread_waits(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) < 0 ? 0 : u.ru_nvcsw;
}

/* The first write that takes long makes the next ones suspect: only then is it asked why. */
static void write_run(struct worker *w, const struct fuse_buf *buf)
{
    struct transport *t = w->transport;
    uint64_t since_ns = sys->now_ns();

    if (writes_wait(t))
        transport_slow();
    bool is_suspect = since_ns < atomic_load_explicit(&t->suspect_until_ns, memory_order_relaxed);
    long waits = is_suspect ? thread_waits() : 0;
    fuse_session_process_buf(t->session, buf);
    uint64_t now_ns = sys->now_ns();
    if (now_ns - since_ns <= WRITE_WAITED_NS)
        return;
    if (is_suspect && thread_waits() != waits)
        atomic_store_explicit(&t->writes_wait_until_ns, now_ns + WRITES_WAIT_NS, memory_order_relaxed);
    atomic_store_explicit(&t->suspect_until_ns, now_ns + WRITES_WAIT_NS, memory_order_relaxed);
}

/* 1: a request is in the buffer; 0: try again; -ENODEV: the session is over. */
static int request_read(struct transport *t, void *buf, size_t *ret_len)
{
    ssize_t n = read(t->fd, buf, REQUEST_ROOM);

    if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
        *ret_len = (size_t)n;
        return 1;
    }
    if (n >= 0)
        return -EIO;
    return errno == EINTR || errno == EAGAIN || errno == ENOENT ? 0 : -errno;
}

static void request_run(struct worker *w, size_t len)
{
    const struct fuse_in_header *in = w->request;
    struct fuse_buf buf = { .mem = w->request, .size = len };

    w->unique = in->unique;
    if (homes_resuming(w->transport->vfs) && in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET)
        node_resume(w->transport->vfs, in->nodeid);
    if (is_slow(in))
        transport_slow();
    if (in->opcode == FUSE_WRITE)
        write_run(w, &buf);
    else
        fuse_session_process_buf(w->transport->session, &buf);
}

static void *worker_main(void *arg) NO_ANALYSIS /* the lead goes from thread to thread */
{
    struct worker *w = arg;
    struct transport *t = w->transport;
    int r = 0;

    me = w;
    worker_identity();
    while (!t->stop && r >= 0) {
        size_t len = 0;
        if (!w->leads)
            mutex_lock(&t->lead);
        w->leads = true;
        r = t->stop ? 0 : request_read(t, w->request, &len);
        if (r > 0)
            request_run(w, len);
    }
    if (r < 0) {
        t->stop = true;
        if (r != -ENODEV)
            t->error = r;
    }
    transport_slow();
    if (--t->running == 0)
        eventfd_write(t->ended_fd, 1);
    return NULL;
}

/* ---- initialisation --------------------------------------------------------------------------------------------- */

/* The first request of a new mount; kept for those who come after us. */
static int init_read(struct transport *t, struct worker *w, size_t *ret_len)
{
    struct state *s = t->vfs->state;
    int r;

    do
        r = request_read(t, w->request, ret_len);
    while (r == 0);
    if (r < 0)
        return r;
    const struct fuse_in_header *in = w->request;
    if (in->opcode != FUSE_INIT || *ret_len > STATE_INIT_MAX)
        return -EPROTO;
    memcpy(s->init, w->request, *ret_len);
    return 0;
}

static void init_again(const struct state *s, struct worker *w, size_t *ret_len)
{
    struct fuse_in_header *in = w->request;

    *ret_len = s->init_len;
    memcpy(w->request, s->init, s->init_len);
    in->unique = INIT_UNIQUE_AGAIN;
}

static int session_init(struct transport *t, bool resume)
{
    struct worker *w = &t->workers[0];
    size_t len = 0;
    int r = worker_init(w, t);

    if (r == 0 && resume)
        init_again(t->vfs->state, w, &len);
    else if (r == 0)
        r = init_read(t, w, &len);
    if (r < 0)
        return r;
    me = w;
    request_run(w, len);
    me = NULL;
    if (fuse_session_exited(t->session))
        return -EPROTO;
    t->vfs->state->init_len = (uint32_t)len;
    return 0;
}

static void fuse_says(enum fuse_log_level level, const char *fmt, va_list ap)
{
    char text[512];
    int n = vsnprintf(text, sizeof text, fmt, ap);

    for (; n > 0 && (size_t)n < sizeof text && text[n - 1] == '\n'; n--)
        text[n - 1] = '\0';
    if (level <= FUSE_LOG_WARNING)
        log_warn("libfuse: %s", text);
    else
        log_debug("libfuse: %s", text);
}

static int session_open(struct transport *t)
{
    char name[] = "tally";
    char *argv[] = { name, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    char path[32];

    fuse_set_log_func(fuse_says);
    t->session = fuse_session_new(&args, &op_table, sizeof op_table, t->vfs);
    fuse_opt_free_args(&args);
    if (t->session == NULL)
        return -ENOMEM;
    snprintf(path, sizeof path, "/dev/fd/%d", t->fd);
    t->is_mounted = fuse_session_mount(t->session, path) == 0;
    return t->is_mounted ? 0 : -EINVAL;
}

int transport_open(struct vfs *v, int fuse_fd, bool resume, struct transport **ret)
{
    struct transport *t = calloc(1, sizeof *t);

    if (t == NULL) {
        fd_close(&fuse_fd);
        return -ENOMEM;
    }
    t->vfs = v;
    t->fd = fuse_fd;
    t->ended_fd = eventfd(0, EFD_CLOEXEC);
    mutex_init(&t->lead, RANK_NONE);
    int r = t->ended_fd < 0 ? -errno : session_open(t);
    if (r == 0)
        r = session_init(t, resume);
    if (r < 0) {
        transport_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int resend_ask(struct transport *t)
{
    struct fuse_out_header head = { .len = sizeof head, .error = NOTIFY_RESEND };

    return write(t->fd, &head, sizeof head) < 0 ? -errno : 0;
}

static int worker_start(struct transport *t, unsigned i)
{
    struct worker *w = &t->workers[i];
    int r = w->request != NULL ? 0 : worker_init(w, t);

    if (r < 0)
        return r;
    t->running++;
    r = -pthread_create(&w->thread, NULL, worker_main, w);
    if (r < 0)
        t->running--;
    else
        t->n++;
    return r;
}

int transport_start(struct transport *t, bool resume, unsigned threads)
{
    struct sigaction sa = { .sa_handler = stop_signal_came };
    int r = resume ? resend_ask(t) : 0;

    if (r < 0)
        return r;
    sigaction(stop_signal(), &sa, NULL);
    threads = threads == 0 ? THREADS_USUAL : MIN(threads, (unsigned)THREADS_MAX);
    for (unsigned i = 0; i < threads && r == 0; i++)
        r = worker_start(t, i);
    return r;
}

/* Only the leader sits in read(2); the others wait for the lead, and come to see `stop` one after the other. */
static bool worker_ended(struct transport *t, struct worker *w)
{
    struct timespec until;

    for (unsigned i = 0; i < t->n; i++)
        pthread_kill(t->workers[i].thread, stop_signal());
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += STOP_AGAIN_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    return pthread_timedjoin_np(w->thread, NULL, &until) == 0;
}

void transport_stop(struct transport *t)
{
    if (t == NULL)
        return;
    t->stop = true;
    while (t->n > 0)
        if (worker_ended(t, &t->workers[t->n - 1]))
            t->n--;
}

void transport_free(struct transport *t)
{
    if (t == NULL)
        return;
    if (t->session != NULL)
        fuse_session_destroy(t->session);
    if (!t->is_mounted)
        fd_close(&t->fd);
    for (size_t i = 0; i < THREADS_MAX; i++)
        worker_done(&t->workers[i]);
    fd_close(&t->ended_fd);
    mutex_done(&t->lead);
    free(t);
}

int transport_wait(struct transport *t)
{
    struct pollfd ended = { .fd = t->ended_fd, .events = POLLIN };

    while (poll(&ended, 1, -1) < 0 && errno == EINTR)
        ;
    return t->error;
}

void transport_wake(struct transport *t)
{
    eventfd_write(t->ended_fd, 1);
}
