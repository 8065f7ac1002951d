/* Any bytes as an Authorization header: a scheme with exactly its own parts, within their limits. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *header = strndup((const char *)data, size);
    struct authorization a;

    if (header == NULL)
        return 0;
    authorization_parse(header, &a);
    if ((a.scheme == SCHEME_BASIC) != (a.username != NULL) || (a.scheme == SCHEME_BASIC) != (a.password != NULL))
        abort();
    if ((a.scheme == SCHEME_BEARER) != (a.token != NULL))
        abort();
    if (a.scheme == SCHEME_BASIC && (strlen(a.username) > BASIC_NAME_MAX || strlen(a.password) > BASIC_PASSWORD_MAX))
        abort();
    authorization_done(&a);
    free(header);
    return 0;
}
