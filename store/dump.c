/* Writing dumps: one snapshot, the sections one after the other, each object by its rows with all that is stored.
 *
 * Readers never block the writer (WAL), so a dump of 10^5 users disturbs nobody; the snapshot makes it one moment. */
#include "store/dump.h"

#include <string.h>

#include "store/dump_parts.h"

struct dump {
    struct json_out *out;
    dump_usage_fn *usage;
    void *arg;
};

static void usage_read(const struct dump *m, bool is_user, int64_t id, int64_t *ret_bytes, int64_t *ret_files,
                       int64_t *ret_changed_ms)
{
    struct dump_usage n = { 0 };

    if (m->usage)
        m->usage(m->arg, is_user, id, &n);
    *ret_bytes = n.bytes;
    *ret_files = n.files;
    *ret_changed_ms = n.changed_ms;
}

static void folder_usage(const struct dump *m, struct folder *f)
{
    usage_read(m, false, f->id, &f->used_quota_size, &f->used_quota_files, &f->last_quota_update_ms);
}

static int user_dump(void *arg, struct user *u)
{
    const struct dump *m = arg;
    struct virtual_folder *v = u->virtual_folders.v;

    usage_read(m, true, u->id, &u->used_quota_size, &u->used_quota_files, &u->last_quota_update_ms);
    for (size_t i = 0; i < u->virtual_folders.n; i++)
        folder_usage(m, &v[i].folder);
    schema_write(&user_schema, u, SHOW_ALL, m->out);
    return strbuf_ok(m->out->to);
}

static int folder_dump(void *arg, struct folder *f)
{
    const struct dump *m = arg;

    folder_usage(m, f);
    schema_write(&folder_schema, f, SHOW_ALL, m->out);
    return strbuf_ok(m->out->to);
}

static int admin_dump(void *arg, struct admin *a)
{
    const struct dump *m = arg;

    schema_write(&admin_schema, a, SHOW_ALL, m->out);
    return strbuf_ok(m->out->to);
}

static int api_key_dump(void *arg, struct api_key *k)
{
    const struct dump *m = arg;

    schema_write(&api_key_schema, k, SHOW_ALL, m->out);
    return strbuf_ok(m->out->to);
}

static int users_dump(struct db *d, struct dump *m)
{
    return users_all(d, user_dump, m);
}

static int folders_dump(struct db *d, struct dump *m)
{
    return folders_all(d, folder_dump, m);
}

static int admins_dump(struct db *d, struct dump *m)
{
    return admins_all(d, admin_dump, m);
}

static int api_keys_dump(struct db *d, struct dump *m)
{
    return api_keys_all(d, api_key_dump, m);
}

static const struct {
    const char *name;
    uint32_t scope;
    int (*dump)(struct db *d, struct dump *m);
} sections[] = {
    /* in the order of the contract */
    { "users", DUMP_USERS, users_dump },
    { "folders", DUMP_FOLDERS, folders_dump },
    { "admins", DUMP_ADMINS, admins_dump },
    { "api_keys", DUMP_API_KEYS, api_keys_dump },
};

uint32_t dump_scope_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
        if (strcmp(sections[i].name, name) == 0)
            return sections[i].scope;
    return 0;
}

static int sections_write(struct db *d, uint32_t scopes, struct dump *m)
{
    int r = 0;

    json_begin(m->out, '{');
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sections); i++) {
        if (!(scopes & sections[i].scope))
            continue;
        json_name(m->out, sections[i].name);
        json_begin(m->out, '[');
        r = sections[i].dump(d, m);
        json_end(m->out, ']');
    }
    json_name_int(m->out, "version", DUMP_VERSION);
    json_end(m->out, '}');
    return r;
}

int dump_write(struct store *s, uint32_t scopes, dump_usage_fn *usage, void *arg, struct json_out *out)
{
    struct dump m = { out, usage, arg };
    struct db *d;
    int r = store_reader(s, &d);

    if (r == 0)
        r = db_exec(d, "BEGIN");
    if (r < 0)
        return r;
    r = sections_write(d, scopes, &m);
    int end = db_exec(d, "COMMIT");
    if (r == 0)
        r = end;
    return r < 0 ? r : strbuf_ok(out->to);
}
