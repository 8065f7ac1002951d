/* What every service does: take its name, drop rights, ignore the terminal's signals (the supervisor gets them, too),
 * open the control channel, and end when the supervisor says so or is no more. */
#include <cap-ng.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "tallyd/service.h"

static const uint32_t vfs_caps[] = { CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_CHOWN,   CAP_FOWNER,
                                     CAP_FSETID,    CAP_SETUID,          CAP_SETGID,       CAP_MKNOD,   CAP_IPC_LOCK,
                                     CAP_SETFCAP,   CAP_LEASE,           CAP_KILL,         CAP_SETPCAP, UINT32_MAX };
static const uint32_t sftp_caps[] = { CAP_SETUID,    CAP_SETGID, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_SYS_CHROOT,
                                      CAP_SYS_ADMIN, CAP_KILL,   CAP_SETPCAP,         UINT32_MAX };

const struct service_row services[] = {
    { "api", "tallyd-api", role_api, "tally-api", NULL, 3 },
    { "vfs", "tallyd-vfs", role_vfs, NULL, vfs_caps, 1 },
    { "sftp", "tallyd-sftp", role_sftp, NULL, sftp_caps, 2 },
};
const size_t services_n = ARRAY_SIZE(services);

const struct service_row *service_find(const char *name)
{
    for (size_t i = 0; i < services_n; i++)
        if (strcmp(services[i].name, name) == 0)
            return &services[i];
    return NULL;
}

int account_find(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    const struct passwd *pw = getpwnam(name);

    if (pw == NULL) {
        log_error("the account \"%s\" is missing; contrib/accounts (or the Debian package) makes it", name);
        return -ENOENT;
    }
    *ret_uid = pw->pw_uid;
    *ret_gid = pw->pw_gid;
    return 0;
}

int administrators_find(gid_t *ret_gid)
{
    const struct group *g = getgrnam("tally");

    if (g == NULL) {
        log_error("the group \"tally\" is missing; contrib/accounts (or the Debian package) makes it");
        return -ENOENT;
    }
    *ret_gid = g->gr_gid;
    return 0;
}

int level_reload(const char *config_path)
{
    CLEANUP(config_done) struct config c = { 0 };
    struct why why = { 0 };
    int r = config_load(config_path, environ, &c, &why);

    if (r < 0) {
        log_error("the configuration is not taken over: line %u: %s: %s", why.line, why.field, why.text);
        return r;
    }
    log_level_set(log_level_of(c.log_level));
    return 0;
}

static int drop_to_account(const char *name)
{
    uid_t uid;
    gid_t gid;
    int r = account_find(name, &uid, &gid);

    if (r < 0)
        return r;
    if (initgroups(name, gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return log_fail(-errno, "cannot become %s", name);
    return 0;
}

/* Asks for no capability that is not there: a container may have taken some from us. */
static bool has_cap(uint32_t cap)
{
    return prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1;
}

static int keep_caps(const uint32_t *caps)
{
    capng_clear(CAPNG_SELECT_BOTH);
    for (; *caps != UINT32_MAX; caps++)
        if (has_cap(*caps))
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, *caps);
    return capng_apply(CAPNG_SELECT_BOTH) < 0 ? log_fail(-EPERM, "cannot give up capabilities") : 0;
}

static int drop_rights(const struct service_row *s)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return log_fail(-errno, "cannot set no_new_privs");
    if (s->account != NULL)
        return drop_to_account(s->account);
    return s->caps != NULL ? keep_caps(s->caps) : 0;
}

/* SIGTERM is waited for in role_ready_and_wait(); everything that a terminal sends is the supervisor's. */
static void set_signals(void)
{
    sigset_t term;

    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);
}

int role_main(struct role *r, int argc, char **argv)
{
    const struct service_row *s = service_find(r->name);
    int metrics_fd = role_take_fd(r, "metrics");

    if (s == NULL || metrics_fd < 0) {
        log_error("a role is started by tallyd, not by hand");
        return 2;
    }
    process_set_name(argc, argv, s->process);
    set_signals();
    IGNORE(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "the control channel's end is the rule, this is the net");
    if (metric_attach(metrics_fd, s->metric_role) < 0)
        return 1;
    r->metrics_fd = metrics_fd;
    if (drop_rights(s) < 0)
        return 1;
    return s->run(r);
}

static void supervisor_lost(void *arg)
{
    (void)arg;
    _exit(0); /* at once: the next start finds the maps as after a kill, which is always right */
}

int role_control(struct role *r, control_handler *handler, void *arg, struct control **ret)
{
    return control_start(role_take_fd(r, "control"), handler, supervisor_lost, arg, ret);
}

void role_ready_and_wait(struct control *c)
{
    sigset_t term;
    int which;

    IGNORE(control_tell(c, "supervisor", "ready", NULL), "a supervisor that is gone ends this process anyway");
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    while (sigwait(&term, &which) != 0)
        ;
}

void role_end(void)
{
    kill(getpid(), SIGTERM);
}
