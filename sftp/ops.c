/* What each request needs, and who does it: contract/sftp-quota.md §2.2 as rows. */
#include <string.h>

#include "sftp/request.h"

enum { MAY_REMOVE_FILE = MAY_DELETE | MAY_DELETE_FILES, MAY_REMOVE_DIR = MAY_DELETE | MAY_DELETE_DIRS };

/* name, where, follow, any_of, mutates, handle */
static const struct sftp_op ops[] = {
    [FXP_OPEN] = { "open", CHECKS_ITSELF, true, 0, false, op_open, NULL }, /* only the target knows which right */
    [FXP_CLOSE] = { "close", ON_HANDLE, false, 0, false, op_close, NULL },
    [FXP_READ] = { "read", ON_HANDLE, false, 0, false, op_read, NULL },
    [FXP_WRITE] = { "write", ON_HANDLE, false, 0, true, op_write, NULL },
    [FXP_LSTAT] = { "lstat", ON_PARENT, false, MAY_LIST, false, op_lstat, NULL },
    [FXP_FSTAT] = { "fstat", ON_HANDLE, false, 0, false, op_fstat, NULL },
    [FXP_SETSTAT] = { "setstat", ON_PARENT, true, 0, true, op_setstat, NULL }, /* each attribute has its right */
    [FXP_FSETSTAT] = { "fsetstat", ON_HANDLE, false, 0, true, op_fsetstat, NULL },
    [FXP_OPENDIR] = { "opendir", ON_SELF, true, MAY_LIST, false, op_opendir, NULL },
    [FXP_READDIR] = { "readdir", ON_HANDLE, false, 0, false, op_readdir, NULL },
    [FXP_REMOVE] = { "remove", ON_PARENT, false, MAY_REMOVE_FILE, true, op_remove, NULL },
    [FXP_MKDIR] = { "mkdir", ON_PARENT, false, MAY_CREATE_DIRS, true, op_mkdir, NULL },
    [FXP_RMDIR] = { "rmdir", ON_PARENT, false, MAY_REMOVE_DIR, true, op_rmdir, NULL },
    [FXP_REALPATH] = { "realpath", CHECKS_ITSELF, false, 0, false, op_realpath, NULL },
    [FXP_STAT] = { "stat", ON_PARENT, true, MAY_LIST, false, op_stat, NULL },
    [FXP_RENAME] = { "rename", ON_PARENT, false, 0, true, op_rename, NULL },
    [FXP_READLINK] = { "readlink", ON_PARENT, false, MAY_LIST, false, op_readlink, NULL },
    [FXP_SYMLINK] = { "symlink", ON_NOTHING, false, 0, true, op_symlink, NULL }, /* its first path is a link's text */
};

const struct sftp_op extensions[] = {
    { "posix-rename@openssh.com", ON_PARENT, false, 0, true, op_rename, "1" },
    { "statvfs@openssh.com", ON_PARENT, true, 0, false, ext_statvfs, "2" },
    { "fstatvfs@openssh.com", ON_HANDLE, false, 0, false, ext_fstatvfs, "2" },
    { "hardlink@openssh.com", ON_PARENT, false, 0, true, ext_hardlink, "1" },
    { "fsync@openssh.com", ON_HANDLE, false, 0, true, ext_fsync, "1" },
    { "lsetstat@openssh.com", ON_PARENT, false, 0, true, ext_lsetstat, "1" },
    { "limits@openssh.com", ON_NOTHING, false, 0, false, ext_limits, "1" },
    { "expand-path@openssh.com", ON_NOTHING, false, 0, false, ext_expand_path, "1" },
    { "copy-data", ON_HANDLE, false, 0, true, ext_copy_data, "1" },
    { "check-file-handle", ON_HANDLE, false, 0, false, ext_check_handle, "1" },
    { "check-file-name", CHECKS_ITSELF, true, 0, false, ext_check_name, "1" },
    { "check-file", ON_HANDLE, false, 0, false, ext_check_handle, NULL }, /* as paramiko says it */
    { "home-directory", ON_NOTHING, false, 0, false, ext_home_directory, "1" },
    { "users-groups-by-id@openssh.com", ON_NOTHING, false, 0, false, ext_users_groups, "1" },
    { 0 },
};

const struct sftp_op *sftp_op_of(uint8_t type)
{
    return type < ARRAY_SIZE(ops) && ops[type].handle ? &ops[type] : NULL;
}

const struct sftp_op *extension_of(const uint8_t *name, size_t len)
{
    for (const struct sftp_op *x = extensions; x->name; x++)
        if (strlen(x->name) == len && memcmp(x->name, name, len) == 0)
            return x;
    return NULL;
}
