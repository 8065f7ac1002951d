/* The handlers that the rows of route.c name, and what they share. */
#pragma once

#include "api/route.h"
#include "api/state.h"

route_fn on_token_get, on_user_token_get, on_logout_get, on_version_get, on_status_get, on_healthz_get, on_metrics_get,
    on_not_here, on_openapi_get, on_openapi_page_get;
route_fn on_changepwd_put, on_profile_get, on_profile_put, on_public_keys_get, on_public_keys_put;
route_fn on_totp_configs_get, on_totp_generate, on_totp_validate, on_totp_save, on_recovery_codes_get,
    on_recovery_codes_post, on_admin_2fa_disable, on_user_2fa_disable;
route_fn on_api_keys_list, on_api_key_post, on_api_key_get, on_api_key_put, on_api_key_delete;
route_fn on_users_list, on_user_post, on_user_get, on_user_put, on_user_delete;
route_fn on_folders_list, on_folder_post, on_folder_get, on_folder_put, on_folder_delete;
route_fn on_admins_list, on_admin_post, on_admin_get, on_admin_put, on_admin_delete;
route_fn on_connections_list, on_connection_delete;
route_fn on_hosts_list, on_host_get, on_host_delete, on_ban_time_get, on_score_get, on_unban_post;
route_fn on_user_scans_list, on_folder_scans_list, on_user_scan_post, on_folder_scan_post, on_user_scan_delete,
    on_folder_scan_delete;
route_fn on_user_usage_put, on_folder_usage_put, on_user_usage_get, on_folder_usage_get;
route_fn on_dumpdata_get, on_loaddata_get, on_loaddata_post;
route_load_fn on_user_put_load, on_folder_put_load, on_admin_put_load, on_profile_load, on_api_key_put_load;

/* totp_configs_write - the rows of mfa.totp as a list. */
void totp_configs_write(const struct config *c, struct strbuf *out);

/* list_write - a page of entities, by the query's offset, limit and order. 0, a negative errno or REPLIED. */
struct list_kind {
    int (*page)(struct store *s, const struct page *p, page_fn *write, void *arg);
    int (*one)(struct store *s, const char *name, page_fn *write, void *arg); /* NULL: not for one_write() */
    enum domain_kind live; /* whose numbers are added; DOMAIN_NONE: nobody's */
    int (*whole)(struct apid *a, const char *name, struct strbuf *out); /* one whose ready text does not suffice */
};
int list_write(struct http_request *rq, const struct list_kind *kind, struct strbuf *out);

/* one_write - the entity that the path names, as the list would show it. */
int one_write(struct http_request *rq, const struct list_kind *kind, struct strbuf *out);

/* list_add_live - appends ,"used_quota_size":…,"used_quota_files":…,"last_quota_update":… */
void list_add_live(struct apid *a, enum domain_kind kind, int64_t id, struct strbuf *out);

/* said_why - a store function's result, with its reason: validation becomes 400 with the reason in words. */
int said_why(struct http_request *rq, int r);

/* tell_changed - "<kind>_changed" to all other roles. `key` is "username" or "name". */
void tell_changed(struct apid *a, const char *event, const char *key, const char *name, int64_t id, bool removed,
                  bool disconnect);

/* ask_failed - the reply when another role could not be asked: 503. Returns REPLIED, or `r` if it is an answer. */
int ask_failed(struct http_request *rq, const char *who, int r);
