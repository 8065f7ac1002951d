/* Metrics: one table of names; counters in shared memory, a row of cells for each role; the telemetry binding prints.
 *
 * Units:   base units; _total for counters; no user names as labels.
 * Threads: any; cells are relaxed atomics. A role adds to its own cells only, the printer sums over roles. A role that
 *          is started anew goes on where its predecessor stopped (counters); gauges are set anew.
 * Source:  Prometheus text format 0.0.4; names sftpgo_* from contract/rest.md §8. */
#pragma once

#include <stdatomic.h>

#include "base/str.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_GAUGE_MS }; /* _MS: in seconds, set in milliseconds */

struct metric {
    const char *name;
    enum metric_kind kind;
    const char *label;         /* "op": the label's name, or NULL */
    const char *const *values; /* with .label: NULL-terminated list of its values */
    const char *help;
};

enum metric_id {
    M_UPLOADS,
    M_DOWNLOADS,
    M_UPLOAD_ERRORS,
    M_DOWNLOAD_ERRORS,
    M_UPLOAD_BYTES,
    M_DOWNLOAD_BYTES,
    M_SSH_COMMANDS,
    M_SSH_COMMAND_ERRORS,
    M_LOGIN_ATTEMPTS,
    M_NO_AUTH,
    M_LOGIN_OK,
    M_LOGIN_KO,
    M_PASSWORD_ATTEMPTS,
    M_PASSWORD_OK,
    M_PASSWORD_KO,
    M_PUBLIC_KEY_ATTEMPTS,
    M_PUBLIC_KEY_OK,
    M_PUBLIC_KEY_KO,
    M_INTERACTIVE_ATTEMPTS,
    M_INTERACTIVE_OK,
    M_INTERACTIVE_KO,
    M_KEY_PASSWORD_ATTEMPTS,
    M_KEY_PASSWORD_OK,
    M_KEY_PASSWORD_KO,
    M_KEY_INTERACTIVE_ATTEMPTS,
    M_KEY_INTERACTIVE_OK,
    M_KEY_INTERACTIVE_KO,
    M_TLS_CERT_ATTEMPTS, /* of FTP and DAV, which Tally does not serve: SFTPGo's names are all there */
    M_TLS_CERT_OK,
    M_TLS_CERT_KO,
    M_TLS_CERT_AND_PASSWORD_ATTEMPTS,
    M_TLS_CERT_AND_PASSWORD_OK,
    M_TLS_CERT_AND_PASSWORD_KO,
    M_HTTP_REQUESTS,
    M_HTTP_OK,
    M_HTTP_CLIENT_ERRORS,
    M_HTTP_SERVER_ERRORS,
    M_PROVIDER_AVAILABLE,
    M_ACTIVE_CONNECTIONS, /* set by the printer from the connection table */
    M_VFS_REQUESTS,       /* label op */
    M_VFS_ERRORS,
    M_VFS_REFUSED,    /* EDQUOT */
    M_LEDGER_DOMAINS, /* label state; set by the printer from the usage map */
    M_LEDGER_RECOUNTS,
    M_LEDGER_DRIFT_BYTES,
    M_LEDGER_UNDERFLOWS,
    M_LEDGER_UNWRITABLE,
    M_WATCHER_EVENTS,
    M_WATCHER_OVERFLOWS,
    M_WATCHER_BACKLOG,
    M_WATCHER_WATCHES,
    M_WATCHER_TREES, /* label by */
    M_WATCHER_DELAY,
    M_WATCHER_WAKES,
    M_WATCHER_REPAIRS,
    M_ROLE_RESTARTS, /* label role */
    METRICS
};

enum { METRIC_LABELS_MAX = 64, METRIC_ROLES = 4 };

extern const struct metric metrics[METRICS];

struct metric_cells {
    _Atomic int64_t v[METRICS][METRIC_LABELS_MAX];
};

struct metric_map {
    struct metric_cells roles[METRIC_ROLES];
};

/* metric_create - a memfd for all roles. metric_attach - maps it; from then on metric_add() goes to the row of `role`
 * (0 supervisor, 1 vfs, 2 sftp, 3 api); before that, and in tests, to private memory. fd is borrowed. */
int metric_create(int *ret_fd) MUST_CHECK;
int metric_attach(int fd, unsigned role) MUST_CHECK;

void metric_add(enum metric_id m, unsigned label, int64_t n);
void metric_set(enum metric_id m, unsigned label, int64_t n);

/* metric_print - the whole table as text. */
void metric_print(struct strbuf *to);
