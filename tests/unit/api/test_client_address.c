/* Whom a request is from, behind proxies (contract/rest.md §3.4, §11 line 17). */
#include <stdlib.h>

#include "api/client_address.h"
#include "tests/unit/api/row.h"

struct bed {
    struct strings allowed;
    struct proxies p;
};

static int setup(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    assert_int_equal(strings_add(&b->allowed, "127.0.0.1"), 0);
    assert_int_equal(strings_add(&b->allowed, "10.0.0.0/8"), 0);
    assert_int_equal(strings_add(&b->allowed, "2001:db8::/32"), 0);
    assert_int_equal(proxies_make(&b->allowed, "", &b->p), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;

    proxies_done(&b->p);
    strings_done(&b->allowed);
    free(b);
    return 0;
}

static const struct {
    const char *name, *peer, *chain, *second, *true_client, *real, *result; /* result NULL: the peer */
} rows[] = {
    { "a peer that is no proxy is not believed", "192.0.2.1", "1.2.3.4", NULL, "1.2.3.4", "1.2.3.4", NULL },
    { "nothing is said", "127.0.0.1", NULL, NULL, NULL, NULL, NULL },
    { "one entry", "127.0.0.1", "1.2.3.4", NULL, NULL, NULL, "1.2.3.4" },
    { "what the client put before it does not count", "127.0.0.1", "6.6.6.6, 1.2.3.4", NULL, NULL, NULL, "1.2.3.4" },
    { "trusted proxies are skipped", "10.1.1.1", "6.6.6.6, 1.2.3.4, 10.0.0.9, 2001:db8::1", NULL, NULL, NULL,
      "1.2.3.4" },
    { "several lines are one list", "127.0.0.1", "6.6.6.6", "1.2.3.4, 10.0.0.1", NULL, NULL, "1.2.3.4" },
    { "only proxies: the farthest", "127.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.1", NULL, NULL, "10.0.0.3" },
    { "with ports, brackets and blanks", "127.0.0.1", " 1.2.3.4:99 ,\t[2001:db8::1]:80", NULL, NULL, NULL, "1.2.3.4" },
    { "IPv6 of a client", "127.0.0.1", "2001:dba::7", NULL, NULL, NULL, "2001:dba::7" },
    { "IPv4 in IPv6", "::ffff:127.0.0.1", "::ffff:1.2.3.4", NULL, NULL, NULL, "1.2.3.4" },
    { "no address", "127.0.0.1", "unknown", NULL, NULL, NULL, NULL },
    { "behind no address there is hearsay", "127.0.0.1", "1.2.3.4, _hidden, 10.0.0.1", NULL, NULL, NULL, "10.0.0.1" },
    { "an empty entry ends it", "127.0.0.1", "1.2.3.4,", NULL, NULL, NULL, NULL },
    { "the chain goes before the others", "127.0.0.1", "1.2.3.4", NULL, "6.6.6.6", "6.6.6.6", "1.2.3.4" },
    { "without a chain, True-Client-IP", "127.0.0.1", NULL, NULL, "1.1.1.1", "2.2.2.2", "1.1.1.1" },
    { "and then X-Real-IP", "127.0.0.1", NULL, NULL, NULL, "2.2.2.2", "2.2.2.2" },
    { "the first that is there counts, even if it is no address", "127.0.0.1", NULL, NULL, "x", "2.2.2.2", NULL },
};

static void the_client_is_the_nearest_that_is_no_proxy(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct forwarded f = { .chain = { rows[i].chain, rows[i].second },
                               .n = (rows[i].chain ? 1U : 0) + (rows[i].second ? 1U : 0),
                               .true_client_ip = rows[i].true_client,
                               .x_real_ip = rows[i].real };
        char text[ADDRESS_TEXT_MAX] = "";
        row_equal(rows[i].name, client_address(&b->p, rows[i].peer, &f, text), rows[i].result != NULL);
        row_same(rows[i].name, text, rows[i].result != NULL ? rows[i].result : "");
    }
}

static void a_named_header_is_the_only_one_that_counts(void **state)
{
    struct bed *b = *state;
    struct forwarded f = { .chain = { "6.6.6.6" }, .n = 1, .x_real_ip = "6.6.6.6", .chosen = "1.2.3.4" };
    char text[ADDRESS_TEXT_MAX];

    b->p.header = "X-Client";
    assert_true(client_address(&b->p, "127.0.0.1", &f, text));
    assert_string_equal(text, "1.2.3.4");
    f.chosen = NULL;
    assert_false(client_address(&b->p, "127.0.0.1", &f, text));
    b->p.header = "x-forwarded-for";
    assert_true(client_address(&b->p, "127.0.0.1", &f, text));
    assert_string_equal(text, "6.6.6.6");
    f.n = 0;
    assert_false(client_address(&b->p, "127.0.0.1", &f, text)); /* X-Real-IP was not named */
}

static void more_lines_than_we_keep_are_not_believed(void **state)
{
    struct bed *b = *state;
    struct forwarded f = { .n = FORWARDED_MAX };
    char text[ADDRESS_TEXT_MAX];

    for (size_t i = 0; i < FORWARDED_MAX; i++)
        f.chain[i] = "1.2.3.4";
    assert_true(client_address(&b->p, "127.0.0.1", &f, text));
    f.n++;
    assert_false(client_address(&b->p, "127.0.0.1", &f, text));
}

static void an_address_comes_off_its_port(void **state)
{
    static const struct {
        const char *text, *bare; /* NULL: none */
    } texts[] = {
        { "1.2.3.4", "1.2.3.4" },
        { "1.2.3.4:5", "1.2.3.4" },
        { "[::1]:5", "::1" },
        { "[::1]", "::1" },
        { "::1", "::1" },
        { "::ffff:1.2.3.4", "1.2.3.4" },
        { "[::ffff:1.2.3.4]:5", "1.2.3.4" },
        { "unix", NULL },
        { "", NULL },
        { "[::1", NULL },
        { ":5", NULL },
        { "1.2.3.4.5", NULL },
        { "::1:2:3:4:5:6:7:8:9", NULL },
        { "localhost:80", NULL },
    };
    char bare[ADDRESS_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        bool is = address_without_port(texts[i].text, bare);
        row_equal(texts[i].text, is, texts[i].bare != NULL);
        if (is)
            row_same(texts[i].text, bare, texts[i].bare);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_client_is_the_nearest_that_is_no_proxy, setup, teardown),
        cmocka_unit_test_setup_teardown(a_named_header_is_the_only_one_that_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(more_lines_than_we_keep_are_not_believed, setup, teardown),
        cmocka_unit_test(an_address_comes_off_its_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
