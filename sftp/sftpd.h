/* The SFTP server: a listener that forks a process for each connection, and a broker that knows the users.
 *
 *   broker (tallyd-sftp)       store, logins, home descriptors, close requests; one thread pool for password hashes
 *    └─ listener               a small warmed-up process, executed anew by the broker: accepts, bounds, forks
 *        └─ tallyd-session     one connection: libssh, SFTP requests; after login the user's uid and only its home
 *
 * Source: DESIGN §2, §9; contract/sftp-quota.md §2, §3; notes/ssh.md, notes/session-process.md (newer, it wins). */
#pragma once

#include "base/connections.h"
#include "base/guards.h"
#include "base/role.h"
#include "store/store.h"

struct sftpd;

struct sftpd_options {
    const struct config *config; /* borrowed, like the next three */
    const char *config_path;     /* borrowed; the listener reads the same file; NULL: it has none */
    struct store *store;         /* for reading */
    struct control *control;     /* told: "login" {username, at_ms} to api */
    struct connections *connections;
    struct guards *guards; /* NULL: nobody is banned or limited */
    const int *listen_fds; /* borrowed; by the number of the binding, -1: it is off */
    size_t listen_n;
    int metrics_fd;     /* borrowed: handed to the listener */
    int connections_fd; /* borrowed: handed to the listener */
};

int sftpd_start(const struct sftpd_options *o, struct sftpd **ret) MUST_CHECK;
void sftpd_stop(struct sftpd *s);

/* sftpd_close_connection - by the id in the table; asynchronous. -ENOENT. */
int sftpd_close_connection(struct sftpd *s, const char *id);

/* sftpd_user_changed - ends the sessions of a removed user, or of one whose update said "disconnect". */
void sftpd_close_user(struct sftpd *s, int64_t user_id);

/* sftpd_reload - reads the configuration anew. A new listener follows the old one: who wants to connect meanwhile
 * waits in the sockets; sessions that run go on as they are. In force then: common.*, and of sftpd banner,
 * max_auth_tries, login_grace_time, password_authentication. A configuration that cannot be read changes nothing; its
 * error is logged and returned. */
int sftpd_reload(struct sftpd *s) MUST_CHECK;

/* sftpd_status - {"bindings":[…],"ssh_commands":[…],"host_keys":[{path,fingerprint}]}; owned. */
struct json_object *sftpd_status(const struct sftpd *s);

/* sftp_listener_main - the process that the broker executes: `tallyd --role sftp-listener`. Returns the exit status. */
int sftp_listener_main(struct role *role);

/* sftp_stdio_main - `tallyd sftp-stdio [-R] [-d DIR]`: the same engine on stdin and stdout, with this process's rights,
 * confined to DIR (default: the current directory). -R: read-only. Returns the exit status. */
int sftp_stdio_main(int argc, char **argv);
