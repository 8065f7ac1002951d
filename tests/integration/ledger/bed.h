/* A ledger over a real directory: <dir>/state, <dir>/homes/<name>; operations as the mount does them, and the truth to
 * compare with, from a walk of its own. Owned by setup and teardown, since cmocka's asserts jump past CLEANUP. */
#pragma once

#include "tests/support/ops.h"

enum { BED_PATH = 256, BED_TREES = OPS_TREES };

struct bed {
    char dir[BED_PATH];
    const char *boot_id;
    unsigned clean_after_ms;
    bool unwatched; /* ledger_options of the next opening, as those below */
    bool refuse_stale_growth;
    enum ledger_track track;
    unsigned recounts, recount_rate;
    struct domain *users[BED_TREES]; /* ids 1, 2, 3 */
    union {
        struct ops ops;
        struct { /* the same */
            struct ledger *l;
            struct tree *trees[BED_TREES];
            int homes[BED_TREES];
            struct room *rooms[BED_TREES];
        };
    };
    unsigned n_trees;
};

/* bed_own_disk - beds that are made from now on lie on an ext4 of their own, on which inode numbers are used again at
 * once, lowest first. `dir` is a template for mkdtemp(3); in a mount namespace of the process. */
void bed_own_disk(char *dir, unsigned mib);
void bed_own_disk_done(const char *dir);

struct bed *bed_new(unsigned n_trees); /* directories and an open ledger with n trees */
void bed_free(struct bed *b);          /* closes what is open, removes the directories */
void bed_open(struct bed *b);          /* the ledger and its trees */
void bed_close(struct bed *b);
int bed_try_open(struct bed *b, struct ledger **ret); /* only the ledger */

/* For cmocka: a bed of so many homes in *state, and its end. */
int bed_up_two(void **state);
int bed_up_three(void **state);
int bed_down(void **state);

/* Operations through the protocol. */
#define bed_write(b, ...)    ops_write(&(b)->ops, __VA_ARGS__)
#define bed_truncate(b, ...) ops_truncate(&(b)->ops, __VA_ARGS__)
#define bed_unlink(b, ...)   ops_unlink(&(b)->ops, __VA_ARGS__)
#define bed_mkdir(b, ...)    ops_mkdir(&(b)->ops, __VA_ARGS__)
#define bed_rmdir(b, ...)    ops_rmdir(&(b)->ops, __VA_ARGS__)
#define bed_link(b, ...)     ops_link(&(b)->ops, __VA_ARGS__)
#define bed_rename(b, ...)   ops_rename(&(b)->ops, __VA_ARGS__)
#define bed_slot(b, ...)     ops_slot(&(b)->ops, __VA_ARGS__)
#define bed_storm(b, ...)    ops_storm(&(b)->ops, __VA_ARGS__)

/* The same beneath the mount: nobody tells the ledger. */
void bed_put(struct bed *b, unsigned home, const char *path, uint64_t size);
void bed_sh(struct bed *b, const char *command); /* in <dir>/homes */

struct sum {
    uint64_t bytes, files;
};
struct sum bed_walk(struct bed *b, unsigned home, const char *path); /* what is there */
struct sum bed_used(const struct domain *d);
struct sum bed_total(struct bed *b, unsigned home, const char *path); /* of a directory, by its record */
enum domain_state bed_state(const struct domain *d);
struct sum sum_add(struct sum a, struct sum b);

#define assert_sum(what, got, want)                                                                                    \
    do {                                                                                                               \
        struct sum got_ = (got), want_ = (want);                                                                       \
        if (got_.bytes != want_.bytes || got_.files != want_.files)                                                    \
            fail_msg("%s: %llu bytes in %llu files, not %llu in %llu", (what), (unsigned long long)got_.bytes,         \
                     (unsigned long long)got_.files, (unsigned long long)want_.bytes,                                  \
                     (unsigned long long)want_.files);                                                                 \
    } while (0)

/* assert_home - the domain's counter and the root's total are what a walk finds. */
void assert_home(struct bed *b, unsigned home, const char *when);
