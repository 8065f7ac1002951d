/* Every form of hash, with vectors from elsewhere: `openssl passwd`, python's crypt and hashlib, RFC 6070, RFC 7914,
 * libargon2's and crypt_blowfish's own tests, and SFTPGo's dump (contract/rest.md §5.5). */
#include "base/log.h"
#include "store/password.h"
#include "tests/unit/store/bed.h"

#define OLD "old-Passw0rd-\xc3\xa9"

static const struct {
    const char *hash, *password;
} vectors[] = {
    /* openssl passwd */
    { "$apr1$abcdefgh$oRCaI34wzV87Om4BCRTJv1", OLD },
    { "$apr1$x$tMwYqBfQwi3FYAr0aJc8M/", "" },
    { "$apr1$abcdefgh$iBfd1j2tjoHhq1/KevlEu.", "a longer password than sixteen bytes, and more of it" },
    { "$1$abcdefgh$wy004riMEGoRC6d9/r/IS1", OLD },
    { "$5$abcdefgh$Y7YttXO97Hlsd0tHPIxVtIMaeNsSvVQReu6w2gV9Zl2", OLD },
    { "$6$abcdefgh$rUK8SauxQs8k7OXNKfMaMoibWFJQmKz6S7ttvA3MmoBSaLhHvc4R3.0IIpkXXopWS1WzBq5LiQYc1eu7g/aYh/", OLD },
    /* crypt(3) */
    { "$2a$04$abcdefghijklmnopqrstuuKLPPi5BYWLEvD7/H/geNCgtPV5t5ml6", OLD },
    { "$2b$04$abcdefghijklmnopqrstuuKLPPi5BYWLEvD7/H/geNCgtPV5t5ml6", OLD },
    { "$2y$04$abcdefghijklmnopqrstuuKLPPi5BYWLEvD7/H/geNCgtPV5t5ml6", OLD },
    { "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U" },
    { "$y$j75$abcdefgh01234567$1kPxDsQumHqbXC7zS8UC9SR2F9t8YrUATgBm4PKinFA", OLD },
    { "$6$rounds=1000$saltsalt$I5.9ZvKthKbFRdIb0JwdzfYmLlrba0jeWYec0c3hyHHPCIWrKk3E4Ca.ftqAAjVM8g8l0tjNOfdEncfhH.Pk1.",
      OLD },
    { "{CRYPT}abc3Xhe2r0bUg", OLD },
    { "{CRYPT}$1$saltsalt$YD7lTBICNRDpy6O1N..c5.", OLD },
    { "{crypt}$2y$04$abcdefghijklmnopqrstuuKLPPi5BYWLEvD7/H/geNCgtPV5t5ml6", OLD },
    /* hashlib */
    { "{SHA}3qoqQ8Swiso7vjArW5g/PcomqfQ=", OLD },
    { "{sha}deaa2a43c4b08aca3bbe302b5b983f3dca26a9f4", OLD },
    { "{MD5}lmYyCaScbuzh1CAvFYWCfA==", OLD },
    { "{MD5}96663209A49C6eece1d4202f1585827c", OLD },
    { "{SHA256}2raUozeitQK5bwEhHdQ5HmKMY9Ql0KOM5JqFB9IaZ7M=", OLD },
    { "{SHA256}dab694a337a2b502b96f01211dd4391e628c63d425d0a38ce49a8507d21a67b3", OLD },
    { "{SHA512}iUt0NdB4SuXN6pk3AXEPbNsmnwvveH297v3737lJr8/RXfRUUPbunfRMMZlx9Vg+mUwlG64xKy9dvIdPMyCC+Q==", OLD },
    { "{SHA512}894b7435d0784ae5cdea993701710f6cdb269f0bef787dbdeefdfbdfb949afcfd15df45450f6ee9df44c319971f5583e994c251b"
      "ae312b2f5dbc874f332082f9",
      OLD },
    { "{SSHA}m/w1SqYrodlSzVPMBs2fUfjCRx8Ac2FsdP8=", OLD },
    { "{SSHA256}mlAoOsWyABhgPkiJUbOtSk4zlfKTik4l1NFI8Bgspq8Ac2FsdP8=", OLD },
    { "{SSHA512}+bZ8MVFsDZzB/hwElxaoctF67SrHaOJNePgCDeWrPdLvolE2vjFg8hNMK1ZWhNMRRe79oxnSmuz2ywEsrcTI9wBzYWx0/w==",
      OLD },
    { "$pbkdf2-b64salt-sha256$1000$AAFzYWx0/w==$gS32w+KRU1TEiMChC0Xlflkkz1XwRrleGVQUeztCo9c=", OLD },
    { "$pbkdf2-sha512$1000$s$MWjc/d8ecOAITdjoP18a8JAGPby66aslNKAeYx0Yy+/5CZvA1xp4QPgOW/xfrVhMaIf3VBrJnS//YGv/ecr50Q==",
      OLD },
    /* RFC 6070, RFC 7914 */
    { "$pbkdf2-sha1$4096$salt$SwB5AbdlSJq+rUnZJvch0GWkKcE=", "password" },
    { "$pbkdf2-sha256$1$salt$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLxJypzM8Xm2RZkWZLOdd+8xfHG4RbHjC9UJESBB06GXgw==",
      "passwd" },
    /* libargon2 */
    { "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password" },
    { "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password" },
    /* SFTPGo 2.2.0 */
    { "$2a$10$Elwv0YdA8TRpci7//8E9Ue4.zfbm4uU1agrm9yPbxbZ1riBj6ek0i", OLD },
    { "$pbkdf2-sha1$50000$E86a9YMX3zC7$vZ26NckA2KWrnIlyn6Cc8211rFU=", OLD },
    { "$pbkdf2-sha256$50000$E86a9YMX3zC7$KLId5n+9xxsQ9LEU+8Fa7BrukUTuMr+zF5QcARKw7VI=", OLD },
    { "$pbkdf2-sha512$50000$E86a9YMX3zC7$GD4U5PBF7Ezth/ak5zRVYZKnvNqj8gnSHHwIjs0q0hmypeCGNv2EHm9jvi1RYWTq8rPsej2"
      "KJXFQQeYuKK/CDQ==",
      OLD },
    { "$pbkdf2-b64salt-sha256$50000$RTg2YTlZTVgzekM3$KLId5n+9xxsQ9LEU+8Fa7BrukUTuMr+zF5QcARKw7VI=", OLD },
    { "$1$b5caebda$ZnvBzwGBMinoeP2Or182x1", OLD },
    { "$apr1$OBWLeSme$fqc5wnmKYvA85uRAUZsnm1", OLD },
    { "$6$459ead56b72e44bc$8DmLa42K5rVTtACeOqWkQ5QtOlZlDEdNjYXk56gCqJP4kyIVm8suyBTz5AHwee3DipD4RS702XtmVVWJJ5AGR.",
      OLD },
    { "$argon2id$v=19$m=65536,t=1,p=2$Xt3NRcziTWPjUECUsm/oJw$EIYzOZj6irL59iHfLn0M80U871DL5MGC+S4DxtFgmT4", OLD },
};

static void every_form_verifies_its_password_and_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        char other[128];
        snprintf(other, sizeof(other), "x%s", vectors[i].password);
        row_equal(vectors[i].hash, password_is_hash(vectors[i].hash), true);
        row_equal(vectors[i].hash, password_check_hash(vectors[i].hash), 0);
        row_equal(vectors[i].hash, password_verify(vectors[i].hash, vectors[i].password), 0);
        row_equal(vectors[i].hash, password_verify(vectors[i].hash, other), -EACCES);
    }
}

static void a_damaged_hash_never_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        size_t len = strlen(vectors[i].hash);
        char hash[256];
        memcpy(hash, vectors[i].hash, len + 1);
        hash[len - 1] = 0; /* cut */
        row_equal(vectors[i].hash, password_check_hash(hash), -EINVAL);
        memcpy(hash + len - 1, "\x01", 2); /* a byte that no form has */
        row_equal(vectors[i].hash, password_check_hash(hash), -EINVAL);
        snprintf(hash, sizeof(hash), "%s$", vectors[i].hash); /* longer */
        row_equal(vectors[i].hash, password_check_hash(hash), -EINVAL);
    }
}

static void plain_texts_are_no_hashes(void **state)
{
    static const char *const texts[] = { "",        "secret", "$",     "$2",   "$2$05$x", "$2x$05$x", "$argon2i$v=19$",
                                         "{NOPE}x", "{SHA",   "SHA}x", "$3$x", "$Y$j9T$", " $1$x$y" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        row_equal(texts[i], password_is_hash(texts[i]), false);
        row_equal(texts[i], password_check_hash(texts[i]), -EINVAL);
        row_equal(texts[i], password_verify(texts[i], texts[i]), -EINVAL);
    }
}

#define D43 "1kPxDsQumHqbXC7zS8UC9SR2F9t8YrUATgBm4PKinFA"
#define D86 "rUK8SauxQs8k7OXNKfMaMoibWFJQmKz6S7ttvA3MmoBSaLhHvc4R3.0IIpkXXopWS1WzBq5LiQYc1eu7g/aYh/"
#define B53 "abcdefghijklmnopqrstuuKLPPi5BYWLEvD7/H/geNCgtPV5t5ml6"
#define A43 "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
#define P20 "SwB5AbdlSJq+rUnZJvch0GWkKcE="

static const struct {
    const char *hash;
    int r;
} costs[] = {
    { "$2a$14$" B53, 0 },
    { "$2a$15$" B53, -E2BIG },
    { "$2a$31$" B53, -E2BIG },
    { "$2a$32$" B53, -EINVAL },
    { "$2a$03$" B53, -EINVAL },
    { "$2a$1x$" B53, -EINVAL },
    { "{CRYPT}$2a$31$" B53, -E2BIG },
    { "$5$rounds=1000000$s$" D43, 0 },
    { "$5$rounds=1000001$s$" D43, -E2BIG },
    { "$6$rounds=999999999$s$" D86, -E2BIG },
    { "$6$rounds=1000000000$s$" D86, -EINVAL },
    { "$6$rounds=$s$" D86, -EINVAL },
    { "$6$rounds=5000", -EINVAL },
    { "$6$rounds=99999999999999999999$s$" D86, -EINVAL },
    { "$6$seventeen.letters$" D86, -EINVAL },
    { "$y$j9T$salt$" D43, 0 },
    { "$y$jDT$salt$" D43, 0 },      /* 256 MiB */
    { "$y$jET$salt$" D43, -E2BIG }, /* 512 MiB */
    { "$y$jzz$salt$" D43, -E2BIG },
    { "$y$j9T0$salt$" D43, -E2BIG }, /* more parameters */
    { "$y$/9T$salt$" D43, -EINVAL }, /* another flavour */
    { "$y$j", -EINVAL },
    { "$argon2id$v=19$m=262144,t=4,p=8$c29tZXNhbHQ$" A43, 0 },
    { "$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ$" A43, -E2BIG },
    { "$argon2id$v=19$m=262144,t=5,p=1$c29tZXNhbHQ$" A43, -E2BIG },
    { "$argon2id$v=19$m=1024,t=11,p=1$c29tZXNhbHQ$" A43, -E2BIG },
    { "$argon2id$v=19$m=1024,t=1,p=9$c29tZXNhbHQ$" A43, -E2BIG },
    { "$argon2id$v=19$m=4294967296,t=1,p=1$c29tZXNhbHQ$" A43, -EINVAL },
    { "$argon2id$v=19$m=8,t=1,p=2$c29tZXNhbHQ$" A43, -EINVAL },
    { "$argon2id$v=19$m=0,t=1,p=1$c29tZXNhbHQ$" A43, -EINVAL },
    { "$argon2id$v=16$m=1024,t=1,p=1$c29tZXNhbHQ$" A43, -EINVAL },
    { "$argon2id$v=19$m=1024,t=1,p=1$c2FsdA$" A43, -EINVAL }, /* a salt of 4 bytes */
    { "$argon2id$v=19$m=-1,t=1,p=1$c29tZXNhbHQ$" A43, -EINVAL },
    { "$argon2id$v=19$t=1,m=1024,p=1$c29tZXNhbHQ$" A43, -EINVAL },
    { "$pbkdf2-sha1$2000000$salt$" P20, 0 },
    { "$pbkdf2-sha1$2000001$salt$" P20, -E2BIG },
    { "$pbkdf2-sha1$0$salt$" P20, -EINVAL },
    { "$pbkdf2-sha1$-5$salt$" P20, -EINVAL },
    { "$pbkdf2-sha1$99999999999$salt$" P20, -EINVAL },
    { "$pbkdf2-sha1$1000$$" P20, -EINVAL },
    { "$pbkdf2-sha1$1000$salt$c2hvcnQ=", -EINVAL },
    { "$pbkdf2-b64salt-sha256$1000$not base64$" P20, -EINVAL },
    { "$apr1$$oRCaI34wzV87Om4BCRTJv1", -EINVAL },
    { "$apr1$ninechars$oRCaI34wzV87Om4BCRTJv1", -EINVAL },
    { "{SHA}3qoqQ8Swiso7vjArW5g/PcomqfQ", -EINVAL },          /* no padding */
    { "{SHA}m/w1SqYrodlSzVPMBs2fUfjCRx8Ac2FsdP8=", -EINVAL }, /* salted, and not said so */
    { "{SSHA}3qoqQ8Swiso7vjArW5g/PcomqfQ=", -EINVAL },        /* no salt */
    { "{MD5}", -EINVAL },
    { "{CRYPT}plain", -EINVAL },
    { "{CRYPT}$3$x", -EINVAL },
    { "{CRYPT}{CRYPT}abc3Xhe2r0bUg", -EINVAL },
};

static void costs_and_forms_are_checked_before_any_work(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(costs); i++) {
        row_equal(costs[i].hash, password_check_hash(costs[i].hash), costs[i].r);
        if (costs[i].r < 0)
            row_equal(costs[i].hash, password_verify(costs[i].hash, "x"), costs[i].r);
    }
}

static void drop_line(const char *line, size_t len)
{
    (void)line;
    (void)len;
}

static const struct password_hashing ways[] = {
    { .bcrypt_options = { 4 }, .algo = (char *)"bcrypt" },
    { .argon2_options = { 64, 1, 2 }, .algo = (char *)"argon2id" },
};

static void new_hashes_verify_and_have_the_configured_cost(void **state)
{
    static const char *const prefixes[] = { "$2a$04$", "$argon2id$v=19$m=64,t=1,p=2$" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        char *a, *b;
        assert_int_equal(password_hash(&ways[i], OLD, &a), 0);
        assert_int_equal(password_hash(&ways[i], OLD, &b), 0);
        assert_memory_equal(a, prefixes[i], strlen(prefixes[i]));
        assert_string_not_equal(a, b); /* a salt each */
        assert_int_equal(password_verify(a, OLD), 0);
        assert_int_equal(password_verify(a, "old-Passw0rd-e"), -EACCES);
        free(a);
        free(b);
    }
}

static void long_passwords_have_a_limit(void **state)
{
    char text[PASSWORD_MAX + 2], *hash = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        memset(text, 'a', sizeof(text));
        text[PASSWORD_MAX + 1] = 0;
        assert_int_equal(password_hash(&ways[i], text, &hash), -EINVAL);
        assert_null(hash);
        text[PASSWORD_MAX] = 0;
        assert_int_equal(password_hash(&ways[i], text, &hash), 0);
        assert_int_equal(password_verify(hash, text), 0);
        text[PASSWORD_MAX] = 'a';
        assert_int_equal(password_verify(hash, text), -EACCES);
        free(TAKE_PTR(hash));
    }
}

static void a_configured_cost_that_nobody_verifies_makes_no_hash(void **state)
{
    static const struct password_hashing rows[] = {
        { .bcrypt_options = { 15 }, .algo = (char *)"bcrypt" },
        { .bcrypt_options = { 3 }, .algo = (char *)"bcrypt" },
        { .argon2_options = { 300000, 1, 1 }, .algo = (char *)"argon2id" },
        { .argon2_options = { 64, 11, 1 }, .algo = (char *)"argon2id" },
        { .argon2_options = { 64, 1, 9 }, .algo = (char *)"argon2id" },
        { .argon2_options = { 8, 1, 2 }, .algo = (char *)"argon2id" },
    };
    char *hash = NULL;

    (void)state;
    log_sink(drop_line);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        row_equal(rows[i].algo, password_hash(&rows[i], OLD, &hash), -ERANGE);
    log_sink(NULL);
    assert_null(hash);
}

static void a_dummy_is_a_valid_hash_that_nothing_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        assert_int_equal(password_check_hash(password_dummy(&ways[i])), 0);
        assert_int_equal(password_verify(password_dummy(&ways[i]), OLD), -EACCES);
    }
}

static void settling_hashes_plain_texts_only(void **state)
{
    char *s = strdup("plain"), *empty = strdup(""), *none = NULL;

    (void)state;
    assert_int_equal(password_settle(&ways[0], &s), 0);
    assert_int_equal(password_verify(s, "plain"), 0);
    char *once = strdup(s);
    assert_int_equal(password_settle(&ways[0], &s), 0);
    assert_string_equal(s, once);
    assert_int_equal(password_settle(&ways[0], &empty), 0);
    assert_string_equal(empty, "");
    assert_int_equal(password_settle(&ways[0], &none), 0);
    assert_null(none);
    free(s);
    free(once);
    free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_verifies_its_password_and_no_other),
        cmocka_unit_test(a_damaged_hash_never_verifies),
        cmocka_unit_test(plain_texts_are_no_hashes),
        cmocka_unit_test(costs_and_forms_are_checked_before_any_work),
        cmocka_unit_test(new_hashes_verify_and_have_the_configured_cost),
        cmocka_unit_test(long_passwords_have_a_limit),
        cmocka_unit_test(a_configured_cost_that_nobody_verifies_makes_no_hash),
        cmocka_unit_test(a_dummy_is_a_valid_hash_that_nothing_matches),
        cmocka_unit_test(settling_hashes_plain_texts_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
