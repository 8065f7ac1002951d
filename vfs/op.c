/* The table, and what is agreed with the kernel at the start.
 *
 * Not there on purpose: flush (locks are the kernel's; ENOSYS makes it stop asking), access (default_permissions),
 * getlk, setlk, flock (the kernel's own), ioctl, poll, bmap. */
#include "vfs/op.h"

#include "vfs/op_rows.h"

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
#define WANT(conn, cap) fuse_set_feature_flag(conn, cap)
#else
#define WANT(conn, cap) ((conn)->capable & (cap) ? ((conn)->want |= (unsigned)(cap), true) : false)
#endif

enum { MAX_WRITE = 1 << 20, MAX_BACKGROUND = 65535, CONGESTION = 49151 };

static const uint64_t wanted[] = {
    FUSE_CAP_EXPORT_SUPPORT, /* look-ups of "." and ".." of any node id */
    FUSE_CAP_ATOMIC_O_TRUNC, /* one request, so one change of the counter */
    FUSE_CAP_PARALLEL_DIROPS,
    FUSE_CAP_READDIRPLUS,
    FUSE_CAP_READDIRPLUS_AUTO,
    FUSE_CAP_CACHE_SYMLINKS,
    FUSE_CAP_ASYNC_DIO,
    FUSE_CAP_AUTO_INVAL_DATA,
    FUSE_CAP_POSIX_ACL, /* checked by the kernel, kept by the backing file system */
    FUSE_CAP_DONT_MASK, /* the umask counts only where there is no default ACL */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
    FUSE_CAP_HANDLE_KILLPRIV_V2, /* else each write asks for security.capability first */
    FUSE_CAP_DIRECT_IO_ALLOW_MMAP,
#endif
};

static bool passthrough_want(const struct vfs *v, struct fuse_conn_info *conn)
{
    if (!v->config->vfs.passthrough)
        return false;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    conn->max_backing_stack_depth = 0;
    return WANT(conn, FUSE_CAP_PASSTHROUGH);
#else
    (void)conn;
    return false;
#endif
}

void vop_init(void *userdata, struct fuse_conn_info *conn)
{
    struct vfs *v = userdata;

    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        IGNORE(WANT(conn, wanted[i]), "what the kernel lacks, it does without");
    v->passthrough = passthrough_want(v, conn);
    if (!v->passthrough)
        log_info("no passthrough (%s): files are read and written through the daemon",
                 v->config->vfs.passthrough ? "the kernel or libfuse lacks it" : "vfs.passthrough is false");
    conn->max_write = MAX_WRITE;
    conn->max_background = MAX_BACKGROUND; /* releases and forgets must not queue behind twelve others */
    conn->congestion_threshold = CONGESTION;
    conn->time_gran = 1;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    conn->no_interrupt = 1;
#endif
}

const struct fuse_lowlevel_ops op_table = {
    .init = vop_init,
    .lookup = vop_lookup,
    .forget = vop_forget,
    .forget_multi = vop_forget_multi,
    .getattr = vop_getattr,
    .setattr = vop_setattr,
    .readlink = vop_readlink,
    .mknod = vop_mknod,
    .mkdir = vop_mkdir,
    .unlink = vop_unlink,
    .rmdir = vop_rmdir,
    .symlink = vop_symlink,
    .rename = vop_rename,
    .link = vop_link,
    .create = vop_create,
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    .tmpfile = vop_tmpfile,
#endif
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
    .statx = vop_statx,
#endif
    .open = vop_open,
    .read = vop_read,
    .write = vop_write,
    .release = vop_release,
    .fsync = vop_fsync,
    .opendir = vop_opendir,
    .readdir = vop_readdir,
    .readdirplus = vop_readdirplus,
    .releasedir = vop_releasedir,
    .fsyncdir = vop_fsyncdir,
    .statfs = vop_statfs,
    .setxattr = vop_setxattr,
    .getxattr = vop_getxattr,
    .listxattr = vop_listxattr,
    .removexattr = vop_removexattr,
    .fallocate = vop_fallocate,
    .copy_file_range = vop_copy_file_range,
    .lseek = vop_lseek,
};
