/* Every counted directory has one owner. A directory that is, holds or lies inside another one would be counted twice,
 * so it is refused, with the reason. The comparison is lexical: symbolic links are the administrator's. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "store/dump_parts.h"
#include "store/rows.h"
#include "store/rules.h"

static const char *const fields[] = { [PATH_OF_USER] = "home_dir", [PATH_OF_FOLDER] = "mapped_path" };

/* Who holds a path that is in the way. */
static int conflict(struct db *d, sqlite3_stmt *found, const char *path, const char *field, struct why *w)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    const char *theirs = db_text(found, 0, NULL);
    bool is_home = sqlite3_column_type(found, 1) != SQLITE_NULL;
    int r = is_home ? db_query(d, "SELECT username FROM users WHERE id = ?", &st, "i", sqlite3_column_int64(found, 1))
                    : db_query(d, "SELECT name FROM folders WHERE id = ?", &st, "i", sqlite3_column_int64(found, 2));

    if (r == 0)
        r = db_step(d, st);
    if (r < 0)
        return r;
    const char *how = strcmp(theirs, path) == 0 ? "is also" : path_is_within(path, theirs) ? "is inside" : "contains";
    return why_set(w, -EINVAL, field, "\"%.100s\" %s the %s \"%.64s\" (\"%.64s\")", path, how,
                   is_home ? "home of the user" : "directory of the folder", r > 0 ? db_text(st, 0, NULL) : "", theirs);
}

/* One look-up: a row is in the way. */
static int look(struct db *d, const char *sql, const char *a, const char *b, const char *path, const char *field,
                struct why *w)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = b ? db_query(d, sql, &st, "ss", a, b) : db_query(d, sql, &st, "s", a);

    if (r == 0)
        r = db_step(d, st);
    return r > 0 ? conflict(d, st, path, field, w) : r;
}

static int look_above(struct db *d, const char *path, const char *field, struct why *w)
{
    static const char sql[] = "SELECT path, user_id, folder_id FROM paths WHERE path = ?";
    char above[PATH_MAX];
    int r = look(d, sql, path, NULL, path, field, w);

    str_set(above, sizeof(above), path);
    while (r == 0 && strcmp(above, "/") != 0) {
        char *slash = strrchr(above, '/');
        slash[slash == above] = 0;
        r = look(d, sql, above, NULL, path, field, w);
    }
    return r;
}

/* What lies below "/a" begins with "/a/": from there to "/a0", since '0' follows '/'. */
static int look_below(struct db *d, const char *path, const char *field, struct why *w)
{
    CLEANUP(strbuf_done) struct strbuf from = STRBUF(PATH_MAX + 1);
    CLEANUP(strbuf_done) struct strbuf to = STRBUF(PATH_MAX + 1);
    bool is_root = path[1] == 0;

    strbuf_addf(&from, "%s/", is_root ? "" : path);
    strbuf_addf(&to, "%s0", is_root ? "" : path);
    if (strbuf_ok(&from) < 0 || strbuf_ok(&to) < 0)
        return -ENOMEM;
    return look(d, "SELECT path, user_id, folder_id FROM paths WHERE path > ? AND path < ? LIMIT 1", from.s, to.s, path,
                field, w);
}

static int mount_check(const char *path, const char *mount, const char *field, struct why *w)
{
    if (!mount || !is_absolute(mount) || (!path_is_within(path, mount) && !path_is_within(mount, path)))
        return 0;
    return why_set(w, -EINVAL, field, "\"%.100s\" is inside or around the mount of the homes, \"%.100s\"", path, mount);
}

static const struct {
    const char *same, *drop, *take;
} statements[] = {
    [PATH_OF_USER] = { "SELECT 1 FROM paths WHERE user_id = ? AND path = ?", "DELETE FROM paths WHERE user_id = ?",
                       "INSERT INTO paths(user_id, path) VALUES(?, ?)" },
    [PATH_OF_FOLDER] = { "SELECT 1 FROM paths WHERE folder_id = ? AND path = ?",
                         "DELETE FROM paths WHERE folder_id = ?", "INSERT INTO paths(folder_id, path) VALUES(?, ?)" },
};

static int is_same(struct db *d, enum path_owner kind, int64_t owner_id, const char *path)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, statements[kind].same, &st, "is", owner_id, path);

    return r < 0 ? r : db_step(d, st);
}

int path_claim(struct db *d, enum path_owner kind, int64_t owner_id, const char *path, const char *mount, struct why *w)
{
    CLEANUP(mem_free) char *clean = NULL;
    int r = path_clean(path, &clean);

    if (r < 0)
        return why_set(w, r, fields[kind], "is too long");
    r = is_same(d, kind, owner_id, clean);
    if (r != 0)
        return r < 0 ? r : 0;
    r = mount_check(clean, mount, fields[kind], w);
    if (r == 0)
        r = db_run(d, statements[kind].drop, "i", owner_id);
    if (r == 0)
        r = look_above(d, clean, fields[kind], w);
    if (r == 0)
        r = look_below(d, clean, fields[kind], w);
    return r < 0 ? r : db_run(d, statements[kind].take, "is", owner_id, clean);
}

int path_release(struct db *d, enum path_owner kind, const char *name, const char *keep)
{
    static const char *const sql[] = {
        [PATH_OF_USER] = "DELETE FROM paths WHERE user_id = (SELECT id FROM users WHERE username = ?) AND path <> ?",
        [PATH_OF_FOLDER] = "DELETE FROM paths WHERE folder_id = (SELECT id FROM folders WHERE name = ?) AND path <> ?",
    };
    CLEANUP(mem_free) char *clean = NULL;
    int r = path_clean(keep, &clean);

    return r < 0 ? r : db_run(d, sql[kind], "ss", name, clean);
}
