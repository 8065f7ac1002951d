/* What a role gets from the supervisor: its configuration and its named descriptors.
 *
 * The supervisor executes the program anew for each role (argv[0] "tallyd-vfs") and passes descriptors by number in the
 * variable TALLY_FDS: "control=3,fuse=4,connections=5,metrics=6,sftp.0=7,httpd.0=8". */
#pragma once

#include "base/config.h"
#include "base/control.h"

enum { ROLE_FDS_MAX = 48 };

struct role_fd {
    char name[32];
    int fd; /* -1: taken */
};

struct role {
    const char *name; /* "vfs" */
    const char *config_path;
    const struct config *config;
    struct role_fd fds[ROLE_FDS_MAX];
    size_t fds_n;
    int metrics_fd; /* attached; for roles that start processes of their own */
    /* --loaddata-*: how the dump in the descriptor "loaddata" is restored */
    int64_t restore_mode, restore_scan;
    bool restore_skips;
    bool resume; /* --resume: this process follows one that died */
};

/* role_take_fd - a descriptor by name, moved to the caller; -1 if there is none. */
int role_take_fd(struct role *r, const char *name);

/* role_parse_fds - fills fds from the text of TALLY_FDS; sets CLOEXEC on each. -EINVAL. */
int role_parse_fds(struct role *r, const char *text) MUST_CHECK;

/* process_set_name - comm and process title, so that ps and pgrep find the role. */
void process_set_name(int argc, char **argv, const char *name);
