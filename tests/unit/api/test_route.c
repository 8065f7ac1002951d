/* The table of routes: what a method and a path find, and what every row must have. */
#include "api/apid.h"
#include "api/route.h"
#include "tests/unit/api/row.h"

static int match(bool telemetry, const char *method, const char *path, const char **ret_operation, char *ret_param,
                 char *allow)
{
    const struct route *row = NULL;
    const char *param = NULL;
    struct segments s = { 0 };

    int r = path_split(path, strlen(path), &s);
    if (r == 0)
        r = route_match(telemetry, method, &s, &row, &param, allow, 64);
    *ret_operation = r == 0 ? row->operation : NULL;
    snprintf(ret_param, 64, "%s", r == 0 && param != NULL ? param : "");
    segments_done(&s);
    return r;
}

static void a_method_and_a_path_find_their_row(void **state)
{
    static const struct {
        const char *method, *path;
        bool telemetry;
        int r;
        const char *operation, *param;
    } rows[] = {
        { "GET", "/api/v2/users", false, 0, "get_users", "" },
        { "GET", "/api/v2/users/", false, 0, "get_users", "" },
        { "HEAD", "/api/v2/users", false, 0, "get_users", "" },
        { "POST", "/api/v2/users", false, 0, "add_user", "" },
        { "PUT", "/api/v2/users/a%2Fb", false, 0, "update_user", "a/b" },
        { "DELETE", "/api/v2/users/x", false, 0, "delete_user", "x" },
        { "GET", "/api/v2/quotas/users/scans", false, 0, "get_users_quota_scans", "" },
        { "GET", "/api/v2/quotas/users/x", false, 0, "get_user_usage", "x" },
        { "POST", "/api/v2/quotas/users/x/scan", false, 0, "start_user_quota_scan", "x" },
        { "DELETE", "/api/v2/quotas/folders/x/scan", false, 0, "cancel_folder_quota_scan", "x" },
        { "GET", "/healthz", false, 0, "healthz", "" },
        { "GET", "/healthz", true, 0, "healthz", "" },
        { "GET", "/metrics", true, 0, "get_metrics", "" },
        { "GET", "/metrics", false, -ENOENT, NULL, "" },
        { "GET", "/api/v2/users", true, -ENOENT, NULL, "" },
        { "GET", "/api/v2/healthz", false, -ENOENT, NULL, "" },
        { "GET", "/users", false, -ENOENT, NULL, "" },
        { "GET", "/api/v2", false, -ENOENT, NULL, "" },
        { "GET", "/api/v3/users", false, -ENOENT, NULL, "" },
        { "GET", "/API/v2/users", false, -ENOENT, NULL, "" },
        { "GET", "/api%2Fv2/users", false, -ENOENT, NULL, "" },
        { "GET", "/api/v2/user", false, -ENOENT, NULL, "" },
        { "GET", "/api/v2/users/x/y", false, -ENOENT, NULL, "" },
        { "GET", "/api/v2/dumpdata", false, 0, "dumpdata", "" },
        { "POST", "/api/v2/loaddata", false, 0, "loaddata_from_request_body", "" },
        { "GET", "/", false, -ENOENT, NULL, "" },
        { "PATCH", "/api/v2/users", false, -ENOTSUP, NULL, "" },
        { "get", "/api/v2/users", false, -ENOTSUP, NULL, "" },
        { "POST", "/api/v2/users/x", false, -ENOTSUP, NULL, "" },
    };
    char allow[64], param[64];
    const char *operation;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int r = match(rows[i].telemetry, rows[i].method, rows[i].path, &operation, param, allow);
        row_equal(rows[i].path, r, rows[i].r);
        row_same(rows[i].path, operation, rows[i].operation);
        row_same(rows[i].path, param, rows[i].param);
        row_equal(rows[i].path, allow[0] != '\0', r == -ENOTSUP);
    }
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    static const struct {
        const char *path, *allow;
    } rows[] = {
        { "/api/v2/users", "GET, HEAD, POST" },
        { "/api/v2/users/x", "GET, HEAD, PUT, DELETE" },
        { "/api/v2/admin/changepwd", "PUT" },
        { "/api/v2/quotas/users/x/scan", "POST, DELETE" },
    };
    char allow[64], param[64];
    const char *operation;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        row_equal(rows[i].path, match(false, "PATCH", rows[i].path, &operation, param, allow), -ENOTSUP);
        row_same(rows[i].path, allow, rows[i].allow);
    }
}

static void each_row_is_complete(void **state)
{
    (void)state;
    for (const struct route *row = routes; row < routes + routes_n; row++) {
        const char *name = row->operation;
        row_equal(name, row->perm != 0, true); /* 0 admits nobody */
        row_equal(name, row->handle != NULL, true);
        row_equal(name, row->status >= 200 && row->status < 300, true);
        row_equal(name, row->path[0], '/');
        row_equal(name, row->load != NULL, row->in != NULL && row->use == USE_MERGE);
        if (strcmp(name, "loaddata_from_file") != 0) /* its dump is no body */
            row_equal(name, (row->fails & FAILS_413) != 0, row->in != NULL);
        row_equal(name, (row->fails & FAILS_503) != 0 || row->runs == RUNS_INLINE, true);
        if (row->in != NULL) /* a body is parsed, and perhaps hashed: not on the event thread */
            row_equal(name, row->runs == RUNS_WORKER, true);
        for (const struct route *other = routes; other < row; other++)
            row_equal(name, strcmp(other->operation, name) == 0, false);
    }
}

static void the_routes_print_as_one_json_list(void **state)
{
    struct strbuf text = STRBUF(1 << 20);
    struct json_object *list = NULL;

    (void)state;
    apid_print_routes(&text);
    assert_int_equal(strbuf_ok(&text), 0);
    assert_int_equal(json_in(text.s, text.len, JSON_WHOLE, &list, NULL), 0);
    assert_int_equal(json_object_array_length(list), routes_n);
    json_object_put(list);
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_method_and_a_path_find_their_row),
        cmocka_unit_test(a_wrong_method_is_told_the_right_ones),
        cmocka_unit_test(each_row_is_complete),
        cmocka_unit_test(the_routes_print_as_one_json_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
