/* The field table of users, and the codec of the permissions map.
 *
 * A permissions map is an object of lists; in memory it is a sorted array of clean paths and bits. Names and shape are
 * checked while it is read, since bits remember neither a wrong name nor a list that was too long; an empty map or a
 * null leaves what is there (contract/rest.md §4.7). Whether "/" is there is user_check()'s. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "store/entity_parts.h"
#include "store/password.h"
#include "store/rules.h"

enum { DIRS_MAX = 1000 };

/* ---- permissions ---- */

static void perms_done(void *member)
{
    struct dir_perms_map *m = member;

    for (size_t i = 0; i < m->n; i++)
        free(m->v[i].path);
    free(m->v);
    *m = (struct dir_perms_map){ 0 };
}

static int perms_copy(void *to, const void *from)
{
    const struct dir_perms_map *f = from;
    struct dir_perms_map m = { .v = f->n > 0 ? calloc(f->n, sizeof(*f->v)) : NULL };

    if (f->n > 0 && !m.v)
        return -ENOMEM;
    for (; m.n < f->n; m.n++) {
        m.v[m.n] = (struct dir_perms){ strdup(f->v[m.n].path), f->v[m.n].perms };
        if (!m.v[m.n].path) {
            perms_done(&m);
            return -ENOMEM;
        }
    }
    *(struct dir_perms_map *)to = m;
    return 0;
}

static bool perms_is_empty(const void *member)
{
    return ((const struct dir_perms_map *)member)->n == 0;
}

static void perms_out(const void *member, struct json_out *out)
{
    const struct dir_perms_map *m = member;
    const char *names[PERMS_MAX];

    json_begin(out, '{');
    for (size_t i = 0; i < m->n; i++) {
        json_name(out, m->v[i].path);
        json_begin(out, '[');
        size_t n = perms_write(path_perms, m->v[i].perms, names);
        for (size_t k = 0; k < n; k++)
            json_str(out, names[k]);
        json_end(out, ']');
    }
    json_end(out, '}');
}

static int names_in(struct json_object *list, const char *name, const char *dir, uint32_t *ret, struct why *reterr_why)
{
    *ret = 0;
    if (!list)
        return 0;
    if (!json_object_is_type(list, json_type_array))
        return why_set(reterr_why, -EINVAL, name, "must have a list of names for \"%s\"", dir);
    size_t n = json_object_array_length(list);
    if (n > PERMS_MAX)
        return why_set(reterr_why, -EINVAL, name, "must not have more than %d names for \"%s\"", PERMS_MAX, dir);
    for (size_t i = 0; i < n; i++) {
        struct json_object *entry = json_object_array_get_idx(list, i);
        bool is_text = json_object_is_type(entry, json_type_string);
        uint32_t bit = is_text ? perm_of(path_perms, json_object_get_string(entry)) : 0;
        if (bit == 0)
            return why_set(reterr_why, -EINVAL, name, "must not have the unknown name \"%.64s\" for \"%s\"",
                           is_text ? json_object_get_string(entry) : "", dir);
        *ret |= bit;
    }
    return 0;
}

static int dir_in(const char *dir, struct json_object *list, const char *name, struct dir_perms *ret,
                  struct why *reterr_why)
{
    CLEANUP(mem_free) char *clean = NULL;
    uint32_t perms;

    if (!is_absolute(dir))
        return why_set(reterr_why, -EINVAL, name, "must have absolute paths as names, \"%s\" is none", dir);
    int r = path_clean(dir, &clean);
    if (r < 0)
        return why_set(reterr_why, r, name, "must not have a path longer than %d bytes", PATH_MAX - 1);
    if (strcmp(clean, "/") == 0 && strcmp(dir, "/") != 0)
        return why_set(reterr_why, -EINVAL, name, "must name the root directory \"/\", not \"%s\"", dir);
    r = names_in(list, name, dir, &perms, reterr_why);
    if (r == 0)
        *ret = (struct dir_perms){ TAKE_PTR(clean), perms };
    return r;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct dir_perms *)a)->path, ((const struct dir_perms *)b)->path);
}

static int perms_sort(struct dir_perms_map *m, const char *name, struct why *reterr_why)
{
    qsort(m->v, m->n, sizeof(*m->v), by_path);
    for (size_t i = 1; i < m->n; i++)
        if (strcmp(m->v[i - 1].path, m->v[i].path) == 0)
            return why_set(reterr_why, -EINVAL, name, "must not name \"%s\" twice", m->v[i].path);
    return 0;
}

static int perms_in(struct json_object *in, void *member, const char *name, struct why *reterr_why)
{
    struct dir_perms_map m = { 0 };
    int r = 0;

    if (!in || (json_object_is_type(in, json_type_object) && json_object_object_length(in) == 0))
        return 0;
    if (!json_object_is_type(in, json_type_object) || json_object_object_length(in) > DIRS_MAX)
        return why_set(reterr_why, -EINVAL, name, "must be an object of at most %d lists", DIRS_MAX);
    m.v = calloc((size_t)json_object_object_length(in), sizeof(*m.v));
    if (!m.v)
        return -ENOMEM;
    json_object_object_foreach (in, dir, list) {
        r = dir_in(dir, list, name, &m.v[m.n], reterr_why);
        if (r < 0)
            break;
        m.n++;
    }
    if (r == 0)
        r = perms_sort(&m, name, reterr_why);
    if (r < 0) {
        perms_done(&m);
        return r;
    }
    perms_done(member);
    *(struct dir_perms_map *)member = m;
    return 0;
}

static const struct field_codec perms_codec = { perms_in, perms_out, perms_copy, perms_done, perms_is_empty };

/* ---- filters ---- */

static const struct field pattern_fields[] = {
    F_STRING(struct pattern_filter, path, .max = PATH_MAX - 1),
    F_STRINGS(struct pattern_filter, allowed_patterns, .flags = FIELD_OMIT_EMPTY),
    F_STRINGS(struct pattern_filter, denied_patterns, .flags = FIELD_OMIT_EMPTY),
};
static const struct schema pattern_schema = SCHEMA("file_pattern", struct pattern_filter, pattern_fields);

static const struct field hooks_fields[] = {
    F_BOOL(struct hooks_filter, external_auth_disabled),
    F_BOOL(struct hooks_filter, pre_login_disabled),
    F_BOOL(struct hooks_filter, check_password_disabled),
};
static const struct schema hooks_schema = SCHEMA("hooks", struct hooks_filter, hooks_fields);

static const struct field filter_fields[] = {
    F_STRINGS(struct user_filters, allowed_ip, .flags = FIELD_OMIT_EMPTY),
    F_STRINGS(struct user_filters, denied_ip, .flags = FIELD_OMIT_EMPTY),
    F_STRINGS(struct user_filters, denied_login_methods, .flags = FIELD_OMIT_EMPTY),
    F_STRINGS(struct user_filters, denied_protocols, .flags = FIELD_OMIT_EMPTY),
    F_OBJECTS(struct user_filters, file_patterns, .sub = &pattern_schema, .flags = FIELD_OMIT_EMPTY),
    F_I64(struct user_filters, max_upload_file_size, .flags = FIELD_OMIT_EMPTY, .max = INT64_MAX),
    F_STRING(struct user_filters, tls_username, .flags = FIELD_OMIT_EMPTY, .max = 64),
    F_OBJECT(struct user_filters, hooks, &hooks_schema),
    F_BOOL(struct user_filters, disable_fs_checks, .flags = FIELD_OMIT_EMPTY),
    F_STRINGS(struct user_filters, web_client, .flags = FIELD_OMIT_EMPTY),
    F_BOOL(struct user_filters, allow_api_key_auth, .flags = FIELD_OMIT_EMPTY),
    F_OBJECT(struct user_filters, totp_config, &user_totp_schema, .flags = FIELD_READ_ONLY),
    F_OBJECTS(struct user_filters, recovery_codes, .sub = &recovery_code_schema,
              .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY),
    F_STRING(struct user_filters, user_type, .flags = FIELD_OMIT_EMPTY, .max = 64),
};
static const struct schema filters_schema = SCHEMA("filters", struct user_filters, filter_fields);

/* ---- users: the order is that of the contract; user_before_usage and user_after_usage are cut out of it ---- */

enum { USER_BEFORE = 14, USER_AFTER = 10 };

static const struct field user_fields[] = {
    F_I64(struct user, id, .flags = FIELD_READ_ONLY),
    F_I32(struct user, status),
    F_STRING(struct user, username, .flags = FIELD_KEY, .max = 255),
    F_STRING(struct user, email, .flags = FIELD_OMIT_EMPTY, .max = 320),
    F_I64(struct user, expiration_date_ms, .wire = "expiration_date"),
    F_STRING(struct user, password, .flags = FIELD_WRITE_ONLY | FIELD_OMIT_EMPTY, .max = PASSWORD_MAX),
    F_STRINGS(struct user, public_keys, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct user, home_dir, .max = PATH_MAX - 1),
    F_I64(struct user, uid, .max = INT32_MAX),
    F_I64(struct user, gid, .max = INT32_MAX),
    F_I64(struct user, max_sessions, .max = INT64_MAX),
    F_I64(struct user, quota_size, .max = INT64_MAX),
    F_I64(struct user, quota_files, .max = INT64_MAX),
    F_CUSTOM(struct user, permissions, &perms_codec),
    F_I64(struct user, used_quota_size, .flags = FIELD_READ_ONLY),
    F_I64(struct user, used_quota_files, .flags = FIELD_READ_ONLY),
    F_I64(struct user, last_quota_update_ms, .wire = "last_quota_update", .flags = FIELD_READ_ONLY),
    F_I64(struct user, upload_bandwidth, .max = INT64_MAX),
    F_I64(struct user, download_bandwidth, .max = INT64_MAX),
    F_I64(struct user, last_login_ms, .wire = "last_login", .flags = FIELD_READ_ONLY),
    F_I64(struct user, created_at_ms, .wire = "created_at", .flags = FIELD_READ_ONLY),
    F_I64(struct user, updated_at_ms, .wire = "updated_at", .flags = FIELD_READ_ONLY),
    F_OBJECT(struct user, filters, &filters_schema),
    F_STRING(struct user, description, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct user, additional_info, .flags = FIELD_OMIT_EMPTY),
    F_OBJECTS(struct user, virtual_folders, .sub = &virtual_folder_schema, .flags = FIELD_OMIT_EMPTY),
    F_CUSTOM(struct user, filesystem, &user_filesystem_codec),
};
_Static_assert(ARRAY_SIZE(user_fields) == USER_BEFORE + USAGE_MEMBERS + USER_AFTER, "rows of a user");

const struct schema user_schema = SCHEMA("user", struct user, user_fields);
const struct schema user_before_usage = { "user", sizeof(struct user), user_fields, USER_BEFORE, NULL };
const struct schema user_after_usage = { "user", sizeof(struct user), user_fields + USER_BEFORE + USAGE_MEMBERS,
                                         USER_AFTER, NULL };

void user_done(struct user *u)
{
    schema_done(&user_schema, u);
}
