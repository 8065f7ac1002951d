/* Live numbers: what each user and folder holds now, read from the ledger's usage map.
 *
 * The map is made by the vfs role; until it is there all numbers are 0 and the state is "stale": nobody knows. After a
 * power cut the numbers are those of the last life and "stale" until the ledger has looked at them.
 * Threads: any. */
#pragma once

#include "base/usage.h"

struct live;
int live_new(const char *state_dir, struct live **ret) MUST_CHECK;
void live_free(struct live *l);

struct live_scan {
    int64_t start_ms, end_ms;
    uint64_t files_seen, bytes_seen, files_expected;
    int64_t drift_bytes, drift_files;
    int32_t error;
    enum scan_result result;
    bool dry_run;
};

struct live_numbers {
    int64_t id;
    uint64_t used_bytes, used_files; /* as reported: with the adjustment */
    uint64_t held_bytes;
    int64_t adjust_bytes, adjust_files;
    int64_t changed_ms;
    enum domain_state state;
    struct live_scan scan; /* running or last; start_ms 0: never */
};

/* live_read - one domain. Never fails: what is not known is zero and stale. */
void live_read(struct live *l, enum domain_kind kind, int64_t id, struct live_numbers *ret);

/* live_scans - running scans of a kind, at most `room`. Returns how many. */
size_t live_scans(struct live *l, enum domain_kind kind, struct live_numbers *ret, size_t room);

/* live_states - how many domains are in each state. */
void live_states(struct live *l, uint64_t ret[DOMAIN_COUNTING + 1]);
