/* One question of a session, one answer. Nothing in a question is believed but what can be checked here. */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/broker.h"

enum { HASH_MIN = 20, HASH_MAX = 64, SIGNATURE_MAX = 4096 };

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
        str_set(n->username, sizeof(n->username), u->username);
        n->deadline_ns = 0;
        publish(n, u, client_version);
    }
    mutex_unlock(&s->lock);
    return r;
}

static int answer_in(struct sftpd *s, struct session *n, const struct user *u, const int *fds)
{
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    struct strbuf host_path = STRBUF(PATH_MAX);

    packet_put_u8(&q, SAY_VERDICT);
    packet_put_u8(&q, VERDICT_IN);
    strbuf_addf(&host_path, "%s/%s", s->o.config->vfs.mount, u->username);
    packet_put_text(&q, n->connection_id);
    packet_put_u32(&q, u->uid > 0 ? (uint32_t)u->uid : s->service_uid);
    packet_put_u32(&q, u->gid > 0 ? (uint32_t)u->gid : s->service_gid);
    packet_put_text(&q, strbuf_ok(&host_path) == 0 ? host_path.s : "");
    int r = broker_send_now(n->watched.fd, &q, fds, 2);
    queue_done(&q);
    strbuf_done(&host_path);
    return r;
}

int session_let_in(struct sftpd *s, struct session *n, const struct user *u, const char **reterr_reason)
{
    CLEANUP(fd_close) int home = home_open(s, u->username);
    CLEANUP(fd_close) int record = home < 0 ? -1 : record_memfd(u);
    int r = home < 0 ? home : record;

    if (r < 0)
        return log_fail(r, "cannot open the home of %s", u->username);
    r = session_admit(s, n, u, n->version, reterr_reason);
    if (r < 0)
        return r;
    n->logged_in = true;
    const int fds[2] = { home, record };
    return answer_in(s, n, u, fds);
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
    { SAY_KNOCK, true, login_serve_knock },
    { SAY_SIGN, true, serve_sign }, /* a key exchange may come at any time */
    { SAY_ACTION, true, action_serve },
    { SAY_OFFER, false, login_serve_offer },
    { SAY_SIGNATURE, false, login_serve_signature },
    { SAY_PASSWORD, false, login_serve_password },
    { SAY_INTERACTIVE, false, login_serve_interactive },
    { SAY_ANSWER, false, login_serve_answer },
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
        if (n->logged_in || !login_is_over(s, n))
            goes_on = questions[i].serve(s, n, &in);
        else /* it says goodbye to its client, who still asks; the deadline ends it */
            goes_on = login_say_over(n);
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
