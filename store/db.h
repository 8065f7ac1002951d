/* SQLite behind a few functions, for store/ itself and for the ledger's own small database.
 *
 * Settings: WAL, synchronous=FULL, foreign_keys, trusted_schema off, busy_timeout, defensive (notes/http-db.md §D2).
 * Threads:  a connection has one user at a time.
 * Errors:   -EIO, -EBUSY, -ENOSPC, -ENOMEM, each logged with SQLite's text; -EEXIST a violated UNIQUE, not logged. */
#pragma once

#include <sqlite3.h>

#include "base/defs.h"

struct db;

/* One step of a schema: SQL that takes user_version from its index to the next. */
struct db_schema {
    int32_t application_id;
    const char *const *steps;
    size_t n;
};

/* db_open - a writer creates the file (mode 0600) and takes it step by step to the last version, each step in a
 * transaction of its own; a database that holds something already is copied to <path>.v<version>-<time>.bak first.
 * -ENOENT (reader): there is none yet, or it waits for a writer to migrate it; -EPROTO: of a newer version, or another
 * program's. */
int db_open(const char *path, bool writable, const struct db_schema *schema, struct db **ret) MUST_CHECK;
void db_close(struct db *d);

int db_exec(struct db *d, const char *sql) MUST_CHECK;

/* db_prepare - a statement kept with the connection under its text: prepared once, reset and unbound here. Borrowed.
 * A query that is not stepped to its end holds a snapshot: CLEANUP(db_release) ends it. */
int db_prepare(struct db *d, const char *sql, sqlite3_stmt **ret) MUST_CHECK;
void db_release(sqlite3_stmt **st);

/* db_step - 1: a row, 0: done, else a negative errno (-EEXIST for a violated UNIQUE, -EIO). */
int db_step(struct db *d, sqlite3_stmt *st) MUST_CHECK;
bool db_in_transaction(const struct db *d); /* false after a failure that rolled everything back */
int64_t db_last_id(struct db *d);
uint64_t db_changes(struct db *d); /* rows that the last INSERT, UPDATE or DELETE touched */

/* db_run - prepares, binds and steps a statement without rows. `kinds` is one character a parameter: 'i' int64_t,
 * 's' const char * (NULL binds NULL). The texts stay the caller's and are borrowed for the call. */
int db_run(struct db *d, const char *sql, const char *kinds, ...) MUST_CHECK;

/* db_query - the same for a query: bound, not yet stepped; texts are borrowed until db_release(). */
int db_query(struct db *d, const char *sql, sqlite3_stmt **ret, const char *kinds, ...) MUST_CHECK;

/* db_text - a column as text, never NULL; borrowed until the next step. */
const char *db_text(sqlite3_stmt *st, int column, size_t *ret_len);
