/* Hooks: programs and HTTP(S) URLs of the administrator, asked or told about what happens.
 *
 * A hook is the absolute path of a program, or a URL. Values go to a program as environment variables, to a URL as
 * its query; `input` goes to a program's standard input, `body` to a URL as a JSON POST (without one it is a GET). A
 * program gets our environment without TALLY_*, "/" as its directory, no descriptor of ours, the ids that the caller
 * names, and a process group of its own that is killed at the time limit. What it prints on standard output is its
 * answer.
 *
 * libcurl is loaded when the first URL is asked, so that processes which never do are not larger for it.
 *
 * Threads: any, also while other threads run; a call blocks until the hook has ended or its time is over. SIGPIPE is
 *          ignored by the process (every role does that).
 * Limits:  of an answer HOOK_ANSWER_MAX bytes (-E2BIG), HOOK_VALUES_MAX values, timeout_ms, HOOK_WAITING_MAX that wait.
 * Source:  contract/sftp-quota.md §4.3. */
#pragma once

#include "base/defs.h"

enum { HOOK_ANSWER_MAX = 1 << 20, HOOK_VALUES_MAX = 24, HOOK_WAITING_MAX = 1024, HOOK_HTTP_OK = 200 };

/* One thing that a hook is told. */
struct hook_value {
    const char *variable; /* of a program; NULL: programs are not told */
    const char *query;    /* of a URL; NULL: URLs are not told (it is in the body) */
    const char *value;
};

struct hook_request {
    const char *hook;
    const struct hook_value *values; /* borrowed */
    size_t values_n;
    const char *body;  /* JSON for a URL; NULL: GET */
    const char *input; /* standard input of a program; NULL: none */
    unsigned timeout_ms;
    uid_t uid; /* a program's; 0: this process's own ids */
    gid_t gid;
};

struct hook_answer {
    int status; /* a program's exit status (128 + n: killed by signal n), or the HTTP status */
    char *text; /* owned, NUL-terminated; never NULL after a success */
    size_t len;
};

/* hook_is_valid - an absolute path, or an http:// or https:// URL with a host. hook_is_url - the latter. */
bool hook_is_valid(const char *hook);
bool hook_is_url(const char *hook);

/* hook_run - 0 when the hook has run, whatever its status; -ETIMEDOUT, -E2BIG (of the answer or of what it is told),
 * -ENOENT, -EACCES and others of execve; -EHOSTUNREACH (the server does not answer), -ENOSYS (no libcurl here). */
int hook_run(const struct hook_request *q, struct hook_answer *ret) MUST_CHECK;
void hook_answer_done(struct hook_answer *a);

/* hook_accepted - exit status 0, or HTTP status 200. */
bool hook_accepted(const struct hook_request *q, const struct hook_answer *a);

/* Hooks whose answer nobody waits for: a queue with threads of its own. What finds it full is dropped and logged. */
struct hook_queue;
int hook_queue_new(unsigned threads, struct hook_queue **ret) MUST_CHECK;

/* hook_queue_free - what waits is dropped; waits for those that run (each has its time limit). NULL: nothing. */
void hook_queue_free(struct hook_queue *q);

/* hook_later - copies the request. 0, -ENOMEM, -EAGAIN (full; logged). A hook that fails then is logged. */
int hook_later(struct hook_queue *q, const struct hook_request *r);
