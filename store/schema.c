/* The tables, step by step. A step that was released is never changed: a new one is added.
 *
 * `shown` stands before `doc`, so that a page reads little of a row. paths holds every directory that is counted, a
 * home or a folder's, in clean form: what lies below a directory is one range of its key, what lies above are a few
 * look-ups, so a conflict is found in microseconds among 10^5 users. */
#include "store/rows.h"

static const char *const steps[] = {
    "CREATE TABLE users("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " username TEXT NOT NULL UNIQUE,"
    " has_folders INTEGER NOT NULL,"
    " last_login INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " row_version INTEGER NOT NULL DEFAULT 1,"
    " shown TEXT NOT NULL,"
    " doc TEXT NOT NULL) STRICT;"

    "CREATE TABLE folders("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " name TEXT NOT NULL UNIQUE,"
    " mapped_path TEXT NOT NULL,"
    " shown TEXT NOT NULL,"
    " doc TEXT NOT NULL) STRICT;"

    "CREATE TABLE user_folders("
    " id INTEGER PRIMARY KEY,"
    " user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,"
    " folder_id INTEGER NOT NULL REFERENCES folders(id) ON DELETE CASCADE,"
    " virtual_path TEXT NOT NULL,"
    " quota_size INTEGER NOT NULL,"
    " quota_files INTEGER NOT NULL,"
    " UNIQUE(user_id, folder_id)) STRICT;"
    "CREATE INDEX user_folders_by_folder ON user_folders(folder_id);"

    "CREATE TABLE paths("
    " path TEXT NOT NULL PRIMARY KEY,"
    " user_id INTEGER UNIQUE REFERENCES users(id) ON DELETE CASCADE,"
    " folder_id INTEGER UNIQUE REFERENCES folders(id) ON DELETE CASCADE,"
    " CHECK((user_id IS NULL) <> (folder_id IS NULL))) STRICT, WITHOUT ROWID;"

    "CREATE TABLE admins("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " username TEXT NOT NULL UNIQUE,"
    " last_login INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " shown TEXT NOT NULL,"
    " doc TEXT NOT NULL) STRICT;",

    "CREATE TABLE api_keys("
    " key_id TEXT NOT NULL PRIMARY KEY,"
    " user_id INTEGER REFERENCES users(id) ON DELETE CASCADE,"
    " admin_id INTEGER REFERENCES admins(id) ON DELETE CASCADE,"
    " shown TEXT NOT NULL,"
    " doc TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX api_keys_by_user ON api_keys(user_id) WHERE user_id IS NOT NULL;"
    "CREATE INDEX api_keys_by_admin ON api_keys(admin_id) WHERE admin_id IS NOT NULL;",
};

const struct db_schema store_schema = { .application_id = 0x54414c59 /* "TALY" */,
                                        .steps = steps,
                                        .n = ARRAY_SIZE(steps) };
