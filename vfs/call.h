/* One request of the kernel: who asks, what it is, and that it is answered exactly once.
 *
 *   static void vop_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
 *   {
 *       CALL(c, OP_UNLINK);
 *       c.r = dir_unlink(&c, parent, name);
 *   }
 *
 * The scope's end replies with the errno in `r` unless ANSWER() has replied, and counts. A fuse_reply_* consumes the
 * request even when sending fails, so ANSWER() marks it replied whatever comes back. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "vfs/core.h"

/* The order is that of the metric's label values (base/metric.c). */
enum op {
    OP_LOOKUP,
    OP_FORGET,
    OP_GETATTR,
    OP_SETATTR,
    OP_READLINK,
    OP_SYMLINK,
    OP_MKNOD,
    OP_MKDIR,
    OP_UNLINK,
    OP_RMDIR,
    OP_RENAME,
    OP_LINK,
    OP_CREATE,
    OP_TMPFILE,
    OP_OPEN,
    OP_READ,
    OP_WRITE,
    OP_RELEASE,
    OP_FSYNC,
    OP_FALLOCATE,
    OP_COPY_FILE_RANGE,
    OP_LSEEK,
    OP_OPENDIR,
    OP_READDIR,
    OP_READDIRPLUS,
    OP_RELEASEDIR,
    OP_FSYNCDIR,
    OP_STATFS,
    OP_SETXATTR,
    OP_GETXATTR,
    OP_LISTXATTR,
    OP_REMOVEXATTR,
    OPS
};
extern const char *const op_names[OPS + 1]; /* ends with NULL */

struct caller {
    uid_t uid;
    gid_t gid;
    uint32_t pid; /* of the thread */
    mode_t umask;
};

struct call {
    fuse_req_t req;
    struct vfs *vfs;
    struct caller who;
    enum op op;
    bool replied;
    int r;
    uint64_t unique;  /* without the resend bit */
    bool is_resent;   /* an earlier incarnation may have run it already */
    uint32_t journal; /* 1 + its slot; 0: none (journal.h) */
};

struct call call_begin(fuse_req_t req, enum op op);
void call_end(struct call *c);

#define CALL(c, op)      CLEANUP(call_end) struct call c = call_begin(req, op)
#define ANSWER(c, reply) ((c).replied = true, (c).r = (reply))

/* caller_become - objects made by this thread belong to the caller until caller_done(): fsuid, fsgid and umask, of this
 * thread only; capabilities stay, since the kernel has checked permissions already. */
void caller_become(const struct caller *who);
void caller_done(void);
