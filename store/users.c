/* Users: rows, loading and changing.
 *
 * `doc` and `shown` leave the virtual folders out: those come from the join, so that the stored definition of a folder
 * always wins and a change of a folder touches no user. last_login and created_at are columns, because a body must
 * never change them. A change is prepared (copied, validated, its password hashed) in the caller's thread; the writer
 * only does what depends on other rows. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "store/dump_parts.h"
#include "store/entity_parts.h"
#include "store/password.h"
#include "store/rows.h"
#include "store/rules.h"

#define USER_COLUMNS "SELECT id, doc, last_login, created_at, has_folders FROM users "

/* A change on its way to the writer. */
struct user_job {
    struct user u; /* owned: prepared */
    const char *mount;
    int64_t now_ms;
    struct why *why;
};

/* ---- loading ---- */

static int virtual_folder_row(sqlite3_stmt *st, struct virtual_folder *v)
{
    size_t len;
    const char *doc = db_text(st, 1, &len);
    int r = doc_parse(&folder_schema, doc, len, &v->folder);

    if (r < 0)
        return r;
    v->folder.id = sqlite3_column_int64(st, 0);
    v->quota_size = sqlite3_column_int64(st, 3);
    v->quota_files = sqlite3_column_int64(st, 4);
    return str_copy(&v->virtual_path, db_text(st, 2, NULL));
}

static int virtual_folders_load(struct db *d, struct user *u)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d,
                     "SELECT f.id, f.doc, uf.virtual_path, uf.quota_size, uf.quota_files FROM user_folders uf "
                     "JOIN folders f ON f.id = uf.folder_id WHERE uf.user_id = ? ORDER BY uf.id",
                     &st, "i", u->id);

    while (r == 0 && (r = db_step(d, st)) > 0) {
        struct virtual_folder *v = reallocarray(u->virtual_folders.v, u->virtual_folders.n + 1, sizeof(*v));
        if (!v)
            return -ENOMEM;
        u->virtual_folders.v = v;
        v += u->virtual_folders.n;
        r = schema_init(&virtual_folder_schema, v);
        if (r < 0)
            return r;
        u->virtual_folders.n++;
        r = virtual_folder_row(st, v);
    }
    return r;
}

/* The row that `st` finds, into *u. The query stays open meanwhile, so both are of one snapshot. */
static int user_row(struct db *d, sqlite3_stmt *st, bool with_folders, struct user *u)
{
    size_t len;
    int r = db_step(d, st);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    const char *doc = db_text(st, 1, &len);
    r = doc_parse(&user_schema, doc, len, u);
    if (r < 0)
        return r;
    u->id = sqlite3_column_int64(st, 0);
    u->last_login_ms = sqlite3_column_int64(st, 2);
    u->created_at_ms = sqlite3_column_int64(st, 3);
    return with_folders && sqlite3_column_int(st, 4) ? virtual_folders_load(d, u) : 0;
}

static int user_read(struct db *d, const char *name, int64_t id, bool with_folders, struct user *ret)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct user u;
    int r = name ? db_query(d, USER_COLUMNS "WHERE username = ?", &st, "s", name)
                 : db_query(d, USER_COLUMNS "WHERE id = ?", &st, "i", id);

    if (r == 0)
        r = schema_init(&user_schema, &u);
    if (r < 0)
        return r;
    r = user_row(d, st, with_folders, &u);
    if (r < 0)
        user_done(&u);
    else
        *ret = u;
    return r;
}

int user_load(struct store *s, const char *username, struct user *ret)
{
    struct db *d;
    int r = store_reader(s, &d);

    return r < 0 ? r : user_read(d, username, 0, true, ret);
}

int user_load_by_id(struct store *s, int64_t id, struct user *ret)
{
    struct db *d;
    int r = store_reader(s, &d);

    return r < 0 ? r : user_read(d, NULL, id, true, ret);
}

int users_all(struct db *d, int (*fn)(void *arg, struct user *u), void *arg)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, USER_COLUMNS "ORDER BY username", &st, "");

    while (r == 0) {
        CLEANUP(user_done) struct user u = { 0 };
        r = schema_init(&user_schema, &u);
        if (r == 0)
            r = user_row(d, st, true, &u);
        if (r == 0)
            r = fn(arg, &u);
    }
    return r == -ENOENT ? 0 : r;
}

/* ---- writing one row ---- */

static const char insert_sql[] = "INSERT INTO users(id, username, has_folders, last_login, created_at, shown, doc) "
                                 "VALUES(?, ?, ?, ?, ?, ?, ?)";
static const char update_sql[] = "UPDATE users SET username = ?2, has_folders = ?3, last_login = ?4, created_at = ?5, "
                                 "shown = ?6, doc = ?7, row_version = row_version + 1 WHERE id = ?1";

static int user_write(struct db *d, const struct user *u, const char *sql, bool has_folders)
{
    CLEANUP(mem_free) char *doc = NULL, *shown = NULL;
    struct user flat = *u; /* borrows all but the folders */

    flat.virtual_folders = (struct objects){ 0 };
    flat.used_quota_size = flat.used_quota_files = flat.last_quota_update_ms = 0;
    int r = doc_write(&user_schema, &flat, &doc);
    if (r == 0)
        r = shown_write(&user_before_usage, &user_after_usage, &flat, &shown);
    return r < 0 ? r
                 : db_run(d, sql, "isiiiss", u->id, u->username, (int64_t)has_folders, u->last_login_ms,
                          u->created_at_ms, shown, doc);
}

/* A user without its folders, changed by `change`, is written back. */
static int user_rewrite(struct db *d, const char *name, int64_t id, void (*change)(struct user *u, int64_t arg),
                        int64_t arg)
{
    CLEANUP(user_done) struct user u = { 0 };
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = user_read(d, name, id, false, &u);

    if (r == 0)
        r = db_query(d, "SELECT EXISTS(SELECT 1 FROM user_folders WHERE user_id = ?)", &st, "i", u.id);
    if (r == 0)
        r = db_step(d, st);
    if (r < 0)
        return r;
    change(&u, arg);
    return user_write(d, &u, update_sql, sqlite3_column_int(st, 0) != 0);
}

static void set_updated_at(struct user *u, int64_t now_ms)
{
    u->updated_at_ms = now_ms;
}

static void set_last_login(struct user *u, int64_t when_ms)
{
    u->last_login_ms = when_ms;
}

int user_touch(struct db *d, int64_t id, int64_t now_ms)
{
    return user_rewrite(d, NULL, id, set_updated_at, now_ms);
}

/* ---- virtual folders ---- */

static int folders_save(struct db *d, struct user_job *j)
{
    struct virtual_folder *v = j->u.virtual_folders.v;
    int r = db_run(d, "DELETE FROM user_folders WHERE user_id = ?", "i", j->u.id);

    for (size_t i = 0; r == 0 && i < j->u.virtual_folders.n; i++) {
        r = folder_put(d, &v[i].folder, j->mount, j->why);
        if (r == 0)
            r = db_run(d,
                       "INSERT INTO user_folders(user_id, folder_id, virtual_path, quota_size, quota_files) "
                       "VALUES(?, ?, ?, ?, ?)",
                       "iisii", j->u.id, v[i].folder.id, v[i].virtual_path, v[i].quota_size, v[i].quota_files);
    }
    return r;
}

/* ---- jobs ---- */

static int add_job(struct db *d, void *arg)
{
    struct user_job *j = arg;
    int r = id_next(d, "users", &j->u.id);

    if (r == 0)
        r = user_write(d, &j->u, insert_sql, j->u.virtual_folders.n > 0);
    if (r == 0)
        r = path_claim(d, PATH_OF_USER, j->u.id, j->u.home_dir, j->mount, j->why);
    return r < 0 || j->u.virtual_folders.n == 0 ? r : folders_save(d, j);
}

/* What a change keeps of the old row; 1 if it had folders. */
static int keep_old(struct db *d, struct user *u)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, "SELECT id, last_login, created_at, has_folders FROM users WHERE username = ?", &st, "s",
                     u->username);

    if (r == 0)
        r = db_step(d, st);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    u->id = sqlite3_column_int64(st, 0);
    u->last_login_ms = sqlite3_column_int64(st, 1);
    u->created_at_ms = sqlite3_column_int64(st, 2);
    return sqlite3_column_int(st, 3) != 0;
}

static int update_job(struct db *d, void *arg)
{
    struct user_job *j = arg;
    int had_folders = keep_old(d, &j->u);

    if (had_folders < 0)
        return had_folders;
    int r = user_write(d, &j->u, update_sql, j->u.virtual_folders.n > 0);
    if (r == 0)
        r = path_claim(d, PATH_OF_USER, j->u.id, j->u.home_dir, j->mount, j->why);
    return r < 0 || (!had_folders && j->u.virtual_folders.n == 0) ? r : folders_save(d, j);
}

int user_exists(struct db *d, const char *username)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, "SELECT 1 FROM users WHERE username = ?", &st, "s", username);

    return r < 0 ? r : db_step(d, st);
}

/* Unlike a change over REST nothing of the old row stays but its id and its past. */
int user_restore(struct db *d, struct user *u, const char *mount, struct why *w)
{
    struct user_job j = { .u = *u, .mount = mount, .now_ms = sys->wall_ms(), .why = w }; /* borrows */
    int r = user_exists(d, u->username);

    if (r < 0)
        return r;
    bool is_new = r == 0;
    j.u.updated_at_ms = j.now_ms;
    if (is_new && j.u.created_at_ms <= 0)
        j.u.created_at_ms = j.now_ms;
    r = is_new ? add_job(d, &j) : update_job(d, &j);
    u->id = j.u.id;
    return r < 0 ? r : is_new ? RESTORE_ADDED : RESTORE_UPDATED;
}

struct login_job {
    const char *username;
    int64_t when_ms;
};

static int login_job(struct db *d, void *arg)
{
    struct login_job *j = arg;

    return user_rewrite(d, j->username, 0, set_last_login, j->when_ms);
}

/* ---- public ---- */

static int user_prepare(struct store *s, const struct user *u, struct user_job *j, struct why *reterr_why)
{
    const struct config *c = store_config(s);

    j->why = reterr_why;
    j->mount = c->vfs.mount;
    j->now_ms = sys->wall_ms();
    int r = schema_copy(&user_schema, &j->u, u);
    if (r == 0)
        r = user_check(&j->u, c->data_provider.users_base_dir, reterr_why);
    if (r == 0)
        r = password_settle(&c->data_provider.password_hashing, &j->u.password);
    j->u.updated_at_ms = j->now_ms;
    return r;
}

static void user_job_done(struct user_job *j)
{
    if (j->u.password)
        explicit_bzero(j->u.password, strlen(j->u.password));
    user_done(&j->u);
}

int user_add(struct store *s, const struct user *u, int64_t *ret_id, struct why *reterr_why)
{
    CLEANUP(user_job_done) struct user_job j = { 0 };
    int r = user_prepare(s, u, &j, reterr_why);

    if (r < 0)
        return r;
    if (j.u.created_at_ms <= 0)
        j.u.created_at_ms = j.now_ms;
    r = store_write(s, add_job, &j);
    if (r == 0 && ret_id)
        *ret_id = j.u.id;
    return r;
}

int user_update(struct store *s, const struct user *u, struct why *reterr_why)
{
    CLEANUP(user_job_done) struct user_job j = { 0 };
    int r = user_prepare(s, u, &j, reterr_why);

    return r < 0 ? r : store_write(s, update_job, &j);
}

int user_remove(struct store *s, const char *username)
{
    return row_remove(s, "DELETE FROM users WHERE username = ?", username);
}

int user_set_last_login(struct store *s, const char *username, int64_t when_ms)
{
    struct login_job j = { username, when_ms };

    return store_write(s, login_job, &j);
}

int user_shown(struct store *s, const char *username, page_fn *write, void *arg)
{
    return shown_read(s, "SELECT id, username, shown, has_folders FROM users WHERE username = ?", username, write, arg);
}

int users_page(struct store *s, const struct page *p, page_fn *write, void *arg)
{
    return page_write(s,
                      p->descending
                          ? "SELECT id, username, shown, has_folders FROM users ORDER BY username DESC LIMIT ? OFFSET ?"
                          : "SELECT id, username, shown, has_folders FROM users ORDER BY username LIMIT ? OFFSET ?",
                      p, NULL, write, arg);
}

int users_each(struct store *s, int (*fn)(void *arg, int64_t id, const char *username), void *arg)
{
    return names_each(s, "SELECT id, username FROM users WHERE ?1 = 0 AND username > ?2 ORDER BY username LIMIT ?3", 0,
                      fn, arg);
}

int users_after(struct store *s, int64_t after, int (*fn)(void *arg, int64_t id, const char *username), void *arg)
{
    return ids_each(s, "SELECT id, username FROM users WHERE id > ?1 AND ?2 = '' ORDER BY id LIMIT ?3", after, fn, arg);
}

int users_of_folder(struct store *s, int64_t folder_id, int (*fn)(void *arg, int64_t id, const char *username),
                    void *arg)
{
    return names_each(s,
                      "SELECT u.id, u.username FROM user_folders uf JOIN users u ON u.id = uf.user_id "
                      "WHERE uf.folder_id = ?1 AND u.username > ?2 ORDER BY u.username LIMIT ?3",
                      folder_id, fn, arg);
}
