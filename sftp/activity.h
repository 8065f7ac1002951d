/* What a session does, for others to see: its record in the connection table, its log lines, its counters.
 *
 * Threads: one. A session has one activity; without a record and without a user name (sftp-stdio) it only counts. */
#pragma once

#include "base/connections.h"

struct activity {
    struct connection *record; /* borrowed; NULL: none */
    const char *username;      /* borrowed; NULL: write no lines */
    const char *connection_id, *local_address, *remote_address;
    const char *protocol; /* "SFTP", "SCP", "SSH" */
    int64_t last_ms;      /* wall clock of the last request */
};

/* A running transfer. */
struct transfer {
    int index; /* in the record; -1: not shown */
    bool is_upload;
    uint64_t bytes; /* moved in this session */
    uint64_t since_ns;
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

/* activity_protocol - shows another protocol and command in the record. */
void activity_protocol(struct activity *a, const char *protocol, const char *command);
