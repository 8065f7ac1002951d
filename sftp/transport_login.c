/* Logins. libssh's callbacks ask the broker and pass its verdict on. A signature is judged in two steps: libssh
 * verifies it through our EVP_DigestVerify(), which hands it to the broker and always says "good" (a bad one would get
 * no answer at all); then comes the callback, which says what the broker has said. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/channel.h"
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

/* Asks for a verdict; with VERDICT_IN t->who is filled. */
static enum verdict ask_verdict(struct transport *t, struct queue *q)
{
    uint8_t buf[8192];
    int fds[BROKER_FDS_MAX] = { -1, -1 };
    ssize_t got = broker_ask(&t->broker, q, SAY_VERDICT, buf, sizeof(buf), fds);
    struct packet_in in = { .p = buf + 1, .left = got > 0 ? (size_t)got - 1 : 0 };
    enum verdict v = got > 0 ? (enum verdict)packet_u8(&in) : VERDICT_OVER;

    if (v == VERDICT_IN && identity_parse(&in, fds, &t->who) < 0)
        v = VERDICT_OVER;
    for (size_t i = 0; i < BROKER_FDS_MAX; i++)
        fd_close(&fds[i]);
    t->over = t->over || v == VERDICT_OVER;
    return v;
}

static void verify(void *arg, const char *digest, const uint8_t *sig, size_t sig_len, const uint8_t *data,
                   size_t data_len)
{
    struct transport *t = arg;
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    (void)digest; /* the broker goes by the algorithm in the signed data */

    packet_put_u8(&q, SAY_SIGNATURE);
    packet_put_bytes(&q, sig, sig_len);
    packet_put_bytes(&q, data, data_len);
    packet_put_text(&q, t->client_version);
    t->verified = !t->logged_in && ask_verdict(t, &q) == VERDICT_IN;
    queue_done(&q);
}

static void note_client_version(struct transport *t)
{
    const char *banner = ssh_get_clientbanner(t->s);
    str_set(t->client_version, sizeof(t->client_version), banner ? banner : "");
}

static int on_password(ssh_session s, const char *user, const char *password, void *arg)
{
    struct transport *t = arg;
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    (void)s;

    if (t->logged_in)
        return SSH_AUTH_DENIED;
    packet_put_u8(&q, SAY_PASSWORD);
    packet_put_text(&q, user);
    packet_put_text(&q, password);
    packet_put_text(&q, t->client_version);
    enum verdict v = ask_verdict(t, &q);
    if (q.v)
        explicit_bzero(q.v, q.room);
    queue_done(&q);
    return v == VERDICT_IN && transport_enter(t) ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
}

static enum verdict ask_offer(struct transport *t, const char *user, const char *base64)
{
    struct queue q = QUEUE(BROKER_MESSAGE_MAX);
    size_t room = strlen(base64);
    CLEANUP(mem_free) uint8_t *blob = malloc(room + 1);
    ssize_t len = blob ? base64_decode(BASE64_STD, base64, room, blob, room) : 0;

    if (len <= 0)
        return VERDICT_NO;
    packet_put_u8(&q, SAY_OFFER);
    packet_put_text(&q, user);
    packet_put_bytes(&q, blob, (size_t)len);
    enum verdict v = ask_verdict(t, &q);
    queue_done(&q);
    return v;
}

static int on_key(ssh_session s, const char *user, struct ssh_key_struct *key, char state, void *arg)
{
    struct transport *t = arg;
    char *base64 = NULL;
    (void)s;

    if (t->logged_in)
        return SSH_AUTH_DENIED;
    if (state == SSH_PUBLICKEY_STATE_VALID) {
        return t->verified && transport_enter(t) ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
    }
    if (state != SSH_PUBLICKEY_STATE_NONE || ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK)
        return SSH_AUTH_DENIED;
    enum verdict v = ask_offer(t, user, base64);
    ssh_string_free_char(base64);
    return v == VERDICT_YES ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
}

static int on_none(ssh_session s, const char *user, void *arg)
{
    (void)s, (void)user, (void)arg;
    return SSH_AUTH_DENIED;
}

static int on_service(ssh_session s, const char *service, void *arg)
{
    (void)s, (void)service;
    note_client_version(arg);
    return 0;
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
    ssh_set_auth_methods(t->s, SSH_AUTH_METHOD_PUBLICKEY |
                                   (t->o->config->sftpd.password_authentication ? SSH_AUTH_METHOD_PASSWORD : 0));
    sign_hook_set(&(struct sign_hook){ .sign = sign, .verify = verify, .arg = t });
}
