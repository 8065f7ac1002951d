/* Validation: each rule of contract/rest.md §4.1-4.6 and of DESIGN §10 is a row. */
#include "tests/unit/store/bed.h"

#define PERMS "\"permissions\":{\"/\":[\"*\"]}"
#define KEYS  "\"public_keys\":[\"" KEY "\"]"
#define FOLDER(name, mapped, at, quota)                                                                                \
    "{\"name\":\"" name "\",\"mapped_path\":\"" mapped "\",\"virtual_path\":\"" at "\"," quota "}"
#define OWN        "\"quota_size\":-1,\"quota_files\":-1"
#define FOLDERS(f) USER("u", ",\"virtual_folders\":[" f "]")
#define FILTERS(f) USER("u", ",\"filters\":{" f "}")

static const struct {
    const char *name, *json, *field, *text; /* of the refusal; NULL: accepted; the text is its beginning */
} users[] = {
    { "the least", USER("u", ""), NULL, NULL },
    { "no name", "{" KEYS "," PERMS "}", "username", "is mandatory" },
    { "all letters", USER("aZ09-_.~", ""), NULL, NULL },
    { "blank in name", USER("a b", ""), "username", "must consist" },
    { "slash in name", USER("a/b", ""), "username", "must consist" },
    { "umlaut in name", USER("\xc3\xa4", ""), "username", "must consist" },
    { "dots as name", USER("..", ""), "username", "must consist" },
    { "dot as name", USER(".", ""), "username", "must consist" },
    { "email", USER("u", ",\"email\":\"a.b+c@example-1.com\""), NULL, NULL },
    { "bad email", USER("u", ",\"email\":\"a@\""), "email", "is not" },
    { "email with blank", USER("u", ",\"email\":\"a b@c\""), "email", "is not" },
    { "email with bad label", USER("u", ",\"email\":\"a@b-.c\""), "email", "is not" },
    { "email before name's letters", USER("a b", ",\"email\":\"x\""), "email", "is not" },
    { "no password and no key", "{\"username\":\"u\"," PERMS "}", "",
      "please set a password or at least a public_key" },
    { "only empty keys", "{\"username\":\"u\",\"public_keys\":[\"\",\"\"]," PERMS "}", "", "please set a password" },
    { "password alone", "{\"username\":\"u\",\"password\":\"p\"," PERMS "}", NULL, NULL },
    { "relative home", USER("u", ",\"home_dir\":\"a/b\""), "home_dir", "must be an absolute" },
    { "home as sent", USER("u", ",\"home_dir\":\"/a//b/../c\""), NULL, NULL },
    { "no permissions", "{\"username\":\"u\"," KEYS "}", "permissions", "must have an entry" },
    { "no root", "{\"username\":\"u\"," KEYS ",\"permissions\":{\"/a\":[\"*\"]}}", "permissions",
      "must have an entry" },
    { "empty root", "{\"username\":\"u\"," KEYS ",\"permissions\":{\"/\":[]}}", "permissions", "must grant" },
    { "empty below", "{\"username\":\"u\"," KEYS ",\"permissions\":{\"/\":[\"list\"],\"/a\":[]}}", NULL, NULL },
    { "S3", USER("u", ",\"filesystem\":{\"provider\":1}"), "",
      "storage provider 1 (S3) is not supported, only the local file system (0)" },
    { "SFTP", USER("u", ",\"filesystem\":{\"provider\":5}"), "", "storage provider 5 (SFTP)" },
    { "nobody's storage", USER("u", ",\"filesystem\":{\"provider\":77}"), "", "storage provider 77 is" },
    { "status 2", USER("u", ",\"status\":2"), "status", "must be 0 or 1" },
    { "status -1", USER("u", ",\"status\":-1"), "status", "must be 0 or 1" },
    { "negative quota", USER("u", ",\"quota_size\":-1"), "quota_size", "must be" },
    { "negative files", USER("u", ",\"quota_files\":-1"), "quota_files", "must be" },
    { "negative sessions", USER("u", ",\"max_sessions\":-1"), "max_sessions", "must be" },
    { "negative bandwidth", USER("u", ",\"upload_bandwidth\":-1"), "upload_bandwidth", "must be" },
    { "negative download", USER("u", ",\"download_bandwidth\":-1"), "download_bandwidth", "must be" },
    { "negative uid", USER("u", ",\"uid\":-1"), "uid", "must be" },
    { "huge gid", USER("u", ",\"gid\":2147483648"), "gid", "must be" },
    { "large numbers", USER("u", ",\"quota_files\":1099511627776,\"max_sessions\":1099511627776,\"uid\":2147483647"),
      NULL, NULL },
    { "past expiration", USER("u", ",\"expiration_date\":1"), NULL, NULL },
    { "broken hash", USER("u", ",\"password\":\"$2a$10$short\""), "password", "begins like a hash" },
    { "dear hash", USER("u", ",\"password\":\"$2a$31$abcdefghijklmnopqrstuuKLPPi5BYWLEvD7/H/geNCgtPV5t5ml6\""),
      "password", "is a hash that costs too much" },
    { "second key is none", USER("u", ",\"public_keys\":[\"" KEY "\",\"ssh-rsa x\"]"), "public_keys[1]", "is not" },

    { "folder", FOLDERS(FOLDER("f", "/f", "/v", OWN)), NULL, NULL },
    { "folder without name", FOLDERS("{\"mapped_path\":\"/f\",\"virtual_path\":\"/v\"," OWN "}"), "virtual_folders",
      "must have a name" },
    { "folder with bad name", FOLDERS(FOLDER("a b", "/f", "/v", OWN)), "name", "must consist" },
    { "unknown folder with bad name", FOLDERS("{\"name\":\"a b\",\"virtual_path\":\"/v\"," OWN "}"), "virtual_folders",
      "name must consist" },
    { "unknown folder without path", FOLDERS("{\"name\":\"f\",\"virtual_path\":\"/v\"," OWN "}"), "virtual_folders",
      "names the unknown folder \"f\"" },
    { "relative mapped path", FOLDERS(FOLDER("f", "f", "/v", OWN)), "mapped_path", "must be an absolute" },
    { "no virtual path", FOLDERS("{\"name\":\"f\",\"mapped_path\":\"/f\"," OWN "}"), "virtual_folders",
      "must have an absolute virtual_path" },
    { "relative virtual path", FOLDERS(FOLDER("f", "/f", "v", OWN)), "virtual_folders", "must have an absolute" },
    { "virtual path is root", FOLDERS(FOLDER("f", "/f", "/a/..", OWN)), "virtual_folders", "must not have the" },
    { "own limits", FOLDERS(FOLDER("f", "/f", "/v", "\"quota_size\":5,\"quota_files\":0")), NULL, NULL },
    { "half in the user's quota", FOLDERS(FOLDER("f", "/f", "/v", "\"quota_size\":-1,\"quota_files\":0")),
      "virtual_folders", "must have quota_size" },
    { "the other half", FOLDERS(FOLDER("f", "/f", "/v", "\"quota_size\":7,\"quota_files\":-1")), "virtual_folders",
      "must have quota_size" },
    { "quota of -2", FOLDERS(FOLDER("f", "/f", "/v", "\"quota_size\":-2,\"quota_files\":-2")),
      "virtual_folders[0].quota_size", "must be at least -1" },
    { "same virtual path", FOLDERS(FOLDER("f", "/f", "/v", OWN) "," FOLDER("g", "/g", "/v/", OWN)), "virtual_folders",
      "must not have the virtual_path" },
    { "same folder twice", FOLDERS(FOLDER("f", "/f", "/v", OWN) "," FOLDER("f", "/f", "/w", OWN)), "virtual_folders",
      "must not have the folder" },
    { "same mapped path", FOLDERS(FOLDER("f", "/f", "/v", OWN) "," FOLDER("g", "/f/", "/w", OWN)), "mapped_path",
      "\"/f\" is also the directory of the folder \"f\"" },
    { "nested virtual paths", FOLDERS(FOLDER("f", "/f", "/v", OWN) "," FOLDER("g", "/g", "/v/w", OWN)), NULL, NULL },
    { "mapped path is the home", FOLDERS(FOLDER("f", "/base/u", "/v", OWN)), "mapped_path",
      "\"/base/u\" is also the home of the user \"u\"" },
    { "mapped path in the home", FOLDERS(FOLDER("f", "/base/u/x", "/v", OWN)), "mapped_path",
      "\"/base/u/x\" is inside the home of the user \"u\"" },
    { "mapped path around the home", FOLDERS(FOLDER("f", "/base", "/v", OWN)), "mapped_path",
      "\"/base\" contains the home of the user \"u\"" },
    { "mapped path beside the home", FOLDERS(FOLDER("f", "/base/u2", "/v", OWN)), NULL, NULL },
    { "cloud folder",
      FOLDERS("{\"name\":\"f\",\"mapped_path\":\"/f\",\"virtual_path\":\"/v\",\"filesystem\":{"
              "\"provider\":2}," OWN "}"),
      "", "storage provider 2 (GCS)" },

    { "networks", FILTERS("\"allowed_ip\":[\"10.0.0.0/8\",\"2001:db8::/32\"],\"denied_ip\":[\"10.1.0.0/16\"]"), NULL,
      NULL },
    { "bare address allowed", FILTERS("\"allowed_ip\":[\"10.0.0.1\"]"), "filters.allowed_ip", "must hold" },
    { "bare address denied", FILTERS("\"denied_ip\":[\"::1\"]"), "filters.denied_ip", "must hold" },
    { "methods", FILTERS("\"denied_login_methods\":[\"publickey\",\"password\",\"keyboard-interactive\"]"), NULL,
      NULL },
    { "unknown method", FILTERS("\"denied_login_methods\":[\"Password\"]"), "filters.denied_login_methods",
      "must not have the unknown" },
    { "all methods",
      FILTERS("\"denied_login_methods\":[\"publickey\",\"password\",\"keyboard-interactive\",\"publickey+password\","
              "\"publickey+keyboard-interactive\",\"TLSCertificate\",\"TLSCertificate+password\"]"),
      "filters.denied_login_methods", "must not deny everything" },
    { "unknown protocol", FILTERS("\"denied_protocols\":[\"SFTP\"]"), "filters.denied_protocols",
      "must not have the unknown" },
    { "all protocols", FILTERS("\"denied_protocols\":[\"SSH\",\"FTP\",\"DAV\",\"HTTP\"]"), "filters.denied_protocols",
      "must not deny everything" },
    { "one protocol four times", FILTERS("\"denied_protocols\":[\"FTP\",\"FTP\",\"FTP\",\"FTP\"]"), NULL, NULL },
    { "patterns", FILTERS("\"file_patterns\":[{\"path\":\"/a\",\"allowed_patterns\":[\"*.[a-z]\"]}]"), NULL, NULL },
    { "patterns without path", FILTERS("\"file_patterns\":[{\"allowed_patterns\":[\"*\"]}]"), "filters.file_patterns",
      "must have an absolute path" },
    { "relative patterns", FILTERS("\"file_patterns\":[{\"path\":\"a\",\"allowed_patterns\":[\"*\"]}]"),
      "filters.file_patterns", "must have an absolute path" },
    { "no pattern", FILTERS("\"file_patterns\":[{\"path\":\"/a\"}]"), "filters.file_patterns", "must have a pattern" },
    { "bad pattern", FILTERS("\"file_patterns\":[{\"path\":\"/a\",\"denied_patterns\":[\"[a\"]}]"),
      "filters.file_patterns", "must have shell patterns" },
    { "pattern ends in backslash", FILTERS("\"file_patterns\":[{\"path\":\"/a\",\"denied_patterns\":[\"a\\\\\"]}]"),
      "filters.file_patterns", "must have shell patterns" },
    { "patterns twice",
      FILTERS(
          "\"file_patterns\":[{\"path\":\"/a\",\"denied_patterns\":[\"x\"]},{\"path\":\"/a/.\",\"denied_patterns\":["
          "\"y\"]}]"),
      "filters.file_patterns", "must not have \"/a\" twice" },
    { "negative upload size", FILTERS("\"max_upload_file_size\":-1"), "filters.max_upload_file_size", "must be" },
    { "certificate name", FILTERS("\"tls_username\":\"CommonName\""), NULL, NULL },
    { "unknown certificate name", FILTERS("\"tls_username\":\"Name\""), "filters.tls_username", "must be" },
    { "unknown web option", FILTERS("\"web_client\":[\"x\"]"), "filters.web_client", "must not have the unknown" },
    { "web options", FILTERS("\"web_client\":[\"shares-disabled\",\"publickey-change-disabled\"]"), NULL, NULL },
    { "unknown type", FILTERS("\"user_type\":\"x\""), "filters.user_type", "must be" },
};

static void check_refusal(const char *name, int r, const char *field, const char *text)
{
    row_equal(name, r, field ? -EINVAL : 0);
    if (!field)
        return;
    row_text(name, bed_why.field, field);
    if (!str_has_prefix(bed_why.text, text))
        fail_msg("%s: \"%s\" does not begin with \"%s\"", name, bed_why.text, text);
}

static void each_rule_for_users_is_kept_and_told(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        struct user u;
        int64_t id;
        int r = add_user(b, users[i].json, &id);
        check_refusal(users[i].name, r, users[i].field, users[i].text);
        if (r < 0) {
            row_equal(users[i].name, user_load(b->store, "u", &u), -ENOENT);
            continue;
        }
        assert_int_equal(user_load_by_id(b->store, id, &u), 0);
        assert_int_equal(user_remove(b->store, u.username), 0);
        user_done(&u);
        int removed = folder_remove(b->store, "f"), other = folder_remove(b->store, "g");
        assert_true((removed == 0 || removed == -ENOENT) && (other == 0 || other == -ENOENT));
    }
}

static void an_update_keeps_the_same_rules(void **state)
{
    struct bed *b = *state;
    struct user u;

    assert_int_equal(add_user(b, USER("u", ",\"description\":\"old\""), NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        if (!users[i].field)
            continue;
        if (strcmp(users[i].field, "username") != 0 && strcmp(users[i].name, "email before name's letters") != 0)
            check_refusal(users[i].name, update_user(b, users[i].json), users[i].field, users[i].text);
        assert_int_equal(user_load(b->store, "u", &u), 0);
        row_text(users[i].name, u.description ? u.description : "", "old");
        user_done(&u);
    }
}

static void each_rule_for_folders_is_kept_and_told(void **state)
{
    static const struct {
        const char *name, *json, *field, *text;
    } rows[] = {
        { "no name", "{\"mapped_path\":\"/x\"}", "name", "is mandatory" },
        { "bad name", "{\"name\":\"a b\",\"mapped_path\":\"/x\"}", "name", "must consist" },
        { "no path", "{\"name\":\"f\"}", "mapped_path", "must be an absolute" },
        { "relative path", "{\"name\":\"f\",\"mapped_path\":\"x\"}", "mapped_path", "must be an absolute" },
        { "crypt", "{\"name\":\"f\",\"mapped_path\":\"/x\",\"filesystem\":{\"provider\":4}}", "",
          "storage provider 4 (local encrypted)" },
        { "in the mount", "{\"name\":\"f\",\"mapped_path\":\"/mnt/homes/anna/x\"}", "mapped_path",
          "\"/mnt/homes/anna/x\" is inside or around the mount" },
        { "around the mount", "{\"name\":\"f\",\"mapped_path\":\"/mnt\"}", "mapped_path", "\"/mnt\" is inside or" },
        { "all right", "{\"name\":\"f\",\"mapped_path\":\"/x/../y/\",\"description\":\"d\"}", NULL, NULL },
    };
    struct bed *b = *state;
    struct folder f;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_refusal(rows[i].name, add_folder(b, rows[i].json, NULL), rows[i].field, rows[i].text);
    assert_int_equal(folder_load(b->store, "f", &f), 0);
    assert_string_equal(f.mapped_path, "/y");
    folder_done(&f);
}

static void each_rule_for_administrators_is_kept_and_told(void **state)
{
#define ADMIN(name, more) "{\"username\":\"" name "\",\"password\":\"p\",\"permissions\":[\"*\"]" more "}"
    static const struct {
        const char *name, *json, *field, *text;
    } rows[] = {
        { "no name", "{\"password\":\"p\",\"permissions\":[\"*\"]}", "username", "is mandatory" },
        { "bad name", ADMIN("a b", ""), "username", "must consist" },
        { "no password", "{\"username\":\"a\",\"permissions\":[\"*\"]}", "", "please set a password" },
        { "no permissions", "{\"username\":\"a\",\"password\":\"p\"}", "permissions", "must not be empty" },
        { "empty permissions", ADMIN("a", ",\"permissions\":[]"), "permissions", "must not be empty" },
        { "unknown permission", ADMIN("a", ",\"permissions\":[\"x\"]"), "permissions", "must have only known" },
        { "bad email", ADMIN("a", ",\"email\":\"x\""), "email", "is not" },
        { "bare address", ADMIN("a", ",\"filters\":{\"allow_list\":[\"10.0.0.1\"]}"), "filters.allow_list",
          "must hold" },
        { "broken hash", ADMIN("a", ",\"password\":\"$argon2id$\""), "password", "begins like a hash" },
        { "all right", ADMIN("a", ",\"permissions\":[\"add_users\",\"*\",\"add_users\"]"), NULL, NULL },
    };
    struct bed *b = *state;
    struct admin a;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_refusal(rows[i].name, add_admin(b, rows[i].json), rows[i].field, rows[i].text);
    assert_int_equal(admin_load(b->store, "a", &a), 0);
    assert_int_equal(a.permissions.n, 1);
    assert_string_equal(a.permissions.v[0], "*");
    admin_done(&a);
}

static void what_is_stored_is_in_normal_form(void **state)
{
    struct bed *b = *state;
    struct user u;

    assert_int_equal(add_user(b,
                              "{\"username\":\"u\",\"public_keys\":[\"\",\"" KEY "\",\"" KEY "\"],"
                              "\"permissions\":{\"/a/../b//\":[\"list\",\"list\"],\"/\":[\"list\",\"*\"]},"
                              "\"filters\":{\"file_patterns\":[{\"path\":\"/x/\",\"denied_patterns\":[\"*.EXE\"]}]},"
                              "\"virtual_folders\":[{\"name\":\"f\",\"mapped_path\":\"/f//g/\","
                              "\"virtual_path\":\"/v/./w/\"}]}",
                              NULL),
                     0);
    assert_int_equal(user_load(b->store, "u", &u), 0);
    assert_string_equal(u.home_dir, "/base/u");
    assert_int_equal(u.public_keys.n, 1);
    assert_int_equal(u.permissions.n, 2);
    assert_int_equal(u.permissions.v[0].perms, MAY_ALL);
    assert_string_equal(u.permissions.v[1].path, "/b");
    assert_int_equal(u.permissions.v[1].perms, MAY_LIST);
    const struct pattern_filter *p = u.filters.file_patterns.v;
    assert_string_equal(p->path, "/x");
    assert_string_equal(p->denied_patterns.v[0], "*.exe");
    const struct virtual_folder *v = u.virtual_folders.v;
    assert_string_equal(v->virtual_path, "/v/w");
    assert_string_equal(v->folder.mapped_path, "/f/g");
    user_done(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_rule_for_users_is_kept_and_told, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(an_update_keeps_the_same_rules, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(each_rule_for_folders_is_kept_and_told, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(each_rule_for_administrators_is_kept_and_told, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(what_is_stored_is_in_normal_form, bed_setup, bed_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
