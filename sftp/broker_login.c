/* The questions of a session whose client is not logged in yet: offers, signatures, passwords, lines.
 *
 * What a connection has shown so far (a good key that is not enough, a right password that waits for its code) is kept
 * here and not in the session: it could claim anything. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "sftp/broker.h"
#include "sftp/ssh_key.h"

enum { TRIES_DEFAULT = 6, USERNAME_TEXT_MAX = 1024, PASSWORD_TEXT_MAX = 4096 };

#define PROMPT_PASSWORD "Password: "
#define PROMPT_CODE     "Authentication code: "

/* What a login attempt has given. */
struct attempt {
    char *username; /* owned */
    int r;
    struct login_result got; /* owned, when r is 0 */
};

static const struct {
    const char *method;
    enum metric_id attempts, ok, ko;
} counters[] = {
    { "password", M_PASSWORD_ATTEMPTS, M_PASSWORD_OK, M_PASSWORD_KO },
    { "publickey", M_PUBLIC_KEY_ATTEMPTS, M_PUBLIC_KEY_OK, M_PUBLIC_KEY_KO },
    { "keyboard-interactive", M_INTERACTIVE_ATTEMPTS, M_INTERACTIVE_OK, M_INTERACTIVE_KO },
    { "publickey+password", M_KEY_PASSWORD_ATTEMPTS, M_KEY_PASSWORD_OK, M_KEY_PASSWORD_KO },
    { "publickey+keyboard-interactive", M_KEY_INTERACTIVE_ATTEMPTS, M_KEY_INTERACTIVE_OK, M_KEY_INTERACTIVE_KO },
};

static unsigned tries_max(const struct sftpd *s)
{
    unsigned n = atomic_load_explicit(&s->auth_tries_max, memory_order_relaxed);
    return n ? n : TRIES_DEFAULT;
}

bool login_is_over(const struct sftpd *s, const struct session *n)
{
    return n->tries >= tries_max(s);
}

static bool answer(struct session *n, enum verdict v, unsigned next, const char *prompt)
{
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);

    packet_put_u8(&q, SAY_VERDICT);
    packet_put_u8(&q, (uint8_t)v);
    if (v == VERDICT_MORE)
        packet_put_u8(&q, (uint8_t)next);
    if (v == VERDICT_ASK)
        packet_put_text(&q, prompt);
    int r = broker_send_now(n->watched.fd, &q, NULL, 0);
    queue_done(&q);
    return r == 0;
}

bool login_say_over(struct session *n)
{
    return answer(n, VERDICT_OVER, 0, NULL);
}

static bool answer_no(struct sftpd *s, struct session *n)
{
    n->tries++;
    return answer(n, login_is_over(s, n) ? VERDICT_OVER : VERDICT_NO, 0, NULL);
}

/* The right password of before is forgotten: another attempt begins. */
static void half_forget(struct session *n)
{
    user_done(&n->half);
    n->half = (struct user){ 0 };
    n->is_half = false;
}

void login_forget(struct session *n)
{
    half_forget(n);
    free(n->asked);
    n->asked = NULL;
    login_step_done(&n->step);
}

static struct login_from from_of(const struct session *n, const char *username)
{
    return (struct login_from){ .username = username, .address = n->address, .step = &n->step };
}

static void attempt_done(struct attempt *a)
{
    user_done(&a->got.user);
    free(a->username);
}

static void count(const struct attempt *a)
{
    metric_add(M_LOGIN_ATTEMPTS, 0, 1);
    metric_add(a->r == 0 ? M_LOGIN_OK : M_LOGIN_KO, 0, 1);
    for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
        if (strcmp(counters[i].method, a->got.method) == 0) {
            metric_add(counters[i].attempts, 0, 1);
            metric_add(a->r == 0 ? counters[i].ok : counters[i].ko, 0, 1);
        }
}

static void tell_login(struct sftpd *s, const struct user *u)
{
    if (s->o.control)
        IGNORE(control_tell(s->o.control, "api", "login",
                            control_args("username", 's', u->username, "at_ms", 'i', sys->wall_ms(), NULL)),
               "the last login time is a courtesy");
}

/* A good key that is not enough. */
static bool attempt_goes_on(struct session *n, const struct attempt *a)
{
    login_step_done(&n->step);
    if (str_copy(&n->step.username, a->got.user.username) < 0)
        return false;
    n->step.next = a->got.next;
    return answer(n, VERDICT_MORE, a->got.next, NULL);
}

/* People have several keys, and each is offered: of all that are wrong in a connection the defender hears once, at the
 * connection's end. */
static void tell_defender(struct sftpd *s, struct session *n, const struct attempt *a)
{
    enum defender_event e = a->got.is_unknown ? DEFENDER_UNKNOWN : DEFENDER_FAILED;

    if (a->r != -EACCES)
        return;
    if (strcmp(a->got.method, "publickey") != 0) {
        guards_note(s->o.guards, n->address, e, "SSH");
        return;
    }
    n->key_failed = true;
    n->key_event = e;
}

static bool attempt_refused(struct sftpd *s, struct session *n, const struct attempt *a)
{
    count(a);
    hook_post_login(s->hooks, &(struct user){ .username = a->username }, n->address, a->got.method, false);
    session_log_refusal(n, a->got.method, a->username, a->got.reason ? a->got.reason : error_text(a->r));
    tell_defender(s, n, a);
    return answer_no(s, n);
}

/* Counts and logs an attempt, and answers it. */
static bool attempt_end(struct sftpd *s, struct session *n, struct attempt *a)
{
    n->tried = true;
    if (a->r == 0 && a->got.next)
        return attempt_goes_on(n, a);
    if (a->r == 0)
        a->r = session_let_in(s, n, &a->got.user, &a->got.reason);
    if (a->r < 0 && n->logged_in)
        return false; /* it does not read what it has asked for */
    if (a->r < 0)
        return attempt_refused(s, n, a);
    count(a);
    log_info("login of %s from %s by %s, connection %s", a->got.user.username, n->remote, a->got.method,
             n->connection_id);
    tell_login(s, &a->got.user);
    hook_post_login(s->hooks, &a->got.user, n->address, a->got.method, true);
    login_forget(n);
    return true;
}

/* The client's version, which it says with each attempt. */
static bool version_take(struct session *n, struct packet_in *in)
{
    CLEANUP(mem_free) char *version = NULL;

    if (packet_text(in, sizeof(n->version) - 1, &version) < 0)
        return false;
    return str_set(n->version, sizeof(n->version), version);
}

static void secret_free(char **secret)
{
    if (*secret)
        OPENSSL_cleanse(*secret, strlen(*secret));
    free(*secret);
}

bool login_serve_password(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct attempt a = { 0 };
    CLEANUP(secret_free) char *password = NULL;
    bool goes_on = false;

    if (packet_text(in, USERNAME_TEXT_MAX, &a.username) == 0 && packet_text(in, PASSWORD_TEXT_MAX, &password) == 0 &&
        version_take(n, in)) {
        const struct login_from from = from_of(n, a.username);
        a.r = login_by_password(s->login, &from, password, &a.got);
        goes_on = attempt_end(s, n, &a);
    }
    attempt_done(&a);
    return goes_on;
}

static const uint8_t *blob_take(struct packet_in *in, size_t *ret_len)
{
    const uint8_t *blob = packet_bytes(in, ret_len);
    return blob && *ret_len <= SSH_KEY_BLOB_MAX ? blob : NULL;
}

bool login_serve_signature(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct login_proof p = { .session_id = n->id, .session_id_len = n->id_len };
    struct attempt a = { 0 };
    bool goes_on = false;

    if (packet_text(in, USERNAME_TEXT_MAX, &a.username) == 0) {
        p.username = a.username;
        p.blob = blob_take(in, &p.blob_len);
        p.sig = packet_bytes(in, &p.sig_len);
        p.data = packet_bytes(in, &p.data_len);
    }
    if (p.blob && p.sig && p.data && version_take(n, in)) {
        const struct login_from from = from_of(n, a.username);
        a.r = login_by_signature(s->login, &from, &p, &a.got);
        goes_on = attempt_end(s, n, &a);
    }
    attempt_done(&a);
    return goes_on;
}

/* An unknown key counts as a try, as in OpenSSH: else a client could ask for thousands. */
bool login_serve_offer(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct attempt a = { 0 };
    bool goes_on = false;
    size_t len;
    const uint8_t *blob = packet_text(in, USERNAME_TEXT_MAX, &a.username) == 0 ? blob_take(in, &len) : NULL;

    if (blob) {
        const struct login_from from = from_of(n, a.username);
        n->tried = true;
        a.r = login_key_known(s->login, &from, blob, len, &a.got);
        if (a.r < 0) {
            session_log_refusal(n, a.got.method, a.username, a.got.reason ? a.got.reason : error_text(a.r));
            tell_defender(s, n, &a);
        }
        goes_on = a.r < 0 ? answer_no(s, n) : answer(n, VERDICT_YES, 0, NULL);
    }
    attempt_done(&a);
    return goes_on;
}

/* The first thing that a session says, where a hook wants to know who connects. */
bool login_serve_knock(struct sftpd *s, struct session *n, struct packet_in *in)
{
    (void)in;
    if (hook_post_connect(s->hooks, n->address))
        return answer(n, VERDICT_YES, 0, NULL);
    log_info("connection from %s refused: the hook did not let it in", n->remote);
    n->tried = true; /* it had no chance to */
    return login_say_over(n);
}

bool login_serve_interactive(struct sftpd *s, struct session *n, struct packet_in *in)
{
    CLEANUP(mem_free) char *username = NULL;

    half_forget(n);
    if (packet_text(in, USERNAME_TEXT_MAX, &username) < 0 || !version_take(n, in))
        return false;
    free(n->asked);
    n->asked = login_interactive_is_on(s->login) ? TAKE_PTR(username) : NULL;
    return n->asked ? answer(n, VERDICT_ASK, 0, PROMPT_PASSWORD) : answer_no(s, n);
}

static void attempt_by_line(struct sftpd *s, struct session *n, const char *line, struct attempt *a)
{
    const struct login_from from = from_of(n, a->username);

    if (!n->is_half) {
        a->r = login_by_line(s->login, &from, line, &a->got);
        return;
    }
    a->got.method = n->step.next ? "publickey+keyboard-interactive" : "keyboard-interactive";
    a->r = login_by_code(s->login, &n->half, line);
    if (a->r == -EACCES)
        a->got.reason = "wrong code";
    if (a->r == 0) {
        a->got.user = n->half;
        n->half = (struct user){ 0 };
    }
    half_forget(n);
}

bool login_serve_answer(struct sftpd *s, struct session *n, struct packet_in *in)
{
    struct attempt a = { .username = TAKE_PTR(n->asked) };
    CLEANUP(secret_free) char *line = NULL;
    bool was_half = n->is_half, goes_on = false;

    if (a.username && packet_text(in, PASSWORD_TEXT_MAX, &line) == 0) {
        attempt_by_line(s, n, line, &a);
        if (a.r == 0 && !was_half && login_wants_code(&a.got.user)) {
            n->half = a.got.user;
            a.got.user = (struct user){ 0 };
            n->is_half = true;
            n->asked = TAKE_PTR(a.username);
            goes_on = answer(n, VERDICT_ASK, 0, PROMPT_CODE);
        } else {
            goes_on = attempt_end(s, n, &a);
        }
    }
    attempt_done(&a);
    return goes_on;
}
