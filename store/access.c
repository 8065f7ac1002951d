/* What a user may do: rights at a path, file names, and whether a login is allowed at all.
 *
 * Entries of the permissions map are never merged: the longest that is the path or an ancestor of it wins as a whole.
 * The same holds for the file patterns of a directory. Both maps are short, so they are searched from end to end. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "store/rules.h"

bool path_is_within(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (n == 1) /* "/" */
        return true;
    return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/');
}

uint32_t user_may(const struct user *u, const char *virtual_path)
{
    uint32_t perms = 0;
    size_t longest = 0;

    for (size_t i = 0; i < u->permissions.n; i++) {
        const struct dir_perms *d = &u->permissions.v[i];
        size_t n = strlen(d->path);
        if (n > longest && path_is_within(virtual_path, d->path)) {
            longest = n;
            perms = d->perms;
        }
    }
    return perms;
}

static bool any_match(const struct strings *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (pattern_match(patterns->v[i], name))
            return true;
    return false;
}

/* The entry of the nearest ancestor of a directory (`len` bytes of path); NULL if none. */
static const struct pattern_filter *filter_of(const struct user *u, const char *path, size_t len)
{
    const struct pattern_filter *f = u->filters.file_patterns.v, *nearest = NULL;
    size_t longest = 0;

    for (size_t i = 0; i < u->filters.file_patterns.n; i++) {
        size_t n = strlen(f[i].path);
        bool is_ancestor = n == 1 || (n <= len && memcmp(path, f[i].path, n) == 0 && (n == len || path[n] == '/'));
        if (is_ancestor && n > longest) {
            longest = n;
            nearest = &f[i];
        }
    }
    return nearest;
}

bool user_file_allowed(const struct user *u, const char *virtual_path)
{
    const char *slash = strrchr(virtual_path, '/');
    char name[NAME_MAX + 1];

    if (u->filters.file_patterns.n == 0)
        return true;
    if (!slash)
        return false;
    const struct pattern_filter *f = filter_of(u, virtual_path, (size_t)(slash - virtual_path));
    if (!f)
        return true;
    if (!str_set(name, sizeof(name), slash + 1))
        return false; /* no file system has such a name */
    lower_ascii(name);
    if (any_match(&f->denied_patterns, name))
        return false;
    return f->allowed_patterns.n == 0 || any_match(&f->allowed_patterns, name);
}

const char *user_login_refusal(const struct user *u, const char *method, const char *protocol, const char *address,
                               int64_t now_ms)
{
    const struct user_filters *f = &u->filters;

    if (u->status != 1)
        return "the user is disabled";
    if (u->expiration_date_ms > 0 && u->expiration_date_ms <= now_ms)
        return "the user has expired";
    if (strings_has(&f->denied_protocols, protocol))
        return "the protocol is denied for this user";
    if (strings_has(&f->denied_login_methods, method))
        return "the login method is denied for this user";
    if (f->denied_ip.n > 0 && address_in(&f->denied_ip, address))
        return "the address is denied for this user";
    if (f->allowed_ip.n > 0 && !address_in(&f->allowed_ip, address))
        return "the address is not among those allowed for this user";
    return NULL;
}

/* Appends one element to a clean path of *len bytes without its first '/'; ".." takes the last one off. */
static void element_add(char *to, size_t *len, const char *element, size_t n)
{
    if (n == 1 && element[0] == '.')
        return;
    if (n == 2 && element[0] == '.' && element[1] == '.') {
        while (*len > 0 && to[--*len] != '/')
            ;
        return;
    }
    to[(*len)++] = '/';
    memcpy(to + *len, element, n);
    *len += n;
}

int path_clean(const char *path, char **ret)
{
    size_t max = strlen(path), len = 0;

    if (max > PATH_MAX - 1)
        return -EINVAL;
    char *to = malloc(max + 2);
    if (!to)
        return -ENOMEM;
    for (const char *s = path; *s;) {
        size_t n = strcspn(s, "/");
        if (n > 0)
            element_add(to, &len, s, n);
        s += n + (s[n] == '/');
    }
    if (len == 0)
        to[len++] = '/';
    to[len] = 0;
    *ret = to;
    return 0;
}

int path_clean_in_place(char **path)
{
    char *clean;
    int r = path_clean(*path, &clean);

    if (r < 0)
        return r;
    free(*path);
    *path = clean;
    return 0;
}
