/* What the watcher's tests stand on: a real ledger over real directories, a watcher, and writers that are other
 * processes.
 *
 * <root>/h and <root>/g are trees of two domains, each reached through a private clone of its mount as in production;
 * <root>/out is foreign. Writers are shell scripts with <root> as their directory; $SELF names this program, whose
 * helper commands do what a shell cannot. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metric.h"
#include "watcher/inside.h"

enum { DEADLINE_MS = 20000 };

struct home {
    const char *name; /* below the root */
    int clone;        /* the root of a private clone of its mount */
    int dir;          /* the directory in that clone */
    struct domain *domain;
    struct tree *tree;
};

struct bed {
    char root[64];
    bool has_mount;
    struct ledger *ledger;
    struct watcher *watcher;
    struct home homes[2];
    const char *mode;
    struct watcher_tuning tuning;
    uint32_t max_watches;
    unsigned cookie;
};

/* bed_main - runs a helper command if the program was started as one; otherwise false. *ret_status is its exit status.
 */
bool bed_main(int argc, char **argv, int *ret_status);

/* bed_new - directories, `setup` run in them, ledger and both trees open and counted; no watcher yet. */
struct bed *bed_new(const char *mode, const char *setup);
void bed_watch(struct bed *b);
void bed_free(struct bed *b); /* accepts NULL */
void bed_open_home(struct bed *b, unsigned home);

/* bed_run - a script in another process; it must succeed. */
void bed_run(struct bed *b, const char *script);
pid_t bed_spawn(struct bed *b, const char *script);
void bed_join(pid_t pid);

/* bed_is_right - the counters of all open homes, and the subtree totals of all directories, are what a walk finds. */
bool bed_is_right(struct bed *b);
/* bed_await_right - as soon as that is so. Then what came before is through: two changes of a cookie file behind it are
 * counted, too. */
void bed_await_right(struct bed *b, const char *what);

enum domain_state bed_state(const struct bed *b, unsigned home);
int64_t bed_metric(enum metric_id m);
uint64_t now_ms(void);
/* Until a condition holds; fails with `what` at the deadline. */
#define AWAIT(what, condition)                                                                                         \
    do {                                                                                                               \
        uint64_t end_ = now_ms() + DEADLINE_MS;                                                                        \
        while (!(condition)) {                                                                                         \
            if (now_ms() > end_)                                                                                       \
                fail_msg("%s: not within %d ms", what, DEADLINE_MS);                                                   \
            bed_pause();                                                                                               \
        }                                                                                                              \
    } while (0)
void bed_pause(void); /* a moment between two looks at a condition */
