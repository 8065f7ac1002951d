/* The handlers, as op.c puts them into the table. Private. */
#pragma once

#include "vfs/op.h"

/* op_names.c */
void vop_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void vop_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void vop_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets);
void vop_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void vop_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev);
void vop_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void vop_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void vop_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void vop_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void vop_rename(fuse_req_t req, fuse_ino_t from, const char *from_name, fuse_ino_t to, const char *to_name,
                unsigned int flags);
void vop_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void vop_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void vop_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void vop_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void vop_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* op_files.c */
void vop_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void vop_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void vop_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void vop_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void vop_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t off, struct fuse_file_info *fi);
void vop_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void vop_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void vop_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void vop_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
                         off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags);
void vop_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

/* op_attrs.c */
void vop_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void vop_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi);
void vop_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what, struct fuse_file_info *fi);
void vop_readlink(fuse_req_t req, fuse_ino_t ino);
void vop_statfs(fuse_req_t req, fuse_ino_t ino);
void vop_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void vop_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void vop_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void vop_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
