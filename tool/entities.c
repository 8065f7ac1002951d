/* The rows of users, folders and administrators: columns, and what is not given when one is made. */
#include <string.h>

#include "tool/command.h"
#include "tool/entity.h"
#include "tool/member.h"
#include "tool/table.h"

static uint64_t number_of(struct json_object *o, const char *name)
{
    int64_t n = json_number(o, name, 0);

    return n > 0 ? (uint64_t)n : 0;
}

static const char *state_of(struct json_object *o)
{
    return json_number(o, "status", 0) != 0 ? "on" : "off";
}

/* ---- users ---- */

static const struct column user_columns[] = {
    { "USER", 0, 8, 0, 0 },
    { "STATUS", 0, 0, 4, 0 },
    { "USED", COLUMN_RIGHT, 0, 0, 0 },
    { "LIMIT", COLUMN_RIGHT, 0, 1, 0 },
    { "FULL", COLUMN_RIGHT, 0, 2, 0 },
    { "FILES", COLUMN_RIGHT, 0, 3, 0 },
    { "LAST LOGIN", 0, 0, 5, 0 },
    { "HOME", COLUMN_PATH, 12, 6, 0 },
};

static void user_row(struct json_object *u, const char **cells, char (*numbers)[TEXT_NUMBER_MAX])
{
    uint64_t used = number_of(u, "used_quota_size");
    uint64_t limit = number_of(u, "quota_size");

    cells[0] = json_text(u, "username");
    cells[1] = state_of(u);
    cells[2] = text_bytes(numbers[2], used);
    cells[3] = limit > 0 ? text_bytes(numbers[3], limit) : "-";
    cells[4] = text_share(numbers[4], used, limit);
    cells[5] = text_count(numbers[5], number_of(u, "used_quota_files"));
    cells[6] = text_time(numbers[6], json_number(u, "last_login", 0));
    cells[7] = json_text(u, "home_dir");
}

static int user_prepare(struct json_object *body)
{
    if (json_member(body, "permissions") == NULL) {
        struct json_object *all = json_object_new_array();
        struct json_object *map = json_object_new_object();
        json_object_array_add(all, json_object_new_string("*"));
        json_object_object_add(map, "/", all);
        json_object_object_add(body, "permissions", map);
    }
    if (json_member(body, "status") == NULL)
        json_object_object_add(body, "status", json_object_new_int(1));
    if (json_member(body, "password") == NULL && json_member(body, "public_keys") == NULL)
        return tool_fail(TOOL_USAGE, "a user needs password=- or public_keys=");
    return TOOL_OK;
}

static const struct entity users = {
    .noun = "users",
    .one = "user",
    .key = "username",
    .of = OF_USERS,
    .columns = user_columns,
    .columns_n = ARRAY_SIZE(user_columns),
    .row = user_row,
    .prepare = user_prepare,
    .keeps_includes = true,
};

/* ---- folders ---- */

static const struct column folder_columns[] = {
    { "FOLDER", 0, 8, 0, 0 },           { "USED", COLUMN_RIGHT, 0, 0, 0 },      { "FILES", COLUMN_RIGHT, 0, 1, 0 },
    { "USERS", COLUMN_RIGHT, 0, 2, 0 }, { "DIRECTORY", COLUMN_PATH, 12, 3, 0 },
};

static void folder_row(struct json_object *f, const char **cells, char (*numbers)[TEXT_NUMBER_MAX])
{
    struct json_object *of = json_member(f, "users");

    cells[0] = json_text(f, "name");
    cells[1] = text_bytes(numbers[1], number_of(f, "used_quota_size"));
    cells[2] = text_count(numbers[2], number_of(f, "used_quota_files"));
    cells[3] = text_count(numbers[3], of != NULL ? json_object_array_length(of) : 0);
    cells[4] = json_text(f, "mapped_path");
}

static const struct entity folders = {
    .noun = "folders",
    .one = "folder",
    .key = "name",
    .of = OF_FOLDERS,
    .columns = folder_columns,
    .columns_n = ARRAY_SIZE(folder_columns),
    .row = folder_row,
};

/* ---- administrators ---- */

static const struct column admin_columns[] = {
    { "ADMIN", 0, 8, 0, 0 },
    { "STATUS", 0, 0, 1, 0 },
    { "LAST LOGIN", 0, 0, 2, 0 },
    { "RIGHTS", 0, 8, 3, 0 },
};

/* "*", or how many. */
static const char *rights_of(struct json_object *a, char *to)
{
    struct json_object *list = json_member(a, "permissions");
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    if (n == 1)
        return json_object_get_string(json_object_array_get_idx(list, 0));
    snprintf(to, TEXT_NUMBER_MAX, "%zu rights", n);
    return to;
}

static void admin_row(struct json_object *a, const char **cells, char (*numbers)[TEXT_NUMBER_MAX])
{
    cells[0] = json_text(a, "username");
    cells[1] = state_of(a);
    cells[2] = text_time(numbers[2], json_number(a, "last_login", 0));
    cells[3] = rights_of(a, numbers[3]);
}

static int admin_prepare(struct json_object *body)
{
    if (json_member(body, "status") == NULL)
        json_object_object_add(body, "status", json_object_new_int(1));
    if (json_member(body, "password") == NULL)
        return tool_fail(TOOL_USAGE, "an administrator needs password=-");
    return TOOL_OK;
}

static const struct entity admins = {
    .noun = "admins",
    .one = "administrator",
    .key = "username",
    .of = OF_ADMINS,
    .columns = admin_columns,
    .columns_n = ARRAY_SIZE(admin_columns),
    .row = admin_row,
    .prepare = admin_prepare,
};

/* ---- the commands: a verb of a noun ---- */

#define VERB(noun, verb)                                                                                               \
    int on_##noun##_##verb(struct tool *t)                                                                             \
    {                                                                                                                  \
        return entity_##verb(t, &noun);                                                                                \
    }
#define VERBS(noun) VERB(noun, list) VERB(noun, show) VERB(noun, add) VERB(noun, set) VERB(noun, remove)

VERBS(users)
VERBS(folders)
VERBS(admins)
