/* Administrators: rows, loading and changing. As users, without folders and directories. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "store/dump_parts.h"
#include "store/entity_parts.h"
#include "store/password.h"
#include "store/rows.h"
#include "store/rules.h"

struct admin_job {
    struct admin a; /* owned: prepared */
};

/* ---- loading ---- */

static int admin_row(struct db *d, sqlite3_stmt *st, struct admin *a)
{
    size_t len;
    int r = db_step(d, st);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    const char *doc = db_text(st, 1, &len);
    r = doc_parse(&admin_schema, doc, len, a);
    a->id = sqlite3_column_int64(st, 0);
    a->last_login_ms = sqlite3_column_int64(st, 2);
    a->created_at_ms = sqlite3_column_int64(st, 3);
    return r;
}

static int admin_read(struct db *d, const char *username, struct admin *ret)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct admin a;
    int r = db_query(d, "SELECT id, doc, last_login, created_at FROM admins WHERE username = ?", &st, "s", username);

    if (r == 0)
        r = schema_init(&admin_schema, &a);
    if (r < 0)
        return r;
    r = admin_row(d, st, &a);
    if (r < 0)
        admin_done(&a);
    else
        *ret = a;
    return r;
}

int admin_load(struct store *s, const char *username, struct admin *ret)
{
    struct db *d;
    int r = store_reader(s, &d);

    return r < 0 ? r : admin_read(d, username, ret);
}

int admins_count(struct store *s, uint64_t *ret)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct db *d;
    int r = store_reader(s, &d);

    if (r == 0)
        r = db_query(d, "SELECT count(*) FROM admins", &st, "");
    if (r == 0)
        r = db_step(d, st);
    if (r > 0)
        *ret = (uint64_t)sqlite3_column_int64(st, 0);
    return r < 0 ? r : 0;
}

int admins_all(struct db *d, int (*fn)(void *arg, struct admin *a), void *arg)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, "SELECT id, doc, last_login, created_at FROM admins ORDER BY username", &st, "");

    while (r == 0) {
        CLEANUP(admin_done) struct admin a = { 0 };
        r = schema_init(&admin_schema, &a);
        if (r == 0)
            r = admin_row(d, st, &a);
        if (r == 0)
            r = fn(arg, &a);
    }
    return r == -ENOENT ? 0 : r;
}

/* ---- in the writer ---- */

static int admin_write(struct db *d, const struct admin *a, const char *sql)
{
    CLEANUP(mem_free) char *doc = NULL, *shown = NULL;
    int r = doc_write(&admin_schema, a, &doc);

    if (r == 0)
        r = shown_write(&admin_schema, NULL, a, &shown);
    return r < 0 ? r : db_run(d, sql, "isiiss", a->id, a->username, a->last_login_ms, a->created_at_ms, shown, doc);
}

static const char insert_sql[] = "INSERT INTO admins(id, username, last_login, created_at, shown, doc) "
                                 "VALUES(?, ?, ?, ?, ?, ?)";
static const char update_sql[] = "UPDATE admins SET username = ?2, last_login = ?3, created_at = ?4, shown = ?5, "
                                 "doc = ?6 WHERE id = ?1";

static int add_job(struct db *d, void *arg)
{
    struct admin_job *j = arg;
    int r = id_next(d, "admins", &j->a.id);

    return r < 0 ? r : admin_write(d, &j->a, insert_sql);
}

static int update_job(struct db *d, void *arg)
{
    struct admin_job *j = arg;
    CLEANUP(admin_done) struct admin old = { 0 };
    int r = admin_read(d, j->a.username, &old);

    if (r < 0)
        return r;
    j->a.id = old.id;
    j->a.last_login_ms = old.last_login_ms;
    j->a.created_at_ms = old.created_at_ms;
    return admin_write(d, &j->a, update_sql);
}

int admin_restore(struct db *d, struct admin *a, bool only_add)
{
    struct admin_job j = { .a = *a }; /* borrows */
    CLEANUP(admin_done) struct admin old = { 0 };
    int r = admin_read(d, a->username, &old);
    bool is_new = r == -ENOENT;

    if (r < 0 && !is_new)
        return r;
    j.a.updated_at_ms = sys->wall_ms();
    if (is_new && j.a.created_at_ms <= 0)
        j.a.created_at_ms = j.a.updated_at_ms;
    if (!is_new && only_add) {
        a->id = old.id;
        return RESTORE_KEPT;
    }
    r = is_new ? add_job(d, &j) : update_job(d, &j);
    a->id = j.a.id;
    return r < 0 ? r : is_new ? RESTORE_ADDED : RESTORE_UPDATED;
}

struct login_job {
    const char *username;
    int64_t when_ms;
};

static int login_job(struct db *d, void *arg)
{
    struct login_job *j = arg;
    CLEANUP(admin_done) struct admin a = { 0 };
    int r = admin_read(d, j->username, &a);

    if (r < 0)
        return r;
    a.last_login_ms = j->when_ms;
    return admin_write(d, &a, update_sql);
}

/* ---- public ---- */

static int admin_prepare(struct store *s, const struct admin *a, struct admin_job *j, struct why *reterr_why)
{
    int r = schema_copy(&admin_schema, &j->a, a);

    if (r == 0)
        r = admin_check(&j->a, reterr_why);
    if (r == 0)
        r = password_settle(&store_config(s)->data_provider.password_hashing, &j->a.password);
    j->a.updated_at_ms = sys->wall_ms();
    return r;
}

static void admin_job_done(struct admin_job *j)
{
    admin_done(&j->a);
}

int admin_add(struct store *s, const struct admin *a, int64_t *ret_id, struct why *reterr_why)
{
    CLEANUP(admin_job_done) struct admin_job j = { 0 };
    int r = admin_prepare(s, a, &j, reterr_why);

    if (r < 0)
        return r;
    if (j.a.created_at_ms <= 0)
        j.a.created_at_ms = j.a.updated_at_ms;
    r = store_write(s, add_job, &j);
    if (r == 0 && ret_id)
        *ret_id = j.a.id;
    return r;
}

int admin_update(struct store *s, const struct admin *a, struct why *reterr_why)
{
    CLEANUP(admin_job_done) struct admin_job j = { 0 };
    int r = admin_prepare(s, a, &j, reterr_why);

    return r < 0 ? r : store_write(s, update_job, &j);
}

int admin_remove(struct store *s, const char *username)
{
    return row_remove(s, "DELETE FROM admins WHERE username = ?", username);
}

int admin_set_last_login(struct store *s, const char *username, int64_t when_ms)
{
    struct login_job j = { username, when_ms };

    return store_write(s, login_job, &j);
}

int admin_shown(struct store *s, const char *username, page_fn *write, void *arg)
{
    return shown_read(s, "SELECT id, username, shown, 0 FROM admins WHERE username = ?", username, write, arg);
}

int admins_page(struct store *s, const struct page *p, page_fn *write, void *arg)
{
    return page_write(s,
                      p->descending
                          ? "SELECT id, username, shown, 0 FROM admins ORDER BY username DESC LIMIT ? OFFSET ?"
                          : "SELECT id, username, shown, 0 FROM admins ORDER BY username LIMIT ? OFFSET ?",
                      p, NULL, write, arg);
}
