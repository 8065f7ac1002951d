/* The routes, and how a path finds its row: the first whose segments fit and whose method is the request's. So literal
 * rows stand before those with a parameter in the same place. HEAD is served by the row of GET. */
#include "api/route.h"

#include <stdio.h>
#include <string.h>

#include "api/apid.h"
#include "api/handlers.h"
#include "api/shapes.h"

#define PAGED "offset limit order"

const struct route routes[] = {
    { "GET", "/token", "get_token", ADM_PUBLIC, NULL, &token_schema, 0, NULL, 200, NULL, RUNS_TRY,
      FAILS_401 | FAILS_503, NULL, .handle = on_token_get },
    { "GET", "/logout", "logout", ADM_ANY, NULL, &message_schema, 0, NULL, 200, "Your token has been invalidated",
      RUNS_INLINE, FAILS_503, NULL, .handle = on_logout_get, .no_key = true },
    { "GET", "/version", "get_version", ADM_ANY, NULL, &version_schema, 0, NULL, 200, NULL, RUNS_INLINE, 0, NULL,
      .handle = on_version_get },
    { "PUT", "/admin/changepwd", "change_admin_password", ADM_ANY, &changepwd_schema, &message_schema, USE_CREATE, NULL,
      200, "Password updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_changepwd_put, .no_key = true },
    { "PUT", "/changepwd/admin", "change_admin_password_deprecated", ADM_ANY, &changepwd_schema, &message_schema,
      USE_CREATE, NULL, 200, "Password updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_changepwd_put, .deprecated = true, .no_key = true },
    { "GET", "/status", "get_status", ADM_VIEW_STATUS, NULL, &status_schema, 0, NULL, 200, NULL, RUNS_WORKER, FAILS_503,
      NULL, .handle = on_status_get },

    { "GET", "/connections", "get_connections", ADM_VIEW_CONNS, NULL, &connection_schema, 0, NULL, 200, NULL,
      RUNS_WORKER, FAILS_503, NULL, .handle = on_connections_list, .is_list = true },
    { "DELETE", "/connections/{connectionID}", "close_connection", ADM_CLOSE_CONNS, NULL, &message_schema, 0, NULL, 200,
      "Connection closed", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_connection_delete },

    { "GET", "/defender/hosts", "get_defender_hosts", ADM_VIEW_DEFENDER, NULL, &defender_host_schema, 0, NULL, 200,
      NULL, RUNS_INLINE, 0, NULL, .handle = on_hosts_list, .is_list = true },
    { "GET", "/defender/hosts/{id}", "get_defender_host_by_id", ADM_VIEW_DEFENDER, NULL, &defender_host_schema, 0, NULL,
      200, NULL, RUNS_INLINE, FAILS_400 | FAILS_404, NULL, .handle = on_host_get },
    { "DELETE", "/defender/hosts/{id}", "delete_defender_host_by_id", ADM_MANAGE_DEFENDER, NULL, &message_schema, 0,
      NULL, 200, "OK", RUNS_INLINE, FAILS_400 | FAILS_404, NULL, .handle = on_host_delete },
    { "GET", "/defender/bantime", "get_ban_time", ADM_VIEW_DEFENDER, NULL, &ban_time_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, FAILS_400, "ip", .handle = on_ban_time_get, .deprecated = true },
    { "GET", "/defender/score", "get_score", ADM_VIEW_DEFENDER, NULL, &score_schema, 0, NULL, 200, NULL, RUNS_INLINE,
      FAILS_400, "ip", .handle = on_score_get, .deprecated = true },
    { "POST", "/defender/unban", "unban_host", ADM_MANAGE_DEFENDER, &unban_in_schema, &message_schema, USE_CREATE, NULL,
      200, "OK", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL, .handle = on_unban_post,
      .deprecated = true },

    { "GET", "/quotas/users/scans", "get_users_quota_scans", ADM_QUOTA_SCANS, NULL, &user_scan_schema, 0, NULL, 200,
      NULL, RUNS_INLINE, 0, NULL, .handle = on_user_scans_list, .is_list = true },
    { "POST", "/quotas/users/{username}/scan", "start_user_quota_scan", ADM_QUOTA_SCANS, NULL, &message_schema, 0, NULL,
      202, "Scan started", RUNS_WORKER, FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_503, "dry_run",
      .handle = on_user_scan_post },
    { "DELETE", "/quotas/users/{username}/scan", "cancel_user_quota_scan", ADM_QUOTA_SCANS, NULL, &message_schema, 0,
      NULL, 200, "Scan cancelled", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_user_scan_delete,
      .x_tally = true },
    { "PUT", "/quotas/users/{username}/usage", "user_quota_update_usage", ADM_EDIT_USERS, &usage_in_schema,
      &message_schema, USE_CREATE, NULL, 200, "Quota updated", RUNS_WORKER,
      FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_413 | FAILS_503, "mode", .handle = on_user_usage_put },
    { "GET", "/quotas/users/{username}", "get_user_usage", ADM_VIEW_USERS, NULL, &user_usage_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, FAILS_404, NULL, .handle = on_user_usage_get, .x_tally = true },
    { "GET", "/quotas/folders/scans", "get_folders_quota_scans", ADM_QUOTA_SCANS, NULL, &folder_scan_schema, 0, NULL,
      200, NULL, RUNS_INLINE, 0, NULL, .handle = on_folder_scans_list, .is_list = true },
    { "POST", "/quotas/folders/{name}/scan", "start_folder_quota_scan", ADM_QUOTA_SCANS, NULL, &message_schema, 0, NULL,
      202, "Scan started", RUNS_WORKER, FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_503, "dry_run",
      .handle = on_folder_scan_post },
    { "DELETE", "/quotas/folders/{name}/scan", "cancel_folder_quota_scan", ADM_QUOTA_SCANS, NULL, &message_schema, 0,
      NULL, 200, "Scan cancelled", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_folder_scan_delete,
      .x_tally = true },
    { "PUT", "/quotas/folders/{name}/usage", "folder_quota_update_usage", ADM_EDIT_USERS, &usage_in_schema,
      &message_schema, USE_CREATE, NULL, 200, "Quota updated", RUNS_WORKER,
      FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_413 | FAILS_503, "mode", .handle = on_folder_usage_put },
    { "GET", "/quotas/folders/{name}", "get_folder_usage", ADM_VIEW_USERS, NULL, &folder_usage_schema, 0, NULL, 200,
      NULL, RUNS_INLINE, FAILS_404, NULL, .handle = on_folder_usage_get, .x_tally = true },

    { "GET", "/quota-scans", "get_users_quota_scans_deprecated", ADM_QUOTA_SCANS, NULL, &user_scan_schema, 0, NULL, 200,
      NULL, RUNS_INLINE, 0, NULL, .handle = on_user_scans_list, .is_list = true, .deprecated = true },
    { "POST", "/quota-scans", "start_user_quota_scan_deprecated", ADM_QUOTA_SCANS, &user_scan_in_schema,
      &message_schema, USE_CREATE, NULL, 202, "Scan started", RUNS_WORKER,
      FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_413 | FAILS_503, "dry_run", .handle = on_user_scan_post,
      .deprecated = true },
    { "GET", "/folder-quota-scans", "get_folders_quota_scans_deprecated", ADM_QUOTA_SCANS, NULL, &folder_scan_schema, 0,
      NULL, 200, NULL, RUNS_INLINE, 0, NULL, .handle = on_folder_scans_list, .is_list = true, .deprecated = true },
    { "POST", "/folder-quota-scans", "start_folder_quota_scan_deprecated", ADM_QUOTA_SCANS, &folder_scan_in_schema,
      &message_schema, USE_CREATE, NULL, 202, "Scan started", RUNS_WORKER,
      FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_413 | FAILS_503, "dry_run", .handle = on_folder_scan_post,
      .deprecated = true },
    { "PUT", "/quota-update", "user_quota_update_usage_deprecated", ADM_EDIT_USERS, &user_usage_in_schema,
      &message_schema, USE_CREATE, NULL, 200, "Quota updated", RUNS_WORKER,
      FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_413 | FAILS_503, "mode", .handle = on_user_usage_put,
      .deprecated = true },
    { "PUT", "/folder-quota-update", "folder_quota_update_usage_deprecated", ADM_EDIT_USERS, &folder_usage_in_schema,
      &message_schema, USE_CREATE, NULL, 200, "Quota updated", RUNS_WORKER,
      FAILS_400 | FAILS_403 | FAILS_404 | FAILS_409 | FAILS_413 | FAILS_503, "mode", .handle = on_folder_usage_put,
      .deprecated = true },

    { "GET", "/dumpdata", "dumpdata", ADM_MANAGE_SYSTEM, NULL, &dump_out_schema, 0, NULL, 200, NULL, RUNS_WORKER,
      FAILS_400 | FAILS_503, "output-file output-data indent scopes", .handle = on_dumpdata_get },
    { "GET", "/loaddata", "loaddata_from_file", ADM_MANAGE_SYSTEM, NULL, &restore_schema, 0, NULL, 200, NULL,
      RUNS_WORKER, FAILS_400 | FAILS_413 | FAILS_503, "input-file scan-quota mode skip-unsupported",
      .handle = on_loaddata_get },
    { "POST", "/loaddata", "loaddata_from_request_body", ADM_MANAGE_SYSTEM, &dump_in_schema, &restore_schema, USE_LOAD,
      NULL, 200, NULL, RUNS_WORKER, FAILS_400 | FAILS_413 | FAILS_503, "scan-quota mode skip-unsupported",
      .handle = on_loaddata_post, .is_dump = true },

    { "GET", "/folders", "get_folders", ADM_VIEW_USERS, NULL, &folder_schema, 0, NULL, 200, NULL, RUNS_INLINE,
      FAILS_400, PAGED, .handle = on_folders_list, .is_list = true },
    { "POST", "/folders", "add_folder", ADM_ADD_USERS, &folder_schema, &folder_schema, USE_CREATE, NULL, 201, NULL,
      RUNS_WORKER, FAILS_400 | FAILS_409 | FAILS_413 | FAILS_503, NULL, .handle = on_folder_post },
    { "GET", "/folders/{name}", "get_folder_by_name", ADM_VIEW_USERS, NULL, &folder_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, FAILS_404, NULL, .handle = on_folder_get },
    { "PUT", "/folders/{name}", "update_folder", ADM_EDIT_USERS, &folder_schema, &message_schema, USE_MERGE,
      on_folder_put_load, 200, "Folder updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_folder_put },
    { "DELETE", "/folders/{name}", "delete_folder", ADM_DEL_USERS, NULL, &message_schema, 0, NULL, 200,
      "Folder deleted", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_folder_delete },

    { "GET", "/users", "get_users", ADM_VIEW_USERS, NULL, &user_schema, 0, NULL, 200, NULL, RUNS_INLINE, FAILS_400,
      PAGED, .handle = on_users_list, .is_list = true },
    { "POST", "/users", "add_user", ADM_ADD_USERS, &user_schema, &user_schema, USE_CREATE, NULL, 201, NULL, RUNS_WORKER,
      FAILS_400 | FAILS_409 | FAILS_413 | FAILS_503, NULL, .handle = on_user_post },
    { "GET", "/users/{username}", "get_user_by_username", ADM_VIEW_USERS, NULL, &user_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, FAILS_404, NULL, .handle = on_user_get },
    { "PUT", "/users/{username}", "update_user", ADM_EDIT_USERS, &user_schema, &message_schema, USE_MERGE,
      on_user_put_load, 200, "User updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, "disconnect",
      .handle = on_user_put },
    { "DELETE", "/users/{username}", "delete_user", ADM_DEL_USERS, NULL, &message_schema, 0, NULL, 200, "User deleted",
      RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_user_delete },

    { "GET", "/admins", "get_admins", ADM_MANAGE_ADMINS, NULL, &admin_schema, 0, NULL, 200, NULL, RUNS_INLINE,
      FAILS_400, PAGED, .handle = on_admins_list, .is_list = true },
    { "POST", "/admins", "add_admin", ADM_MANAGE_ADMINS, &admin_schema, &admin_schema, USE_CREATE, NULL, 201, NULL,
      RUNS_WORKER, FAILS_400 | FAILS_409 | FAILS_413 | FAILS_503, NULL, .handle = on_admin_post },
    { "GET", "/admins/{username}", "get_admin_by_username", ADM_MANAGE_ADMINS, NULL, &admin_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, FAILS_404, NULL, .handle = on_admin_get },
    { "PUT", "/admins/{username}", "update_admin", ADM_MANAGE_ADMINS, &admin_schema, &message_schema, USE_MERGE,
      on_admin_put_load, 200, "Admin updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_admin_put },
    { "DELETE", "/admins/{username}", "delete_admin", ADM_MANAGE_ADMINS, NULL, &message_schema, 0, NULL, 200,
      "Admin deleted", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_503, NULL, .handle = on_admin_delete },

    { "GET", "/admin/profile", "get_admin_profile", ADM_ANY, NULL, &admin_profile_schema, 0, NULL, 200, NULL,
      RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_503, NULL, .handle = on_profile_get, .no_key = true },
    { "PUT", "/admin/profile", "update_admin_profile", ADM_ANY, &admin_profile_schema, &message_schema, USE_MERGE,
      on_profile_load, 200, "Profile updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_profile_put, .no_key = true },
    { "GET", "/admin/totp/configs", "get_admin_totp_configs", ADM_ANY, NULL, &totp_config_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, 0, NULL, .handle = on_totp_configs_get, .is_list = true, .no_key = true },
    { "POST", "/admin/totp/generate", "generate_admin_totp_secret", ADM_ANY, &totp_name_schema, &totp_new_schema,
      USE_CREATE, NULL, 200, NULL, RUNS_WORKER, FAILS_400 | FAILS_413 | FAILS_503, NULL, .handle = on_totp_generate,
      .no_key = true },
    { "POST", "/admin/totp/validate", "validate_admin_totp_secret", ADM_ANY, &totp_validate_schema, &message_schema,
      USE_CREATE, NULL, 200, "Passcode successfully validated", RUNS_WORKER, FAILS_400 | FAILS_413 | FAILS_503, NULL,
      .handle = on_totp_validate, .no_key = true },
    { "POST", "/admin/totp/save", "save_admin_totp_config", ADM_ANY, &admin_totp_save_schema, &message_schema,
      USE_CREATE, NULL, 200, "TOTP configuration saved", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503,
      NULL, .handle = on_totp_save, .no_key = true },
    { "GET", "/admin/2fa/recoverycodes", "get_admin_recovery_codes", ADM_ANY, NULL, &recovery_code_shape_schema, 0,
      NULL, 200, NULL, RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_503, NULL, .handle = on_recovery_codes_get,
      .is_list = true, .no_key = true },
    { "POST", "/admin/2fa/recoverycodes", "generate_admin_recovery_codes", ADM_ANY, NULL, NULL, 0, NULL, 200, NULL,
      RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_503, NULL, .handle = on_recovery_codes_post, .is_list = true,
      .no_key = true },

    { "GET", "/user/token", "get_user_token", ADM_PUBLIC, NULL, &token_schema, 0, NULL, 200, NULL, RUNS_TRY,
      FAILS_401 | FAILS_403 | FAILS_503, NULL, .handle = on_user_token_get },
    { "GET", "/user/logout", "user_logout", ADM_USER, NULL, &message_schema, 0, NULL, 200,
      "Your token has been invalidated", RUNS_INLINE, FAILS_503, NULL, .handle = on_logout_get, .no_key = true },
    { "PUT", "/user/changepwd", "change_user_password", ADM_USER, &changepwd_schema, &message_schema, USE_CREATE, NULL,
      200, "Password updated", RUNS_WORKER, FAILS_403 | FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_changepwd_put, .denied_by = "password-change-disabled", .no_key = true },
    { "GET", "/user/publickeys", "get_user_public_keys", ADM_USER, NULL, NULL, 0, NULL, 200, NULL, RUNS_WORKER,
      FAILS_403 | FAILS_404 | FAILS_503, NULL, .handle = on_public_keys_get, .denied_by = "publickey-change-disabled",
      .is_list = true, .no_key = true, .deprecated = true },
    { "PUT", "/user/publickeys", "set_user_public_keys", ADM_USER, &public_keys_schema, &message_schema, USE_CREATE,
      NULL, 200, "Public keys updated", RUNS_WORKER, FAILS_403 | FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_public_keys_put, .denied_by = "publickey-change-disabled", .in_list = true, .no_key = true,
      .deprecated = true },
    { "GET", "/user/profile", "get_user_profile", ADM_USER, NULL, &user_profile_schema, 0, NULL, 200, NULL, RUNS_WORKER,
      FAILS_404 | FAILS_503, NULL, .handle = on_profile_get, .no_key = true },
    { "PUT", "/user/profile", "update_user_profile", ADM_USER, &user_profile_schema, &message_schema, USE_MERGE,
      on_profile_load, 200, "Profile updated", RUNS_WORKER, FAILS_403 | FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503,
      NULL, .handle = on_profile_put, .no_key = true },
    { "GET", "/user/totp/configs", "get_user_totp_configs", ADM_USER, NULL, &totp_config_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, FAILS_403, NULL, .handle = on_totp_configs_get, .is_list = true, .no_key = true,
      .denied_by = "mfa-disabled" },
    { "POST", "/user/totp/generate", "generate_user_totp_secret", ADM_USER, &totp_name_schema, &totp_new_schema,
      USE_CREATE, NULL, 200, NULL, RUNS_WORKER, FAILS_403 | FAILS_400 | FAILS_413 | FAILS_503, NULL,
      .handle = on_totp_generate, .no_key = true, .denied_by = "mfa-disabled" },
    { "POST", "/user/totp/validate", "validate_user_totp_secret", ADM_USER, &totp_validate_schema, &message_schema,
      USE_CREATE, NULL, 200, "Passcode successfully validated", RUNS_WORKER,
      FAILS_403 | FAILS_400 | FAILS_413 | FAILS_503, NULL, .handle = on_totp_validate, .no_key = true,
      .denied_by = "mfa-disabled" },
    { "POST", "/user/totp/save", "save_user_totp_config", ADM_USER, &user_totp_save_schema, &message_schema, USE_CREATE,
      NULL, 200, "TOTP configuration saved", RUNS_WORKER, FAILS_403 | FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503,
      NULL, .handle = on_totp_save, .no_key = true, .denied_by = "mfa-disabled" },
    { "GET", "/user/2fa/recoverycodes", "get_user_recovery_codes", ADM_USER, NULL, &recovery_code_shape_schema, 0, NULL,
      200, NULL, RUNS_WORKER, FAILS_403 | FAILS_404 | FAILS_503, NULL, .handle = on_recovery_codes_get, .is_list = true,
      .no_key = true, .denied_by = "mfa-disabled" },
    { "POST", "/user/2fa/recoverycodes", "generate_user_recovery_codes", ADM_USER, NULL, NULL, 0, NULL, 200, NULL,
      RUNS_WORKER, FAILS_403 | FAILS_404 | FAILS_503, NULL, .handle = on_recovery_codes_post, .is_list = true,
      .no_key = true, .denied_by = "mfa-disabled" },

    { "PUT", "/admins/{username}/2fa/disable", "disable_admin_2fa", ADM_MANAGE_ADMINS, NULL, &message_schema, 0, NULL,
      200, "2FA disabled", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_admin_2fa_disable },
    { "PUT", "/users/{username}/2fa/disable", "disable_user_2fa", ADM_EDIT_USERS, NULL, &message_schema, 0, NULL, 200,
      "2FA disabled", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_user_2fa_disable },

    { "GET", "/apikeys", "get_api_keys", ADM_MANAGE_APIKEYS, NULL, &api_key_schema, 0, NULL, 200, NULL, RUNS_INLINE,
      FAILS_400, PAGED, .handle = on_api_keys_list, .is_list = true, .no_key = true },
    { "POST", "/apikeys", "add_api_key", ADM_MANAGE_APIKEYS, &api_key_schema, &api_key_new_schema, USE_CREATE, NULL,
      201, NULL, RUNS_WORKER, FAILS_400 | FAILS_413 | FAILS_503, NULL, .handle = on_api_key_post, .no_key = true },
    { "GET", "/apikeys/{id}", "get_api_key_by_id", ADM_MANAGE_APIKEYS, NULL, &api_key_schema, 0, NULL, 200, NULL,
      RUNS_INLINE, FAILS_404, NULL, .handle = on_api_key_get, .no_key = true },
    { "PUT", "/apikeys/{id}", "update_api_key", ADM_MANAGE_APIKEYS, &api_key_schema, &message_schema, USE_MERGE,
      on_api_key_put_load, 200, "API key updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_api_key_put, .no_key = true },
    { "DELETE", "/apikeys/{id}", "delete_api_key", ADM_MANAGE_APIKEYS, NULL, &message_schema, 0, NULL, 200,
      "API key deleted", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_api_key_delete, .no_key = true },

    { "GET", "/retention/users/checks", "get_users_retention_checks", ADM_RETENTION_CHECKS, NULL, &message_schema, 0,
      NULL, 200, "Data retention checks are not part of this server", RUNS_INLINE, FAILS_501, NULL,
      .handle = on_not_here },
    { "POST", "/retention/users/{username}/check", "start_user_retention_check", ADM_RETENTION_CHECKS, NULL,
      &message_schema, 0, NULL, 200, "Data retention checks are not part of this server", RUNS_INLINE, FAILS_501, NULL,
      .handle = on_not_here },
    { "GET", "/events/fs", "get_fs_events", ADM_VIEW_EVENTS, NULL, &message_schema, 0, NULL, 200,
      "There is no searchable event store: the events are in the log", RUNS_INLINE, FAILS_501, NULL,
      .handle = on_not_here },
    { "GET", "/events/provider", "get_provider_events", ADM_VIEW_EVENTS, NULL, &message_schema, 0, NULL, 200,
      "There is no searchable event store: the events are in the log", RUNS_INLINE, FAILS_501, NULL,
      .handle = on_not_here },

    { "GET", "/healthz", "healthz", ADM_PUBLIC, NULL, NULL, 0, NULL, 200, NULL, RUNS_INLINE, FAILS_403, NULL,
      .handle = on_healthz_get, .at = AT_ROOT },
    { "GET", "/openapi", "get_openapi_page", ADM_PUBLIC, NULL, NULL, 0, NULL, 200, NULL, RUNS_INLINE,
      FAILS_403 | FAILS_404, NULL, .handle = on_openapi_page_get, .at = AT_ROOT },
    { "GET", "/openapi/openapi.yaml", "get_openapi", ADM_PUBLIC, NULL, NULL, 0, NULL, 200, NULL, RUNS_INLINE,
      FAILS_403 | FAILS_404, NULL, .handle = on_openapi_get, .at = AT_ROOT },
    { "GET", "/metrics", "get_metrics", ADM_PUBLIC, NULL, NULL, 0, NULL, 200, NULL, RUNS_INLINE, FAILS_400, NULL,
      .handle = on_metrics_get, .at = AT_TELEMETRY, .x_tally = true },
};
const size_t routes_n = ARRAY_SIZE(routes);

enum holder route_holder(const struct route *row)
{
    return row->perm & ADM_USER ? HOLDER_USER : HOLDER_ADMIN;
}

bool route_fits(const char *template, const struct segments *path, size_t first, const char **ret_param)
{
    const char *param = NULL;
    size_t i = first;

    for (const char *at = template; *at == '/'; i++) {
        size_t len = strcspn(++at, "/");
        if (i >= path->n)
            return false;
        if (at[0] == '{')
            param = path->v[i];
        else if (strlen(path->v[i]) != len || memcmp(path->v[i], at, len) != 0)
            return false;
        at += len;
    }
    if (i != path->n)
        return false;
    *ret_param = param;
    return true;
}

static bool route_is_here(const struct route *row, bool telemetry, bool has_prefix)
{
    if (row->at == AT_API)
        return !telemetry && has_prefix;
    return !has_prefix && (row->at == AT_ROOT || telemetry);
}

static void allow_add(char *allow, size_t room, const char *method)
{
    size_t len = strlen(allow);

    if (strstr(allow, method) == NULL)
        snprintf(allow + len, room - len, "%s%s", len > 0 ? ", " : "", method);
}

int route_match(bool telemetry, const char *method, const struct segments *path, const struct route **ret,
                const char **ret_param, char *allow, size_t allow_room)
{
    bool has_prefix = path->n >= 2 && strcmp(path->v[0], "api") == 0 && strcmp(path->v[1], "v2") == 0;
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    const char *param;

    allow[0] = '\0';
    for (const struct route *row = routes; row < routes + routes_n; row++) {
        if (!route_is_here(row, telemetry, has_prefix) || !route_fits(row->path, path, has_prefix ? 2 : 0, &param))
            continue;
        if (strcmp(row->method, wanted) == 0) {
            *ret = row;
            *ret_param = param;
            allow[0] = '\0';
            return 0;
        }
        allow_add(allow, allow_room, row->method);
        if (strcmp(row->method, "GET") == 0)
            allow_add(allow, allow_room, "HEAD");
    }
    return allow[0] != '\0' ? -ENOTSUP : -ENOENT;
}
