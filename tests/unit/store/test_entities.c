/* The field tables: JSON both ways, what is shown where, and the wire form of the contract. */
#include "store/public_key.h"
#include "tests/unit/store/bed.h"

static char *text_of(const struct schema *s, const void *obj, enum schema_show show)
{
    struct strbuf b = STRBUF(1 << 20);
    struct json_out out = { .to = &b, .first = true };
    char *text;

    schema_write(s, obj, show, &out);
    assert_int_equal(strbuf_take(&b, &text), 0);
    return text;
}

static const char full_user[] =
    "{\"id\":7,\"status\":1,\"username\":\"anna\",\"email\":\"a@example.com\",\"expiration_date\":5,"
    "\"password\":\"$1$x$y\",\"public_keys\":[\"k1\",\"k2\"],\"home_dir\":\"/h\",\"uid\":1000,\"gid\":1001,"
    "\"max_sessions\":1099511627776,\"quota_size\":9223372036854775807,\"quota_files\":4,"
    "\"permissions\":{\"/\":[\"*\"],\"/a\":[],\"/b\":[\"list\",\"chtimes\"]},"
    "\"used_quota_size\":1,\"used_quota_files\":2,\"last_quota_update\":3,\"upload_bandwidth\":6,"
    "\"download_bandwidth\":7,\"last_login\":8,\"created_at\":9,\"updated_at\":10,"
    "\"filters\":{\"allowed_ip\":[\"10.0.0.0/8\"],\"denied_ip\":[\"10.1.0.0/16\"],"
    "\"denied_login_methods\":[\"password\"],\"denied_protocols\":[\"FTP\"],"
    "\"file_patterns\":[{\"path\":\"/in\",\"allowed_patterns\":[\"*.csv\"],\"denied_patterns\":[\"x*\"]}],"
    "\"max_upload_file_size\":11,\"tls_username\":\"None\",\"hooks\":{\"external_auth_disabled\":true,"
    "\"pre_login_disabled\":false,\"check_password_disabled\":true},\"disable_fs_checks\":true,"
    "\"web_client\":[\"mfa-disabled\"],\"allow_api_key_auth\":true,"
    "\"totp_config\":{\"enabled\":true,\"config_name\":\"Default\",\"secret\":{\"status\":\"Secretbox\","
    "\"payload\":\"p\",\"key\":\"k\",\"additional_data\":\"d\",\"mode\":1},\"protocols\":[\"SSH\"]},"
    "\"recovery_codes\":[{\"secret\":{\"status\":\"Secretbox\",\"payload\":\"q\"},\"used\":true}],"
    "\"user_type\":\"OSUser\"},\"description\":\"d\",\"additional_info\":\"\\u003cb\\u003e\","
    "\"virtual_folders\":[{\"id\":1,\"name\":\"f\",\"mapped_path\":\"/f\",\"description\":\"fd\",\"used_quota_size\":1,"
    "\"used_quota_files\":2,\"last_quota_update\":3,\"users\":[\"anna\"],\"filesystem\":{\"provider\":0,"
    "\"s3config\":{\"access_secret\":{}},\"gcsconfig\":{\"credentials\":{}},\"azblobconfig\":{\"account_key\":{},"
    "\"sas_url\":{}},\"cryptconfig\":{\"passphrase\":{}},\"sftpconfig\":{\"password\":{},\"private_key\":{}}},"
    "\"virtual_path\":\"/v\",\"quota_size\":-1,\"quota_files\":-1}],"
    "\"filesystem\":{\"provider\":0,\"s3config\":{},\"gcsconfig\":{},\"azblobconfig\":{},\"cryptconfig\":{},"
    "\"sftpconfig\":{}}}";

static void a_stored_user_comes_back_to_the_byte(void **state)
{
    struct user u, copy;

    (void)state;
    user_of(full_user, USE_LOAD, &u);
    assert_int_equal(schema_copy(&user_schema, &copy, &u), 0);
    user_done(&u);
    char *text = text_of(&user_schema, &copy, SHOW_ALL);
    assert_string_equal(text, full_user);
    free(text);
    user_done(&copy);
}

static void replies_show_no_password_and_no_key_of_a_secret(void **state)
{
    struct user u;

    (void)state;
    user_of(full_user, USE_LOAD, &u);
    char *text = text_of(&user_schema, &u, SHOW_API);
    assert_null(strstr(text, "password\":\"$1"));
    assert_null(strstr(text, "\"key\""));
    assert_null(strstr(text, "additional_data"));
    assert_non_null(strstr(text, "\"payload\":\"p\""));
    free(text);
    user_done(&u);
}

static void the_least_user_has_every_member_that_is_always_there(void **state)
{
    struct user u;

    (void)state;
    user_of("{\"username\":\"u\"}", USE_CREATE, &u);
    char *text = text_of(&user_schema, &u, SHOW_API);
    assert_string_equal(
        text, "{\"id\":0,\"status\":0,\"username\":\"u\",\"expiration_date\":0,\"home_dir\":\"\",\"uid\":0,\"gid\":0,"
              "\"max_sessions\":0,\"quota_size\":0,\"quota_files\":0,\"permissions\":{},\"used_quota_size\":0,"
              "\"used_quota_files\":0,\"last_quota_update\":0,\"upload_bandwidth\":0,\"download_bandwidth\":0,"
              "\"last_login\":0,\"created_at\":0,\"updated_at\":0,\"filters\":{\"hooks\":{"
              "\"external_auth_disabled\":false,\"pre_login_disabled\":false,\"check_password_disabled\":false},"
              "\"totp_config\":{\"secret\":{}}},\"filesystem\":{\"provider\":0,\"s3config\":{},\"gcsconfig\":{},"
              "\"azblobconfig\":{},\"cryptconfig\":{},\"sftpconfig\":{}}}");
    free(text);
    user_done(&u);
}

static void an_administrator_without_second_factor_has_an_empty_one(void **state)
{
    struct admin a;

    (void)state;
    admin_of("{\"username\":\"a\",\"permissions\":[\"*\"]}", &a);
    char *text = text_of(&admin_schema, &a, SHOW_API);
    assert_string_equal(text, "{\"id\":0,\"status\":0,\"username\":\"a\",\"permissions\":[\"*\"],\"filters\":{"
                              "\"totp_config\":{}},\"created_at\":0,\"updated_at\":0,\"last_login\":0}");
    free(text);
    admin_done(&a);
}

static void bodies_cannot_set_what_only_the_server_sets(void **state)
{
    struct user u;

    (void)state;
    user_of(full_user, USE_CREATE, &u);
    assert_int_equal(u.id, 0);
    assert_int_equal(u.used_quota_size, 0);
    assert_int_equal(u.last_login_ms, 0);
    assert_int_equal(u.created_at_ms, 0);
    assert_false(u.filters.totp_config.enabled);
    assert_int_equal(u.filters.recovery_codes.n, 0);
    assert_int_equal(((struct virtual_folder *)u.virtual_folders.v)->folder.id, 0);
    assert_int_equal(((struct virtual_folder *)u.virtual_folders.v)->folder.users.n, 0);
    user_done(&u);
}

static void a_body_merges_over_a_stored_user(void **state)
{
    static const char *const keep[] = { "{}",
                                        "{\"permissions\":null}",
                                        "{\"permissions\":{}}",
                                        "{\"username\":\"x\"}",
                                        "{\"filesystem\":null}",
                                        "{\"filesystem\":{}}",
                                        "{\"filters\":{\"hooks\":{}}}" };
    struct user u;

    (void)state;
    user_of(full_user, USE_LOAD, &u);
    char *before = text_of(&user_schema, &u, SHOW_ALL);
    for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
        struct json_object *j = json_of(keep[i]);
        row_equal(keep[i], schema_parse(&user_schema, j, USE_MERGE, &u, &bed_why), 0);
        char *after = text_of(&user_schema, &u, SHOW_ALL);
        row_text(keep[i], after, before);
        free(after);
        json_object_put(j);
    }
    struct json_object *j = json_of("{\"Permissions\":{\"/\":[\"list\"]},\"filters\":{\"denied_ip\":null}}");
    assert_int_equal(schema_parse(&user_schema, j, USE_MERGE, &u, &bed_why), 0);
    json_object_put(j);
    assert_int_equal(u.permissions.n, 1); /* replaced as a whole */
    assert_int_equal(u.filters.denied_ip.n, 0);
    assert_int_equal(u.filters.allowed_ip.n, 1);
    free(before);
    user_done(&u);
}

#define LIST4 "\"list\",\"list\",\"list\",\"list\""

static void bad_permission_maps_and_storages_are_refused(void **state)
{
    static const char *const rows[] = {
        "{\"permissions\":[]}",
        "{\"permissions\":\"*\"}",
        "{\"permissions\":{\"/\":\"*\"}}",
        "{\"permissions\":{\"/\":[1]}}",
        "{\"permissions\":{\"/\":[\"copy\"]}}",
        "{\"permissions\":{\"/\":[\"list\"],\"a\":[\"list\"]}}",
        "{\"permissions\":{\"/../\":[\"list\"]}}",
        "{\"permissions\":{\"/\":[\"list\"],\"\":[\"list\"]}}",
        "{\"permissions\":{\"/\":[\"list\"],\"/a\":[],\"/a/\":[\"*\"]}}",
        /* 17 names */
        "{\"permissions\":{\"/\":[" LIST4 "," LIST4 "," LIST4 "," LIST4 ",\"list\"]}}",
        "{\"filesystem\":1}",
        "{\"filesystem\":{\"provider\":\"1\"}}",
        "{\"filesystem\":{\"provider\":-1}}",
        "{\"quota_size\":-1}",
        "{\"quota_size\":9223372036854775808}",
        "{\"uid\":2147483648}",
        "{\"status\":1.5}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct user u;
        struct json_object *j = json_of(rows[i]);
        assert_int_equal(schema_init(&user_schema, &u), 0);
        row_equal(rows[i], schema_parse(&user_schema, j, USE_CREATE, &u, &bed_why), -EINVAL);
        assert_true(*bed_why.field && *bed_why.text);
        json_object_put(j);
        user_done(&u);
    }
}

#define BLOB "AAAAC3NzaC1lZDI1NTE5AAAAIA9PPvNTepQUnzgF4HUVXfaqVJjhswryBc/flsWKnA+2"

static void public_keys_are_read_as_sshd_reads_them(void **state)
{
    static const struct {
        const char *line, *type; /* NULL: refused */
    } rows[] = {
        { KEY, "ssh-ed25519" },
        { "ssh-ed25519 " BLOB, "ssh-ed25519" },
        { "  ssh-ed25519\t" BLOB "  a comment with blanks", "ssh-ed25519" },
        { "no-pty,command=\"echo \\\"a b\\\" ssh-rsa\" ssh-ed25519 " BLOB, "ssh-ed25519" },
        { "from=\"10.0.0.0/8\" ssh-ed25519 " BLOB, "ssh-ed25519" },
        { "ssh-rsa AAAAB3NzaC1yc2EAAAAEYWJjZA==", "ssh-rsa" },
        { "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAEYWJjZA==", "ecdsa-sha2-nistp256" },
        { "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAEYWJjZA==", "ecdsa-sha2-nistp384" },
        { "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAEYWJjZA==", "ecdsa-sha2-nistp521" },
        { "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAABGFiY2Q=",
          "sk-ssh-ed25519@openssh.com" },
        { "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAEYWJjZA==",
          "sk-ecdsa-sha2-nistp256@openssh.com" },
        { "ssh-dss AAAAB3NzaC1kc3MAAAAEYWJjZA==", NULL },
        { "ssh-rsa " BLOB, NULL },                                                    /* another type inside */
        { "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAEYWJjZA==", NULL }, /* one as long */
        { "ssh-ed25519", NULL },
        { "ssh-ed25519 ", NULL },
        { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", NULL }, /* nothing behind the type */
        { "ssh-ed25519 " BLOB "*", NULL },
        { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA9PPvNTepQUnzgF4HUVXfaqVJjhswryBc/flsWKnA+", NULL },
        { "a b ssh-ed25519 " BLOB, NULL }, /* options are one word */
        { "command=\"ssh-ed25519 " BLOB, NULL },
        { "ssh-ed25519 " BLOB "\nssh-ed25519 " BLOB, NULL },
        { "# ssh-ed25519", NULL },
        { "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char type[PUBLIC_KEY_TYPE_MAX] = "";
        uint8_t *blob = NULL;
        size_t len = 0;
        int r = public_key_parse(rows[i].line, type, &blob, &len);
        row_equal(rows[i].line, r, rows[i].type ? 0 : -EINVAL);
        row_text(rows[i].line, type, rows[i].type ? rows[i].type : "");
        if (r == 0)
            row_equal(rows[i].line, memcmp(blob + 4, type, strlen(type)), 0);
        free(blob);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stored_user_comes_back_to_the_byte),
        cmocka_unit_test(replies_show_no_password_and_no_key_of_a_secret),
        cmocka_unit_test(the_least_user_has_every_member_that_is_always_there),
        cmocka_unit_test(an_administrator_without_second_factor_has_an_empty_one),
        cmocka_unit_test(bodies_cannot_set_what_only_the_server_sets),
        cmocka_unit_test(a_body_merges_over_a_stored_user),
        cmocka_unit_test(bad_permission_maps_and_storages_are_refused),
        cmocka_unit_test(public_keys_are_read_as_sshd_reads_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
