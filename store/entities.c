/* The field tables of folders, administrators and of what they share with users.
 *
 * `filesystem` is shown as SFTPGo shows it: the provider, and a sub-configuration for each storage that we do not have.
 * For users those are empty objects, for folders they hold empty secrets (contract/rest.md §4.4). */
#include "store/entities.h"

#include <limits.h>
#include <string.h>

#include "store/entity_parts.h"
#include "store/password.h"
#include "store/rules.h"

struct json_object *json_find_nocase(struct json_object *o, const char *name, bool *ret_there)
{
    struct json_object *found = NULL;

    *ret_there = false;
    json_object_object_foreach (o, key, value) {
        if (!str_equal_nocase(key, name))
            continue;
        found = value;
        *ret_there = true;
    }
    return found;
}

/* ---- filesystem ---- */

/* Configurations of storage that we do not have are read over, but a wrong type is a mistake of the caller's. */
static int filesystem_configs_check(struct json_object *in, const char *name, struct why *reterr_why)
{
    static const char *const members[] = { "osconfig",    "s3config",   "gcsconfig", "azblobconfig",
                                           "cryptconfig", "sftpconfig", "httpconfig" };
    bool there;

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        struct json_object *config = json_find_nocase(in, members[i], &there);
        if (config && !json_object_is_type(config, json_type_object))
            return why_set(reterr_why, -EINVAL, name, "must have an object as %s", members[i]);
    }
    return 0;
}

static int filesystem_parse(struct json_object *in, void *member, const char *name, struct why *reterr_why)
{
    struct filesystem *f = member;
    bool there;

    if (!in)
        return 0;
    if (!json_object_is_type(in, json_type_object))
        return why_set(reterr_why, -EINVAL, name, "must be an object");
    int r = filesystem_configs_check(in, name, reterr_why);
    if (r < 0)
        return r;
    struct json_object *provider = json_find_nocase(in, "provider", &there);
    if (!provider)
        return 0;
    int64_t n = json_object_get_int64(provider);
    if (!json_object_is_type(provider, json_type_int) || n < 0 || n > INT32_MAX)
        return why_set(reterr_why, -EINVAL, name, "must have an integer as provider");
    f->provider = (int32_t)n;
    return 0;
}

static void filesystem_write(const struct filesystem *f, const char *configs, struct json_out *out)
{
    json_begin(out, '{');
    json_name_int(out, "provider", f->provider);
    json_raw(out, configs, strlen(configs));
    json_end(out, '}');
}

static void user_filesystem_write(const void *member, struct json_out *out)
{
    filesystem_write(member,
                     "\"s3config\":{},\"gcsconfig\":{},\"azblobconfig\":{},\"cryptconfig\":{},\"sftpconfig\":{}", out);
}

static void folder_filesystem_write(const void *member, struct json_out *out)
{
    filesystem_write(member,
                     "\"s3config\":{\"access_secret\":{}},\"gcsconfig\":{\"credentials\":{}},"
                     "\"azblobconfig\":{\"account_key\":{},\"sas_url\":{}},\"cryptconfig\":{\"passphrase\":{}},"
                     "\"sftpconfig\":{\"password\":{},\"private_key\":{}}",
                     out);
}

static int filesystem_copy(void *to, const void *from)
{
    memcpy(to, from, sizeof(struct filesystem));
    return 0;
}

static void filesystem_done(void *member)
{
    memset(member, 0, sizeof(struct filesystem));
}

static bool filesystem_is_empty(const void *member)
{
    (void)member;
    return false; /* always shown */
}

const struct field_codec user_filesystem_codec = { filesystem_parse, user_filesystem_write, filesystem_copy,
                                                   filesystem_done, filesystem_is_empty };
const struct field_codec folder_filesystem_codec = { filesystem_parse, folder_filesystem_write, filesystem_copy,
                                                     filesystem_done, filesystem_is_empty };

/* ---- secrets, second factor ---- */

static const struct field secret_fields[] = {
    F_STRING(struct secret, status, .flags = FIELD_OMIT_EMPTY, .max = 64),
    F_STRING(struct secret, payload, .flags = FIELD_OMIT_EMPTY, .max = 16384),
    F_STRING(struct secret, key, .flags = FIELD_OMIT_EMPTY | FIELD_HIDDEN, .max = 16384),
    F_STRING(struct secret, additional_data, .flags = FIELD_OMIT_EMPTY | FIELD_HIDDEN, .max = 16384),
    F_I32(struct secret, mode, .flags = FIELD_OMIT_EMPTY),
};
const struct schema secret_schema = SCHEMA("secret", struct secret, secret_fields);

static const struct field user_totp_fields[] = {
    F_BOOL(struct totp_config, enabled, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct totp_config, config_name, .flags = FIELD_OMIT_EMPTY, .max = 255),
    F_OBJECT(struct totp_config, secret, &secret_schema),
    F_STRINGS(struct totp_config, protocols, .flags = FIELD_OMIT_EMPTY),
};
const struct schema user_totp_schema = SCHEMA("totp_config", struct totp_config, user_totp_fields);

static const struct field admin_totp_fields[] = {
    F_BOOL(struct totp_config, enabled, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct totp_config, config_name, .flags = FIELD_OMIT_EMPTY, .max = 255),
    F_OBJECT(struct totp_config, secret, &secret_schema, .flags = FIELD_OMIT_EMPTY),
    F_STRINGS(struct totp_config, protocols, .flags = FIELD_OMIT_EMPTY | FIELD_HIDDEN), /* of users only */
};
const struct schema admin_totp_schema = SCHEMA("totp_config", struct totp_config, admin_totp_fields);

static const struct field recovery_code_fields[] = {
    F_OBJECT(struct recovery_code, secret, &secret_schema),
    F_BOOL(struct recovery_code, used, .flags = FIELD_OMIT_EMPTY),
};
const struct schema recovery_code_schema = SCHEMA("recovery_code", struct recovery_code, recovery_code_fields);

/* ---- folders ---- */

/* The rows of a folder, alone and flattened into a virtual folder. `S`: the struct; `p`: the way to the folder. */
#define FOLDER_ROWS_BEFORE(S, p)                                                                                       \
    F_I64(S, p id, .wire = "id", .flags = FIELD_READ_ONLY),                                                            \
        F_STRING(S, p name, .wire = "name", .flags = FIELD_KEY, .max = 255),                                           \
        F_STRING(S, p mapped_path, .wire = "mapped_path", .flags = FIELD_OMIT_EMPTY, .max = PATH_MAX - 1),             \
        F_STRING(S, p description, .wire = "description", .flags = FIELD_OMIT_EMPTY)
#define FOLDER_ROWS_USAGE(S, p)                                                                                        \
    F_I64(S, p used_quota_size, .wire = "used_quota_size", .flags = FIELD_READ_ONLY),                                  \
        F_I64(S, p used_quota_files, .wire = "used_quota_files", .flags = FIELD_READ_ONLY),                            \
        F_I64(S, p last_quota_update_ms, .wire = "last_quota_update", .flags = FIELD_READ_ONLY)
#define FOLDER_ROWS_AFTER(S, p)                                                                                        \
    F_STRINGS(S, p users, .wire = "users", .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .max = INT32_MAX),             \
        F_CUSTOM(S, p filesystem, &folder_filesystem_codec, .wire = "filesystem")

enum { FOLDER_BEFORE = 4, FOLDER_AFTER = 2 };

static const struct field folder_fields[] = {
    FOLDER_ROWS_BEFORE(struct folder, ),
    FOLDER_ROWS_USAGE(struct folder, ),
    FOLDER_ROWS_AFTER(struct folder, ),
};
_Static_assert(ARRAY_SIZE(folder_fields) == FOLDER_BEFORE + USAGE_MEMBERS + FOLDER_AFTER, "rows of a folder");

const struct schema folder_schema = SCHEMA("folder", struct folder, folder_fields);
const struct schema folder_before_usage = { "folder", sizeof(struct folder), folder_fields, FOLDER_BEFORE, NULL };
const struct schema folder_after_usage = { "folder", sizeof(struct folder),
                                           folder_fields + FOLDER_BEFORE + USAGE_MEMBERS, FOLDER_AFTER, NULL };

static const struct field virtual_folder_fields[] = {
    FOLDER_ROWS_BEFORE(struct virtual_folder, folder.),
    FOLDER_ROWS_USAGE(struct virtual_folder, folder.),
    FOLDER_ROWS_AFTER(struct virtual_folder, folder.),
    F_STRING(struct virtual_folder, virtual_path, .max = PATH_MAX - 1),
    F_I64(struct virtual_folder, quota_size, .min = -1, .max = INT64_MAX),
    F_I64(struct virtual_folder, quota_files, .min = -1, .max = INT64_MAX),
};
const struct schema virtual_folder_schema = SCHEMA("virtual_folder", struct virtual_folder, virtual_folder_fields);

/* ---- administrators ---- */

static const struct field admin_filter_fields[] = {
    F_STRINGS(struct admin_filters, allow_list, .flags = FIELD_OMIT_EMPTY),
    F_BOOL(struct admin_filters, allow_api_key_auth, .flags = FIELD_OMIT_EMPTY),
    F_OBJECT(struct admin_filters, totp_config, &admin_totp_schema, .flags = FIELD_READ_ONLY),
    F_OBJECTS(struct admin_filters, recovery_codes, .sub = &recovery_code_schema,
              .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY),
};
static const struct schema admin_filters_schema = SCHEMA("filters", struct admin_filters, admin_filter_fields);

static const struct field admin_fields[] = {
    F_I64(struct admin, id, .flags = FIELD_READ_ONLY),
    F_I32(struct admin, status),
    F_STRING(struct admin, username, .flags = FIELD_KEY, .max = 255),
    F_STRING(struct admin, password, .flags = FIELD_WRITE_ONLY | FIELD_OMIT_EMPTY, .max = PASSWORD_MAX),
    F_STRING(struct admin, email, .flags = FIELD_OMIT_EMPTY, .max = 320),
    F_STRINGS(struct admin, permissions),
    F_OBJECT(struct admin, filters, &admin_filters_schema),
    F_STRING(struct admin, description, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct admin, additional_info, .flags = FIELD_OMIT_EMPTY),
    F_I64(struct admin, created_at_ms, .wire = "created_at", .flags = FIELD_READ_ONLY),
    F_I64(struct admin, updated_at_ms, .wire = "updated_at", .flags = FIELD_READ_ONLY),
    F_I64(struct admin, last_login_ms, .wire = "last_login", .flags = FIELD_READ_ONLY),
};
const struct schema admin_schema = SCHEMA("admin", struct admin, admin_fields);

void folder_done(struct folder *f)
{
    schema_done(&folder_schema, f);
}

void admin_done(struct admin *a)
{
    schema_done(&admin_schema, a);
}
