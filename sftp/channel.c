/* Channels. libssh may call the data callback from inside its write and flush functions, so callbacks only append to
 * the stream's input; the work is done in channel_step(), from the main loop. What finds no room stays in libssh's
 * buffer, closes the peer's window, and is pulled later, since libssh does not call again.
 *
 * Output goes out only while libssh has nothing of its own pending: some clients give a window of 2 GiB, and its
 * buffer would grow to that. */
#include "sftp/channel.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"

enum { PULL_BYTES = 32 * 1024 };

static int on_data(ssh_session s, ssh_channel c, void *data, uint32_t len, int is_stderr, void *arg)
{
    struct channel *ch = arg;
    (void)s, (void)c;

    if (ch->pulling || is_stderr)
        return is_stderr ? (int)len : 0;
    if (!ch->stream.ops || ch->ended)
        return (int)len; /* nobody wants it any more */
    size_t n = MIN((size_t)len, ch->stream.ops->room(ch->stream.s));
    if (n > 0 && ch->stream.ops->feed(ch->stream.s, data, n) < 0)
        return 0;
    ch->stalled = n < len;
    return (int)n;
}

static void on_eof(ssh_session s, ssh_channel c, void *arg)
{
    (void)s, (void)c;
    ((struct channel *)arg)->eof = true;
}

static void on_close(ssh_session s, ssh_channel c, void *arg)
{
    (void)s, (void)c;
    ((struct channel *)arg)->peer_closed = true;
}

/* The protocol of the first channel is what the connection table shows, until another one starts something. */
static int start(struct channel *ch, const char *protocol, const char *command, struct stream *stream)
{
    ch->stream = *stream;
    ch->activity.protocol = protocol;
    activity_protocol(&ch->activity, protocol, command);
    return 0;
}

static int on_subsystem(ssh_session s, ssh_channel c, const char *name, void *arg)
{
    struct channel *ch = arg;
    struct stream stream;
    (void)s, (void)c;

    if (ch->stream.ops || strcmp(name, "sftp") != 0 || stream_sftp(&ch->account, &stream) < 0)
        return 1;
    return start(ch, "SFTP", "", &stream);
}

static int on_exec(ssh_session s, ssh_channel c, const char *line, void *arg)
{
    struct channel *ch = arg;
    struct stream stream;
    (void)s, (void)c;

    if (ch->stream.ops || stream_command(&ch->account, line, &stream) < 0)
        return 1;
    return start(ch, str_has_prefix(line, "scp") ? "SCP" : "SSH", line, &stream);
}

/* NOLINTNEXTLINE(readability-function-size): libssh's signature */
static int refuse_pty(ssh_session s, ssh_channel c, const char *term, int w, int h, int pw, int ph, void *arg)
{
    (void)s, (void)c, (void)term, (void)w, (void)h, (void)pw, (void)ph, (void)arg;
    return -1;
}

static int refuse_resize(ssh_session s, ssh_channel c, int w, int h, int pw, int ph, void *arg)
{
    (void)s, (void)c, (void)w, (void)h, (void)pw, (void)ph, (void)arg;
    return -1;
}

static int refuse_shell(ssh_session s, ssh_channel c, void *arg)
{
    (void)s, (void)c, (void)arg;
    return 1;
}

static int refuse_env(ssh_session s, ssh_channel c, const char *name, const char *value, void *arg)
{
    (void)s, (void)c, (void)name, (void)value, (void)arg;
    return 1;
}

static struct channel *free_channel(struct transport *t)
{
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        if (!t->channels[i].c)
            return &t->channels[i];
    return NULL;
}

ssh_channel channel_open(ssh_session s, void *arg)
{
    struct transport *t = arg;
    struct channel *ch = t->logged_in ? free_channel(t) : NULL;

    if (!ch)
        return NULL;
    *ch = (struct channel){ .t = t, .c = ssh_channel_new(s), .activity = t->activity, .account = t->account };
    if (!ch->c)
        return NULL;
    ch->account.activity = &ch->activity;
    ch->callbacks = (struct ssh_channel_callbacks_struct){
        .userdata = ch,
        .channel_data_function = on_data,
        .channel_eof_function = on_eof,
        .channel_close_function = on_close,
        .channel_pty_request_function = refuse_pty,
        .channel_shell_request_function = refuse_shell,
        .channel_pty_window_change_function = refuse_resize,
        .channel_exec_request_function = on_exec,
        .channel_env_request_function = refuse_env,
        .channel_subsystem_request_function = on_subsystem,
    };
    ssh_callbacks_init(&ch->callbacks);
    if (ssh_set_channel_callbacks(ch->c, &ch->callbacks) != SSH_OK) {
        ssh_channel_free(ch->c);
        ch->c = NULL;
    }
    return ch->c;
}

/* Bytes that libssh kept, while the stream has room. */
static void pull(struct channel *ch)
{
    uint8_t buf[PULL_BYTES];

    while (ch->stalled) {
        size_t room = MIN(ch->stream.ops->room(ch->stream.s), sizeof(buf));
        if (room == 0)
            return;
        ch->pulling = true;
        int n = ssh_channel_read_nonblocking(ch->c, buf, (uint32_t)room, 0);
        ch->pulling = false;
        if (n > 0 && ch->stream.ops->feed(ch->stream.s, buf, (size_t)n) < 0)
            n = 0;
        ch->stalled = n > 0;
    }
}

/* Before the status that a line explains; what the window has no room for is dropped, never waited for. */
static void flush_notices(struct channel *ch)
{
    size_t len = 0;
    const void *lines = ch->stream.ops->notices ? ch->stream.ops->notices(ch->stream.s, &len) : NULL;

    if (len == 0 || ch->peer_closed || ssh_get_status(ch->t->s) & SSH_WRITE_PENDING)
        return;
    if (ssh_channel_window_size(ch->c) >= len)
        IGNORE(ssh_channel_write_stderr(ch->c, lines, (uint32_t)len), "the status says it, too");
    ch->stream.ops->notices_sent(ch->stream.s);
}

/* True when all is sent; *ret_moved: something was. */
static bool flush(struct channel *ch, bool *ret_moved)
{
    size_t len;
    const void *out = ch->stream.ops->output(ch->stream.s, &len);

    *ret_moved = false;
    flush_notices(ch);
    while (len > 0 && !ch->peer_closed && !(ssh_get_status(ch->t->s) & SSH_WRITE_PENDING)) {
        int n = ssh_channel_write(ch->c, out, (uint32_t)MIN(len, (size_t)CHANNEL_WRITE_MAX));
        if (n <= 0)
            break;
        ch->stream.ops->sent(ch->stream.s, (size_t)n);
        *ret_moved = true;
        out = ch->stream.ops->output(ch->stream.s, &len);
    }
    return len == 0;
}

static void close_now(struct channel *ch, int status)
{
    ch->ended = true;
    ch->ended_ns = sys->now_ns();
    if (ch->peer_closed)
        return;
    IGNORE(ssh_channel_request_send_exit_status(ch->c, status), "the connection may be gone");
    IGNORE(ssh_channel_send_eof(ch->c), "the connection may be gone");
    IGNORE(ssh_channel_close(ch->c), "the connection may be gone");
}

void channel_abort(struct channel *ch)
{
    if (!ch->c || ch->ended)
        return;
    bool moved;
    if (ch->stream.ops)
        IGNORE(flush(ch, &moved), "what does not go now does not go");
    stream_free(&ch->stream);
    close_now(ch, 1);
}

static void end_stream(struct channel *ch, int r)
{
    int status = r < 0 ? 1 : ch->stream.ops->status(ch->stream.s);
    if (r < 0)
        log_debug("channel ended: %s", error_text(r));
    stream_free(&ch->stream);
    close_now(ch, status);
}

bool channel_step(struct channel *ch)
{
    if (!ch->c || ch->ended)
        return false;
    if (!ch->stream.ops || ch->peer_closed) {
        if (ch->eof || ch->peer_closed)
            channel_abort(ch);
        return false;
    }
    pull(ch);
    if (ch->eof && !ch->stalled && !ch->eof_told) {
        ch->stream.ops->eof(ch->stream.s);
        ch->eof_told = true;
    }
    bool moved;
    int r = ch->stream.ops->step(ch->stream.s);
    bool all_sent = flush(ch, &moved);
    if (r < 0 || (r == STREAM_ENDED && all_sent))
        end_stream(ch, r);
    return r == STREAM_MORE || (r == STREAM_WAITS && moved); /* it may have waited for room in its output only */
}

bool channel_is_done(const struct channel *ch)
{
    return ch->ended && (ch->peer_closed || sys->now_ns() - ch->ended_ns > (uint64_t)CHANNEL_CLOSE_MS * 1000000);
}

void channel_drop(struct channel *ch)
{
    stream_free(&ch->stream);
    if (ch->c) {
        ssh_remove_channel_callbacks(ch->c, &ch->callbacks);
        ssh_channel_free(ch->c);
    }
    *ch = (struct channel){ 0 };
}
