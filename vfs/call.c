/* fsuid and fsgid are a thread's own at the kernel's door; glibc's wrappers would set them so, too, but only the raw
 * calls promise it. The umask belongs to the file system context, which a worker has unshared (transport.c). Setting
 * fsuid away from 0 would drop CAP_DAC_OVERRIDE; SECBIT_NO_SETUID_FIXUP, set once for each worker, keeps it: the
 * caller may reach the directory by a supplementary group that we do not know. The umask of the request counts only
 * where the directory has no default ACL: ext4 decides that when it creates, exactly as for a local caller. */
#include "vfs/call.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfs/journal.h"
#include "vfs/transport.h"

const char *const op_names[OPS + 1] = {
    [OP_LOOKUP] = "lookup",
    [OP_FORGET] = "forget",
    [OP_GETATTR] = "getattr",
    [OP_SETATTR] = "setattr",
    [OP_READLINK] = "readlink",
    [OP_SYMLINK] = "symlink",
    [OP_MKNOD] = "mknod",
    [OP_MKDIR] = "mkdir",
    [OP_UNLINK] = "unlink",
    [OP_RMDIR] = "rmdir",
    [OP_RENAME] = "rename",
    [OP_LINK] = "link",
    [OP_CREATE] = "create",
    [OP_TMPFILE] = "tmpfile",
    [OP_OPEN] = "open",
    [OP_READ] = "read",
    [OP_WRITE] = "write",
    [OP_RELEASE] = "release",
    [OP_FSYNC] = "fsync",
    [OP_FALLOCATE] = "fallocate",
    [OP_COPY_FILE_RANGE] = "copy_file_range",
    [OP_LSEEK] = "lseek",
    [OP_OPENDIR] = "opendir",
    [OP_READDIR] = "readdir",
    [OP_READDIRPLUS] = "readdirplus",
    [OP_RELEASEDIR] = "releasedir",
    [OP_FSYNCDIR] = "fsyncdir",
    [OP_STATFS] = "statfs",
    [OP_SETXATTR] = "setxattr",
    [OP_GETXATTR] = "getxattr",
    [OP_LISTXATTR] = "listxattr",
    [OP_REMOVEXATTR] = "removexattr",
};

struct call call_begin(fuse_req_t req, enum op op)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    uint64_t unique = transport_unique();

    return (struct call){ .req = req,
                          .vfs = fuse_req_userdata(req),
                          .who = { .uid = ctx->uid, .gid = ctx->gid, .pid = (uint32_t)ctx->pid, .umask = ctx->umask },
                          .op = op,
                          .unique = unique & ~UNIQUE_RESENT,
                          .is_resent = (unique & UNIQUE_RESENT) != 0 };
}

void call_end(struct call *c)
{
    if (!c->replied)
        fuse_reply_err(c->req, c->r < 0 ? -c->r : 0);
    journal_end(c);
    metric_add(M_VFS_REQUESTS, c->op, 1);
    if (c->r == -EDQUOT)
        metric_add(M_VFS_REFUSED, 0, 1);
    else if (c->r == -EIO || c->r == -ENOMEM)
        metric_add(M_VFS_ERRORS, 0, 1);
}

void caller_become(const struct caller *who)
{
    umask(who->umask & 0777);
    syscall(SYS_setfsgid, who->gid);
    syscall(SYS_setfsuid, who->uid);
}

void caller_done(void)
{
    syscall(SYS_setfsuid, 0);
    syscall(SYS_setfsgid, 0);
    umask(077);
}
