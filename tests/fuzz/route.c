/* Any bytes as a request line, "METHOD target": the path is split and finds a row or none, the query gives up its
 * values; what comes out holds no control byte and names what was matched. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/apid.h"
#include "api/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void is_clean(const char *s)
{
    for (; *s != '\0'; s++)
        must((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static void path_finds_its_row(const char *method, const char *path)
{
    struct segments s = { 0 };
    const struct route *row = NULL;
    const char *param = NULL;
    char allow[64];

    if (path_split(path, strlen(path), &s) < 0)
        return;
    must(s.n <= SEGMENTS_MAX);
    for (size_t i = 0; i < s.n; i++)
        is_clean(s.v[i]);
    for (int telemetry = 0; telemetry < 2; telemetry++) {
        int r = route_match(telemetry != 0, method, &s, &row, &param, allow, sizeof allow);
        must(r == 0 || r == -ENOENT || r == -ENOTSUP);
        must(r != 0 || (row != NULL && (strchr(row->path, '{') != NULL) == (param != NULL)));
        must((r == -ENOTSUP) == (allow[0] != '\0'));
    }
    segments_done(&s);
}

static void query_is_read(const char *query)
{
    static const char *const names[] = { "limit", "mode", "", "input-file" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *value = NULL;
        int64_t n = 5;
        if (query_value(query, names[i], &value) == 0 && value != NULL)
            is_clean(value);
        free(value);
        must(query_int(query, names[i], 0, 100, 7, &n) < 0 || (n >= 0 && n <= 100));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = strndup((const char *)data, size);
    char *target = line != NULL ? strchr(line, ' ') : NULL;

    if (target != NULL) {
        *target++ = '\0';
        char *query = strchr(target, '?');
        if (query != NULL)
            *query++ = '\0';
        path_finds_its_row(line, target);
        query_is_read(query);
    }
    free(line);
    return 0;
}
