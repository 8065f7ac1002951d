/* Schemas and codecs of parts that several entities share. Inside store/ only. */
#pragma once

#include "store/entities.h"

extern const struct field_codec user_filesystem_codec, folder_filesystem_codec; /* of struct filesystem */
extern const struct schema user_totp_schema, admin_totp_schema, recovery_code_schema;

/* The rows of an entity before and behind the members that come from the usage map: used_quota_size, used_quota_files,
 * last_quota_update. */
extern const struct schema user_before_usage, user_after_usage, folder_before_usage, folder_after_usage;
enum { USAGE_MEMBERS = 3 };

/* json_find_nocase - a member by its name without regard to case, as bodies are read; the last one wins. *ret_there
 * tells a null from an absent member. Borrowed. */
struct json_object *json_find_nocase(struct json_object *o, const char *name, bool *ret_there);
