/* Inside the broker: the sessions it knows, the listener it runs.
 *
 *   any worker ──► epoll (one shot) ──► the listener's socket: a new session          broker.c
 *                                   ──► a session's socket: one question, one answer  broker_session.c, broker_login.c
 *                                   ──► the end of a session's process                broker_end.c
 *                                   ──► the tick: deadlines, the listener's restart
 *
 * Each worker takes one event at a time, so at most that many passwords are hashed at once; what waits is bounded
 * by the listener's limit of unauthenticated connections.
 *
 * A session may be in a stranger's hands: nothing waits for it to read, and its end is that of its process. One that
 * gives up the socket, breaks the protocol or does not read is killed.
 *
 * Locks: `lock` guards the list and what close requests read; it is never held across a hash, the store or a file. */
#pragma once

#include <stdatomic.h>

#include "base/lock.h"
#include "sftp/broker_proto.h"
#include "sftp/host_keys.h"
#include "sftp/login.h"
#include "sftp/sftpd.h"

enum { BROKER_WORKERS_MAX = 16, SESSION_ID_MAX = 64 };

enum watched_kind { WATCH_STOP, WATCH_TICK, WATCH_LISTENER, WATCH_SESSION };

/* What an epoll event points at. */
struct watched {
    enum watched_kind kind;
    int fd;
};

/* One connection. Between two events it belongs to nobody, during one to the worker that has it. */
struct session {
    struct watched watched; /* first; of its socket, when `ending` of its process */
    bool ending;            /* guarded by the lock; killed, and its process is waited for */
    struct session *next;   /* guarded by the lock */
    struct session **link;
    int pidfd; /* -1: it was gone already */
    uint32_t pid;
    int64_t since_ms; /* it was accepted */
    struct connection *record;
    char remote[72], local[72]; /* ip:port */
    char address[64];           /* ip */
    uint8_t id[SESSION_ID_MAX];
    size_t id_len;
    char connection_id[96];      /* guarded by the lock once set */
    int64_t user_id;             /* guarded by the lock; 0: not logged in */
    char username[256];          /* once logged in */
    struct action_event *action; /* it waits for a hook: to be handed over by the worker; owned */
    bool logged_in;
    unsigned tries;  /* that failed */
    bool tried;      /* any login attempt */
    bool key_failed; /* a key that is nobody's: the defender hears of it once, if no login follows */
    enum defender_event key_event;
    struct login_step step;
    char *asked;       /* whom a line is asked for; owned; NULL: nobody */
    char version[256]; /* of the client, as it said when it was asked */
    struct user half;  /* of `asked`: the password was right, now comes the code; owned */
    bool is_half;
    uint64_t deadline_ns; /* guarded by the lock; 0: none; then it is killed */
};

struct broker_actions;

struct sftpd {
    struct sftpd_options o;
    struct host_keys keys;
    struct login *login;
    struct login_hooks *hooks;
    struct broker_actions *actions; /* NULL: no hook is told of any */
    struct mutex lock;
    struct session *sessions; /* guarded by lock */
    int epoll, stop_event;
    struct watched stop, tick, listener;
    _Atomic int listener_pid;  /* -1: none */
    bool listener_told_to_end; /* guarded by lock, like listener.fd: another one follows at once */
    uint64_t listener_since_ns;
    _Atomic uint64_t listener_retry_ns;
    unsigned listener_failures;
    _Atomic uint32_t auth_tries_max, login_grace_s; /* of the configuration that was read last */
    pthread_t workers[BROKER_WORKERS_MAX];
    size_t workers_n;
    _Atomic bool closing;  /* no listener is started any more */
    _Atomic bool stopping; /* the workers end */
    uid_t service_uid;     /* for users without an own uid */
    gid_t service_gid;
};

/* broker_login.c: questions of a session that is not logged in. false: it breaks the protocol, or does not read. */
bool login_serve_knock(struct sftpd *s, struct session *n, struct packet_in *in);
bool login_serve_password(struct sftpd *s, struct session *n, struct packet_in *in);
bool login_serve_signature(struct sftpd *s, struct session *n, struct packet_in *in);
bool login_serve_offer(struct sftpd *s, struct session *n, struct packet_in *in);
bool login_serve_interactive(struct sftpd *s, struct session *n, struct packet_in *in);
bool login_serve_answer(struct sftpd *s, struct session *n, struct packet_in *in);
bool login_is_over(const struct sftpd *s, const struct session *n); /* too many tries */
bool login_say_over(struct session *n);
void login_forget(struct session *n); /* what it owns of a login */

/* broker_session.c: deals with one message. false: the session is over. */
bool session_serve(struct sftpd *s, struct session *n);

/* session_let_in - admits, publishes and answers: the session is the user's. 0, -EACCES with a reason, others. */
int session_let_in(struct sftpd *s, struct session *n, const struct user *u, const char **reterr_reason) MUST_CHECK;
int session_tell_close(struct session *n, const char *reason);

/* broker_action.c. action_serve - a message about an action; false: the session is over. action_hand_over - a session
 * with n->action goes to a thread that runs the hook, answers, and watches it again. */
bool action_serve(struct sftpd *s, struct session *n, struct packet_in *in);
void action_hand_over(struct sftpd *s, struct session *n);
int broker_actions_start(struct sftpd *s) MUST_CHECK;
void broker_actions_stop(struct sftpd *s); /* sessions that wait get their answer; waits for hooks that run */

/* broker_end.c */
void session_log_refusal(const struct session *n, const char *method, const char *username, const char *why);

/* A session is over when its process is: only then its record is another's. */
void session_kill(const struct session *n);
void session_end(struct sftpd *s, struct session *n);      /* kills it; n may be freed already at return */
void session_gone(struct sftpd *s, struct session *n);     /* its process has ended: frees it and its record */
void session_end_wait(struct sftpd *s, struct session *n); /* both, without a worker */

/* broker_listener.c */
int listener_spawn(struct sftpd *s) MUST_CHECK;
bool listener_gone(struct sftpd *s);  /* true: it was told to end, and another one is to be started now */
int listener_accept(struct sftpd *s); /* one message of the listener: a new session; 0: it is gone */

int broker_watch(struct sftpd *s, struct watched *w, bool again);
