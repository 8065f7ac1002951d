/* Logins. libssh's callbacks ask the broker and pass its verdict on. A signature is judged in two steps: libssh
 * verifies it through our EVP_DigestVerify(), which keeps it and always says "good" (a bad one would get no answer at
 * all); then comes the callback, which knows user and key as well and asks the broker.
 *
 * Keyboard-interactive has no callback in libssh before 0.12: its requests come as messages, answers by another one. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/channel.h"
#include "sftp/login.h"
#include "sftp/sign_hook.h"
#include "store/base64.h"

static int sign(void *arg, int key_type, const char *digest, const uint8_t *data, size_t data_len, uint8_t *sig,
                size_t *len)
{
    struct transport *t = arg;
    uint8_t buf[8192];
    int fds[BROKER_FDS_MAX];
    size_t n;
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);

    packet_put_u8(&q, SAY_SIGN);
    packet_put_u32(&q, (uint32_t)key_type);
    packet_put_text(&q, digest ? digest : "");
    packet_put_bytes(&q, data, data_len);
    ssize_t got = broker_ask(&t->broker, &q, SAY_SIGNED, buf, sizeof(buf), fds);
    queue_done(&q);
    if (got < 0)
        return (int)got;
    struct packet_in in = { .p = buf + 1, .left = (size_t)got - 1 };
    const uint8_t *p = packet_bytes(&in, &n);
    if (!p || n == 0 || n > *len)
        return -EBADMSG;
    memcpy(sig, p, n);
    *len = n;
    return 0;
}

/* What came with the last verdict. */
struct said {
    unsigned next;    /* VERDICT_MORE */
    char prompt[256]; /* VERDICT_ASK */
};

static bool said_parse(struct packet_in *in, enum verdict v, struct said *ret)
{
    CLEANUP(mem_free) char *prompt = NULL;

    if (v == VERDICT_MORE)
        ret->next = packet_u8(in);
    if (v == VERDICT_ASK && packet_text(in, sizeof(ret->prompt) - 1, &prompt) == 0)
        str_set(ret->prompt, sizeof(ret->prompt), prompt);
    return packet_ok(in) && (v != VERDICT_ASK || prompt);
}

/* Asks for a verdict; with VERDICT_IN t->who is filled. ret_said may be NULL. */
static enum verdict ask_verdict(struct transport *t, struct queue *q, struct said *ret_said)
{
    uint8_t buf[8192];
    int fds[BROKER_FDS_MAX] = { -1, -1 };
    struct said said = { 0 };
    ssize_t got = broker_ask(&t->broker, q, SAY_VERDICT, buf, sizeof(buf), fds);
    struct packet_in in = { .p = buf + 1, .left = got > 0 ? (size_t)got - 1 : 0 };
    enum verdict v = got > 0 ? (enum verdict)packet_u8(&in) : VERDICT_OVER;

    if (v == VERDICT_IN ? identity_parse(&in, fds, &t->who) < 0 : !said_parse(&in, v, &said))
        v = VERDICT_OVER;
    for (size_t i = 0; i < BROKER_FDS_MAX; i++)
        fd_close(&fds[i]);
    t->over = t->over || v == VERDICT_OVER;
    if (ret_said)
        *ret_said = said;
    return v;
}

static void proof_forget(struct transport *t)
{
    queue_done(&t->sig);
    queue_done(&t->signed_data);
}

static void verify(void *arg, const char *digest, const uint8_t *sig, size_t sig_len, const uint8_t *data,
                   size_t data_len)
{
    struct transport *t = arg;
    (void)digest; /* the broker goes by the algorithm in the signed data */

    if (t->logged_in)
        return;
    proof_forget(t);
    t->sig = (struct queue)QUEUE(BROKER_MESSAGE_MAX);
    t->signed_data = (struct queue)QUEUE(BROKER_MESSAGE_MAX);
    queue_add(&t->sig, sig, sig_len);
    queue_add(&t->signed_data, data, data_len);
}

/* libssh's auth methods of the steps that may follow; after the login's first step, those of the configuration. */
static int methods_of(const struct transport *t, unsigned next)
{
    const struct sftpd_config *c = &t->o->config->sftpd;

    if (next)
        return (next & LOGIN_PASSWORD ? SSH_AUTH_METHOD_PASSWORD : 0) |
               (next & LOGIN_INTERACTIVE ? SSH_AUTH_METHOD_INTERACTIVE : 0);
    return SSH_AUTH_METHOD_PUBLICKEY | (c->password_authentication ? SSH_AUTH_METHOD_PASSWORD : 0) |
           (c->keyboard_interactive_authentication ? SSH_AUTH_METHOD_INTERACTIVE : 0);
}

static void note_client_version(struct transport *t)
{
    const char *banner = ssh_get_clientbanner(t->s);
    str_set(t->client_version, sizeof(t->client_version), banner ? banner : "");
}

/* Before the first answer to somebody who wants to log in. */
static void greet(struct transport *t)
{
    if (t->greeted || !t->o->login_banner)
        return;
    t->greeted = true;
    ssh_string text = ssh_string_from_char(t->o->login_banner);
    if (text)
        IGNORE(ssh_send_issue_banner(t->s, text), "a courtesy");
    ssh_string_free(text);
}

static int on_password(ssh_session s, const char *user, const char *password, void *arg)
{
    struct transport *t = arg;
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    (void)s;

    greet(t);
    if (t->logged_in)
        return SSH_AUTH_DENIED;
    packet_put_u8(&q, SAY_PASSWORD);
    packet_put_text(&q, user);
    packet_put_text(&q, password);
    packet_put_text(&q, t->client_version);
    enum verdict v = ask_verdict(t, &q, NULL);
    if (q.v)
        explicit_bzero(q.v, q.room);
    queue_done(&q);
    return v == VERDICT_IN && transport_enter(t) ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
}

static int ask_key(struct transport *t, const char *user, const uint8_t *blob, size_t len, bool is_proved)
{
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    struct said said;

    packet_put_u8(&q, is_proved ? SAY_SIGNATURE : SAY_OFFER);
    packet_put_text(&q, user);
    packet_put_bytes(&q, blob, len);
    if (is_proved) {
        packet_put_bytes(&q, queue_bytes(&t->sig), t->sig.len);
        packet_put_bytes(&q, queue_bytes(&t->signed_data), t->signed_data.len);
        packet_put_text(&q, t->client_version);
        proof_forget(t);
    }
    enum verdict v = ask_verdict(t, &q, &said);
    queue_done(&q);
    if (v == VERDICT_MORE)
        ssh_set_auth_methods(t->s, methods_of(t, said.next));
    if (v == VERDICT_MORE)
        return SSH_AUTH_PARTIAL;
    return (v == VERDICT_YES && !is_proved) || (v == VERDICT_IN && transport_enter(t)) ? SSH_AUTH_SUCCESS
                                                                                       : SSH_AUTH_DENIED;
}

static int on_key(ssh_session s, const char *user, struct ssh_key_struct *key, char state, void *arg)
{
    struct transport *t = arg;
    char *base64 = NULL;
    bool is_proved = state == SSH_PUBLICKEY_STATE_VALID && t->sig.len > 0;
    (void)s;

    greet(t);

    if (t->logged_in || (!is_proved && state != SSH_PUBLICKEY_STATE_NONE) ||
        ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK)
        return SSH_AUTH_DENIED;
    size_t room = strlen(base64);
    CLEANUP(mem_free) uint8_t *blob = malloc(room + 1);
    ssize_t len = blob ? base64_decode(BASE64_STD, base64, room, blob, room) : 0;
    ssh_string_free_char(base64);
    return len > 0 ? ask_key(t, user, blob, (size_t)len, is_proved) : SSH_AUTH_DENIED;
}

/* ---- keyboard-interactive ---- */

static enum verdict ask_line(struct transport *t, ssh_message m, struct said *ret_said)
{
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    bool is_answer = ssh_message_auth_kbdint_is_response(m);

    if (is_answer && ssh_userauth_kbdint_getnanswers(t->s) != 1)
        return VERDICT_NO;
    packet_put_u8(&q, is_answer ? SAY_ANSWER : SAY_INTERACTIVE);
    packet_put_text(&q, is_answer ? ssh_userauth_kbdint_getanswer(t->s, 0) : ssh_message_auth_user(m));
    if (!is_answer)
        packet_put_text(&q, t->client_version);
    enum verdict v = ask_verdict(t, &q, ret_said);
    if (q.v)
        explicit_bzero(q.v, q.room);
    queue_done(&q);
    return v;
}

int transport_interactive(struct transport *t, ssh_message m)
{
    struct said said = { 0 };
    const char *prompts[] = { said.prompt };
    char echo = 0;

    greet(t);

    if (t->logged_in || !t->o->config->sftpd.keyboard_interactive_authentication)
        return 1; /* libssh says no */
    enum verdict v = ask_line(t, m, &said);
    if (v == VERDICT_ASK)
        return ssh_message_auth_interactive_request(m, "", "", 1, prompts, &echo) != SSH_OK;
    if (v == VERDICT_IN && transport_enter(t))
        return ssh_message_auth_reply_success(m, 0) != SSH_OK;
    return 1;
}

static int on_none(ssh_session s, const char *user, void *arg)
{
    (void)s, (void)user;
    greet(arg);
    return SSH_AUTH_DENIED;
}

static int on_service(ssh_session s, const char *service, void *arg)
{
    (void)s, (void)service;
    note_client_version(arg);
    return 0;
}

bool transport_knock(struct transport *t)
{
    const char *hook = t->o->config->common.post_connect_hook;
    struct queue q = QUEUE(16);

    if (!hook || !hook[0])
        return true;
    packet_put_u8(&q, SAY_KNOCK);
    enum verdict v = ask_verdict(t, &q, NULL);
    queue_done(&q);
    return v == VERDICT_YES;
}

void transport_login_callbacks(struct transport *t)
{
    t->callbacks = (struct ssh_server_callbacks_struct){
        .userdata = t,
        .auth_none_function = on_none,
        .auth_password_function = t->o->config->sftpd.password_authentication ? on_password : NULL,
        .auth_pubkey_function = on_key,
        .service_request_function = on_service,
        .channel_open_request_session_function = channel_open,
    };
    ssh_callbacks_init(&t->callbacks);
    ssh_set_server_callbacks(t->s, &t->callbacks);
    ssh_set_auth_methods(t->s, methods_of(t, 0));
    sign_hook_set(&(struct sign_hook){ .sign = sign, .verify = verify, .arg = t });
}
