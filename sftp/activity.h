/* What a session does, for others to see: its record in the connection table, its log lines, its counters.
 *
 * Threads: one. A session has one activity; without a record and without a user name (sftp-stdio) it only counts. */
#pragma once

#include "base/connections.h"
#include "sftp/action.h"

struct broker_link;

/* How a session tells of its actions. */
struct action_link {
    struct broker_link *broker;          /* borrowed */
    const struct actions_config *config; /* borrowed */
    uint32_t wanted;                     /* actions_wanted() */
};

struct activity {
    struct connection *record; /* borrowed; NULL: none */
    const char *username;      /* borrowed; NULL: write no lines */
    const char *connection_id, *local_address, *remote_address;
    const char *protocol;        /* "SFTP", "SCP", "SSH" */
    int64_t last_ms;             /* wall clock of the last request */
    struct action_link *actions; /* borrowed; NULL: none */
    uint64_t size_bytes;         /* of the file that is being removed, where an action wants to know */
};

/* A running transfer. */
struct transfer {
    int index; /* in the record; -1: not shown */
    bool is_upload;
    uint64_t bytes; /* moved in this session */
    uint64_t since_ns;
    uint64_t size_bytes; /* of the file at the end, where an action wants to know */
};

void activity_touch(struct activity *a);

struct transfer activity_begin(struct activity *a, bool is_upload, const char *path, uint64_t offset_bytes);
void activity_moved(struct activity *a, struct transfer *t, uint64_t bytes);
void activity_end(struct activity *a, struct transfer *t, const char *path, int r);

/* activity_command - a line like {"sender":"Rename",…}; target may be NULL. Numbers that do not apply are -1. */
struct activity_numbers {
    const char *filemode; /* "" if unused */
    int64_t uid, gid, size;
    const char *access_time, *modification_time;
};
void activity_command(struct activity *a, const char *sender, const char *path, const char *target,
                      const struct activity_numbers *n);

/* activity_ssh_command - the line of an SSH command that ended, and its counter. */
void activity_ssh_command(struct activity *a, const char *command, int r);

/* Actions (action.h). activity_wants - is there a hook for it? activity_tell - that it has happened, or failed with r;
 * t may be NULL. activity_ask - before it happens: 1 the hook agrees, or there is none; 0 it does not. For pre-delete
 * 1 means that the hook has removed the file itself; 0 without a hook. */
struct activity_told {
    const char *target, *command; /* NULL: none */
    uint64_t size_bytes;
    int r;
};
bool activity_wants(const struct activity *a, enum action action);
void activity_tell(struct activity *a, enum action action, const char *path, const struct activity_told *t);
int activity_ask(struct activity *a, enum action action, const char *path, uint64_t size_bytes, uint32_t open_flags);

/* activity_changed - a name has changed: the line of activity_command(), and the action, which the line names. */
void activity_changed(struct activity *a, const char *sender, const char *path, const char *target);

/* activity_protocol - shows another protocol and command in the record. */
void activity_protocol(struct activity *a, const char *protocol, const char *command);
