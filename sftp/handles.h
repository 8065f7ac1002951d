/* The handles of one SFTP session: files and directories by a name that only this session can have got.
 *
 * A handle on the wire is 8 bytes: the slot and a serial number that no other handle of the session has or will have.
 * Limits: HANDLES_MAX open at once. */
#pragma once

#include "sftp/home_file.h"
#include "sftp/packet.h"

enum { HANDLES_MAX = 1000, HANDLE_BYTES = 8 };

/* An open directory. */
struct dir {
    int fd;
    char *path; /* as the client named it */
    char *real;
    size_t used, filled; /* of the names that getdents gave */
    bool ended;
    uint8_t names[16384] __attribute__((aligned(8)));
};

struct open_item {
    uint32_t serial;        /* 0: free */
    struct home_file *file; /* owned; one of the two */
    struct dir *dir;        /* owned */
};

struct handles {
    struct open_item *v; /* grows to HANDLES_MAX */
    size_t room, n;
    uint32_t last_serial;
};

/* handles_add - takes file or dir (moved on success). -EMFILE, -ENOMEM. */
int handles_add(struct handles *h, struct home_file *file, struct dir *dir, uint8_t ret_name[HANDLE_BYTES]) MUST_CHECK;

/* handles_find - borrowed; NULL for a name that is none. */
struct open_item *handles_find(struct handles *h, const uint8_t *name, size_t len);

/* handles_remove - frees the slot; file and dir are the caller's again. */
void handles_remove(struct handles *h, struct open_item *item);

/* handles_uploading - the file that is being uploaded to a real path under a temporary name; NULL: none. */
struct home_file *handles_uploading(const struct handles *h, const char *real);

/* handles_writing - the file that is open for writing at a real path; NULL: none. */
struct home_file *handles_writing(const struct handles *h, const char *real);

/* handles_done - aborts what is open. */
void handles_done(struct handles *h, struct account *a);
void dir_free(struct dir *d);
