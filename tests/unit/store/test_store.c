/* Users, folders and administrators in a real database: what is stored, found, refused, listed, removed. */
#include <pthread.h>

#include "base/sys.h"
#include "store/password.h"
#include "tests/unit/store/bed.h"

#define FOLDER(name, more) "{\"name\":\"" name "\"" more ",\"quota_size\":-1,\"quota_files\":-1}"

static int64_t added(struct bed *b, const char *text)
{
    int64_t id = 0;

    row_equal(text, add_user(b, text, &id), 0);
    return id;
}

static void a_user_is_found_by_name_and_id_after_a_restart(void **state)
{
    struct bed *b = *state;
    int64_t id = added(b, USER("anna", ",\"quota_size\":5,\"email\":\"a@b.c\""));
    struct user u;

    assert_true(id > 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(user_load(b->store, "anna", &u), 0);
        assert_int_equal(u.id, id);
        assert_int_equal(u.quota_size, 5);
        assert_string_equal(u.email, "a@b.c");
        assert_true(u.created_at_ms > 0 && u.updated_at_ms >= u.created_at_ms);
        user_done(&u);
        assert_int_equal(user_load_by_id(b->store, id, &u), 0);
        assert_string_equal(u.username, "anna");
        user_done(&u);
        bed_reopen(b);
    }
}

static void what_is_not_there_is_said_so(void **state)
{
    struct bed *b = *state;
    struct user u;
    struct folder f;
    struct admin a;

    assert_int_equal(user_load(b->store, "x", &u), -ENOENT);
    assert_int_equal(user_load_by_id(b->store, 1, &u), -ENOENT);
    assert_int_equal(folder_load(b->store, "x", &f), -ENOENT);
    assert_int_equal(folder_load_by_id(b->store, 1, &f), -ENOENT);
    assert_int_equal(admin_load(b->store, "x", &a), -ENOENT);
    assert_int_equal(user_remove(b->store, "x"), -ENOENT);
    assert_int_equal(folder_remove(b->store, "x"), -ENOENT);
    assert_int_equal(admin_remove(b->store, "x"), -ENOENT);
    assert_int_equal(user_set_last_login(b->store, "x", 1), -ENOENT);
    assert_int_equal(admin_set_last_login(b->store, "x", 1), -ENOENT);
    assert_int_equal(update_user(b, USER("x", "")), -ENOENT);
}

static void a_name_is_taken_once(void **state)
{
    struct bed *b = *state;

    added(b, USER("u", ""));
    assert_int_equal(add_user(b, USER("u", ",\"home_dir\":\"/elsewhere\""), NULL), -EEXIST);
    added(b, USER("U", "")); /* names have case */
    assert_int_equal(add_folder(b, "{\"name\":\"f\",\"mapped_path\":\"/f\"}", NULL), 0);
    assert_int_equal(add_folder(b, "{\"name\":\"f\",\"mapped_path\":\"/g\"}", NULL), -EEXIST);
    assert_int_equal(add_admin(b, "{\"username\":\"u\",\"password\":\"p\",\"permissions\":[\"*\"]}"), 0);
    assert_int_equal(add_admin(b, "{\"username\":\"u\",\"password\":\"p\",\"permissions\":[\"*\"]}"), -EEXIST);
}

static void ids_are_never_used_twice(void **state)
{
    struct bed *b = *state;
    int64_t first = added(b, USER("a", ""));

    assert_int_equal(user_remove(b->store, "a"), 0);
    bed_reopen(b);
    assert_int_equal(added(b, USER("a", "")), first + 1);
}

static void a_plain_password_is_stored_as_its_hash_and_a_hash_as_it_is(void **state)
{
    struct bed *b = *state;
    struct user u;

    added(b, USER("u", ",\"password\":\"secret\""));
    assert_int_equal(user_load(b->store, "u", &u), 0);
    assert_int_equal(password_verify(u.password, "secret"), 0);
    char *hash = strdup(u.password);
    free(u.description);
    u.description = strdup("changed");
    assert_int_equal(user_update(b->store, &u, &bed_why), 0); /* as the api does: the hash goes round */
    user_done(&u);
    assert_int_equal(user_load(b->store, "u", &u), 0);
    assert_string_equal(u.password, hash);
    assert_string_equal(u.description, "changed");
    free(u.password);
    u.password = strdup("");
    assert_int_equal(user_update(b->store, &u, &bed_why), 0); /* a key is there */
    user_done(&u);
    assert_int_equal(user_load(b->store, "u", &u), 0);
    assert_true(!u.password || !*u.password);
    user_done(&u);
    free(hash);
}

static void a_password_beyond_the_limit_is_refused(void **state)
{
    struct bed *b = *state;
    struct user u;

    user_of(USER("u", ""), USE_CREATE, &u);
    u.password = calloc(1, PASSWORD_MAX + 2);
    memset(u.password, 'a', PASSWORD_MAX + 1);
    assert_int_equal(user_add(b->store, &u, NULL, &bed_why), -EINVAL);
    assert_string_equal(bed_why.field, "password");
    u.password[PASSWORD_MAX] = 0;
    assert_int_equal(user_add(b->store, &u, NULL, &bed_why), 0);
    user_done(&u);
}

static void an_update_keeps_identity_creation_and_last_login(void **state)
{
    struct bed *b = *state;
    int64_t id = added(b, USER("u", ""));
    struct user u, old;

    assert_int_equal(user_set_last_login(b->store, "u", 12345), 0);
    assert_int_equal(user_load(b->store, "u", &old), 0);
    assert_int_equal(old.last_login_ms, 12345);
    user_of(USER("u", ",\"id\":99,\"created_at\":1,\"last_login\":2,\"used_quota_size\":3,\"uid\":7"), USE_LOAD, &u);
    assert_int_equal(user_update(b->store, &u, &bed_why), 0);
    user_done(&u);
    assert_int_equal(user_load(b->store, "u", &u), 0);
    assert_int_equal(u.id, id);
    assert_int_equal(u.created_at_ms, old.created_at_ms);
    assert_int_equal(u.last_login_ms, 12345);
    assert_int_equal(u.used_quota_size, 0);
    assert_int_equal(u.uid, 7);
    user_done(&u);
    user_done(&old);
}

static void embedded_folders_are_made_changed_and_linked(void **state)
{
    struct bed *b = *state;
    struct user u;
    struct folder f;

    added(b, USER("a", ",\"virtual_folders\":[" FOLDER("f", ",\"mapped_path\":\"/f\",\"description\":\"one\","
                                                            "\"virtual_path\":\"/v\"") "]"));
    added(b, USER("b", ",\"virtual_folders\":[{\"name\":\"f\",\"virtual_path\":\"/w\",\"quota_size\":9}]"));
    assert_int_equal(folder_load(b->store, "f", &f), 0);
    assert_int_equal(f.users.n, 2);
    assert_string_equal(f.users.v[0], "a");
    assert_string_equal(f.description, "one");
    int64_t id = f.id;
    folder_done(&f);

    assert_int_equal(user_load(b->store, "b", &u), 0); /* the stored definition wins over the name alone */
    const struct virtual_folder *v = u.virtual_folders.v;
    assert_int_equal(u.virtual_folders.n, 1);
    assert_int_equal(v->folder.id, id);
    assert_string_equal(v->folder.mapped_path, "/f");
    assert_string_equal(v->virtual_path, "/w");
    assert_int_equal(v->quota_size, 9);
    assert_int_equal(v->quota_files, 0);
    user_done(&u);

    /* a complete definition changes the folder, for all */
    assert_int_equal(update_user(b, USER("b", ",\"virtual_folders\":[" FOLDER(
                                                  "f", ",\"mapped_path\":\"/f2\",\"virtual_path\":\"/w\"") "]")),
                     0);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    v = u.virtual_folders.v;
    assert_int_equal(v->folder.id, id);
    assert_string_equal(v->folder.mapped_path, "/f2");
    user_done(&u);

    /* no folders any more */
    assert_int_equal(update_user(b, USER("a", "")), 0);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    assert_int_equal(u.virtual_folders.n, 0);
    user_done(&u);
    assert_int_equal(folder_load_by_id(b->store, id, &f), 0);
    assert_int_equal(f.users.n, 1);
    folder_done(&f);
}

static void a_refused_user_leaves_nothing_behind(void **state)
{
    struct bed *b = *state;
    struct folder f;
    struct user u;

    assert_int_equal(
        add_user(
            b,
            USER("u",
                 ",\"virtual_folders\":[" FOLDER("new", ",\"mapped_path\":\"/new\",\"virtual_path\":\"/n\"") "," FOLDER(
                     "unknown", ",\"virtual_path\":\"/x\"") "]"),
            NULL),
        -EINVAL);
    assert_int_equal(folder_load(b->store, "new", &f), -ENOENT);
    assert_int_equal(user_load(b->store, "u", &u), -ENOENT);
    added(b, USER("v", ",\"home_dir\":\"/new\"")); /* its directory is free, too */
}

static int64_t clock_ms;

static int64_t clock_wall_ms(void)
{
    return clock_ms;
}

static void a_removed_folder_leaves_its_users_changed(void **state)
{
    struct bed *b = *state;
    struct sys fake = sys_real;
    struct user u;

    fake.wall_ms = clock_wall_ms;
    sys = &fake; /* the writer sleeps */
    clock_ms = 1000;
    added(b, USER("a", ",\"virtual_folders\":[" FOLDER("f", ",\"mapped_path\":\"/f\",\"virtual_path\":\"/v\"") "]"));
    added(b, USER("b", ""));
    clock_ms = 2000;
    int r = folder_remove(b->store, "f");
    sys = &sys_real;
    assert_int_equal(r, 0);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    assert_int_equal(u.virtual_folders.n, 0);
    assert_int_equal(u.created_at_ms, 1000);
    assert_int_equal(u.updated_at_ms, 2000);
    user_done(&u);
    assert_int_equal(user_load(b->store, "b", &u), 0);
    assert_int_equal(u.updated_at_ms, 1000);
    user_done(&u);
    assert_int_equal(add_folder(b, "{\"name\":\"g\",\"mapped_path\":\"/f\"}", NULL), 0);
}

static void directories_that_would_be_counted_twice_are_refused(void **state)
{
    static const struct {
        const char *name, *home, *text; /* NULL: accepted */
    } rows[] = {
        { "the same", "/data/a", "\"/data/a\" is also the home of the user \"a\" (\"/data/a\")" },
        { "the same, unclean", "/data//x/../a/", "\"/data/a\" is also the home of the user \"a\" (\"/data/a\")" },
        { "inside", "/data/a/b/c", "\"/data/a/b/c\" is inside the home of the user \"a\" (\"/data/a\")" },
        { "around", "/data", "\"/data\" contains the home of the user \"a\" (\"/data/a\")" },
        { "around all", "/", "\"/\" is inside or around the mount of the homes, \"/mnt/homes\"" },
        { "a folder's", "/shared/f", "\"/shared/f\" is also the directory of the folder \"f\" (\"/shared/f\")" },
        { "in a folder", "/shared/f/x", "\"/shared/f/x\" is inside the directory of the folder \"f\" (\"/shared/f\")" },
        { "around a folder", "/shared", "\"/shared\" contains the directory of the folder \"f\" (\"/shared/f\")" },
        { "around the last of names", "/last", "\"/last\" contains the home of the user \"z\" (\"/last/~\")" },
        { "longer name", "/data/ab", NULL },
        { "before the separator", "/data/a-", NULL },
        { "behind the separator", "/data/a0", NULL },
        { "a prefix", "/dat", NULL },
    };
    struct bed *b = *state;

    added(b, USER("a", ",\"home_dir\":\"/data/a\""));
    added(b, USER("z", ",\"home_dir\":\"/last/~\""));
    assert_int_equal(add_folder(b, "{\"name\":\"f\",\"mapped_path\":\"/shared/f\"}", NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char json[1024];
        snprintf(json, sizeof(json), USER("new", ",\"home_dir\":\"%s\""), rows[i].home);
        row_equal(rows[i].name, add_user(b, json, NULL), rows[i].text ? -EINVAL : 0);
        if (rows[i].text) {
            row_text(rows[i].name, bed_why.field, "home_dir");
            row_text(rows[i].name, bed_why.text, rows[i].text);
        } else {
            assert_int_equal(user_remove(b->store, "new"), 0);
        }
    }
}

static void a_directory_is_free_again_when_its_owner_moves_or_goes(void **state)
{
    struct bed *b = *state;

    added(b, USER("a", ",\"home_dir\":\"/one\""));
    assert_int_equal(update_user(b, USER("a", ",\"home_dir\":\"/one\"")), 0);
    assert_int_equal(update_user(b, USER("a", ",\"home_dir\":\"/one/deeper\"")), 0); /* its own is not in the way */
    assert_int_equal(update_user(b, USER("a", ",\"home_dir\":\"/two\"")), 0);
    added(b, USER("b", ",\"home_dir\":\"/one\""));
    assert_int_equal(update_user(b, USER("a", ",\"home_dir\":\"/one/x\"")), -EINVAL);
    assert_int_equal(user_remove(b->store, "a"), 0);
    added(b, USER("c", ",\"home_dir\":\"/two\""));
}

/* ---- pages ---- */

struct seen {
    struct strbuf names;
    size_t n, most;
    bool with_folders;
    char last[4096];
};

static int see(void *arg, int64_t id, const char *name, const char *json, size_t len, bool has_folders)
{
    struct seen *s = arg;

    assert_true(id > 0);
    strbuf_addf(&s->names, "%s ", name);
    snprintf(s->last, sizeof(s->last), "%.*s", (int)len, json);
    s->with_folders |= has_folders;
    return ++s->n == s->most;
}

static void pages_are_in_order_and_within_their_limits(void **state)
{
    static const struct {
        const char *name;
        struct page page;
        size_t most;
        const char *names;
    } rows[] = {
        { "all", { 100, 0, false }, 0, "B a b c " },
        { "descending", { 100, 0, true }, 0, "c b a B " },
        { "middle", { 2, 1, false }, 0, "a b " },
        { "descending middle", { 2, 1, true }, 0, "b a " },
        { "none", { 0, 0, false }, 0, "" },
        { "behind the end", { 5, 4, false }, 0, "" },
        { "far behind the end", { 5, UINT64_MAX, false }, 0, "" },
        { "the reader has enough", { 100, 0, false }, 2, "B a " },
    };
    struct bed *b = *state;

    added(b, USER("b", ""));
    added(b, USER("a", ""));
    added(b, USER("c", ""));
    added(b, USER("B", ""));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct seen s = { .names = STRBUF(100000), .most = rows[i].most };
        row_equal(rows[i].name, users_page(b->store, &rows[i].page, see, &s), 0);
        row_text(rows[i].name, s.names.s ? s.names.s : "", rows[i].names);
        strbuf_done(&s.names);
    }
}

static void a_page_has_at_most_500_rows(void **state)
{
    struct bed *b = *state;
    struct seen s = { .names = STRBUF(100000) };

    for (int i = 0; i < 501; i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"name\":\"f%03d\",\"mapped_path\":\"/f%03d\"}", i, i);
        assert_int_equal(add_folder(b, json, NULL), 0);
    }
    assert_int_equal(folders_page(b->store, &(struct page){ .limit = 1000 }, see, &s), 0);
    assert_int_equal(s.n, 500);
    strbuf_done(&s.names);
}

/* The text of a page plus the live numbers is what schema_write() makes of the entity, but for the order. */
static void a_page_shows_what_the_api_shows(void **state)
{
    struct bed *b = *state;
    struct seen s = { .names = STRBUF(1000) };
    struct strbuf whole = STRBUF(10000), want = STRBUF(10000);
    struct json_out out = { .to = &want, .first = true };
    struct user u;

    added(b, USER("u", ",\"description\":\"<&>\",\"password\":\"Geheim\",\"filters\":{\"denied_ip\":[\"1.0.0.0/8\"]}"));
    assert_int_equal(user_set_last_login(b->store, "u", 77), 0);
    assert_int_equal(users_page(b->store, &(struct page){ .limit = 1 }, see, &s), 0);
    assert_null(strstr(s.last, "Geheim"));
    assert_null(strstr(s.last, "$2a$"));
    strbuf_addf(&whole, "%s,\"used_quota_size\":0,\"used_quota_files\":0,\"last_quota_update\":0}", s.last);
    assert_int_equal(user_load(b->store, "u", &u), 0);
    schema_write(&user_schema, &u, SHOW_API, &out);
    struct json_object *a = json_of(whole.s), *c = json_of(want.s);
    assert_true(json_object_equal(a, c));
    json_object_put(a);
    json_object_put(c);
    user_done(&u);
    strbuf_done(&whole);
    strbuf_done(&want);
    strbuf_done(&s.names);
}

static void pages_tell_who_has_folders_and_folders_tell_their_users(void **state)
{
    struct bed *b = *state;
    struct seen s = { .names = STRBUF(1000) };

    added(b, USER("a", ""));
    assert_int_equal(users_page(b->store, &(struct page){ .limit = 9 }, see, &s), 0);
    assert_false(s.with_folders);
    added(b, USER("b", ",\"virtual_folders\":[" FOLDER("f", ",\"mapped_path\":\"/f\",\"virtual_path\":\"/v\"") "]"));
    assert_int_equal(users_page(b->store, &(struct page){ .limit = 9 }, see, &s), 0);
    assert_true(s.with_folders);
    assert_int_equal(update_user(b, USER("a", ",\"virtual_folders\":[" FOLDER("f", ",\"virtual_path\":\"/w\"") "]")),
                     0);
    assert_int_equal(folders_page(b->store, &(struct page){ .limit = 9 }, see, &s), 0);
    assert_string_equal(s.last,
                        "{\"id\":1,\"name\":\"f\",\"mapped_path\":\"/f\",\"filesystem\":{\"provider\":0,\"s3config\":{"
                        "\"access_secret\":{}},\"gcsconfig\":{\"credentials\":{}},\"azblobconfig\":{\"account_key\":{},"
                        "\"sas_url\":{}},\"cryptconfig\":{\"passphrase\":{}},\"sftpconfig\":{\"password\":{},"
                        "\"private_key\":{}}},\"users\":[\"a\",\"b\"]");
    assert_int_equal(folder_remove(b->store, "f"), 0);
    s.with_folders = false;
    assert_int_equal(users_page(b->store, &(struct page){ .limit = 9 }, see, &s), 0);
    assert_false(s.with_folders);
    strbuf_done(&s.names);
}

static int load_it(void *arg, int64_t id, const char *name, const char *json, size_t len, bool has_folders)
{
    struct bed *b = arg;
    struct user u;

    assert_true(has_folders && json && len > 0);
    assert_int_equal(user_load(b->store, name, &u), 0);
    assert_int_equal(u.id, id);
    assert_int_equal(u.virtual_folders.n, 1);
    user_done(&u);
    return -EDOM * (name[0] == 'b');
}

static void a_page_can_be_left_for_an_entity_and_its_errors_come_back(void **state)
{
    struct bed *b = *state;

    added(b, USER("a", ",\"virtual_folders\":[" FOLDER("f", ",\"mapped_path\":\"/f\",\"virtual_path\":\"/v\"") "]"));
    added(b, USER("b", ",\"virtual_folders\":[" FOLDER("f", ",\"virtual_path\":\"/v\"") "]"));
    added(b, USER("c", ",\"virtual_folders\":[" FOLDER("f", ",\"virtual_path\":\"/v\"") "]"));
    assert_int_equal(users_page(b->store, &(struct page){ .limit = 1 }, load_it, b), 0);
    assert_int_equal(users_page(b->store, &(struct page){ .limit = 9 }, load_it, b), -EDOM);
}

static void administrators_are_kept_like_users(void **state)
{
    struct bed *b = *state;
    struct seen s = { .names = STRBUF(1000) };
    struct admin a;
    uint64_t n = 9;

    assert_int_equal(admins_count(b->store, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(add_admin(b, "{\"username\":\"root\",\"status\":1,\"password\":\"p\",\"permissions\":[\"*\"]}"),
                     0);
    assert_int_equal(admins_count(b->store, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(admin_set_last_login(b->store, "root", 5), 0);
    assert_int_equal(admin_load(b->store, "root", &a), 0);
    assert_int_equal(a.last_login_ms, 5);
    assert_int_equal(password_verify(a.password, "p"), 0);
    a.status = 0;
    a.last_login_ms = 99;
    assert_int_equal(admin_update(b->store, &a, &bed_why), 0);
    admin_done(&a);
    assert_int_equal(admins_page(b->store, &(struct page){ .limit = 9 }, see, &s), 0);
    assert_non_null(strstr(s.last, "{\"id\":1,\"status\":0,\"username\":\"root\",\"permissions\":[\"*\"]"));
    assert_non_null(strstr(s.last, "\"last_login\":5"));
    assert_null(strstr(s.last, "$2a$"));
    assert_int_equal(admin_remove(b->store, "root"), 0);
    assert_int_equal(admin_load(b->store, "root", &a), -ENOENT);
    strbuf_done(&s.names);
}

struct ids {
    unsigned n;
    int64_t last;
};

static int count_id(void *arg, int64_t id, const char *name)
{
    struct ids *s = arg;

    (void)name;
    assert_true(id > s->last);
    s->last = id;
    s->n++;
    return 0;
}

static int count_name(void *arg, int64_t id, const char *name)
{
    struct seen *s = arg;

    assert_true(id > 0);
    if (s->n > 0)
        assert_true(strcmp(s->last, name) < 0);
    snprintf(s->last, sizeof(s->last), "%s", name);
    return ++s->n == s->most;
}

/* ---- many threads ---- */

enum { THREADS = 16, EACH = 40 };

struct hand {
    struct bed *b;
    unsigned n;
    int failed;
    unsigned taken;
};

/* By this thread's own connection, which goes with the thread. */
static int sees_it(struct bed *b, const char *username)
{
    struct user u;
    int r = user_load(b->store, username, &u);

    if (r == 0)
        user_done(&u);
    return r;
}

static void *add_many(void *arg)
{
    struct hand *h = arg;

    for (unsigned i = 0; i < EACH; i++) {
        struct user u;
        char json[512];
        snprintf(json, sizeof(json), USER("u%03u-%02u", ""), i, h->n);
        struct json_object *j = NULL;
        struct why why;
        int r = json_in(json, strlen(json), JSON_WHOLE, &j, &why);
        if (r == 0 && (r = schema_init(&user_schema, &u)) == 0) {
            r = schema_parse(&user_schema, j, USE_CREATE, &u, &why);
            if (r == 0)
                r = user_add(h->b->store, &u, NULL, &why);
            if (r == 0)
                r = sees_it(h->b, u.username);
            /* the same name from all: one gets it */
            free(u.username);
            u.username = NULL;
            int failed = asprintf(&u.username, "same%u", i) < 0 ? -ENOMEM : user_add(h->b->store, &u, NULL, &why);
            h->taken += failed == 0;
            if (failed < 0 && failed != -EEXIST)
                r = failed;
            user_done(&u);
        }
        json_object_put(j);
        h->failed = h->failed ? h->failed : r;
    }
    return NULL;
}

static void many_threads_add_each_user_once(void **state)
{
    struct bed *b = *state;
    struct hand hands[THREADS];
    pthread_t threads[THREADS];
    struct seen s = { 0 };
    unsigned taken = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        hands[i] = (struct hand){ .b = b, .n = i };
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &hands[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(hands[i].failed, 0);
        taken += hands[i].taken;
    }
    assert_int_equal(taken, EACH);
    bed_reopen(b);
    assert_int_equal(users_each(b->store, count_name, &s), 0); /* more than one step of it */
    assert_int_equal(s.n, THREADS * EACH + EACH);
    struct ids ids = { 0 };
    assert_int_equal(users_after(b->store, 0, count_id, &ids), 0);
    assert_int_equal(ids.n, THREADS * EACH + EACH);
    ids = (struct ids){ .last = EACH };
    assert_int_equal(users_after(b->store, EACH, count_id, &ids), 0); /* ids are given one after the other */
    assert_int_equal(ids.n, THREADS * EACH);
    s = (struct seen){ .most = 3 };
    assert_int_equal(users_each(b->store, count_name, &s), 0);
    assert_int_equal(s.n, 3);
}

static void users_of_a_folder_are_told(void **state)
{
    struct bed *b = *state;
    struct seen s = { 0 };
    struct folder f;

    added(b, USER("z", ",\"virtual_folders\":[" FOLDER("f", ",\"mapped_path\":\"/f\",\"virtual_path\":\"/v\"") "]"));
    added(b, USER("a", ",\"virtual_folders\":[" FOLDER("f", ",\"virtual_path\":\"/v\"") "]"));
    added(b, USER("m", ""));
    assert_int_equal(folder_load(b->store, "f", &f), 0);
    assert_int_equal(users_of_folder(b->store, f.id, count_name, &s), 0);
    assert_int_equal(s.n, 2);
    assert_int_equal(users_of_folder(b->store, f.id + 1, count_name, &s), 0);
    assert_int_equal(s.n, 2);
    folder_done(&f);
}

static void a_reader_sees_what_the_writer_has_made_durable(void **state)
{
    struct bed *b = *state;
    struct store *reader;
    struct user u;

    assert_int_equal(store_open(&b->config, STORE_READ, &reader), 0);
    assert_int_equal(store_ping(reader), 0);
    assert_int_equal(user_load(reader, "u", &u), -ENOENT);
    added(b, USER("u", ""));
    assert_int_equal(user_load(reader, "u", &u), 0);
    assert_int_equal(user_add(reader, &u, NULL, &bed_why), -EROFS);
    assert_int_equal(user_remove(reader, "u"), -EROFS);
    user_done(&u);
    store_close(b->store);
    b->store = NULL;
    assert_int_equal(user_load(reader, "u", &u), 0);
    user_done(&u);
    store_close(reader);
}

static void a_reader_finds_no_store_where_there_is_none(void **state)
{
    struct bed *b = *state;
    struct store *reader = NULL;
    struct config config = b->config;

    config.data_provider.name = (char *)"nothing.db";
    assert_int_equal(store_open(&config, STORE_READ, &reader), -ENOENT);
    assert_null(reader);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_user_is_found_by_name_and_id_after_a_restart),
        T(what_is_not_there_is_said_so),
        T(a_name_is_taken_once),
        T(ids_are_never_used_twice),
        T(a_plain_password_is_stored_as_its_hash_and_a_hash_as_it_is),
        T(a_password_beyond_the_limit_is_refused),
        T(an_update_keeps_identity_creation_and_last_login),
        T(embedded_folders_are_made_changed_and_linked),
        T(a_refused_user_leaves_nothing_behind),
        T(a_removed_folder_leaves_its_users_changed),
        T(directories_that_would_be_counted_twice_are_refused),
        T(a_directory_is_free_again_when_its_owner_moves_or_goes),
        T(pages_are_in_order_and_within_their_limits),
        T(a_page_has_at_most_500_rows),
        T(a_page_shows_what_the_api_shows),
        T(pages_tell_who_has_folders_and_folders_tell_their_users),
        T(a_page_can_be_left_for_an_entity_and_its_errors_come_back),
        T(administrators_are_kept_like_users),
        T(many_threads_add_each_user_once),
        T(users_of_a_folder_are_told),
        T(a_reader_sees_what_the_writer_has_made_durable),
        T(a_reader_finds_no_store_where_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
