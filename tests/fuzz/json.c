/* Any bytes as JSON, and as the configuration: refused with a reason, or read and printed so that they read the same
 * again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written_reads_the_same(const struct config *c)
{
    struct strbuf first = STRBUF(1 << 22);
    struct strbuf second = STRBUF(1 << 22);
    struct json_out out = { .to = &first };
    struct json_object *o = NULL;
    struct config again;
    struct why why;

    schema_write(&config_schema, c, SHOW_ALL, &out);
    if (strbuf_ok(&first) < 0 || json_in(first.s, first.len, JSON_WHOLE, &o, &why) < 0)
        abort();
    if (schema_init(&config_schema, &again) < 0 || schema_parse(&config_schema, o, USE_LOAD, &again, &why) < 0)
        abort();
    out = (struct json_out){ .to = &second };
    schema_write(&config_schema, &again, SHOW_ALL, &out);
    if (strbuf_ok(&second) < 0 || strcmp(first.s, second.s) != 0)
        abort();
    config_done(&again);
    json_object_put(o);
    strbuf_done(&first);
    strbuf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object *o = NULL;
    struct config c;
    struct why why;

    if (json_in((const char *)data, size, JSON_WHOLE | JSON_COMMENTS, &o, &why) < 0 || o == NULL)
        return 0;
    if (schema_init(&config_schema, &c) == 0 && schema_parse(&config_schema, o, USE_CONFIG, &c, &why) == 0)
        written_reads_the_same(&c);
    config_done(&c);
    json_object_put(o);
    return 0;
}
