/* Inside the engine: one request, the tables that say what it is, and the handlers. */
#pragma once

#include "sftp/attrs.h"
#include "sftp/engine.h"
#include "sftp/handles.h"
#include "sftp/notice.h"

/* A copy on the server that is under way. */
struct copying {
    bool active;
    uint32_t id;                 /* of the request */
    struct home_file *from, *to; /* borrowed: no other request runs meanwhile */
    uint64_t from_off, to_off, left;
    bool to_end;
};

/* Sums of a file that are being computed. */
struct checking {
    bool active;
    uint32_t id;            /* of the request */
    struct home_file *file; /* of a handle: borrowed, no other request runs meanwhile */
    bool owns_file;
    int algorithm;
    uint64_t off, left, block, block_left; /* block 0: the whole range is one */
    bool in_block;                         /* bytes of it were read */
    struct evp_md_ctx_st *md;
    struct queue sums;
};

struct engine {
    struct account *account; /* borrowed */
    struct queue in, out;
    struct handles handles;
    struct copying copying;
    struct checking checking;
    struct notices notices;
    bool greeted; /* INIT came */
};

enum where {
    ON_NOTHING,    /* no path, no handle */
    ON_SELF,       /* a path; rights of the directory itself */
    ON_PARENT,     /* a path; rights of its directory */
    ON_HANDLE,     /* a handle: rights were checked when it was opened */
    CHECKS_ITSELF, /* a path; the handler looks at rights */
};

struct request {
    uint32_t id;
    struct packet_in in;    /* what the handler has not read yet */
    char *path;             /* clean, as the client named it; NULL without a path */
    struct place at;        /* where that is; dir -1 without a path */
    uint32_t rights;        /* there */
    struct open_item *item; /* ON_HANDLE */
    const char *text;       /* sentence of a refusal, static; NULL: that of the errno */
};

/* Handlers return 0: answer OK; ANSWERED: it did; negative errno: answer that. */
enum { ANSWERED = 1 };
typedef int request_fn(struct engine *e, struct request *rq);

struct sftp_op {
    const char *name; /* as on the wire, for extensions; in the log */
    enum where where;
    bool follow;     /* a symbolic link at the end of the path */
    uint32_t any_of; /* one of these suffices; 0: no right is needed */
    bool mutates;    /* refused where writing is off */
    request_fn *handle;
    const char *version; /* extensions: what VERSION announces */
};

/* sftp_op_of - the row of a packet type, or NULL. extension_of - of an extension by its name. */
const struct sftp_op *sftp_op_of(uint8_t type);
const struct sftp_op *extension_of(const uint8_t *name, size_t len);
extern const struct sftp_op extensions[]; /* ends with name NULL */

/* request_path - the next string of the request as a clean path. -EBADMSG, -EINVAL, -ENAMETOOLONG, -ENOMEM. */
int request_path(struct request *rq, char **ret) MUST_CHECK;

/* reply_name - one name without attributes; reply_attrs - attributes. Both return ANSWERED. */
int reply_name(struct engine *e, const struct request *rq, const char *name);
int reply_attrs(struct engine *e, const struct request *rq, const struct stat *st);
int reply_handle(struct engine *e, const struct request *rq, const uint8_t name[HANDLE_BYTES]);
void reply_status(struct engine *e, uint32_t id, int r, const char *text); /* r > 0: that SSH_FX code */

request_fn op_open, op_close, op_read, op_write, op_fstat, op_fsetstat;
request_fn op_lstat, op_stat, op_setstat, op_remove, op_mkdir, op_rmdir, op_realpath, op_rename, op_readlink,
    op_symlink;
request_fn op_opendir, op_readdir;
request_fn ext_statvfs, ext_fstatvfs, ext_hardlink, ext_fsync, ext_lsetstat, ext_limits, ext_expand_path, ext_copy_data,
    ext_home_directory, ext_users_groups, ext_check_handle, ext_check_name;

/* file_notice - a line for the person at the client about an open file, the first time only. */
void file_notice(struct engine *e, struct home_file *f, int r, const char *text);

/* copying_step - goes on with a copy; answers its request at the end. */
void copying_step(struct engine *e);

/* checking_step - goes on with sums; answers their request at the end. checking_abort - drops them. */
void checking_step(struct engine *e);
void checking_abort(struct engine *e);

enum { EOF_REACHED = -100000 }; /* a handler's way to say SSH_FX_EOF: no errno is that low */
