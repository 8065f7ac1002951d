/* A line is `[options] type base64 [comment]`. Options are told from the type by trying: the first word that is a known
 * type begins the key, and at most one word (blanks inside double quotes belong to it) may stand before it. */
#include "store/public_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/base64.h"

static const char *const types[] = {
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
};

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

/* The end of a word; blanks in double quotes are part of it, \" does not end a quote. */
static const char *word_end(const char *s)
{
    bool quoted = false;

    for (; *s; s++) {
        if (*s == '\\' && s[1] == '"')
            s++;
        else if (*s == '"')
            quoted = !quoted;
        else if (!quoted && (*s == ' ' || *s == '\t'))
            break;
    }
    return s;
}

static const char *type_at(const char *s)
{
    size_t len = strcspn(s, " \t");

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strlen(types[i]) == len && memcmp(types[i], s, len) == 0)
            return types[i];
    return NULL;
}

/* A blob begins with its type as an SSH string, and something follows. */
static bool blob_is_of(const uint8_t *blob, size_t len, const char *type)
{
    size_t n = strlen(type);

    return len > 4 + n && blob[0] == 0 && blob[1] == 0 && blob[2] == 0 && blob[3] == n &&
           memcmp(blob + 4, type, n) == 0;
}

static int blob_decode(const char *s, const char *type, uint8_t **ret_blob, size_t *ret_len)
{
    size_t chars = strcspn(s, " \t\r\n");
    uint8_t *blob = malloc(PUBLIC_KEY_BLOB_MAX);

    if (!blob)
        return -ENOMEM;
    ssize_t n = base64_decode(BASE64_STD, s, chars, blob, PUBLIC_KEY_BLOB_MAX);
    if (n < 0 || !blob_is_of(blob, (size_t)n, type)) {
        free(blob);
        return -EINVAL;
    }
    *ret_blob = blob;
    *ret_len = (size_t)n;
    return 0;
}

int public_key_parse(const char *line, char *ret_type, uint8_t **ret_blob, size_t *ret_len)
{
    const char *s = skip_blanks(line);
    const char *type = type_at(s);

    if (strpbrk(line, "\r\n"))
        return -EINVAL; /* two lines are two keys */
    if (!type) {
        s = skip_blanks(word_end(s));
        type = type_at(s);
    }
    if (!type)
        return -EINVAL;
    int r = blob_decode(skip_blanks(s + strlen(type)), type, ret_blob, ret_len);
    if (r == 0)
        str_set(ret_type, PUBLIC_KEY_TYPE_MAX, type);
    return r;
}
