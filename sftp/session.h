/* A session's side of the broker's protocol, and what it becomes when somebody is logged in. */
#pragma once

#include "base/config.h"
#include "sftp/account.h"
#include "sftp/broker_proto.h"

/* The link to the broker. */
struct broker_link {
    int fd;
    bool logged_in;
    bool close_asked; /* SAY_CLOSE came, or the broker is gone */
    char close_reason[256];
};

/* broker_ask - sends a question and waits for the answer of that type, at most BROKER_WAIT_MS; a SAY_CLOSE that comes
 * first is noted. Returns the answer's length in `buf`. -EPIPE: the broker is gone, -ETIMEDOUT, -EBADMSG. */
ssize_t broker_ask(struct broker_link *l, const struct queue *question, uint8_t answer_type, void *buf, size_t room,
                   int ret_fds[BROKER_FDS_MAX]) MUST_CHECK;

/* broker_hear - what came unasked. */
void broker_hear(struct broker_link *l);

/* The logged-in side. */
struct identity {
    struct user user; /* owned */
    char connection_id[96];
    char *host_path; /* of the home on the mount; owned */
    uid_t uid;
    gid_t gid;
    int home; /* owned */
};

/* identity_parse - from the fields behind VERDICT_IN and its descriptors (moved). */
int identity_parse(struct packet_in *in, int fds[BROKER_FDS_MAX], struct identity *ret) MUST_CHECK;
void identity_done(struct identity *i);

/* session_confine - before any byte of the other side: no new privileges, no dumps, limits. */
void session_confine(void);

/* session_become - the user, for good: groups, gid, uid; then Landlock down to the home where the kernel has it, and
 * the second filter. A session that stays root is an error. */
int session_become(const struct identity *i) MUST_CHECK;
