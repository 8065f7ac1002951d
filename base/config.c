/* Loading: fallbacks, the file over them, the environment over that, then the rules across keys.
 *
 * A wrong value is an error where it stands: in the file with its line (json_line() finds it once something is wrong),
 * in the environment with the variable's name. The environment has no order, and a list grows by one entry at a time,
 * so the variables are sorted, numbers by their value, before they are applied. */
#include "base/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"

enum { CONFIG_BYTES_MAX = 1 << 20, KEY_PATH_MAX = sizeof((struct why *)0)->field };

#define ENVIRONMENT_PREFIX "TALLY_"

/* ---- the file ---- */

/* Not a FIFO, which would hang, nor a device without an end. */
static int open_regular(const char *path)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK };
    struct stat st;
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path, &how);

    if (fd < 0)
        return fd;
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);
    if (r < 0)
        return r;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    return S_ISREG(st.st_mode) ? take_fd(&fd) : -EINVAL;
}

static int read_all(int fd, struct strbuf *to)
{
    char block[16384];

    for (;;) {
        ssize_t n = sys->pread(fd, block, sizeof block, to->len);
        if (n <= 0)
            return n < 0 ? (int)n : strbuf_ok(to);
        strbuf_add(to, block, (size_t)n);
        if (strbuf_ok(to) < 0)
            return strbuf_ok(to);
    }
}

static int read_file(const char *path, struct strbuf *to, struct why *why)
{
    CLEANUP(fd_close) int fd = open_regular(path);
    int r = fd < 0 ? fd : read_all(fd, to);

    if (r == -E2BIG)
        return why_set(why, r, NULL, "larger than %d bytes", CONFIG_BYTES_MAX);
    return r < 0 ? why_set(why, r, NULL, "cannot read %.200s: %s", path, error_text(r)) : 0;
}

/* Adds the line to an error that names a key. Returns r. */
static int locate(const struct strbuf *text, struct why *why, int r)
{
    if (r < 0 && why->line == 0 && why->field[0] != '\0' && text->len > 0)
        why->line = json_line(text->s, text->len, why->field);
    return r;
}

static int apply_file(const struct strbuf *text, struct config *c, struct why *why)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    int r = json_in(text->len > 0 ? text->s : "", text->len, JSON_WHOLE | JSON_COMMENTS, &j, why);

    if (r == -EINVAL && strcmp(why->text, "EOF") == 0)
        return why_set(why, r, NULL, "the file is empty");
    return r < 0 ? r : locate(text, why, schema_parse(&config_schema, j, USE_CONFIG, c, why));
}

/* ---- the environment ---- */

/* "HTTPD__BINDINGS__0__PORT" to "httpd.bindings[0].port"; false if a level is empty or it does not fit. */
static bool variable_path(const char *name, size_t len, char *to, size_t room)
{
    size_t n = 0;

    for (size_t i = 0; i < len && n + 2 < room;) {
        const char *split = memmem(name + i, len - i, "__", 2);
        size_t level = split ? (size_t)(split - name) - i : len - i;
        bool is_index = strspn(name + i, "0123456789") >= level;
        if (level == 0 || (split != NULL && i + level + 2 == len))
            return false;
        int wrote = snprintf(to + n, room - n, is_index ? "[%.*s]" : n > 0 ? ".%.*s" : "%.*s", (int)level, name + i);
        n += (size_t)MAX(wrote, 0);
        i += level + (split ? 2 : 0);
    }
    if (n + 2 >= room)
        return false;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)tolower((unsigned char)to[i]);
    return true;
}

/* Is it meant for us? Names without "__" that are no key of the top level are not (TALLY_FDS). */
static bool is_key(const char *name, size_t len)
{
    if (memmem(name, len, "__", 2) != NULL)
        return true;
    for (size_t i = 0; i < config_schema.n; i++) {
        const char *key = field_name(&config_schema.fields[i]);
        if (strlen(key) == len && strncasecmp(key, name, len) == 0)
            return true;
    }
    return false;
}

static int apply_variable(const char *variable, struct config *c, struct why *why)
{
    const char *name = variable + strlen(ENVIRONMENT_PREFIX);
    size_t len = strcspn(name, "=");
    char path[KEY_PATH_MAX];
    struct why inner = { 0 };

    if (name[len] != '=' || !is_key(name, len))
        return 0;
    if (!variable_path(name, len, path, sizeof path))
        return why_set(why, -EINVAL, NULL, "%.*s: unknown key", (int)MIN(name + len - variable, 200), variable);
    int r = schema_set(&config_schema, c, path, name + len + 1, &inner);
    if (r == 0 || r == -ENOMEM)
        return r;
    return why_set(why, -EINVAL, inner.field, "%.*s: %s", (int)(name + len - variable), variable, inner.text);
}

static int by_name(const void *a, const void *b)
{
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static int apply_environment(char *const *environment, struct config *c, struct why *why)
{
    CLEANUP(mem_free) const char **ours = NULL;
    size_t all = 0;
    size_t n = 0;
    int r = 0;

    while (environment != NULL && environment[all] != NULL)
        all++;
    if (all == 0)
        return 0;
    ours = calloc(all, sizeof *ours);
    if (ours == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < all; i++)
        if (str_has_prefix(environment[i], ENVIRONMENT_PREFIX))
            ours[n++] = environment[i];
    qsort(ours, n, sizeof *ours, by_name);
    for (size_t i = 0; i < n && r == 0; i++)
        r = apply_variable(ours[i], c, why);
    return r;
}

/* ---- the whole ---- */

static int load(const char *path, char *const *environment, struct strbuf *text, struct config *c, struct why *why)
{
    int r = schema_init(&config_schema, c);

    if (r == 0 && path != NULL)
        r = read_file(path, text, why);
    if (r == 0 && path != NULL)
        r = apply_file(text, c, why);
    if (r == 0)
        r = apply_environment(environment, c, why);
    if (r == 0)
        r = locate(text, why, schema_check(&config_schema, c, why));
    return r;
}

int config_load(const char *path, char *const *environment, struct config *ret, struct why *reterr_why)
{
    struct strbuf text = STRBUF(CONFIG_BYTES_MAX);
    struct config c = { 0 };
    struct why why = { 0 };

    int r = load(path, environment, &text, &c, &why);
    strbuf_done(&text);
    if (r == 0) {
        *ret = c;
        return 0;
    }
    config_done(&c);
    if (why.text[0] == '\0')
        IGNORE(why_set(&why, r, NULL, "%s", error_text(r)), "it fills why");
    if (reterr_why != NULL)
        *reterr_why = why;
    return r;
}

void config_done(struct config *c)
{
    schema_done(&config_schema, c);
}
