/* The usage map: what each quota domain holds now, in a shared file that the ledger writes and others read.
 *
 * File:    <state_dir>/domains.map. A header, then slots of one cache line pair; a slot belongs to one domain for the
 *          life of the domain and is found by (kind, id) through usage_find(). Numbers are relaxed atomics; a reader
 *          that wants two of one moment reads them twice.
 * Units:   bytes of st_size; files are regular inodes; times are Unix milliseconds.
 * Threads: the ledger is the only writer. A struct usage_map (reader) has one user at a time, or a lock of its user. */
#pragma once

#include <stdatomic.h>

#include "base/defs.h"

enum { USAGE_VERSION = 1, USAGE_DOMAINS_MAX = 1 << 20 };
#define USAGE_MAGIC "tallyusg"

enum domain_kind { DOMAIN_NONE, DOMAIN_USER, DOMAIN_FOLDER };

/* How far the number can be trusted. dirty: right, but not yet checkpointed. */
enum domain_state { DOMAIN_CLEAN, DOMAIN_DIRTY, DOMAIN_STALE, DOMAIN_COUNTING };

enum scan_result { SCAN_NONE, SCAN_DONE, SCAN_CANCELLED, SCAN_FAILED };

struct usage_scan {
    _Atomic int64_t start_ms; /* 0: never */
    _Atomic int64_t end_ms;   /* 0: runs */
    _Atomic uint64_t files_seen, bytes_seen, files_expected;
    _Atomic int64_t drift_bytes, drift_files; /* counter before minus what was found */
    _Atomic int32_t error;                    /* negative errno of a failed one */
    _Atomic uint8_t result;                   /* enum scan_result */
    _Atomic uint8_t dry_run;
};

struct usage_slot {
    _Atomic int64_t id;     /* of the user or folder in the store; 0: free */
    _Atomic uint32_t kind;  /* enum domain_kind */
    _Atomic uint32_t state; /* enum domain_state */
    _Atomic uint64_t used_bytes, used_files;
    _Atomic uint64_t held_bytes, held_files;       /* reserved by operations that are under way */
    _Atomic int64_t adjust_bytes, adjust_files;    /* an administrator's adjustment; reported = used + adjust */
    _Atomic uint64_t limit_bytes, limit_files;     /* 0: none */
    _Atomic int64_t changed_ms;                    /* last change of used_*, coarse (1 s) */
    _Atomic uint64_t epoch;                        /* of the durable dirty mark */
    struct usage_scan scan;                        /* running or last */
    _Atomic uint64_t carried_bytes, carried_files; /* part of used_*: the last known number, until a count has met it */
} __attribute__((aligned(256)));

struct usage_header {
    char magic[8];
    uint32_t version;
    uint32_t slot_bytes;
    char boot_id[40];
    uint8_t instance[16];        /* of the ledger; another one: the map is of another state directory */
    _Atomic uint32_t slots;      /* in the file */
    _Atomic uint32_t generation; /* odd while slots are taken or freed; readers index anew when it changed */
    _Atomic uint32_t clean_stop; /* 1: everything was settled and is durable */
    _Atomic uint32_t unmarked; /* 1: ledger.db does not know of all that changed: no row is believed in another boot */
} __attribute__((aligned(4096)));

struct usage_map; /* a reader */

/* usage_open - maps a file that the ledger made. -ENOENT while there is none, -EPROTO if it is of another version. */
int usage_open(const char *state_dir, struct usage_map **ret) MUST_CHECK;
void usage_close(struct usage_map *m);

/* usage_is_believed - can the numbers be right still? False from a start of the machine until the ledger has opened,
 * unless the last life was stopped cleanly (sys_boot_id()). */
bool usage_is_believed(const struct usage_map *m, const char *boot_id);

/* usage_find - a domain's slot, or NULL: nothing is counted for it yet. Borrowed until usage_close(). */
const struct usage_slot *usage_find(struct usage_map *m, enum domain_kind kind, int64_t id);

/* usage_next - walks all domains: start with *pos = 0; NULL at the end. */
const struct usage_slot *usage_next(struct usage_map *m, uint32_t *pos);

/* usage_reported - used + adjustment, never below zero. */
static inline uint64_t usage_reported_bytes(const struct usage_slot *s)
{
    int64_t n = (int64_t)atomic_load_explicit(&s->used_bytes, memory_order_relaxed) +
                atomic_load_explicit(&s->adjust_bytes, memory_order_relaxed);
    return n > 0 ? (uint64_t)n : 0;
}

static inline uint64_t usage_reported_files(const struct usage_slot *s)
{
    int64_t n = (int64_t)atomic_load_explicit(&s->used_files, memory_order_relaxed) +
                atomic_load_explicit(&s->adjust_files, memory_order_relaxed);
    return n > 0 ? (uint64_t)n : 0;
}

const char *domain_state_name(enum domain_state s); /* "clean", "dirty", "stale", "counting" */
const char *domain_kind_name(enum domain_kind k);   /* "user", "folder" */
