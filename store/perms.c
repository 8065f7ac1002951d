/* Names and bits of the rights on paths and of administrators, in the order of contract/rest.md §4.2 and §4.6. */
#include <string.h>

#include "store/entities.h"
#include "store/rules.h"

const struct perm_row path_perms[] = {
    { MAY_ALL, "*", "everything" },
    { MAY_LIST, "list", "read directories and attributes" },
    { MAY_DOWNLOAD, "download", "read files" },
    { MAY_UPLOAD, "upload", "create files" },
    { MAY_OVERWRITE, "overwrite", "write to files that exist" },
    { MAY_CREATE_DIRS, "create_dirs", "create directories" },
    { MAY_RENAME, "rename", "rename files and directories" },
    { MAY_RENAME_FILES, "rename_files", "rename files" },
    { MAY_RENAME_DIRS, "rename_dirs", "rename directories" },
    { MAY_DELETE, "delete", "remove files and directories" },
    { MAY_DELETE_FILES, "delete_files", "remove files" },
    { MAY_DELETE_DIRS, "delete_dirs", "remove directories" },
    { MAY_CREATE_SYMLINKS, "create_symlinks", "create symbolic links" },
    { MAY_CHMOD, "chmod", "change modes" },
    { MAY_CHOWN, "chown", "change owner and group" },
    { MAY_CHTIMES, "chtimes", "change times" },
    { 0, NULL, NULL },
};

const struct perm_row admin_perms[] = {
    { ADM_ALL, "*", "everything" },
    { ADM_ADD_USERS, "add_users", "create users and folders" },
    { ADM_EDIT_USERS, "edit_users", "change users, folders and their usage" },
    { ADM_DEL_USERS, "del_users", "remove users and folders" },
    { ADM_VIEW_USERS, "view_users", "read users and folders" },
    { ADM_VIEW_CONNS, "view_conns", "list live connections" },
    { ADM_CLOSE_CONNS, "close_conns", "close live connections" },
    { ADM_VIEW_STATUS, "view_status", "read the server's status" },
    { ADM_MANAGE_ADMINS, "manage_admins", "create, change and remove administrators" },
    { ADM_QUOTA_SCANS, "quota_scans", "list and start recounts" },
    { ADM_MANAGE_SYSTEM, "manage_system", "dump and restore" },
    { ADM_MANAGE_DEFENDER, "manage_defender", "remove addresses from the defender" },
    { ADM_VIEW_DEFENDER, "view_defender", "list the defender's addresses" },
    { ADM_MANAGE_APIKEYS, "manage_apikeys", "create, change and remove API keys" },
    { ADM_RETENTION_CHECKS, "retention_checks", "list and start retention checks" },
    { ADM_VIEW_EVENTS, "view_events", "read events" },
    { 0, NULL, NULL },
};

uint32_t perm_of(const struct perm_row *rows, const char *name)
{
    for (const struct perm_row *row = rows; row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row->bit;
    return 0;
}

int perms_of(const struct perm_row *rows, const struct strings *names, uint32_t *ret)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < names->n; i++) {
        uint32_t bit = perm_of(rows, names->v[i]);
        if (bit == 0)
            return -EINVAL;
        bits |= bit;
    }
    *ret = bits;
    return 0;
}

size_t perms_write(const struct perm_row *rows, uint32_t bits, const char **to)
{
    size_t n = 0;

    for (const struct perm_row *row = rows; row->name; row++) {
        if ((bits & row->bit) != row->bit)
            continue;
        to[n++] = row->name;
        if (row == rows) /* "*" says it all */
            break;
    }
    return n;
}
