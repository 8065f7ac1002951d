#include "base/config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/base/row.h"

enum { TEXT_MAX = 4 << 20 };

struct bed {
    char folder[32];
    char path[64];
    struct config c;
    bool loaded;
    struct why why;
};

static int setup(void **state)
{
    static struct bed bed;

    bed = (struct bed){ .folder = "/tmp/tally-config-XXXXXX" };
    *state = &bed;
    if (mkdtemp(bed.folder) == NULL)
        return -1;
    snprintf(bed.path, sizeof bed.path, "%s/tally.json", bed.folder);
    return 0;
}

static void forget(struct bed *b)
{
    if (b->loaded)
        config_done(&b->c);
    b->loaded = false;
    b->why = (struct why){ 0 };
}

static int teardown(void **state)
{
    struct bed *b = *state;

    forget(b);
    unlink(b->path);
    return rmdir(b->folder);
}

static void put(struct bed *b, const char *text, size_t len)
{
    int fd = open(b->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static int load(struct bed *b, const char *text, char *const *environment)
{
    forget(b);
    if (text != NULL)
        put(b, text, strlen(text));
    int r = config_load(text ? b->path : NULL, environment, &b->c, &b->why);
    b->loaded = r == 0;
    return r;
}

static void print(const struct config *c, struct strbuf *to)
{
    struct json_out out = { .to = to };

    schema_write(&config_schema, c, SHOW_ALL, &out);
    assert_int_equal(strbuf_ok(to), 0);
}

/* Does the loaded configuration have this in its JSON? */
static void shows(struct bed *b, const char *row, const char *part)
{
    struct strbuf text = STRBUF(TEXT_MAX);
    char copy[8192];

    print(&b->c, &text);
    str_set(copy, sizeof copy, text.s);
    strbuf_done(&text);
    row_contains(row, copy, part);
}

static void nothing_given_means_the_fallbacks(void **state)
{
    struct bed *b = *state;

    assert_int_equal(load(b, NULL, NULL), 0);
    shows(b, "fallbacks",
          "{\"state_dir\":\"/var/lib/tally\",\"runtime_dir\":\"/run/tally\",\"log_level\":\"info\","
          "\"common\":{\"idle_timeout\":15,\"upload_mode\":0,\"setstat_mode\":0,"
          "\"actions\":{\"execute_on\":[],\"execute_sync\":[],\"hook\":\"\"},\"max_total_connections\":0,"
          "\"max_per_host_connections\":20,"
          "\"post_connect_hook\":\"\",\"post_disconnect_hook\":\"\",\"proxy_protocol\":0,\"proxy_allowed\":[],"
          "\"defender\":{\"enabled\":false,\"driver\":\"memory\",\"ban_time\":30,\"ban_time_increment\":50,"
          "\"threshold\":15,\"score_invalid\":2,\"score_valid\":1,\"score_limit_exceeded\":3,"
          "\"observation_time\":30,\"entries_soft_limit\":100,\"entries_hard_limit\":150,"
          "\"safelist_file\":\"\",\"blocklist_file\":\"\"},\"rate_limiters\":[]},"
          "\"sftpd\":{\"bindings\":[{\"address\":\"\",\"port\":2022,\"apply_proxy_config\":true}],"
          "\"host_keys\":[],\"banner\":\"\","
          "\"max_auth_tries\":6,\"login_grace_time\":30,\"password_authentication\":true,"
          "\"keyboard_interactive_authentication\":true,\"trusted_user_ca_keys\":[],"
          "\"kex_algorithms\":[],\"ciphers\":[],\"macs\":[],\"login_banner_file\":\"\","
          "\"enabled_ssh_commands\":[\"*\"]},"
          "\"httpd\":{\"bindings\":[{\"address\":\"127.0.0.1\",\"port\":8080,\"enable_https\":false,"
          "\"client_auth_type\":0,\"min_tls_version\":12,\"tls_cipher_suites\":[],\"proxy_allowed\":[],"
          "\"client_ip_proxy_header\":\"\",\"render_openapi\":true}],\"signing_passphrase\":\"\","
          "\"certificate_file\":\"\",\"certificate_key_file\":\"\",\"ca_certificates\":[],"
          "\"ca_revocation_lists\":[],\"cors\":{\"enabled\":false,\"allowed_origins\":[],\"allowed_methods\":[],"
          "\"allowed_headers\":[],\"exposed_headers\":[],\"allow_credentials\":false,\"max_age\":0}},"
          "\"data_provider\":{\"driver\":\"sqlite\",\"name\":\"tally.db\",\"users_base_dir\":\"/srv/tally/data\","
          "\"track_quota\":1,\"backups_path\":\"backups\",\"max_restore_size\":10485760,\"create_default_admin\":false,"
          "\"password_hashing\":{\"bcrypt_options\":{\"cost\":10},"
          "\"argon2_options\":{\"memory\":65536,\"iterations\":1,\"parallelism\":2},\"algo\":\"bcrypt\"},"
          "\"check_password_hook\":\"\",\"check_password_scope\":0,\"post_login_hook\":\"\",\"post_login_scope\":0},"
          "\"telemetry\":{\"bind_port\":10000,\"bind_address\":\"127.0.0.1\"},"
          "\"mfa\":{\"totp\":[{\"name\":\"Default\",\"issuer\":\"Tally\",\"algo\":\"sha1\"}]},"
          "\"vfs\":{\"mount\":\"/srv/tally/homes\",\"in_place\":false,\"passthrough\":true,\"max_open_files\":262144},"
          "\"ledger\":{\"stale_growth\":\"allow\",\"recounts\":2,\"recount_threads\":0,"
          "\"recount_rate\":0,\"recounts_idle\":false},"
          "\"watcher\":{\"mode\":\"auto\",\"max_watches\":0,\"recount_every\":60}}");
    const struct sftpd_binding *sftp = b->c.sftpd.bindings.v;
    assert_int_equal(sftp[0].port, 2022);
    assert_int_equal(b->c.common.idle_timeout_min, 15);
    assert_string_equal(b->c.vfs.mount, "/srv/tally/homes");
}

static void the_sample_file_is_accepted_and_gives_the_fallbacks(void **state)
{
    struct bed *b = *state;
    struct strbuf sample = STRBUF(TEXT_MAX);
    struct strbuf fallbacks = STRBUF(TEXT_MAX);
    struct strbuf loaded = STRBUF(TEXT_MAX);

    assert_int_equal(load(b, NULL, NULL), 0);
    print(&b->c, &fallbacks);
    config_print_sample(&sample);
    assert_int_equal(strbuf_ok(&sample), 0);
    int r = load(b, sample.s, NULL);
    if (r == 0)
        print(&b->c, &loaded);
    bool same = r == 0 && strcmp(loaded.s, fallbacks.s) == 0;
    bool explains = strstr(sample.s, "  // minutes without a request before a connection is closed; 0: never") != NULL;
    strbuf_done(&sample);
    strbuf_done(&fallbacks);
    strbuf_done(&loaded);
    row_equal(b->why.text, r, 0);
    assert_true(same);
    assert_true(explains);
}

/* Every key of the schema, with its help: a row without one would be a hole in --help and in the sample. */
static void help_has_every_key(void **state)
{
    static const char *const rows[] = { "  state_dir ",
                                        "  common.idle_timeout ",
                                        "  sftpd.bindings[].port ",
                                        "  httpd.bindings[].address ",
                                        "  data_provider.password_hashing.algo ",
                                        "  watcher.recount_every " };
    struct strbuf help = STRBUF(TEXT_MAX);
    char copy[16384];

    (void)state;
    config_print_help(&help);
    str_set(copy, sizeof copy, help.s);
    strbuf_done(&help);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        row_contains(rows[i], copy, rows[i]);
    row_contains("fallback, time and meaning", copy,
                 "15                 reload  minutes without a request before a connection is closed; 0: never");
    for (const char *line = copy; line[0] != '\0'; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") > 54 + 18 + 6 + 6); /* the meaning is there */
}

static const struct {
    const char *text;
    const char *part;
} good_rows[] = {
    { "{}", "\"port\":2022" },
    { "// c\n{ /* c */ \"log_level\": \"debug\" }", "\"log_level\":\"debug\"" },
    { "{\"sftpd\":{\"bindings\":[{\"port\":22},{\"address\":\"::1\",\"port\":23}]}}",
      "\"bindings\":[{\"address\":\"\",\"port\":22,\"apply_proxy_config\":true},"
      "{\"address\":\"::1\",\"port\":23,\"apply_proxy_config\":true}],\"host_keys\"" },
    { "{\"httpd\":{\"bindings\":[{\"address\":\"/run/t/api.sock\"}]},\"sftpd\":{\"bindings\":[]}}",
      "{\"address\":\"/run/t/api.sock\",\"port\":0," },
    { "{\"httpd\":{\"bindings\":[]}}", "\"httpd\":{\"bindings\":[]" },
    { "{\"sftpd\":{\"host_keys\":[\"a\",\"/b\"]}}", "\"host_keys\":[\"a\",\"/b\"]" },
    { "{\"vfs\":{\"mount\":\"/var/lib/tally2\"}}", "\"mount\":\"/var/lib/tally2\"" },
    { "{\"state_dir\":\"/t/s\",\"runtime_dir\":\"/t\",\"vfs\":{\"mount\":\"/t/m/\"}}", "\"mount\":\"/t/m/\"" },
    { "{\"data_provider\":{\"users_base_dir\":\"\"}}", "\"users_base_dir\":\"\"" },
    { "{\"telemetry\":{\"bind_port\":0,\"bind_address\":\"\"}}", "\"bind_port\":0,\"bind_address\":\"\"" },
    { "{\"watcher\":{\"mode\":\"off\",\"recount_every\":0}}", "\"mode\":\"off\"" },
};

static void a_good_file_changes_what_it_names(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(good_rows); i++) {
        row_equal(good_rows[i].text, load(b, good_rows[i].text, NULL), 0);
        shows(b, good_rows[i].text, good_rows[i].part);
    }
}

static const struct {
    const char *text;
    const char *field;
    unsigned line;
    const char *says;
} bad_rows[] = {
    { "", "", 0, "the file is empty" },
    { "// nothing\n", "", 0, "the file is empty" },
    { "[]", "", 0, "must be an object" },
    { "null", "", 0, "must be an object" },
    { "{\n\"vfs\": {\n}", "", 3, "unexpected end" },
    { "{\n\"vfs\": {},\n}", "", 3, "line 3, column 1" },
    { "{\n\"vfs\" {}\n}", "", 2, "':' expected" },
    { "{}\n{}", "", 2, "more text" },
    { "{\n\"stat_dir\": \"/s\"\n}", "stat_dir", 2, "unknown key; did you mean \"state_dir\"?" },
    { "{\n\"State_Dir\": \"/s\"\n}", "State_Dir", 2, "did you mean \"state_dir\"?" },
    { "{\n\"ftpd\": {}\n}", "ftpd", 2, "did you mean \"sftpd\"?" },
    { "{\n\"plugins\": []\n}", "plugins", 2, "unknown key" },
    { "{\"sftpd\": {\n// \"prot\": no\n\"bindings\": [{},\n{\n\"prot\": 1}]}}", "sftpd.bindings[1].prot", 5,
      "did you mean \"port\"?" },
    { "{\"sftpd\": {\n\"bindings\": [{},\n{\"port\": 65536}]}}", "sftpd.bindings[1].port", 3, "must be at most 65535" },
    { "{\"sftpd\": {\n\"bindings\": [{\"port\": -1}]}}", "sftpd.bindings[0].port", 2, "must be at least 0" },
    { "{\"sftpd\": {\n\"bindings\": [{\"port\": \"22\"}]}}", "sftpd.bindings[0].port", 2, "must be an integer" },
    { "{\"sftpd\": {\n\"bindings\": {}}}", "sftpd.bindings", 2, "must be a list" },
    { "{\"sftpd\": {\n\"bindings\": [{\"address\": \"localhost:1\"}]}}", "sftpd.bindings[0].address", 2,
      "must be an IP address" },
    { "{\"sftpd\": {\n\"bindings\": [{\"address\": \"/run/x.sock\"}]}}", "sftpd.bindings[0].address", 2,
      "must be an IP address" },
    { "{\"httpd\": {\n\"bindings\": [{\"address\": \"/run/../x.sock\"}]}}", "httpd.bindings[0].address", 2,
      "Unix socket" },
    { "{\n\"sftpd\": null}", "sftpd", 2, "must be an object" },
    { "{\"sftpd\": {\n\"max_auth_tries\": 0}}", "sftpd.max_auth_tries", 2, "must be at least 1" },
    { "{\"sftpd\": {\n\"enabled_ssh_commands\": [\"rsync\"]}}", "sftpd.enabled_ssh_commands[0]", 2, "must be *, scp" },
    { "{\"sftpd\": {\n\"password_authentication\": 1}}", "sftpd.password_authentication", 2, "must be true or false" },
    { "{\"sftpd\": {\n\"host_keys\": \"k\"}}", "sftpd.host_keys", 2, "must be a list" },
    { "{\n\"state_dir\": \"var\"}", "state_dir", 2, "must be an absolute path" },
    { "{\n\"state_dir\": \"/var/../lib\"}", "state_dir", 2, "must be an absolute path" },
    { "{\n\"state_dir\": \"\"}", "state_dir", 2, "is required" },
    { "{\n\"runtime_dir\": 7}", "runtime_dir", 2, "must be a string" },
    { "{\n\"log_level\": \"loud\"}", "log_level", 2, "must be debug, info, warn or error" },
    { "{\"common\": {\n\"upload_mode\": 3}}", "common.upload_mode", 2, "must be at most 2" },
    { "{\"common\": {\n\"setstat_mode\": 3}}", "common.setstat_mode", 2, "must be at most 2" },
    { "{\"common\": {\n\"idle_timeout\": 1.5}}", "common.idle_timeout", 2, "must be an integer" },
    { "{\"common\": {\n\"idle_timeout_min\": 1}}", "common.idle_timeout_min", 2, "unknown key" },
    { "{\"data_provider\": {\n\"driver\": \"postgresql\"}}", "data_provider.driver", 2, "must be sqlite" },
    { "{\"data_provider\": {\n\"name\": \"\"}}", "data_provider.name", 2, "is required" },
    { "{\"data_provider\": {\n\"track_quota\": 3}}", "data_provider.track_quota", 2, "must be at most 2" },
    { "{\"data_provider\": {\n\"users_base_dir\": \"x\"}}", "data_provider.users_base_dir", 2, "absolute path" },
    { "{\"data_provider\": {\"password_hashing\": {\n\"algo\": \"md5\"}}}", "data_provider.password_hashing.algo", 2,
      "must be bcrypt or argon2id" },
    { "{\"data_provider\": {\"password_hashing\": {\"bcrypt_options\":\n{\n\"cost\": 3}}}}",
      "data_provider.password_hashing.bcrypt_options.cost", 3, "must be at least 4" },
    { "{\"data_provider\": {\"password_hashing\": {\"argon2_options\":\n{\"parallelism\": 8,\n\"memory\": 63}}}}",
      "data_provider.password_hashing.argon2_options.memory", 3, "must be at least 8 times parallelism" },
    { "{\"sftpd\": {\n\"banner\": \"a\\nb\"}}", "sftpd.banner", 2, "must be printable" },
    { "{\"telemetry\": {\n\"bind_port\": 70000}}", "telemetry.bind_port", 2, "must be at most 65535" },
    { "{\"ledger\": {\n\"stale_growth\": \"maybe\"}}", "ledger.stale_growth", 2, "must be allow or refuse" },
    { "{\"watcher\": {\n\"mode\": \"on\"}}", "watcher.mode", 2, "must be auto, fanotify, inotify or off" },
    { "{\"watcher\": {\n\"max_watches\": 99999999999}}", "watcher.max_watches", 2, "must be at most" },
    { "{\"vfs\": {\n\"mount\": \"/var/lib/tally\"}}", "vfs.mount", 2, "must not be in state_dir (/var/lib/tally)" },
    { "{\"vfs\": {\n\"mount\": \"//var/lib//tally/x/\"}}", "vfs.mount", 2, "must not be in state_dir" },
    { "{\"vfs\": {\n\"mount\": \"/srv/tally/data/h\"}}", "vfs.mount", 2,
      "must not be in data_provider.users_base_dir" },
    { "{\"vfs\": {\n\"mount\": \"/srv/tally\"}}", "data_provider.users_base_dir", 0, "must not be in vfs.mount" },
    { "{\"vfs\": {\n\"mount\": \"/\"}}", "state_dir", 0, "must not be in vfs.mount (/)" },
    { "{\n\"state_dir\": \"/srv/tally/homes/.s\"}", "state_dir", 2, "must not be in vfs.mount" },
    { "{\n\"runtime_dir\": \"/srv/tally/homes\"}", "runtime_dir", 2, "must not be in vfs.mount" },
    { "{\"httpd\": {\"bindings\": []},\n\"sftpd\": {\n\"bindings\": []}}", "sftpd.bindings", 3,
      "nothing would be served" },
    { "{\"httpd\": {\"bindings\": [{\"port\": 0}]},\n\"sftpd\": {\"bindings\": [{\"address\": \"::\"}]}}",
      "sftpd.bindings", 2, "nothing would be served" },
};

static void a_bad_file_is_refused_with_key_and_line(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
        row_equal(bad_rows[i].text, load(b, bad_rows[i].text, NULL), -EINVAL);
        row_same(bad_rows[i].text, b->why.field, bad_rows[i].field);
        row_equal(bad_rows[i].text, b->why.line, bad_rows[i].line);
        row_contains(bad_rows[i].text, b->why.text, bad_rows[i].says);
    }
}

static const struct {
    const char *environment[4];
    const char *part;
} env_rows[] = {
    { { "TALLY_STATE_DIR=/e", NULL }, "\"state_dir\":\"/e\"" },
    { { "TALLY_COMMON__IDLE_TIMEOUT=7", NULL }, "\"idle_timeout\":7" },
    { { "TALLY_HTTPD__SIGNING_PASSPHRASE=a=b", NULL }, "\"signing_passphrase\":\"a=b\"" },
    { { "TALLY_HTTPD__SIGNING_PASSPHRASE=", NULL }, "\"signing_passphrase\":\"\"" },
    { { "TALLY_SFTPD__BINDINGS__0__PORT=22", NULL }, "[{\"address\":\"\",\"port\":22,\"apply_proxy_config\":true}]" },
    { { "TALLY_SFTPD__BINDINGS__2__PORT=24", "TALLY_SFTPD__BINDINGS__1__PORT=23", NULL },
      "[{\"address\":\"\",\"port\":2022,\"apply_proxy_config\":true},"
      "{\"address\":\"\",\"port\":23,\"apply_proxy_config\":true},"
      "{\"address\":\"\",\"port\":24,\"apply_proxy_config\":true}]" },
    { { "TALLY_SFTPD__HOST_KEYS=a,b", NULL }, "\"host_keys\":[\"a\",\"b\"]" },
    { { "TALLY_SFTPD__HOST_KEYS__1=b", "TALLY_SFTPD__HOST_KEYS__0=a", NULL }, "\"host_keys\":[\"a\",\"b\"]" },
    { { "TALLY_DATA_PROVIDER__PASSWORD_HASHING__ARGON2_OPTIONS__MEMORY=1024", NULL }, "\"memory\":1024" },
    { { "TALLY_WATCHER={\"mode\":\"off\"}", NULL }, "\"mode\":\"off\"" },
    { { "TALLY_DEFAULT_ADMIN_USERNAME=a", "TALLY_DEFAULT_ADMIN_PASSWORD=b", "TALLY_FDS=control=3", NULL },
      "\"port\":2022" },
    { { "TALLY_ODD=1", "TALLYHO__X=1", "OTHER__X=1", NULL }, "\"port\":2022" },
    { { "TALLY_", "TALLY_VFS__MOUNT", "", NULL }, "\"mount\":\"/srv/tally/homes\"" }, /* without "=": no variables */
};

static void variables_override_and_foreign_ones_do_not_matter(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(env_rows); i++) {
        row_equal(env_rows[i].environment[0], load(b, NULL, (char *const *)(uintptr_t)env_rows[i].environment), 0);
        shows(b, env_rows[i].environment[0], env_rows[i].part);
    }
}

static const struct {
    const char *variable;
    const char *field;
    const char *says;
} bad_env_rows[] = {
    { "TALLY_COMMON__IDLE_TIMEOUT=x", "common.idle_timeout", "TALLY_COMMON__IDLE_TIMEOUT: must be an integer" },
    { "TALLY_COMMON__IDLE_TIMEOUT=", "common.idle_timeout", "must be an integer" },
    { "TALLY_SFTPD__BINDINGS__0__PORT=65536", "sftpd.bindings[0].port",
      "TALLY_SFTPD__BINDINGS__0__PORT: must be at most 65535" },
    { "TALLY_SFTPD__BINDINGS__5__PORT=1", "sftpd.bindings[5].port", "TALLY_SFTPD__BINDINGS__5__PORT: leaves a gap" },
    { "TALLY_SFTPD__BINDINGS__0__PROT=1", "sftpd.bindings[0].prot", "did you mean \"port\"?" },
    { "TALLY_COMMON__NONE=1", "common.none", "TALLY_COMMON__NONE: unknown key" },
    { "TALLY_NONE__X=1", "none.x", "TALLY_NONE__X: unknown key" },
    { "TALLY___=1", "", "TALLY___: unknown key" },
    { "TALLY_VFS__=secret", "", "TALLY_VFS__: unknown key" },
    { "TALLY_VFS____MOUNT=secret", "", "TALLY_VFS____MOUNT: unknown key" },
    { "TALLY_VFS__MOUNTS=secret", "vfs.mounts", "did you mean \"mount\"?" },
    { "TALLY_VFS__MOUNT=secret", "vfs.mount", "must be an absolute path" },
    { "TALLY_0__X=1", "[0].x", "TALLY_0__X: unknown key" },
    { "TALLY_LOG_LEVEL=loud", "log_level", "TALLY_LOG_LEVEL: must be debug" },
    { "TALLY_VFS=1", "vfs", "TALLY_VFS: must be an object" },
    { "TALLY_VFS={", "vfs", "TALLY_VFS: invalid JSON" },
};

static void a_bad_variable_is_named(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bad_env_rows); i++) {
        const char *const environment[] = { bad_env_rows[i].variable, NULL };
        row_equal(bad_env_rows[i].variable, load(b, NULL, (char *const *)(uintptr_t)environment), -EINVAL);
        row_same(bad_env_rows[i].variable, b->why.field, bad_env_rows[i].field);
        row_contains(bad_env_rows[i].variable, b->why.text, bad_env_rows[i].says);
        row_equal(bad_env_rows[i].variable, b->why.line, 0);
        assert_null(strstr(b->why.text, "secret")); /* values may be passwords */
    }
}

static void an_endless_variable_name_is_refused(void **state)
{
    struct bed *b = *state;
    char variable[3 * 1000 + 1];
    const char *const environment[] = { variable, NULL };

    for (size_t i = 0; i + 3 <= sizeof variable; i += 3)
        snprintf(variable + i, 4, "__A");
    snprintf(variable, 8, "TALLY_A");
    variable[7] = '_';
    snprintf(variable + sizeof variable - 3, 3, "=1");
    assert_int_equal(load(b, NULL, (char *const *)(uintptr_t)environment), -EINVAL);
    row_contains("long", b->why.text, "unknown key");
}

static void variables_come_after_the_file_and_the_rules_after_both(void **state)
{
    const char *const environment[] = { "TALLY_VFS__MOUNT=/m", NULL };
    const char *const inside[] = { "TALLY_VFS__MOUNT=/s/m", NULL };
    struct bed *b = *state;

    assert_int_equal(
        load(b, "{\"vfs\":{\"mount\":\"/s\"},\"state_dir\":\"/s\"}", (char *const *)(uintptr_t)environment), 0);
    assert_string_equal(b->c.vfs.mount, "/m");
    assert_int_equal(load(b, "{\"state_dir\":\"/s\"}", (char *const *)(uintptr_t)inside), -EINVAL);
    assert_string_equal(b->why.field, "vfs.mount");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    struct bed *b = *state;
    struct config untouched = { .state_dir = b->path };
    struct why why = { 0 };

    assert_int_equal(config_load(b->path, NULL, &untouched, &why), -ENOENT);
    row_contains("absent", why.text, b->path);
    assert_ptr_equal(untouched.state_dir, b->path);
    assert_int_equal(config_load(b->folder, NULL, &untouched, &why), -EISDIR);
    assert_int_equal(config_load(b->path, NULL, &untouched, NULL), -ENOENT);
    assert_int_equal(mkfifo(b->path, 0600), 0);
    assert_int_equal(config_load(b->path, NULL, &untouched, &why), -EINVAL); /* and does not wait for a writer */
}

static void a_file_of_the_greatest_size_is_read_and_one_byte_more_is_refused(void **state)
{
    struct bed *b = *state;
    size_t len = (1 << 20) + 1;
    char *text = malloc(len);

    assert_non_null(text);
    memset(text, ' ', len);
    text[0] = '{';
    text[1] = '}';
    put(b, text, len);
    int r = config_load(b->path, NULL, &b->c, &b->why);
    put(b, text, len - 1);
    free(text);
    assert_int_equal(r, -E2BIG);
    row_contains("size", b->why.text, "larger than 1048576 bytes");
    assert_int_equal(config_load(b->path, NULL, &b->c, &b->why), 0);
    b->loaded = true;
}

static void random_damage_to_the_sample_never_breaks_the_loader(void **state)
{
    struct bed *b = *state;
    struct strbuf sample = STRBUF(TEXT_MAX);
    unsigned refused = 0;

    config_print_sample(&sample);
    srandom(99);
    for (int round = 0; round < 1500; round++) {
        char *text = strdup(sample.s);
        assert_non_null(text);
        for (long n = 1 + random() % 3; n > 0; n--)
            text[(size_t)random() % sample.len] = (char)("{}[]\",:0-x\n/"[random() % 12]);
        int r = load(b, text, NULL);
        free(text);
        assert_true(r == 0 || r == -EINVAL);
        assert_true((r == 0) == (b->why.text[0] == '\0')); /* a refusal always says why */
        refused += r != 0;
    }
    strbuf_done(&sample);
    assert_true(refused > 100);
}

int main(void)
{
#define WITH_BED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_BED(nothing_given_means_the_fallbacks),
        WITH_BED(the_sample_file_is_accepted_and_gives_the_fallbacks),
        WITH_BED(help_has_every_key),
        WITH_BED(a_good_file_changes_what_it_names),
        WITH_BED(a_bad_file_is_refused_with_key_and_line),
        WITH_BED(variables_override_and_foreign_ones_do_not_matter),
        WITH_BED(a_bad_variable_is_named),
        WITH_BED(an_endless_variable_name_is_refused),
        WITH_BED(variables_come_after_the_file_and_the_rules_after_both),
        WITH_BED(a_file_that_cannot_be_read_is_named),
        WITH_BED(a_file_of_the_greatest_size_is_read_and_one_byte_more_is_refused),
        WITH_BED(random_damage_to_the_sample_never_breaks_the_loader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
