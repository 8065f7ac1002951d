/* The connection table: one record a live connection, in shared memory (a memfd that the supervisor makes).
 *
 *   who they are: state, id, name, address …     written by the listener (claim) and the broker (publish, free)
 *   what they do: protocol, transfers, activity  written by the session, of which a stranger may have taken hold
 *
 * Limits are counted by the first part, so it is on pages that a session does not have: all first parts come before all
 * second parts, and a session maps only its own second part. Each part has a sequence lock; numbers are atomics. A slot
 * is claimed by compare-and-swap before the session starts and freed by whoever sees the session's process end (the
 * broker), so that a killed session leaves no entry and no session has a page of the next one.
 *
 * Units:   times are Unix milliseconds; bytes are payload bytes.
 * Threads: one writer a record; any number of readers.
 * Limits:  CONNECTIONS_MAX records; TRANSFERS_MAX transfers a record are shown, more are not. Long texts are cut. */
#pragma once

#include <stdatomic.h>

#include "base/defs.h"

enum { CONNECTIONS_MAX = 4096, TRANSFERS_MAX = 8, CONNECTION_PATH_MAX = 1024, CONNECTION_PART_BYTES = 12288 };

enum connection_state { CONNECTION_FREE, CONNECTION_CLAIMED, CONNECTION_LIVE };

struct connection_transfer {
    _Atomic uint64_t bytes; /* so far, with the resume offset */
    int64_t start_ms;
    uint32_t active;
    uint32_t is_upload;
    char path[CONNECTION_PATH_MAX]; /* virtual */
};

/* A record as it is published and read. */
struct connection_facts {
    char id[96]; /* "SFTP_<hex>_<channel>": safe in a URL */
    char username[256];
    char protocol[16]; /* SFTP, SCP, SSH, FS, HTTP */
    char client_version[128];
    char remote_address[72]; /* ip:port */
    char command[256];
    int64_t connect_ms;
    int64_t user_id;
    uint32_t pid;
    struct connection_transfer transfers[TRANSFERS_MAX];
};

/* The first part of a record. The names are those of connection_facts. */
struct connection_who {
    char id[96], username[256], client_version[128], remote_address[72];
    int64_t connect_ms, user_id;
    uint32_t pid;
};

struct connection {
    union {
        struct {
            _Atomic uint32_t state; /* enum connection_state */
            _Atomic uint32_t seq;   /* odd while it is written */
            _Atomic uint32_t close_requested;
            struct connection_who who;
        };
        uint8_t part[CONNECTION_PART_BYTES]; /* as far from one to the next as second parts are */
    };
} __attribute__((aligned(4096)));

struct connections {
    struct connection *v; /* CONNECTIONS_MAX; the second parts follow */
    int fd;               /* the memfd, -1 if given up */
    bool writable;
};

/* connections_create - a new table (memfd). connections_attach - maps an existing one; fd is moved. */
int connections_create(struct connections *ret) MUST_CHECK;
int connections_attach(int fd, bool writable, struct connections *ret) MUST_CHECK;
void connections_detach(struct connections *c);

/* connections_keep_only - for a session: unmaps all but the second part of one record, and closes the memfd. Then only
 * connection_touch, connection_show and connection_transfer_* may be called with `own`. */
int connections_keep_only(struct connections *c, struct connection *own) MUST_CHECK;

/* connection_claim - a free record, now CLAIMED and zeroed; NULL if the table is full. */
struct connection *connection_claim(struct connections *c);
void connection_free(struct connection *r);

/* connection_publish - the facts become visible and the state LIVE. The broker's, before its session writes. */
void connection_publish(struct connection *r, const struct connection_facts *facts);

/* connection_show - another protocol and command; the session's, like the rest. */
void connection_show(struct connection *r, const char *protocol, const char *command);
void connection_touch(struct connection *r, int64_t now_ms);

/* Transfers of the owner: an index for later calls, or -1 if all TRANSFERS_MAX are taken (then the calls do nothing).
 * */
int connection_transfer_begin(struct connection *r, bool is_upload, const char *path, uint64_t bytes, int64_t now_ms);
void connection_transfer_moved(struct connection *r, int transfer, uint64_t bytes); /* adds */
void connection_transfer_end(struct connection *r, int transfer);

/* connection_read - a consistent copy; false if the record is not live. A second part that is never consistent (a
 * session that lies) reads as one without transfers. */
bool connection_read(const struct connection *r, struct connection_facts *ret_facts, int64_t *ret_last_activity_ms);

/* connections_count - live records, those of one user when user_id is not 0. */
unsigned connections_count(const struct connections *c, int64_t user_id);
