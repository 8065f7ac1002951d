/* The store: its connections, and what reading and writing rows have in common.
 *
 * A thread's reader is made when it first asks and closed when the thread ends or the store is closed, whichever comes
 * first. Connections are never shared: each may hold a snapshot of its own while it steps through a page. */
#include "store/store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/sys.h"
#include "store/rows.h"

enum { PAGE_MAX = 500, EACH_STEP = 500 };

struct reader {
    struct store *store;
    struct db *db;
    struct reader *prev, *next; /* guarded by the store's lock */
};

struct store {
    const struct config *config; /* borrowed */
    char *path;
    struct writer *writer; /* NULL: STORE_READ */
    pthread_key_t key;     /* this thread's struct reader */
    struct mutex lock;
    struct reader *readers; /* guarded by lock */
};

const struct config *store_config(const struct store *s)
{
    return s->config;
}

/* ---- connections ---- */

static void reader_free(struct reader *r)
{
    db_close(r->db);
    free(r);
}

/* A thread has ended. */
static void reader_end(void *arg)
{
    struct reader *r = arg;

    mutex_lock(&r->store->lock);
    if (r->prev)
        r->prev->next = r->next;
    else
        r->store->readers = r->next;
    if (r->next)
        r->next->prev = r->prev;
    mutex_unlock(&r->store->lock);
    reader_free(r);
}

static int reader_new(struct store *s, struct reader **ret)
{
    struct reader *r = calloc(1, sizeof(*r));
    int result = r ? db_open(s->path, false, &store_schema, &r->db) : -ENOMEM;

    if (result == 0)
        result = -pthread_setspecific(s->key, r);
    if (result < 0) {
        if (r)
            reader_free(r);
        return result;
    }
    r->store = s;
    mutex_lock(&s->lock);
    r->next = s->readers;
    if (r->next)
        r->next->prev = r;
    s->readers = r;
    mutex_unlock(&s->lock);
    *ret = r;
    return 0;
}

int store_reader(struct store *s, struct db **ret)
{
    struct reader *r = pthread_getspecific(s->key);
    int result = r ? 0 : reader_new(s, &r);

    if (result == 0)
        *ret = r->db;
    return result;
}

int store_write(struct store *s, writer_fn *fn, void *arg)
{
    return s->writer ? writer_run(s->writer, fn, arg) : -EROFS;
}

static int store_path(const struct config *c, char **ret)
{
    struct strbuf b = STRBUF(PATH_MAX - 1);
    const char *name = c->data_provider.name && *c->data_provider.name ? c->data_provider.name : "tally.db";

    if (name[0] != '/')
        strbuf_addf(&b, "%s/", c->state_dir ? c->state_dir : ".");
    strbuf_adds(&b, name);
    return strbuf_take(&b, ret);
}

int store_open(const struct config *config, enum store_access access, struct store **ret)
{
    struct store *s = calloc(1, sizeof(*s));
    struct db *d;

    if (!s)
        return -ENOMEM;
    s->config = config;
    mutex_init(&s->lock, RANK_QUEUE);
    int r = -pthread_key_create(&s->key, reader_end);
    if (r < 0) {
        mutex_done(&s->lock);
        free(s);
        return r;
    }
    r = store_path(config, &s->path);
    if (r == 0 && access == STORE_WRITE)
        r = writer_start(s->path, &store_schema, &s->writer);
    if (r == 0)
        r = store_reader(s, &d); /* it is there, and of our version */
    if (r < 0)
        store_close(s);
    else
        *ret = s;
    return r;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    pthread_key_delete(s->key);
    for (struct reader *r = s->readers, *next; r; r = next) {
        next = r->next;
        reader_free(r);
    }
    writer_stop(s->writer); /* last, so that it takes the log of changes into the file */
    mutex_done(&s->lock);
    free(s->path);
    free(s);
}

int store_ping(struct store *s)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct db *d;
    int r = store_reader(s, &d);

    if (r == 0)
        r = db_query(d, "SELECT 1 FROM sqlite_schema LIMIT 1", &st, "");
    if (r == 0)
        r = db_step(d, st);
    return r > 0 ? 0 : r < 0 ? r : -EIO;
}

/* ---- rows ---- */

struct removal {
    const char *sql, *name;
};

static int removal_job(struct db *d, void *arg)
{
    const struct removal *j = arg;
    int r = db_run(d, j->sql, "s", j->name);

    return r < 0 ? r : db_changes(d) == 1 ? 0 : -ENOENT;
}

int row_remove(struct store *s, const char *sql, const char *name)
{
    struct removal j = { sql, name };

    return store_write(s, removal_job, &j);
}

int id_next(struct db *d, const char *table, int64_t *ret)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, "SELECT seq FROM sqlite_sequence WHERE name = ?", &st, "s", table);

    if (r == 0)
        r = db_step(d, st);
    if (r >= 0)
        *ret = r > 0 ? sqlite3_column_int64(st, 0) + 1 : 1;
    return r < 0 ? r : 0;
}

int doc_parse(const struct schema *s, const char *doc, size_t len, void *obj)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    struct why why = { 0 };
    int r = json_in(doc, len, JSON_WHOLE, &j, &why);

    if (r == 0)
        r = schema_parse(s, j, USE_LOAD, obj, &why);
    if (r == -EINVAL)
        return log_fail(-EIO, "database: a stored %s cannot be read: %s %s", s->name, why.field, why.text);
    return r;
}

int doc_write(const struct schema *s, const void *obj, char **ret)
{
    struct strbuf b = STRBUF(DOC_MAX);
    struct json_out out = { .to = &b, .first = true };

    schema_write(s, obj, SHOW_ALL, &out);
    return strbuf_take(&b, ret);
}

int shown_write(const struct schema *before, const struct schema *after, const void *obj, char **ret)
{
    struct strbuf b = STRBUF(DOC_MAX);
    struct json_out out = { .to = &b, .first = true };

    json_begin(&out, '{');
    schema_write_members(before, obj, SHOW_API, &out);
    if (after)
        schema_write_members(after, obj, SHOW_API, &out);
    return strbuf_take(&b, ret);
}

/* ---- pages ---- */

static int page_row(struct db *d, sqlite3_stmt *st, page_more *more, struct strbuf *b, page_fn *write, void *arg)
{
    int64_t id = sqlite3_column_int64(st, 0);
    size_t len;
    const char *name = db_text(st, 1, NULL), *json = db_text(st, 2, &len);
    bool has_folders = sqlite3_column_int(st, 3) != 0;

    if (!more)
        return write(arg, id, name, json, len, has_folders);
    strbuf_reset(b);
    strbuf_add(b, json, len);
    int r = more(d, id, b);
    if (r == 0)
        r = strbuf_ok(b);
    return r < 0 ? r : write(arg, id, name, b->s, b->len, has_folders);
}

int page_write(struct store *s, const char *sql, const struct page *p, page_more *more, page_fn *write, void *arg)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    CLEANUP(strbuf_done) struct strbuf b = STRBUF(DOC_MAX);
    struct db *d;
    int r = store_reader(s, &d);

    if (r == 0)
        r = db_query(d, sql, &st, "ii", (int64_t)MIN(p->limit, PAGE_MAX), (int64_t)MIN(p->offset, (uint64_t)INT64_MAX));
    while (r == 0) {
        r = db_step(d, st);
        if (r <= 0)
            return r;
        r = page_row(d, st, more, &b, write, arg);
    }
    return r < 0 ? r : 0; /* positive: `write` has had enough */
}

int shown_read(struct store *s, const char *sql, const char *name, page_fn *write, void *arg)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct db *d;
    int r = store_reader(s, &d);

    if (r == 0)
        r = db_query(d, sql, &st, "s", name);
    if (r == 0)
        r = db_step(d, st);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = page_row(d, st, NULL, NULL, write, arg);
    return r < 0 ? r : 0;
}

/* ---- all names ---- */

struct named {
    struct strings names;
    int64_t ids[EACH_STEP];
};

static int step_load(struct db *d, const char *sql, int64_t key, const char *last, struct named *to)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, sql, &st, "isi", key, last, (int64_t)EACH_STEP);

    while (r == 0 && (r = db_step(d, st)) > 0) {
        to->ids[to->names.n] = sqlite3_column_int64(st, 0);
        r = strings_add(&to->names, db_text(st, 1, NULL));
    }
    return r;
}

int names_each(struct store *s, const char *sql, int64_t key, int (*fn)(void *arg, int64_t id, const char *name),
               void *arg)
{
    CLEANUP(mem_free) char *last = NULL;
    struct db *d;
    int r = store_reader(s, &d);

    for (bool more = true; r == 0 && more;) {
        struct named step = { 0 };
        r = step_load(d, sql, key, last ? last : "", &step);
        more = step.names.n == EACH_STEP;
        for (size_t i = 0; r == 0 && i < step.names.n; i++)
            r = fn(arg, step.ids[i], step.names.v[i]);
        if (r == 0 && more)
            r = str_copy(&last, step.names.v[EACH_STEP - 1]);
        strings_done(&step.names);
    }
    return r < 0 ? r : 0; /* positive: `fn` has had enough */
}

int ids_each(struct store *s, const char *sql, int64_t after, int (*fn)(void *arg, int64_t id, const char *name),
             void *arg)
{
    struct db *d;
    int r = store_reader(s, &d);

    for (bool more = true; r == 0 && more;) {
        struct named step = { 0 };
        r = step_load(d, sql, after, "", &step);
        more = step.names.n == EACH_STEP;
        for (size_t i = 0; r == 0 && i < step.names.n; i++) {
            after = step.ids[i];
            r = fn(arg, step.ids[i], step.names.v[i]);
        }
        strings_done(&step.names);
    }
    return r < 0 ? r : 0; /* positive: `fn` has had enough */
}
