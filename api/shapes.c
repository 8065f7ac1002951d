/* The rows of the bodies in shapes.h. Names and order are the contract's (contract/rest.md §4.8 to §4.10), and ours of
 * DESIGN §10 where it has none. */
#include "api/shapes.h"

#include <string.h>

#include "store/entities.h"

static bool pointer_is_null(const void *member)
{
    return *(const void *const *)member == NULL;
}

/* Absent is null. */
static void nullable_write(const void *member, struct json_out *out)
{
    json_str(out, *(char *const *)member);
}

static bool nullable_is_empty(const void *member)
{
    (void)member;
    return false;
}

static const struct field_codec nullable_codec = { .write = nullable_write, .is_empty = nullable_is_empty };

static const struct field message_fields[] = {
    F_STRING(struct message_shape, error, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct message_shape, message),
};
const struct schema message_schema = SCHEMA("ApiResponse", struct message_shape, message_fields);

static const struct field token_fields[] = {
    F_STRING(struct token_shape, access_token),
    F_STRING(struct token_shape, expires_at),
};
const struct schema token_schema = SCHEMA("Token", struct token_shape, token_fields);

static const struct field changepwd_fields[] = {
    F_STRING(struct changepwd_in, current_password, .max = 4096),
    F_STRING(struct changepwd_in, new_password, .max = 4096),
};
const struct schema changepwd_schema = SCHEMA("PwdChange", struct changepwd_in, changepwd_fields);

#define PROFILE_FIELDS                                                                                                 \
    F_STRING(struct profile_shape, email, .flags = FIELD_OMIT_EMPTY, .max = 320),                                      \
        F_STRING(struct profile_shape, description, .flags = FIELD_OMIT_EMPTY),                                        \
        F_BOOL(struct profile_shape, allow_api_key_auth)

static const struct field admin_profile_fields[] = { PROFILE_FIELDS };
const struct schema admin_profile_schema = SCHEMA("AdminProfile", struct profile_shape, admin_profile_fields);
static const struct field user_profile_fields[] = {
    PROFILE_FIELDS,
    F_STRINGS(struct profile_shape, public_keys, .flags = FIELD_OMIT_EMPTY),
};
const struct schema user_profile_schema = SCHEMA("UserProfile", struct profile_shape, user_profile_fields);

static const struct field public_keys_fields[] = {
    F_STRINGS(struct public_keys_in, public_keys),
};
const struct schema public_keys_schema = SCHEMA("PublicKeys", struct public_keys_in, public_keys_fields);

static const struct field totp_config_fields[] = {
    F_STRING(struct totp_config_shape, name),
    F_STRING(struct totp_config_shape, issuer),
    F_STRING(struct totp_config_shape, algo),
};
const struct schema totp_config_schema = SCHEMA("TOTPConfig", struct totp_config_shape, totp_config_fields);

static const struct field totp_name_fields[] = {
    F_STRING(struct totp_name_in, config_name, .max = 255),
};
const struct schema totp_name_schema = SCHEMA("TOTPGenerate", struct totp_name_in, totp_name_fields);

static const struct field totp_new_fields[] = {
    F_STRING(struct totp_new_shape, config_name),
    F_STRING(struct totp_new_shape, issuer),
    F_STRING(struct totp_new_shape, secret),
    F_STRING(struct totp_new_shape, qr_code),
};
const struct schema totp_new_schema = SCHEMA("TOTPGenerated", struct totp_new_shape, totp_new_fields);

static const struct field totp_validate_fields[] = {
    F_STRING(struct totp_validate_in, config_name, .max = 255),
    F_STRING(struct totp_validate_in, passcode, .max = 64),
    F_STRING(struct totp_validate_in, secret, .max = 256),
};
const struct schema totp_validate_schema = SCHEMA("TOTPValidate", struct totp_validate_in, totp_validate_fields);

#define TOTP_SAVE_FIELDS                                                                                               \
    F_BOOL(struct totp_save_in, enabled), F_STRING(struct totp_save_in, config_name, .max = 255),                      \
        F_OBJECT(struct totp_save_in, secret, &secret_schema)

static const struct field admin_totp_save_fields[] = { TOTP_SAVE_FIELDS };
const struct schema admin_totp_save_schema = SCHEMA("AdminTOTPSave", struct totp_save_in, admin_totp_save_fields);
static const struct field user_totp_save_fields[] = {
    TOTP_SAVE_FIELDS,
    F_STRINGS(struct totp_save_in, protocols, .max = 16),
};
const struct schema user_totp_save_schema = SCHEMA("UserTOTPSave", struct totp_save_in, user_totp_save_fields);

static const struct field recovery_code_fields[] = {
    F_STRING(struct recovery_code_shape, code),
    F_BOOL(struct recovery_code_shape, used),
};
const struct schema recovery_code_shape_schema =
    SCHEMA("RecoveryCodeInClear", struct recovery_code_shape, recovery_code_fields);

static const struct field api_key_new_fields[] = {
    F_STRING(struct api_key_new_shape, message),
    F_STRING(struct api_key_new_shape, key),
};
const struct schema api_key_new_schema = SCHEMA("APIKeyCreated", struct api_key_new_shape, api_key_new_fields);

/* Negative numbers are refused by the handler, in the contract's words. */
#define USED_SIZE  F_I64(struct usage_in, used_quota_size, .min = INT64_MIN, .max = INT64_MAX)
#define USED_FILES F_I64(struct usage_in, used_quota_files, .min = INT64_MIN, .max = INT64_MAX)

static const struct field usage_in_fields[] = {
    USED_SIZE,
    USED_FILES,
};
const struct schema usage_in_schema = SCHEMA("QuotaUsage", struct usage_in, usage_in_fields);

static const struct field user_usage_in_fields[] = {
    F_STRING(struct usage_in, username, .max = 255),
    USED_SIZE,
    USED_FILES,
};
const struct schema user_usage_in_schema = SCHEMA("UserQuotaUsage", struct usage_in, user_usage_in_fields);

static const struct field folder_usage_in_fields[] = {
    F_STRING(struct usage_in, name, .max = 255),
    USED_SIZE,
    USED_FILES,
};
const struct schema folder_usage_in_schema = SCHEMA("FolderQuotaUsage", struct usage_in, folder_usage_in_fields);

static const struct field user_scan_in_fields[] = {
    F_STRING(struct usage_in, username, .max = 255),
};
const struct schema user_scan_in_schema = SCHEMA("UserScanRequest", struct usage_in, user_scan_in_fields);

static const struct field folder_scan_in_fields[] = {
    F_STRING(struct usage_in, name, .max = 255),
};
const struct schema folder_scan_in_schema = SCHEMA("FolderScanRequest", struct usage_in, folder_scan_in_fields);

static const struct field defender_host_fields[] = {
    F_STRING(struct defender_host_shape, id),
    F_STRING(struct defender_host_shape, ip),
    F_I64(struct defender_host_shape, score, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct defender_host_shape, ban_time, .flags = FIELD_OMIT_EMPTY),
};
const struct schema defender_host_schema = SCHEMA("DefenderEntry", struct defender_host_shape, defender_host_fields);

static const struct field ban_time_fields[] = {
    F_CUSTOM(struct ban_time_shape, date_time, &nullable_codec),
};
const struct schema ban_time_schema = SCHEMA("BanStatus", struct ban_time_shape, ban_time_fields);

static const struct field score_fields[] = {
    F_I64(struct score_shape, score),
};
const struct schema score_schema = SCHEMA("ScoreStatus", struct score_shape, score_fields);

static const struct field unban_in_fields[] = {
    F_STRING(struct unban_in, ip, .max = 64),
};
const struct schema unban_in_schema = SCHEMA("UnbanRequest", struct unban_in, unban_in_fields);

static const struct field scan_report_fields[] = {
    F_I64(struct scan_report, start_time),
    F_I64(struct scan_report, end_time),
    F_BOOL(struct scan_report, dry_run),
    F_STRING(struct scan_report, result),
    F_STRING(struct scan_report, error, .flags = FIELD_OMIT_EMPTY),
    F_I64(struct scan_report, files_seen),
    F_I64(struct scan_report, bytes_seen),
    F_I64(struct scan_report, drift_size),
    F_I64(struct scan_report, drift_files),
};
static const struct schema scan_report_schema = SCHEMA("ScanReport", struct scan_report, scan_report_fields);

static void last_scan_write(const void *member, struct json_out *out)
{
    const struct scan_report *report = *(const struct scan_report *const *)member;

    if (report == NULL)
        json_null(out);
    else
        schema_write(&scan_report_schema, report, SHOW_API, out);
}

/* Only written: what goes out is never parsed, copied or released by its rows. */
static const struct field_codec last_scan_codec = { .write = last_scan_write, .is_empty = pointer_is_null };

#define USAGE_FIELDS(wire_name)                                                                                        \
    F_STRING(struct usage_shape, name, .wire = (wire_name)), F_I64(struct usage_shape, used_quota_size),               \
        F_I64(struct usage_shape, used_quota_files), F_I64(struct usage_shape, reserved_size),                         \
        F_I64(struct usage_shape, adjustment_size), F_I64(struct usage_shape, adjustment_files),                       \
        F_I64(struct usage_shape, quota_size), F_I64(struct usage_shape, quota_files),                                 \
        F_STRING(struct usage_shape, state), F_I64(struct usage_shape, last_quota_update),                             \
        F_CUSTOM(struct usage_shape, last_scan, &last_scan_codec, .sub = &scan_report_schema)

static const struct field user_usage_fields[] = { USAGE_FIELDS("username") };
const struct schema user_usage_schema = SCHEMA("UserUsage", struct usage_shape, user_usage_fields);
static const struct field folder_usage_fields[] = { USAGE_FIELDS("name") };
const struct schema folder_usage_schema = SCHEMA("FolderUsage", struct usage_shape, folder_usage_fields);

#define SCAN_FIELDS(wire_name)                                                                                         \
    F_STRING(struct running_scan, name, .wire = (wire_name)), F_I64(struct running_scan, start_time),                  \
        F_BOOL(struct running_scan, dry_run), F_I64(struct running_scan, files_seen),                                  \
        F_I64(struct running_scan, bytes_seen), F_I64(struct running_scan, files_expected)

static const struct field user_scan_fields[] = { SCAN_FIELDS("username") };
const struct schema user_scan_schema = SCHEMA("QuotaScan", struct running_scan, user_scan_fields);
static const struct field folder_scan_fields[] = { SCAN_FIELDS("name") };
const struct schema folder_scan_schema = SCHEMA("FolderQuotaScan", struct running_scan, folder_scan_fields);

static const struct field transfer_fields[] = {
    F_STRING(struct transfer_shape, operation_type),
    F_I64(struct transfer_shape, start_time),
    F_I64(struct transfer_shape, size),
    F_STRING(struct transfer_shape, path),
};
static const struct schema transfer_schema = SCHEMA("Transfer", struct transfer_shape, transfer_fields);

static void number_write(const void *member, struct json_out *out)
{
    json_int(out, **(const int64_t *const *)member);
}

static const struct field_codec number_codec = { .write = number_write, .is_empty = pointer_is_null };

static const struct field connection_fields[] = {
    F_STRING(struct connection_shape, username),
    F_STRING(struct connection_shape, connection_id),
    F_STRING(struct connection_shape, client_version, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct connection_shape, remote_address),
    F_I64(struct connection_shape, connection_time),
    F_I64(struct connection_shape, last_activity),
    F_STRING(struct connection_shape, protocol),
    F_OBJECTS(struct connection_shape, active_transfers, .sub = &transfer_schema, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct connection_shape, command, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct connection_shape, process, .flags = FIELD_OMIT_EMPTY),
    F_CUSTOM(struct connection_shape, pid, &number_codec, .flags = FIELD_OMIT_EMPTY),
    F_CUSTOM(struct connection_shape, uid, &number_codec, .flags = FIELD_OMIT_EMPTY),
};
const struct schema connection_schema = SCHEMA("ConnectionStatus", struct connection_shape, connection_fields);

static const struct field version_fields[] = {
    F_STRING(struct version_shape, version),
    F_STRING(struct version_shape, build_date),
    F_STRING(struct version_shape, commit_hash),
    F_STRINGS(struct version_shape, features),
};
const struct schema version_schema = SCHEMA("VersionInfo", struct version_shape, version_fields);

static void raw_write(const void *member, struct json_out *out)
{
    const char *text = *(const char *const *)member;

    json_raw(out, text, strlen(text));
}

static const struct field_codec raw_codec = { .write = raw_write, .is_empty = pointer_is_null };

static const struct field status_fields[] = {
    F_CUSTOM(struct status_shape, ssh, &raw_codec),      F_CUSTOM(struct status_shape, ftp, &raw_codec),
    F_CUSTOM(struct status_shape, webdav, &raw_codec),   F_CUSTOM(struct status_shape, data_provider, &raw_codec),
    F_CUSTOM(struct status_shape, defender, &raw_codec), F_CUSTOM(struct status_shape, mfa, &raw_codec),
    F_CUSTOM(struct status_shape, vfs, &raw_codec),
};
const struct schema status_schema = SCHEMA("ServicesStatus", struct status_shape, status_fields);

#define DUMP_ROWS                                                                                                      \
    F_OBJECTS(struct dump_shape, users, .sub = &user_schema),                                                          \
        F_OBJECTS(struct dump_shape, folders, .sub = &folder_schema),                                                  \
        F_OBJECTS(struct dump_shape, admins, .sub = &admin_schema),                                                    \
        F_OBJECTS(struct dump_shape, api_keys, .sub = &api_key_schema), F_I64(struct dump_shape, version)

static const struct field dump_in_fields[] = { DUMP_ROWS };
const struct schema dump_in_schema = SCHEMA("BackupData", struct dump_shape, dump_in_fields);

static const struct field dump_out_fields[] = {
    F_STRING(struct dump_shape, error, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct dump_shape, message),
    DUMP_ROWS,
};
const struct schema dump_out_schema = SCHEMA("DumpResult", struct dump_shape, dump_out_fields);

static const struct field restored_fields[] = {
    F_I64(struct restored_counts, added),
    F_I64(struct restored_counts, updated),
    F_I64(struct restored_counts, kept),
};
static const struct schema restored_schema = SCHEMA("RestoredCounts", struct restored_counts, restored_fields);

static const struct field left_out_fields[] = {
    F_STRING(struct left_out_shape, section),
    F_STRING(struct left_out_shape, name),
    F_STRING(struct left_out_shape, member, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct left_out_shape, reason),
};
static const struct schema left_out_schema = SCHEMA("LeftOut", struct left_out_shape, left_out_fields);

static const struct field restore_fields[] = {
    F_STRING(struct restore_shape, message),
    F_OBJECT(struct restore_shape, users, &restored_schema),
    F_OBJECT(struct restore_shape, folders, &restored_schema),
    F_OBJECT(struct restore_shape, admins, &restored_schema),
    F_OBJECT(struct restore_shape, api_keys, &restored_schema),
    F_I64(struct restore_shape, left_out_total),
    F_OBJECTS(struct restore_shape, left_out, .sub = &left_out_schema),
};
const struct schema restore_schema = SCHEMA("RestoreResult", struct restore_shape, restore_fields);
