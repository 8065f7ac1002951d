/* Restoring a dump, in three steps that each must succeed for all objects before the next begins:
 *
 *   read      JSON to entities, folders first; what Tally has not is listed and taken out     caller's thread
 *   prepare   each is checked by its own rules, plain passwords are hashed; no name twice     caller's thread
 *   apply     directories are let go, then folders, users, administrators, keys are written  writer, one savepoint
 *
 * Directories are let go first, because two users of a dump may have changed places: only what is claimed at the end
 * may conflict. The definition in the section "folders" wins over those that users embed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/dump_parts.h"
#include "store/entity_parts.h"
#include "store/password.h"
#include "store/rules.h"

enum { SECTIONS = 4 };

struct item {
    void *obj;    /* owned */
    size_t index; /* in its section of the dump */
};

struct items {
    struct item *v; /* sorted by name, once all are there */
    size_t n;
};

struct run {
    const struct config *config;
    const struct restore_options *o;
    struct items lists[SECTIONS];
    struct strings skipped_folders, skipped_users;
    unsigned plain; /* passwords */
    struct restore *result;
    struct why *why;
};

static const struct section {
    const char *name;
    enum dump_scope scope;
    const struct schema *schema;
    const char *name_member;
    size_t name_at;                                                        /* of the object's name: a char * */
    int (*drop)(struct run *run, void *obj);                               /* parts that cannot be; may be NULL */
    int (*support)(const void *obj, struct why *w);                        /* -EINVAL: storage that is not ours */
    int (*prepare)(struct run *run, void *obj, struct why *w);             /* checks */
    int (*release)(struct db *d, void *obj);                               /* NULL: nothing to let go */
    int (*apply)(struct db *d, struct run *run, void *obj, struct why *w); /* enum restored_as */
    int64_t (*id)(const void *obj);
} sections[SECTIONS];
enum { FOLDERS, USERS, ADMINS, API_KEYS };

static const char *object_name(const struct section *s, const void *obj)
{
    const char *name = *(char *const *)((const char *)obj + s->name_at);

    return name ? name : "";
}

static void item_free(const struct section *s, void *obj)
{
    if (!obj)
        return;
    schema_done(s->schema, obj);
    free(obj);
}

static void run_done(struct run *run)
{
    for (size_t k = 0; k < SECTIONS; k++) {
        for (size_t i = 0; i < run->lists[k].n; i++)
            item_free(&sections[k], run->lists[k].v[i].obj);
        free(run->lists[k].v);
    }
    strings_done(&run->skipped_folders);
    strings_done(&run->skipped_users);
}

/* "users[3]", and the name in front of what is wrong. */
static int object_fail(struct run *run, const struct section *s, size_t index, const char *name, int r,
                       const struct why *inner)
{
    char field[64];

    if (r != -EINVAL && r != -EEXIST)
        return r;
    snprintf(field, sizeof(field), "%s[%zu]", s->name, index);
    return why_set(run->why, -EINVAL, field, "\"%.64s\": %s%s%s", name, inner->field, inner->field[0] ? " " : "",
                   inner->text[0] ? inner->text : "conflicts with another object");
}

/* ---- users ---- */

static int password_prepare(struct run *run, char **password, struct why *w)
{
    if (*password && **password && !password_is_hash(*password) && ++run->plain > RESTORE_PLAIN_MAX)
        return why_set(w, -EINVAL, "password", "is one plain password too many: a dump may have %d, the others hashes",
                       RESTORE_PLAIN_MAX);
    return password_settle(&run->config->data_provider.password_hashing, password);
}

/* Folders that the dump has and the store will not have, and secrets that cannot be read. */
static int user_drop(struct run *run, void *obj)
{
    struct user *u = obj;
    struct virtual_folder *v = u->virtual_folders.v;
    char member[64];
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < u->virtual_folders.n; i++) {
        const char *name = v[i].folder.name ? v[i].folder.name : "";
        if (!strings_has(&run->skipped_folders, name)) {
            v[kept++] = v[i];
            continue;
        }
        snprintf(member, sizeof(member), "virtual_folders[%zu]", i);
        if (r == 0)
            r = report_add(run->result, "users", u->username ? u->username : "", member,
                           "the folder \"%.64s\" was left out", name);
        schema_done(&virtual_folder_schema, &v[i]);
    }
    u->virtual_folders.n = kept;
    if (r == 0)
        r = secrets_drop(run->result, "users", u->username ? u->username : "", &u->filters.totp_config,
                         &u->filters.recovery_codes);
    return r;
}

static int user_support(const void *obj, struct why *w)
{
    const struct user *u = obj;
    const struct virtual_folder *v = u->virtual_folders.v;
    int r = filesystem_check(&u->filesystem, "filesystem", w);

    for (size_t i = 0; r == 0 && i < u->virtual_folders.n; i++)
        r = filesystem_check(&v[i].folder.filesystem, "virtual_folders", w);
    return r;
}

static int user_prepare(struct run *run, void *obj, struct why *w)
{
    struct user *u = obj;
    int r = user_check(u, run->config->data_provider.users_base_dir, w);

    return r < 0 ? r : password_prepare(run, &u->password, w);
}

static int user_release(struct db *d, void *obj)
{
    const struct user *u = obj;

    return path_release(d, PATH_OF_USER, u->username, u->home_dir);
}

static const struct item *item_find(const struct items *l, const struct section *s, const char *name)
{
    size_t low = 0, high = l->n;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, object_name(s, l->v[middle].obj));
        if (order == 0)
            return &l->v[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static int result_add(struct restore *r, enum dump_scope scope, enum restored_as as, int64_t id, const char *name,
                      bool is_limited)
{
    struct restored *v = r->v;

    if ((r->n & (r->n - 1)) == 0) /* a power of two: the room is used up */
        v = reallocarray(r->v, r->n ? 2 * r->n : 1, sizeof(*v));
    char *copy = v ? strdup(name) : NULL;
    if (v)
        r->v = v;
    if (!copy)
        return -ENOMEM;
    v[r->n++] = (struct restored){ scope, as, id, copy, is_limited };
    return 0;
}

/* A folder that only this user's record defines is made or changed with it, and then stands in the result, too. */
static int embedded_apply(struct db *d, struct run *run, struct virtual_folder *v, struct why *w)
{
    if (!v->folder.mapped_path)
        return 0;
    int r = item_find(&run->lists[FOLDERS], &sections[FOLDERS], v->folder.name)
                ? RESTORE_KEPT
                : folder_restore(d, &v->folder, run->o->only_add, run->config->vfs.mount, w);
    if (r >= 0)
        free(TAKE_PTR(v->folder.mapped_path)); /* the stored definition is the one */
    return r <= 0 ? r : result_add(run->result, DUMP_FOLDERS, (enum restored_as)r, v->folder.id, v->folder.name, false);
}

static int user_apply(struct db *d, struct run *run, void *obj, struct why *w)
{
    struct user *u = obj;
    struct virtual_folder *v = u->virtual_folders.v;
    int r = run->o->only_add ? user_exists(d, u->username) : 0;

    if (r != 0)
        return r < 0 ? r : RESTORE_KEPT;
    for (size_t i = 0; r >= 0 && i < u->virtual_folders.n; i++)
        r = embedded_apply(d, run, &v[i], w);
    return r < 0 ? r : user_restore(d, u, run->config->vfs.mount, w);
}

static int64_t user_id(const void *obj)
{
    return ((const struct user *)obj)->id;
}

/* ---- folders ---- */

static int folder_support(const void *obj, struct why *w)
{
    return filesystem_check(&((const struct folder *)obj)->filesystem, "filesystem", w);
}

static int folder_prepare(struct run *run, void *obj, struct why *w)
{
    (void)run;
    return folder_check(obj, w);
}

static int folder_release(struct db *d, void *obj)
{
    const struct folder *f = obj;

    return path_release(d, PATH_OF_FOLDER, f->name, f->mapped_path);
}

static int folder_apply(struct db *d, struct run *run, void *obj, struct why *w)
{
    return folder_restore(d, obj, run->o->only_add, run->config->vfs.mount, w);
}

static int64_t folder_id(const void *obj)
{
    return ((const struct folder *)obj)->id;
}

/* ---- administrators ---- */

static int admin_drop(struct run *run, void *obj)
{
    struct admin *a = obj;

    return secrets_drop(run->result, "admins", a->username ? a->username : "", &a->filters.totp_config,
                        &a->filters.recovery_codes);
}

static int admin_prepare(struct run *run, void *obj, struct why *w)
{
    struct admin *a = obj;
    int r = admin_check(a, w);

    return r < 0 ? r : password_prepare(run, &a->password, w);
}

static int admin_apply(struct db *d, struct run *run, void *obj, struct why *w)
{
    (void)w;
    return admin_restore(d, obj, run->o->only_add);
}

static int64_t admin_id(const void *obj)
{
    return ((const struct admin *)obj)->id;
}

/* ---- API keys ---- */

static int api_key_prepare(struct run *run, void *obj, struct why *w)
{
    const struct api_key *k = obj;

    (void)run;
    if (!k->id || !*k->id)
        return why_set(w, -EINVAL, "id", "is mandatory");
    if (!k->key || !password_is_hash(k->key) || password_check_hash(k->key) < 0)
        return why_set(w, -EINVAL, "key", "must be the hash of the key's secret");
    return api_key_check(k, w);
}

static int api_key_apply(struct db *d, struct run *run, void *obj, struct why *w)
{
    return api_key_restore(d, obj, run->o->only_add, w);
}

static int64_t api_key_id(const void *obj)
{
    (void)obj;
    return 0;
}

static const struct section sections[SECTIONS] = {
    [FOLDERS] = { "folders", DUMP_FOLDERS, &folder_schema, "name", offsetof(struct folder, name), NULL, folder_support,
                  folder_prepare, folder_release, folder_apply, folder_id },
    [USERS] = { "users", DUMP_USERS, &user_schema, "username", offsetof(struct user, username), user_drop, user_support,
                user_prepare, user_release, user_apply, user_id },
    [ADMINS] = { "admins", DUMP_ADMINS, &admin_schema, "username", offsetof(struct admin, username), admin_drop, NULL,
                 admin_prepare, NULL, admin_apply, admin_id },
    [API_KEYS] = { "api_keys", DUMP_API_KEYS, &api_key_schema, "id", offsetof(struct api_key, id), NULL, NULL,
                   api_key_prepare, NULL, api_key_apply, api_key_id },
};

/* ---- reading ---- */

static int version_check(struct json_object *dump, struct why *w)
{
    bool there;
    struct json_object *j = json_find_nocase(dump, "version", &there);

    if (!j)
        return 0;
    int64_t n = json_object_is_type(j, json_type_int) ? json_object_get_int64(j) : -1;
    if (n == 0 || (n >= DUMP_VERSION_MIN && n <= DUMP_VERSION_MAX))
        return 0;
    return why_set(w, -EINVAL, "version", "of the dump must be between %d and %d", DUMP_VERSION_MIN, DUMP_VERSION_MAX);
}

static int object_parse(struct run *run, const struct section *s, struct json_object *in, void *obj, struct why *w)
{
    bool there;

    if (!json_object_is_type(in, json_type_object))
        return why_set(w, -EINVAL, NULL, "must be an object");
    struct json_object *name = json_find_nocase(in, s->name_member, &there);
    const char *text = json_object_is_type(name, json_type_string) ? json_object_get_string(name) : "";
    int r = words_drop(run->result, s->scope, text, in);
    if (r == 0)
        r = report_members(run->result, s->name, text, s->schema, in);
    if (r == 0)
        r = schema_init(s->schema, obj);
    return r < 0 ? r : schema_parse(s->schema, in, USE_LOAD, obj, w);
}

/* An object on storage that is not ours: 0 if it stays, 1 if it was left out. */
static int object_skip(struct run *run, const struct section *s, const void *obj, struct why *w)
{
    int r = s->support ? s->support(obj, w) : 0;

    if (r != -EINVAL)
        return r;
    if (!run->o->skip_unsupported) {
        struct why inner = *w;
        return why_set(w, -EINVAL, inner.field, "%s; restore with skip-unsupported to leave it out", inner.text);
    }
    r = report_add(run->result, s->name, object_name(s, obj), NULL, "%s", w->text);
    if (r == 0)
        r = strings_add(s->scope == DUMP_FOLDERS ? &run->skipped_folders : &run->skipped_users, object_name(s, obj));
    return r < 0 ? r : 1;
}

/* A key of a user that was left out goes with it: 1. */
static int orphan_skip(struct run *run, const struct section *s, const void *obj)
{
    const struct api_key *k = obj;

    if (s->scope != DUMP_API_KEYS || !k->user || !strings_has(&run->skipped_users, k->user))
        return 0;
    int r = report_add(run->result, s->name, k->id ? k->id : "", NULL, "its user \"%.64s\" was left out", k->user);
    return r < 0 ? r : 1;
}

static int object_read(struct run *run, const struct section *s, struct json_object *in, void *obj, struct why *w)
{
    int r = object_parse(run, s, in, obj, w);

    if (r == 0 && s->drop)
        r = s->drop(run, obj);
    if (r == 0)
        r = object_skip(run, s, obj, w);
    if (r == 0)
        r = orphan_skip(run, s, obj);
    return r != 0 ? r : s->prepare(run, obj, w);
}

static int item_read(struct run *run, const struct section *s, struct items *to, size_t index, struct json_object *in)
{
    struct why why = { 0 };
    void *obj = calloc(1, s->schema->size);
    int r = obj ? object_read(run, s, in, obj, &why) : -ENOMEM;

    if (r == 0) {
        to->v[to->n++] = (struct item){ obj, index };
        return 0;
    }
    if (r < 0)
        r = object_fail(run, s, index, obj ? object_name(s, obj) : "", r, &why);
    item_free(s, obj);
    return r < 0 ? r : 0;
}

static int section_read(struct run *run, const struct section *s, struct json_object *list)
{
    struct items *to = &run->lists[s - sections];
    int r = 0;

    if (!list)
        return 0;
    if (!json_object_is_type(list, json_type_array))
        return why_set(run->why, -EINVAL, s->name, "of the dump must be a list");
    size_t n = json_object_array_length(list);
    to->v = calloc(n + 1, sizeof(*to->v));
    if (!to->v)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = item_read(run, s, to, i, json_object_array_get_idx(list, i));
    return r;
}

static int by_name(const void *a, const void *b, void *arg)
{
    const struct section *s = arg;
    const struct item *x = a, *y = b;
    int order = strcmp(object_name(s, x->obj), object_name(s, y->obj));

    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static int section_sort(struct run *run, const struct section *s)
{
    struct items *l = &run->lists[s - sections];
    struct why why = { 0 };

    if (l->n > 1)
        qsort_r(l->v, l->n, sizeof(*l->v), by_name, (void *)(uintptr_t)s);
    for (size_t i = 1; i < l->n; i++) {
        const char *name = object_name(s, l->v[i].obj);
        if (strcmp(object_name(s, l->v[i - 1].obj), name) != 0)
            continue;
        why_set(&why, -EINVAL, NULL, "stands in the dump already, at %s[%zu]", s->name, l->v[i - 1].index);
        return object_fail(run, s, l->v[i].index, name, -EINVAL, &why);
    }
    return 0;
}

static bool is_ours(const char *member)
{
    for (size_t k = 0; k < SECTIONS; k++)
        if (str_equal_nocase(sections[k].name, member))
            return true;
    return str_equal_nocase(member, "version");
}

static int foreign_read(struct run *run, struct json_object *dump)
{
    json_object_object_foreach (dump, member, value) {
        int r = is_ours(member) ? 0 : report_foreign(run->result, member, value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int dump_read(struct run *run, const char *text, size_t len)
{
    CLEANUP(json_put_p) struct json_object *dump = NULL;
    struct why why = { 0 };
    bool there;
    int r = json_in(text, len, JSON_WHOLE, &dump, &why);

    if (r == -EINVAL || r == -E2BIG)
        return why_set(run->why, -EINVAL, NULL, "Unable to parse backup content: %s", why.text);
    if (r == 0 && !json_object_is_type(dump, json_type_object))
        return why_set(run->why, -EINVAL, NULL, "Unable to parse backup content: it must be a JSON object");
    if (r == 0)
        r = version_check(dump, run->why);
    for (size_t k = 0; r == 0 && k < SECTIONS; k++)
        r = section_read(run, &sections[k], json_find_nocase(dump, sections[k].name, &there));
    for (size_t k = 0; r == 0 && k < SECTIONS; k++)
        r = section_sort(run, &sections[k]);
    return r < 0 ? r : foreign_read(run, dump);
}

/* ---- applying ---- */

static int all_release(struct db *d, struct run *run)
{
    int r = 0;

    for (size_t k = 0; k < SECTIONS; k++)
        for (size_t i = 0; sections[k].release && r == 0 && i < run->lists[k].n; i++)
            r = sections[k].release(d, run->lists[k].v[i].obj);
    return r;
}

static int item_apply(struct db *d, struct run *run, const struct section *s, const struct item *item)
{
    struct why why = { 0 };
    const char *name = object_name(s, item->obj);
    const struct user *u = s->scope == DUMP_USERS ? item->obj : NULL;
    int r = s->apply(d, run, item->obj, &why);

    if (r < 0)
        return object_fail(run, s, item->index, name, r, &why);
    return result_add(run->result, s->scope, (enum restored_as)r, s->id(item->obj), name,
                      u && (u->quota_size > 0 || u->quota_files > 0));
}

static int apply_job(struct db *d, void *arg)
{
    struct run *run = arg;
    int r = run->o->only_add ? 0 : all_release(d, run);

    for (size_t k = 0; k < SECTIONS; k++)
        for (size_t i = 0; r == 0 && i < run->lists[k].n; i++)
            r = item_apply(d, run, &sections[k], &run->lists[k].v[i]);
    return r;
}

int dump_restore(struct store *s, const char *text, size_t len, const struct restore_options *o, struct restore *ret,
                 struct why *reterr_why)
{
    CLEANUP(restore_done) struct restore result = { 0 };
    CLEANUP(run_done) struct run run = { .config = store_config(s), .o = o, .result = &result, .why = reterr_why };
    int r = dump_read(&run, text, len);

    if (r == 0)
        r = store_write(s, apply_job, &run);
    if (r < 0)
        return r;
    *ret = result;
    result = (struct restore){ 0 };
    return 0;
}
