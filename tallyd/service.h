/* The services: one row each. They are started downwards and stopped upwards. */
#pragma once

#include "base/role.h"

/* Exit status by which the vfs says that its mount is gone: it needs a new one, not a second try. */
enum { EXIT_MOUNT_GONE = 40 };

/* Exit status by which a service says that it was given something that no second try makes better. */
enum { EXIT_REFUSED = 41 };

/* By which variable the vfs learns the device of covers. */
#define COVER_DEV "TALLY_COVER_DEV"

struct service_row {
    const char *name;          /* --role, control address */
    const char *process;       /* comm and title */
    int (*run)(struct role *); /* in the new process; returns the exit status */
    const char *account;       /* drops to this account at its start; NULL: stays root */
    const uint32_t *caps;      /* kept (CAP_*), ends with UINT32_MAX; NULL: none */
    unsigned metric_role;      /* row of the metric map */
};

extern const struct service_row services[];
extern const size_t services_n;

const struct service_row *service_find(const char *name); /* NULL if there is none */

int role_api(struct role *r);
int role_vfs(struct role *r);
int role_sftp(struct role *r);

/* role_main - what every service does first (name, log, signals, control's end) and then its own run(). */
int role_main(struct role *r, int argc, char **argv);

/* role_control - starts the control channel; when the supervisor is gone the process ends at once. */
int role_control(struct role *r, control_handler *handler, void *arg, struct control **ret) MUST_CHECK;

/* role_ready_and_wait - tells the supervisor and waits for SIGTERM. */
void role_ready_and_wait(struct control *c);

/* role_end - asks this process to stop by itself (as SIGTERM does), from any thread. */
void role_end(void);

/* administrators_find - the group whose members need no password at the administrators' socket; as account_find. */
int administrators_find(gid_t *ret_gid) MUST_CHECK;

/* level_reload - SIGHUP, in every process: reads the configuration again and takes over the log level. -EINVAL and
 * others: the configuration is wrong; that is logged, and nothing changes. */
int level_reload(const char *config_path);

/* account_find - ids of a system account; -ENOENT with a log line that says how to make it. */
int account_find(const char *name, uid_t *ret_uid, gid_t *ret_gid) MUST_CHECK;
