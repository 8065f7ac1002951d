/* Actions: what the administrator's hook is told or asked about (common.actions).
 *
 * A session tells the broker, which runs the hook: a session can start no program. The broker adds who it is from what
 * it has verified itself; from the session come only the action, the paths in that user's home, and numbers. Actions
 * before something (pre-…) and those of execute_sync are waited for, the others are not.
 *
 * What a hook gets: variables SFTPGO_ACTION… or the same as a JSON POST. `path` is the file as programs on the host
 * reach it through the mount, so that what a hook does is counted.
 *
 * Limits: ACTION_TIMEOUT_MS for a hook; ACTIONS_WAITING_MAX sessions may wait at once, more are refused.
 * Source: contract/sftp-quota.md §4.3. */
#pragma once

#include "base/config.h"
#include "sftp/packet.h"

enum action {
    ACTION_DOWNLOAD,
    ACTION_UPLOAD,
    ACTION_DELETE,
    ACTION_RENAME,
    ACTION_MKDIR,
    ACTION_RMDIR,
    ACTION_SSH_CMD,
    ACTION_PRE_DOWNLOAD,
    ACTION_PRE_UPLOAD,
    ACTION_PRE_DELETE,
    ACTIONS,
};

enum { ACTION_TIMEOUT_MS = 30000, ACTIONS_WAITING_MAX = 256, ACTION_THREADS = 8 };
enum action_status { ACTION_OK = 1, ACTION_FAILED = 2, ACTION_QUOTA = 3 };

struct action_event {
    enum action action;
    bool waits;           /* the session waits for an answer */
    const char *path;     /* virtual, clean; "" if there is none */
    const char *target;   /* of a rename; "" */
    const char *command;  /* of ssh_cmd; "" */
    const char *protocol; /* SFTP, SCP, SSH */
    uint64_t size_bytes;  /* of the file, where that is known */
    enum action_status status;
    uint32_t open_flags; /* of pre-upload: O_TRUNC or 0 */
};

const char *action_name(enum action a);

/* actions_wanted - bits (1 << enum action) of what execute_on names; 0 without a hook. */
uint32_t actions_wanted(const struct actions_config *c);

/* action_waits - is its hook waited for? */
bool action_waits(const struct actions_config *c, enum action a);

/* action_put, action_parse - the fields behind SAY_ACTION. Texts are owned by the event that was parsed. -EBADMSG for
 * what no honest session sends. */
void action_put(struct queue *q, const struct action_event *e);
int action_parse(struct packet_in *in, struct action_event *ret) MUST_CHECK;
void action_done(struct action_event *e);
