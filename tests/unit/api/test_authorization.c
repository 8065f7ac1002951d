/* The Authorization header: every form that is taken, and what is not. */
#include <stdlib.h>

#include "api/auth.h"
#include "tests/unit/api/row.h"

static void a_header_is_taken_apart_strictly(void **state)
{
    static const struct {
        const char *header;
        enum auth_scheme scheme;
        const char *username, *password, *token;
    } rows[] = {
        { NULL, SCHEME_NONE, NULL, NULL, NULL },
        { "", SCHEME_OTHER, NULL, NULL, NULL },
        { "Basic YWRtaW46c2VjcmV0", SCHEME_BASIC, "admin", "secret", NULL },
        { "bAsIc YWRtaW46c2VjcmV0", SCHEME_BASIC, "admin", "secret", NULL },
        { "Basic   YWRtaW46c2VjcmV0  ", SCHEME_BASIC, "admin", "secret", NULL },
        { "Basic YTpiOmM=", SCHEME_BASIC, "a", "b:c", NULL },
        { "Basic Og==", SCHEME_BASIC, "", "", NULL },
        { "Basic w6Q6w7Y=", SCHEME_BASIC, "\xc3\xa4", "\xc3\xb6", NULL },
        { "Basic YTpiOmM", SCHEME_BAD, NULL, NULL, NULL },   /* no padding */
        { "Basic YTpiOmM==", SCHEME_BAD, NULL, NULL, NULL }, /* too much */
        { "Basic YT=iOmM=", SCHEME_BAD, NULL, NULL, NULL },  /* inside */
        { "Basic YWRtaW4=", SCHEME_BAD, NULL, NULL, NULL },  /* no colon */
        { "Basic YTpiAGM=", SCHEME_BAD, NULL, NULL, NULL },  /* NUL */
        { "Basic YQo6Yg==", SCHEME_BAD, NULL, NULL, NULL },  /* line feed */
        { "Basic /zp4", SCHEME_BAD, NULL, NULL, NULL },      /* not UTF-8 */
        { "Basic YTpi YTpi", SCHEME_BAD, NULL, NULL, NULL },
        { "Basic !!!!", SCHEME_BAD, NULL, NULL, NULL },
        { "Basic YTpi-_==", SCHEME_BAD, NULL, NULL, NULL }, /* the URL's alphabet */
        { "Basic", SCHEME_BAD, NULL, NULL, NULL },
        { "Basic ", SCHEME_BAD, NULL, NULL, NULL },
        { "BasicYTpi", SCHEME_OTHER, NULL, NULL, NULL },
        { "Bearer a.b.c", SCHEME_BEARER, NULL, NULL, "a.b.c" },
        { "BEARER a.b.c", SCHEME_BEARER, NULL, NULL, "a.b.c" },
        { "Bearer a.b.c x", SCHEME_BAD, NULL, NULL, NULL },
        { "Bearer ", SCHEME_BAD, NULL, NULL, NULL },
        { "Bearer", SCHEME_BAD, NULL, NULL, NULL },
        { "Bearer\ta.b.c", SCHEME_OTHER, NULL, NULL, NULL },
        { "Digest x", SCHEME_OTHER, NULL, NULL, NULL },
        { " Basic YTpi", SCHEME_OTHER, NULL, NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *name = rows[i].header != NULL ? rows[i].header : "(none)";
        struct authorization a;
        authorization_parse(rows[i].header, &a);
        row_equal(name, a.scheme, rows[i].scheme);
        row_same(name, a.username, rows[i].username);
        row_same(name, a.password, rows[i].password);
        row_same(name, a.token, rows[i].token);
        authorization_done(&a);
    }
}

/* "Basic " and base64 of `name_len` times 'a', a colon, `password_len` times 'b'. */
static char *basic_of(size_t name_len, size_t password_len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = name_len + 1 + password_len;
    struct strbuf out = STRBUF(65536);
    char *text = NULL;

    strbuf_adds(&out, "Basic ");
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = 0;
        for (size_t k = i; k < i + 3; k++)
            bits = bits << 8 | (uint32_t)(k >= len ? 0 : k < name_len ? 'a' : k == name_len ? ':' : 'b');
        for (size_t k = 0; k < 4; k++)
            strbuf_addc(&out, i + k > len ? '=' : digits[bits >> (18 - 6 * k) & 63]);
    }
    assert_int_equal(strbuf_take(&out, &text), 0);
    return text;
}

static void basic_has_limits(void **state)
{
    static const struct {
        const char *name;
        size_t name_len, password_len;
        enum auth_scheme scheme;
    } rows[] = {
        { "the longest name", BASIC_NAME_MAX, 1, SCHEME_BASIC },
        { "a longer name", BASIC_NAME_MAX + 1, 1, SCHEME_BAD },
        { "the longest password", 1, BASIC_PASSWORD_MAX, SCHEME_BASIC },
        { "a longer password", 1, BASIC_PASSWORD_MAX + 1, SCHEME_BAD },
        { "a header without end", 100, 20000, SCHEME_BAD },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *header = basic_of(rows[i].name_len, rows[i].password_len);
        struct authorization a;
        authorization_parse(header, &a);
        row_equal(rows[i].name, a.scheme, rows[i].scheme);
        authorization_done(&a);
        free(header);
    }
}

static void a_token_has_a_limit(void **state)
{
    char *header = malloc(7 + TOKEN_MAX + 2);
    struct authorization a;

    (void)state;
    assert_non_null(header);
    memcpy(header, "Bearer ", 7);
    memset(header + 7, 'x', TOKEN_MAX + 1);
    header[7 + TOKEN_MAX + 1] = '\0';
    authorization_parse(header, &a);
    assert_int_equal(a.scheme, SCHEME_BAD);
    authorization_done(&a);
    header[7 + TOKEN_MAX] = '\0';
    authorization_parse(header, &a);
    assert_int_equal(a.scheme, SCHEME_BEARER);
    authorization_done(&a);
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_taken_apart_strictly),
        cmocka_unit_test(basic_has_limits),
        cmocka_unit_test(a_token_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
