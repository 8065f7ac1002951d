/* The store: users, folders, administrators and API keys in SQLite. The api role writes, the other roles read.
 *
 * A writer has one thread that owns the only read-write connection: changes are queued, run in one transaction a batch
 * (a savepoint each), and their callers wake when the batch is durable (WAL, synchronous=FULL). Readers have a
 * connection of their own a thread, made when it first asks.
 *
 * Threads:   any, for all functions. A call that writes blocks until the change is durable.
 * Ownership: entities returned are owned by the caller: *_done().
 * Errors:    -ENOENT no such object; -EEXIST the name is taken; -EINVAL with reterr_why: validation (its text
 *            completes the field's name, or stands alone where no field is named); -EPROTO the
 *            database is of a newer version; -EIO the database failed (logged with SQLite's text); -ENOMEM.
 * Source:    contract/rest.md §4, §5.5; notes/http-db.md §C, §D2. */
#pragma once

#include "base/config.h"
#include "store/entities.h"

struct store;

enum store_access { STORE_READ, STORE_WRITE };

/* store_open - `config` is borrowed for the life of the store (path, users_base_dir, password_hashing). STORE_WRITE
 * creates and migrates the database; STORE_READ is -ENOENT while there is none. */
int store_open(const struct config *config, enum store_access access, struct store **ret) MUST_CHECK;
void store_close(struct store *s);
int store_ping(struct store *s) MUST_CHECK; /* 0: it answers */

/* Users. Adding and updating validate (contract/rest.md §4.1-4.5), hash plain passwords and create embedded folders. */
int user_load(struct store *s, const char *username, struct user *ret) MUST_CHECK;
int user_load_by_id(struct store *s, int64_t id, struct user *ret) MUST_CHECK;
int user_add(struct store *s, const struct user *u, int64_t *ret_id, struct why *reterr_why) MUST_CHECK;
int user_update(struct store *s, const struct user *u, struct why *reterr_why) MUST_CHECK; /* found by username */
int user_remove(struct store *s, const char *username) MUST_CHECK;
int user_set_last_login(struct store *s, const char *username, int64_t when_ms) MUST_CHECK;

int folder_load(struct store *s, const char *name, struct folder *ret) MUST_CHECK;
int folder_load_by_id(struct store *s, int64_t id, struct folder *ret) MUST_CHECK;
int folder_add(struct store *s, const struct folder *f, int64_t *ret_id, struct why *reterr_why) MUST_CHECK;
int folder_update(struct store *s, const struct folder *f, struct why *reterr_why) MUST_CHECK;
int folder_remove(struct store *s, const char *name) MUST_CHECK;

int admin_load(struct store *s, const char *username, struct admin *ret) MUST_CHECK;
int admin_add(struct store *s, const struct admin *a, int64_t *ret_id, struct why *reterr_why) MUST_CHECK;
int admin_update(struct store *s, const struct admin *a, struct why *reterr_why) MUST_CHECK;
int admin_remove(struct store *s, const char *username) MUST_CHECK;
int admin_set_last_login(struct store *s, const char *username, int64_t when_ms) MUST_CHECK;
int admins_count(struct store *s, uint64_t *ret) MUST_CHECK;

/* API keys: found by id. Adding makes id and secret (both owned by the caller); only the secret's hash is kept. */
int api_key_load(struct store *s, const char *id, struct api_key *ret) MUST_CHECK;
int api_key_add(struct store *s, const struct api_key *k, char **ret_id, char **ret_secret,
                struct why *reterr_why) MUST_CHECK;
int api_key_update(struct store *s, const struct api_key *k, struct why *reterr_why) MUST_CHECK;
int api_key_remove(struct store *s, const char *id) MUST_CHECK;
int api_key_set_last_use(struct store *s, const char *id, int64_t when_ms) MUST_CHECK;

/* Pages. `write` is called for each object, in order, with its JSON as the API shows it and WITHOUT its last brace and
 * without the members used_quota_size, used_quota_files, last_quota_update (of users and folders), so that the caller
 * adds live numbers and '}'. The text is stored ready-made: no entity is built. Stops when `write` returns non-zero.
 * `has_folders`: the user includes virtual folders, whose live numbers the caller wants: load it as an entity then (the
 * text lacks virtual_folders). A negative result of `write` is returned, a positive one is 0. */
struct page {
    uint32_t limit; /* at most 500 */
    uint64_t offset;
    bool descending;
};
typedef int page_fn(void *arg, int64_t id, const char *name, const char *json, size_t len, bool has_folders);
int users_page(struct store *s, const struct page *p, page_fn *write, void *arg) MUST_CHECK;
int folders_page(struct store *s, const struct page *p, page_fn *write, void *arg) MUST_CHECK;
int admins_page(struct store *s, const struct page *p, page_fn *write, void *arg) MUST_CHECK;
int api_keys_page(struct store *s, const struct page *p, page_fn *write, void *arg) MUST_CHECK;

/* user_shown, admin_shown - one object, told as a page tells it. -ENOENT: there is none. */
int user_shown(struct store *s, const char *username, page_fn *write, void *arg) MUST_CHECK;
int admin_shown(struct store *s, const char *username, page_fn *write, void *arg) MUST_CHECK;

/* users_each - the names and ids of all users, in the order of names, in steps: no lock is held while `fn` runs. */
int users_each(struct store *s, int (*fn)(void *arg, int64_t id, const char *username), void *arg) MUST_CHECK;

/* users_after - the names and ids of all users whose ids are above `after`, in the order of ids (which are never used
 * again), in steps: no lock is held while `fn` runs. Ends when `fn` returns non-zero. */
int users_after(struct store *s, int64_t after, int (*fn)(void *arg, int64_t id, const char *username),
                void *arg) MUST_CHECK;

/* users_of_folder - those who include a folder. */
int users_of_folder(struct store *s, int64_t folder_id, int (*fn)(void *arg, int64_t id, const char *username),
                    void *arg) MUST_CHECK;
