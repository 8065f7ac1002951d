/* The listener: accepts, bounds, forks. It is executed anew by the broker, so that it is small (a fork pays for touched
 * memory) and holds nothing of the broker's; and it does before the first connection what a session would do otherwise:
 * OpenSSL's look-ups, libssh's import of the host keys (notes/session-process.md §3).
 *
 * The host keys here are shells: true public halves, random private halves. Signatures come from the broker.
 * Before the first connection it gives up whatever no session needs (confine.h). Sessions outlive it: the next listener
 * finds them in the connection table and counts them.
 *
 * Limits before fork: max_total_connections, max_per_host_connections, and of those who have not logged in yet at most
 * HALF_OPEN_MAX, HALF_OPEN_ADDRESS_MAX of one address; then the oldest of them gives its place to the next. A session
 * that has logged in shows that in its record. Behind a proxy the address is what the proxy says (proxy.h): the limits
 * come after it. */
#include <libssh/server.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/guards.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "sftp/broker_proto.h"
#include "sftp/confine.h"
#include "sftp/listener_bind.h"
#include "sftp/proxy.h"
#include "sftp/session.h"
#include "sftp/sftpd.h"
#include "sftp/transport.h"

enum {
    LISTEN_MAX = 16,
    HALF_OPEN_MAX = 100,
    HALF_OPEN_ADDRESS_MAX = 10,
    EVICT_MS = 500,
    SFTP_METRIC_ROLE = 2,
    CRASHES_MAX = 5
};
enum { USER_TIMEOUT_MS = 120000, TITLE_BYTES = 32, INHERITED = -1 };

/* A session that was forked and has not ended. */
struct child {
    pid_t pid; /* 0: free; INHERITED */
    struct connection *record;
    struct address address;
    bool is_ours;    /* the record: the broker does not know it */
    bool is_evicted; /* the broker was told to end it */
    uint64_t since_ns;
    int64_t since_ms; /* INHERITED: when it logged in; another time: the record is another's now */
};

enum { PROXY_OFF, PROXY_ON, PROXY_REQUIRED };

struct listener {
    const struct config *config;
    struct connections connections;
    struct guards guards;
    int fds[LISTEN_MAX]; /* by the number of the binding; -1: it is off */
    int broker, signals;
    struct listener_bind bind;
    struct proxy_queue proxies;
    struct child children[CONNECTIONS_MAX];
    size_t children_top; /* all beyond are free */
    unsigned crashes;
};

/* The title that ps shows: a small area of our own, which a session overwrites. */
static char title[TITLE_BYTES];

static void title_set(const char *name)
{
    memset(title, 0, sizeof(title));
    str_set(title, sizeof(title), name);
    IGNORE(prctl(PR_SET_NAME, name, 0, 0, 0), "a name is a help for people");
}

static void title_prepare(void)
{
    title_set("tallyd-sftp");
    if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, title, 0, 0) == 0)
        IGNORE(prctl(PR_SET_MM, PR_SET_MM_ARG_END, title + sizeof(title), 0, 0), "then ps shows the old title");
}

/* Sessions of the listener before this one go on and count. Records that nobody ever used are holes of the table and
 * are not touched. */
static void inherit_children(struct listener *l)
{
    const int64_t size = (int64_t)sizeof(struct connection);
    struct connection_facts *f = malloc(sizeof(*f));
    int64_t last_ms, at = 0;

    while (f && (at = sys->lseek(l->connections.fd, at, SEEK_DATA)) >= 0 && at / size < CONNECTIONS_MAX) {
        struct connection *record = &l->connections.v[at / size];
        struct child *c = &l->children[l->children_top];
        at = (at / size + 1) * size;
        struct peer peer;
        if (!connection_read(record, f, &last_ms) || !peer_parse(f->remote_address, &peer))
            continue;
        c->address = peer.address;
        c->pid = INHERITED;
        c->record = record;
        c->since_ms = f->connect_ms;
        l->children_top++;
    }
    free(f);
}

static void forget_inherited(struct listener *l)
{
    for (size_t i = 0; i < l->children_top; i++) {
        struct child *c = &l->children[i];
        bool live = c->pid && atomic_load_explicit(&c->record->state, memory_order_acquire) == CONNECTION_LIVE;
        if (c->pid == INHERITED && (!live || c->record->who.connect_ms != c->since_ms))
            c->pid = 0;
    }
}

struct counts {
    unsigned total, address, half_open, half_open_address;
};

static struct counts count(const struct listener *l, const struct address *address)
{
    struct counts n = { 0 };
    for (size_t i = 0; i < l->children_top; i++) {
        const struct child *c = &l->children[i];
        if (!c->pid)
            continue;
        bool same = address_equal(&c->address, address);
        bool open = atomic_load_explicit(&c->record->state, memory_order_relaxed) != CONNECTION_LIVE;
        if (c->is_evicted)
            continue; /* it ends now */
        n.total++;
        n.address += same;
        n.half_open += open;
        n.half_open_address += same && open;
    }
    return n;
}

/* Makes room for one more: of those who have not logged in the oldest goes, if it had its time. A flood of silent
 * connections then keeps nobody out for long, and a flood of new ones does not push out those who are busy logging
 * in. */
static bool evict(struct listener *l, const struct address *address)
{
    struct child *oldest = NULL;

    for (size_t i = 0; i < l->children_top; i++) {
        struct child *c = &l->children[i];
        if (c->pid <= 0 || c->is_evicted || (address && !address_equal(&c->address, address)) ||
            atomic_load_explicit(&c->record->state, memory_order_relaxed) == CONNECTION_LIVE)
            continue;
        if (!oldest || c->since_ns < oldest->since_ns)
            oldest = c;
    }
    if (!oldest || sys->now_ns() - oldest->since_ns < (uint64_t)EVICT_MS * 1000000)
        return false;
    struct queue q = QUEUE(16);
    packet_put_u8(&q, SAY_EVICT);
    packet_put_u32(&q, (uint32_t)(oldest->record - l->connections.v));
    oldest->is_evicted = broker_send(l->broker, &q, NULL, 0) == 0;
    queue_done(&q);
    return oldest->is_evicted;
}

static const char *count_refusal(struct listener *l, const struct address *address, const char *ip)
{
    const struct common_config *c = &l->config->common;
    struct counts n = count(l, address);

    if (c->max_total_connections && n.total >= c->max_total_connections)
        return "too many connections";
    if (c->max_per_host_connections && n.address >= c->max_per_host_connections) {
        guards_note(&l->guards, ip, DEFENDER_LIMIT, "SSH");
        return "too many connections from this address";
    }
    if (n.half_open_address >= HALF_OPEN_ADDRESS_MAX && !evict(l, address))
        return "too many connections from this address that have not logged in";
    if (n.half_open_address < HALF_OPEN_ADDRESS_MAX && n.half_open >= HALF_OPEN_MAX && !evict(l, NULL))
        return "too many connections that have not logged in";
    return NULL;
}

static const char *refusal(struct listener *l, const struct address *address)
{
    char ip[ADDRESS_TEXT_MAX];
    int64_t wait_ms;

    address_text(address, ip);
    if (defender_refuses(&l->guards.defender, ip, sys->wall_ms()))
        return "the address is banned";
    const char *why = count_refusal(l, address, ip);
    return why ? why : rates_refusal(&l->guards, RATE_SSH, ip, &wait_ms);
}

static struct child *free_child(struct listener *l)
{
    size_t i = 0;
    while (i < CONNECTIONS_MAX && l->children[i].pid)
        i++;
    if (i == CONNECTIONS_MAX)
        return NULL;
    l->children_top = MAX(l->children_top, i + 1);
    return &l->children[i];
}

static void child_crashed(struct listener *l, pid_t pid, int status)
{
    log_error("session process %d died of signal %d", (int)pid, WTERMSIG(status));
    l->crashes += WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM;
}

static void child_ended(struct child *c)
{
    if (c->is_ours)
        connection_free(c->record);
    *c = (struct child){ 0 };
}

static void reap(struct listener *l)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    IGNORE(read(l->signals, &info, sizeof(info)), "only to make it quiet");
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (WIFSIGNALED(status))
            child_crashed(l, pid, status);
        for (size_t i = 0; i < l->children_top; i++)
            if (l->children[i].pid == pid)
                child_ended(&l->children[i]);
    }
    while (l->children_top > 0 && !l->children[l->children_top - 1].pid)
        l->children_top--;
}

/* The forked session: gives up everything that is the listener's, then talks to the stranger. */
static NORETURN void session_main(struct listener *l, int fd, int broker, struct connection *record, const char *remote,
                                  const char *local)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    title_set("tallyd-session");
    if (connections_keep_only(&l->connections, record) < 0)
        _exit(1);
    guards_detach(&l->guards);
    confine_descriptors(fd, broker);
    session_confine();
    const struct transport_options o = {
        .config = l->config,
        .bind = l->bind.bind,
        .login_banner = l->bind.login_banner,
        .fd = fd,
        .broker = broker,
        .record = record,
        .remote = remote,
        .local = local,
        .batching = l->bind.batching,
    };
    _exit(transport_run(&o));
}

static int tell_broker(struct listener *l, pid_t pid, const struct connection *record, const char *remote,
                       const char *local, int session)
{
    struct queue q = QUEUE(1024);
    packet_put_u8(&q, SAY_SESSION);
    packet_put_u32(&q, (uint32_t)pid);
    packet_put_u32(&q, (uint32_t)(record - l->connections.v));
    packet_put_text(&q, remote);
    packet_put_text(&q, local);
    int r = broker_send(l->broker, &q, &session, 1);
    queue_done(&q);
    return r;
}

static void fork_session(struct listener *l, int fd, const struct peer *peer, struct child *child)
{
    char remote[PEER_TEXT_MAX], local[PEER_TEXT_MAX];
    struct sockaddr_storage own = { 0 };
    struct peer here;
    socklen_t own_len = sizeof(own);
    int pair[2];
    struct connection *record = connection_claim(&l->connections);

    IGNORE(getsockname(fd, (struct sockaddr *)&own, &own_len), "then the log shows no address");
    peer_of(&own, &here);
    peer_text(peer, remote);
    peer_text(&here, local);
    if (!record || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        log_warn("no room for a connection from %s", remote);
        if (record)
            connection_free(record);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[1]);
        session_main(l, fd, pair[0], record, remote, local);
    }
    close(pair[0]);
    int r = pid < 0 ? -errno : tell_broker(l, pid, record, remote, local, pair[1]);
    close(pair[1]); /* a session that the broker does not know reads the end and ends */
    if (r < 0)
        log_fail(r, "cannot start a session for %s", remote);
    if (pid < 0)
        connection_free(record);
    if (pid > 0) {
        *child = (struct child){
            .pid = pid, .record = record, .is_ours = r < 0, .address = peer->address, .since_ns = sys->now_ns()
        };
    }
}

static void log_refusal(const struct peer *peer, const char *why)
{
    char remote[PEER_TEXT_MAX];
    peer_text(peer, remote);
    log_info("connection from %s refused: %s", remote, why);
}

/* From here on the peer is who it is. */
static void admit(struct listener *l, int fd, const struct peer *peer)
{
    int timeout = USER_TIMEOUT_MS, on = 1;

    forget_inherited(l);
    const char *why = refusal(l, &peer->address);
    struct child *child = why ? NULL : free_child(l);
    if (!child) {
        log_refusal(peer, why ? why : "too many connections");
        return;
    }
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "only slower without");
    IGNORE(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), "the keep-alive of SSH finds it, too");
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout)), "then later");
    fork_session(l, fd, peer, child);
}

static bool is_proxy(const struct listener *l, const struct peer *peer)
{
    const struct strings *allowed = &l->config->common.proxy_allowed;
    struct network n;

    for (size_t i = 0; i < allowed->n; i++)
        if (network_parse(allowed->v[i], true, &n) && network_has(&n, &peer->address))
            return true;
    return false;
}

/* true: *fd waits for a header, or is refused for the want of one, and is no longer the caller's. */
static bool goes_by_proxy(struct listener *l, size_t binding, int *fd, const struct peer *peer)
{
    const struct sftpd_binding *b = l->config->sftpd.bindings.v;
    uint32_t mode = binding < l->config->sftpd.bindings.n && b[binding].apply_proxy_config
                        ? l->config->common.proxy_protocol
                        : PROXY_OFF;
    bool is_trusted = mode != PROXY_OFF && is_proxy(l, peer);
    uint64_t wait_ms = is_trusted ? PROXY_WAIT_MS : PROXY_STRANGER_MS;

    if (mode == PROXY_OFF)
        return false;
    const struct proxy_waiting w = { .fd = *fd,
                                     .peer = *peer,
                                     .is_trusted = is_trusted,
                                     .is_needed = mode == PROXY_REQUIRED,
                                     .until_ns = sys->now_ns() + wait_ms * 1000000 };
    bool waits = (is_trusted || mode != PROXY_REQUIRED) && proxy_wait(&l->proxies, &w);
    if (waits)
        *fd = -1;
    else if (mode != PROXY_REQUIRED && !is_trusted)
        return false; /* no room to look for a header that would not count */
    else
        log_refusal(peer, is_trusted ? "too many wait for their PROXY header" : "it is no proxy that is allowed");
    return true;
}

static void accept_one(struct listener *l, size_t binding)
{
    struct sockaddr_storage from = { 0 };
    socklen_t len = sizeof(from);
    struct peer peer;
    CLEANUP(fd_close) int fd = accept4(l->fds[binding], (struct sockaddr *)&from, &len, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    peer_of(&from, &peer);
    if (!goes_by_proxy(l, binding, &fd, &peer))
        admit(l, fd, &peer);
}

static void admit_proxied(struct listener *l)
{
    struct peer peer;
    int fd;

    while (proxy_next(&l->proxies, sys->now_ns(), log_refusal, &fd, &peer)) {
        admit(l, fd, &peer);
        fd_close(&fd);
    }
}

static int take_fds(struct listener *l, struct role *role)
{
    char name[32];
    bool has_one = false;

    for (size_t i = 0; i < LISTEN_MAX; i++) {
        snprintf(name, sizeof(name), "sftp.%zu", i);
        l->fds[i] = role_take_fd(role, name);
        if (l->fds[i] < 0)
            continue;
        has_one = true;
        int flags = fcntl(l->fds[i], F_GETFL);
        IGNORE(fcntl(l->fds[i], F_SETFL, flags | O_NONBLOCK), "a client that is gone again must not stop us");
    }
    l->broker = role_take_fd(role, "broker");
    int connections = role_take_fd(role, "connections");
    CLEANUP(fd_close) int metric_fd = role_take_fd(role, "metrics");
    if (!has_one || l->broker < 0 || connections < 0)
        return -EBADF;
    int r = metric_fd >= 0 ? metric_attach(metric_fd, SFTP_METRIC_ROLE) : 0;
    if (r == 0)
        r = guards_take(role, &l->guards);
    return r < 0 ? r : connections_attach(connections, true, &l->connections);
}

static int watch_signals(struct listener *l)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return l->signals < 0 ? -errno : 0;
}

static int start(struct listener *l, struct role *role)
{
    int r = take_fds(l, role);
    if (r < 0)
        return log_fail(r, "the listener lacks a descriptor");
    IGNORE(setenv("TZ", "UTC0", 1), "times of listings are UTC, and no session looks for a zone's file");
    tzset();
    title_prepare();
    r = listener_bind_make(l->config, l->broker, &l->bind);
    if (r < 0)
        return log_fail(r, "cannot prepare SSH");
    inherit_children(l);
    r = watch_signals(l);
    return r < 0 ? r : confine_listener(l->config->state_dir);
}

/* The broker's socket is only for telling; its end means that the broker is gone. */
static int serve(struct listener *l)
{
    struct pollfd p[LISTEN_MAX + 2 + PROXY_WAITING];

    for (size_t i = 0; i < LISTEN_MAX; i++)
        p[i] = (struct pollfd){ .fd = l->fds[i], .events = POLLIN };
    p[LISTEN_MAX] = (struct pollfd){ .fd = l->broker, .events = POLLIN };
    p[LISTEN_MAX + 1] = (struct pollfd){ .fd = l->signals, .events = POLLIN };
    while (l->crashes < CRASHES_MAX) {
        size_t n = LISTEN_MAX + 2 + proxy_polls(&l->proxies, p + LISTEN_MAX + 2);
        if (poll(p, (nfds_t)n, proxy_left_ms(&l->proxies, sys->now_ns())) < 0 && errno != EINTR)
            return -errno;
        if (p[LISTEN_MAX].revents)
            return 0;
        if (p[LISTEN_MAX + 1].revents)
            reap(l);
        admit_proxied(l);
        for (size_t i = 0; i < LISTEN_MAX; i++)
            if (p[i].revents & POLLIN)
                accept_one(l, i);
    }
    return log_fail(-EFAULT, "sessions crash: the listener starts anew with another address layout");
}

int sftp_listener_main(struct role *role)
{
    static struct listener l; /* large, and only one */
    l.config = role->config;
    l.broker = l.signals = -1;
    int r = start(&l, role);
    if (r == 0)
        r = serve(&l);
    _exit(r < 0); /* the filter allows no more, and there is nothing to flush */
}
