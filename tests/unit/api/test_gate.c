/* The gate: sessions of an address, from the connection table. */
#include "api/gate.h"
#include "base/str.h"
#include "tests/unit/api/row.h"

static void sessions_are_counted_by_address_without_their_port(void **state)
{
    static const char *const remotes[] = { "10.0.0.1:1", "10.0.0.1:2", "10.0.0.10:1", "[fe80::1]:5", "10.0.0.2" };
    static const struct {
        const char *address;
        unsigned n;
    } rows[] = {
        { "10.0.0.1", 2 }, { "10.0.0.10", 1 }, { "fe80::1", 1 }, { "10.0.0.2", 1 }, { "10.0.0.3", 0 }, { "10", 0 },
    };
    struct connections table;
    struct gate *g = NULL;

    (void)state;
    assert_int_equal(connections_create(&table), 0);
    for (size_t i = 0; i < ARRAY_SIZE(remotes); i++) {
        struct connection_facts facts = { .id = "SFTP_1_1", .protocol = "SFTP" };
        assert_true(str_set(facts.remote_address, sizeof(facts.remote_address), remotes[i]));
        connection_publish(connection_claim(&table), &facts);
    }
    assert_non_null(connection_claim(&table)); /* claimed only: not yet a session */
    assert_int_equal(gate_new(&table, &g), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        row_equal(rows[i].address, gate_sessions(g, rows[i].address), rows[i].n);
    assert_int_equal(gate_sessions(g, NULL), ARRAY_SIZE(remotes));
    gate_free(g);
    gate_free(NULL);
    connections_detach(&table);
}

static void no_table_is_no_session(void **state)
{
    struct connections none = { .fd = -1 };
    struct gate *g = NULL;

    (void)state;
    assert_int_equal(gate_new(&none, &g), 0);
    assert_int_equal(gate_sessions(g, NULL), 0);
    gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_are_counted_by_address_without_their_port),
        cmocka_unit_test(no_table_is_no_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
