/* The configuration: one table of keys gives parsing, environment, --check-config, --help and the sample file.
 *
 * Order: fallbacks, then the file (JSON, comments allowed), then TALLY_* variables: TALLY_HTTPD__BINDINGS__0__PORT. An
 * unknown key, a wrong type or an unreadable file is an error that names key and line; nothing starts on guesses.
 *
 * Threads: a loaded configuration is constant. A reload makes a new one. */
#pragma once

#include "base/field.h"

struct sftpd_binding {
    char *address; /* "" : all */
    uint32_t port; /* 0: off */
    bool apply_proxy_config;
};

struct httpd_binding {
    char *address; /* "" : all; an absolute path: a Unix socket */
    uint32_t port; /* 0: off (unless a Unix socket) */
    bool enable_https;
    uint32_t client_auth_type;        /* 1: a client certificate is required */
    uint32_t min_tls_version;         /* 12 or 13 */
    struct strings tls_cipher_suites; /* of TLS 1.2, by their IANA names */
    struct strings proxy_allowed;     /* addresses and networks */
    char *client_ip_proxy_header;     /* the one header to believe */
    bool render_openapi;
};

/* Which pages of other origins may call the API from a browser. */
struct cors_config {
    bool enabled;
    struct strings allowed_origins, allowed_methods, allowed_headers, exposed_headers;
    bool allow_credentials;
    uint32_t max_age_s; /* wire: max_age */
};

struct actions_config {
    struct strings execute_on, execute_sync;
    char *hook; /* program or URL; "": none */
};

/* Who fails too often is banned for a while (base/defender.h). */
struct defender_config {
    bool enabled;
    char *driver;                /* memory */
    uint32_t ban_time_min;       /* wire: ban_time */
    uint32_t ban_time_increment; /* percent */
    uint32_t threshold;
    uint32_t score_invalid, score_valid, score_limit_exceeded;
    uint32_t observation_time_min; /* wire: observation_time */
    uint32_t entries_soft_limit, entries_hard_limit;
    char *safelist_file, *blocklist_file;
};

/* How many may come (base/rate_limit.h). */
struct rate_limiter_config {
    uint32_t average;   /* events a period; 0: off */
    uint32_t period_ms; /* wire: period */
    uint32_t burst;
    uint32_t type; /* 1 all together, 2 each address */
    struct strings protocols;
    struct strings allow_list; /* addresses and networks */
    bool generate_defender_events;
    uint32_t entries_soft_limit, entries_hard_limit;
};

struct common_config {
    uint32_t idle_timeout_min; /* wire: idle_timeout */
    uint32_t upload_mode;      /* 0 standard, 1 atomic, 2 atomic with resume */
    uint32_t setstat_mode;     /* 1 ignore chmod/chown/chtimes; 0, 2 do it (homes are local files) */
    struct actions_config actions;
    uint32_t max_total_connections;
    uint32_t max_per_host_connections;
    char *post_connect_hook, *post_disconnect_hook; /* programs or URLs */
    uint32_t proxy_protocol;                        /* 0 off, 1 on, 2 required */
    struct strings proxy_allowed;
    struct defender_config defender;
    struct objects rate_limiters; /* struct rate_limiter_config */
};

struct sftpd_config {
    struct objects bindings; /* struct sftpd_binding */
    struct strings host_keys;
    char *banner;
    uint32_t max_auth_tries;
    uint32_t login_grace_s; /* wire: login_grace_time */
    bool password_authentication;
    bool keyboard_interactive_authentication;
    struct strings trusted_user_ca_keys;          /* files */
    struct strings kex_algorithms, ciphers, macs; /* empty: ours */
    char *login_banner_file;
    struct strings enabled_ssh_commands;
};

struct httpd_config {
    struct objects bindings; /* struct httpd_binding */
    char *signing_passphrase;
    char *certificate_file, *certificate_key_file;
    struct strings ca_certificates, ca_revocation_lists;
    struct cors_config cors;
};

struct bcrypt_options {
    uint32_t cost;
};

struct argon2_options {
    uint32_t memory_kib; /* wire: memory */
    uint32_t iterations;
    uint32_t parallelism;
};

struct password_hashing {
    struct bcrypt_options bcrypt_options;
    struct argon2_options argon2_options;
    char *algo; /* bcrypt or argon2id */
};

struct provider_config {
    char *driver;              /* sqlite */
    char *name;                /* file; relative to state_dir */
    char *users_base_dir;      /* absolute */
    char *backups_path;        /* relative to state_dir */
    uint32_t max_restore_size; /* bytes */
    uint32_t track_quota;      /* 0, 1, 2 */
    bool create_default_admin;
    struct password_hashing password_hashing;
    char *check_password_hook, *post_login_hook; /* programs or URLs */
    uint32_t check_password_scope, post_login_scope;
};

struct telemetry_config {
    uint32_t bind_port; /* 0: off */
    char *bind_address;
};

/* A way of one-time passwords that people may choose (contract/rest.md §0.4, line 10). */
struct totp_provider {
    char *name, *issuer;
    char *algo; /* sha1, sha256, sha512 */
};

struct mfa_config {
    struct objects totp; /* struct totp_provider */
};

struct vfs_config {
    char *mount;
    bool in_place;
    bool passthrough; /* false: never, for tests and comparison */
    uint32_t max_open_files;
};

struct ledger_config {
    char *stale_growth;       /* allow or refuse */
    uint32_t recounts;        /* at once */
    uint32_t recount_threads; /* of each; 0: as many as processors */
    uint32_t recount_rate;    /* files a second, each; 0: no limit */
    bool recounts_idle;
};

struct watcher_config {
    char *mode; /* auto, fanotify, inotify, off */
    uint32_t max_watches;
    uint32_t recount_every_min; /* inotify only; wire: recount_every; 0: never */
};

struct config {
    char *state_dir;
    char *runtime_dir;
    char *log_level; /* debug, info, warn, error */
    struct common_config common;
    struct sftpd_config sftpd;
    struct httpd_config httpd;
    struct provider_config data_provider;
    struct telemetry_config telemetry;
    struct mfa_config mfa;
    struct vfs_config vfs;
    struct ledger_config ledger;
    struct watcher_config watcher;
};

extern const struct schema config_schema;

/* config_load - from a file (NULL: fallbacks and environment only). *ret is owned: config_done(). -EINVAL with
 * reterr_why (field, line, text); -ENOENT, -EACCES and others for the file, also with reterr_why. */
int config_load(const char *path, char *const *environment, struct config *ret, struct why *reterr_why) MUST_CHECK;
void config_done(struct config *c);

/* config_print_sample - the complete file with each key's fallback and its help as a comment. */
void config_print_sample(struct strbuf *to);

/* config_print_help - a table of keys for --help: key, fallback, meaning, when it applies. */
void config_print_help(struct strbuf *to);

/* config_print_manual - the section KEYS of tally.json(5), as roff. */
void config_print_manual(struct strbuf *to);
