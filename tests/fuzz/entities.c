/* Any bytes as the body of a user, folder, administrator or API key: refused with a reason, or checked, written and
 * read again as the same. The first byte says which. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union entity {
    struct user user;
    struct folder folder;
    struct admin admin;
    struct api_key key;
};

static int check_user(void *e, struct why *w)
{
    return user_check(e, "/base", w);
}

static int check_folder(void *e, struct why *w)
{
    return folder_check(e, w);
}

static int check_admin(void *e, struct why *w)
{
    return admin_check(e, w);
}

static int check_key(void *e, struct why *w)
{
    return api_key_check(e, w);
}

static const struct {
    const struct schema *schema;
    int (*check)(void *e, struct why *w);
} kinds[] = {
    { &user_schema, check_user },
    { &folder_schema, check_folder },
    { &admin_schema, check_admin },
    { &api_key_schema, check_key },
};

static void text_of(const struct schema *s, const void *e, struct strbuf *to)
{
    struct json_out out = { .to = to, .first = true };

    schema_write(s, e, SHOW_ALL, &out);
    if (strbuf_ok(to) < 0)
        abort();
}

static void written_reads_the_same(const struct schema *s, const void *e)
{
    struct strbuf first = STRBUF(1 << 24), second = STRBUF(1 << 24);
    struct json_object *j = NULL;
    union entity again;
    struct why why;

    text_of(s, e, &first);
    if (json_in(first.s, first.len, JSON_WHOLE, &j, &why) < 0 || schema_init(s, &again) < 0 ||
        schema_parse(s, j, USE_LOAD, &again, &why) < 0)
        abort();
    text_of(s, &again, &second);
    if (strcmp(first.s, second.s) != 0)
        abort();
    schema_done(s, &again);
    json_object_put(j);
    strbuf_done(&first);
    strbuf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object *j = NULL;
    union entity e;
    struct why why = { 0 };

    if (size == 0)
        return 0;
    size_t kind = data[0] % ARRAY_SIZE(kinds);
    if (json_in((const char *)data + 1, size - 1, 0, &j, &why) < 0 || j == NULL)
        return 0;
    const struct schema *s = kinds[kind].schema;
    if (schema_init(s, &e) < 0)
        abort();
    int r = schema_parse(s, j, USE_CREATE, &e, &why);
    if (r == 0)
        r = kinds[kind].check(&e, &why);
    if (r == 0)
        written_reads_the_same(s, &e);
    else if (r == -EINVAL && why.text[0] == '\0')
        abort(); /* refused without a reason */
    schema_done(s, &e);
    json_object_put(j);
    return 0;
}
