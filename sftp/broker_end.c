/* How a session ends. Its socket's end proves nothing: a process that a stranger has taken hold of may close it and
 * live on, with a page of the record and the user's home. So it is killed, and stays in the list, counted, until its
 * process is gone. An honest one has nothing left to do by then: its socket ends when it exits. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"
#include "sftp/broker.h"

enum { END_WAIT_MS = 5000 };

void session_log_refusal(const struct session *n, const char *method, const char *username, const char *why)
{
    const struct log_field fields[] = {
        { "client_ip", n->address, 0 },
        { "username", username ? username : "", 0 },
        { "login_type", method, 0 },
        { "protocol", "SSH", 0 },
        { "error", why, 0 },
        { 0 },
    };
    log_fields(LOG_INFO, "connection_failed", fields, NULL);
}

void session_kill(const struct session *n)
{
    if (n->pidfd >= 0)
        IGNORE(syscall(SYS_pidfd_send_signal, n->pidfd, SIGKILL, NULL, 0), "it may have ended just now");
}

static void session_free(struct sftpd *s, struct session *n, bool is_gone)
{
    if (!n->tried) {
        metric_add(M_NO_AUTH, 0, 1);
        session_log_refusal(n, "no_auth_tryed", NULL, "no login was tried");
        guards_note(s->o.guards, n->address, DEFENDER_UNKNOWN, "SSH");
    } else if (n->key_failed && !n->logged_in) {
        guards_note(s->o.guards, n->address, n->key_event, "SSH");
    }
    mutex_lock(&s->lock);
    *n->link = n->next;
    if (n->next)
        n->next->link = n->link;
    mutex_unlock(&s->lock);
    hook_post_disconnect(s->hooks, n->address, n->username, sys->wall_ms() - n->since_ms);
    if (n->logged_in)
        log_info("connection %s ended", n->connection_id);
    if (is_gone)
        connection_free(n->record);
    if (!n->ending)
        fd_close(&n->watched.fd);
    fd_close(&n->pidfd);
    login_forget(n);
    free(n);
}

void session_gone(struct sftpd *s, struct session *n)
{
    session_free(s, n, true);
}

void session_end_wait(struct sftpd *s, struct session *n)
{
    struct pollfd p = { .fd = n->pidfd, .events = POLLIN };

    session_kill(n);
    bool is_gone = n->pidfd < 0 || poll(&p, 1, END_WAIT_MS) == 1;
    if (!is_gone)
        log_error("the process of connection %s does not end", n->connection_id);
    session_free(s, n, is_gone);
}

void session_end(struct sftpd *s, struct session *n)
{
    if (n->pidfd < 0) {
        session_gone(s, n);
        return;
    }
    mutex_lock(&s->lock);
    session_kill(n);
    fd_close(&n->watched.fd);
    n->watched.fd = n->pidfd;
    n->ending = true;
    mutex_unlock(&s->lock);
    if (broker_watch(s, &n->watched, false) < 0)
        session_end_wait(s, n);
}
