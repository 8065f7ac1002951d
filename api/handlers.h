/* The handlers that the rows of route.c name, and what they share. */
#pragma once

#include "api/route.h"
#include "api/state.h"

route_fn on_token_get, on_logout_get, on_changepwd_put, on_version_get, on_status_get, on_healthz_get, on_metrics_get;
route_fn on_users_list, on_user_post, on_user_get, on_user_put, on_user_delete;
route_fn on_folders_list, on_folder_post, on_folder_get, on_folder_put, on_folder_delete;
route_fn on_admins_list, on_admin_post, on_admin_get, on_admin_put, on_admin_delete;
route_fn on_connections_list, on_connection_delete;
route_fn on_user_scans_list, on_folder_scans_list, on_user_scan_post, on_folder_scan_post, on_user_scan_delete,
    on_folder_scan_delete;
route_fn on_user_usage_put, on_folder_usage_put, on_user_usage_get, on_folder_usage_get;
route_fn on_dumpdata_get, on_loaddata_get, on_loaddata_post;
route_load_fn on_user_put_load, on_folder_put_load, on_admin_put_load;

/* page_of - offset, limit and order of a query. 0 or REPLIED. */
int page_of(struct http_request *rq, struct page *ret);

/* said_why - a store function's result, with its reason: validation becomes 400 with the reason in words. */
int said_why(struct http_request *rq, int r);

/* tell_changed - "<kind>_changed" to all other roles. `key` is "username" or "name". */
void tell_changed(struct apid *a, const char *event, const char *key, const char *name, int64_t id, bool removed,
                  bool disconnect);

/* ask_failed - the reply when another role could not be asked: 503. Returns REPLIED, or `r` if it is an answer. */
int ask_failed(struct http_request *rq, const char *who, int r);
