/* Secrets at rest, one-time passwords and recovery codes. */
#include <stdlib.h>
#include <string.h>

#include "store/secret.h"
#include "store/totp.h"
#include "tests/unit/store/bed.h"

static void a_secret_opens_again_and_shows_nothing(void **state)
{
    struct secret a = { 0 }, b = { 0 };
    char *text = NULL;

    (void)state;
    assert_int_equal(secret_seal("open sesame", "alice", &a), 0);
    assert_int_equal(secret_seal("open sesame", "alice", &b), 0);
    assert_string_not_equal(a.payload, b.payload);
    assert_null(strstr(a.payload, "sesame"));
    assert_int_equal(secret_open(&a, &text), 0);
    assert_string_equal(text, "open sesame");
    secret_text_free(&text);
    assert_int_equal(secret_seal("another", "alice", &a), 0); /* over the former one */
    assert_int_equal(secret_open(&a, &text), 0);
    assert_string_equal(text, "another");
    secret_text_free(&text);
    secret_done(&a);
    secret_done(&b);
}

static void flip(char *s)
{
    s[8] = s[8] == 'A' ? 'B' : 'A';
}

static void a_changed_secret_does_not_open(void **state)
{
    (void)state;
    for (int what = 0; what < 6; what++) {
        struct secret s = { 0 };
        char *text = NULL;
        assert_int_equal(secret_seal("open sesame", "alice", &s), 0);
        switch (what) {
        case 0:
            flip(s.payload);
            break;
        case 1:
            flip(s.key);
            break;
        case 2:
            s.additional_data[0] = 'b'; /* moved to another account */
            break;
        case 3:
            s.payload[12] = '\0';
            break;
        case 4:
            s.status[0] = 'S'; /* of another server */
            break;
        default:
            free(s.key);
            s.key = NULL;
        }
        assert_int_equal(secret_open(&s, &text), -EINVAL);
        assert_null(text);
        secret_done(&s);
    }
}

static void what_cannot_be_a_secret_is_refused(void **state)
{
    char text[SECRET_TEXT_MAX + 2];
    struct secret s = { 0 };

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(secret_seal("", "alice", &s), -EINVAL);
    assert_int_equal(secret_seal(text, "alice", &s), -EINVAL);
    assert_null(s.payload);
    text[SECRET_TEXT_MAX] = '\0';
    assert_int_equal(secret_seal(text, "alice", &s), 0);
    secret_done(&s);
}

/* RFC 6238, appendix B, the last six digits; the secrets are the ASCII digits 1…0 in the hash's length. */
static const struct {
    const char *algo, *base32;
    int64_t at_s;
    const char *passcode;
} vectors[] = {
    { "sha1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59, "287082" },
    { "sha1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 1111111109, "081804" },
    { "sha1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 20000000000, "353130" },
    { "sha256", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA", 59, "119246" },
    { "sha512",
      "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA", 59,
      "693936" },
};

static void passcodes_are_those_of_rfc_6238(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        const struct totp_provider p = { .algo = (char *)(uintptr_t)vectors[i].algo };
        int64_t step = 0;
        for (int64_t late = -30; late <= 30; late += 30) { /* one step before and after it counts, too */
            assert_int_equal(totp_check(&p, vectors[i].base32, vectors[i].passcode, vectors[i].at_s + late, &step), 0);
            assert_int_equal(step, vectors[i].at_s / TOTP_STEP_S);
        }
        assert_int_equal(totp_check(&p, vectors[i].base32, vectors[i].passcode, vectors[i].at_s + 60, &step), -EACCES);
    }
}

static void what_is_no_passcode_is_wrong(void **state)
{
    static const char *const rows[] = { "", "28708", "2870822", "28708x", "287081", "      " };
    const struct totp_provider p = { .algo = (char *)(uintptr_t) "sha1" };
    int64_t step = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(totp_check(&p, vectors[0].base32, rows[i], 59, &step), -EACCES);
    assert_int_equal(totp_check(&p, vectors[0].base32, NULL, 59, &step), -EACCES);
    assert_int_equal(totp_check(&p, "", "287082", 59, &step), -EINVAL);
    assert_int_equal(totp_check(&p, "not base32!", "287082", 59, &step), -EINVAL);
    assert_int_equal(step, 7);
}

static void a_new_secret_is_valid_and_new(void **state)
{
    char *a = NULL, *b = NULL;

    (void)state;
    assert_int_equal(totp_secret_new(&a), 0);
    assert_int_equal(totp_secret_new(&b), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 32); /* 160 bits */
    assert_true(totp_secret_is_valid(a));
    assert_false(totp_secret_is_valid(""));
    assert_false(totp_secret_is_valid("1!"));
    secret_text_free(&a);
    secret_text_free(&b);
}

static void recovery_codes_replace_each_other(void **state)
{
    struct objects codes = { 0 };
    struct strings first = { 0 }, second = { 0 };

    (void)state;
    assert_int_equal(recovery_codes_new("alice", &codes, &first), 0);
    assert_int_equal(recovery_codes_new("alice", &codes, &second), 0);
    assert_int_equal(codes.n, RECOVERY_CODES);
    for (size_t i = 0; i < codes.n; i++) {
        char *text = NULL;
        assert_int_equal(secret_open(&((struct recovery_code *)codes.v)[i].secret, &text), 0);
        assert_string_equal(text, second.v[i]);
        assert_false(strings_has(&first, text));
        assert_int_equal(strlen(text), strlen("RC-ABCDE-FGHIJ-KLMNO-PQRST"));
        secret_text_free(&text);
    }
    recovery_codes_done(&codes);
    strings_done(&first);
    strings_done(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_opens_again_and_shows_nothing), cmocka_unit_test(a_changed_secret_does_not_open),
        cmocka_unit_test(what_cannot_be_a_secret_is_refused),     cmocka_unit_test(passcodes_are_those_of_rfc_6238),
        cmocka_unit_test(what_is_no_passcode_is_wrong),           cmocka_unit_test(a_new_secret_is_valid_and_new),
        cmocka_unit_test(recovery_codes_replace_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
