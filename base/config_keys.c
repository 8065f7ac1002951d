/* The table of keys: names, limits, fallbacks, help and when a change takes effect; one table a section, and the rules
 * that one key's row cannot say. The sample file and --help are printed from here. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/config_inside.h"
#include "base/hook.h"

enum { HASH_WORK_MAX = 1 << 20, RATE_MAX = 100000000, WATCHES_MAX = 1 << 30, YEAR_MIN = 365 * 24 * 60 };

/* ---- paths, by their components ---- */

/* The next component at *at, which moves behind it; its length, 0 at the end. */
static size_t component(const char **at, const char **ret)
{
    *at += strspn(*at, "/");
    *ret = *at;
    size_t len = strcspn(*at, "/");
    *at += len;
    return len;
}

bool config_path_is(const char *s)
{
    const char *name;

    if (s[0] != '/')
        return false;
    for (size_t len; (len = component(&s, &name)) > 0;)
        if ((len == 1 && name[0] == '.') || (len == 2 && memcmp(name, "..", 2) == 0))
            return false;
    return true;
}

/* Is `path` the directory `dir` or something in it? */
static bool is_within(const char *path, const char *dir)
{
    const char *mine;
    const char *its;

    for (;;) {
        size_t its_len = component(&dir, &its);
        if (its_len == 0)
            return true;
        if (component(&path, &mine) != its_len || memcmp(mine, its, its_len) != 0)
            return false;
    }
}

/* ---- what a string may be ---- */

static bool is_address(const char *s)
{
    struct in6_addr any;

    return inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

bool config_listener_is(const char *s)
{
    return s[0] == '/' ? config_path_is(s) && strlen(s) < sizeof((struct sockaddr_un *)0)->sun_path : is_address(s);
}

static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

static bool is_log_level(const char *s)
{
    return is_one_of(s, (const char *const[]){ "debug", "info", "warn", "error", NULL });
}

static bool is_driver(const char *s)
{
    return strcmp(s, "sqlite") == 0;
}

static bool is_algo(const char *s)
{
    return is_one_of(s, (const char *const[]){ "bcrypt", "argon2id", NULL });
}

static bool is_totp_algo(const char *s)
{
    return is_one_of(s, (const char *const[]){ "sha1", "sha256", "sha512", NULL });
}

static bool is_stale_growth(const char *s)
{
    return is_one_of(s, (const char *const[]){ "allow", "refuse", NULL });
}

static bool is_watcher_mode(const char *s)
{
    return is_one_of(s, (const char *const[]){ "auto", "fanotify", "inotify", "off", NULL });
}

/* ---- sections ---- */

static bool is_action(const char *s)
{
    return is_one_of(s, (const char *const[]){ "download", "upload", "delete", "rename", "mkdir", "rmdir", "ssh_cmd",
                                               "pre-download", "pre-upload", "pre-delete", NULL });
}

static const struct field actions_keys[] = {
    F_STRINGS(struct actions_config, execute_on, .max = 16, .valid = is_action, .valid_text = "must name actions",
              .help = "what the hook is told of: download, upload, delete, rename, mkdir, rmdir, ssh_cmd; or asked "
                      "before: pre-download, pre-upload, pre-delete"),
    F_STRINGS(struct actions_config, execute_sync, .max = 16, .valid = is_action, .valid_text = "must name actions",
              .help = "those of execute_on that the client waits for; it always waits for pre-..."),
    F_STRING(struct actions_config, hook, .max = 4095, .valid = hook_is_valid,
             .valid_text = "must be the absolute path of a program, or an http or https URL",
             .help = "program or URL that is told of file actions; programs run as the account tally; empty: none"),
};
static const struct schema actions_schema = SCHEMA("actions", struct actions_config, actions_keys);

static const struct field common_keys[] = {
    F_U32(struct common_config, idle_timeout_min, .wire = "idle_timeout", .max = 10080, .fallback = "15",
          .applies = AT_RELOAD, .help = "minutes without a request before a connection is closed; 0: never"),
    F_U32(struct common_config, upload_mode, .max = 2, .fallback = "0", .applies = AT_RELOAD,
          .help = "0: write in place; 1: write aside, then rename; 2: the same, and resuming is possible"),
    F_U32(struct common_config, setstat_mode, .max = 2, .fallback = "0", .applies = AT_RELOAD,
          .help = "0: do what clients ask of modes, owners and times; 1: say yes and do nothing; 2: as 0"),
    F_OBJECT(struct common_config, actions, &actions_schema),
    F_U32(struct common_config, max_total_connections, .max = 65535, .fallback = "0", .applies = AT_RELOAD,
          .help = "open connections at most; 0: no limit"),
    F_U32(struct common_config, max_per_host_connections, .max = 65535, .fallback = "20", .applies = AT_RELOAD,
          .help = "open connections one address may hold; 0: no limit"),
    F_STRING(struct common_config, post_connect_hook, .max = 4095, .valid = hook_is_valid,
             .valid_text = "must be an absolute path or an http(s) URL",
             .help = "program or URL that is asked for each SFTP connection before its first byte; empty: none"),
    F_STRING(struct common_config, post_disconnect_hook, .max = 4095, .valid = hook_is_valid,
             .valid_text = "must be an absolute path or an http(s) URL",
             .help = "program or URL that is told of each SFTP connection that has ended; empty: none"),
    F_U32(struct common_config, proxy_protocol, .max = 2, .fallback = "0", .applies = AT_RELOAD,
          .help = "SFTP: 0: no PROXY header is looked for; 1: proxies of proxy_allowed may send one; 2: they must, and "
                  "nobody else may connect"),
    F_STRINGS(struct common_config, proxy_allowed, .max = 64, .valid = network_or_address_is,
              .valid_text = "must be an address or a network", .applies = AT_RELOAD,
              .help = "addresses and networks of proxies whose PROXY header is believed"),
    F_OBJECT(struct common_config, defender, &defender_config_schema),
    F_OBJECTS(struct common_config, rate_limiters, .sub = &rate_limiter_config_schema, .max = 8, .applies = AT_RELOAD,
              .help = "how many may come; without an entry: any number"),
};
static int common_check(const void *obj, struct why *why)
{
    const struct common_config *c = obj;

    if (c->proxy_protocol != 0 && c->proxy_allowed.n == 0)
        return why_set(why, -EINVAL, "proxy_allowed", "must name the proxies when proxy_protocol is on");
    return 0;
}
static const struct schema common_schema = SCHEMA("common", struct common_config, common_keys, .check = common_check);

static const struct field sftpd_binding_keys[] = {
    F_STRING(struct sftpd_binding, address, .valid = is_address, .valid_text = ADDRESS_TEXT,
             .help = "IP address to listen on; empty: all"),
    F_U32(struct sftpd_binding, port, .max = PORT_MAX, .fallback = "0", .help = "TCP port; 0: this binding is off"),
    F_BOOL(struct sftpd_binding, apply_proxy_config, .fallback = "true",
           .help = "common.proxy_protocol holds for this binding"),
};
static const struct schema sftpd_binding_schema = SCHEMA("binding", struct sftpd_binding, sftpd_binding_keys);

/* RFC 4253 §4.2: what follows "SSH-2.0-" has no blanks and no minus in its first word; a line break would end it. */
static bool is_banner(const char *s)
{
    for (; *s != '\0'; s++)
        if (*s <= ' ' || *s > '~' || *s == '-')
            return false;
    return true;
}

static bool is_ssh_command(const char *s)
{
    return is_one_of(s, (const char *const[]){ "*", "scp", "cd", "pwd", "md5sum", "sha1sum", "sha256sum", "sha384sum",
                                               "sha512sum", NULL });
}

static const struct field sftpd_keys[] = {
    F_OBJECTS(struct sftpd_config, bindings, .sub = &sftpd_binding_schema, .max = 16, .fallback = "[{\"port\":2022}]",
              .help = "where SFTP and SCP are served"),
    F_STRINGS(struct sftpd_config, host_keys, .max = 16,
              .help = "private host keys: files, relative to state_dir; none: they are made there"),
    F_STRING(struct sftpd_config, banner, .max = 100, .valid = is_banner,
             .valid_text = "must be printable ASCII without blanks and minus signs", .applies = AT_RELOAD,
             .help = "name in the SSH identification string; empty: Tally and its version"),
    F_U32(struct sftpd_config, max_auth_tries, .min = 1, .max = 100, .fallback = "6", .applies = AT_RELOAD,
          .help = "failed logins before a connection is closed"),
    F_U32(struct sftpd_config, login_grace_s, .wire = "login_grace_time", .min = 1, .max = 3600, .fallback = "30",
          .applies = AT_RELOAD, .help = "seconds a client has to log in"),
    F_BOOL(struct sftpd_config, password_authentication, .fallback = "true", .applies = AT_RELOAD,
           .help = "false: no login by password"),
    F_BOOL(struct sftpd_config, keyboard_interactive_authentication, .fallback = "true", .applies = AT_RELOAD,
           .help = "false: no login that asks for the password, and for the code of a second factor, line by line"),
    F_STRINGS(struct sftpd_config, trusted_user_ca_keys, .max = 64, .applies = AT_RELOAD,
              .help = "files of public keys, relative to state_dir, whose user certificates are accepted"),
    F_STRINGS(struct sftpd_config, kex_algorithms, .max = 32, .valid = ssh_kex_is, .valid_text = SSH_KEX_TEXT,
              .applies = AT_RELOAD, .help = "key exchanges, the preferred first; empty: all that are safe"),
    F_STRINGS(struct sftpd_config, ciphers, .max = 32, .valid = ssh_cipher_is, .valid_text = SSH_CIPHER_TEXT,
              .applies = AT_RELOAD, .help = "ciphers, the preferred first; empty: all that are safe"),
    F_STRINGS(struct sftpd_config, macs, .max = 32, .valid = ssh_mac_is, .valid_text = SSH_MAC_TEXT,
              .applies = AT_RELOAD, .help = "checksums for ciphers without their own; empty: all that are safe"),
    F_STRING(struct sftpd_config, login_banner_file, .max = 4095, .applies = AT_RELOAD,
             .help = "file, relative to state_dir, whose first 8 KiB people read before they log in; empty: none"),
    F_STRINGS(struct sftpd_config, enabled_ssh_commands, .max = 16, .valid = is_ssh_command,
              .valid_text = "must be *, scp, cd, pwd, md5sum, sha1sum, sha256sum, sha384sum or sha512sum",
              .fallback = "*", .applies = AT_RELOAD, .help = "commands that clients may run; *: all of these"),
};
static const struct schema sftpd_schema = SCHEMA("sftpd", struct sftpd_config, sftpd_keys);

static const struct field bcrypt_keys[] = {
    F_U32(struct bcrypt_options, cost, .min = 4, .max = 14, .fallback = "10", .help = "two to this power rounds"),
};
static const struct schema bcrypt_schema = SCHEMA("bcrypt_options", struct bcrypt_options, bcrypt_keys);

static const struct field argon2_keys[] = {
    F_U32(struct argon2_options, memory_kib, .wire = "memory", .min = 8, .max = 262144, .fallback = "65536",
          .help = "KiB; at least 8 times parallelism"),
    F_U32(struct argon2_options, iterations, .min = 1, .max = 10, .fallback = "1", .help = "passes over the memory"),
    F_U32(struct argon2_options, parallelism, .min = 1, .max = 8, .fallback = "2", .help = "lanes"),
};

static int argon2_check(const void *obj, struct why *why)
{
    const struct argon2_options *o = obj;

    if (o->memory_kib < 8 * o->parallelism)
        return why_set(why, -EINVAL, "memory", "must be at least 8 times parallelism");
    if (o->memory_kib * o->iterations > HASH_WORK_MAX) /* what store/password.h verifies */
        return why_set(why, -EINVAL, "iterations", "times memory must be at most %d KiB", HASH_WORK_MAX);
    return 0;
}
static const struct schema argon2_schema =
    SCHEMA("argon2_options", struct argon2_options, argon2_keys, .check = argon2_check);

static const struct field hashing_keys[] = {
    F_OBJECT(struct password_hashing, bcrypt_options, &bcrypt_schema),
    F_OBJECT(struct password_hashing, argon2_options, &argon2_schema),
    F_STRING(struct password_hashing, algo, .flags = FIELD_REQUIRED, .valid = is_algo,
             .valid_text = "must be bcrypt or argon2id", .fallback = "bcrypt",
             .help = "how new passwords are stored: bcrypt or argon2id"),
};
static const struct schema hashing_schema = SCHEMA("password_hashing", struct password_hashing, hashing_keys);

static const struct field provider_keys[] = {
    F_STRING(struct provider_config, driver, .flags = FIELD_REQUIRED, .valid = is_driver,
             .valid_text = "must be sqlite", .fallback = "sqlite", .help = "kind of the database: sqlite"),
    F_STRING(struct provider_config, name, .flags = FIELD_REQUIRED, .max = 4095, .fallback = "tally.db",
             .help = "file of the database, relative to state_dir"),
    F_STRING(struct provider_config, users_base_dir, .max = 4095, .valid = config_path_is, .valid_text = PATH_TEXT,
             .fallback = "/srv/tally/data",
             .help = "a user without home_dir gets a directory of that name here; empty: home_dir must be given"),
    F_U32(struct provider_config, track_quota, .max = 2, .fallback = "1",
          .help = "0: nothing is refused; 1 or 2: every user and folder is counted and its limits hold"),
    F_STRING(struct provider_config, backups_path, .flags = FIELD_REQUIRED, .max = 4095, .fallback = "backups",
             .help = "directory of the dumps that GET /dumpdata writes, relative to state_dir"),
    F_U32(struct provider_config, max_restore_size, .min = 1048576, .max = 1073741824, .fallback = "10485760",
          .help = "bytes that a dump to be restored may have"),
    F_BOOL(struct provider_config, create_default_admin, .fallback = "false",
           .help = "make the first administrator from TALLY_DEFAULT_ADMIN_USERNAME and TALLY_DEFAULT_ADMIN_PASSWORD"),
    F_OBJECT(struct provider_config, password_hashing, &hashing_schema),
    F_STRING(struct provider_config, check_password_hook, .max = 4095, .valid = hook_is_valid,
             .valid_text = "must be an absolute path or an http(s) URL",
             .help = "program or URL that is asked whether a password is right; empty: none"),
    F_U32(struct provider_config, check_password_scope, .max = 7, .fallback = "0",
          .help = "for which protocols: 1 SSH (2 and 4, FTP and DAV, are not served); 0: all"),
    F_STRING(struct provider_config, post_login_hook, .max = 4095, .valid = hook_is_valid,
             .valid_text = "must be an absolute path or an http(s) URL",
             .help = "program or URL that is told of logins by SFTP; empty: none"),
    F_U32(struct provider_config, post_login_scope, .max = 2, .fallback = "0",
          .help = "0: of all, 1: of failed ones, 2: of successful ones"),
};
static const struct schema provider_schema = SCHEMA("data_provider", struct provider_config, provider_keys);

static const struct field telemetry_keys[] = {
    F_U32(struct telemetry_config, bind_port, .max = PORT_MAX, .fallback = "10000",
          .help = "TCP port of the metrics; 0: off"),
    F_STRING(struct telemetry_config, bind_address, .valid = is_address, .valid_text = ADDRESS_TEXT,
             .fallback = "127.0.0.1", .help = "IP address to listen on; empty: all"),
};
static const struct schema telemetry_schema = SCHEMA("telemetry", struct telemetry_config, telemetry_keys);

static const struct field totp_keys[] = {
    F_STRING(struct totp_provider, name, .flags = FIELD_REQUIRED, .max = 255, .help = "by which people choose it"),
    F_STRING(struct totp_provider, issuer, .flags = FIELD_REQUIRED, .max = 255,
             .help = "what the phone shows beside the account"),
    F_STRING(struct totp_provider, algo, .flags = FIELD_REQUIRED, .valid = is_totp_algo,
             .valid_text = "must be sha1, sha256 or sha512", .fallback = "sha1",
             .help = "sha1 (what all phones know), sha256 or sha512"),
};
static const struct schema totp_schema = SCHEMA("totp", struct totp_provider, totp_keys);

static int mfa_check(const void *obj, struct why *why)
{
    const struct mfa_config *c = obj;
    const struct totp_provider *p = c->totp.v;

    for (size_t i = 0; i < c->totp.n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(p[i].name, p[k].name) == 0)
                return why_set(why, -EINVAL, "totp", "must not have the name \"%.64s\" twice", p[i].name);
    return 0;
}

static const struct field mfa_keys[] = {
    F_OBJECTS(struct mfa_config, totp, .sub = &totp_schema, .max = 16,
              .fallback = "[{\"name\":\"Default\",\"issuer\":\"Tally\",\"algo\":\"sha1\"}]",
              .help = "one-time passwords as a second factor; an empty list: nobody can set one up"),
};
static const struct schema mfa_schema = SCHEMA("mfa", struct mfa_config, mfa_keys, .check = mfa_check);

static const struct field vfs_keys[] = {
    F_STRING(struct vfs_config, mount, .flags = FIELD_REQUIRED, .max = 4095, .valid = config_path_is,
             .valid_text = PATH_TEXT, .fallback = "/srv/tally/homes", .help = "where the homes are mounted"),
    F_BOOL(struct vfs_config, in_place, .fallback = "false",
           .help = "true: mount the counted view over each home_dir, too, so that the old paths are counted"),
    F_BOOL(struct vfs_config, passthrough, .fallback = "true",
           .help = "false: never let the kernel read and map backing files itself"),
    F_U32(struct vfs_config, max_open_files, .min = 64, .max = 262144, .fallback = "262144",
          .help = "files that may be open in all homes together; nobody gets more than half of them, less when many "
                  "ask for all"),
};
static const struct schema vfs_schema = SCHEMA("vfs", struct vfs_config, vfs_keys);

static const struct field ledger_keys[] = {
    F_STRING(struct ledger_config, stale_growth, .flags = FIELD_REQUIRED, .valid = is_stale_growth,
             .valid_text = "must be allow or refuse", .fallback = "allow",
             .help = "whether a home may grow while its number waits for a recount: allow or refuse"),
    F_U32(struct ledger_config, recounts, .min = 1, .max = 16, .fallback = "2", .help = "recounts that run at once"),
    F_U32(struct ledger_config, recount_threads, .max = 1024, .fallback = "0",
          .help = "threads of a recount; 0: as many as processors"),
    F_U32(struct ledger_config, recount_rate, .max = RATE_MAX, .fallback = "0",
          .help = "files that a recount looks at in a second; 0: as many as it can"),
    F_BOOL(struct ledger_config, recounts_idle, .fallback = "false",
           .help = "recounts run with the least priority for processor and disk"),
};
static const struct schema ledger_schema = SCHEMA("ledger", struct ledger_config, ledger_keys);

static const struct field watcher_keys[] = {
    F_STRING(struct watcher_config, mode, .flags = FIELD_REQUIRED, .valid = is_watcher_mode,
             .valid_text = "must be auto, fanotify, inotify or off", .fallback = "auto",
             .help = "how changes beneath the mount are noticed: auto, fanotify, inotify or off"),
    F_U32(struct watcher_config, max_watches, .max = WATCHES_MAX, .fallback = "0",
          .help = "inotify watches at most; 0: the system's limit"),
    F_U32(struct watcher_config, recount_every_min, .wire = "recount_every", .max = YEAR_MIN, .fallback = "60",
          .help = "minutes between recounts while inotify is in use; 0: never"),
};
static const struct schema watcher_schema = SCHEMA("watcher", struct watcher_config, watcher_keys);

/* ---- the whole ---- */

static const struct field config_keys[] = {
    F_STRING(struct config, state_dir, .flags = FIELD_REQUIRED, .max = 4095, .valid = config_path_is,
             .valid_text = PATH_TEXT, .fallback = "/var/lib/tally", .help = "database, ledger, host keys"),
    F_STRING(struct config, runtime_dir, .flags = FIELD_REQUIRED, .max = 4095, .valid = config_path_is,
             .valid_text = PATH_TEXT, .fallback = "/run/tally", .help = "sockets"),
    F_STRING(struct config, log_level, .flags = FIELD_REQUIRED, .valid = is_log_level,
             .valid_text = "must be debug, info, warn or error", .fallback = "info", .applies = AT_RELOAD,
             .help = "the least that is logged: debug, info, warn or error"),
    F_OBJECT(struct config, common, &common_schema),
    F_OBJECT(struct config, sftpd, &sftpd_schema),
    F_OBJECT(struct config, httpd, &httpd_config_schema),
    F_OBJECT(struct config, data_provider, &provider_schema),
    F_OBJECT(struct config, telemetry, &telemetry_schema),
    F_OBJECT(struct config, mfa, &mfa_schema),
    F_OBJECT(struct config, vfs, &vfs_schema),
    F_OBJECT(struct config, ledger, &ledger_schema),
    F_OBJECT(struct config, watcher, &watcher_schema),
};

/* What lies beneath the mount would be unreachable, and what the mount lies in would be counted through itself. */
static int paths_check(const struct config *c, struct why *why)
{
    const struct {
        const char *key, *path;
        bool may_hold_mount;
    } rows[] = {
        { "state_dir", c->state_dir, false },
        { "runtime_dir", c->runtime_dir, true },
        { "data_provider.users_base_dir", c->data_provider.users_base_dir, false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *path = rows[i].path;
        if (path == NULL || path[0] == '\0')
            continue;
        if (!rows[i].may_hold_mount && is_within(c->vfs.mount, path))
            return why_set(why, -EINVAL, "vfs.mount", "must not be in %s (%.100s)", rows[i].key, path);
        if (is_within(path, c->vfs.mount))
            return why_set(why, -EINVAL, rows[i].key, "must not be in vfs.mount (%.100s)", c->vfs.mount);
    }
    return 0;
}

static bool is_served(const struct config *c)
{
    const struct sftpd_binding *sftp = c->sftpd.bindings.v;
    const struct httpd_binding *http = c->httpd.bindings.v;

    for (size_t i = 0; i < c->sftpd.bindings.n; i++)
        if (sftp[i].port != 0)
            return true;
    for (size_t i = 0; i < c->httpd.bindings.n; i++)
        if (http[i].port != 0 || (http[i].address != NULL && http[i].address[0] == '/'))
            return true;
    return false;
}

static int config_check(const void *obj, struct why *why)
{
    const struct config *c = obj;

    if (!is_served(c))
        return why_set(why, -EINVAL, "sftpd.bindings",
                       "no binding of sftpd or httpd has a port: nothing would be served");
    return paths_check(c, why);
}

const struct schema config_schema = SCHEMA("config", struct config, config_keys, .check = config_check);
