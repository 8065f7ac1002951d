#include "tests/unit/store/bed.h"

#include <dirent.h>
#include <unistd.h>

#include "base/log.h"

struct why bed_why;

void row_check(const char *name, int64_t is, int64_t want)
{
    if (is != want)
        fail_msg("%s: %lld, not %lld (%s %s)", name, (long long)is, (long long)want, bed_why.field, bed_why.text);
}

void row_text(const char *name, const char *is, const char *want)
{
    if (strcmp(is, want) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", name, is, want);
}

static void drop_line(const char *line, size_t len)
{
    (void)line;
    (void)len;
}

void bed_open(struct bed *b)
{
    assert_int_equal(store_open(&b->config, STORE_WRITE, &b->store), 0);
}

void bed_reopen(struct bed *b)
{
    store_close(b->store);
    b->store = NULL;
    bed_open(b);
}

int bed_setup(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    log_sink(drop_line);
    snprintf(b->dir, sizeof(b->dir), "/tmp/tally-store-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    b->config.state_dir = b->dir;
    b->config.data_provider.name = (char *)"tally.db";
    b->config.data_provider.users_base_dir = (char *)"/base";
    b->config.data_provider.password_hashing.bcrypt_options.cost = 4;
    b->config.data_provider.password_hashing.algo = (char *)"bcrypt";
    b->config.vfs.mount = (char *)"/mnt/homes";
    bed_open(b);
    *state = b;
    return 0;
}

int bed_teardown(void **state)
{
    struct bed *b = *state;
    DIR *d = opendir(b->dir);

    store_close(b->store);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(b->dir);
    free(b);
    log_sink(NULL);
    return 0;
}

struct json_object *json_of(const char *text)
{
    struct json_object *j;

    if (json_in(text, strlen(text), JSON_WHOLE, &j, &bed_why) != 0)
        fail_msg("not JSON: %s: %s", text, bed_why.text);
    return j;
}

static int parse(const struct schema *s, const char *text, enum schema_use use, void *ret)
{
    struct json_object *j = json_of(text);

    memset(&bed_why, 0, sizeof(bed_why));
    assert_int_equal(schema_init(s, ret), 0);
    int r = schema_parse(s, j, use, ret, &bed_why);
    json_object_put(j);
    return r;
}

static void parse_well(const struct schema *s, const char *text, enum schema_use use, void *ret)
{
    if (parse(s, text, use, ret) != 0)
        fail_msg("%s: %s: %s", text, bed_why.field, bed_why.text);
}

void user_of(const char *text, enum schema_use use, struct user *ret)
{
    parse_well(&user_schema, text, use, ret);
}

void folder_of(const char *text, struct folder *ret)
{
    parse_well(&folder_schema, text, USE_CREATE, ret);
}

void admin_of(const char *text, struct admin *ret)
{
    parse_well(&admin_schema, text, USE_CREATE, ret);
}

int add_user(struct bed *b, const char *text, int64_t *ret_id)
{
    struct user u;
    int r = parse(&user_schema, text, USE_CREATE, &u);

    if (r == 0)
        r = user_add(b->store, &u, ret_id, &bed_why);
    user_done(&u);
    return r;
}

int update_user(struct bed *b, const char *text)
{
    struct user u;
    int r = parse(&user_schema, text, USE_CREATE, &u);

    if (r == 0)
        r = user_update(b->store, &u, &bed_why);
    user_done(&u);
    return r;
}

int add_folder(struct bed *b, const char *text, int64_t *ret_id)
{
    struct folder f;
    int r = parse(&folder_schema, text, USE_CREATE, &f);

    if (r == 0)
        r = folder_add(b->store, &f, ret_id, &bed_why);
    folder_done(&f);
    return r;
}

int add_admin(struct bed *b, const char *text)
{
    struct admin a;
    int r = parse(&admin_schema, text, USE_CREATE, &a);

    if (r == 0)
        r = admin_add(b->store, &a, NULL, &bed_why);
    admin_done(&a);
    return r;
}
