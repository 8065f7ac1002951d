/* The layer over SQLite: steps of a schema, versions, other programs' files, the writer's group commit. */
#include <dirent.h>
#include <sys/stat.h>

#include "store/writer.h"
#include "tests/unit/store/bed.h"

static const char *const steps[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL UNIQUE) STRICT",
    "ALTER TABLE t ADD COLUMN w INTEGER NOT NULL DEFAULT 5",
    "CREATE TABLE broken(",
};

static struct db_schema schema_to(size_t n)
{
    return (struct db_schema){ .application_id = 77, .steps = steps, .n = n };
}

static void path_in(const struct bed *b, const char *name, char to[128])
{
    snprintf(to, 128, "%s/%s", b->dir, name);
}

static unsigned backups(const struct bed *b)
{
    DIR *d = opendir(b->dir);
    unsigned n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, ".bak") != NULL;
    closedir(d);
    return n;
}

static int64_t number(struct db *d, const char *sql)
{
    sqlite3_stmt *st;

    assert_int_equal(db_prepare(d, sql, &st), 0);
    assert_int_equal(db_step(d, st), 1);
    int64_t n = sqlite3_column_int64(st, 0);
    db_release(&st);
    return n;
}

static void an_old_database_is_copied_and_taken_to_the_new_version(void **state)
{
    struct bed *b = *state;
    struct db_schema one = schema_to(1), two = schema_to(2);
    char path[128];
    struct stat st;
    struct db *d;

    path_in(b, "m.db", path);
    assert_int_equal(db_open(path, true, &one, &d), 0);
    assert_int_equal(db_run(d, "INSERT INTO t(v) VALUES(?)", "s", "kept"), 0);
    db_close(d);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(backups(b), 0);

    assert_int_equal(db_open(path, false, &two, &d), -ENOENT); /* a reader waits for the writer */
    assert_int_equal(db_open(path, true, &two, &d), 0);
    assert_int_equal(number(d, "SELECT w FROM t WHERE v = 'kept'"), 5);
    assert_int_equal(number(d, "PRAGMA user_version"), 2);
    db_close(d);
    assert_int_equal(backups(b), 1);

    assert_int_equal(db_open(path, true, &one, &d), -EPROTO); /* newer than this program */
    assert_int_equal(db_open(path, false, &one, &d), -EPROTO);
    assert_int_equal(db_open(path, true, &two, &d), 0); /* nothing to do, no further copy */
    db_close(d);
    assert_int_equal(backups(b), 1);
}

static void a_failing_step_leaves_the_version_before_it(void **state)
{
    struct bed *b = *state;
    struct db_schema two = schema_to(2), three = schema_to(3);
    char path[128];
    struct db *d = NULL;

    path_in(b, "m.db", path);
    assert_true(db_open(path, true, &three, &d) < 0);
    assert_null(d);
    assert_int_equal(db_open(path, true, &two, &d), 0);
    assert_int_equal(number(d, "PRAGMA user_version"), 2);
    db_close(d);
}

static void another_programs_file_is_left_alone(void **state)
{
    struct bed *b = *state;
    struct db_schema one = schema_to(1);
    char path[128];
    sqlite3 *other;
    struct db *d = NULL;
    FILE *f;

    path_in(b, "other.db", path);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "CREATE TABLE x(y)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(db_open(path, true, &one, &d), -EPROTO);
    path_in(b, "text", path);
    f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 200; i++)
        fputs("this is no database ", f);
    fclose(f);
    assert_int_equal(db_open(path, true, &one, &d), -EPROTO);
    assert_int_equal(db_open(path, false, &one, &d), -EPROTO);
    path_in(b, "no/such/directory", path);
    assert_int_equal(db_open(path, true, &one, &d), -ENOENT);
    assert_null(d);
}

static void the_store_of_a_newer_program_is_refused(void **state)
{
    struct bed *b = *state;
    char path[128];
    sqlite3 *raw;
    struct store *s = NULL;

    store_close(b->store);
    b->store = NULL;
    path_in(b, "tally.db", path);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, "PRAGMA user_version=1000", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
    assert_int_equal(store_open(&b->config, STORE_WRITE, &s), -EPROTO);
    assert_int_equal(store_open(&b->config, STORE_READ, &s), -EPROTO);
    assert_null(s);
}

/* ---- group commit ---- */

struct insert {
    const char *v;
    bool fail;
};

static int insert_job(struct db *d, void *arg)
{
    const struct insert *i = arg;
    int r = db_run(d, "INSERT INTO t(v) VALUES(?)", "s", i->v);

    return r < 0 ? r : i->fail ? -EDOM : 7;
}

static void a_failed_change_is_undone_alone(void **state)
{
    struct bed *b = *state;
    struct db_schema one = schema_to(1);
    struct writer *w;
    char path[128];
    struct db *d;

    path_in(b, "w.db", path);
    assert_int_equal(writer_start(path, &one, &w), 0);
    assert_int_equal(db_open(path, false, &one, &d), 0);
    assert_int_equal(writer_run(w, insert_job, &(struct insert){ "a", false }), 7);
    assert_int_equal(writer_run(w, insert_job, &(struct insert){ "b", true }), -EDOM);
    assert_int_equal(writer_run(w, insert_job, &(struct insert){ "a", false }), -EEXIST);
    assert_int_equal(number(d, "SELECT count(*) FROM t"), 1); /* durable, and seen by others, when the call is back */
    db_close(d);
    writer_stop(w);
}

static int fill_job(struct db *d, void *arg)
{
    (void)arg;
    int r = db_exec(d, "PRAGMA max_page_count=8"); /* a full disk */
    return r < 0 ? r : db_run(d, "INSERT INTO t(v) VALUES(hex(zeroblob(200000)))", "");
}

static int room_job(struct db *d, void *arg)
{
    (void)arg;
    return db_exec(d, "PRAGMA max_page_count=100000");
}

static int break_commit_job(struct db *d, void *arg)
{
    (void)arg;
    int r = db_exec(d, "PRAGMA defer_foreign_keys=ON"); /* what is wrong now is found at COMMIT */
    return r < 0 ? r : db_exec(d, "CREATE TABLE c(x INTEGER REFERENCES t(id)); INSERT INTO c VALUES(12345)");
}

static void no_failure_of_the_database_is_taken_for_success(void **state)
{
    struct bed *b = *state;
    struct db_schema one = schema_to(1);
    struct writer *w;
    char path[128];
    struct db *d;

    path_in(b, "f.db", path);
    assert_int_equal(writer_start(path, &one, &w), 0);
    assert_int_equal(db_open(path, false, &one, &d), 0);
    assert_int_equal(writer_run(w, fill_job, NULL), -ENOSPC);
    assert_int_equal(number(d, "SELECT count(*) FROM t"), 0);
    assert_int_equal(writer_run(w, room_job, NULL), 0);
    assert_int_equal(writer_run(w, break_commit_job, NULL), -EIO);
    assert_int_equal(number(d, "SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0);
    assert_int_equal(writer_run(w, insert_job, &(struct insert){ "after", false }), 7); /* and it goes on */
    assert_int_equal(number(d, "SELECT count(*) FROM t"), 1);
    db_close(d);
    writer_stop(w);
}

static void a_reader_cannot_write(void **state)
{
    struct bed *b = *state;
    struct db_schema one = schema_to(1);
    char path[128];
    struct db *w, *d;

    path_in(b, "r.db", path);
    assert_int_equal(db_open(path, true, &one, &w), 0);
    assert_int_equal(db_open(path, false, &one, &d), 0);
    assert_int_equal(db_run(d, "INSERT INTO t(v) VALUES('x')", ""), -EROFS);
    db_close(d);
    db_close(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_old_database_is_copied_and_taken_to_the_new_version),
        T(a_failing_step_leaves_the_version_before_it),
        T(another_programs_file_is_left_alone),
        T(the_store_of_a_newer_program_is_refused),
        T(a_failed_change_is_undone_alone),
        T(no_failure_of_the_database_is_taken_for_success),
        T(a_reader_cannot_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
