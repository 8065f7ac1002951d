/* One question of a session, one answer. Nothing in a question is believed but what can be checked here. */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "sftp/broker.h"

enum { HASH_MIN = 20, HASH_MAX = 64, SIGNATURE_MAX = 4096, TRIES_DEFAULT = 6 };

/* What a login attempt has given. */
struct attempt {
    const char *method; /* "password", "publickey" */
    enum metric_id attempts, ok, ko;
    char *username; /* owned */
    int r;
    const char *reason;
    struct user user; /* owned, when r is 0 */
};

static unsigned tries_max(const struct sftpd *s)
{
    unsigned n = atomic_load_explicit(&s->auth_tries_max, memory_order_relaxed);
    return n ? n : TRIES_DEFAULT;
}

/* The user's record for the session: rights and limits, nothing that proves or tells who they are elsewhere. */
static int record_memfd(const struct user *u)
{
    struct user shown = *u; /* borrows; these members are not for it */
    struct strbuf text = STRBUF(BROKER_RECORD_MAX);
    struct json_out out = { .to = &text };

    shown.password = NULL;
    shown.public_keys = (struct strings){ 0 };
    shown.email = shown.description = shown.additional_info = NULL;
    shown.filters.totp_config = (struct totp_config){ 0 };
    shown.filters.recovery_codes = (struct objects){ 0 };
    shown.virtual_folders = (struct objects){ 0 };
    schema_write(&user_schema, &shown, SHOW_ALL, &out);
    int r = strbuf_ok(&text);
    CLEANUP(fd_close) int fd = r < 0 ? r : memfd_create("tally-user", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (r == 0 && fd < 0)
        r = -errno;
    if (r == 0) {
        ssize_t n = sys->pwrite(fd, text.s, text.len, 0);
        r = n < 0 ? (int)n : (size_t)n == text.len ? 0 : -ENOSPC;
    }
    if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        r = -errno;
    strbuf_done(&text);
    return r < 0 ? r : take_fd(&fd);
}

/* The mount may be a new one since the last login: it is looked up each time. */
static int home_open(const struct sftpd *s, const char *username)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC };
    CLEANUP(fd_close) int mount = sys->openat2(AT_FDCWD, s->o.config->vfs.mount, &how);
    if (mount < 0)
        return mount;
    if (!username[0] || strchr(username, '/') || strcmp(username, ".") == 0 || strcmp(username, "..") == 0)
        return -EINVAL;
    return sys_open_beneath(mount, username, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* By the list: it is what the broker itself has seen, and a session is in it until its process has ended. */
static bool has_too_many_sessions(struct sftpd *s, const struct user *u) REQUIRES(s->lock);
static bool has_too_many_sessions(struct sftpd *s, const struct user *u)
{
    unsigned own = 0;
    if (u->max_sessions <= 0)
        return false;
    for (const struct session *n = s->sessions; n; n = n->next)
        own += n->user_id == u->id;
    return own >= (uint64_t)u->max_sessions;
}

static void publish(struct session *n, const struct user *u, const char *client_version)
{
    struct connection_facts *f = calloc(1, sizeof(*f));
    if (!f)
        return;
    str_set(f->id, sizeof(f->id), n->connection_id);
    str_set(f->username, sizeof(f->username), u->username);
    str_set(f->protocol, sizeof(f->protocol), "SFTP");
    str_set(f->client_version, sizeof(f->client_version), client_version);
    str_set(f->remote_address, sizeof(f->remote_address), n->remote);
    f->connect_ms = sys->wall_ms();
    f->user_id = u->id;
    f->pid = n->pid;
    connection_publish(n->record, f);
    free(f);
}

/* Counting and being counted is one step: two logins at once cannot both be the last that fits. */
static int session_admit(struct sftpd *s, struct session *n, const struct user *u, const char *client_version,
                         const char **reterr_reason)
{
    int r = 0;
    mutex_lock(&s->lock);
    if (has_too_many_sessions(s, u)) {
        *reterr_reason = "too many open sessions";
        r = -EACCES;
    } else {
        str_set(n->connection_id, sizeof(n->connection_id), "SFTP_");
        str_hex(n->connection_id + 5, n->id, MIN(n->id_len, (size_t)32));
        size_t len = strlen(n->connection_id);
        str_set(n->connection_id + len, sizeof(n->connection_id) - len, "_1");
        n->user_id = u->id;
        n->deadline_ns = 0;
        publish(n, u, client_version);
    }
    mutex_unlock(&s->lock);
    return r;
}

static int answer_verdict(struct sftpd *s, struct session *n, enum verdict v, const struct user *u, const int *fds)
{
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    struct strbuf host_path = STRBUF(PATH_MAX);

    packet_put_u8(&q, SAY_VERDICT);
    packet_put_u8(&q, (uint8_t)v);
    if (v == VERDICT_IN) {
        strbuf_addf(&host_path, "%s/%s", s->o.config->vfs.mount, u->username);
        packet_put_text(&q, n->connection_id);
        packet_put_u32(&q, u->uid > 0 ? (uint32_t)u->uid : s->service_uid);
        packet_put_u32(&q, u->gid > 0 ? (uint32_t)u->gid : s->service_gid);
        packet_put_text(&q, strbuf_ok(&host_path) == 0 ? host_path.s : "");
    }
    int r = broker_send_now(n->watched.fd, &q, fds, v == VERDICT_IN ? 2 : 0);
    queue_done(&q);
    strbuf_done(&host_path);
    return r;
}

static void tell_login(struct sftpd *s, const struct user *u)
{
    if (s->o.control)
        IGNORE(control_tell(s->o.control, "api", "login",
                            control_args("username", 's', u->username, "at_ms", 'i', sys->wall_ms(), NULL)),
               "the last login time is a courtesy");
}

static int let_in(struct sftpd *s, struct session *n, struct attempt *a, const char *client_version)
{
    CLEANUP(fd_close) int home = home_open(s, a->user.username);
    CLEANUP(fd_close) int record = home < 0 ? -1 : record_memfd(&a->user);

    if (home < 0 || record < 0) {
        a->r = home < 0 ? home : record;
        return log_fail(a->r, "cannot open the home of %s", a->user.username);
    }
    a->r = session_admit(s, n, &a->user, client_version, &a->reason);
    if (a->r < 0)
        return a->r;
    n->logged_in = true;
    const int fds[2] = { home, record };
    return answer_verdict(s, n, VERDICT_IN, &a->user, fds);
}

/* Counts and logs an attempt, and answers it. */
static bool attempt_end(struct sftpd *s, struct session *n, struct attempt *a, const char *client_version)
{
    n->tried = true;
    metric_add(M_LOGIN_ATTEMPTS, 0, 1);
    metric_add(a->attempts, 0, 1);
    if (a->r == 0 && let_in(s, n, a, client_version) < 0 && a->r == 0)
        a->r = -EPIPE;
    if (a->r < 0 && n->logged_in)
        return false; /* it does not read what it has asked for */
    metric_add(a->r == 0 ? M_LOGIN_OK : M_LOGIN_KO, 0, 1);
    metric_add(a->r == 0 ? a->ok : a->ko, 0, 1);
    if (a->r == 0) {
        log_info("login of %s from %s by %s, connection %s", a->user.username, n->remote, a->method, n->connection_id);
        tell_login(s, &a->user);
        return true;
    }
    session_log_refusal(n, a->method, a->username, a->reason ? a->reason : error_text(a->r));
    enum verdict v = ++n->tries >= tries_max(s) ? VERDICT_OVER : VERDICT_NO;
    return answer_verdict(s, n, v, NULL, NULL) == 0;
}

static void attempt_done(struct attempt *a)
{
    user_done(&a->user);
    free(a->username);
}

static bool serve_password(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct attempt a = {
        .method = "password", .attempts = M_PASSWORD_ATTEMPTS, .ok = M_PASSWORD_OK, .ko = M_PASSWORD_KO, .r = -EACCES
    };
    char *password = NULL, *version = NULL;
    bool goes_on = false;

    if (packet_text(in, 1024, &a.username) == 0 && packet_text(in, 4096, &password) == 0 &&
        packet_text(in, 255, &version) == 0) {
        a.r = login_by_password(s->login, a.username, password, n->address, &a.user, &a.reason);
        goes_on = attempt_end(s, n, &a, version);
    }
    if (password)
        OPENSSL_cleanse(password, strlen(password));
    free(password);
    free(version);
    attempt_done(&a);
    return goes_on;
}

static bool serve_signature(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct attempt a = { .method = "publickey",
                         .attempts = M_PUBLIC_KEY_ATTEMPTS,
                         .ok = M_PUBLIC_KEY_OK,
                         .ko = M_PUBLIC_KEY_KO,
                         .r = -EACCES };
    struct login_proof p = { .session_id = n->id, .session_id_len = n->id_len };
    char *version = NULL;
    bool goes_on = false;

    p.sig = packet_bytes(in, &p.sig_len);
    p.data = packet_bytes(in, &p.data_len);
    if (p.sig && p.data && packet_text(in, 255, &version) == 0) {
        IGNORE(login_proof_user(&p, &a.username), "for the log; the login says what is wrong");
        a.r = login_by_signature(s->login, &p, n->address, &a.user, &a.reason);
        goes_on = attempt_end(s, n, &a, version);
    }
    free(version);
    attempt_done(&a);
    return goes_on;
}

/* An unknown key counts as a try, as in OpenSSH: else a client could ask for thousands. */
static bool serve_offer(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct attempt a = { .method = "publickey" };
    size_t len;

    if (packet_text(in, 1024, &a.username) < 0)
        return false;
    const uint8_t *blob = packet_bytes(in, &len);
    if (!blob || len > SSH_KEY_BLOB_MAX) {
        attempt_done(&a);
        return false;
    }
    n->tried = true;
    a.r = login_key_known(s->login, a.username, blob, len, n->address, &a.user, &a.reason);
    enum verdict v = a.r == 0 ? VERDICT_YES : ++n->tries >= tries_max(s) ? VERDICT_OVER : VERDICT_NO;
    if (a.r < 0)
        session_log_refusal(n, a.method, a.username, a.reason ? a.reason : error_text(a.r));
    attempt_done(&a);
    return answer_verdict(s, n, v, NULL, NULL) == 0;
}

/* Only hashes are signed, and the first one is the session's id. */
static bool serve_sign(struct sftpd *s, struct session *n, struct packet_in *in)
{
    uint8_t sig[SIGNATURE_MAX];
    size_t len, sig_len = sizeof(sig);
    char *digest = NULL;
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    int type = (int)packet_u32(in);

    if (packet_text(in, 32, &digest) < 0)
        return false;
    const uint8_t *hash = packet_bytes(in, &len);
    const struct host_key *key = host_key_of_type(&s->keys, type);
    bool ok = hash && len >= HASH_MIN && len <= HASH_MAX && key &&
              ssh_key_sign(key->key, digest[0] ? digest : NULL, hash, len, sig, &sig_len) == 0;
    free(digest);
    if (ok && n->id_len == 0) {
        memcpy(n->id, hash, len);
        n->id_len = len;
    }
    packet_put_u8(&q, SAY_SIGNED);
    packet_put_bytes(&q, sig, ok ? sig_len : 0);
    int r = broker_send_now(n->watched.fd, &q, NULL, 0);
    queue_done(&q);
    return r == 0;
}

static const struct {
    uint8_t type;
    bool after_login; /* else only before */
    bool (*serve)(struct sftpd *s, struct session *n, struct packet_in *in);
} questions[] = {
    { SAY_SIGN, true, serve_sign }, /* a key exchange may come at any time */
    { SAY_OFFER, false, serve_offer },
    { SAY_SIGNATURE, false, serve_signature },
    { SAY_PASSWORD, false, serve_password },
};

bool session_serve(struct sftpd *s, struct session *n)
{
    static _Thread_local uint8_t buf[BROKER_MESSAGE_MAX];
    int fds[BROKER_FDS_MAX];
    ssize_t len = broker_receive(n->watched.fd, buf, sizeof(buf), fds);

    if (len == -EAGAIN)
        return true;
    if (len <= 0)
        return false;
    for (size_t i = 0; i < BROKER_FDS_MAX; i++)
        fd_close(&fds[i]); /* a session has none to give */
    struct packet_in in = { .p = buf, .left = (size_t)len };
    uint8_t type = packet_u8(&in);
    bool goes_on = false;
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        if (questions[i].type != type || (!questions[i].after_login && (n->logged_in || n->id_len == 0)))
            continue;
        if (n->logged_in || n->tries < tries_max(s))
            goes_on = questions[i].serve(s, n, &in);
        else /* it says goodbye to its client, who still asks; the deadline ends it */
            goes_on = answer_verdict(s, n, VERDICT_OVER, NULL, NULL) == 0;
    }
    OPENSSL_cleanse(buf, (size_t)len);
    return goes_on;
}

int session_tell_close(struct session *n, const char *reason)
{
    struct queue q = QUEUE(4096);
    packet_put_u8(&q, SAY_CLOSE);
    packet_put_text(&q, reason);
    int r = broker_send_now(n->watched.fd, &q, NULL, 0);
    queue_done(&q);
    return r;
}
