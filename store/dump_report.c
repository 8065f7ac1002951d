/* What a dump has and Tally has not. Three kinds: whole sections (groups, roles), members of known objects, and names
 * in lists of names. What says nothing (null, 0, "", an empty list, an object of such) is not worth a line: dumps hold
 * every member of their version, and most are empty.
 *
 * Values are never repeated: they may be secrets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/dump_parts.h"
#include "store/entity_parts.h"
#include "store/rules.h"
#include "store/secret.h"
#include "store/totp.h"

enum { PLACE_MAX = 256 };

/* ---- the list ---- */

static int left_out_grow(struct restore *r)
{
    struct left_out *grown = reallocarray(r->left_out, r->left_out_n + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    r->left_out = grown;
    grown[r->left_out_n++] = (struct left_out){ 0 };
    return 0;
}

/* Sections are few: their names are kept once. */
static const char *section_keep(struct restore *r, const char *section)
{
    for (size_t i = 0; i < r->sections.n; i++)
        if (strcmp(r->sections.v[i], section) == 0)
            return r->sections.v[i];
    return strings_add(&r->sections, section) == 0 ? r->sections.v[r->sections.n - 1] : NULL;
}

int report_add(struct restore *r, const char *section, const char *name, const char *member, const char *fmt, ...)
{
    char reason[512];
    va_list ap;

    r->left_out_total++;
    if (r->left_out_n == RESTORE_LISTED_MAX)
        return 0;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    int result = left_out_grow(r);
    if (result < 0)
        return result;
    struct left_out *l = &r->left_out[r->left_out_n - 1];
    *l = (struct left_out){ section_keep(r, section), strdup(name), member ? strdup(member) : NULL, strdup(reason) };
    return l->section && l->name && l->reason && (!member || l->member) ? 0 : -ENOMEM;
}

/* ---- members ---- */

/* NOLINTNEXTLINE(misc-no-recursion): as deep as json_in() lets it be */
static bool says_nothing(struct json_object *j)
{
    switch (json_object_get_type(j)) {
    case json_type_null:
        return true;
    case json_type_boolean:
        return !json_object_get_boolean(j);
    case json_type_int:
        return json_object_get_int64(j) == 0;
    case json_type_double:
        return json_object_get_double(j) == 0;
    case json_type_string:
        return json_object_get_string_len(j) == 0;
    case json_type_array:
        return json_object_array_length(j) == 0;
    default:
        break;
    }
    json_object_object_foreach (j, key, value) {
        (void)key;
        if (!says_nothing(value))
            return false;
    }
    return true;
}

/* Members of later versions that Tally does not have, and why nothing of it works; NULL: a record of the past that has
 * no effect, not worth a line. */
static const struct {
    const char *member, *reason;
} known_members[] = {
    { "has_password", NULL },
    { "last_password_change", NULL },
    { "first_download", NULL },
    { "first_upload", NULL },
    { "used_upload_data_transfer", NULL },
    { "used_download_data_transfer", NULL },
    { "groups", "Tally has no groups: what this object inherited from them is missing, set it in the object itself" },
    { "role", "Tally has no roles: every administrator with the right to see users sees this one" },
    { "upload_data_transfer", "Tally has no limits of transferred data" },
    { "download_data_transfer", "Tally has no limits of transferred data" },
    { "total_data_transfer", "Tally has no limits of transferred data" },
};

static const char *member_reason(const char *member, bool *ret_is_idle)
{
    *ret_is_idle = false;
    for (size_t i = 0; i < ARRAY_SIZE(known_members); i++)
        if (strcasecmp(known_members[i].member, member) == 0) {
            *ret_is_idle = known_members[i].reason == NULL;
            return known_members[i].reason;
        }
    return "Tally does not know this member";
}

static const struct field *row_of(const struct schema *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcasecmp(field_name(&s->fields[i]), name) == 0)
            return &s->fields[i];
    return NULL;
}

struct walk {
    struct restore *r;
    const char *section, *name;
};

static int members_walk(const struct walk *w, const struct schema *s, const char *prefix, struct json_object *in);

static int unknown_add(const struct walk *w, const char *member, const char *place)
{
    bool is_idle;
    const char *reason = member_reason(member, &is_idle);

    return is_idle ? 0 : report_add(w->r, w->section, w->name, place, "%s", reason);
}

/* Of a local file system only this can say something; the others' configurations are idle. */
static int filesystem_walk(const struct walk *w, const char *place, struct json_object *in)
{
    char inner[PLACE_MAX];
    bool there;

    if (!json_object_is_type(in, json_type_object))
        return 0;
    struct json_object *os = json_find_nocase(in, "osconfig", &there);
    if (says_nothing(os))
        return 0;
    snprintf(inner, sizeof(inner), "%.200s.osconfig", place);
    return unknown_add(w, "osconfig", inner);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int value_walk(const struct walk *w, const struct field *f, const char *place, struct json_object *in)
{
    char inner[PLACE_MAX];
    int r = 0;

    if (f->codec == &user_filesystem_codec || f->codec == &folder_filesystem_codec)
        return filesystem_walk(w, place, in);
    if (f->type == FIELD_OBJECT)
        return members_walk(w, f->sub, place, in);
    if (f->type != FIELD_OBJECTS || !json_object_is_type(in, json_type_array))
        return 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(in); i++) {
        snprintf(inner, sizeof(inner), "%.200s[%zu]", place, i);
        r = members_walk(w, f->sub, inner, json_object_array_get_idx(in, i));
    }
    return r;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the static tables */
static int members_walk(const struct walk *w, const struct schema *s, const char *prefix, struct json_object *in)
{
    char place[PLACE_MAX];
    int r = 0;

    if (!json_object_is_type(in, json_type_object))
        return 0;
    json_object_object_foreach (in, member, value) {
        const struct field *f = row_of(s, member);
        snprintf(place, sizeof(place), "%.180s%s%.64s", prefix, *prefix ? "." : "", member);
        if (f)
            r = value_walk(w, f, place, value);
        else if (!says_nothing(value))
            r = unknown_add(w, member, place);
        if (r < 0)
            return r;
    }
    return 0;
}

int report_members(struct restore *r, const char *section, const char *name, const struct schema *s,
                   struct json_object *in)
{
    struct walk w = { r, section, name };

    return members_walk(&w, s, "", in);
}

/* ---- sections ---- */

static const char *const foreign_sections[][2] = {
    { "groups", "Tally has no groups" },
    { "roles", "Tally has no roles" },
    { "shares", "Tally has no shares" },
    { "event_actions", "Tally has no event actions" },
    { "event_rules", "Tally has no event rules" },
    { "ip_lists", "Tally has no IP lists: use the allow list of an administrator, allowed_ip of a user" },
    { "defender_hosts", "Tally does not restore banned hosts" },
    { "configs", "Tally is configured by its file" },
};

static const char *section_reason(const char *section)
{
    for (size_t i = 0; i < ARRAY_SIZE(foreign_sections); i++)
        if (strcasecmp(foreign_sections[i][0], section) == 0)
            return foreign_sections[i][1];
    return "Tally does not know this section";
}

/* What a person calls an object of a section that we know nothing of. */
static const char *object_name(struct json_object *o)
{
    static const char *const members[] = { "name", "username", "ipornet", "id", "ip" };

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const char *name = json_text(o, members[i]);
        if (name && *name)
            return name;
    }
    return NULL;
}

int report_foreign(struct restore *r, const char *section, struct json_object *in)
{
    int result = 0;

    if (says_nothing(in))
        return 0;
    if (!json_object_is_type(in, json_type_array))
        return report_add(r, section, "", NULL, "%s", section_reason(section));
    for (size_t i = 0; result == 0 && i < json_object_array_length(in); i++) {
        char place[32];
        const char *name = object_name(json_object_array_get_idx(in, i));
        snprintf(place, sizeof(place), "[%zu]", i);
        result = report_add(r, section, name ? name : place, NULL, "%s", section_reason(section));
    }
    return result;
}

/* ---- secrets ---- */

static bool is_readable(const struct secret *s)
{
    CLEANUP(secret_text_free) char *text = NULL;

    return secret_open(s, &text) == 0;
}

/* SFTPGo seals them in its own way. Without this the holder could never log in again. */
int secrets_drop(struct restore *r, const char *section, const char *name, struct totp_config *totp,
                 struct objects *codes)
{
    const struct recovery_code *v = codes->v;
    int result = 0;

    if (totp->enabled && !is_readable(&totp->secret)) {
        result = report_add(r, section, name, "filters.totp_config",
                            "the secret of the second factor cannot be read here: it is off until it is set up anew");
        totp_config_done(totp);
    }
    for (size_t i = 0; i < codes->n; i++) {
        if (is_readable(&v[i].secret))
            continue;
        if (result == 0)
            result = report_add(r, section, name, "filters.recovery_codes",
                                "the recovery codes cannot be read here: new ones have to be made");
        recovery_codes_done(codes);
        break;
    }
    return result;
}

/* ---- names in lists ---- */

static bool is_path_perm(const char *s)
{
    return perm_of(path_perms, s) != 0;
}

static bool is_admin_perm(const char *s)
{
    return perm_of(admin_perms, s) != 0;
}

static const struct word_list {
    enum dump_scope scope;
    const char *object; /* the member that holds the list; NULL: the object itself */
    const char *list;   /* NULL: each list of that member is one */
    bool (*is_known)(const char *s);
    const char *what;
} word_lists[] = {
    { DUMP_USERS, "permissions", NULL, is_path_perm, "right" },
    { DUMP_USERS, "filters", "denied_login_methods", is_login_method, "login method" },
    { DUMP_USERS, "filters", "denied_protocols", is_protocol, "protocol" },
    { DUMP_USERS, "filters", "web_client", is_web_client_option, "option of the web client" },
    { DUMP_ADMINS, NULL, "permissions", is_admin_perm, "right" },
};

struct words {
    struct restore *r;
    const struct word_list *row;
    const char *section, *name;
};

static int list_drop(const struct words *w, const char *place, struct json_object *list)
{
    int r = 0;

    if (!json_object_is_type(list, json_type_array))
        return 0; /* its reader says what is wrong */
    for (size_t i = 0; r == 0 && i < json_object_array_length(list);) {
        struct json_object *entry = json_object_array_get_idx(list, i);
        if (!json_object_is_type(entry, json_type_string) || w->row->is_known(json_object_get_string(entry))) {
            i++;
            continue;
        }
        r = report_add(w->r, w->section, w->name, place, "Tally does not know the %s \"%.64s\"", w->row->what,
                       json_object_get_string(entry));
        json_object_array_del_idx(list, i, 1);
    }
    return r;
}

static int lists_drop(const struct words *w, struct json_object *in)
{
    char place[PLACE_MAX];
    int r = 0;

    json_object_object_foreach (in, member, list) {
        if (w->row->list && strcasecmp(w->row->list, member) != 0)
            continue;
        snprintf(place, sizeof(place), "%s%s%.128s", w->row->object ? w->row->object : "", w->row->object ? "." : "",
                 member);
        r = list_drop(w, place, list);
        if (r < 0)
            return r;
    }
    return r;
}

int words_drop(struct restore *r, enum dump_scope scope, const char *name, struct json_object *in)
{
    int result = 0;
    bool there;

    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(word_lists); i++) {
        const struct word_list *row = &word_lists[i];
        struct words w = { r, row, scope == DUMP_USERS ? "users" : "admins", name };
        struct json_object *holder = row->object ? json_find_nocase(in, row->object, &there) : in;
        if (row->scope == scope && json_object_is_type(holder, json_type_object))
            result = lists_drop(&w, holder);
    }
    return result;
}

void restore_done(struct restore *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->v[i].name);
    for (size_t i = 0; i < r->left_out_n; i++) {
        free(r->left_out[i].name);
        free(r->left_out[i].member);
        free(r->left_out[i].reason);
    }
    free(r->v);
    free(r->left_out);
    strings_done(&r->sections);
    *r = (struct restore){ 0 };
}

size_t restore_count(const struct restore *r, enum dump_scope scope, enum restored_as as)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->v[i].scope == scope && r->v[i].as == as;
    return n;
}
