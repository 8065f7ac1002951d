/* SQLite connections: settings, kept statements, and the way from one version of a schema to the next.
 *
 * A database belongs to one writer connection at a time; readers are opened read-only and never checkpoint, which also
 * keeps us clear of SQLite's WAL-reset bug (sqlite.org/wal.html#walresetbug). user_version counts the steps of the
 * schema that were run. Each step is one transaction together with its new user_version, so a crash leaves a database
 * between two steps, never inside one.
 *
 * The file is made before SQLite opens it, because SQLite would make it 0644 and it holds password hashes; -wal and
 * -shm take its mode. It is only made when it is not there: closing a descriptor of a database that another connection
 * of this process has open would drop that connection's POSIX locks. */
#include "store/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"

enum { STATEMENTS_MAX = 96, BUSY_MS = 5000, DB_PATH_MAX = 4096 };

struct statement {
    const char *sql; /* borrowed: a literal of the program */
    sqlite3_stmt *st;
};

struct db {
    sqlite3 *c;
    struct statement statements[STATEMENTS_MAX];
    size_t n;
};

/* SQLite's result to ours; the first match wins. */
static const struct {
    int code; /* primary */
    int r;
} results[] = {
    { SQLITE_NOMEM, -ENOMEM },  { SQLITE_FULL, -ENOSPC },    { SQLITE_BUSY, -EBUSY },   { SQLITE_LOCKED, -EBUSY },
    { SQLITE_NOTADB, -EPROTO }, { SQLITE_READONLY, -EROFS }, { SQLITE_TOOBIG, -E2BIG },
};

static int result_of(int code)
{
    for (size_t i = 0; i < ARRAY_SIZE(results); i++)
        if (results[i].code == (code & 0xff))
            return results[i].r;
    return -EIO;
}

static int fail(struct db *d, const char *doing)
{
    int extended = sqlite3_extended_errcode(d->c);

    if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
        return -EEXIST;
    log_error("database: %s: %s", doing, sqlite3_errmsg(d->c));
    return result_of(extended);
}

int db_exec(struct db *d, const char *sql)
{
    return sqlite3_exec(d->c, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(d, sql);
}

static sqlite3_stmt *statement_find(struct db *d, const char *sql)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->statements[i].sql == sql || strcmp(d->statements[i].sql, sql) == 0)
            return d->statements[i].st;
    return NULL;
}

int db_prepare(struct db *d, const char *sql, sqlite3_stmt **ret)
{
    sqlite3_stmt *st = statement_find(d, sql);

    if (st) {
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        *ret = st;
        return 0;
    }
    if (d->n == STATEMENTS_MAX)
        return log_fail(-ENOBUFS, "database: too many statements");
    if (sqlite3_prepare_v3(d->c, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
        return fail(d, sql);
    d->statements[d->n++] = (struct statement){ sql, st };
    *ret = st;
    return 0;
}

void db_release(sqlite3_stmt **st)
{
    sqlite3_reset(*st); /* NULL is harmless */
}

int db_step(struct db *d, sqlite3_stmt *st)
{
    int code = sqlite3_step(st);

    if (code == SQLITE_ROW)
        return 1;
    int r = code == SQLITE_DONE ? 0 : fail(d, sqlite3_sql(st));
    sqlite3_reset(st);
    return r;
}

/* NOLINTBEGIN(clang-analyzer-valist.Uninitialized): the caller has started it */
static int bind_all(struct db *d, sqlite3_stmt *st, const char *kinds, va_list ap)
{
    for (int i = 0; kinds[i]; i++) {
        int code = kinds[i] == 'i' ? sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t))
                                   : sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1, SQLITE_STATIC);
        if (code != SQLITE_OK)
            return fail(d, "bind");
    }
    return 0;
}
/* NOLINTEND(clang-analyzer-valist.Uninitialized) */

int db_query(struct db *d, const char *sql, sqlite3_stmt **ret, const char *kinds, ...)
{
    sqlite3_stmt *st = NULL;
    int r = db_prepare(d, sql, &st);

    if (r < 0)
        return r;
    va_list ap;
    va_start(ap, kinds);
    r = bind_all(d, st, kinds, ap);
    va_end(ap);
    if (r == 0)
        *ret = st;
    return r;
}

int db_run(struct db *d, const char *sql, const char *kinds, ...)
{
    sqlite3_stmt *st = NULL;
    int r = db_prepare(d, sql, &st);

    if (r < 0)
        return r;
    va_list ap;
    va_start(ap, kinds);
    r = bind_all(d, st, kinds, ap);
    va_end(ap);
    if (r < 0)
        return r;
    r = db_step(d, st);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st); /* what was bound is the caller's */
    return r < 0 ? r : 0;
}

const char *db_text(sqlite3_stmt *st, int column, size_t *ret_len)
{
    const char *s = (const char *)sqlite3_column_text(st, column);

    if (ret_len)
        *ret_len = s ? (size_t)sqlite3_column_bytes(st, column) : 0;
    return s ? s : "";
}

bool db_in_transaction(const struct db *d)
{
    return !sqlite3_get_autocommit(d->c);
}

int64_t db_last_id(struct db *d)
{
    return sqlite3_last_insert_rowid(d->c);
}

uint64_t db_changes(struct db *d)
{
    return (uint64_t)sqlite3_changes64(d->c);
}

/* The first column of the first row. */
static int number_of(struct db *d, const char *sql, int64_t *ret)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_prepare(d, sql, &st);

    if (r < 0)
        return r;
    r = db_step(d, st);
    if (r > 0)
        *ret = sqlite3_column_int64(st, 0);
    return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

/* Is the database ours? An empty one is; one with tables and without our mark is another program's. */
static int check_owner(struct db *d, const char *path, const struct db_schema *schema, int64_t *ret_version)
{
    int64_t id = 0, version = 0, tables = 0;
    int r = number_of(d, "PRAGMA application_id", &id);

    if (r == 0)
        r = number_of(d, "PRAGMA user_version", &version);
    if (r == 0)
        r = number_of(d, "SELECT count(*) FROM sqlite_schema", &tables);
    if (r < 0)
        return r;
    if (id != schema->application_id && (id != 0 || version != 0 || tables != 0))
        return log_fail(-EPROTO, "%s is another program's database (application id %lld)", path, (long long)id);
    if (version < 0 || (uint64_t)version > schema->n)
        return log_fail(-EPROTO, "%s is of version %lld, newer than this program's %zu", path, (long long)version,
                        schema->n);
    *ret_version = version;
    return 0;
}

static int backup(struct db *d, const char *path, int64_t version)
{
    char to[DB_PATH_MAX];
    int64_t now_ms = sys->wall_ms();
    int n = snprintf(to, sizeof(to), "%s.v%lld-%lld.bak", path, (long long)version, (long long)now_ms);

    if (n < 0 || (size_t)n >= sizeof(to))
        return -ENAMETOOLONG;
    int r = db_run(d, "VACUUM INTO ?", "s", to);
    if (r == 0)
        r = sys->fchmodat(AT_FDCWD, to, 0600);
    if (r == 0)
        log_info("%s: copied to %s before its migration", path, to);
    return r;
}

static int migrate_step(struct db *d, const struct db_schema *schema, size_t step)
{
    char mark[128];
    int n = snprintf(mark, sizeof(mark), "PRAGMA application_id=%d; PRAGMA user_version=%zu", schema->application_id,
                     step + 1);

    if (n < 0 || (size_t)n >= sizeof(mark))
        return -EINVAL;
    int r = db_exec(d, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    r = db_exec(d, schema->steps[step]);
    if (r == 0)
        r = db_exec(d, mark);
    if (r == 0)
        r = db_exec(d, "COMMIT");
    if (r < 0)
        IGNORE(db_exec(d, "ROLLBACK"), "the first failure is the one to tell");
    return r;
}

static int migrate(struct db *d, const char *path, const struct db_schema *schema, int64_t version)
{
    int r = 0;

    if (version > 0 && (size_t)version < schema->n)
        r = backup(d, path, version);
    for (size_t step = (size_t)version; r == 0 && step < schema->n; step++)
        r = migrate_step(d, schema, step);
    return r;
}

static const char common_settings[] = "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;"
                                      "PRAGMA mmap_size=0; PRAGMA cache_size=-8192;";
static const char writer_settings[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                      "PRAGMA journal_size_limit=67108864;";
static const char reader_settings[] = "PRAGMA wal_autocheckpoint=0; PRAGMA query_only=ON;";

static int configure(struct db *d, bool writable)
{
    sqlite3_extended_result_codes(d->c, 1);
    sqlite3_busy_timeout(d->c, BUSY_MS);
    sqlite3_db_config(d->c, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->c, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    int r = db_exec(d, common_settings);
    return r < 0 ? r : db_exec(d, writable ? writer_settings : reader_settings);
}

/* 0600, only if there is none. */
static int make_file(const char *path)
{
    struct open_how how = { .flags = O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, .mode = 0600 };
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path, &how);

    return fd >= 0 || fd == -EEXIST ? 0 : fd;
}

static int connect_to(struct db *d, const char *path, bool writable)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    int r = writable ? make_file(path) : 0;

    if (r < 0)
        return log_fail(r, "cannot make the database %s", path);
    if (sqlite3_open_v2(path, &d->c, flags, NULL) == SQLITE_OK)
        return configure(d, writable);
    if (!d->c)
        return -ENOMEM;
    if (sqlite3_system_errno(d->c) == ENOENT)
        return -ENOENT;
    return fail(d, path);
}

static void sqlite_config(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* one lock less at each allocation */
}

int db_open(const char *path, bool writable, const struct db_schema *schema, struct db **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int64_t version = 0;

    pthread_once(&once, sqlite_config);
    struct db *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    int r = connect_to(d, path, writable);
    if (r == 0)
        r = check_owner(d, path, schema, &version);
    if (r == 0 && writable)
        r = migrate(d, path, schema, version);
    else if (r == 0 && (size_t)version < schema->n)
        r = -ENOENT;
    if (r < 0)
        db_close(d);
    else
        *ret = d;
    return r;
}

void db_close(struct db *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        sqlite3_finalize(d->statements[i].st);
    sqlite3_close(d->c);
    free(d);
}
