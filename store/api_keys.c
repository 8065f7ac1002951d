/* API keys: rows, loading and changing. A key is "<id>.<secret>"; the secret is shown once, when it is made, and kept
 * as a password hash. Keys end with their administrator or user: the database removes them with the row. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "store/dump_parts.h"
#include "store/entity_parts.h"
#include "store/password.h"
#include "store/rows.h"
#include "store/rules.h"

enum { SHORT_ID_LEN = 22 };

static const struct field api_key_fields[] = {
    F_STRING(struct api_key, id, .flags = FIELD_KEY | FIELD_READ_ONLY, .max = 255),
    F_STRING(struct api_key, name, .max = 255),
    F_STRING(struct api_key, key, .flags = FIELD_OMIT_EMPTY | FIELD_HIDDEN, .max = PASSWORD_MAX),
    F_I32(struct api_key, scope),
    F_I64(struct api_key, created_at_ms, .wire = "created_at", .flags = FIELD_READ_ONLY),
    F_I64(struct api_key, updated_at_ms, .wire = "updated_at", .flags = FIELD_READ_ONLY),
    F_I64(struct api_key, last_use_at_ms, .wire = "last_use_at", .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY),
    F_I64(struct api_key, expires_at_ms, .wire = "expires_at", .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct api_key, description, .flags = FIELD_OMIT_EMPTY),
    F_STRING(struct api_key, user, .flags = FIELD_OMIT_EMPTY, .max = 255),
    F_STRING(struct api_key, admin, .flags = FIELD_OMIT_EMPTY, .max = 255),
};
const struct schema api_key_schema = SCHEMA("APIKey", struct api_key, api_key_fields);

void api_key_done(struct api_key *k)
{
    schema_done(&api_key_schema, k);
}

/* ---- loading ---- */

static int api_key_row(struct db *d, sqlite3_stmt *st, struct api_key *k)
{
    size_t len;
    int r = db_step(d, st);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    const char *doc = db_text(st, 0, &len);
    return doc_parse(&api_key_schema, doc, len, k);
}

static int api_key_read(struct db *d, const char *id, struct api_key *ret)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    struct api_key k;
    int r = db_query(d, "SELECT doc FROM api_keys WHERE key_id = ?", &st, "s", id);

    if (r == 0)
        r = schema_init(&api_key_schema, &k);
    if (r < 0)
        return r;
    r = api_key_row(d, st, &k);
    if (r < 0)
        api_key_done(&k);
    else
        *ret = k;
    return r;
}

int api_key_load(struct store *s, const char *id, struct api_key *ret)
{
    struct db *d;
    int r = store_reader(s, &d);

    return r < 0 ? r : api_key_read(d, id, ret);
}

int api_keys_all(struct db *d, int (*fn)(void *arg, struct api_key *k), void *arg)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;
    int r = db_query(d, "SELECT doc FROM api_keys ORDER BY key_id", &st, "");

    while (r == 0) {
        CLEANUP(api_key_done) struct api_key k = { 0 };
        r = schema_init(&api_key_schema, &k);
        if (r == 0)
            r = api_key_row(d, st, &k);
        if (r == 0)
            r = fn(arg, &k);
    }
    return r == -ENOENT ? 0 : r;
}

/* ---- in the writer ---- */

struct api_key_job {
    struct api_key k; /* owned */
    struct why *why;
    int64_t when_ms;
};

static int holder_id(struct db *d, const char *sql, const char *field, const char *name, int64_t *ret, struct why *w)
{
    CLEANUP(db_release) sqlite3_stmt *st = NULL;

    *ret = 0;
    if (!name || !*name)
        return 0;
    int r = db_query(d, sql, &st, "s", name);
    if (r == 0)
        r = db_step(d, st);
    if (r == 0)
        return why_set(w, -EINVAL, field, "\"%.64s\" does not exist", name);
    if (r > 0)
        *ret = sqlite3_column_int64(st, 0);
    return r < 0 ? r : 0;
}

static int api_key_write(struct db *d, const struct api_key *k, struct why *w)
{
    CLEANUP(mem_free) char *doc = NULL, *shown = NULL;
    int64_t user_id = 0, admin_id = 0;
    int r = holder_id(d, "SELECT id FROM users WHERE username = ?", "user", k->user, &user_id, w);

    if (r == 0)
        r = holder_id(d, "SELECT id FROM admins WHERE username = ?", "admin", k->admin, &admin_id, w);
    if (r == 0)
        r = doc_write(&api_key_schema, k, &doc);
    if (r == 0)
        r = shown_write(&api_key_schema, NULL, k, &shown);
    return r < 0 ? r
                 : db_run(d,
                          "INSERT INTO api_keys(key_id, user_id, admin_id, shown, doc) "
                          "VALUES(?1, nullif(?2, 0), nullif(?3, 0), ?4, ?5) ON CONFLICT(key_id) DO UPDATE "
                          "SET user_id = nullif(?2, 0), admin_id = nullif(?3, 0), shown = ?4, doc = ?5",
                          "siiss", k->id, user_id, admin_id, shown, doc);
}

static int add_job(struct db *d, void *arg)
{
    struct api_key_job *j = arg;

    return api_key_write(d, &j->k, j->why);
}

/* What a body cannot change stays. */
static int update_job(struct db *d, void *arg)
{
    struct api_key_job *j = arg;
    CLEANUP(api_key_done) struct api_key old = { 0 };
    int r = api_key_read(d, j->k.id, &old);

    if (r == 0)
        r = str_copy(&j->k.key, old.key);
    j->k.created_at_ms = old.created_at_ms;
    j->k.last_use_at_ms = old.last_use_at_ms;
    return r < 0 ? r : api_key_write(d, &j->k, j->why);
}

int api_key_restore(struct db *d, struct api_key *k, bool only_add, struct why *w)
{
    CLEANUP(api_key_done) struct api_key old = { 0 };
    int r = api_key_read(d, k->id, &old);
    bool is_new = r == -ENOENT;

    if (r < 0 && !is_new)
        return r;
    if (!is_new && only_add)
        return RESTORE_KEPT;
    k->updated_at_ms = sys->wall_ms();
    if (!is_new)
        k->created_at_ms = old.created_at_ms;
    else if (k->created_at_ms <= 0)
        k->created_at_ms = k->updated_at_ms;
    r = api_key_write(d, k, w);
    return r < 0 ? r : is_new ? RESTORE_ADDED : RESTORE_UPDATED;
}

static int use_job(struct db *d, void *arg)
{
    struct api_key_job *j = arg;
    CLEANUP(api_key_done) struct api_key k = { 0 };
    int r = api_key_read(d, j->k.id, &k);

    k.last_use_at_ms = j->when_ms;
    return r < 0 ? r : api_key_write(d, &k, NULL);
}

/* ---- public ---- */

static bool is_set(const char *s)
{
    return s && *s;
}

int api_key_check(const struct api_key *k, struct why *w)
{
    if (!is_set(k->name))
        return why_set(w, -EINVAL, "name", "is mandatory");
    if (k->scope != API_KEY_ADMIN && k->scope != API_KEY_USER)
        return why_set(w, -EINVAL, "scope", "must be 1 (administrators) or 2 (users)");
    if (is_set(k->user) && is_set(k->admin))
        return why_set(w, -EINVAL, "", "an API key can belong to a user or to an administrator, not to both");
    if (is_set(k->user) && k->scope == API_KEY_ADMIN)
        return why_set(w, -EINVAL, "user", "must be empty for a key of scope 1 (administrators)");
    if (is_set(k->admin) && k->scope == API_KEY_USER)
        return why_set(w, -EINVAL, "admin", "must be empty for a key of scope 2 (users)");
    return k->expires_at_ms >= 0 ? 0 : why_set(w, -EINVAL, "expires_at", "must not be negative");
}

static int api_key_prepare(const struct api_key *k, struct api_key_job *j, struct why *reterr_why)
{
    int r = schema_copy(&api_key_schema, &j->k, k);

    j->why = reterr_why;
    j->k.updated_at_ms = sys->wall_ms();
    return r < 0 ? r : api_key_check(&j->k, reterr_why);
}

static void api_key_job_done(struct api_key_job *j)
{
    api_key_done(&j->k);
}

/* 22 characters that no eye confuses: more than 128 bits. */
static void short_id(char ret[SHORT_ID_LEN + 1])
{
    static const char digits[] = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    enum { DIGITS = sizeof(digits) - 1, FAIR = 256 - 256 % DIGITS };

    for (size_t n = 0; n < SHORT_ID_LEN;) {
        uint8_t byte;
        sys->random(&byte, 1);
        if (byte < FAIR)
            ret[n++] = digits[byte % DIGITS];
    }
    ret[SHORT_ID_LEN] = 0;
}

int api_key_add(struct store *s, const struct api_key *k, char **ret_id, char **ret_secret, struct why *reterr_why)
{
    CLEANUP(api_key_job_done) struct api_key_job j = { 0 };
    char id[SHORT_ID_LEN + 1], secret[SHORT_ID_LEN + 1];
    int r = api_key_prepare(k, &j, reterr_why);

    if (r < 0)
        return r;
    short_id(id);
    short_id(secret);
    r = str_copy(&j.k.id, id);
    free(TAKE_PTR(j.k.key));
    if (r == 0)
        r = password_hash(&store_config(s)->data_provider.password_hashing, secret, &j.k.key);
    j.k.created_at_ms = j.k.updated_at_ms;
    j.k.last_use_at_ms = 0;
    if (r == 0)
        r = store_write(s, add_job, &j);
    if (r == 0)
        r = str_copy(ret_id, id);
    return r < 0 ? r : str_copy(ret_secret, secret);
}

int api_key_update(struct store *s, const struct api_key *k, struct why *reterr_why)
{
    CLEANUP(api_key_job_done) struct api_key_job j = { 0 };
    int r = api_key_prepare(k, &j, reterr_why);

    return r < 0 ? r : store_write(s, update_job, &j);
}

int api_key_remove(struct store *s, const char *id)
{
    return row_remove(s, "DELETE FROM api_keys WHERE key_id = ?", id);
}

int api_key_set_last_use(struct store *s, const char *id, int64_t when_ms)
{
    struct api_key_job j = { .k = { .id = (char *)(uintptr_t)id }, .when_ms = when_ms };

    return store_write(s, use_job, &j);
}

int api_keys_page(struct store *s, const struct page *p, page_fn *write, void *arg)
{
    return page_write(s,
                      p->descending ? "SELECT 0, key_id, shown, 0 FROM api_keys ORDER BY key_id DESC LIMIT ? OFFSET ?"
                                    : "SELECT 0, key_id, shown, 0 FROM api_keys ORDER BY key_id LIMIT ? OFFSET ?",
                      p, NULL, write, arg);
}
