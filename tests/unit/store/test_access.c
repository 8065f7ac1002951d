/* Rights at paths, patterns, addresses, logins, clean paths. No database. */
#include "tests/unit/store/bed.h"

static void the_longest_ancestor_wins_as_a_whole(void **state)
{
    static const struct {
        const char *path;
        uint32_t perms;
    } rows[] = {
        { "/", MAY_LIST | MAY_DOWNLOAD },
        { "/other", MAY_LIST | MAY_DOWNLOAD },
        { "/in", MAY_LIST | MAY_UPLOAD },
        { "/in/deep/er", MAY_LIST | MAY_UPLOAD },
        { "/into", MAY_LIST | MAY_DOWNLOAD }, /* a longer name is no descendant */
        { "/in/all", MAY_ALL },
        { "/in/all/x", MAY_ALL },
        { "/closed", 0 },
        { "/closed/x", 0 },
    };
    struct user u;

    (void)state;
    user_of("{\"permissions\":{\"/in/\":[\"list\",\"upload\",\"list\"],\"/\":[\"download\",\"list\"],\"/closed\":[],"
            "\"/in/all\":[\"chmod\",\"*\"]}}",
            USE_CREATE, &u);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        row_equal(rows[i].path, user_may(&u, rows[i].path), rows[i].perms);
    user_done(&u);
}

static void a_user_without_permissions_may_nothing(void **state)
{
    struct user u = { 0 };

    (void)state;
    assert_int_equal(user_may(&u, "/"), 0);
}

static void every_permission_has_a_bit_of_its_own_and_a_name(void **state)
{
    static const struct perm_row *const tables[] = { path_perms, admin_perms };

    (void)state;
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        uint32_t seen = 0;
        assert_string_equal(tables[t][0].name, "*");
        for (const struct perm_row *row = tables[t] + 1; row->name; row++) {
            row_equal(row->name, seen & row->bit, 0);
            row_equal(row->name, __builtin_popcount(row->bit), 1);
            seen |= row->bit;
        }
        assert_int_equal(seen, tables[t][0].bit);
    }
}

static void unknown_permissions_are_refused(void **state)
{
    char *good[] = { (char *)"list", (char *)"upload" }, *bad[] = { (char *)"list", (char *)"List" };
    uint32_t bits = 7;

    (void)state;
    assert_int_equal(perms_of(path_perms, &(struct strings){ good, 2 }, &bits), 0);
    assert_int_equal(bits, MAY_LIST | MAY_UPLOAD);
    assert_int_equal(perms_of(path_perms, &(struct strings){ bad, 2 }, &bits), -EINVAL);
    assert_int_equal(bits, MAY_LIST | MAY_UPLOAD);
}

static void the_nearest_patterns_decide_and_denied_comes_first(void **state)
{
    static const struct {
        const char *path;
        bool allowed;
    } rows[] = {
        { "/a.exe", false },        { "/A.EXE", false },         { "/a.txt", true },      { "/sub/a.exe", false },
        { "/in/a.exe", false },     { "/in/a.csv", true },       { "/in/A.CSV", true },   { "/in/secret.csv", false },
        { "/in/deep/a.csv", true }, { "/in/deep/a.png", false }, { "/into/a.png", true }, { "/in/only/a.png", true },
        { "/in/only/a.exe", true }, { "/in/only/b.zip", false }, { "/.exe", false },
    };
    struct user u;

    (void)state;
    user_of("{\"filters\":{\"file_patterns\":[{\"path\":\"/\",\"denied_patterns\":[\"*.exe\"]},"
            "{\"path\":\"/in\",\"allowed_patterns\":[\"*.csv\",\"*.txt\"],\"denied_patterns\":[\"secret*\"]},"
            "{\"path\":\"/in/only\",\"denied_patterns\":[\"*.z?p\"]}]}}",
            USE_CREATE, &u);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        row_equal(rows[i].path, user_file_allowed(&u, rows[i].path), rows[i].allowed);
    user_done(&u);
}

static void patterns_match_as_a_shell_does(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool allowed;
    } rows[] = {
        { "*", "anything", true },
        { "a*b*c", "aXbYbZc", true },
        { "a*b*c", "aXbYbZ", false },
        { "?", "\xc3\xa9", true },
        { "?", "ab", false },
        { "[a-c]x", "bx", true },
        { "[^a-c]x", "bx", false },
        { "[^a-c]x", "dx", true },
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "[\\]]", "]", true },
        { "", "a", false },
        { "*.*.*", "a.b", false },
        { "**a", "bba", true },
        { "[x-z]*", "", false },
        { "a*", "a", true },
        { "[\xc3\xa0-\xc3\xaf]", "\xc3\xa9", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *pattern = (char *)(uintptr_t)rows[i].pattern, path[64];
        struct pattern_filter f = { (char *)"/", { &pattern, 1 }, { NULL, 0 } };
        struct user u = { .filters.file_patterns = { &f, 1 } };
        snprintf(path, sizeof(path), "/%s", rows[i].name);
        row_equal(rows[i].pattern, user_file_allowed(&u, path), rows[i].allowed);
    }
}

static void a_name_with_many_stars_costs_no_exponential_time(void **state)
{
    char pattern[201], path[258] = "/";
    char *p = pattern;
    struct pattern_filter f = { (char *)"/", { &p, 1 }, { NULL, 0 } };
    struct user u = { .filters.file_patterns = { &f, 1 } };

    (void)state;
    for (size_t i = 0; i < 100; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    pattern[200] = 0;
    memset(path + 1, 'a', 254);
    path[255] = 'b';
    path[256] = 0;
    assert_false(user_file_allowed(&u, path)); /* ctest's time limit is the proof */
    path[255] = 'a';
    assert_true(user_file_allowed(&u, path));
    memset(path + 1, 'a', 256);
    path[257] = 0;
    assert_false(user_file_allowed(&u, path)); /* 256 bytes: no file has such a name */
}

static void addresses_are_found_in_their_networks(void **state)
{
    static const struct {
        const char *network, *address;
        bool in;
    } rows[] = {
        { "10.1.0.0/16", "10.1.255.255", true },
        { "10.1.0.0/16", "10.2.0.0", false },
        { "10.1.2.3/16", "10.1.9.9", true },
        { "127.0.0.1/32", "127.0.0.1", true },
        { "127.0.0.1/32", "127.0.0.2", false },
        { "0.0.0.0/0", "8.8.8.8", true },
        { "0.0.0.0/0", "2001:db8::1", false },
        { "192.168.0.0/23", "192.168.1.1", true },
        { "192.168.0.0/23", "192.168.2.1", false },
        { "2001:db8::/32", "2001:db8:1::5", true },
        { "2001:db8::/33", "2001:db8:8000::", false },
        { "::/0", "2001:db8::1", true },
        { "10.0.0.0/8", "::ffff:10.1.1.1", true },
        { "::ffff:10.0.0.0/104", "10.1.1.1", true },
        { "10.0.0.0/8", "10.0.0.1:22", false },
        { "10.0.0.0/8", "", false },
        { "10.0.0.0/33", "10.0.0.1", false },
        { "10.0.0.0", "10.0.0.0", false },
        { "10.0.0.0/", "10.0.0.0", false },
        { "10.0.0.0/+8", "10.0.0.0", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *network = (char *)(uintptr_t)rows[i].network;
        row_equal(rows[i].network, address_in(&(struct strings){ &network, 1 }, rows[i].address), rows[i].in);
    }
}

static void a_login_is_refused_for_each_reason(void **state)
{
    static const struct {
        const char *name, *json, *method, *protocol, *address;
        bool refused;
    } rows[] = {
        { "all right", "", "password", "SSH", "1.2.3.4", false },
        { "disabled", "\"status\":0", "password", "SSH", "1.2.3.4", true },
        { "expired", "\"expiration_date\":1000", "password", "SSH", "1.2.3.4", true },
        { "not yet expired", "\"expiration_date\":1001", "password", "SSH", "1.2.3.4", false },
        { "protocol", "\"filters\":{\"denied_protocols\":[\"SSH\"]}", "password", "SSH", "1.2.3.4", true },
        { "other protocol", "\"filters\":{\"denied_protocols\":[\"SSH\"]}", "password", "HTTP", "1.2.3.4", false },
        { "method", "\"filters\":{\"denied_login_methods\":[\"password\"]}", "password", "SSH", "1.2.3.4", true },
        { "both steps", "\"filters\":{\"denied_login_methods\":[\"password\",\"publickey\"]}", "publickey+password",
          "SSH", "1.2.3.4", false },
        { "address not allowed", "\"filters\":{\"allowed_ip\":[\"10.0.0.0/8\"]}", "password", "SSH", "1.2.3.4", true },
        { "address allowed", "\"filters\":{\"allowed_ip\":[\"1.0.0.0/8\"]}", "password", "SSH", "1.2.3.4", false },
        { "denied before allowed", "\"filters\":{\"allowed_ip\":[\"1.0.0.0/8\"],\"denied_ip\":[\"1.2.3.0/24\"]}",
          "password", "SSH", "1.2.3.4", true },
        { "no address", "\"filters\":{\"allowed_ip\":[\"1.0.0.0/8\"]}", "password", "SSH", "", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char json[256];
        struct user u;
        snprintf(json, sizeof(json), "{\"status\":1%s%s}", *rows[i].json ? "," : "", rows[i].json);
        user_of(json, USE_CREATE, &u);
        row_equal(rows[i].name, user_login_refusal(&u, rows[i].method, rows[i].protocol, rows[i].address, 1000) != NULL,
                  rows[i].refused);
        user_done(&u);
    }
}

static void paths_come_out_clean_and_absolute(void **state)
{
    static const struct {
        const char *path, *clean;
    } rows[] = {
        { "/", "/" },          { "", "/" },    { "a", "/a" },          { "/a/../b/", "/b" },
        { "//a//b", "/a/b" },  { "/..", "/" }, { "/../../a", "/a" },   { "/a/./b/.", "/a/b" },
        { "/a/b/../..", "/" }, { "..", "/" },  { "/a/...", "/a/..." }, { "/a/..b", "/a/..b" },
        { "./x/../y", "/y" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *clean;
        assert_int_equal(path_clean(rows[i].path, &clean), 0);
        row_text(rows[i].path, clean, rows[i].clean);
        free(clean);
    }
}

static void a_path_beyond_the_limit_is_refused(void **state)
{
    char path[4097], *clean = NULL;

    (void)state;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[4096] = 0;
    assert_int_equal(path_clean(path, &clean), -EINVAL);
    assert_null(clean);
    path[4095] = 0;
    assert_int_equal(path_clean(path, &clean), 0);
    assert_string_equal(clean, path);
    free(clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_ancestor_wins_as_a_whole),
        cmocka_unit_test(a_user_without_permissions_may_nothing),
        cmocka_unit_test(every_permission_has_a_bit_of_its_own_and_a_name),
        cmocka_unit_test(unknown_permissions_are_refused),
        cmocka_unit_test(the_nearest_patterns_decide_and_denied_comes_first),
        cmocka_unit_test(patterns_match_as_a_shell_does),
        cmocka_unit_test(a_name_with_many_stars_costs_no_exponential_time),
        cmocka_unit_test(addresses_are_found_in_their_networks),
        cmocka_unit_test(a_login_is_refused_for_each_reason),
        cmocka_unit_test(paths_come_out_clean_and_absolute),
        cmocka_unit_test(a_path_beyond_the_limit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
