/* Secrets: passwords are read from a file or typed, never an argument. --token and --api-key are arguments because
 * scripts want them; tool_main() blanks them in argv, so that ps shows them for milliseconds only. */
#include "tool/place.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"
#include "base/sys.h"
#include "tool/secret.h"

#define CONFIG_PATH  "/etc/tally/tally.json"
#define SOCKET_PATH  "/run/tally/api.sock"
#define SOCKET_NAME  "api.sock"
#define PROFILE_NAME "tally/profile.json"

enum { PROFILE_MAX = 64 << 10 };

struct profile {
    char *socket, *url, *user, *password_file, *token, *api_key, *ca_file;
};

static const struct field profile_fields[] = {
    F_STRING(struct profile, socket),  F_STRING(struct profile, url),           F_STRING(struct profile, user),
    F_STRING(struct profile, token),   F_STRING(struct profile, password_file), F_STRING(struct profile, api_key),
    F_STRING(struct profile, ca_file),
};
static const struct schema profile_schema = SCHEMA("profile", struct profile, profile_fields);

const char *place_config_path(const struct options *o)
{
    return o->config != NULL ? o->config : CONFIG_PATH;
}

/* ---- the profile ---- */

static int profile_parse(const char *path, const struct strbuf *text, struct profile *p)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    struct why why = { 0 };
    int r = json_in(text->s ? text->s : "", text->len, JSON_WHOLE | JSON_COMMENTS, &j, &why);

    if (r == 0)
        r = schema_parse(&profile_schema, j, USE_CONFIG, p, &why);
    if (r < 0)
        return tool_fail(TOOL_USAGE, "%s: %s%s%s", path, why.field, why.field[0] ? ": " : "", why.text);
    return TOOL_OK;
}

static int profile_read(const char *path, int fd, struct profile *p)
{
    struct strbuf text = STRBUF(PROFILE_MAX);
    struct stat st;
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);

    if (r == 0 && (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 077) != 0))
        return tool_fail(TOOL_USAGE,
                         "%s may hold secrets, so it must be a file of yours that nobody else may read: "
                         "chmod 600 %s",
                         path, path);
    if (r == 0)
        r = secret_read_fd(fd, &text);
    int status =
        r < 0 ? tool_fail(TOOL_USAGE, "cannot read %s: %s", path, error_text(r)) : profile_parse(path, &text, p);
    if (text.s != NULL)
        explicit_bzero(text.s, text.len);
    strbuf_done(&text);
    return status;
}

/* An absent profile is none, unless it was named. */
static int profile_load(const struct options *o, struct profile *p)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK };
    struct strbuf path = STRBUF(8192);
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    if (o->profile != NULL)
        strbuf_adds(&path, o->profile);
    else if (base != NULL && base[0] == '/')
        strbuf_addf(&path, "%s/" PROFILE_NAME, base);
    else if (home != NULL && home[0] == '/')
        strbuf_addf(&path, "%s/.config/" PROFILE_NAME, home);
    if (path.len == 0)
        return TOOL_OK;
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path.s, &how);
    int status = TOOL_OK;
    if (fd >= 0)
        status = profile_read(path.s, fd, p);
    else if (o->profile != NULL || (fd != -ENOENT && fd != -ENOTDIR && fd != -EACCES))
        status = tool_fail(TOOL_USAGE, "cannot read the profile %s: %s", path.s, error_text(fd));
    strbuf_done(&path);
    return status;
}

/* ---- the place ---- */

/* The socket of this machine's daemon. A configuration that cannot be read (it may hold a passphrase) has no say. */
static void socket_default(const struct options *o, struct strbuf *to)
{
    struct config config = { 0 };
    struct why why = { 0 };

    if (config_load(place_config_path(o), environ, &config, &why) == 0)
        strbuf_addf(to, "%s/" SOCKET_NAME, config.runtime_dir);
    else
        strbuf_adds(to, SOCKET_PATH);
    config_done(&config);
}

static const char *given(const char *option, const char *in_profile)
{
    if (option != NULL)
        return option;
    return in_profile != NULL && in_profile[0] != '\0' ? in_profile : NULL;
}

/* A password: when there is a user and nothing else to show. */
static int password_of(const struct client_place *place, const char *file, char **ret)
{
    char prompt[300];

    if (place->user == NULL || place->token != NULL || place->api_key != NULL)
        return TOOL_OK;
    if (file != NULL)
        return secret_from_file(file, ret);
    snprintf(prompt, sizeof prompt, "Password of %.200s: ", place->user);
    return secret_ask(prompt, ret);
}

static bool is_remote_and_bare(const char *url)
{
    return url != NULL && strncmp(url, "http://", 7) == 0 && strncmp(url + 7, "127.", 4) != 0 &&
           strncmp(url + 7, "localhost", 9) != 0 && strncmp(url + 7, "[::1]", 5) != 0;
}

static int place_connect(struct client_place *place, const char *password_file, struct client **ret)
{
    CLEANUP(mem_free) char *password = NULL;

    if (is_remote_and_bare(place->url) && (place->user != NULL || place->token != NULL || place->api_key != NULL))
        tool_fail(TOOL_OK, "warning: over http:// everybody on the way can read who you are: use https://");
    int status = place->url != NULL ? password_of(place, password_file, &password) : TOOL_OK;
    if (status != TOOL_OK)
        return status;
    place->password = password;
    int r = client_new(place, ret);
    if (password != NULL)
        explicit_bzero(password, strlen(password));
    return r < 0 ? tool_fail(TOOL_REFUSED, "%s", error_text(r)) : TOOL_OK;
}

static int place_choose(const struct options *o, const struct profile *p, struct client **ret)
{
    struct strbuf socket = STRBUF(8192);
    struct client_place place = {
        .url = given(o->url, o->socket != NULL ? NULL : p->url),
        .user = given(o->user, p->user),
        .token = given(o->token, o->user != NULL ? NULL : p->token),
        .api_key = given(o->api_key, o->user != NULL || o->token != NULL ? NULL : p->api_key),
        .ca_file = given(o->ca_file, p->ca_file),
        .otp = o->otp,
    };

    if (o->url != NULL && o->socket != NULL)
        return tool_fail(TOOL_USAGE, "--url and --socket: one of them");
    place.socket = given(o->socket, p->socket);
    if (place.socket == NULL && place.url == NULL) {
        socket_default(o, &socket);
        place.socket = strbuf_ok(&socket) == 0 ? socket.s : SOCKET_PATH;
    }
    int status = place_connect(&place, given(o->password_file, p->password_file), ret);
    strbuf_done(&socket);
    return status;
}

int place_open(const struct tool *t, struct client **ret)
{
    struct profile profile = { 0 };
    int status = profile_load(&t->options, &profile);

    if (status == TOOL_OK)
        status = place_choose(&t->options, &profile, ret);
    schema_done(&profile_schema, &profile);
    return status;
}
