/* Bodies that are no entities of the store: their structs and field rows, so that they are parsed, written, documented
 * and compared with openapi.yaml like everything else.
 *
 * Ownership: bodies that come in own what is in them (schema_done). Shapes that go out borrow everything, and are only
 *            written. */
#pragma once

#include "store/entities.h"

struct message_shape {
    char *error, *message;
};

struct token_shape {
    char *access_token, *expires_at;
};

struct changepwd_in {
    char *current_password, *new_password;
};

struct profile_shape {
    char *email, *description;
    bool allow_api_key_auth;
    struct strings public_keys; /* of users */
};

struct public_keys_in {
    struct strings public_keys;
};

struct totp_config_shape {
    char *name, *issuer, *algo;
};

struct totp_name_in {
    char *config_name;
};

struct totp_new_shape {
    char *config_name, *issuer, *secret, *qr_code;
};

struct totp_validate_in {
    char *config_name, *passcode, *secret;
};

struct totp_save_in {
    bool enabled;
    char *config_name;
    struct secret secret;
    struct strings protocols; /* of users */
};

struct recovery_code_shape {
    char *code;
    bool used;
};

struct api_key_new_shape {
    char *message, *key;
};

/* Of PUT …/usage, and of the deprecated forms that name the object in the body. */
struct usage_in {
    char *username, *name;
    int64_t used_quota_size, used_quota_files;
};

struct transfer_shape {
    char *operation_type;
    int64_t start_time, size;
    char *path;
};

struct scan_report {
    int64_t start_time, end_time;
    bool dry_run;
    char *result;
    char *error;
    int64_t files_seen, bytes_seen, drift_size, drift_files;
};

struct usage_shape {
    char *name;
    int64_t used_quota_size, used_quota_files, reserved_size, adjustment_size, adjustment_files;
    int64_t quota_size, quota_files;
    char *state;
    int64_t last_quota_update;
    const struct scan_report *last_scan; /* NULL: null */
};

struct running_scan {
    char *name;
    int64_t start_time;
    bool dry_run;
    int64_t files_seen, bytes_seen, files_expected;
};

struct defender_host_shape {
    char *id; /* hex of the address's text */
    char *ip;
    int64_t score;
    char *ban_time; /* RFC 3339 */
};

struct ban_time_shape {
    char *date_time; /* NULL is null */
};

struct score_shape {
    int64_t score;
};

struct unban_in {
    char *ip;
};

extern const struct schema defender_host_schema, ban_time_schema, score_schema, unban_in_schema;

struct connection_shape {
    char *username, *connection_id, *client_version, *remote_address;
    int64_t connection_time, last_activity;
    char *protocol;
    struct objects active_transfers; /* struct transfer_shape */
    char *command;
    char *process;
    const int64_t *pid, *uid; /* NULL: not of this protocol */
};

struct version_shape {
    char *version, *build_date, *commit_hash;
    struct strings features;
};

/* Each member is one ready JSON value, borrowed. */
struct status_shape {
    const char *ssh, *ftp, *webdav, *data_provider, *defender, *mfa, *vfs;
};

/* A dump as a body, and the reply that holds one or says where it went. Documentation: neither is read or written by
 * these rows (store/dump.h). */
struct dump_shape {
    char *error, *message;
    struct objects users, folders, admins, api_keys;
    int64_t version;
};

struct restored_counts {
    int64_t added, updated, kept;
};

struct left_out_shape {
    char *section, *name, *member, *reason;
};

struct restore_shape {
    char *message;
    struct restored_counts users, folders, admins, api_keys;
    int64_t left_out_total;
    struct objects left_out; /* struct left_out_shape */
};

extern const struct schema dump_in_schema, dump_out_schema, restore_schema;
extern const struct schema admin_profile_schema, user_profile_schema, public_keys_schema, totp_config_schema,
    totp_name_schema, totp_new_schema, totp_validate_schema, admin_totp_save_schema, user_totp_save_schema,
    recovery_code_shape_schema, api_key_new_schema;
extern const struct schema message_schema, token_schema, changepwd_schema, usage_in_schema, user_usage_in_schema,
    folder_usage_in_schema, user_scan_in_schema, folder_scan_in_schema, user_usage_schema, folder_usage_schema,
    user_scan_schema, folder_scan_schema, connection_schema, version_schema, status_schema;
