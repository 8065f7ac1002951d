/* What a session and the broker say to each other, over a SOCK_SEQPACKET pair of their own.
 *
 * A message is one type byte and fields in the wire form of packet.h. The session asks, the broker answers each
 * question once; SAY_CLOSE comes unasked. The broker believes nothing that a session says about itself: who is logged
 * in is what it has verified, the session id is the first hash that it signed.
 *
 *   session                              broker
 *   SAY_KNOCK (only if there is a hook that wants to be asked)        SAY_VERDICT: YES or OVER
 *   SAY_SIGN key type, digest, hash      SAY_SIGNED signature ("" : refused)
 *   SAY_OFFER user, key blob             SAY_VERDICT
 *   SAY_SIGNATURE user, key blob, signature, signed data, version     SAY_VERDICT (+ descriptors)
 *   SAY_PASSWORD user, password, version                              SAY_VERDICT (+ descriptors)
 *   SAY_INTERACTIVE user, version                                     SAY_VERDICT
 *   SAY_ANSWER text                                                   SAY_VERDICT (+ descriptors)
 *   SAY_ACTION fields of action.h          SAY_ACTION_DONE agrees, if the session waits; only when logged in
 *                                        SAY_CLOSE reason
 *   listener
 *   SAY_SESSION pid, record, remote, local (+ the broker's end of the session's pair)
 *                                        SAY_HOST_KEYS n, blobs (once, at the start)
 *   SAY_EVICT record: that session has not logged in and must go
 * version: the client's. SAY_VERDICT: enum verdict, then with
 *   VERDICT_IN    connection id, uid, gid, home's host path, and two descriptors: the home (O_PATH), and the user's
 *                 record as JSON, without secrets, in a sealed memfd
 *   VERDICT_MORE  enum login_next: which steps may follow
 *   VERDICT_ASK   a prompt for the person at the client
 *
 * Limits: BROKER_MESSAGE_MAX bytes a message, BROKER_RECORD_MAX for a record, BROKER_WAIT_MS for an answer. */
#pragma once

#include "sftp/packet.h"

enum { BROKER_MESSAGE_MAX = 64 * 1024, BROKER_RECORD_MAX = 4 << 20, BROKER_WAIT_MS = 60000, BROKER_FDS_MAX = 2 };

enum broker_say {
    SAY_NOTHING,
    SAY_SIGN,
    SAY_SIGNED,
    SAY_OFFER,
    SAY_SIGNATURE,
    SAY_PASSWORD,
    SAY_INTERACTIVE,
    SAY_ANSWER,
    SAY_VERDICT,
    SAY_ACTION,
    SAY_ACTION_DONE,
    SAY_CLOSE,
    SAY_SESSION,
    SAY_HOST_KEYS,
    SAY_EVICT,
    SAY_KNOCK,
};

enum verdict {
    VERDICT_NO,   /* wrong; or the offered key is none of theirs */
    VERDICT_YES,  /* the offered key would do */
    VERDICT_IN,   /* logged in */
    VERDICT_OVER, /* too many tries: end the connection */
    VERDICT_MORE, /* right, but one more step is needed */
    VERDICT_ASK,  /* a line is asked for */
};

/* broker_send - one message with up to BROKER_FDS_MAX descriptors (borrowed). 0, -EPIPE, -EAGAIN, … */
int broker_send(int fd, const struct queue *message, const int *fds, size_t fds_n) MUST_CHECK;

/* broker_send_now - the same without waiting for a peer that does not read: -EAGAIN. The broker's, towards sessions. */
int broker_send_now(int fd, const struct queue *message, const int *fds, size_t fds_n) MUST_CHECK;

/* broker_receive - one message into buf; descriptors are owned, -1 where there is none. Returns its length, 0 at the
 * end of the connection, -EAGAIN, -EBADMSG (too long). ret_fds NULL: descriptors are not received. */
ssize_t broker_receive(int fd, void *buf, size_t room, int *ret_fds) MUST_CHECK;
