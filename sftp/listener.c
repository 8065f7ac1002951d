/* The listener: accepts, bounds, forks. It is executed anew by the broker, so that it is small (a fork pays for touched
 * memory) and holds nothing of the broker's; and it does before the first connection what a session would do otherwise:
 * OpenSSL's look-ups, libssh's import of the host keys (notes/session-process.md §3).
 *
 * The host keys here are shells: true public halves, random private halves. Signatures come from the broker.
 * Before the first connection it gives up whatever no session needs (confine.h). Sessions outlive it: the next listener
 * finds them in the connection table and counts them.
 *
 * Limits before fork: max_total_connections, max_per_host_connections, and of those who have not logged in yet at most
 * HALF_OPEN_MAX, HALF_OPEN_ADDRESS_MAX of one address. A session that has logged in shows that in its record. */
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
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
#include "sftp/io_shim.h"
#include "sftp/peer.h"
#include "sftp/session.h"
#include "sftp/sftpd.h"
#include "sftp/ssh_key.h"
#include "sftp/transport.h"

enum { LISTEN_MAX = 16, HALF_OPEN_MAX = 100, HALF_OPEN_ADDRESS_MAX = 10, SFTP_METRIC_ROLE = 2, CRASHES_MAX = 5 };
enum { USER_TIMEOUT_MS = 120000, TITLE_BYTES = 32, INHERITED = -1 };

/* A session that was forked and has not ended. */
struct child {
    pid_t pid; /* 0: free; INHERITED */
    struct connection *record;
    struct address address;
    bool is_ours;     /* the record: the broker does not know it */
    int64_t since_ms; /* INHERITED: when it logged in; another time: the record is another's now */
};

struct listener {
    const struct config *config;
    struct connections connections;
    struct guards guards;
    int fds[LISTEN_MAX];
    size_t fds_n;
    int broker, signals;
    ssh_bind bind;
    bool batching;
    struct child children[CONNECTIONS_MAX];
    size_t children_top; /* all beyond are free */
    unsigned crashes;
};

/* Fetched once and kept, so that the children find them in OpenSSL's tables. */
static void warm_up_openssl(void)
{
    static const char *const ciphers[] = { "AES-128-GCM", "AES-256-GCM", "AES-128-CTR", "AES-256-CTR", "CHACHA20" };
    static const char *const digests[] = { "SHA1", "SHA256", "SHA384", "SHA512" };
    uint8_t bytes[32];

    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_CONFIG, NULL);
    IGNORE(RAND_bytes(bytes, sizeof(bytes)), "to start the generators");
    IGNORE(RAND_priv_bytes(bytes, sizeof(bytes)), "to start the generators");
    for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++)
        IGNORE(EVP_CIPHER_fetch(NULL, ciphers[i], NULL), "kept for the life of the process");
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
        IGNORE(EVP_MD_fetch(NULL, digests[i], NULL), "kept for the life of the process");
    IGNORE(EVP_MAC_fetch(NULL, "HMAC", NULL), "kept for the life of the process");
    IGNORE(EVP_KDF_fetch(NULL, "SSHKDF", NULL), "kept for the life of the process");
}

static void warm_up_keys(void)
{
    uint8_t sig[128], secret[32], data[32] = { 0 };
    size_t sig_len = sizeof(sig), secret_len = sizeof(secret);
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *one = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), *two = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    EVP_PKEY *p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY_CTX *derive = one ? EVP_PKEY_CTX_new(one, NULL) : NULL;

    if (ed)
        IGNORE(ssh_key_sign(ed, NULL, data, sizeof(data), sig, &sig_len), "only to warm up");
    if (derive && two && EVP_PKEY_derive_init(derive) == 1 && EVP_PKEY_derive_set_peer(derive, two) == 1)
        IGNORE(EVP_PKEY_derive(derive, secret, &secret_len), "only to warm up");
    EVP_PKEY_CTX_free(derive);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
    EVP_PKEY_free(p256);
}

static int bind_key(ssh_bind bind, const uint8_t *blob, size_t len)
{
    struct strbuf text = STRBUF(SSH_KEY_FILE_MAX);
    ssh_key key = NULL;
    int r = ssh_key_write_shell(blob, len, &text);

    if (r == 0 && ssh_pki_import_privkey_base64(text.s, NULL, NULL, NULL, &key) != SSH_OK)
        r = -EINVAL;
    if (r == 0 && ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK)
        r = -EINVAL;
    strbuf_done(&text);
    return r;
}

static int receive_host_keys(struct listener *l)
{
    CLEANUP(mem_free) uint8_t *buf = malloc(BROKER_MESSAGE_MAX);
    int fds[BROKER_FDS_MAX];
    ssize_t n = buf ? broker_receive(l->broker, buf, BROKER_MESSAGE_MAX, fds) : -ENOMEM;
    struct packet_in in = { .p = buf, .left = n > 0 ? (size_t)n : 0 };

    if (n <= 0 || packet_u8(&in) != SAY_HOST_KEYS)
        return n < 0 ? (int)n : -EBADMSG;
    uint32_t keys = packet_u32(&in), good = 0;
    for (uint32_t i = 0; i < keys && packet_ok(&in); i++) {
        size_t len;
        const uint8_t *blob = packet_bytes(&in, &len);
        int r = blob ? bind_key(l->bind, blob, len) : -EBADMSG;
        if (r < 0)
            log_fail(r, "host key %u cannot be used", i);
        good += r == 0;
    }
    return good > 0 ? 0 : -EINVAL;
}

/* No CBC, no SHA-1, no finite-field groups (libssh 0.10 does not check the peer's value), no compression. */
static int make_bind(struct listener *l)
{
    int no = 0;
    struct strbuf banner = STRBUF(200);
    const char *own = l->config->sftpd.banner;
    const struct {
        enum ssh_bind_options_e option;
        const void *value;
    } options[] = {
        { SSH_BIND_OPTIONS_PROCESS_CONFIG, &no },
        { SSH_BIND_OPTIONS_CIPHERS_C_S, "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
                                        "aes128-ctr,aes192-ctr,aes256-ctr" },
        { SSH_BIND_OPTIONS_CIPHERS_S_C, "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
                                        "aes128-ctr,aes192-ctr,aes256-ctr" },
        { SSH_BIND_OPTIONS_HMAC_C_S, "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,"
                                     "hmac-sha2-512" },
        { SSH_BIND_OPTIONS_HMAC_S_C, "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,"
                                     "hmac-sha2-512" },
        { SSH_BIND_OPTIONS_KEY_EXCHANGE, "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
                                         "ecdh-sha2-nistp384,ecdh-sha2-nistp521" },
        { SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES,
          "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256,"
          "sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,ssh-ed25519-cert-v01@openssh.com,"
          "ecdsa-sha2-nistp256-cert-v01@openssh.com,ecdsa-sha2-nistp384-cert-v01@openssh.com,"
          "ecdsa-sha2-nistp521-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,"
          "rsa-sha2-256-cert-v01@openssh.com,sk-ssh-ed25519-cert-v01@openssh.com,"
          "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com" },
    };

    l->bind = ssh_bind_new();
    if (!l->bind)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (ssh_bind_options_set(l->bind, options[i].option, options[i].value) != SSH_OK)
            return log_fail(-EINVAL, "libssh refuses option %zu", i);
    strbuf_addf(&banner, "%s", own && own[0] ? own : "Tally_" TALLY_VERSION);
    int r = strbuf_ok(&banner);
    if (r == 0 && ssh_bind_options_set(l->bind, SSH_BIND_OPTIONS_BANNER, banner.s) != SSH_OK)
        r = -EINVAL;
    strbuf_done(&banner);
    return r < 0 ? r : receive_host_keys(l);
}

/* libssh imports the keys when the first connection comes: this one. A client's greeting is in it, so that libssh
 * reads: a build of libssh whose calls do not come to io_shim.c shows itself here. */
static int warm_up_bind(struct listener *l)
{
    static const char greeting[] = "SSH-2.0-Warm_up\r\n";
    int pair[2];
    unsigned before = io_shim_calls();
    ssh_session s = ssh_new();

    if (!s || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -ENOMEM;
    int r = ssh_bind_accept_fd(l->bind, s, pair[0]) == SSH_OK ? 0 : -EINVAL;
    IGNORE(write(pair[1], greeting, strlen(greeting)), "then batching stays off");
    ssh_set_blocking(s, 0);
    if (r == 0)
        IGNORE(ssh_handle_key_exchange(s), "it begins and reads: that is all");
    ssh_free(s);
    close(pair[1]);
    l->batching = io_shim_calls() > before;
    if (!l->batching)
        log_warn("libssh does not use the program's recv(): uploads cost more");
    return r;
}

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
        n.total++;
        n.address += same;
        n.half_open += open;
        n.half_open_address += same && open;
    }
    return n;
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
    if (n.half_open >= HALF_OPEN_MAX)
        return "too many connections that have not logged in";
    if (n.half_open_address >= HALF_OPEN_ADDRESS_MAX)
        return "too many connections from this address that have not logged in";
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
        .bind = l->bind,
        .fd = fd,
        .broker = broker,
        .record = record,
        .remote = remote,
        .local = local,
        .batching = l->batching,
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
        *child = (struct child){ .pid = pid, .record = record, .is_ours = r < 0, .address = peer->address };
    }
}

static void accept_one(struct listener *l, int listen_fd)
{
    struct sockaddr_storage from = { 0 };
    socklen_t len = sizeof(from);
    struct peer peer;
    int timeout = USER_TIMEOUT_MS, on = 1;
    CLEANUP(fd_close) int fd = accept4(listen_fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    peer_of(&from, &peer);
    forget_inherited(l);
    const char *why = refusal(l, &peer.address);
    struct child *child = why ? NULL : free_child(l);
    if (!child) {
        char remote[PEER_TEXT_MAX];
        peer_text(&peer, remote);
        log_info("connection from %s refused: %s", remote, why ? why : "too many connections");
        return;
    }
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "only slower without");
    IGNORE(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), "the keep-alive of SSH finds it, too");
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout)), "then later");
    fork_session(l, fd, &peer, child);
}

static int take_fds(struct listener *l, struct role *role)
{
    char name[32];
    for (l->fds_n = 0; l->fds_n < LISTEN_MAX; l->fds_n++) {
        snprintf(name, sizeof(name), "sftp.%zu", l->fds_n);
        l->fds[l->fds_n] = role_take_fd(role, name);
        if (l->fds[l->fds_n] < 0)
            break;
        int flags = fcntl(l->fds[l->fds_n], F_GETFL);
        IGNORE(fcntl(l->fds[l->fds_n], F_SETFL, flags | O_NONBLOCK), "a client that is gone again must not stop us");
    }
    l->broker = role_take_fd(role, "broker");
    int connections = role_take_fd(role, "connections");
    CLEANUP(fd_close) int metric_fd = role_take_fd(role, "metrics");
    if (l->fds_n == 0 || l->broker < 0 || connections < 0)
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
    ssh_init();
    warm_up_openssl();
    warm_up_keys();
    r = make_bind(l);
    if (r == 0)
        r = warm_up_bind(l);
    if (r < 0)
        return log_fail(r, "cannot prepare SSH");
    inherit_children(l);
    r = watch_signals(l);
    return r < 0 ? r : confine_listener(l->config->state_dir);
}

/* The broker's socket is only for telling; its end means that the broker is gone. */
static int serve(struct listener *l)
{
    struct pollfd p[LISTEN_MAX + 2];
    size_t n = l->fds_n;

    for (size_t i = 0; i < n; i++)
        p[i] = (struct pollfd){ .fd = l->fds[i], .events = POLLIN };
    p[n] = (struct pollfd){ .fd = l->broker, .events = POLLIN };
    p[n + 1] = (struct pollfd){ .fd = l->signals, .events = POLLIN };
    while (l->crashes < CRASHES_MAX) {
        if (poll(p, (nfds_t)n + 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (p[n].revents)
            return 0;
        if (p[n + 1].revents)
            reap(l);
        for (size_t i = 0; i < n; i++)
            if (p[i].revents & POLLIN)
                accept_one(l, l->fds[i]);
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
