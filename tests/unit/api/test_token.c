/* Tokens: what notes/http-db.md §B measured libjwt to let through is refused by us. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "api/token.h"
#include "tests/unit/api/row.h"

#define HS256  "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "\"aud\":[\"API\"],\"jti\":\"j\",\"sub\":\"s\",\"username\":\"u\",\"permissions\":[\"*\"]"
#define TIMES  "\"exp\":2000,\"nbf\":900,"

enum { NOW_S = 1000 };

static struct token_key key;

static void base64url(struct strbuf *to, const uint8_t *bytes, size_t len)
{
    char *text = malloc(len * 4 / 3 + 8);

    assert_non_null(text);
    EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
    for (char *c = text; *c != '\0' && *c != '='; c++)
        strbuf_addc(to, (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c));
    free(text);
}

/* A token with any head and claims, signed as told. Owned. */
static char *token_made(const char *head, const char *claims, const EVP_MD *md, const struct token_key *with)
{
    struct strbuf out = STRBUF(65536);
    uint8_t mac[64];
    unsigned mac_len = 0;
    char *token = NULL;

    base64url(&out, (const uint8_t *)head, strlen(head));
    strbuf_addc(&out, '.');
    base64url(&out, (const uint8_t *)claims, strlen(claims));
    if (md != NULL)
        HMAC(md, with->key, TOKEN_KEY_LEN, (const uint8_t *)out.s, out.len, mac, &mac_len);
    strbuf_addc(&out, '.');
    base64url(&out, mac, mac_len);
    assert_int_equal(strbuf_take(&out, &token), 0);
    return token;
}

static enum token_result check(const char *token)
{
    struct token_claims c = { 0 };

    enum token_result t = token_check(&key, token, "API", NOW_S, &c);
    if (t != TOKEN_OK)
        assert_null(c.username); /* untouched */
    token_claims_done(&c);
    return t;
}

static void claims_are_looked_at_one_by_one(void **state)
{
    static const struct {
        const char *name, *head, *claims;
        enum token_result result;
    } rows[] = {
        { "as SFTPGo makes it", HS256, "{" TIMES CLAIMS "}", TOKEN_OK },
        { "the audience is a text", HS256, "{" TIMES "\"aud\":\"API\",\"jti\":\"j\",\"sub\":\"s\",\"username\":\"u\"}",
          TOKEN_OK },
        { "two audiences", HS256, "{" TIMES "\"aud\":[\"x\",\"API\"],\"jti\":\"j\",\"sub\":\"s\",\"username\":\"u\"}",
          TOKEN_OK },
        { "no exp", HS256, "{\"nbf\":900," CLAIMS "}", TOKEN_BAD },
        { "exp is a text", HS256, "{\"exp\":\"2000\",\"nbf\":900," CLAIMS "}", TOKEN_BAD },
        { "exp is a fraction", HS256, "{\"exp\":2000.5,\"nbf\":900," CLAIMS "}", TOKEN_BAD },
        { "exp is null", HS256, "{\"exp\":null,\"nbf\":900," CLAIMS "}", TOKEN_BAD },
        { "expired now", HS256, "{\"exp\":1000,\"nbf\":900," CLAIMS "}", TOKEN_EXPIRED },
        { "expired long ago", HS256, "{\"exp\":1,\"nbf\":0," CLAIMS "}", TOKEN_EXPIRED },
        { "negative exp", HS256, "{\"exp\":-1,\"nbf\":900," CLAIMS "}", TOKEN_EXPIRED },
        { "the last second", HS256, "{\"exp\":1001,\"nbf\":1000," CLAIMS "}", TOKEN_OK },
        { "no nbf", HS256, "{\"exp\":2000," CLAIMS "}", TOKEN_BAD },
        { "nbf in the future", HS256, "{\"exp\":2000,\"nbf\":1001," CLAIMS "}", TOKEN_EARLY },
        { "no audience", HS256, "{" TIMES "\"jti\":\"j\",\"sub\":\"s\",\"username\":\"u\"}", TOKEN_AUDIENCE },
        { "a user's audience", HS256, "{" TIMES "\"aud\":[\"APIUser\"],\"jti\":\"j\",\"sub\":\"s\",\"username\":\"u\"}",
          TOKEN_AUDIENCE },
        { "the audience is a number", HS256, "{" TIMES "\"aud\":[5],\"jti\":\"j\",\"sub\":\"s\",\"username\":\"u\"}",
          TOKEN_AUDIENCE },
        { "no username", HS256, "{" TIMES "\"aud\":[\"API\"],\"jti\":\"j\",\"sub\":\"s\"}", TOKEN_CLAIMS },
        { "an empty username", HS256, "{" TIMES "\"aud\":[\"API\"],\"jti\":\"j\",\"sub\":\"s\",\"username\":\"\"}",
          TOKEN_CLAIMS },
        { "a username that is a number", HS256,
          "{" TIMES "\"aud\":[\"API\"],\"jti\":\"j\",\"sub\":\"s\",\"username\":5}", TOKEN_CLAIMS },
        { "permissions that are no texts", HS256,
          "{" TIMES "\"aud\":[\"API\"],\"jti\":\"j\",\"sub\":\"s\",\"username\":\"u\",\"permissions\":[1]}",
          TOKEN_CLAIMS },
        { "no sub", HS256, "{" TIMES "\"aud\":[\"API\"],\"jti\":\"j\",\"username\":\"u\"}", TOKEN_BAD },
        { "no jti", HS256, "{" TIMES "\"aud\":[\"API\"],\"sub\":\"s\",\"username\":\"u\"}", TOKEN_BAD },
        { "claims are a list", HS256, "[1]", TOKEN_BAD },
        { "claims are no JSON", HS256, "{", TOKEN_BAD },
        { "the head is no JSON", "{", "{" TIMES CLAIMS "}", TOKEN_BAD },
        { "alg none, signed", "{\"alg\":\"none\",\"typ\":\"JWT\"}", "{" TIMES CLAIMS "}", TOKEN_BAD },
        { "alg RS256, signed with the secret", "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", "{" TIMES CLAIMS "}", TOKEN_BAD },
        { "no alg", "{\"typ\":\"JWT\"}", "{" TIMES CLAIMS "}", TOKEN_BAD },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *token = token_made(rows[i].head, rows[i].claims, EVP_sha256(), &key);
        row_equal(rows[i].name, check(token), rows[i].result);
        free(token);
    }
}

static void other_algorithms_and_keys_are_refused(void **state)
{
    struct token_key other = key, none = { { 0 } };
    other.key[0] ^= 1;
    const struct {
        const char *name, *head;
        const EVP_MD *md;
        const struct token_key *with;
    } rows[] = {
        { "HS512 with our key", "{\"alg\":\"HS512\",\"typ\":\"JWT\"}", EVP_sha512(), &key },
        { "HS384 with our key", "{\"alg\":\"HS384\",\"typ\":\"JWT\"}", EVP_sha384(), &key },
        { "another key", HS256, EVP_sha256(), &other },
        { "a key of zeros", HS256, EVP_sha256(), &none },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *token = token_made(rows[i].head, "{" TIMES CLAIMS "}", rows[i].md, rows[i].with);
        row_equal(rows[i].name, check(token), TOKEN_BAD);
        free(token);
    }
    char *bare = token_made("{\"alg\":\"none\",\"typ\":\"JWT\"}", "{" TIMES CLAIMS "}", NULL, NULL);
    row_equal("alg none without a signature", check(bare), TOKEN_BAD);
    free(bare);
}

/* Each bit of the signature counts, but for those of the last character that base64 does not carry. */
static void each_character_of_a_token_counts(void **state)
{
    char *token = token_made(HS256, "{" TIMES CLAIMS "}", EVP_sha256(), &key);

    (void)state;
    assert_int_equal(check(token), TOKEN_OK);
    for (size_t i = 0; token[i + 1] != '\0'; i++) {
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        if (was != '.')
            assert_int_not_equal(check(token), TOKEN_OK);
        token[i] = was;
    }
    token[strlen(token) - 1] = '\0';
    assert_int_equal(check(token), TOKEN_BAD);
    free(token);
}

static void what_has_not_the_form_of_a_token_is_refused(void **state)
{
    static const char *const rows[] = { "", ".", "..", "...", "a", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c" };
    char *long_one = malloc(TOKEN_MAX + 2);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        row_equal(rows[i], check(rows[i]), TOKEN_BAD);
    assert_non_null(long_one);
    memset(long_one, 'a', TOKEN_MAX + 1);
    long_one[1] = long_one[3] = '.';
    long_one[TOKEN_MAX + 1] = '\0';
    assert_int_equal(check(long_one), TOKEN_BAD);
    free(long_one);
}

static void what_is_issued_is_what_is_read(void **state)
{
    char *names[] = { (char *)"view_users", (char *)"quota_scans" };
    const struct token_claims c = {
        .username = (char *)"\xc3\xa4 \"<x>",
        .sub = (char *)"sub",
        .allow_list = (char *)"list",
        .jti = (char *)"jti",
        .permissions = { names, 2 },
    };
    struct token_claims got = { 0 };
    char *token = NULL;

    (void)state;
    assert_int_equal(token_issue(&key, &c, "API", NOW_S, &token), 0);
    assert_int_equal(token_check(&key, token, "API", NOW_S, &got), TOKEN_OK);
    assert_string_equal(got.username, c.username);
    assert_string_equal(got.sub, "sub");
    assert_string_equal(got.allow_list, "list");
    assert_string_equal(got.jti, "jti");
    assert_int_equal(got.exp_s, NOW_S + TOKEN_LIFE_S);
    assert_int_equal(got.permissions.n, 2);
    assert_string_equal(got.permissions.v[1], "quota_scans");
    token_claims_done(&got);
    assert_int_equal(token_check(&key, token, "APIUser", NOW_S, &got), TOKEN_AUDIENCE);
    assert_int_equal(token_check(&key, token, "API", NOW_S + TOKEN_LIFE_S, &got), TOKEN_EXPIRED);
    assert_int_equal(token_check(&key, token, "API", NOW_S - TOKEN_NBF_S - 1, &got), TOKEN_EARLY);
    free(token);
}

static void a_passphrase_gives_its_digest_and_none_gives_another_key_each_time(void **state)
{
    static const uint8_t digest_of_abc[4] = { 0xba, 0x78, 0x16, 0xbf };
    struct token_key one, two;

    (void)state;
    assert_int_equal(token_key_make("abc", &one), 0);
    assert_memory_equal(one.key, digest_of_abc, 4);
    assert_int_equal(token_key_make("", &one), 0);
    assert_int_equal(token_key_make(NULL, &two), 0);
    assert_memory_not_equal(one.key, two.key, TOKEN_KEY_LEN);
}

static void what_is_logged_out_stays_so_until_it_expires(void **state)
{
    struct logouts *l = NULL;
    char jti[32];

    (void)state;
    assert_int_equal(logouts_new(&l), 0);
    for (int i = 0; i < LOGOUTS_MAX; i++) {
        snprintf(jti, sizeof(jti), "token-%d", i);
        assert_false(logouts_has(l, jti));
        assert_int_equal(logouts_add(l, jti, i % 2 == 0 ? 2000 : 1500, NOW_S), 0);
        assert_true(logouts_has(l, jti));
    }
    assert_int_equal(logouts_add(l, "one too many", 2000, NOW_S), -EAGAIN); /* none is forgotten for it */
    assert_int_equal(logouts_add(l, "later", 2600, 1600), 0);               /* half of them has expired */
    assert_true(logouts_has(l, "later"));
    for (int i = 0; i < LOGOUTS_MAX; i++) {
        snprintf(jti, sizeof(jti), "token-%d", i);
        row_equal(jti, logouts_has(l, jti), i % 2 == 0);
    }
    logouts_free(l);
    logouts_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_looked_at_one_by_one),
        cmocka_unit_test(other_algorithms_and_keys_are_refused),
        cmocka_unit_test(each_character_of_a_token_counts),
        cmocka_unit_test(what_has_not_the_form_of_a_token_is_refused),
        cmocka_unit_test(what_is_issued_is_what_is_read),
        cmocka_unit_test(a_passphrase_gives_its_digest_and_none_gives_another_key_each_time),
        cmocka_unit_test(what_is_logged_out_stays_so_until_it_expires),
    };
    if (token_key_make("a passphrase", &key) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
