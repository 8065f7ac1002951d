/* Validation and normal form of users, in the order of contract/rest.md §4.3; the first broken rule is the one told.
 *
 * A text completes its field's name ("home_dir" "must be an absolute path"); where no field is named it stands alone.
 * What other users and folders forbid (a name that is taken, a home inside another one) is decided where the change is
 * written: paths.c and user_folders.c. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/entity_parts.h"
#include "store/password.h"
#include "store/public_key.h"
#include "store/rules.h"

static bool is_set(const char *s)
{
    return s && *s;
}

static const char name_text[] = "must consist of the characters a-z A-Z 0-9 - _ . ~, and not be \".\" or \"..\"";

/* A name is also a directory of the homes' mount and a part of URLs. */
static bool is_good_name(const char *s)
{
    return is_name(s) && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 && strlen(s) <= NAME_MAX;
}

int filesystem_check(const struct filesystem *f, const char *field, struct why *w)
{
    static const char *const names[] = { "local", "S3", "GCS", "Azure Blob", "local encrypted", "SFTP", "HTTP" };

    if (f->provider == 0)
        return 0;
    bool known = f->provider > 0 && (size_t)f->provider < ARRAY_SIZE(names);
    return why_set(w, -EINVAL, field, "storage provider %d%s%s%s is not supported, only the local file system (0)",
                   f->provider, known ? " (" : "", known ? names[f->provider] : "", known ? ")" : "");
}

static void strings_drop(struct strings *l, size_t i)
{
    free(l->v[i]);
    memmove(l->v + i, l->v + i + 1, (l->n - i - 1) * sizeof(*l->v));
    l->n--;
}

/* Empty ones and those that came before. */
static void strings_drop_idle(struct strings *l)
{
    for (size_t i = 0; i < l->n;) {
        bool idle = !*l->v[i];
        for (size_t k = 0; k < i && !idle; k++)
            idle = strcmp(l->v[k], l->v[i]) == 0;
        if (idle)
            strings_drop(l, i);
        else
            i++;
    }
}

static int networks_check(const struct strings *l, const char *field, struct why *w)
{
    for (size_t i = 0; i < l->n; i++)
        if (!is_network(l->v[i]))
            return why_set(w, -EINVAL, field, "must hold networks like 192.0.2.0/24, \"%.64s\" is none", l->v[i]);
    return 0;
}

static int password_rule(const char *password, struct why *w)
{
    if (!is_set(password))
        return 0;
    if (strlen(password) > PASSWORD_MAX)
        return why_set(w, -EINVAL, "password", "must not be longer than %d bytes", PASSWORD_MAX);
    int r = password_is_hash(password) ? password_check_hash(password) : 0;
    if (r == -E2BIG)
        return why_set(w, -EINVAL, "password", "is a hash that costs too much to verify");
    return r < 0 ? why_set(w, r, "password", "begins like a hash and is not a valid one") : 0;
}

/* ---- the rules of a user ---- */

struct user_context {
    const char *users_base_dir;
};

static int rule_username(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    return is_set(u->username) ? 0 : why_set(w, -EINVAL, "username", "is mandatory");
}

static int rule_email(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    return !is_set(u->email) || is_email(u->email) ? 0 : why_set(w, -EINVAL, "email", "is not a valid address");
}

static int rule_name(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    return is_good_name(u->username) ? 0 : why_set(w, -EINVAL, "username", "%s", name_text);
}

static int rule_home(struct user *u, const struct user_context *c, struct why *w)
{
    struct strbuf b = STRBUF(PATH_MAX - 1);

    if (is_set(u->home_dir))
        return 0;
    if (!is_set(c->users_base_dir))
        return why_set(w, -EINVAL, "home_dir", "is mandatory");
    strbuf_addf(&b, "%s/%s", c->users_base_dir, u->username);
    free(TAKE_PTR(u->home_dir));
    int r = strbuf_take(&b, &u->home_dir);
    return r == 0 ? path_clean_in_place(&u->home_dir) : r;
}

static int rule_credentials(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    strings_drop_idle(&u->public_keys);
    if (is_set(u->password) || u->public_keys.n > 0)
        return 0;
    return why_set(w, -EINVAL, "", "please set a password or at least a public_key");
}

static int rule_home_absolute(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    if (!is_absolute(u->home_dir))
        return why_set(w, -EINVAL, "home_dir", "must be an absolute path");
    return strlen(u->home_dir) < PATH_MAX ? 0 : why_set(w, -EINVAL, "home_dir", "is too long");
}

static int rule_permissions(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    for (size_t i = 0; i < u->permissions.n; i++) {
        if (strcmp(u->permissions.v[i].path, "/") != 0)
            continue;
        return u->permissions.v[i].perms ? 0 : why_set(w, -EINVAL, "permissions", "must grant something for \"/\"");
    }
    return why_set(w, -EINVAL, "permissions", "must have an entry for \"/\"");
}

static int rule_filesystem(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    return filesystem_check(&u->filesystem, "", w);
}

static int virtual_path_check(struct virtual_folder *v, struct why *w)
{
    const char *name = v->folder.name;

    if (!is_set(v->virtual_path) || !is_absolute(v->virtual_path))
        return why_set(w, -EINVAL, "virtual_folders", "must have an absolute virtual_path for \"%.64s\"", name);
    int r = path_clean_in_place(&v->virtual_path);
    if (r < 0)
        return why_set(w, r, "virtual_folders", "must have a shorter virtual_path for \"%.64s\"", name);
    if (strcmp(v->virtual_path, "/") == 0)
        return why_set(w, -EINVAL, "virtual_folders", "must not have the virtual_path \"/\"");
    return 0;
}

static int virtual_folder_check(struct virtual_folder *v, struct why *w)
{
    if (!is_set(v->folder.name))
        return why_set(w, -EINVAL, "virtual_folders", "must have a name each");
    if (v->folder.mapped_path && !*v->folder.mapped_path)
        free(TAKE_PTR(v->folder.mapped_path));
    int r = virtual_path_check(v, w);
    if (r < 0)
        return r;
    if (v->quota_size < -1 || v->quota_files < -1 || (v->quota_size == -1) != (v->quota_files == -1))
        return why_set(w, -EINVAL, "virtual_folders",
                       "must have quota_size and quota_files both -1, or both 0 or more");
    if (v->folder.mapped_path)
        return folder_check(&v->folder, w);
    return is_good_name(v->folder.name) ? filesystem_check(&v->folder.filesystem, "", w)
                                        : why_set(w, -EINVAL, "virtual_folders", "name %s", name_text);
}

static int rule_virtual_folders(struct user *u, const struct user_context *c, struct why *w)
{
    struct virtual_folder *v = u->virtual_folders.v;

    (void)c;
    for (size_t i = 0; i < u->virtual_folders.n; i++) {
        int r = virtual_folder_check(&v[i], w);
        if (r < 0)
            return r;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(v[k].virtual_path, v[i].virtual_path) == 0)
                return why_set(w, -EINVAL, "virtual_folders", "must not have the virtual_path \"%.200s\" twice",
                               v[i].virtual_path);
            if (strcmp(v[k].folder.name, v[i].folder.name) == 0)
                return why_set(w, -EINVAL, "virtual_folders",
                               "must not have the folder \"%.64s\", so its mapped_path, twice", v[i].folder.name);
        }
    }
    return 0;
}

static int rule_status(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    return u->status == 0 || u->status == 1 ? 0 : why_set(w, -EINVAL, "status", "must be 0 or 1");
}

static int rule_numbers(struct user *u, const struct user_context *c, struct why *w)
{
    const struct {
        const char *field;
        int64_t n, max;
    } rows[] = {
        { "uid", u->uid, INT32_MAX },
        { "gid", u->gid, INT32_MAX },
        { "max_sessions", u->max_sessions, INT64_MAX },
        { "quota_size", u->quota_size, INT64_MAX },
        { "quota_files", u->quota_files, INT64_MAX },
        { "upload_bandwidth", u->upload_bandwidth, INT64_MAX },
        { "download_bandwidth", u->download_bandwidth, INT64_MAX },
        { "filters.max_upload_file_size", u->filters.max_upload_file_size, INT64_MAX },
    };

    (void)c;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].n < 0 || rows[i].n > rows[i].max)
            return why_set(w, -EINVAL, rows[i].field, "must be between 0 and %lld", (long long)rows[i].max);
    return 0;
}

static int rule_password(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    return password_rule(u->password, w);
}

static int rule_public_keys(struct user *u, const struct user_context *c, struct why *w)
{
    (void)c;
    for (size_t i = 0; i < u->public_keys.n; i++) {
        char type[PUBLIC_KEY_TYPE_MAX], field[48];
        uint8_t *blob;
        size_t len;
        int r = public_key_parse(u->public_keys.v[i], type, &blob, &len);
        if (r == 0) {
            free(blob);
            continue;
        }
        snprintf(field, sizeof(field), "public_keys[%zu]", i);
        return why_set(w, r, field, "is not a public key in the format of authorized_keys");
    }
    return 0;
}

/* ---- filters ---- */

static const char *const login_methods[] = { "publickey",
                                             "password",
                                             "keyboard-interactive",
                                             "publickey+password",
                                             "publickey+keyboard-interactive",
                                             "TLSCertificate",
                                             "TLSCertificate+password" };
static const char *const protocols[] = { "SSH", "FTP", "DAV", "HTTP" };
static const char *const web_client[] = {
    "publickey-change-disabled",    "write-disabled",       "mfa-disabled",    "password-change-disabled",
    "api-key-auth-change-disabled", "info-change-disabled", "shares-disabled", "password-reset-disabled"
};

static const struct word_rule {
    const char *field;
    size_t offset; /* of a struct strings in struct user_filters */
    const char *const *words;
    size_t n;
    bool not_all; /* to deny all of them is a mistake */
} word_rules[] = {
    { "filters.denied_login_methods", offsetof(struct user_filters, denied_login_methods), login_methods,
      ARRAY_SIZE(login_methods), true },
    { "filters.denied_protocols", offsetof(struct user_filters, denied_protocols), protocols, ARRAY_SIZE(protocols),
      true },
    { "filters.web_client", offsetof(struct user_filters, web_client), web_client, ARRAY_SIZE(web_client), false },
};

static bool is_word(const char *s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(s, words[i]) == 0)
            return true;
    return false;
}

bool is_login_method(const char *s)
{
    return is_word(s, login_methods, ARRAY_SIZE(login_methods));
}

bool is_protocol(const char *s)
{
    return is_word(s, protocols, ARRAY_SIZE(protocols));
}

bool is_web_client_option(const char *s)
{
    return is_word(s, web_client, ARRAY_SIZE(web_client));
}

static int words_check(struct user_filters *f, const struct word_rule *row, struct why *w)
{
    struct strings *l = (struct strings *)((char *)f + row->offset);

    for (size_t i = 0; i < l->n; i++)
        if (!is_word(l->v[i], row->words, row->n))
            return why_set(w, -EINVAL, row->field, "must not have the unknown name \"%.64s\"", l->v[i]);
    strings_drop_idle(l);
    return row->not_all && l->n == row->n ? why_set(w, -EINVAL, row->field, "must not deny everything") : 0;
}

static int patterns_check(struct strings *l, struct why *w)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!*l->v[i] || !pattern_is_valid(l->v[i]))
            return why_set(w, -EINVAL, "filters.file_patterns", "must have shell patterns, \"%.64s\" is none", l->v[i]);
        lower_ascii(l->v[i]);
    }
    return 0;
}

static int pattern_filter_check(struct pattern_filter *p, struct why *w)
{
    if (!is_set(p->path) || !is_absolute(p->path))
        return why_set(w, -EINVAL, "filters.file_patterns", "must have an absolute path each");
    if (p->allowed_patterns.n == 0 && p->denied_patterns.n == 0)
        return why_set(w, -EINVAL, "filters.file_patterns", "must have a pattern for \"%.128s\"", p->path);
    int r = path_clean_in_place(&p->path);
    if (r == 0)
        r = patterns_check(&p->allowed_patterns, w);
    return r < 0 ? r : patterns_check(&p->denied_patterns, w);
}

static int file_patterns_check(struct objects *l, struct why *w)
{
    struct pattern_filter *p = l->v;

    for (size_t i = 0; i < l->n; i++) {
        int r = pattern_filter_check(&p[i], w);
        if (r < 0)
            return r;
        for (size_t k = 0; k < i; k++)
            if (strcmp(p[k].path, p[i].path) == 0)
                return why_set(w, -EINVAL, "filters.file_patterns", "must not have \"%.128s\" twice", p[i].path);
    }
    return 0;
}

static int rule_filters(struct user *u, const struct user_context *c, struct why *w)
{
    static const char *const tls_usernames[] = { "None", "CommonName" };
    static const char *const user_types[] = { "LDAPUser", "OSUser" };
    struct user_filters *f = &u->filters;

    (void)c;
    int r = networks_check(&f->allowed_ip, "filters.allowed_ip", w);
    if (r == 0)
        r = networks_check(&f->denied_ip, "filters.denied_ip", w);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(word_rules); i++)
        r = words_check(f, &word_rules[i], w);
    if (r == 0)
        r = file_patterns_check(&f->file_patterns, w);
    if (r < 0)
        return r;
    if (is_set(f->tls_username) && !is_word(f->tls_username, tls_usernames, ARRAY_SIZE(tls_usernames)))
        return why_set(w, -EINVAL, "filters.tls_username", "must be None or CommonName");
    if (is_set(f->user_type) && !is_word(f->user_type, user_types, ARRAY_SIZE(user_types)))
        return why_set(w, -EINVAL, "filters.user_type", "must be empty, LDAPUser or OSUser");
    return 0;
}

static int (*const user_rules[])(struct user *u, const struct user_context *c, struct why *w) = {
    rule_username,        rule_email,         rule_name,        rule_home,
    rule_credentials,     rule_home_absolute, rule_permissions, rule_filesystem,
    rule_virtual_folders, rule_status,        rule_numbers,     rule_password,
    rule_public_keys,     rule_filters,
};

int user_check(struct user *u, const char *users_base_dir, struct why *reterr_why)
{
    struct user_context c = { users_base_dir };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(user_rules); i++)
        r = user_rules[i](u, &c, reterr_why);
    return r;
}

/* ---- folders, administrators ---- */

int folder_check(struct folder *f, struct why *reterr_why)
{
    if (!is_set(f->name))
        return why_set(reterr_why, -EINVAL, "name", "is mandatory");
    if (!is_good_name(f->name))
        return why_set(reterr_why, -EINVAL, "name", "%s", name_text);
    int r = filesystem_check(&f->filesystem, "", reterr_why);
    if (r < 0)
        return r;
    if (!is_set(f->mapped_path) || !is_absolute(f->mapped_path))
        return why_set(reterr_why, -EINVAL, "mapped_path", "must be an absolute path");
    r = path_clean_in_place(&f->mapped_path);
    return r < 0 ? why_set(reterr_why, r, "mapped_path", "is too long") : 0;
}

static int admin_perms_check(struct strings *l, struct why *w)
{
    uint32_t bits;

    strings_drop_idle(l);
    if (l->n == 0)
        return why_set(w, -EINVAL, "permissions", "must not be empty");
    if (perms_of(admin_perms, l, &bits) < 0)
        return why_set(w, -EINVAL, "permissions", "must have only known names");
    if (!strings_has(l, "*"))
        return 0;
    strings_done(l); /* "*" says it all */
    return strings_add(l, "*");
}

int admin_check(struct admin *a, struct why *reterr_why)
{
    if (!is_set(a->username))
        return why_set(reterr_why, -EINVAL, "username", "is mandatory");
    if (!is_set(a->password))
        return why_set(reterr_why, -EINVAL, "", "please set a password");
    if (!is_good_name(a->username))
        return why_set(reterr_why, -EINVAL, "username", "%s", name_text);
    int r = admin_perms_check(&a->permissions, reterr_why);
    if (r < 0)
        return r;
    if (is_set(a->email) && !is_email(a->email))
        return why_set(reterr_why, -EINVAL, "email", "is not a valid address");
    r = password_rule(a->password, reterr_why);
    return r < 0 ? r : networks_check(&a->filters.allow_list, "filters.allow_list", reterr_why);
}
