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
      RUNS_INLINE, FAILS_503, NULL, .handle = on_logout_get },
    { "GET", "/version", "get_version", ADM_ANY, NULL, &version_schema, 0, NULL, 200, NULL, RUNS_INLINE, 0, NULL,
      .handle = on_version_get },
    { "PUT", "/admin/changepwd", "change_admin_password", ADM_ANY, &changepwd_schema, &message_schema, USE_CREATE, NULL,
      200, "Password updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_changepwd_put },
    { "PUT", "/changepwd/admin", "change_admin_password_deprecated", ADM_ANY, &changepwd_schema, &message_schema,
      USE_CREATE, NULL, 200, "Password updated", RUNS_WORKER, FAILS_400 | FAILS_404 | FAILS_413 | FAILS_503, NULL,
      .handle = on_changepwd_put, .deprecated = true },
    { "GET", "/status", "get_status", ADM_VIEW_STATUS, NULL, &status_schema, 0, NULL, 200, NULL, RUNS_WORKER, FAILS_503,
      NULL, .handle = on_status_get },

    { "GET", "/connections", "get_connections", ADM_VIEW_CONNS, NULL, &connection_schema, 0, NULL, 200, NULL,
      RUNS_WORKER, FAILS_503, NULL, .handle = on_connections_list, .is_list = true },
    { "DELETE", "/connections/{connectionID}", "close_connection", ADM_CLOSE_CONNS, NULL, &message_schema, 0, NULL, 200,
      "Connection closed", RUNS_WORKER, FAILS_404 | FAILS_503, NULL, .handle = on_connection_delete },

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

    { "GET", "/healthz", "healthz", ADM_PUBLIC, NULL, NULL, 0, NULL, 200, NULL, RUNS_INLINE, FAILS_403, NULL,
      .handle = on_healthz_get, .at = AT_ROOT },
    { "GET", "/metrics", "get_metrics", ADM_PUBLIC, NULL, NULL, 0, NULL, 200, NULL, RUNS_INLINE, FAILS_400, NULL,
      .handle = on_metrics_get, .at = AT_TELEMETRY, .x_tally = true },
};
const size_t routes_n = ARRAY_SIZE(routes);

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
