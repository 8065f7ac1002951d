/* An open file of a session: opened by the account's rights, read and written, put into place when it is closed.
 *
 * Upload modes: 0 writes the file itself. 1 and 2 (atomic) write a new or truncated file under a name of its own
 * beside the target, `.tally-upload.<random>.<name>`, and rename it into place in home_file_close(); until then the
 * original stays. A write that was refused (quota, disk) removes the temporary file; an upload that the client breaks
 * off removes it in mode 1 and puts it into place in mode 2. An existing file that is opened without truncation
 * (resume, random access) is written in place in every mode.
 *
 * Errors:   those of the system, untouched; *reterr_text (may be NULL) gets a sentence where the errno says too
 *           little.
 * Lifetime: a file is owned by who opened it; home_file_close() and home_file_abort() free it. It borrows the account.
 * Source:   contract/sftp-quota.md §1.3, §2.2. */
#pragma once

#include "sftp/account.h"

enum home_file_how {
    FILE_READ = 1 << 0,
    FILE_WRITE = 1 << 1,
    FILE_APPEND = 1 << 2,
    FILE_CREATE = 1 << 3,
    FILE_TRUNCATE = 1 << 4,
    FILE_EXCLUSIVE = 1 << 5,
    FILE_SUM = 1 << 6, /* read here only, for a sum: no transfer to others */
};

#define UPLOAD_PREFIX ".tally-upload."

struct home_file {
    int fd;
    unsigned how; /* enum home_file_how */
    bool may_read;
    char *path;      /* as the client named it */
    struct place at; /* where it is, or will be */
    char *temp;      /* its name in at.dir until it is put into place; NULL: it is there */
    int failed;      /* the first write that was refused; 0 */
    bool told;       /* and the person at the client has a line about it */
    struct transfer transfer;
    bool has_times; /* asked for while it was open for writing: set again when it is closed */
    struct timespec times[2];
};

/* home_file_open - `mode` 0: the default. */
int home_file_open(struct account *a, const char *path, unsigned how, mode_t mode, struct home_file **ret,
                   const char **reterr_text) MUST_CHECK;
ssize_t home_file_read(struct account *a, struct home_file *f, void *buf, size_t len, uint64_t off) MUST_CHECK;

/* home_file_write - all of it, or an error: a part that did not fit is an error, too. */
int home_file_write(struct account *a, struct home_file *f, const void *buf, size_t len, uint64_t off,
                    const char **reterr_text) MUST_CHECK;
int home_file_resize(struct account *a, struct home_file *f, uint64_t size) MUST_CHECK;

/* home_file_close - the client is done: what was refused before, or what close and rename say. */
int home_file_close(struct account *a, struct home_file *f) MUST_CHECK;
void home_file_abort(struct account *a, struct home_file *f);

/* open_set_mode, open_set_times - of an open file or directory. Not by its magic link, as sys.h does it for O_PATH: a
 * session has no /proc. */
int open_set_mode(int fd, mode_t mode) MUST_CHECK;
int open_set_times(int fd, const struct timespec ts[2]) MUST_CHECK;

/* home_file_size_allowed - max_upload_file_size. 0 or -EFBIG. */
int home_file_size_allowed(const struct account *a, uint64_t size) MUST_CHECK;
