/* The entities of the store: users, folders, admins, with all members of contract/rest.md §4, and their rules.
 *
 * One field table an entity (entities.c, user_fields.c) gives JSON both ways, limits and validation. Names of members
 * follow the contract, with units where the contract has none.
 *
 * Ownership: everything in an entity belongs to it; schema_done(&user_schema, &u) or user_done() frees.
 * Units:     *_ms Unix milliseconds, 0 unset; quota_size bytes; bandwidth KB/s; 0 means no limit. */
#pragma once

#include "base/field.h"

/* Rights on paths (contract/rest.md §4.2): bits, in the order of the contract. */
enum {
    MAY_LIST = 1 << 0,
    MAY_DOWNLOAD = 1 << 1,
    MAY_UPLOAD = 1 << 2,
    MAY_OVERWRITE = 1 << 3,
    MAY_CREATE_DIRS = 1 << 4,
    MAY_RENAME = 1 << 5,
    MAY_RENAME_FILES = 1 << 6,
    MAY_RENAME_DIRS = 1 << 7,
    MAY_DELETE = 1 << 8,
    MAY_DELETE_FILES = 1 << 9,
    MAY_DELETE_DIRS = 1 << 10,
    MAY_CREATE_SYMLINKS = 1 << 11,
    MAY_CHMOD = 1 << 12,
    MAY_CHOWN = 1 << 13,
    MAY_CHTIMES = 1 << 14,
    MAY_ALL = (1 << 15) - 1,
};

/* Rights of administrators (contract/rest.md §4.6). ADM_PUBLIC admits everybody, ADM_ANY any valid admin
 * token. */
enum {
    ADM_ADD_USERS = 1 << 0,
    ADM_EDIT_USERS = 1 << 1,
    ADM_DEL_USERS = 1 << 2,
    ADM_VIEW_USERS = 1 << 3,
    ADM_VIEW_CONNS = 1 << 4,
    ADM_CLOSE_CONNS = 1 << 5,
    ADM_VIEW_STATUS = 1 << 6,
    ADM_MANAGE_ADMINS = 1 << 7,
    ADM_QUOTA_SCANS = 1 << 8,
    ADM_MANAGE_SYSTEM = 1 << 9,
    ADM_MANAGE_DEFENDER = 1 << 10,
    ADM_VIEW_DEFENDER = 1 << 11,
    ADM_MANAGE_APIKEYS = 1 << 12,
    ADM_RETENTION_CHECKS = 1 << 13,
    ADM_VIEW_EVENTS = 1 << 14,
    ADM_ALL = (1 << 15) - 1,
    ADM_ANY = 1 << 30,
    ADM_PUBLIC = 1 << 29,
    ADM_USER = 1 << 28, /* no administrator: a user, for itself */
};

struct perm_row {
    uint32_t bit;
    const char *name;
    const char *meaning;
};
extern const struct perm_row path_perms[];  /* "*" first; ends with name NULL */
extern const struct perm_row admin_perms[]; /* likewise */

/* perms_of - bits of a list of names; -EINVAL if one is unknown. */
int perms_of(const struct perm_row *rows, const struct strings *names, uint32_t *ret) MUST_CHECK;

/* One entry of a user's "permissions" map: an absolute clean directory and what is allowed there. */
struct dir_perms {
    char *path;
    uint32_t perms;
};
struct dir_perms_map {
    struct dir_perms *v; /* sorted by path */
    size_t n;
};

struct pattern_filter {
    char *path;
    struct strings allowed_patterns, denied_patterns; /* lower-cased */
};

struct hooks_filter {
    bool external_auth_disabled, pre_login_disabled, check_password_disabled;
};

struct secret {
    char *status, *payload, *key, *additional_data;
    int32_t mode;
};

struct totp_config {
    bool enabled;
    char *config_name;
    struct secret secret;
    struct strings protocols;
};

struct recovery_code {
    struct secret secret;
    bool used;
};

struct user_filters {
    struct strings allowed_ip, denied_ip; /* CIDR */
    struct strings denied_login_methods, denied_protocols;
    struct objects file_patterns; /* struct pattern_filter */
    int64_t max_upload_file_size;
    char *tls_username;
    struct hooks_filter hooks;
    bool disable_fs_checks;
    struct strings web_client;
    bool allow_api_key_auth;
    struct totp_config totp_config;
    struct objects recovery_codes; /* struct recovery_code */
    char *user_type;
};

/* Only the local file system; another provider is refused and named. The empty sub-configurations are rendered. */
struct filesystem {
    int32_t provider;
};

struct folder {
    int64_t id;
    char *name;
    char *mapped_path;
    char *description;
    /* read-only, from the usage map: 0 in the store */
    int64_t used_quota_size, used_quota_files, last_quota_update_ms;
    struct strings users; /* read-only, filled by folder_load */
    struct filesystem filesystem;
};

/* A folder as a user includes it. */
struct virtual_folder {
    struct folder folder;
    char *virtual_path;
    int64_t quota_size, quota_files; /* -1 both: in the user's quota; 0: no limit */
};

struct user {
    int64_t id;
    int32_t status; /* 1 enabled, 0 disabled */
    char *username;
    char *email;
    int64_t expiration_date_ms;
    char *password; /* hash, once stored */
    struct strings public_keys;
    char *home_dir;
    int64_t uid, gid; /* 0: the service account */
    int64_t max_sessions;
    int64_t quota_size, quota_files;
    struct dir_perms_map permissions;
    int64_t used_quota_size, used_quota_files, last_quota_update_ms;
    int64_t upload_bandwidth, download_bandwidth;
    int64_t last_login_ms, created_at_ms, updated_at_ms;
    struct user_filters filters;
    char *description, *additional_info;
    struct objects virtual_folders; /* struct virtual_folder */
    struct filesystem filesystem;
};

struct admin_filters {
    struct strings allow_list; /* CIDR */
    bool allow_api_key_auth;
    struct totp_config totp_config;
    struct objects recovery_codes;
};

struct admin {
    int64_t id;
    int32_t status;
    char *username;
    char *password; /* hash, once stored */
    char *email;
    struct strings permissions;
    struct admin_filters filters;
    char *description, *additional_info;
    int64_t created_at_ms, updated_at_ms, last_login_ms;
};

enum { API_KEY_ADMIN = 1, API_KEY_USER = 2 };

struct api_key {
    char *id;
    char *name;
    char *key; /* hash of the secret */
    int32_t scope;
    int64_t created_at_ms, updated_at_ms, last_use_at_ms, expires_at_ms; /* expires_at_ms 0: never */
    char *description;
    char *user, *admin; /* whose key it is; both empty: the caller names the account */
};

extern const struct schema secret_schema, api_key_schema;
extern const struct schema user_schema, folder_schema, admin_schema, virtual_folder_schema;

void user_done(struct user *u);
void folder_done(struct folder *f);
void admin_done(struct admin *a);
void api_key_done(struct api_key *k);

/* user_may - the rights at a virtual path: those of the longest entry that is the path or an ancestor of it, as a
 * whole. The path is absolute and clean. For operations on an item callers pass its parent directory. */
uint32_t user_may(const struct user *u, const char *virtual_path);

/* user_file_allowed - do the nearest ancestor's patterns allow this file name? Denied before allowed, no case. */
bool user_file_allowed(const struct user *u, const char *virtual_path);

/* address_in - is an address (text, v4-mapped v6 normalised) in one of the CIDR networks? */
bool address_in(const struct strings *networks, const char *address);

/* user_login_refusal - NULL if a login by `method` ("password", "publickey", "keyboard-interactive") and `protocol`
 * ("SSH", "HTTP") from `address` is allowed now; else the reason for the log. Passwords are not looked at. */
const char *user_login_refusal(const struct user *u, const char *method, const char *protocol, const char *address,
                               int64_t now_ms);

/* path_clean - the lexically clean absolute form of a virtual path ("/a/../b/" is "/b"); owned. -EINVAL if it holds NUL
 * or is longer than PATH_MAX - 1, -ENOMEM. */
int path_clean(const char *path, char **ret) MUST_CHECK;
