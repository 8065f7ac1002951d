/* The account that a session works for: its home, its rights, its limits. Shared by SFTP, SCP and the SSH commands.
 *
 * Rights are those of the virtual path that the client names AND of the real one it leads to, so that a link gives no
 * more than its target. A refusal is a negative errno and, where the errno says too little, a sentence.
 *
 * Source: contract/sftp-quota.md §2.2, §2.6. */
#pragma once

#include "sftp/activity.h"
#include "sftp/home.h"
#include "store/entities.h"

enum { UPLOAD_STANDARD, UPLOAD_ATOMIC, UPLOAD_ATOMIC_RESUME };
enum { SETSTAT_DO, SETSTAT_IGNORE };

/* A token bucket: `rate` bytes a second, one second of burst. All zero: no limit. */
struct bucket {
    uint64_t rate;
    int64_t tokens; /* negative: in debt */
    uint64_t filled_ns;
};

void bucket_take(struct bucket *b, uint64_t bytes);
unsigned bucket_wait_ms(struct bucket *b); /* 0: go on */

struct account {
    struct home home;
    const struct user *user; /* borrowed: rights, patterns, limits */
    struct activity *activity;
    uint32_t upload_mode, setstat_mode;
    const struct strings *ssh_commands; /* borrowed: those that may run, "*" is all; NULL: all */
    bool read_only;
    struct bucket up, down;
    uid_t uid;
    gid_t gid;
};

/* account_rights - what is allowed in the directory that holds both paths' last names. */
uint32_t account_rights(const struct account *a, const char *path, const char *real);

/* account_rights_at - the same for the directory itself. */
uint32_t account_rights_at(const struct account *a, const char *path, const char *real);

/* account_file_allowed - do the file patterns allow these names? 0 or -EACCES. */
int account_file_allowed(const struct account *a, const char *path, const char *real) MUST_CHECK;

/* account_may_remove - rights of the parent against the type. 0 or -EACCES. */
int account_may_remove(uint32_t rights, mode_t type) MUST_CHECK;

/* account_may_rename - the rules of renaming `from` to `to`; to_type is 0 if nothing is there. 0, -EACCES, or
 * -EOPNOTSUPP (onto a directory). */
struct rename_ends {
    const char *from, *from_real, *to, *to_real;
    mode_t from_type, to_type;
};
int account_may_rename(const struct account *a, const struct rename_ends *e) MUST_CHECK;

/* account_may_link - may a link at `path` name `target`? Not if it would give rights that the target does not have. */
int account_may_link(const struct account *a, const char *path, const char *target) MUST_CHECK;

/* account_wait_ms - how long the bandwidth limits want us to wait. */
unsigned account_wait_ms(struct account *a);
