/* The REST API, and the metrics binding: HTTP in, the store written, questions to the other roles.
 *
 *  socket ─► http.c ─► guard.c ─► dispatch.c ─► route.c ─► auth.c, token.c ─► schema ─► handlers_*.c ─► reply.c
 *                                    └─ pool.c: what hashes or waits
 *
 * An operation is a row of route.c; the dispatcher does everything that all have in common, and a handler does its own
 * work only. Event threads never block: passwords, writes to the store and questions to other roles run in two bounded
 * pools while their connection sleeps. Lists are not built from objects: the store has each object's text ready, and
 * live.c adds the numbers of now from the ledger's map.
 *
 * It never touches a file of a home and moves no counter: a scan or a correction is a question to the vfs role.
 *
 * Threads: two event threads a socket, the sweeper (deadlines), the two pools. Locks are leaves: none is held while
 *          another room is called.
 * Read:    route.h, then dispatch.c, http.c, auth.c, one of the handlers.
 * Source:  contract/rest.md, DESIGN §10 (our deviations), notes/http-db.md §A, §B, §H. */
#pragma once

#include "base/connections.h"
#include "base/control.h"
#include "base/guards.h"
#include "base/role.h"
#include "store/store.h"

struct apid;

struct apid_socket {
    const struct httpd_binding *binding; /* borrowed; NULL for the two kinds below */
    int fd;                              /* listening; borrowed */
    bool is_admin_socket;                /* <runtime_dir>/api.sock: root and the group tally need no password */
    bool is_telemetry;
};

/* A dump that is restored before anything is served. */
struct apid_restore {
    int fd; /* borrowed; -1: none */
    int64_t mode, scan_quota;
    bool skip_unsupported;
};

struct apid_options {
    const struct config *config; /* borrowed, like the next three */
    struct store *store;         /* for writing: this role is the only writer */
    struct control *control;
    struct connections *connections;
    struct guards *guards; /* NULL: nobody is banned or limited */
    const struct apid_socket *sockets;
    size_t sockets_n;
    struct apid_restore restore;
};

/* apid_start - -EBADMSG (logged): the dump to be restored was refused, a second try will not do better. */
int apid_start(const struct apid_options *o, struct apid **ret) MUST_CHECK;
void apid_stop(struct apid *a);

/* apid_reload - certificates and revocation lists are read anew, for new connections (SIGHUP). */
void apid_reload(struct apid *a);

/* apid_login_seen - an SFTP login happened (control event "login"): last_login, at most every 10 minutes a user. Does
 * not block: a worker writes it. */
void apid_login_seen(struct apid *a, const char *username, int64_t at_ms);

/* apid_default_admin - with data_provider.create_default_admin and no administrator yet: makes the one that
 * TALLY_DEFAULT_ADMIN_USERNAME and TALLY_DEFAULT_ADMIN_PASSWORD name; without both it logs an error and makes none.
 * apid_start() does it. */
int apid_default_admin(struct store *store, const struct config *config) MUST_CHECK;

/* apid_print_routes - all routes as one JSON list: method, path, operation, permission, schemas with their fields,
 * statuses, query (tallyd --print-routes; tests/contract compares it with openapi.yaml). */
void apid_print_routes(struct strbuf *to);
