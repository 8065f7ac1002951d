/* `tally check`: each row of a table looks at one thing and says what is wrong and what to do.
 *
 * It reads only. Rows look at the machine even when no daemon runs, and at the daemon even when the configuration is
 * wrong, so that one cause does not hide another. Exit status 1 when something is wrong, 0 when there are only hints.
 */
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"
#include "base/sys.h"
#include "tool/check.h"
#include "tool/client.h"
#include "tool/command.h"
#include "tool/place.h"
#include "tool/program.h"
#include "tool/table.h"

enum { LABEL_WIDTH = 15, LINE_BYTES = 16384, KERNEL_MAJOR = 6, KERNEL_MINOR = 9 };

#define FUSE_MAGIC 0x65735546

/* ---- programs and configuration ---- */

/* tallyd beside this program, else the one in PATH. */
static void find_tallyd(char *to, size_t room)
{
    char self[PATH_MAX];
    ssize_t len = sys->readlinkat(AT_FDCWD, "/proc/self/exe", self, sizeof self - 1);
    char *slash;

    str_set(to, room, "tallyd");
    if (len <= 0)
        return;
    self[len] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return;
    *slash = '\0';
    char beside[PATH_MAX + 16];
    snprintf(beside, sizeof beside, "%s/tallyd", self);
    if (access(beside, X_OK) == 0)
        str_set(to, room, beside);
}

static int run_tallyd(const struct checking *c, struct strbuf *said, const char *a, const char *b, const char *d)
{
    char *argv[] = { (char *)c->tallyd, (char *)a, (char *)b, (char *)d, NULL };
    int r = program_run(argv, said);

    while (said->len > 0 && said->s[said->len - 1] == '\n')
        said->s[--said->len] = '\0';
    return r;
}

static void check_program(const struct checking *c, struct finding *f)
{
    struct strbuf said = STRBUF(PROGRAM_OUTPUT_MAX);
    int r = run_tallyd(c, &said, "--version", NULL, NULL);

    if (r != 0)
        found(f, BAD, "tallyd cannot be run (%s)", r < 0 ? error_text(r) : said.s ? said.s : "");
    else if (strcmp(said.s ? said.s : "", "tallyd " TALLY_VERSION) != 0)
        found(f, WARN, "%s is %s, and this tally is " TALLY_VERSION, c->tallyd, said.s ? said.s : "?");
    else
        found(f, FINE, "%s, version " TALLY_VERSION, c->tallyd);
    advise(f, r != 0 ? "install tallyd, or put it beside tally" : "install both of one version");
    strbuf_done(&said);
}

static void check_config(const struct checking *c, struct finding *f)
{
    struct strbuf said = STRBUF(PROGRAM_OUTPUT_MAX);
    int r = run_tallyd(c, &said, "--config", c->config_path, "--check-config");

    if (access(c->config_path, F_OK) != 0) {
        found(f, BAD, "%s is not there", c->config_path);
        advise(f, "tallyd --print-sample-config >/etc/tally/tally.json; another file: --config FILE");
    } else if (r != 0) {
        found(f, BAD, "%s", said.len > 0 ? said.s : error_text(r));
        advise(f, "mend that key; tallyd --print-sample-config explains each");
    } else {
        found(f, FINE, "%s is right", c->config_path);
    }
    strbuf_done(&said);
}

/* A passphrase in a file that everybody reads is none. */
static void check_config_mode(const struct checking *c, struct finding *f)
{
    struct stat st;

    if (c->config == NULL || sys->fstatat(AT_FDCWD, c->config_path, &st, 0) < 0)
        return;
    bool has_secret = c->config->httpd.signing_passphrase != NULL && c->config->httpd.signing_passphrase[0] != '\0';
    if ((st.st_mode & 022) != 0)
        found(f, BAD, "%s can be written by others (mode %04o)", c->config_path, (unsigned)st.st_mode & 07777);
    else if (has_secret && (st.st_mode & 004) != 0)
        found(f, BAD, "%s holds a passphrase and everybody can read it", c->config_path);
    else
        found(f, FINE, "mode %04o", (unsigned)st.st_mode & 07777);
    advise(f, "chmod 640 it, owner root, group tally");
}

/* ---- the machine ---- */

static void check_kernel(const struct checking *c, struct finding *f)
{
    struct utsname name;
    char *end;

    (void)c;
    if (uname(&name) < 0)
        return;
    unsigned long long major = strtoull(name.release, &end, 10);
    unsigned long long minor = *end == '.' ? strtoull(end + 1, NULL, 10) : 0;
    bool is_new = major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR);
    found(f, is_new ? FINE : WARN, "Linux %s%s", name.release, is_new ? "" : " has no FUSE passthrough");
    advise(f, "homes work and are counted, but slower; Linux 6.9 or newer has it (Debian 13, or bookworm-backports)");
}

static void check_fuse(const struct checking *c, struct finding *f)
{
    (void)c;
    if (access("/dev/fuse", F_OK) == 0)
        found(f, FINE, "/dev/fuse is there");
    else
        found(f, BAD, "/dev/fuse is not there");
    advise(f, "modprobe fuse; in a container: give it the device");
}

static void check_accounts(const struct checking *c, struct finding *f)
{
    (void)c;
    const char *missing = getpwnam("tally-api") == NULL ? "user tally-api"
                          : getpwnam("tally") == NULL   ? "user tally"
                          : getgrnam("tally") == NULL   ? "group tally"
                                                        : NULL;
    if (missing != NULL)
        found(f, BAD, "there is no %s, which the services drop to", missing);
    else
        found(f, FINE, "users tally and tally-api, group tally");
    advise(f, "systemd-sysusers, or contrib/accounts of the source");
}

static void check_state_dir(const struct checking *c, struct finding *f)
{
    struct stat st;
    int r = c->config ? sys->fstatat(AT_FDCWD, c->config->state_dir, &st, 0) : -ENOENT;

    if (c->config == NULL)
        return;
    if (r == -ENOENT)
        found(f, WARN, "%s is not there yet: tallyd makes it", c->config->state_dir);
    else if (r < 0)
        found(f, WARN, "%s cannot be looked at: %s", c->config->state_dir, error_text(r));
    else if (st.st_uid != 0 || (st.st_mode & 007) != 0)
        found(f, BAD, "%s: owner %u, mode %04o: others can reach the store", c->config->state_dir, (unsigned)st.st_uid,
              (unsigned)st.st_mode & 07777);
    else
        found(f, FINE, "%s, mode %04o", c->config->state_dir, (unsigned)st.st_mode & 07777);
    advise(f, "chown root:tally and chmod 1770 it");
}

/* What the file system beneath can do for us. */
static const struct {
    long magic;
    const char *name;
    bool is_good;
} file_systems[] = {
    { 0xEF53, "ext4", true },         { 0x58465342, "XFS", true }, { 0x9123683E, "btrfs", true },
    { 0x01021994, "tmpfs", true },    { 0x6969, "NFS", false },    { 0x65735546, "FUSE", false },
    { 0x794c7630, "overlay", false }, { 0x2FC12FC1, "ZFS", true },
};

static void check_data(const struct checking *c, struct finding *f)
{
    struct statfs st;
    char size[TEXT_NUMBER_MAX];

    if (c->config == NULL)
        return;
    const char *path = c->config->data_provider.users_base_dir;
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path, &(struct open_how){ .flags = O_PATH | O_CLOEXEC });
    int r = fd < 0 ? fd : sys->fstatfs(fd, &st);
    if (r < 0) {
        found(f, r == -ENOENT ? WARN : BAD, "%s: %s", path, error_text(r));
        advise(f, r == -ENOENT ? "the first user makes it" : "is its disk mounted?");
        return;
    }
    const char *name = "an unknown file system";
    bool good = false;
    for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
        if (file_systems[i].magic == (long)st.f_type) {
            name = file_systems[i].name;
            good = file_systems[i].is_good;
        }
    uint64_t left = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
    bool full = st.f_blocks > 0 && (double)st.f_bavail < (double)st.f_blocks * 0.05;
    found(f, good && !full ? FINE : WARN, "%s on %s, %s free", path, name, text_bytes(size, left));
    advise(f, full ? "less than 5 % is free: limits do not help when the disk is full first"
                   : "changes made beneath the mount may go unseen there, and passthrough may be off; ext4, XFS and "
                     "btrfs are tested");
}

static void check_mount(const struct checking *c, struct finding *f)
{
    struct statfs st;

    if (c->config == NULL)
        return;
    CLEANUP(fd_close)
    int fd = sys->openat2(AT_FDCWD, c->config->vfs.mount, &(struct open_how){ .flags = O_PATH | O_CLOEXEC });
    int r = fd < 0 ? fd : sys->fstatfs(fd, &st);
    if (r == -ENOTCONN)
        found(f, BAD, "%s is a dead mount: no tallyd serves it", c->config->vfs.mount);
    else if (r < 0)
        found(f, BAD, "%s: %s", c->config->vfs.mount, error_text(r));
    else if (st.f_type != FUSE_MAGIC)
        found(f, BAD, "%s is not mounted: who writes there is not counted", c->config->vfs.mount);
    else
        found(f, FINE, "%s", c->config->vfs.mount);
    advise(f, "start tallyd (systemctl start tallyd); the log says why it did not start");
}

/* ---- the daemon ---- */

static void check_daemon(const struct checking *c, struct finding *f)
{
    const char *version = json_text(c->version, "version");

    if (c->status == NULL)
        found(f, BAD, "%s", c->unreachable);
    else if (version == NULL || strcmp(version, TALLY_VERSION) != 0)
        found(f, WARN, "tallyd runs in version %s, and this tally is " TALLY_VERSION, version ? version : "?");
    else
        found(f, FINE, "answers at %s", c->where);
    advise(f, c->status == NULL ? "systemctl start tallyd; journalctl -u tallyd"
                                : "restart tallyd after an upgrade: systemctl restart tallyd");
}

static void check_services(const struct checking *c, struct finding *f)
{
    static const struct {
        const char *part, *role;
    } rows[] = { { "ssh", "tallyd-sftp" }, { "vfs", "tallyd-vfs" }, { "data_provider", "the store" } };

    if (c->status == NULL)
        return;
    found(f, FINE, "SFTP, homes and store serve");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!json_truth(json_member(c->status, rows[i].part), "is_active"))
            found(f, BAD, "%s does not answer", rows[i].role);
    advise(f, "journalctl -u tallyd says why; it is started again by itself");
}

static void check_passthrough(const struct checking *c, struct finding *f)
{
    struct json_object *vfs = json_member(c->status, "vfs");
    const char *libfuse = json_text(vfs, "libfuse");

    if (vfs == NULL)
        return;
    if (json_truth(vfs, "passthrough"))
        found(f, FINE, "reads go past the daemon (libfuse %s)", libfuse ? libfuse : "?");
    else
        found(f, WARN, "off: reads pass the daemon (libfuse %s)", libfuse ? libfuse : "?");
    advise(f, "it wants Linux 6.9, libfuse 3.18.3, vfs.passthrough true, and a file system like ext4, XFS or btrfs");
}

static void check_watcher(const struct checking *c, struct finding *f)
{
    const char *watcher = json_text(json_member(c->status, "vfs"), "watcher");

    if (watcher == NULL)
        return;
    found(f, strcmp(watcher, "fanotify") == 0 ? FINE : WARN, "%s", watcher);
    advise(f, strcmp(watcher, "off") == 0
                  ? "changes made beneath the mount are seen by a recount only: set watcher.mode to auto"
                  : "inotify cannot see every change: fanotify wants CAP_SYS_ADMIN and a local file system");
}

static void check_numbers(const struct checking *c, struct finding *f)
{
    struct json_object *domains = json_member(json_member(c->status, "vfs"), "domains");
    long long stale = json_number(domains, "stale", 0);
    long long counting = json_number(domains, "counting", 0);

    if (domains == NULL)
        return;
    if (stale + counting == 0)
        found(f, FINE, "all certain");
    else
        found(f, WARN, "%lld stale, %lld being counted", stale, counting);
    advise(f, "a recount runs by itself; tally usage marks them, tally recount USER starts one");
}

static const struct check_row {
    const char *name;
    void (*look)(const struct checking *c, struct finding *f);
} checks[] = {
    { "program", check_program },
    { "configuration", check_config },
    { "its mode", check_config_mode },
    { "kernel", check_kernel },
    { "fuse", check_fuse },
    { "accounts", check_accounts },
    { "state", check_state_dir },
    { "data", check_data },
    { "mount", check_mount },
    { "daemon", check_daemon },
    { "services", check_services },
    { "passthrough", check_passthrough },
    { "watcher", check_watcher },
    { "numbers", check_numbers },
};

/* ---- the report ---- */

static const struct {
    const char *word;
    enum tone tone;
} levels[] = { [NOT_LOOKED] = { "", TONE_DIM },
               [FINE] = { "ok", TONE_GOOD },
               [WARN] = { "hint", TONE_WARN },
               [BAD] = { "WRONG", TONE_BAD } };

void found(struct finding *f, enum level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    f->level = level;
}

void advise(struct finding *f, const char *advice)
{
    f->advice = advice;
}

static void print_finding(const struct tool *t, const char *name, const struct finding *f)
{
    struct strbuf line = STRBUF(LINE_BYTES);

    tone_begin(&line, &t->paper, levels[f->level].tone);
    strbuf_addf(&line, "%-6s", levels[f->level].word);
    tone_end(&line, &t->paper, levels[f->level].tone);
    strbuf_addf(&line, "%-*s", LABEL_WIDTH, name);
    text_put(&line, &t->paper, f->text, UINT_MAX, CUT_END);
    if (f->level != FINE && f->advice != NULL)
        strbuf_addf(&line, "\n%*s%s", LABEL_WIDTH + 6, "", f->advice);
    if (strbuf_ok(&line) == 0)
        printf("%s\n", line.s);
    strbuf_done(&line);
}

static struct json_object *finding_json(const char *name, const struct finding *f)
{
    static const char *const words[] = { [FINE] = "ok", [WARN] = "hint", [BAD] = "wrong" };
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "check", json_object_new_string(name));
    json_object_object_add(o, "result", json_object_new_string(words[f->level]));
    json_object_object_add(o, "text", json_object_new_string(f->text));
    if (f->level != FINE && f->advice != NULL)
        json_object_object_add(o, "advice", json_object_new_string(f->advice));
    return o;
}

static int run_checks(const struct tool *t, const struct checking *c)
{
    struct json_object *list = json_object_new_array();
    bool wrong = false;

    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        struct finding f = { 0 };
        checks[i].look(c, &f);
        if (f.level == NOT_LOOKED)
            continue;
        wrong = wrong || f.level == BAD;
        if (t->options.json)
            json_object_array_add(list, finding_json(checks[i].name, &f));
        else
            print_finding(t, checks[i].name, &f);
    }
    if (t->options.json)
        tool_print_json(t, list);
    json_object_put(list);
    return wrong ? TOOL_REFUSED : TOOL_OK;
}

static void ask_daemon(struct tool *t, struct checking *c)
{
    const struct call status = { .method = "GET", .path = { "status" } };
    const struct call version = { .method = "GET", .path = { "version" } };

    c->where = client_where(t->client);
    if (client_call(t->client, &status, &c->status) < 0 || client_call(t->client, &version, &c->version) < 0)
        str_set(c->unreachable, sizeof c->unreachable, client_said(t->client));
}

int on_check(struct tool *t)
{
    struct config config = { 0 };
    struct why why = { 0 };
    struct checking c = { .config_path = place_config_path(&t->options) };
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    find_tallyd(c.tallyd, sizeof c.tallyd);
    if (config_load(c.config_path, environ, &config, &why) == 0)
        c.config = &config;
    ask_daemon(t, &c);
    status = run_checks(t, &c);
    json_object_put(c.status);
    json_object_put(c.version);
    config_done(&config);
    return status;
}
