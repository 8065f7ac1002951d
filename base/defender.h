/* The defender: addresses that fail too often are banned for a while.
 *
 * Each event of an address has a score; when the scores of the observation time reach the threshold, the address is
 * banned, and each attempt while it is banned makes the ban longer. Safe addresses never get events; blocked ones are
 * always banned. The table and its settings are shared memory: the supervisor makes it and sets it (at the start and at
 * SIGHUP), listener, broker and api use it, so that a password guesser by SSH is banned for HTTP as well.
 *
 * Units:   times in Unix milliseconds, given by the caller.
 * Threads: any, of any process. A process that dies in here leaves a table that the next one can use.
 * Limits:  DEFENDER_HOSTS_MAX addresses (above the hard limit of the configuration those banned longest ago and those
 *          with the lowest scores are dropped down to the soft limit), DEFENDER_RANGES_MAX ranges a list,
 *          DEFENDER_LIST_BYTES of a list file.
 * Source:  contract/sftp-quota.md §4.1; contract/rest.md §1.3. */
#pragma once

#include "base/address.h"
#include "base/config.h"

enum { DEFENDER_HOSTS_MAX = 10000, DEFENDER_RANGES_MAX = 100000, DEFENDER_LIST_BYTES = 5 << 20 };

enum defender_event {
    DEFENDER_UNKNOWN, /* a user that does not exist, or no login attempt at all */
    DEFENDER_FAILED,  /* a failed login of a user that exists */
    DEFENDER_LIMIT,   /* a rate limit or a limit of connections */
};

struct defender_map;
struct defender {
    struct defender_map *map;
    int fd;
};

/* defender_create - an empty table that is off. defender_attach - fd is moved. */
int defender_create(struct defender *ret) MUST_CHECK;
int defender_attach(int fd, struct defender *ret) MUST_CHECK;
void defender_detach(struct defender *d);

/* defender_set - settings and lists (files are read here). On failure nothing changes and reterr_why names the file. */
int defender_set(struct defender *d, const struct defender_config *c, struct why *reterr_why) MUST_CHECK;
bool defender_is_on(struct defender *d);

/* defender_note - an event. true: the address is banned by it, now. */
bool defender_note(struct defender *d, const char *address, enum defender_event e, int64_t now_ms);

/* defender_refuses - is this address banned? The attempt itself lengthens the ban. */
bool defender_refuses(struct defender *d, const char *address, int64_t now_ms);

struct defender_host {
    struct address address;
    uint32_t score;       /* 0 if it is banned */
    int64_t ban_until_ms; /* 0 if it is not */
};

/* defender_host - one address; -ENOENT. defender_hosts - up to `room` of them, banned ones first; their number. */
int defender_host(struct defender *d, const char *address, int64_t now_ms, struct defender_host *ret) MUST_CHECK;
size_t defender_hosts(struct defender *d, int64_t now_ms, struct defender_host *to, size_t room);

/* defender_forget - ends a ban, and forgets the scores. -ENOENT. */
int defender_forget(struct defender *d, const char *address, int64_t now_ms) MUST_CHECK;
