/* The tables of the store and what its files share to read and write them. Inside store/ only.
 *
 * Each entity is one row: `doc` is the whole entity as JSON (SHOW_ALL), `shown` what a page of the API shows of it.
 * Read functions run on the caller's own connection, write functions in the writer's thread, inside its transaction. */
#pragma once

#include "store/db.h"
#include "store/store.h"
#include "store/writer.h"

extern const struct db_schema store_schema;

enum { DOC_MAX = 64 << 20 };

/* store_reader - this thread's connection. store_write - runs `fn` in the writer; waits until it is durable. */
int store_reader(struct store *s, struct db **ret) MUST_CHECK;
int store_write(struct store *s, writer_fn *fn, void *arg) MUST_CHECK;
const struct config *store_config(const struct store *s);

/* row_remove - one row by its name with a DELETE of one parameter; -ENOENT if there was none. */
int row_remove(struct store *s, const char *sql, const char *name) MUST_CHECK;

/* id_next - the id that the next row of a table will have; ids are never used twice. */
int id_next(struct db *d, const char *table, int64_t *ret) MUST_CHECK;

/* doc_parse - an entity from its stored text, into *obj (schema_init() was done). */
int doc_parse(const struct schema *s, const char *doc, size_t len, void *obj) MUST_CHECK;

/* doc_write, shown_write - texts of an entity. `before` and `after` are the rows beside the usage members. */
int doc_write(const struct schema *s, const void *obj, char **ret) MUST_CHECK;
int shown_write(const struct schema *before, const struct schema *after, const void *obj, char **ret) MUST_CHECK;

/* page_write - a query with the columns id, name, shown, has_folders and the parameters limit, offset. `more` may add
 * members to an object's text; NULL: nothing to add. */
typedef int page_more(struct db *d, int64_t id, struct strbuf *to);
int page_write(struct store *s, const char *sql, const struct page *p, page_more *more, page_fn *write,
               void *arg) MUST_CHECK;

/* shown_read - the one row of a query with the same columns and the parameter name. -ENOENT: there is none. */
int shown_read(struct store *s, const char *sql, const char *name, page_fn *write, void *arg) MUST_CHECK;

/* names_each - steps through a query with the columns id, name and the parameters key, name of the last one seen,
 * count; `fn` runs between the steps, without a lock or a snapshot. */
int names_each(struct store *s, const char *sql, int64_t key, int (*fn)(void *arg, int64_t id, const char *name),
               void *arg) MUST_CHECK;

/* ids_each - the same through a query with the parameters id of the last one seen, "" and count. */
int ids_each(struct store *s, const char *sql, int64_t after, int (*fn)(void *arg, int64_t id, const char *name),
             void *arg) MUST_CHECK;

/* Names of those who include a folder, appended to *to. */
int folder_users(struct db *d, int64_t folder_id, struct strings *to) MUST_CHECK;

/* ---- in the writer ---- */

enum path_owner { PATH_OF_USER, PATH_OF_FOLDER };

/* path_claim - the directory of a user's home or of a folder, instead of the one it had. -EINVAL with *w: it is, holds
 * or is inside the directory of another one, or the mount (NULL: none). */
int path_claim(struct db *d, enum path_owner kind, int64_t owner_id, const char *path, const char *mount,
               struct why *w) MUST_CHECK;

/* folder_put - the folder of that name: made or changed if its definition is complete. Fills f->id. */
int folder_put(struct db *d, struct folder *f, const char *mount, struct why *w) MUST_CHECK;

/* user_touch - writes a user anew with another updated_at. */
int user_touch(struct db *d, int64_t id, int64_t now_ms) MUST_CHECK;
