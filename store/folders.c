/* Folders: rows, loading and changing, also as users embed them. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "store/dump_parts.h"
#include "store/entity_parts.h"
#include "store/rows.h"
#include "store/rules.h"

#define FOLDER_COLUMNS "SELECT id, doc FROM folders "

struct folder_job {
    struct folder f; /* owned */
    const char *mount;
    struct why *why;
};

/* ---- loading ---- */

int folder_users(struct db *d, int64_t folder_id, struct strings *to)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d,
                     "SELECT u.username FROM user_folders uf JOIN users u ON u.id = uf.user_id "
                     "WHERE uf.folder_id = ? ORDER BY u.username",
                     &st, "i", folder_id);

    while (r == 0 && (r = db_step(d, st)) > 0)
        r = strings_add(to, db_text(st, 0, NULL));
    return r;
}

static int folder_row(struct db *d, sqlite3_stmt *st, struct folder *f)
{
    size_t len;
    int r = db_step(d, st);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    const char *doc = db_text(st, 1, &len);
    r = doc_parse(&folder_schema, doc, len, f);
    f->id = sqlite3_column_int64(st, 0);
    return r;
}

static int folder_read(struct db *d, const char *name, int64_t id, bool with_users, struct folder *ret)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct folder f;
    int r = name ? db_query(d, FOLDER_COLUMNS "WHERE name = ?", &st, "s", name)
                 : db_query(d, FOLDER_COLUMNS "WHERE id = ?", &st, "i", id);

    if (r == 0)
        r = schema_init(&folder_schema, &f);
    if (r < 0)
        return r;
    r = folder_row(d, st, &f);
    if (r == 0 && with_users)
        r = folder_users(d, f.id, &f.users);
    if (r < 0)
        folder_done(&f);
    else
        *ret = f;
    return r;
}

int folder_load(struct store *s, const char *name, struct folder *ret)
{
    struct db *d;
    int r = store_reader(s, &d);

    return r < 0 ? r : folder_read(d, name, 0, true, ret);
}

int folder_load_by_id(struct store *s, int64_t id, struct folder *ret)
{
    struct db *d;
    int r = store_reader(s, &d);

    return r < 0 ? r : folder_read(d, NULL, id, true, ret);
}

int folders_all(struct db *d, int (*fn)(void *arg, struct folder *f), void *arg)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, FOLDER_COLUMNS "ORDER BY name", &st, "");

    while (r == 0) {
        CLEANUP(folder_done) struct folder f = { 0 };
        r = schema_init(&folder_schema, &f);
        if (r == 0)
            r = folder_row(d, st, &f);
        if (r == 0)
            r = folder_users(d, f.id, &f.users);
        if (r == 0)
            r = fn(arg, &f);
    }
    return r == -ENOENT ? 0 : r;
}

/* ---- in the writer ---- */

static const char insert_sql[] = "INSERT INTO folders(id, name, mapped_path, shown, doc) VALUES(?, ?, ?, ?, ?)";
static const char update_sql[] = "UPDATE folders SET name = ?2, mapped_path = ?3, shown = ?4, doc = ?5 WHERE id = ?1";

static int folder_write(struct db *d, const struct folder *f, const char *sql, const char *mount, struct why *w)
{
    CLEANUP(mem_free) char *doc = NULL, *shown = NULL;
    struct folder flat = *f; /* borrows */

    flat.users = (struct strings){ 0 };
    flat.used_quota_size = flat.used_quota_files = flat.last_quota_update_ms = 0;
    int r = doc_write(&folder_schema, &flat, &doc);
    if (r == 0)
        r = shown_write(&folder_before_usage, &folder_after_usage, &flat, &shown);
    if (r == 0)
        r = db_run(d, sql, "issss", f->id, f->name, f->mapped_path, shown, doc);
    return r < 0 ? r : path_claim(d, PATH_OF_FOLDER, f->id, f->mapped_path, mount, w);
}

static int folder_insert(struct db *d, struct folder *f, const char *mount, struct why *w)
{
    int r = id_next(d, "folders", &f->id);

    return r < 0 ? r : folder_write(d, f, insert_sql, mount, w);
}

static bool texts_differ(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") != 0;
}

int folder_put(struct db *d, struct folder *f, const char *mount, struct why *w)
{
    CLEANUP(folder_done) struct folder old = { 0 };
    int r = folder_read(d, f->name, 0, false, &old);

    if (r == -ENOENT && !f->mapped_path)
        return why_set(w, -EINVAL, "virtual_folders", "names the unknown folder \"%.64s\" without a mapped_path",
                       f->name);
    if (r == -ENOENT)
        return folder_insert(d, f, mount, w);
    if (r < 0)
        return r;
    f->id = old.id;
    if (!f->mapped_path ||
        (!texts_differ(f->mapped_path, old.mapped_path) && !texts_differ(f->description, old.description)))
        return 0;
    return folder_write(d, f, update_sql, mount, w);
}

int folder_restore(struct db *d, struct folder *f, bool only_add, const char *mount, struct why *w)
{
    CLEANUP(folder_done) struct folder old = { 0 };
    int r = folder_read(d, f->name, 0, false, &old);

    if (r == -ENOENT) {
        r = folder_insert(d, f, mount, w);
        return r < 0 ? r : RESTORE_ADDED;
    }
    if (r < 0)
        return r;
    f->id = old.id;
    if (only_add)
        return RESTORE_KEPT;
    r = folder_write(d, f, update_sql, mount, w);
    return r < 0 ? r : RESTORE_UPDATED;
}

static int add_job(struct db *d, void *arg)
{
    struct folder_job *j = arg;

    return folder_insert(d, &j->f, j->mount, j->why);
}

static int update_job(struct db *d, void *arg)
{
    struct folder_job *j = arg;
    CLEANUP(folder_done) struct folder old = { 0 };
    int r = folder_read(d, j->f.name, 0, false, &old);

    if (r < 0)
        return r;
    j->f.id = old.id;
    return folder_write(d, &j->f, update_sql, j->mount, j->why);
}

struct ids {
    int64_t *v;
    size_t n;
};

static void ids_done(struct ids *l)
{
    free(l->v);
}

static int user_ids_of(struct db *d, int64_t folder_id, struct ids *to)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, "SELECT user_id FROM user_folders WHERE folder_id = ?", &st, "i", folder_id);

    while (r == 0 && (r = db_step(d, st)) > 0) {
        int64_t *v = reallocarray(to->v, to->n + 1, sizeof(*v));
        if (!v)
            return -ENOMEM;
        to->v = v;
        to->v[to->n++] = sqlite3_column_int64(st, 0);
        r = 0;
    }
    return r;
}

/* The links go with the folder; those who had it have changed. */
static int remove_job(struct db *d, void *arg)
{
    CLEANUP(folder_done) struct folder f = { 0 };
    CLEANUP(ids_done) struct ids users = { 0 };
    int64_t now_ms = sys->wall_ms();
    int r = folder_read(d, arg, 0, false, &f);

    if (r == 0)
        r = user_ids_of(d, f.id, &users);
    if (r == 0)
        r = db_run(d, "DELETE FROM folders WHERE id = ?", "i", f.id);
    for (size_t i = 0; r == 0 && i < users.n; i++)
        r = user_touch(d, users.v[i], now_ms);
    return r;
}

/* ---- public ---- */

static int folder_prepare(struct store *s, const struct folder *f, struct folder_job *j, struct why *reterr_why)
{
    j->why = reterr_why;
    j->mount = store_config(s)->vfs.mount;
    int r = schema_copy(&folder_schema, &j->f, f);

    return r < 0 ? r : folder_check(&j->f, reterr_why);
}

static void folder_job_done(struct folder_job *j)
{
    folder_done(&j->f);
}

int folder_add(struct store *s, const struct folder *f, int64_t *ret_id, struct why *reterr_why)
{
    CLEANUP(folder_job_done) struct folder_job j = { 0 };
    int r = folder_prepare(s, f, &j, reterr_why);

    if (r == 0)
        r = store_write(s, add_job, &j);
    if (r == 0 && ret_id)
        *ret_id = j.f.id;
    return r;
}

int folder_update(struct store *s, const struct folder *f, struct why *reterr_why)
{
    CLEANUP(folder_job_done) struct folder_job j = { 0 };
    int r = folder_prepare(s, f, &j, reterr_why);

    return r < 0 ? r : store_write(s, update_job, &j);
}

int folder_remove(struct store *s, const char *name)
{
    return store_write(s, remove_job, (void *)(uintptr_t)name);
}

/* Who includes it is not stored with the folder: it would change with each of them. */
static int users_append(struct db *d, int64_t id, struct strbuf *to)
{
    CLEANUP(strings_done) struct strings users = { 0 };
    int r = folder_users(d, id, &users);

    for (size_t i = 0; r == 0 && i < users.n; i++) {
        struct json_out out = { .to = to, .first = true };
        strbuf_adds(to, i == 0 ? ",\"users\":[" : ",");
        json_str(&out, users.v[i]);
    }
    if (r == 0 && users.n > 0)
        strbuf_addc(to, ']');
    return r;
}

int folders_page(struct store *s, const struct page *p, page_fn *write, void *arg)
{
    return page_write(s,
                      p->descending ? "SELECT id, name, shown, 0 FROM folders ORDER BY name DESC LIMIT ? OFFSET ?"
                                    : "SELECT id, name, shown, 0 FROM folders ORDER BY name LIMIT ? OFFSET ?",
                      p, users_append, write, arg);
}
