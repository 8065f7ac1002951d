/* Dumps and their way back: one transaction, a list of what was left out, and the same again. */
#include "base/sys.h"
#include "store/dump.h"
#include "store/password.h"
#include "tests/unit/store/bed.h"

#define DUMPS      TALLY_SOURCE_DIR "/tests/unit/store/dumps/"
#define HASH       "$2a$04$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LOCAL      ",\"filesystem\":{\"provider\":0}"
#define HOME(path) ",\"home_dir\":\"" path "\""

static int restore(struct bed *b, const char *text, const struct restore_options *o, struct restore *ret)
{
    memset(ret, 0, sizeof(*ret));
    memset(&bed_why, 0, sizeof(bed_why));
    return dump_restore(b->store, text, strlen(text), o, ret, &bed_why);
}

static char *file_text(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), DUMPS "%s", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static char *dump_text(struct bed *b, uint32_t scopes)
{
    struct strbuf text = STRBUF(1 << 24);
    struct json_out out = { .to = &text, .first = true };
    char *s;

    assert_int_equal(dump_write(b->store, scopes, NULL, NULL, &out), 0);
    assert_int_equal(strbuf_take(&text, &s), 0);
    return s;
}

static const struct left_out *left_out_find(const struct restore *r, const char *section, const char *name,
                                            const char *member)
{
    for (size_t i = 0; i < r->left_out_n; i++) {
        const struct left_out *l = &r->left_out[i];
        if (strcmp(l->section, section) == 0 && strcmp(l->name, name) == 0 &&
            strcmp(l->member ? l->member : "", member) == 0)
            return l;
    }
    return NULL;
}

static const struct real_row {
    const char *file;
    size_t users, keys;
    const char *section[8], *name[8], *member[8];
} real_rows[] = {
    { "sftpgo-2.2.0.json", 14, 2, { "users" }, { "cloud" }, { "" } },
    { "sftpgo-2.7.5.json",
      19,
      1,
      { "users", "users", "users", "groups", "roles", "event_actions", "event_rules", "ip_lists" },
      { "cloud", "grouped", "grouped", "g1", "tenant1", "scan", "nightly", "127.0.0.0/8" },
      { "", "role", "groups", "", "", "", "", "" } },
};

static void real_dump(struct bed *b, const struct real_row *row)
{
    static const struct restore_options skip = { .skip_unsupported = true }, strict = { 0 };
    char *text = file_text(row->file);
    struct restore r;
    struct user u;

    row_equal(row->file, restore(b, text, &strict, &r), -EINVAL); /* cloud is on S3 */
    assert_non_null(strstr(bed_why.text, "\"cloud\": filesystem storage provider 1 (S3) is not supported"));
    row_equal(row->file, user_load(b->store, "hash-plain", &u), -ENOENT); /* and nothing came in */
    row_equal(row->file, restore(b, text, &skip, &r), 0);
    row_equal("users", restore_count(&r, DUMP_USERS, RESTORE_ADDED), row->users);
    row_equal("folders", restore_count(&r, DUMP_FOLDERS, RESTORE_ADDED), 2);
    row_equal("admins", restore_count(&r, DUMP_ADMINS, RESTORE_ADDED), 3);
    row_equal("keys", restore_count(&r, DUMP_API_KEYS, RESTORE_ADDED), row->keys);
    for (size_t i = 0; i < 8 && row->section[i]; i++)
        if (!left_out_find(&r, row->section[i], row->name[i], row->member[i]))
            fail_msg("%s: %s of %s %s is not reported", row->file, row->member[i], row->section[i], row->name[i]);
    for (size_t i = 0; i < r.n; i++) {
        if (r.v[i].scope != DUMP_USERS)
            continue;
        row_equal(r.v[i].name, user_load(b->store, r.v[i].name, &u), 0);
        row_equal(r.v[i].name, u.id, r.v[i].id);
        row_equal(r.v[i].name, u.quota_size > 0, r.v[i].is_limited);
        if (u.password && *u.password)
            row_equal(u.username, password_verify(u.password, "old-Passw0rd-\xc3\xa9"), 0);
        user_done(&u);
    }
    restore_done(&r);
    row_equal("again", restore(b, text, &skip, &r), 0);
    row_equal("again", restore_count(&r, DUMP_USERS, RESTORE_UPDATED), row->users);
    restore_done(&r);
    free(text);
}

static void the_dump_of_2_2_0_comes_in_and_what_is_not_ours_is_told(void **state)
{
    real_dump(*state, &real_rows[0]);
}

static void the_dump_of_2_7_5_comes_in_and_what_is_not_ours_is_told(void **state)
{
    real_dump(*state, &real_rows[1]);
}

/* ---- refusals ---- */

static const char tops[] =
    "{\"users\":[" USER("anna", HOME("/a") LOCAL) "],\"folders\":[],\"admins\":[],\"version\":10}";

static const struct {
    const char *name, *dump, *field, *text;
} bad_rows[] = {
    { "nothing", "", "", "Unable to parse backup content: EOF" },
    { "no JSON", "users", "",
      "Unable to parse backup content: invalid JSON at line 1, column 1: unexpected character" },
    { "cut off", "{\"users\":[{\"username\":\"an", "",
      "Unable to parse backup content: invalid JSON at line 1, column 26: unexpected end" },
    { "a list", "[]", "", "Unable to parse backup content: it must be a JSON object" },
    { "null", "null", "", "Unable to parse backup content: it must be a JSON object" },
    { "version 99", "{\"users\":[],\"version\":99}", "version", "of the dump must be between 8 and 17" },
    { "version 7", "{\"users\":[],\"version\":7}", "version", "of the dump must be between 8 and 17" },
    { "version as text", "{\"users\":[],\"version\":\"10\"}", "version", "of the dump must be between 8 and 17" },
    { "users is no list", "{\"users\":{}}", "users", "of the dump must be a list" },
    { "a user is no object", "{\"users\":[" USER("a", HOME("/a")) ",7]}", "users[1]", "\"\": must be an object" },
    { "two of a name", "{\"users\":[" USER("b", HOME("/b")) "," USER("a", HOME("/a")) "," USER("b", HOME("/c")) "]}",
      "users[2]", "\"b\": stands in the dump already, at users[0]" },
    { "a bad member", "{\"users\":[" USER("a", HOME("/a") ",\"quota_size\":-1") "]}", "users[0]",
      "\"a\": quota_size must be at least 0" },
    { "a wrong type", "{\"users\":[" USER("a", HOME("/a") ",\"uid\":\"x\"") "]}", "users[0]",
      "\"a\": uid must be an integer" },
    { "no credentials", "{\"users\":[{\"username\":\"a\",\"permissions\":{\"/\":[\"*\"]}}]}", "users[0]",
      "\"a\": please set a password or at least a public_key" },
    { "a relative folder", "{\"folders\":[{\"name\":\"f\",\"mapped_path\":\"x\"}]}", "folders[0]",
      "\"f\": mapped_path must be an absolute path" },
    { "an admin without rights",
      "{\"admins\":[{\"username\":\"r\",\"password\":\"x\",\"permissions\":[\"manage_roles\"]}]}", "admins[0]",
      "\"r\": permissions must not be empty" },
    { "a shared home", "{\"users\":[" USER("a", HOME("/h")) "," USER("b", HOME("/h")) "]}", "users[1]",
      "\"b\": home_dir \"/h\" is also the home of the user \"a\" (\"/h\")" },
    { "cloud storage", "{\"folders\":[{\"name\":\"f\",\"mapped_path\":\"/f\",\"filesystem\":{\"provider\":2}}]}",
      "folders[0]",
      "\"f\": filesystem storage provider 2 (GCS) is not supported, only the local file system (0); "
      "restore with skip-unsupported to leave it out" },
    { "a key in clear", "{\"api_keys\":[{\"id\":\"k\",\"name\":\"n\",\"scope\":1,\"key\":\"secret\"}]}", "api_keys[0]",
      "\"k\": key must be the hash of the key's secret" },
    { "a key without id", "{\"api_keys\":[{\"name\":\"n\",\"scope\":1}]}", "api_keys[0]", "\"\": id is mandatory" },
    { "a key of nobody",
      "{\"api_keys\":[{\"id\":\"k\",\"name\":\"n\",\"scope\":2,\"user\":\"nobody\",\"key\":\"" HASH "\"}]}",
      "api_keys[0]", "\"k\": user \"nobody\" does not exist" },
    { "an unknown folder",
      "{\"users\":[" USER("a", HOME("/u") ",\"virtual_folders\":[{\"name\":\"n\",\"virtual_path\":\"/n\"}]") "]}",
      "users[0]", "\"a\": virtual_folders names the unknown folder \"n\" without a mapped_path" },
};

static void with_one_invalid_object_nothing_changes(void **state)
{
    static const struct restore_options strict = { 0 };
    struct bed *b = *state;
    struct restore r;

    assert_int_equal(restore(b, tops, &strict, &r), 0);
    restore_done(&r);
    char *before = dump_text(b, DUMP_ALL);
    for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
        row_equal(bad_rows[i].name, restore(b, bad_rows[i].dump, &strict, &r), -EINVAL);
        row_text(bad_rows[i].name, bed_why.field, bad_rows[i].field);
        row_text(bad_rows[i].name, bed_why.text, bad_rows[i].text);
        char *after = dump_text(b, DUMP_ALL);
        row_text(bad_rows[i].name, after, before);
        free(after);
    }
    free(before);
}

static void too_many_plain_passwords_are_refused(void **state)
{
    static const struct restore_options strict = { 0 };
    struct strbuf text = STRBUF(1 << 22);
    struct bed *b = *state;
    struct restore r;

    strbuf_adds(&text, "{\"users\":[");
    for (int i = 0; i <= RESTORE_PLAIN_MAX; i++)
        strbuf_addf(&text, "%s{\"username\":\"u%d\",\"password\":\"p\",\"permissions\":{\"/\":[\"*\"]}}", i ? "," : "",
                    i);
    strbuf_adds(&text, "]}");
    assert_int_equal(strbuf_ok(&text), 0);
    row_equal("1001", restore(b, text.s, &strict, &r), -EINVAL);
    row_text("1001", bed_why.field, "users[1000]");
    strbuf_done(&text);
}

/* ---- modes ---- */

static void an_existing_object_is_replaced_or_kept_and_keeps_its_id(void **state)
{
    static const char first[] = "{\"folders\":[{\"name\":\"f\",\"mapped_path\":\"/f\",\"description\":\"old\"}],"
                                "\"admins\":[{\"username\":\"r\",\"password\":\"x\",\"status\":1,"
                                "\"permissions\":[\"*\"]}],"
                                "\"users\":[" USER("a", HOME("/a") ",\"description\":\"old\",\"quota_size\":5") "]}";
    static const char second[] = "{\"users\":[" USER(
        "a", HOME("/a2")) "],"
                          "\"folders\":[{\"name\":\"f\",\"mapped_path\":\"/f\"}],"
                          "\"admins\":[{\"username\":\"r\",\"password\":\"x\",\"permissions\":[\"*\"]}]}";
    static const struct restore_options replace = { 0 }, add = { .only_add = true };
    struct bed *b = *state;
    struct restore r;
    struct user u;

    assert_int_equal(restore(b, first, &replace, &r), 0);
    int64_t id = r.v[1].id;
    restore_done(&r);
    char *before = dump_text(b, DUMP_ALL);
    assert_int_equal(restore(b, second, &add, &r), 0);
    assert_int_equal(restore_count(&r, DUMP_USERS, RESTORE_KEPT) + restore_count(&r, DUMP_FOLDERS, RESTORE_KEPT) +
                         restore_count(&r, DUMP_ADMINS, RESTORE_KEPT),
                     3);
    restore_done(&r);
    char *after = dump_text(b, DUMP_ALL);
    assert_string_equal(after, before);
    free(after);
    free(before);

    assert_int_equal(restore(b, second, &replace, &r), 0);
    restore_done(&r);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    assert_int_equal(u.id, id);
    assert_string_equal(u.home_dir, "/a2");
    assert_true(!u.description || !*u.description); /* replaced, not merged */
    assert_int_equal(u.quota_size, 0);
    user_done(&u);
}

static void users_may_change_places(void **state)
{
    static const struct restore_options replace = { 0 };
    struct bed *b = *state;
    struct restore r;
    struct user u;

    assert_int_equal(restore(b, "{\"users\":[" USER("a", HOME("/x")) "," USER("b", HOME("/y")) "]}", &replace, &r), 0);
    restore_done(&r);
    assert_int_equal(restore(b, "{\"users\":[" USER("a", HOME("/y")) "," USER("b", HOME("/x")) "]}", &replace, &r), 0);
    restore_done(&r);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    assert_string_equal(u.home_dir, "/y");
    user_done(&u);
    row_equal("taken", add_user(b, USER("c", HOME("/x/in")), NULL), -EINVAL); /* and their directories are claimed */
}

static void folders_come_from_their_section_and_from_those_who_embed_them(void **state)
{
    static const struct restore_options skip = { .skip_unsupported = true };
    static const char text[] =
        "{\"FOLDERS\":[{\"name\":\"in\",\"mapped_path\":\"/in\",\"users\":[\"nobody\"]},"
        "{\"name\":\"s3\",\"mapped_path\":\"/s3\",\"filesystem\":{\"provider\":1}}],"
        "\"Users\":[" USER("a", HOME("/a") ",\"virtual_folders\":["
                                           "{\"name\":\"in\",\"mapped_path\":\"/other\",\"virtual_path\":\"/1\"},"
                                           "{\"name\":\"s3\",\"virtual_path\":\"/2\"},"
                                           "{\"name\":\"new\",\"mapped_path\":\"/new\",\"virtual_path\":\"/3\","
                                           "\"quota_size\":-1,\"quota_files\":-1}]") "]}";
    struct bed *b = *state;
    struct restore r;
    struct user u;

    row_equal("restore", restore(b, text, &skip, &r), 0);
    assert_int_equal(restore_count(&r, DUMP_FOLDERS, RESTORE_ADDED), 2);
    assert_non_null(left_out_find(&r, "folders", "s3", ""));
    assert_non_null(left_out_find(&r, "users", "a", "virtual_folders[1]"));
    assert_int_equal(r.left_out_total, 2);
    restore_done(&r);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    const struct virtual_folder *v = u.virtual_folders.v;
    assert_int_equal(u.virtual_folders.n, 2);
    assert_string_equal(v[0].folder.mapped_path, "/in"); /* the section's definition wins */
    assert_string_equal(v[1].folder.mapped_path, "/new");
    assert_int_equal(v[1].quota_size, -1);
    user_done(&u);
}

/* ---- the report ---- */

static void members_and_names_that_are_not_known_are_told(void **state)
{
    static const struct restore_options strict = { 0 };
    static const char text[] =
        "{\"users\":[{\"username\":\"a\",\"status\":1,\"password\":\"$2a$04$"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
        "\"home_dir\":\"/a\",\"permissions\":{\"/\":[\"list\",\"fly\"],\"/b\":[\"copy\"]},"
        "\"has_password\":true,\"last_password_change\":5,\"empty\":{\"a\":[{}],\"b\":0},\"nothing\":{\"a\":\"\"},"
        "\"filters\":{\"denied_protocols\":[\"FTP\",\"OIDC\"],\"denied_login_methods\":[\"telepathy\"],"
        "\"web_client\":[\"tls-verify\"],\"bandwidth_limits\":[{\"sources\":[\"10.0.0.0/8\"]}],"
        "\"file_patterns\":[{\"path\":\"/p\",\"allowed_patterns\":[\"*\"],\"deny_policy\":1}]},"
        "\"filesystem\":{\"provider\":0,\"osconfig\":{\"read_buffer_size\":4},\"s3config\":{\"bucket\":\"idle\"}}}],"
        "\"admins\":[{\"username\":\"r\",\"password\":\"x\","
        "\"permissions\":[\"view_users\",\"manage_groups\"],\"role\":\"t\"}],"
        "\"shares\":[{\"id\":\"s1\"},{}],\"shiny\":[7],"
        "\"configs\":{\"smtp\":{\"host\":\"h\"}},\"groups\":null,\"roles\":[]}";
    static const char *const rows[][3] = {
        { "users", "a", "permissions./" },
        { "users", "a", "permissions./b" },
        { "users", "a", "empty" },
        { "users", "a", "filters.denied_protocols" },
        { "users", "a", "filters.denied_login_methods" },
        { "users", "a", "filters.web_client" },
        { "users", "a", "filters.bandwidth_limits" },
        { "users", "a", "filters.file_patterns[0].deny_policy" },
        { "users", "a", "filesystem.osconfig" },
        { "admins", "r", "permissions" },
        { "admins", "r", "role" },
        { "shares", "s1", "" },
        { "shares", "[1]", "" },
        { "shiny", "[0]", "" },
        { "configs", "", "" },
    };
    struct bed *b = *state;
    struct restore r;
    struct user u;

    row_equal("restore", restore(b, text, &strict, &r), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!left_out_find(&r, rows[i][0], rows[i][1], rows[i][2]))
            fail_msg("%s %s %s is not reported", rows[i][0], rows[i][1], rows[i][2]);
    row_equal("no more", r.left_out_total, ARRAY_SIZE(rows));
    restore_done(&r);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    assert_int_equal(u.permissions.v[0].perms, MAY_LIST);
    assert_int_equal(u.permissions.v[1].perms, 0); /* less than before, never more */
    assert_int_equal(u.filters.denied_protocols.n, 1);
    user_done(&u);
}

static void the_list_of_what_was_left_out_has_an_end_and_its_count_has_none(void **state)
{
    static const struct restore_options strict = { 0 };
    struct strbuf text = STRBUF(1 << 20);
    struct bed *b = *state;
    struct restore r;

    strbuf_adds(&text, "{\"groups\":[{}");
    for (int i = 1; i < 2 * RESTORE_LISTED_MAX; i++)
        strbuf_adds(&text, ",{}");
    strbuf_adds(&text, "]}");
    row_equal("restore", restore(b, text.s, &strict, &r), 0);
    assert_int_equal(r.left_out_n, RESTORE_LISTED_MAX);
    assert_int_equal(r.left_out_total, 2 * RESTORE_LISTED_MAX);
    restore_done(&r);
    strbuf_done(&text);
}

static void what_cannot_be_read_or_has_no_holder_is_taken_out_and_told(void **state)
{
    static const struct restore_options skip = { .skip_unsupported = true };
    static const char factor[] = "{\"enabled\":true,\"config_name\":\"Default\",\"secret\":{\"status\":\"Secretbox\","
                                 "\"payload\":\"eA==\",\"key\":\"00\",\"additional_data\":\"a\"}}";
    struct strbuf text = STRBUF(1 << 16);
    struct bed *b = *state;
    struct restore r;
    struct user u;

    strbuf_adds(&text, "{\"users\":[{\"username\":\"a\",\"password\":\"" HASH "\",\"permissions\":{\"/\":[\"*\"]},");
    strbuf_addf(&text, "\"filters\":{\"totp_config\":%s,\"recovery_codes\":[{\"secret\":{\"status\":\"x\"}}]}},",
                factor);
    strbuf_adds(&text, USER("s3", HOME("/s3") ",\"filesystem\":{\"provider\":1}") "],\"admins\":[");
    strbuf_adds(&text, "{\"username\":\"r\",\"password\":\"x\",\"permissions\":[\"*\"],");
    strbuf_addf(&text, "\"filters\":{\"totp_config\":%s}}],\"api_keys\":[{\"id\":\"k\",\"name\":\"n\",", factor);
    strbuf_adds(&text, "\"scope\":2,\"user\":\"s3\",\"key\":\"" HASH "\"}]}");
    row_equal("restore", restore(b, text.s, &skip, &r), 0);
    row_equal("a", left_out_find(&r, "users", "a", "filters.totp_config") != NULL, true);
    row_equal("codes", left_out_find(&r, "users", "a", "filters.recovery_codes") != NULL, true);
    row_equal("r", left_out_find(&r, "admins", "r", "filters.totp_config") != NULL, true);
    row_equal("k", left_out_find(&r, "api_keys", "k", "") != NULL, true);
    row_equal("all", r.left_out_total, 5);
    restore_done(&r);
    strbuf_done(&text);
    assert_int_equal(user_load(b->store, "a", &u), 0);
    assert_false(u.filters.totp_config.enabled);
    user_done(&u);
}

/* ---- the way round ---- */

static int64_t fixed_ms(void)
{
    return 1800000000000;
}

static void a_dump_restored_elsewhere_is_the_same_dump(void **state)
{
    static const struct restore_options skip = { .skip_unsupported = true };
    struct sys virtual = *sys;
    struct bed *b = *state, *other;
    char *text = file_text("sftpgo-2.2.0.json");
    struct restore r;
    void *p;

    virtual.wall_ms = fixed_ms;
    sys = &virtual;
    row_equal("restore", restore(b, text, &skip, &r), 0);
    restore_done(&r);
    free(text);
    char *first = dump_text(b, DUMP_ALL);
    assert_int_equal(bed_setup(&p), 0);
    other = p;
    row_equal("elsewhere", restore(other, first, &skip, &r), 0);
    assert_int_equal(r.left_out_total, 0); /* ours is understood whole */
    restore_done(&r);
    char *second = dump_text(other, DUMP_ALL);
    assert_string_equal(second, first);
    bed_teardown(&p);
    free(second);

    char *part = dump_text(b, DUMP_ADMINS);
    assert_int_equal(strncmp(part, "{\"admins\":[{", 12), 0);
    assert_null(strstr(part, "\"users\":["));
    free(part);
    free(first);
    sys = &sys_real;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_dump_of_2_2_0_comes_in_and_what_is_not_ours_is_told, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(the_dump_of_2_7_5_comes_in_and_what_is_not_ours_is_told, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(with_one_invalid_object_nothing_changes, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(too_many_plain_passwords_are_refused, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(an_existing_object_is_replaced_or_kept_and_keeps_its_id, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(users_may_change_places, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(folders_come_from_their_section_and_from_those_who_embed_them, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(members_and_names_that_are_not_known_are_told, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(the_list_of_what_was_left_out_has_an_end_and_its_count_has_none, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_or_has_no_holder_is_taken_out_and_told, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(a_dump_restored_elsewhere_is_the_same_dump, bed_setup, bed_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
