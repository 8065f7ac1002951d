/* The main loop: wait for libssh's socket and the broker, let the channels work, look at the clocks.
 *
 * Waiting is bounded by what comes first: a channel with work (not at all), a bandwidth limit, the grace time of the
 * login, the idle time, a channel that waits for its peer's close. */
#include "sftp/transport.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/channel.h"
#include "sftp/io_shim.h"

enum { WAIT_MAX_MS = 1000, LINGER_MS = 2000, KEEPALIVE_S = 60, BATCH_READS = 128, HANDSHAKE_CALL_US = 1000 };

static int on_broker(socket_t fd, int revents, void *arg)
{
    struct transport *t = arg;
    (void)fd;
    if (revents & (POLLIN | POLLHUP | POLLERR))
        broker_hear(&t->broker);
    return 0;
}

/* Everything for which libssh has no callback: keyboard-interactive, and what is refused (forwarding, agents, X11). 1:
 * libssh answers "no". */
static int on_message(ssh_session s, ssh_message m, void *arg)
{
    (void)s;
    if (ssh_message_type(m) == SSH_REQUEST_AUTH && ssh_message_subtype(m) == SSH_AUTH_METHOD_INTERACTIVE)
        return transport_interactive(arg, m);
    return 1;
}

static bool is_connected(const struct transport *t)
{
    return !(ssh_get_status(t->s) & (SSH_CLOSED | SSH_CLOSED_ERROR));
}

static unsigned left_ms(uint64_t until_ns)
{
    uint64_t now = sys->now_ns();
    return until_ns > now ? (unsigned)MIN((until_ns - now) / 1000000 + 1, (uint64_t)WAIT_MAX_MS) : 0;
}

/* One wait, then what the shim has read already: libssh takes 4096 bytes a call. */
static void pump(struct transport *t, int timeout_ms)
{
    if (ssh_event_dopoll(t->event, timeout_ms) == SSH_ERROR)
        t->over = true;
    for (int i = 0; i < BATCH_READS && !t->over && io_shim_pending() && is_connected(t); i++)
        if (ssh_event_dopoll(t->event, 0) == SSH_ERROR)
            t->over = true;
}

static bool prepare(struct transport *t)
{
    const struct transport_options *o = t->o;
    t->s = ssh_new();
    t->event = ssh_event_new();
    if (!t->s || !t->event)
        return false;
    if (o->batching && io_shim_start(o->fd) < 0)
        log_debug("no batching for this connection");
    if (ssh_bind_accept_fd(o->bind, t->s, o->fd) != SSH_OK)
        return false;
    ssh_options_set(t->s, SSH_OPTIONS_COMPRESSION, "no");
    ssh_options_set(t->s, SSH_OPTIONS_TIMEOUT_USEC, &(long){ HANDSHAKE_CALL_US }); /* else 10 s: waiting is ours */
    ssh_set_blocking(t->s, 0);
    ssh_set_message_callback(t->s, on_message, t);
    transport_login_callbacks(t);
    return ssh_event_add_fd(t->event, t->broker.fd, POLLIN, on_broker, t) == SSH_OK;
}

/* A session can be put into an event only after its first call of libssh that reads. */
static bool exchange_keys(struct transport *t, uint64_t until_ns)
{
    int r = ssh_handle_key_exchange(t->s);
    if (r == SSH_ERROR || ssh_event_add_session(t->event, t->s) != SSH_OK)
        return false;
    for (; r == SSH_AGAIN; r = ssh_handle_key_exchange(t->s)) {
        unsigned ms = left_ms(until_ns);
        if (ms == 0 || t->over || t->broker.close_asked || !is_connected(t))
            return false;
        pump(t, (int)ms);
    }
    return r == SSH_OK;
}

static bool log_in(struct transport *t, uint64_t until_ns)
{
    while (!t->logged_in) {
        unsigned ms = left_ms(until_ns);
        if (ms == 0 || t->over || t->broker.close_asked || !is_connected(t))
            return false;
        pump(t, (int)ms);
    }
    return true;
}

static struct bucket bucket_of(int64_t kib_a_second)
{
    return (struct bucket){ .rate = kib_a_second > 0 ? (uint64_t)kib_a_second * 1024 : 0 };
}

static void account_set(struct transport *t)
{
    const struct config *c = t->o->config;
    t->activity = (struct activity){
        .record = t->o->record,
        .username = t->who.user.username,
        .connection_id = t->who.connection_id,
        .local_address = t->o->local,
        .remote_address = t->o->remote,
        .protocol = "SFTP",
        .actions = &t->actions,
    };
    t->actions = (struct action_link){ &t->broker, &c->common.actions, actions_wanted(&c->common.actions) };
    t->account = (struct account){
        .home = { .fd = t->who.home, .outside = { t->who.host_path, t->who.user.home_dir } },
        .user = &t->who.user,
        .activity = &t->activity,
        .upload_mode = c->common.upload_mode,
        .setstat_mode = c->common.setstat_mode == 1 ? SETSTAT_IGNORE : SETSTAT_DO,
        .ssh_commands = &c->sftpd.enabled_ssh_commands,
        .up = bucket_of(t->who.user.upload_bandwidth),
        .down = bucket_of(t->who.user.download_bandwidth),
        .uid = t->who.uid,
        .gid = t->who.gid,
    };
    activity_touch(&t->activity);
}

bool transport_enter(struct transport *t)
{
    int r = session_become(&t->who);
    if (r < 0) {
        log_fail(r, "cannot become user %s", t->who.user.username);
        t->over = true;
        return false;
    }
    account_set(t);
    t->logged_in = t->broker.logged_in = true;
    return true;
}

/* The latest request of any channel; a listing or a write counts, a keep-alive does not. */
static int64_t last_activity_ms(const struct transport *t)
{
    int64_t last = t->activity.last_ms;
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        if (t->channels[i].c)
            last = MAX(last, t->channels[i].activity.last_ms);
    return last;
}

static bool is_idle(struct transport *t)
{
    uint32_t limit_min = t->o->config->common.idle_timeout_min;
    int64_t last = last_activity_ms(t);
    t->activity.last_ms = last; /* a channel that ends takes its clock along */
    return limit_min > 0 && sys->wall_ms() - last > (int64_t)limit_min * 60000;
}

static bool step_channels(struct transport *t, unsigned *wait_ms)
{
    bool more = false;
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        struct channel *ch = &t->channels[i];
        if (!ch->c)
            continue;
        more = channel_step(ch) || more;
        if (channel_is_done(ch))
            channel_drop(ch);
        else if (ch->ended)
            *wait_ms = MIN(*wait_ms, 50U);
        else if (account_wait_ms(&ch->account) > 0)
            *wait_ms = MIN(*wait_ms, account_wait_ms(&ch->account));
    }
    return more;
}

static void trim_channels(struct transport *t)
{
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        if (t->channels[i].stream.ops)
            t->channels[i].stream.ops->trim(t->channels[i].stream.s);
}

/* A peer that is gone without a word is noticed by an unanswered keep-alive: TCP gives up (TCP_USER_TIMEOUT). */
static void keep_alive(struct transport *t, uint64_t *next_ns)
{
    if (sys->now_ns() < *next_ns)
        return;
    *next_ns = sys->now_ns() + (uint64_t)KEEPALIVE_S * 1000000000;
    IGNORE(ssh_send_keepalive(t->s), "a dead connection shows in its status");
    trim_channels(t);
}

static const char *serve(struct transport *t)
{
    uint64_t keepalive_ns = sys->now_ns() + (uint64_t)KEEPALIVE_S * 1000000000;

    while (is_connected(t) && !t->over) {
        unsigned wait_ms = WAIT_MAX_MS;
        if (step_channels(t, &wait_ms))
            wait_ms = 0;
        if (t->broker.close_asked)
            return t->broker.close_reason;
        if (is_idle(t))
            return "idle for too long";
        keep_alive(t, &keepalive_ns);
        pump(t, (int)wait_ms);
    }
    return NULL;
}

/* Ends uploads as upload_mode says, tells the peer why, and gives it a moment to take what is under way. */
static void finish(struct transport *t, const char *reason)
{
    uint64_t until = sys->now_ns() + (uint64_t)LINGER_MS * 1000000;

    for (size_t i = 0; i < CHANNELS_MAX; i++)
        channel_abort(&t->channels[i]);
    if (!is_connected(t))
        return;
    if (reason && ssh_session_set_disconnect_message(t->s, reason) != SSH_OK)
        log_debug("no reason could be given");
    while (reason && is_connected(t) && ssh_get_status(t->s) & SSH_WRITE_PENDING && left_ms(until) > 0)
        pump(t, (int)left_ms(until));
    ssh_disconnect(t->s);
}

int transport_run(const struct transport_options *o)
{
    static struct transport t; /* the only one of this process */
    uint64_t until = sys->now_ns() + (uint64_t)o->config->sftpd.login_grace_s * 1000000000;

    t = (struct transport){ .o = o, .broker.fd = o->broker, .who.home = -1 };
    if (!transport_knock(&t) || !prepare(&t) || !exchange_keys(&t, until))
        return 1;
    if (!log_in(&t, until)) {
        finish(&t, t.over ? "too many failed logins" : "login took too long");
        return 1;
    }
    const char *reason = serve(&t);
    if (reason)
        log_info("connection %s: %s", t.who.connection_id, reason);
    finish(&t, reason);
    return 0;
}
