#include "sftp/broker.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"

enum { NOBODY = 65534, CLOSE_GRACE_S = 5, STOP_WAIT_MS = 3000 };

int broker_watch(struct sftpd *s, struct watched *w, bool again)
{
    struct epoll_event e = { .events = EPOLLIN | (w->kind == WATCH_STOP ? 0U : (uint32_t)EPOLLONESHOT), .data.ptr = w };
    return epoll_ctl(s->epoll, again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0 ? -errno : 0;
}

static void listener_start(struct sftpd *s)
{
    s->listener_retry_ns = 0;
    int r = listener_spawn(s);
    if (r < 0) {
        log_fail(r, "cannot start the SFTP listener");
        IGNORE(listener_gone(s), "it has just been started");
    }
}

static void kill_late(struct sftpd *s)
{
    uint64_t now = sys->now_ns();
    mutex_lock(&s->lock);
    for (struct session *n = s->sessions; n; n = n->next)
        if (n->deadline_ns && now > n->deadline_ns && n->pidfd >= 0) {
            session_kill(n);
            n->deadline_ns = 0;
        }
    mutex_unlock(&s->lock);
}

static void serve_tick(struct sftpd *s)
{
    uint64_t times;
    IGNORE(read(s->tick.fd, &times, sizeof(times)), "only to make it quiet");
    kill_late(s);
    if (s->listener_retry_ns && sys->now_ns() > s->listener_retry_ns)
        listener_start(s);
    IGNORE(broker_watch(s, &s->tick, true), "it was watched before");
}

static void serve_listener(struct sftpd *s)
{
    int r = listener_accept(s);
    if (r > 0 && broker_watch(s, &s->listener, true) == 0)
        return;
    if (r == -EBADMSG && s->listener_pid > 0)
        IGNORE(kill(s->listener_pid, SIGKILL), "it talks nonsense: a new one is made");
    if (listener_gone(s))
        listener_start(s);
}

static void serve_session(struct sftpd *s, struct session *n)
{
    if (n->ending) {
        session_gone(s, n);
        return;
    }
    bool goes_on = session_serve(s, n);
    if (goes_on && n->action)
        action_hand_over(s, n);
    else if (!goes_on || broker_watch(s, &n->watched, true) < 0)
        session_end(s, n);
}

static void *worker(void *arg)
{
    struct sftpd *s = arg;
    struct epoll_event e;

    while (!atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
        if (epoll_wait(s->epoll, &e, 1, -1) != 1)
            continue;
        struct watched *w = e.data.ptr;
        if (w->kind == WATCH_TICK)
            serve_tick(s);
        else if (w->kind == WATCH_LISTENER)
            serve_listener(s);
        else if (w->kind == WATCH_SESSION)
            serve_session(s, (struct session *)(void *)w);
    }
    return NULL;
}

/* Users without an own uid are the service account; without that account they are nobody, never root. */
static void find_service_account(struct sftpd *s)
{
    char buf[4096];
    struct passwd pw, *found = NULL;
    s->service_uid = s->service_gid = NOBODY;
    if (getpwnam_r("tally", &pw, buf, sizeof(buf), &found) == 0 && found) {
        s->service_uid = found->pw_uid;
        s->service_gid = found->pw_gid;
    }
}

static int start_events(struct sftpd *s)
{
    const struct itimerspec every = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->stop = (struct watched){ .kind = WATCH_STOP, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    s->tick = (struct watched){ .kind = WATCH_TICK, .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK) };
    if (s->epoll < 0 || s->stop.fd < 0 || s->tick.fd < 0 || timerfd_settime(s->tick.fd, 0, &every, NULL) < 0)
        return -errno;
    int r = broker_watch(s, &s->stop, false);
    return r < 0 ? r : broker_watch(s, &s->tick, false);
}

static int start_workers(struct sftpd *s)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    /* Hooks make workers wait without work. */
    size_t own = login_hooks_block(s->hooks) ? BROKER_WORKERS_MAX : (size_t)MAX(cpus, 1L) + 2;
    size_t want = MIN(own, (size_t)BROKER_WORKERS_MAX);
    for (size_t i = 0; i < want; i++) {
        int r = -pthread_create(&s->workers[i], NULL, worker, s);
        if (r < 0)
            return r;
        s->workers_n++;
    }
    return 0;
}

/* What the broker itself uses of what may change while it runs; the listener reads the rest. */
static void take_settings(struct sftpd *s, const struct config *c)
{
    atomic_store_explicit(&s->auth_tries_max, c->sftpd.max_auth_tries, memory_order_relaxed);
    atomic_store_explicit(&s->login_grace_s, c->sftpd.login_grace_s, memory_order_relaxed);
}

static bool listens(const struct sftpd_options *o)
{
    for (size_t i = 0; i < o->listen_n; i++)
        if (o->listen_fds[i] >= 0)
            return true;
    return false;
}

int sftpd_start(const struct sftpd_options *o, struct sftpd **ret)
{
    struct why why = { 0 };
    struct sftpd *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->o = *o;
    s->epoll = s->stop.fd = s->tick.fd = -1;
    s->listener = (struct watched){ .kind = WATCH_LISTENER, .fd = -1 };
    s->listener_pid = -1;
    mutex_init(&s->lock, RANK_CONNECTIONS);
    find_service_account(s);
    take_settings(s, o->config);
    int r = host_keys_load(o->config, &s->keys, &why);
    if (r < 0)
        log_error("%s: %s", why.field, why.text);
    if (r == 0)
        r = login_hooks_new(o->config, s->service_uid, s->service_gid, &s->hooks);
    if (r == 0)
        r = login_new(o->config, o->store, s->hooks, &s->login);
    if (r == 0)
        r = start_events(s);
    if (r == 0)
        r = broker_actions_start(s);
    if (r == 0 && listens(o))
        r = listener_spawn(s);
    if (r == 0)
        r = start_workers(s);
    if (r < 0) {
        sftpd_stop(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* The old listener reads the end of its socket between two connections, so that none is lost; what it has told already
 * is read before its own end is. */
int sftpd_reload(struct sftpd *s)
{
    CLEANUP(config_done) struct config fresh = { 0 };
    struct why why = { 0 };
    int r = config_load(s->o.config_path, environ, &fresh, &why);

    if (r < 0)
        return log_fail(r, "the configuration stays as it was: %s (line %u): %s", why.field, why.line, why.text);
    take_settings(s, &fresh);
    r = login_settings(s->login, &fresh);
    if (r < 0)
        return r;
    mutex_lock(&s->lock);
    if (s->listener.fd >= 0 && shutdown(s->listener.fd, SHUT_WR) == 0)
        s->listener_told_to_end = true;
    mutex_unlock(&s->lock);
    log_info("SFTP settings read anew");
    return 0;
}

/* Listener first, so that nobody new comes; then the sessions are told and have a moment to end well. */
static void stop_listener(struct sftpd *s)
{
    if (s->listener_pid > 0)
        IGNORE(kill(s->listener_pid, SIGTERM), "it may have ended");
}

static bool has_sessions(struct sftpd *s)
{
    mutex_lock(&s->lock);
    bool has = s->sessions != NULL;
    mutex_unlock(&s->lock);
    return has;
}

static void stop_sessions(struct sftpd *s)
{
    sftpd_close_user(s, 0);
    for (int ms = 0; ms < STOP_WAIT_MS && s->workers_n > 0 && has_sessions(s); ms += 10)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

void sftpd_stop(struct sftpd *s)
{
    if (!s)
        return;
    atomic_store_explicit(&s->closing, true, memory_order_relaxed);
    stop_listener(s);
    stop_sessions(s);
    atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
    if (s->stop.fd >= 0)
        IGNORE(eventfd_write(s->stop.fd, 1), "a full counter wakes as well");
    for (size_t i = 0; i < s->workers_n; i++)
        pthread_join(s->workers[i], NULL);
    broker_actions_stop(s);
    while (s->sessions)
        session_end_wait(s, s->sessions);
    IGNORE(listener_gone(s), "no other follows");
    fd_close(&s->epoll);
    fd_close(&s->stop.fd);
    fd_close(&s->tick.fd);
    login_free(s->login);
    login_hooks_free(s->hooks);
    host_keys_done(&s->keys);
    mutex_done(&s->lock);
    free(s);
}

static void ask_to_close(struct session *n, const char *reason) /* under the lock */
{
    uint64_t end = sys->now_ns() + (uint64_t)CLOSE_GRACE_S * 1000000000;

    atomic_store_explicit(&n->record->close_requested, 1, memory_order_relaxed);
    if (n->ending)
        return;
    if (session_tell_close(n, reason) < 0)
        session_kill(n); /* it does not read */
    n->deadline_ns = n->deadline_ns ? MIN(n->deadline_ns, end) : end;
}

int sftpd_close_connection(struct sftpd *s, const char *id)
{
    int r = -ENOENT;
    mutex_lock(&s->lock);
    for (struct session *n = s->sessions; n; n = n->next)
        if (n->user_id && strcmp(n->connection_id, id) == 0) {
            ask_to_close(n, "closed by an administrator");
            r = 0;
        }
    mutex_unlock(&s->lock);
    return r;
}

void sftpd_close_user(struct sftpd *s, int64_t user_id)
{
    mutex_lock(&s->lock);
    for (struct session *n = s->sessions; n; n = n->next)
        if (user_id == 0 || n->user_id == user_id)
            ask_to_close(n, user_id ? "the account was changed" : "the server is being stopped");
    mutex_unlock(&s->lock);
}

static struct json_object *bindings_status(const struct sftpd *s)
{
    struct json_object *list = json_object_new_array();
    const struct sftpd_binding *b = s->o.config->sftpd.bindings.v;
    for (size_t i = 0; list && i < s->o.config->sftpd.bindings.n; i++) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "address", json_object_new_string(b[i].address ? b[i].address : ""));
        json_object_object_add(o, "port", json_object_new_int((int32_t)b[i].port));
        json_object_object_add(o, "apply_proxy_config", json_object_new_boolean(b[i].apply_proxy_config));
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *host_keys_status(const struct sftpd *s)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < s->keys.n; i++) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "path", json_object_new_string(s->keys.v[i].path));
        json_object_object_add(o, "fingerprint", json_object_new_string(s->keys.v[i].fingerprint));
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *sftpd_status(const struct sftpd *s)
{
    static const char *const commands[] = { "md5sum",    "sha1sum", "sha256sum", "sha384sum",
                                            "sha512sum", "cd",      "pwd",       "scp" };
    struct json_object *o = json_object_new_object(), *list = json_object_new_array();
    const struct strings *enabled = &s->o.config->sftpd.enabled_ssh_commands;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strings_has(enabled, "*") || strings_has(enabled, commands[i]))
            json_object_array_add(list, json_object_new_string(commands[i]));
    json_object_object_add(o, "is_active", json_object_new_boolean(s->listener_pid > 0));
    json_object_object_add(o, "bindings", bindings_status(s));
    json_object_object_add(o, "ssh_commands", list);
    json_object_object_add(o, "host_keys", host_keys_status(s));
    return o;
}
