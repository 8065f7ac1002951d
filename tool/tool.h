/* The `tally` command: a client of the REST API for administrators, what all its files share.
 *
 * One table (commands.c) has the commands with their arguments, help, examples and handlers; another (options.c) the
 * options. Usage, --help, completion and the manual page are printed from them.
 *
 * What a handler returns is the exit status, and it has said on stderr why it is not 0. Names and texts from the server
 * reach a terminal only through text.h, which leaves no control characters in them.
 *
 * Threads: one. Lifetime: a struct tool lives as long as the process. */
#pragma once

#include "base/json.h"
#include "tool/text.h"

/* Exit statuses, as tally(1) lists them. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_REFUSED = 1,       /* the server refused, or it could not be done */
    TOOL_USAGE = 2,         /* the command line is wrong */
    TOOL_NOT_CONNECTED = 3, /* nobody there, or the connection was lost */
    TOOL_NOT_PERMITTED = 4, /* wrong password, expired token, a missing right */
};

/* Members are those of option_rows. Texts are borrowed from argv. */
struct options {
    const char *socket, *url, *user, *password_file, *token, *api_key, *otp, *ca_file, *profile, *config;
    const char *folder, *sort, *output;
    uint32_t watch_s, limit, mode;
    bool json, yes, dry_run, all, cancel, no_wait, watch, scan, help, version;
    struct strings secrets; /* copies that token, api_key and otp point to */
};

struct client;
struct command;

struct tool {
    const struct command *command;
    struct options options;
    char **args; /* what follows the command's name; borrowed from argv */
    size_t args_n;
    struct client *client; /* owned; NULL until tool_client() */
    struct paper paper;
};

/* tool_main - the whole program: parses, dispatches, flushes. Returns the exit status. */
int tool_main(int argc, char **argv);

/* tool_client - the connection, made at the first call. TOOL_OK, or the exit status of an error that it has printed. */
int tool_client(struct tool *t) MUST_CHECK;

/* tool_fail - prints "tally: text" on stderr, cleaned, and returns `status`. */
int tool_fail(enum tool_exit status, const char *fmt, ...) PRINTF(2, 3);

/* tool_failed - the same for what the client's last call said; r is its negative errno. */
int tool_failed(struct tool *t, int r);

/* tool_get - GETs a path of segments (ends with NULL), e.g. tool_get(t, &json, "users", name, NULL). *ret is owned.
 * Returns TOOL_OK or an exit status, as tool_failed. */
int tool_get(struct tool *t, struct json_object **ret, ...) MUST_CHECK;

/* tool_print_json - prints a value with an indent of two, or compact when it is one of many (--watch). */
void tool_print_json(const struct tool *t, struct json_object *j);

/* tool_confirms - asks on a terminal; true without one, or with --yes. */
bool tool_confirms(const struct tool *t, const char *fmt, ...) PRINTF(2, 3);
