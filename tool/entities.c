/* The rows of users, folders, administrators and API keys: columns, and what is not given when one is made. */
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
    .command = "users",
    .one = "user",
    .key = "username",
    .made_by = "username",
    .remark = " Files stay on the disk.",
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
    .command = "folders",
    .one = "folder",
    .key = "name",
    .made_by = "name",
    .remark = " Files stay on the disk.",
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
    .command = "admins",
    .one = "administrator",
    .key = "username",
    .made_by = "username",
    .remark = "",
    .of = OF_ADMINS,
    .columns = admin_columns,
    .columns_n = ARRAY_SIZE(admin_columns),
    .row = admin_row,
    .prepare = admin_prepare,
};

/* ---- API keys ---- */

static const struct column key_columns[] = {
    { "ID", 0, 8, 0, 0 },      { "NAME", 0, 8, 1, 0 },     { "FOR", 0, 6, 2, 0 },
    { "EXPIRES", 0, 0, 3, 0 }, { "LAST USE", 0, 0, 4, 0 },
};

/* "administrator bob", "any user" */
static const char *whose(struct json_object *k, char *to)
{
    bool is_admin = json_number(k, "scope", 0) == 1;
    const char *name = json_text(k, is_admin ? "admin" : "user");

    snprintf(to, TEXT_NUMBER_MAX, "%s%s%.30s", name == NULL || name[0] == '\0' ? "any " : "",
             is_admin ? "administrator " : "user ", name ? name : "");
    return to;
}

static void key_row(struct json_object *k, const char **cells, char (*numbers)[TEXT_NUMBER_MAX])
{
    cells[0] = json_text(k, "id");
    cells[1] = json_text(k, "name");
    cells[2] = whose(k, numbers[2]);
    cells[3] = text_time(numbers[3], json_number(k, "expires_at", 0));
    cells[4] = text_time(numbers[4], json_number(k, "last_use_at", 0));
}

static int key_prepare(struct json_object *body)
{
    if (json_member(body, "scope") == NULL)
        json_object_object_add(body, "scope", json_object_new_int(json_member(body, "user") != NULL ? 2 : 1));
    return TOOL_OK;
}

static void key_say(struct json_object *made)
{
    const char *key = json_text(made, "key");

    printf("%s\nThis is the key; it is not shown again.\n", key ? key : "?");
}

static const struct entity keys = {
    .noun = "apikeys",
    .command = "keys",
    .one = "API key",
    .key = "id",
    .made_by = "name",
    .remark = " Who uses it is refused at once.",
    .of = OF_KEYS,
    .columns = key_columns,
    .columns_n = ARRAY_SIZE(key_columns),
    .row = key_row,
    .prepare = key_prepare,
    .say_made = key_say,
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
VERBS(keys)
