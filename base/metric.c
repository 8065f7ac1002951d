#include "base/metric.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const domain_states[] = { "clean", "dirty", "stale", "counting", NULL };
static const char *const watched_by[] = { "nobody", "fanotify", "inotify", NULL };
static const char *const role_names[] = { "supervisor", "vfs", "sftp", "api", NULL };
/* In the order of enum op in vfs/op.h; a test compares the two. */
static const char *const vfs_ops[] = {
    "lookup",   "forget",   "getattr",   "setattr",     "readlink",   "symlink",   "mknod",
    "mkdir",    "unlink",   "rmdir",     "rename",      "link",       "create",    "tmpfile",
    "open",     "read",     "write",     "release",     "fsync",      "fallocate", "copy_file_range",
    "lseek",    "opendir",  "readdir",   "readdirplus", "releasedir", "fsyncdir",  "statfs",
    "setxattr", "getxattr", "listxattr", "removexattr", NULL
};

const struct metric metrics[METRICS] = {
    [M_UPLOADS] = { "sftpgo_uploads_total", METRIC_COUNTER, NULL, NULL, "uploads that ended well" },
    [M_DOWNLOADS] = { "sftpgo_downloads_total", METRIC_COUNTER, NULL, NULL, "downloads that ended well" },
    [M_UPLOAD_ERRORS] = { "sftpgo_upload_errors_total", METRIC_COUNTER, NULL, NULL, "uploads that failed" },
    [M_DOWNLOAD_ERRORS] = { "sftpgo_download_errors_total", METRIC_COUNTER, NULL, NULL, "downloads that failed" },
    [M_UPLOAD_BYTES] = { "sftpgo_upload_size", METRIC_COUNTER, NULL, NULL, "bytes uploaded" },
    [M_DOWNLOAD_BYTES] = { "sftpgo_download_size", METRIC_COUNTER, NULL, NULL, "bytes downloaded" },
    [M_SSH_COMMANDS] = { "sftpgo_ssh_commands_total", METRIC_COUNTER, NULL, NULL, "SSH commands that ended well" },
    [M_SSH_COMMAND_ERRORS] = { "sftpgo_ssh_command_errors_total", METRIC_COUNTER, NULL, NULL,
                               "SSH commands that failed" },
    [M_LOGIN_ATTEMPTS] = { "sftpgo_login_attempts_total", METRIC_COUNTER, NULL, NULL, "login attempts" },
    [M_NO_AUTH] = { "sftpgo_no_auth_total", METRIC_COUNTER, NULL, NULL,
                    "connections that ended without a login attempt" },
    [M_LOGIN_OK] = { "sftpgo_login_ok_total", METRIC_COUNTER, NULL, NULL, "logins" },
    [M_LOGIN_KO] = { "sftpgo_login_ko_total", METRIC_COUNTER, NULL, NULL, "failed logins" },
    [M_PASSWORD_ATTEMPTS] = { "sftpgo_password_login_attempts_total", METRIC_COUNTER, NULL, NULL,
                              "login attempts by password" },
    [M_PASSWORD_OK] = { "sftpgo_password_login_ok_total", METRIC_COUNTER, NULL, NULL, "logins by password" },
    [M_PASSWORD_KO] = { "sftpgo_password_login_ko_total", METRIC_COUNTER, NULL, NULL, "failed logins by password" },
    [M_PUBLIC_KEY_ATTEMPTS] = { "sftpgo_public_key_login_attempts_total", METRIC_COUNTER, NULL, NULL,
                                "login attempts by public key" },
    [M_PUBLIC_KEY_OK] = { "sftpgo_public_key_login_ok_total", METRIC_COUNTER, NULL, NULL, "logins by public key" },
    [M_PUBLIC_KEY_KO] = { "sftpgo_public_key_login_ko_total", METRIC_COUNTER, NULL, NULL,
                          "failed logins by public key" },
    [M_INTERACTIVE_ATTEMPTS] = { "sftpgo_keyboard_interactive_login_attempts_total", METRIC_COUNTER, NULL, NULL,
                                 "login attempts by keyboard-interactive" },
    [M_INTERACTIVE_OK] = { "sftpgo_keyboard_interactive_login_ok_total", METRIC_COUNTER, NULL, NULL,
                           "logins by keyboard-interactive" },
    [M_INTERACTIVE_KO] = { "sftpgo_keyboard_interactive_login_ko_total", METRIC_COUNTER, NULL, NULL,
                           "failed logins by keyboard-interactive" },
    [M_KEY_PASSWORD_ATTEMPTS] = { "sftpgo_key_and_password_login_attempts_total", METRIC_COUNTER, NULL, NULL,
                                  "login attempts by key and password" },
    [M_KEY_PASSWORD_OK] = { "sftpgo_key_and_password_login_ok_total", METRIC_COUNTER, NULL, NULL,
                            "logins by key and password" },
    [M_KEY_PASSWORD_KO] = { "sftpgo_key_and_password_login_ko_total", METRIC_COUNTER, NULL, NULL,
                            "failed logins by key and password" },
    [M_KEY_INTERACTIVE_ATTEMPTS] = { "sftpgo_key_and_keyboard_int_login_attempts_total", METRIC_COUNTER, NULL, NULL,
                                     "login attempts by key and keyboard-interactive" },
    [M_KEY_INTERACTIVE_OK] = { "sftpgo_key_and_keyboard_int_login_ok_total", METRIC_COUNTER, NULL, NULL,
                               "logins by key and keyboard-interactive" },
    [M_KEY_INTERACTIVE_KO] = { "sftpgo_key_and_keyboard_int_login_ko_total", METRIC_COUNTER, NULL, NULL,
                               "failed logins by key and keyboard-interactive" },
    [M_TLS_CERT_ATTEMPTS] = { "sftpgo_tls_cert_login_attempts_total", METRIC_COUNTER, NULL, NULL,
                              "login attempts by TLS certificate" },
    [M_TLS_CERT_OK] = { "sftpgo_tls_cert_login_ok_total", METRIC_COUNTER, NULL, NULL, "logins by TLS certificate" },
    [M_TLS_CERT_KO] = { "sftpgo_tls_cert_login_ko_total", METRIC_COUNTER, NULL, NULL,
                        "failed logins by TLS certificate" },
    [M_TLS_CERT_AND_PASSWORD_ATTEMPTS] = { "sftpgo_tls_cert_and_pwd_login_attempts_total", METRIC_COUNTER, NULL, NULL,
                                           "login attempts by TLS certificate and password" },
    [M_TLS_CERT_AND_PASSWORD_OK] = { "sftpgo_tls_cert_and_pwd_login_ok_total", METRIC_COUNTER, NULL, NULL,
                                     "logins by TLS certificate and password" },
    [M_TLS_CERT_AND_PASSWORD_KO] = { "sftpgo_tls_cert_and_pwd_login_ko_total", METRIC_COUNTER, NULL, NULL,
                                     "failed logins by TLS certificate and password" },
    [M_HTTP_REQUESTS] = { "sftpgo_http_req_total", METRIC_COUNTER, NULL, NULL, "HTTP requests" },
    [M_HTTP_OK] = { "sftpgo_http_req_ok_total", METRIC_COUNTER, NULL, NULL,
                    "HTTP requests answered with 1xx, 2xx or 3xx" },
    [M_HTTP_CLIENT_ERRORS] = { "sftpgo_http_client_errors_total", METRIC_COUNTER, NULL, NULL,
                               "HTTP requests answered with 4xx" },
    [M_HTTP_SERVER_ERRORS] = { "sftpgo_http_server_errors_total", METRIC_COUNTER, NULL, NULL,
                               "HTTP requests answered with 5xx" },
    [M_PROVIDER_AVAILABLE] = { "sftpgo_dataprovider_availability", METRIC_GAUGE, NULL, NULL, "1: the store answers" },
    [M_ACTIVE_CONNECTIONS] = { "sftpgo_active_connections", METRIC_GAUGE, NULL, NULL, "live connections" },
    [M_VFS_REQUESTS] = { "tally_vfs_requests_total", METRIC_COUNTER, "op", vfs_ops, "FUSE requests answered" },
    [M_VFS_ERRORS] = { "tally_vfs_errors_total", METRIC_COUNTER, NULL, NULL,
                       "FUSE requests answered with EIO or ENOMEM" },
    [M_VFS_REFUSED] = { "tally_vfs_refused_total", METRIC_COUNTER, NULL, NULL,
                        "FUSE requests refused for want of quota" },
    [M_LEDGER_DOMAINS] = { "tally_ledger_domains", METRIC_GAUGE, "state", domain_states, "quota domains" },
    [M_LEDGER_RECOUNTS] = { "tally_ledger_recounts_total", METRIC_COUNTER, NULL, NULL, "recounts that ended" },
    [M_LEDGER_DRIFT_BYTES] = { "tally_ledger_drift_bytes_total", METRIC_COUNTER, NULL, NULL,
                               "bytes that recounts put right" },
    [M_LEDGER_UNDERFLOWS] = { "tally_ledger_underflows_total", METRIC_COUNTER, NULL, NULL,
                              "counters that would have gone below zero" },
    [M_LEDGER_UNWRITABLE] = { "tally_ledger_unwritable", METRIC_GAUGE, NULL, NULL,
                              "1: ledger.db cannot be written: after a crash of the machine all is counted again" },
    [M_WATCHER_EVENTS] = { "tally_watcher_events_total", METRIC_COUNTER, NULL, NULL, "events read from the kernel" },
    [M_WATCHER_OVERFLOWS] = { "tally_watcher_overflows_total", METRIC_COUNTER, NULL, NULL,
                              "event queues that overflowed" },
    [M_WATCHER_BACKLOG] = { "tally_watcher_backlog", METRIC_GAUGE, NULL, NULL, "places that wait to be looked at" },
    [M_WATCHER_WATCHES] = { "tally_watcher_watches", METRIC_GAUGE, NULL, NULL, "kernel marks or watches in use" },
    [M_WATCHER_TREES] = { "tally_watcher_trees", METRIC_GAUGE, "by", watched_by,
                          "homes and folders, by what watches them" },
    [M_WATCHER_DELAY] = { "tally_watcher_delay_seconds", METRIC_GAUGE_MS, NULL, NULL,
                          "from the first event of the last round until all its places were looked at" },
    [M_WATCHER_WAKES] = { "tally_watcher_wakes_total", METRIC_COUNTER, NULL, NULL, "times the queues were looked at" },
    [M_WATCHER_REPAIRS] = { "tally_watcher_repairs_total", METRIC_COUNTER, NULL, NULL, "places looked at" },
    [M_ROLE_RESTARTS] = { "tally_role_restarts_total", METRIC_COUNTER, "role", role_names,
                          "times the supervisor started a role again" },
};

static struct metric_map private_map; /* until metric_attach(), and in tests */
static struct metric_map *map = &private_map;
static unsigned own_role;

int metric_create(int *ret_fd)
{
    CLEANUP(fd_close) int fd = memfd_create("tally-metrics", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, sizeof(struct metric_map)) < 0)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

int metric_attach(int fd, unsigned role)
{
    void *v = mmap(NULL, sizeof(struct metric_map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (v == MAP_FAILED)
        return -errno;
    map = v;
    own_role = role;
    return 0;
}

void metric_add(enum metric_id m, unsigned label, int64_t n)
{
    atomic_fetch_add_explicit(&map->roles[own_role].v[m][label], n, memory_order_relaxed);
}

void metric_set(enum metric_id m, unsigned label, int64_t n)
{
    atomic_store_explicit(&map->roles[own_role].v[m][label], n, memory_order_relaxed);
}

static int64_t metric_sum(size_t m, size_t label)
{
    int64_t sum = 0;

    for (size_t role = 0; role < METRIC_ROLES; role++)
        sum += atomic_load_explicit(&map->roles[role].v[m][label], memory_order_relaxed);
    return sum;
}

static void value_print(const struct metric *row, int64_t value, struct strbuf *to)
{
    if (row->kind == METRIC_GAUGE_MS)
        strbuf_addf(to, " %.3f\n", (double)value / 1000);
    else
        strbuf_addf(to, " %lld\n", (long long)value);
}

void metric_print(struct strbuf *to)
{
    for (size_t m = 0; m < METRICS; m++) {
        const struct metric *row = &metrics[m];

        strbuf_addf(to, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                    row->kind == METRIC_COUNTER ? "counter" : "gauge");
        if (row->label == NULL) {
            strbuf_addf(to, "%s", row->name);
            value_print(row, metric_sum(m, 0), to);
        }
        for (size_t i = 0; row->label != NULL && row->values[i] != NULL; i++) {
            strbuf_addf(to, "%s{%s=\"%s\"}", row->name, row->label, row->values[i]);
            value_print(row, metric_sum(m, i), to);
        }
    }
}
