/* Start and stop of the api role. Started upwards, stopped downwards: the pools first, so that every parked request is
 * answered and resumed before the event threads are asked to end. */
#include "api/apid.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/backup.h"
#include "api/dispatch.h"
#include "api/state.h"
#include "base/log.h"

/* Workers that hash give way: they could fill all processors, and requests with a token must not feel it. */
enum { WAITING_WORKERS = 32, HASHING_QUEUE = 64, HASHING_NICE = 10 };

static int keys_make(const struct apid_options *o, struct token_key **ret)
{
    struct token_key *keys = calloc(MAX(o->sockets_n, (size_t)1), sizeof(*keys));
    if (keys == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < o->sockets_n; i++) {
        int r = token_key_make(o->config->httpd.signing_passphrase, &keys[i]);
        if (r < 0) {
            free(keys);
            return r;
        }
    }
    *ret = keys;
    return 0;
}

/* What a socket of a binding adds: whom it trusts, and its TLS. */
static int listener_fill(struct apid *a, const struct httpd_binding *b, size_t i, struct listener *l)
{
    int r = proxies_make(&b->proxy_allowed, b->client_ip_proxy_header, &a->proxies[i]);

    l->proxies = &a->proxies[i];
    l->wants_client_certificate = b->client_auth_type != 0;
    if (r < 0 || !b->enable_https)
        return r;
    if (a->tls == NULL)
        r = tls_new(&a->config->httpd, &a->tls);
    if (r == 0)
        r = tls_priorities(b, &a->priorities[i]);
    l->tls = a->tls;
    l->priorities = a->priorities[i];
    return r;
}

static int http_begin(const struct apid_options *o, struct apid *a)
{
    struct listener listeners[HTTP_LISTENERS_MAX];
    struct http_options t = {
        .listeners = listeners,
        .listeners_n = o->sockets_n,
        .limits = http_limits_usual,
        .apid = a,
        .begin = dispatch_begin,
        .serve = dispatch_serve,
        .park = dispatch_park,
    };
    int r = 0;

    if (o->sockets_n > HTTP_LISTENERS_MAX)
        return -E2BIG;
    for (size_t i = 0; r == 0 && i < o->sockets_n; i++) {
        const struct apid_socket *s = &o->sockets[i];
        listeners[i] = (struct listener){
            .fd = s->fd,
            .kind = s->is_telemetry      ? LISTEN_TELEMETRY
                    : s->is_admin_socket ? LISTEN_ADMIN
                                         : LISTEN_API,
        };
        if (s->binding != NULL)
            r = listener_fill(a, s->binding, i, &listeners[i]);
        a->bindings[i] = s->binding;
    }
    return r < 0 ? r : http_start(&t, &a->http);
}

static int parts_start(const struct apid_options *o, struct apid *a)
{
    CLEANUP(restore_done) struct restore done = { 0 };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    int r = o->restore.fd >= 0 ? restore_at_start(o->store, o->config, &o->restore, &done) : 0;
    if (r == 0)
        r = apid_default_admin(o->store, o->config);
    if (r == 0)
        r = keys_make(o, &a->keys);
    if (r == 0)
        r = auth_new(o->store, o->config, &a->auth);
    if (r == 0)
        r = live_new(o->config->state_dir, &a->live);
    if (r == 0)
        r = gate_new(o->connections, &a->gate);
    if (r == 0)
        r = pool_start_nice((unsigned)MAX(processors, 1), HASHING_QUEUE, HASHING_NICE, &a->hashing);
    if (r == 0)
        r = pool_start(WAITING_WORKERS, POOL_QUEUE_MAX, &a->waiting);
    if (r == 0)
        r = http_begin(o, a);
    if (r == 0)
        restore_scan(a, &done, o->restore.scan_quota);
    return r;
}

int apid_start(const struct apid_options *o, struct apid **ret)
{
    struct apid *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return -ENOMEM;

    a->config = o->config;
    a->store = o->store;
    a->control = o->control;
    a->connections = o->connections;
    a->guards = o->guards;
    int r = parts_start(o, a);
    if (r < 0) {
        apid_stop(a);
        return r;
    }
    *ret = a;
    return 0;
}

void apid_stop(struct apid *a)
{
    if (a == NULL)
        return;
    atomic_store(&a->stopping, true);
    pool_close(a->hashing);
    pool_close(a->waiting);
    http_stop(a->http);
    pool_stop(a->hashing);
    pool_stop(a->waiting);
    gate_free(a->gate);
    live_free(a->live);
    auth_free(a->auth);
    free(a->keys);
    tls_free(a->tls);
    for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++) {
        proxies_done(&a->proxies[i]);
        free(a->priorities[i]);
    }
    free(a);
}

void apid_reload(struct apid *a)
{
    if (a->tls != NULL)
        IGNORE(tls_reload(a->tls), "logged there; the old ones serve on");
}

static int default_admin_add(struct store *store, const char *username, const char *password)
{
    CLEANUP(admin_done) struct admin row = { 0 };
    struct why why = { 0 };
    int64_t id;

    int r = schema_init(&admin_schema, &row);
    if (r == 0)
        r = str_copy(&row.username, username);
    if (r == 0)
        r = str_copy(&row.password, password);
    if (r == 0)
        r = strings_add(&row.permissions, "*");
    row.status = 1;
    if (r == 0)
        r = admin_add(store, &row, &id, &why);
    if (r < 0)
        return log_fail(r, "cannot create the default administrator: %s %s", why.field, why.text);
    log_info("default administrator %s created", username);
    return 0;
}

int apid_default_admin(struct store *store, const struct config *config)
{
    const char *username = getenv("TALLY_DEFAULT_ADMIN_USERNAME");
    const char *password = getenv("TALLY_DEFAULT_ADMIN_PASSWORD");
    uint64_t n = 0;

    if (!config->data_provider.create_default_admin)
        return 0;
    int r = admins_count(store, &n);
    if (r < 0 || n > 0)
        return r;
    if (username == NULL || username[0] == '\0' || password == NULL || password[0] == '\0') {
        log_error("no administrator was created: create_default_admin wants TALLY_DEFAULT_ADMIN_USERNAME and "
                  "TALLY_DEFAULT_ADMIN_PASSWORD");
        return 0;
    }
    return default_admin_add(store, username, password);
}

enum { LOGIN_SEEN_MS = 10 * 60 * 1000 };

struct login_seen {
    struct apid *a;
    int64_t at_ms;
    char *username;
};

static void login_note(void *arg)
{
    struct login_seen *seen = arg;
    struct user u = { 0 };

    int r = user_load(seen->a->store, seen->username, &u);
    if (r == 0 && seen->at_ms - u.last_login_ms >= LOGIN_SEEN_MS)
        r = user_set_last_login(seen->a->store, seen->username, seen->at_ms);
    user_done(&u);
    if (r < 0 && r != -ENOENT)
        IGNORE(log_fail(r, "cannot note the login of %s", seen->username), "the login is good anyway");
    free(seen->username);
    free(seen);
}

void apid_login_seen(struct apid *a, const char *username, int64_t at_ms)
{
    struct login_seen *seen = calloc(1, sizeof(*seen));
    if (seen == NULL)
        return;

    *seen = (struct login_seen){ a, at_ms, strdup(username) };
    int r = seen->username != NULL ? pool_submit(a->waiting, login_note, seen) : -ENOMEM;
    if (r < 0) {
        free(seen->username);
        free(seen);
        IGNORE(log_fail(r, "cannot note the login of %s", username), "the login is good anyway");
    }
}
