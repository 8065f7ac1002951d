/* A body has only what changes: PUT merges (contract/rest.md §4.7), and what another administrator changes meanwhile is
 * not undone. A member that is changed in part (a list, one path of the permissions) is sent whole, from what GET gave.
 */
#include "tool/member.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tool/secret.h"
#include "tool/text.h"
#include "tool/tool.h"

enum { NAME_MAX_BYTES = 128, LIST_MAX = 1000 };

const struct member_row member_rows[] = {
    { "status", MEMBER_SWITCH, OF_USERS | OF_ADMINS, false, "on or off" },
    { "username", MEMBER_TEXT, OF_USERS | OF_ADMINS, true, "the name" },
    { "name", MEMBER_TEXT, OF_FOLDERS | OF_KEYS, false, "the name" },
    { "password", MEMBER_SECRET, OF_USERS | OF_ADMINS, false, "- asks for it; a hash is taken as it is" },
    { "public_keys", MEMBER_LIST, OF_USERS, false, "OpenSSH public keys" },
    { "email", MEMBER_TEXT, OF_USERS | OF_ADMINS, false, "mail address" },
    { "description", MEMBER_TEXT, OF_USERS | OF_FOLDERS | OF_ADMINS | OF_KEYS, false, "for people" },
    { "additional_info", MEMBER_TEXT, OF_USERS | OF_ADMINS, false, "for programs" },
    { "home_dir", MEMBER_TEXT, OF_USERS, false, "where the files lie" },
    { "mapped_path", MEMBER_TEXT, OF_FOLDERS, false, "where the files lie" },
    { "uid", MEMBER_COUNT, OF_USERS, false, "owner of the files; 0: the account tally" },
    { "gid", MEMBER_COUNT, OF_USERS, false, "group of the files" },
    { "quota_size", MEMBER_SIZE, OF_USERS, false, "limit of bytes, 10G; 0: none" },
    { "quota_files", MEMBER_COUNT, OF_USERS, false, "limit of files; 0: none" },
    { "used_quota_size", MEMBER_SIZE, OF_USERS | OF_FOLDERS, true, "bytes it holds" },
    { "used_quota_files", MEMBER_COUNT, OF_USERS | OF_FOLDERS, true, "files it holds" },
    { "max_sessions", MEMBER_COUNT, OF_USERS, false, "connections at a time; 0: no limit" },
    { "upload_bandwidth", MEMBER_COUNT, OF_USERS, false, "KB/s; 0: no limit" },
    { "download_bandwidth", MEMBER_COUNT, OF_USERS, false, "KB/s; 0: no limit" },
    { "expiration_date", MEMBER_DATE, OF_USERS, false, "2026-12-31, or never" },
    { "permissions", MEMBER_RIGHTS, OF_USERS, false,
      "rights at /, as list,download; permissions./DIR= for a directory" },
    { "permissions", MEMBER_LIST, OF_ADMINS, false, "rights: *, view_users, ..." },
    { "virtual_folders", MEMBER_INCLUDES, OF_USERS, false, "+=FOLDER:/PATH[:SIZE[:FILES]]; -=FOLDER" },
    { "filters.allowed_ip", MEMBER_LIST, OF_USERS, false, "networks that may log in, 192.0.2.0/24" },
    { "filters.denied_ip", MEMBER_LIST, OF_USERS, false, "networks that may not" },
    { "filters.denied_login_methods", MEMBER_LIST, OF_USERS, false, "password, publickey, ..." },
    { "filters.denied_protocols", MEMBER_LIST, OF_USERS, false, "SSH, HTTP" },
    { "filters.web_client", MEMBER_LIST, OF_USERS, false, "what the user may not do over HTTP" },
    { "filters.max_upload_file_size", MEMBER_SIZE, OF_USERS, false, "of one file; 0: no limit" },
    { "filters.allow_api_key_auth", MEMBER_FLAG, OF_USERS | OF_ADMINS, false, "may be impersonated by an API key" },
    { "filters.allow_list", MEMBER_LIST, OF_ADMINS, false, "networks that may log in" },
    { "users", MEMBER_LIST, OF_FOLDERS, true, "who includes it" },
    { "scope", MEMBER_COUNT, OF_KEYS, false, "1 for administrators, 2 for users" },
    { "user", MEMBER_TEXT, OF_KEYS, false, "the user it stands for" },
    { "admin", MEMBER_TEXT, OF_KEYS, false, "the administrator it stands for" },
    { "expires_at", MEMBER_DATE, OF_KEYS, false, "2026-12-31, or never" },
    { "last_use_at", MEMBER_DATE, OF_KEYS, true, "when it was used last" },
    { "last_quota_update", MEMBER_DATE, OF_USERS | OF_FOLDERS, true, "when the usage changed last" },
    { "last_login", MEMBER_DATE, OF_USERS | OF_ADMINS, true, "when they logged in last" },
    { "created_at", MEMBER_DATE, OF_USERS | OF_ADMINS | OF_KEYS, true, "when it was made" },
    { "updated_at", MEMBER_DATE, OF_USERS | OF_ADMINS | OF_KEYS, true, "when it was changed last" },
};
const size_t member_rows_n = ARRAY_SIZE(member_rows);

const struct member_row *member_find(const char *name, unsigned of)
{
    for (size_t i = 0; i < ARRAY_SIZE(member_rows); i++)
        if ((member_rows[i].of & of) != 0 && strcmp(member_rows[i].name, name) == 0)
            return &member_rows[i];
    return NULL;
}

/* ---- an assignment, taken apart ---- */

enum operation { SETS, ADDS, TAKES, SETS_JSON };

struct assignment {
    char name[NAME_MAX_BYTES]; /* "filters.allowed_ip" */
    char path[PATH_MAX];       /* "/pub" of "permissions./pub"; empty if none */
    enum operation operation;
    const char *value; /* borrowed */
    const struct member_row *row;
};

static enum operation operation_of(const char *text, size_t *len)
{
    static const struct {
        char sign;
        enum operation operation;
    } rows[] = { { '+', ADDS }, { '-', TAKES }, { ':', SETS_JSON } };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (*len > 0 && text[*len - 1] == rows[i].sign) {
            --*len;
            return rows[i].operation;
        }
    return SETS;
}

static void split_path(struct assignment *a)
{
    static const char before[] = "permissions.";

    a->path[0] = '\0';
    if (strncmp(a->name, before, sizeof before - 1) != 0)
        return;
    str_set(a->path, sizeof a->path, a->name + sizeof before - 1);
    a->name[sizeof before - 2] = '\0';
}

static int unknown_member(const struct assignment *a, unsigned of)
{
    struct strbuf names = STRBUF(4096);

    for (size_t i = 0; i < ARRAY_SIZE(member_rows); i++)
        if ((member_rows[i].of & of) != 0 && !member_rows[i].read_only)
            strbuf_addf(&names, "%s%s", names.len > 0 ? ", " : "", member_rows[i].name);
    tool_fail(TOOL_USAGE, "\"%s\" is no member that can be set; there are: %s. Another member of the API: NAME:=JSON",
              a->name, names.s ? names.s : "");
    strbuf_done(&names);
    return TOOL_USAGE;
}

static int assignment_split(const char *text, unsigned of, struct assignment *ret)
{
    const char *sign = strchr(text, '=');
    size_t len = sign != NULL ? (size_t)(sign - text) : 0;

    ret->operation = sign != NULL ? operation_of(text, &len) : SETS;
    if (sign == NULL || len == 0 || len >= sizeof ret->name)
        return tool_fail(TOOL_USAGE, "\"%.200s\" is not FIELD=VALUE", text);
    memcpy(ret->name, text, len);
    ret->name[len] = '\0';
    ret->value = sign + 1;
    split_path(ret);
    ret->row = member_find(ret->name, of);
    if (ret->row == NULL && ret->operation != SETS_JSON)
        return unknown_member(ret, of);
    if (ret->row != NULL && ret->row->read_only)
        return tool_fail(TOOL_USAGE, "%s cannot be set: it is %s", ret->name, ret->row->help);
    return TOOL_OK;
}

/* ---- values ---- */

static int bad_value(const struct assignment *a, const char *wants)
{
    return tool_fail(TOOL_USAGE, "%s: \"%.200s\" is not %s", a->name, a->value, wants);
}

static int value_word(const struct assignment *a, struct json_object **ret)
{
    static const struct {
        const char *word;
        bool on;
    } words[] = { { "on", true },   { "1", true },  { "true", true },   { "yes", true },
                  { "off", false }, { "0", false }, { "false", false }, { "no", false } };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (str_equal_nocase(a->value, words[i].word)) {
            *ret =
                a->row->kind == MEMBER_FLAG ? json_object_new_boolean(words[i].on) : json_object_new_int(words[i].on);
            return TOOL_OK;
        }
    return bad_value(a, "on or off");
}

static int value_number(const struct assignment *a, struct json_object **ret)
{
    int64_t n;
    int r;

    if (a->row->kind == MEMBER_DATE)
        r = text_time_parse(a->value, &n);
    else
        r = a->row->kind == MEMBER_SIZE ? text_size_parse(a->value, &n) : str_int(a->value, 0, INT64_MAX, &n);
    if (r < 0)
        return bad_value(a, a->row->kind == MEMBER_DATE   ? "a date like 2026-12-31, or never"
                            : a->row->kind == MEMBER_SIZE ? "a size like 10G"
                                                          : "a number");
    *ret = json_object_new_int64(n);
    return TOOL_OK;
}

/* "-" asks on the terminal, or takes a line of stdin where there is none. */
static int value_secret(const struct assignment *a, struct json_object **ret)
{
    CLEANUP(mem_free) char *secret = NULL;

    if (strcmp(a->value, "-") != 0) {
        *ret = json_object_new_string(a->value);
        return TOOL_OK;
    }
    int status = isatty(STDIN_FILENO) == 1 ? secret_ask("New password: ", &secret) : secret_from_file("-", &secret);
    if (status == TOOL_OK) {
        *ret = json_object_new_string(secret);
        explicit_bzero(secret, strlen(secret));
    }
    return status;
}

/* "a,b" as a list. Public keys may have commas in their comments, and are one a line. */
static struct json_object *list_of(const char *text, const char *separators)
{
    struct json_object *list = json_object_new_array();

    for (size_t n = 0; *text != '\0' && n < LIST_MAX; n++) {
        size_t len = strcspn(text, separators);
        if (len > 0)
            json_object_array_add(list, json_object_new_string_len(text, (int)len));
        text += len + (text[len] != '\0');
    }
    return list;
}

static const char *separators_of(const struct assignment *a)
{
    return strcmp(a->name, "public_keys") == 0 ? "\n" : ",";
}

static bool list_has(struct json_object *list, const char *s)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), s) == 0)
            return true;
    return false;
}

/* What `list` has, with or without what `change` has. */
static struct json_object *list_changed(struct json_object *list, struct json_object *change, enum operation operation)
{
    struct json_object *made = json_object_new_array();
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < n; i++) {
        struct json_object *entry = json_object_array_get_idx(list, i);
        if (!list_has(change, json_object_get_string(entry)))
            json_object_array_add(made, json_object_get(entry));
    }
    for (size_t i = 0; operation == ADDS && i < json_object_array_length(change); i++)
        json_object_array_add(made, json_object_get(json_object_array_get_idx(change, i)));
    return made;
}

static int value_list(const struct assignment *a, struct json_object *now, struct json_object **ret)
{
    struct json_object *given = list_of(a->value, separators_of(a));

    if (a->operation == SETS) {
        *ret = given;
        return TOOL_OK;
    }
    *ret = list_changed(now, given, a->operation);
    json_object_put(given);
    return TOOL_OK;
}

/* The whole map, with the entry of one path changed; without a path: of "/". */
static int value_rights(const struct assignment *a, struct json_object *now, struct json_object **ret)
{
    const char *path = a->path[0] != '\0' ? a->path : "/";
    struct json_object *map = json_object_new_object();
    struct json_object *before = json_member(now, path);

    if (json_object_is_type(now, json_type_object)) {
        json_object_object_foreach (now, key, value) {
            json_object_object_add(map, key, json_object_get(value));
        }
    }
    struct json_object *given = list_of(a->value, ",");
    struct json_object *list =
        a->operation == SETS ? json_object_get(given) : list_changed(before, given, a->operation);
    json_object_put(given);
    if (json_object_array_length(list) > 0)
        json_object_object_add(map, path, list);
    else {
        json_object_object_del(map, path);
        json_object_put(list);
    }
    *ret = map;
    return TOOL_OK;
}

/* "photos:/pics:5G:1000". Limits that are not given: -1, it counts for the user. */
static int include_parse(const struct assignment *a, struct json_object **ret)
{
    char text[PATH_MAX + 600];
    char *rest = text;
    const char *parts[4] = { NULL };
    int64_t size = -1;
    int64_t files = -1;

    if (!str_set(text, sizeof text, a->value))
        return bad_value(a, "FOLDER:/PATH[:SIZE[:FILES]]");
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        parts[i] = strsep(&rest, ":");
    if (rest != NULL || parts[1] == NULL || parts[0][0] == '\0' || parts[1][0] != '/' ||
        (parts[2] != NULL && strcmp(parts[2], "-1") != 0 && text_size_parse(parts[2], &size) < 0) ||
        (parts[3] != NULL && str_int(parts[3], -1, INT64_MAX, &files) < 0))
        return bad_value(a, "FOLDER:/PATH[:SIZE[:FILES]]");
    if (size >= 0 && files < 0)
        files = 0;
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "name", json_object_new_string(parts[0]));
    json_object_object_add(o, "virtual_path", json_object_new_string(parts[1]));
    json_object_object_add(o, "quota_size", json_object_new_int64(size));
    json_object_object_add(o, "quota_files", json_object_new_int64(files));
    *ret = o;
    return TOOL_OK;
}

static int value_includes(const struct assignment *a, struct json_object *now, struct json_object **ret)
{
    struct json_object *added = NULL;
    int status = a->operation == TAKES || a->value[0] == '\0' ? TOOL_OK : include_parse(a, &added);
    const char *name = a->operation == TAKES ? a->value : NULL;
    size_t n = json_object_is_type(now, json_type_array) && a->operation != SETS ? json_object_array_length(now) : 0;
    bool found = false;

    if (status != TOOL_OK)
        return status;
    *ret = json_object_new_array();
    for (size_t i = 0; i < n; i++) {
        struct json_object *entry = json_object_array_get_idx(now, i);
        const char *its = json_text(entry, "name");
        if (name != NULL && its != NULL && strcmp(its, name) == 0)
            found = true;
        else
            json_object_array_add(*ret, json_object_get(entry));
    }
    if (added != NULL)
        json_object_array_add(*ret, added);
    return name == NULL || found ? TOOL_OK : tool_fail(TOOL_REFUSED, "the folder \"%s\" is not included", name);
}

static int value_json(const struct assignment *a, struct json_object **ret)
{
    struct why why = { 0 };

    if (json_in(a->value, strlen(a->value), JSON_WHOLE, ret, &why) < 0)
        return tool_fail(TOOL_USAGE, "%s: \"%.200s\" is no JSON: %s", a->name, a->value, why.text);
    return TOOL_OK;
}

static int value_of(const struct assignment *a, struct json_object *now, struct json_object **ret)
{
    if (a->operation == SETS_JSON)
        return value_json(a, ret);
    switch (a->row->kind) {
    case MEMBER_LIST:
        return value_list(a, now, ret);
    case MEMBER_RIGHTS:
        return value_rights(a, now, ret);
    case MEMBER_INCLUDES:
        return value_includes(a, now, ret);
    default:
        break;
    }
    if (a->operation != SETS)
        return tool_fail(TOOL_USAGE, "%s is no list: it takes =", a->name);
    switch (a->row->kind) {
    case MEMBER_SWITCH:
    case MEMBER_FLAG:
        return value_word(a, ret);
    case MEMBER_COUNT:
    case MEMBER_SIZE:
    case MEMBER_DATE:
        return value_number(a, ret);
    case MEMBER_SECRET:
        return value_secret(a, ret);
    default:
        *ret = json_object_new_string(a->value);
        return TOOL_OK;
    }
}

/* ---- into the body ---- */

/* The object that holds the last part of a dotted name, made where it is not; *ret_last is that part. */
static struct json_object *holder_of(struct json_object *o, const char *name, bool makes, const char **ret_last)
{
    const char *dot = strchr(name, '.');
    char part[NAME_MAX_BYTES];

    *ret_last = dot != NULL ? dot + 1 : name;
    if (dot == NULL)
        return o;
    snprintf(part, sizeof part, "%.*s", (int)(dot - name), name);
    struct json_object *inner = json_member(o, part);
    if (inner == NULL && makes) {
        inner = json_object_new_object();
        json_object_object_add(o, part, inner);
    }
    return inner;
}

int member_assign(const char *assignment, unsigned of, struct json_object *now, struct json_object *body)
{
    static struct assignment a; /* large, and used once at a time */
    struct json_object *value = NULL;
    const char *last;
    int status = assignment_split(assignment, of, &a);

    if (status != TOOL_OK)
        return status;
    struct json_object *target = holder_of(body, a.name, true, &last);
    struct json_object *source = holder_of(now, a.name, false, &last);
    struct json_object *before = json_member(target, last); /* an earlier assignment of this command line */
    status = value_of(&a, before != NULL ? before : json_member(source, last), &value);
    if (status == TOOL_OK)
        json_object_object_add(target, last, value);
    else
        json_object_put(value);
    return status;
}

/* ---- reading ---- */

static void show_list(struct json_object *list, struct strbuf *to)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        strbuf_addf(to, "%s%s", i > 0 ? ", " : "", json_object_get_string(json_object_array_get_idx(list, i)));
}

static void show_include(struct json_object *entry, struct strbuf *to)
{
    char number[TEXT_NUMBER_MAX];
    const char *name = json_text(entry, "name");
    const char *path = json_text(entry, "virtual_path");
    int64_t size = json_number(entry, "quota_size", -1);

    strbuf_addf(to, "%s at %s", name ? name : "?", path ? path : "?");
    if (size >= 0)
        strbuf_addf(to, " (limit %s)", size > 0 ? text_bytes(number, (uint64_t)size) : "none");
}

static void show_size(int64_t n, struct strbuf *to)
{
    char bytes[TEXT_NUMBER_MAX];
    char count[TEXT_NUMBER_MAX];

    strbuf_adds(to, text_bytes(bytes, n > 0 ? (uint64_t)n : 0));
    if (n >= 1024)
        strbuf_addf(to, " (%s bytes)", text_count(count, (uint64_t)n));
}

static void show_rights(struct json_object *map, struct strbuf *to)
{
    json_object_object_foreach (map, path, list) {
        if (to->len > 0)
            strbuf_adds(to, "; ");
        strbuf_addf(to, "%s: ", path);
        if (json_object_is_type(list, json_type_array))
            show_list(list, to);
    }
}

static bool show_number(const struct member_row *row, struct json_object *value, struct strbuf *to)
{
    char number[TEXT_NUMBER_MAX];
    int64_t n = json_object_get_int64(value);

    if (row == NULL || !json_object_is_type(value, json_type_int))
        return false;
    if (row->kind == MEMBER_SIZE)
        show_size(n, to);
    else if (row->kind == MEMBER_DATE)
        strbuf_adds(to, text_time(number, n));
    else if (row->kind == MEMBER_SWITCH)
        strbuf_adds(to, n != 0 ? "on" : "off");
    else if (row->kind == MEMBER_COUNT && n >= 0)
        strbuf_adds(to, text_count(number, (uint64_t)n));
    else
        return false;
    return true;
}

void member_show(const struct member_row *row, struct json_object *value, struct strbuf *to)
{
    bool is_array = json_object_is_type(value, json_type_array);

    if (show_number(row, value, to))
        return;
    if (row != NULL && row->kind == MEMBER_RIGHTS && json_object_is_type(value, json_type_object))
        show_rights(value, to);
    else if (row != NULL && row->kind == MEMBER_INCLUDES && is_array)
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            strbuf_adds(to, i > 0 ? "; " : "");
            show_include(json_object_array_get_idx(value, i), to);
        }
    else if (row != NULL && row->kind == MEMBER_LIST && is_array)
        show_list(value, to);
    else
        strbuf_adds(to, json_object_get_string(value));
}
