/* tallyd: the options, and which of its lives this process leads. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/apid.h"
#include "base/log.h"
#include "sftp/sftpd.h"
#include "tallyd/service.h"
#include "tallyd/supervisor.h"

struct options {
    const char *config_path;
    const char *role;
    enum { DO_RUN, DO_CHECK, DO_SAMPLE, DO_HELP, DO_VERSION, DO_ROUTES } what;
    bool resume;
};

enum { OPT_CHECK = 256, OPT_SAMPLE, OPT_ROUTES, OPT_ROLE, OPT_RESUME };

static const struct option option_rows[] = {
    { "config", required_argument, NULL, 'c' },
    { "check-config", no_argument, NULL, OPT_CHECK },
    { "print-sample-config", no_argument, NULL, OPT_SAMPLE },
    { "print-routes", no_argument, NULL, OPT_ROUTES },
    { "role", required_argument, NULL, OPT_ROLE },
    { "resume", no_argument, NULL, OPT_RESUME },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { 0 },
};

static const char usage_text[] =
    "Usage: tallyd --config FILE              serve in the foreground; SIGTERM stops, SIGHUP reloads\n"
    "       tallyd --config FILE --check-config\n"
    "       tallyd --print-sample-config      a complete configuration with every key explained\n"
    "       tallyd sftp-stdio [-R] [-m MODE] [-d DIR]   the SFTP engine on stdin and stdout (-R: read-only)\n"
    "       tallyd --print-routes             the REST API's routes, as JSON\n"
    "       tallyd --help | --version\n"
    "\n"
    "Each key can be set by a variable: TALLY_HTTPD__BINDINGS__0__PORT=8081. With\n"
    "data_provider.create_default_admin, TALLY_DEFAULT_ADMIN_USERNAME and TALLY_DEFAULT_ADMIN_PASSWORD make the\n"
    "first administrator. Keys:\n\n";

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

static int run(const struct options *o, int argc, char **argv)
{
    CLEANUP(config_done) struct config config = { 0 };

    if (load_config(o, &config) < 0)
        return 2;
    if (o->what == DO_CHECK) {
        printf("%s: ok\n", o->config_path ? o->config_path : "configuration");
        return 0;
    }
    if (o->role != NULL)
        return run_role(o, &config, argc, argv);
    log_open("tallyd", log_level_of(config.log_level));
    return supervisor_run(&config, o->config_path);
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
