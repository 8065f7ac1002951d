/* Backup and restore: files of dumps, and what follows a restore.
 *
 * Dumps are written below data_provider.backups_path only, whole or not at all (a temporary file that is renamed), mode
 * 0600 in directories of 0700. A restore is the store's (store/dump.h); here the other roles are told what has changed,
 * in batches of BACKUP_BATCH, and scans are asked for one after the other in the background.
 *
 * Threads: any worker; all calls block.
 * Source:  contract/rest.md §5. */
#pragma once

#include "api/apid.h"
#include "store/dump.h"

enum { BACKUP_BATCH = 100, BACKUP_DEPTH_MAX = 32 };

/* backup_name_check - NULL, or why this is no name of a file to write: "it must be a relative path". */
const char *backup_name_check(const char *name);

/* backup_write - replaces a file below backups_path. Negative errnos of the file system. */
int backup_write(const struct config *c, const char *name, const char *text, size_t len) MUST_CHECK;

/* backup_open - a regular file to read; -EISDIR, -EINVAL (another kind), -ENOENT, -EACCES. */
int backup_open(const char *path) MUST_CHECK;

/* backup_read - appends a file from its beginning. -E2BIG: larger than to->max. */
int backup_read(int fd, struct strbuf *to) MUST_CHECK;

enum restore_mode { MODE_REPLACE = 0, MODE_ADD = 1, MODE_DISCONNECT = 2 }; /* others act as MODE_REPLACE */
enum restore_scan { SCAN_USERS_NONE = 0, SCAN_USERS_ALL = 1, SCAN_USERS_LIMITED = 2 };

struct restore_request {
    int64_t mode;
    int64_t scan_quota; /* folders are scanned for any value of 1 or more */
    bool skip_unsupported;
};

/* restore_run - into the store, and what was left out into the log. As dump_restore(). */
int restore_run(struct store *s, const char *text, size_t len, const struct restore_request *q, struct restore *ret,
                struct why *reterr_why) MUST_CHECK;

/* restore_at_start - a file before anything is served. -EBADMSG (logged): it was refused, and nothing has changed. */
int restore_at_start(struct store *s, const struct config *c, const struct apid_restore *from,
                     struct restore *ret) MUST_CHECK;

/* restore_tell - the other roles and the cached administrators learn of what came in. */
void restore_tell(struct apid *a, const struct restore *done, int64_t mode);

/* restore_scan - asks for the scans of a request, in the background; waits for a vfs role that still starts. */
void restore_scan(struct apid *a, const struct restore *done, int64_t scan_quota);
