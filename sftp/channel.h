/* Inside the transport: its state, and the channels. */
#pragma once

#include <libssh/callbacks.h>
#include <libssh/server.h>

#include "sftp/session.h"
#include "sftp/stream.h"
#include "sftp/transport.h"

enum { CHANNELS_MAX = 10, CHANNEL_WRITE_MAX = 256 * 1024, CHANNEL_CLOSE_MS = 2000 };

struct transport;

struct channel {
    struct transport *t;
    ssh_channel c; /* NULL: free */
    struct ssh_channel_callbacks_struct callbacks;
    struct stream stream;
    struct activity activity; /* the account's, with this channel's protocol */
    struct account account;   /* each channel has its own buckets' view and activity */
    bool stalled;             /* libssh holds bytes that found no room */
    bool pulling;
    bool eof, eof_told, ended, peer_closed;
    uint64_t ended_ns; /* we have closed */
};

struct transport {
    const struct transport_options *o;
    ssh_session s;
    ssh_event event;
    struct ssh_server_callbacks_struct callbacks;
    struct broker_link broker;
    struct identity who;
    struct account account; /* what channels copy */
    struct activity activity;
    struct action_link actions;
    struct channel channels[CHANNELS_MAX];
    struct queue sig, signed_data; /* of the last signature that libssh has seen */
    bool logged_in;                /* and the process has become the user */
    bool over;                     /* end the connection */
    bool greeted;                  /* the login banner was sent */
    char client_version[128];
};

/* channel_open - for libssh's callback; NULL refuses. */
ssh_channel channel_open(ssh_session s, void *arg);

/* channel_step - lets the stream work and moves its bytes. true: there is more to do at once. */
bool channel_step(struct channel *ch);

/* channel_abort - ends what runs (uploads as upload_mode says) and closes. channel_drop - frees it. */
void channel_abort(struct channel *ch);
void channel_drop(struct channel *ch);
bool channel_is_done(const struct channel *ch);

/* transport_enter - becomes the user whom the broker has let in. Before libssh says "success": the next packet may
 * open a channel already. */
bool transport_enter(struct transport *t);

/* transport_login.c */
void transport_login_callbacks(struct transport *t);

/* transport_knock - before the first byte: does the administrator's hook let this address in? */
bool transport_knock(struct transport *t);

/* transport_interactive - a message of keyboard-interactive. 0: answered, 1: libssh says no. */
int transport_interactive(struct transport *t, ssh_message m);
