#include "sftp/account.h"

#include <string.h>

#include "base/sys.h"

void bucket_take(struct bucket *b, uint64_t bytes)
{
    if (b->rate)
        b->tokens -= (int64_t)MIN(bytes, (uint64_t)INT32_MAX);
}

unsigned bucket_wait_ms(struct bucket *b)
{
    if (!b->rate)
        return 0;
    uint64_t now = sys->now_ns();
    uint64_t passed_ms = b->filled_ns ? MIN((now - b->filled_ns) / 1000000, (uint64_t)60000) : 1000;
    if (passed_ms > 0) {
        b->tokens = MIN(b->tokens + (int64_t)(b->rate * passed_ms / 1000), (int64_t)b->rate);
        b->filled_ns = now;
    }
    if (b->tokens >= 0)
        return 0;
    return (unsigned)MIN((uint64_t)-b->tokens * 1000 / b->rate + 1, (uint64_t)1000);
}

unsigned account_wait_ms(struct account *a)
{
    return MAX(bucket_wait_ms(&a->up), bucket_wait_ms(&a->down));
}

uint32_t account_rights_at(const struct account *a, const char *path, const char *real)
{
    uint32_t rights = user_may(a->user, path);
    if (strcmp(path, real) != 0)
        rights &= user_may(a->user, real);
    return rights;
}

uint32_t account_rights(const struct account *a, const char *path, const char *real)
{
    char parent[PATH_MAX], real_parent[PATH_MAX];
    path_parent(path, parent);
    path_parent(real, real_parent);
    return account_rights_at(a, parent, real_parent);
}

int account_file_allowed(const struct account *a, const char *path, const char *real)
{
    if (!user_file_allowed(a->user, path))
        return -EACCES;
    return strcmp(path, real) == 0 || user_file_allowed(a->user, real) ? 0 : -EACCES;
}

int account_may_remove(uint32_t rights, mode_t type)
{
    uint32_t any_of = MAY_DELETE | (S_ISDIR(type) ? MAY_DELETE_DIRS : MAY_DELETE_FILES);
    return rights & any_of ? 0 : -EACCES;
}

/* What moving an item of a type needs: `rename` there, or the right to remove it here and to make it there. */
static const struct {
    mode_t type; /* 0: all others */
    uint32_t rename, remove, make;
} rename_rules[] = {
    { S_IFDIR, MAY_RENAME | MAY_RENAME_DIRS, MAY_DELETE | MAY_DELETE_DIRS, MAY_CREATE_DIRS },
    { S_IFLNK, MAY_RENAME | MAY_RENAME_FILES, MAY_DELETE | MAY_DELETE_FILES, MAY_CREATE_SYMLINKS },
    { 0, MAY_RENAME | MAY_RENAME_FILES, MAY_DELETE | MAY_DELETE_FILES, MAY_UPLOAD },
};

static bool rename_allowed(uint32_t from, uint32_t to, mode_t type)
{
    size_t i = 0;
    while (rename_rules[i].type && rename_rules[i].type != (type & S_IFMT))
        i++;
    if (from & rename_rules[i].rename && to & rename_rules[i].rename)
        return true;
    return from & rename_rules[i].remove && to & rename_rules[i].make;
}

/* A directory moves with all that is in it: every rule beneath either end must allow that. */
static bool rules_beneath_allow(const struct account *a, const char *dir)
{
    const struct dir_perms_map *m = &a->user->permissions;
    for (size_t i = 0; i < m->n; i++) {
        if (!path_is_beneath(m->v[i].path, dir))
            continue;
        uint32_t p = m->v[i].perms;
        if (!rename_allowed(p, p, S_IFDIR) || !rename_allowed(p, p, S_IFREG))
            return false;
    }
    return true;
}

int account_may_rename(const struct account *a, const struct rename_ends *e)
{
    uint32_t from = account_rights(a, e->from, e->from_real), to = account_rights(a, e->to, e->to_real);

    if (!e->from_real[1] || !e->to_real[1])
        return -EACCES;
    if (S_ISDIR(e->to_type))
        return -EOPNOTSUPP;
    if (!rename_allowed(from, to, e->from_type) || (e->to_type && !(to & MAY_OVERWRITE)))
        return -EACCES;
    if (S_ISDIR(e->from_type))
        return rules_beneath_allow(a, e->from_real) && rules_beneath_allow(a, e->to_real) ? 0 : -EACCES;
    if (!S_ISREG(e->from_type))
        return 0;
    int r = account_file_allowed(a, e->from, e->from_real);
    return r < 0 ? r : account_file_allowed(a, e->to, e->to_real);
}

int account_may_link(const struct account *a, const char *path, const char *target)
{
    const uint32_t content = MAY_LIST | MAY_DOWNLOAD | MAY_UPLOAD | MAY_OVERWRITE | MAY_CHMOD | MAY_CHOWN | MAY_CHTIMES;
    uint32_t here = account_rights(a, path, path), there = account_rights(a, target, target);
    if (here & ~there & content)
        return -EACCES;
    int r = account_file_allowed(a, path, path);
    return r < 0 ? r : account_file_allowed(a, target, target);
}
