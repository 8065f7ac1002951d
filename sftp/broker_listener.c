/* The listener is this program, executed anew, so that nothing of the broker's memory (store, keys, passwords) is in it
 * or in the sessions that it forks. It is started again when it ends, later and later while it fails at once. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/broker.h"

enum { FIRST_CHILD_FD = 3, FDS_ABOVE = 200, LISTENER_FDS_MAX = 40, RETRY_MS_MAX = 30000, STEADY_MS = 10000 };

/* Descriptors of the child, and the text of TALLY_FDS that names them. */
struct handed {
    int fds[LISTENER_FDS_MAX]; /* copies, above any number that the child uses */
    size_t n;
    struct strbuf text;
};

static void handed_add(struct handed *h, const char *name, int fd)
{
    if (h->n == LISTENER_FDS_MAX || fd < 0)
        return;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, FDS_ABOVE);
    if (copy < 0)
        return;
    strbuf_addf(&h->text, "%s%s=%d", h->n ? "," : "TALLY_FDS=", name, FIRST_CHILD_FD + (int)h->n);
    h->fds[h->n++] = copy;
}

static void handed_done(struct handed *h)
{
    for (size_t i = 0; i < h->n; i++)
        fd_close(&h->fds[i]);
    strbuf_done(&h->text);
}

static void handed_fill(struct sftpd *s, struct handed *h, int broker_fd)
{
    char name[32];
    handed_add(h, "broker", broker_fd);
    handed_add(h, "connections", s->o.connections_fd);
    handed_add(h, "metrics", s->o.metrics_fd);
    if (s->o.guards) {
        handed_add(h, "defender", s->o.guards->defender.fd);
        handed_add(h, "rates", s->o.guards->rates.fd);
    }
    for (size_t i = 0; i < s->o.listen_n; i++) {
        struct strbuf b = STRBUF(sizeof(name));
        strbuf_addf(&b, "sftp.%zu", i);
        handed_add(h, strbuf_ok(&b) == 0 ? b.s : "", s->o.listen_fds[i]);
        strbuf_done(&b);
    }
}

/* The C library copies 2 KiB and more by "rep movsb", which on some processors (AMD Zen 3 and 4) is twenty times slower
 * where source and target lie badly to each other, as in libssh's copy of each packet: a third of an upload's time. Who
 * has chosen tunables keeps them. */
#define TUNABLES "GLIBC_TUNABLES="
static char copy_by_vectors[] = TUNABLES "glibc.cpu.x86_rep_movsb_threshold=1048576";

/* Our environment with the child's TALLY_FDS; the strings are borrowed. */
static char **environment(const struct handed *h)
{
    size_t n = 0, m = 0;
    bool is_tuned = false;
    while (environ[n])
        n++;
    char **v = calloc(n + 3, sizeof(*v));
    if (!v)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        is_tuned = is_tuned || str_has_prefix(environ[i], TUNABLES);
        if (!str_has_prefix(environ[i], "TALLY_FDS="))
            v[m++] = environ[i];
    }
    v[m++] = h->text.s;
    if (!is_tuned)
        v[m] = copy_by_vectors;
    return v;
}

static int spawn(struct sftpd *s, struct handed *h, pid_t *ret)
{
    char *argv[] = {
        (char[]){ "tallyd-sftp" }, (char[]){ "--role" }, (char[]){ "sftp-listener" }, (char[]){ "--config" }, NULL, NULL
    };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    char **env = environment(h);
    CLEANUP(mem_free) char *config_path = NULL;

    if (!env)
        return -ENOMEM;
    if (s->o.config_path && str_copy(&config_path, s->o.config_path) == 0)
        argv[4] = config_path;
    else
        argv[3] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    for (size_t i = 0; i < h->n; i++)
        posix_spawn_file_actions_adddup2(&actions, h->fds[i], FIRST_CHILD_FD + (int)i);
    int r = -posix_spawn(ret, "/proc/self/exe", &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    free(env);
    return r;
}

static int send_host_keys(struct sftpd *s, int fd)
{
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    packet_put_u8(&q, SAY_HOST_KEYS);
    packet_put_u32(&q, (uint32_t)s->keys.n);
    for (size_t i = 0; i < s->keys.n; i++)
        packet_put_bytes(&q, s->keys.v[i].blob, s->keys.v[i].blob_len);
    int r = broker_send(fd, &q, NULL, 0);
    queue_done(&q);
    return r;
}

int listener_spawn(struct sftpd *s)
{
    int pair[2];
    pid_t pid;
    struct handed h = { .text = STRBUF(4096) };

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    handed_fill(s, &h, pair[1]);
    int r = strbuf_ok(&h.text);
    if (r == 0)
        r = spawn(s, &h, &pid);
    handed_done(&h);
    fd_close(&pair[1]);
    if (r == 0) {
        s->listener_pid = pid;
        s->listener_since_ns = sys->now_ns();
        mutex_lock(&s->lock);
        s->listener.fd = pair[0];
        mutex_unlock(&s->lock);
        r = send_host_keys(s, pair[0]);
        return r < 0 ? r : broker_watch(s, &s->listener, false);
    }
    fd_close(&pair[0]);
    return r;
}

bool listener_gone(struct sftpd *s)
{
    int status = 0;
    uint64_t now = sys->now_ns();
    bool steady = now - s->listener_since_ns > (uint64_t)STEADY_MS * 1000000;

    mutex_lock(&s->lock);
    fd_close(&s->listener.fd);
    bool was_told = s->listener_told_to_end;
    s->listener_told_to_end = false;
    mutex_unlock(&s->lock);
    if (s->listener_pid > 0)
        IGNORE(waitpid(s->listener_pid, &status, 0), "its end is known by its socket");
    s->listener_pid = -1;
    if (atomic_load_explicit(&s->closing, memory_order_relaxed))
        return false;
    if (was_told)
        return true;
    s->listener_failures = steady ? 0 : MIN(s->listener_failures + 1, 16U);
    uint64_t wait_ms = s->listener_failures ? MIN((uint64_t)250 << s->listener_failures, (uint64_t)RETRY_MS_MAX) : 0;
    s->listener_retry_ns = now + wait_ms * 1000000 + 1;
    log_warn("the SFTP listener ended (status %d); it starts again in %u ms", status, (unsigned)wait_ms);
    return false;
}

/* "ip:port" or "[ip]:port", without the port. */
static void address_of(const char *remote, char *to, size_t room)
{
    const char *end = strrchr(remote, ':');
    const char *start = remote[0] == '[' ? remote + 1 : remote;
    str_set(to, room, start);
    if (!end)
        return;
    size_t len = (size_t)(end - start) - (end > start && end[-1] == ']');
    if (len < room)
        to[len] = '\0';
}

static int text_field(struct packet_in *in, char *to, size_t room)
{
    CLEANUP(mem_free) char *text = NULL;
    int r = packet_text(in, room - 1, &text);
    if (r == 0)
        str_set(to, room, text);
    return r;
}

static struct session *session_new(struct sftpd *s, struct packet_in *in)
{
    struct session *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    pid_t pid = (pid_t)packet_u32(in);
    uint32_t record = packet_u32(in);
    if (text_field(in, n->remote, sizeof(n->remote)) < 0 || text_field(in, n->local, sizeof(n->local)) < 0 ||
        record >= CONNECTIONS_MAX) {
        free(n);
        return NULL;
    }
    address_of(n->remote, n->address, sizeof(n->address));
    n->record = &s->o.connections->v[record];
    n->pid = (uint32_t)pid;
    n->since_ms = sys->wall_ms();
    n->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (n->pidfd < 0 && errno != ESRCH) {
        log_fail(-errno, "a session that could not be ended later is ended now");
        IGNORE(kill(pid, SIGKILL), "it may have ended just now");
    }
    /* The session ends itself at the grace time; this is for one that does not. */
    n->deadline_ns = sys->now_ns() + ((uint64_t)s->login_grace_s + 10) * 1000000000;
    return n;
}

static void session_add(struct sftpd *s, struct session *n)
{
    mutex_lock(&s->lock);
    n->next = s->sessions;
    n->link = &s->sessions;
    if (n->next)
        n->next->link = &n->next;
    s->sessions = n;
    mutex_unlock(&s->lock);
}

/* The listener's word is enough: it can end nothing but what has not logged in. */
static void evict(struct sftpd *s, uint32_t record)
{
    mutex_lock(&s->lock);
    for (struct session *n = s->sessions; n; n = n->next)
        if (record < CONNECTIONS_MAX && n->record == &s->o.connections->v[record] && !n->user_id)
            session_kill(n);
    mutex_unlock(&s->lock);
}

int listener_accept(struct sftpd *s)
{
    uint8_t buf[1024];
    int fds[BROKER_FDS_MAX];
    ssize_t len = broker_receive(s->listener.fd, buf, sizeof(buf), fds);

    if (len == -EAGAIN)
        return 1;
    if (len <= 0)
        return (int)len;
    fd_close(&fds[1]);
    struct packet_in in = { .p = buf, .left = (size_t)len };
    uint8_t type = packet_u8(&in);
    if (type == SAY_EVICT) {
        fd_close(&fds[0]);
        evict(s, packet_u32(&in));
        return 1;
    }
    struct session *n = type == SAY_SESSION && fds[0] >= 0 ? session_new(s, &in) : NULL;
    if (!n) {
        fd_close(&fds[0]);
        return -EBADMSG;
    }
    n->watched = (struct watched){ .kind = WATCH_SESSION, .fd = take_fd(&fds[0]) };
    session_add(s, n);
    if (broker_watch(s, &n->watched, false) < 0)
        session_end(s, n);
    return 1;
}
