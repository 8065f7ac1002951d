/* Real dumps of SFTPGo (invented data): every user that is ours goes in, comes back the same, and its password, the
 * same for all, still fits. `cloud` is on S3. */
#include "store/password.h"
#include "tests/unit/store/bed.h"

#define DUMPS TALLY_SOURCE_DIR "/tests/unit/store/dumps/"

static struct json_object *list_of(struct json_object *dump, const char *name)
{
    struct json_object *list = json_member(dump, name);

    assert_true(json_object_is_type(list, json_type_array));
    return list;
}

static void user_goes_round(struct bed *b, struct json_object *j)
{
    const char *name = json_text(j, "username");
    struct user u, back;

    assert_int_equal(schema_init(&user_schema, &u), 0);
    row_equal(name, schema_parse(&user_schema, j, USE_LOAD, &u, &bed_why), 0);
    int r = user_add(b->store, &u, NULL, &bed_why);
    row_equal(name, r, strcmp(name, "cloud") == 0 ? -EINVAL : 0);
    if (r < 0) {
        row_text(name, bed_why.text, "storage provider 1 (S3) is not supported, only the local file system (0)");
    } else {
        assert_int_equal(user_load(b->store, name, &back), 0);
        row_text(name, back.password ? back.password : "", u.password ? u.password : "");
        row_text(name, back.home_dir, u.home_dir);
        row_equal(name, back.virtual_folders.n, u.virtual_folders.n);
        row_equal(name, back.permissions.n, u.permissions.n);
        row_equal(name, back.created_at_ms, u.created_at_ms);
        if (back.password && *back.password)
            row_equal(name, password_verify(back.password, "old-Passw0rd-\xc3\xa9"), 0);
        user_done(&back);
    }
    user_done(&u);
}

static void goes_in(struct bed *b, const char *path)
{
    struct json_object *dump = json_object_from_file(path);
    struct json_object *users = list_of(dump, "users"), *admins = list_of(dump, "admins");
    struct folder shared;

    for (size_t i = 0; i < json_object_array_length(users); i++)
        user_goes_round(b, json_object_array_get_idx(users, i));
    for (size_t i = 0; i < json_object_array_length(admins); i++) {
        struct admin a;
        struct json_object *j = json_object_array_get_idx(admins, i);
        assert_int_equal(schema_init(&admin_schema, &a), 0);
        row_equal("admin", schema_parse(&admin_schema, j, USE_LOAD, &a, &bed_why), 0);
        row_equal(a.username, admin_add(b->store, &a, NULL, &bed_why), 0);
        admin_done(&a);
    }
    assert_int_equal(folder_load(b->store, "shared", &shared), 0);
    assert_int_equal(shared.users.n, 2);
    folder_done(&shared);
    json_object_put(dump);
}

static void the_dump_of_2_2_0_goes_in(void **state)
{
    goes_in(*state, DUMPS "sftpgo-2.2.0.json");
}

static void the_dump_of_2_7_5_goes_in(void **state)
{
    goes_in(*state, DUMPS "sftpgo-2.7.5.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_dump_of_2_2_0_goes_in, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(the_dump_of_2_7_5_goes_in, bed_setup, bed_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
