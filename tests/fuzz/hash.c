/* Any bytes as a password hash: what its form and cost allow can be verified. Only what is cheap is computed here. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_cheap(const char *hash)
{
    return hash[0] == '{' || str_has_prefix(hash, "$1$") || str_has_prefix(hash, "$apr1$");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *hash = strndup((const char *)data, size);

    if (hash == NULL)
        return 0;
    int r = password_check_hash(hash);
    if (r == 0 && !password_is_hash(hash))
        abort();
    if (r == 0 && is_cheap(hash)) {
        int v = password_verify(hash, "not this one");
        if (v != 0 && v != -EACCES && v != -EINVAL && v != -E2BIG)
            abort();
    }
    free(hash);
    return 0;
}
