/* tallyd: the options, and which of its lives this process leads. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/apid.h"
#include "base/log.h"
#include "sftp/sftpd.h"
#include "tallyd/reload.h"
#include "tallyd/service.h"
#include "tallyd/supervisor.h"

struct options {
    const char *config_path;
    const char *role;
    enum { DO_RUN, DO_CHECK, DO_SAMPLE, DO_HELP, DO_VERSION, DO_ROUTES, DO_RELOAD_VFS } what;
    bool resume;
    struct start_restore restore;
};

enum {
    OPT_CHECK = 256,
    OPT_SAMPLE,
    OPT_ROUTES,
    OPT_ROLE,
    OPT_RESUME,
    OPT_LOAD_FROM,
    OPT_LOAD_MODE,
    OPT_LOAD_SCAN,
    OPT_LOAD_CLEAN,
    OPT_LOAD_SKIP,
    OPT_RELOAD_VFS
};

static const struct option option_rows[] = {
    { "config", required_argument, NULL, 'c' },
    { "check-config", no_argument, NULL, OPT_CHECK },
    { "print-sample-config", no_argument, NULL, OPT_SAMPLE },
    { "print-routes", no_argument, NULL, OPT_ROUTES },
    { "role", required_argument, NULL, OPT_ROLE },
    { "resume", no_argument, NULL, OPT_RESUME },
    { "loaddata-from", required_argument, NULL, OPT_LOAD_FROM },
    { "loaddata-mode", required_argument, NULL, OPT_LOAD_MODE },
    { "loaddata-scan", required_argument, NULL, OPT_LOAD_SCAN },
    { "loaddata-clean", no_argument, NULL, OPT_LOAD_CLEAN },
    { "loaddata-skip-unsupported", no_argument, NULL, OPT_LOAD_SKIP },
    { "reload-vfs", no_argument, NULL, OPT_RELOAD_VFS },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { 0 },
};

static const char usage_text[] =
    "Usage: tallyd --config FILE              serve in the foreground; SIGTERM stops, SIGHUP reloads\n"
    "       tallyd --config FILE --check-config\n"
    "       tallyd --config FILE --loaddata-from DUMP   restore a dump (also SFTPGo's) before anything is served;\n"
    "           --loaddata-mode 0 add and replace, 1 only add; --loaddata-scan 0 no scan, 1 all that was restored,\n"
    "           2 users with a quota; --loaddata-skip-unsupported leaves out what is on other storage;\n"
    "           --loaddata-clean removes DUMP afterwards\n"
    "       tallyd --config FILE --reload-vfs   the file system goes on in a new process, of the program on disk\n"
    "       tallyd --print-sample-config      a complete configuration with every key explained\n"
    "       tallyd sftp-stdio [-R] [-m MODE] [-d DIR]   the SFTP engine on stdin and stdout (-R: read-only)\n"
    "       tallyd --print-routes             the REST API's routes, as JSON\n"
    "       tallyd --help | --version\n"
    "\n"
    "TALLY_LOADDATA_FROM, _MODE, _QUOTA_SCAN, _CLEAN and _SKIP_UNSUPPORTED are the same as the options.\n"
    "Each key can be set by a variable: TALLY_HTTPD__BINDINGS__0__PORT=8081. With\n"
    "data_provider.create_default_admin, TALLY_DEFAULT_ADMIN_USERNAME and TALLY_DEFAULT_ADMIN_PASSWORD make the\n"
    "first administrator. Keys:\n\n";

/* 0, 1 or 2. */
static int small_number(const char *what, const char *text, int64_t *ret)
{
    if (str_int(text, 0, 2, ret) == 0)
        return 0;
    fprintf(stderr, "tallyd: %s: \"%s\" is not 0, 1 or 2\n", what, text);
    return -EINVAL;
}

static int option_loaddata(int c, struct start_restore *o)
{
    switch (c) {
    case OPT_LOAD_FROM:
        o->from = optarg;
        return 0;
    case OPT_LOAD_MODE:
        return small_number("--loaddata-mode", optarg, &o->mode);
    case OPT_LOAD_SCAN:
        return small_number("--loaddata-scan", optarg, &o->scan);
    case OPT_LOAD_CLEAN:
        o->clean = true;
        return 0;
    case OPT_LOAD_SKIP:
        o->skip_unsupported = true;
        return 0;
    default:
        return -EINVAL; /* getopt has said what is wrong */
    }
}

static bool variable_is_on(const char *name)
{
    const char *text = getenv(name);

    return text != NULL && (strcmp(text, "1") == 0 || str_equal_nocase(text, "true"));
}

/* The variables stand for the options that are not there. */
static int variables_loaddata(struct start_restore *o)
{
    const char *from = getenv("TALLY_LOADDATA_FROM");
    const char *mode = getenv("TALLY_LOADDATA_MODE");
    const char *scan = getenv("TALLY_LOADDATA_QUOTA_SCAN");

    if (from == NULL || from[0] == '\0' || o->from != NULL)
        return 0;
    o->from = from;
    o->clean |= variable_is_on("TALLY_LOADDATA_CLEAN");
    o->skip_unsupported |= variable_is_on("TALLY_LOADDATA_SKIP_UNSUPPORTED");
    int r = mode != NULL ? small_number("TALLY_LOADDATA_MODE", mode, &o->mode) : 0;
    return r == 0 && scan != NULL ? small_number("TALLY_LOADDATA_QUOTA_SCAN", scan, &o->scan) : r;
}

static int options_parse(int argc, char **argv, struct options *o)
{
    int c;

    while ((c = getopt_long(argc, argv, "c:hV", option_rows, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config_path = optarg[0] != '\0' ? optarg : NULL;
            break;
        case OPT_ROLE:
            o->role = optarg;
            break;
        case OPT_RESUME:
            o->resume = true;
            break;
        case OPT_CHECK:
            o->what = DO_CHECK;
            break;
        case OPT_RELOAD_VFS:
            o->what = DO_RELOAD_VFS;
            break;
        case OPT_SAMPLE:
            o->what = DO_SAMPLE;
            break;
        case OPT_ROUTES:
            o->what = DO_ROUTES;
            break;
        case 'h':
            o->what = DO_HELP;
            break;
        case 'V':
            o->what = DO_VERSION;
            break;
        default:
            if (option_loaddata(c, &o->restore) < 0)
                return -EINVAL;
        }
    }
    if (optind < argc)
        fprintf(stderr, "tallyd: \"%s\" is not understood; see tallyd --help\n", argv[optind]);
    return optind < argc ? -EINVAL : 0;
}

static int print(void (*fill)(struct strbuf *), const char *before)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(1 << 22);

    fill(&text);
    if (strbuf_ok(&text) < 0)
        return 1;
    printf("%s%s", before, text.s ? text.s : "");
    return fflush(stdout) == 0 ? 0 : 1;
}

static int load_config(const struct options *o, struct config *ret)
{
    struct why why = { 0 };
    int r = config_load(o->config_path, environ, ret, &why);

    if (r == 0)
        return 0;
    fprintf(stderr, "tallyd: %s", o->config_path ? o->config_path : "configuration");
    if (why.line != 0)
        fprintf(stderr, ":%u", why.line);
    fprintf(stderr, ": %s%s%s\n", why.field, why.field[0] ? ": " : "", why.text);
    return r;
}

static int run_role(const struct options *o, const struct config *config, int argc, char **argv)
{
    static struct role role;
    const char *fds = getenv("TALLY_FDS");
    char sender[32];

    snprintf(sender, sizeof sender, "%s", o->role);
    log_open(sender, log_level_of(config->log_level));
    /* copies: the process title is written over argv */
    role = (struct role){ .name = strdup(o->role),
                          .config_path = o->config_path ? strdup(o->config_path) : NULL,
                          .config = config,
                          .restore_mode = o->restore.mode,
                          .restore_scan = o->restore.scan,
                          .restore_skips = o->restore.skip_unsupported,
                          .resume = o->resume };
    if (fds == NULL || role_parse_fds(&role, fds) < 0) {
        log_error("a role is started by tallyd, not by hand");
        return 2;
    }
    if (strcmp(o->role, "sftp-listener") != 0)
        return role_main(&role, argc, argv);
    process_set_name(argc, argv, "tallyd-sftp");
    return sftp_listener_main(&role);
}

static int run(struct options *o, int argc, char **argv)
{
    CLEANUP(config_done) struct config config = { 0 };

    if (o->role == NULL && variables_loaddata(&o->restore) < 0)
        return 2;
    if (load_config(o, &config) < 0)
        return 2;
    if (o->what == DO_CHECK) {
        printf("%s: ok\n", o->config_path ? o->config_path : "configuration");
        return 0;
    }
    if (o->what == DO_RELOAD_VFS)
        return reload_vfs(&config);
    if (o->role != NULL)
        return run_role(o, &config, argc, argv);
    log_open("tallyd", log_level_of(config.log_level));
    return supervisor_run(&config, o->config_path, &o->restore);
}

int main(int argc, char **argv)
{
    struct options o = { 0 };

    if (argc > 1 && strcmp(argv[1], "sftp-stdio") == 0)
        return sftp_stdio_main(argc - 1, argv + 1);
    if (options_parse(argc, argv, &o) < 0)
        return 2;
    switch (o.what) {
    case DO_SAMPLE:
        return print(config_print_sample, "");
    case DO_ROUTES:
        return print(apid_print_routes, "");
    case DO_HELP:
        return print(config_print_help, usage_text);
    case DO_VERSION:
        printf("tallyd %s\n", TALLY_VERSION);
        return 0;
    default:
        return run(&o, argc, argv);
    }
}
