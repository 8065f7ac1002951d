/* Options may stand before, between and behind the words (getopt_long permutes), since a person adds --json at the end.
 * Secrets are blanked in argv once they are copied, so that ps does not show them for long. */
#include "tool/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 1000000, LONG_ONLY = 256 };

#define ROW(member, option_name, option_letter, option_arg, option_bit, option_type_, text)                            \
    {                                                                                                                  \
        .name = (option_name), .letter = (option_letter), .arg = (option_arg), .bit = (option_bit),                    \
        .type = (option_type_), .offset = offsetof(struct options, member), .help = (text)                             \
    }

const struct option_row option_rows[] = {
    ROW(json, "json", 'j', NULL, OPT_ALL, OPTION_FLAG,
        "JSON instead of tables; its members do not change between releases"),
    ROW(yes, "yes", 'y', NULL, OPT_YES, OPTION_FLAG, "do not ask before it is done"),
    ROW(dry_run, "dry-run", 'n', NULL, OPT_DRY_RUN, OPTION_FLAG, "report only, change nothing"),
    ROW(all, "all", 'a', NULL, OPT_EVERY, OPTION_FLAG, "every user and every folder"),
    ROW(folder, "folder", 'f', "NAME", OPT_FOLDER, OPTION_TEXT, "a shared folder instead of a user"),
    ROW(sort, "sort", 's', "KEY", OPT_SORT, OPTION_TEXT, "order by share, size, files or name"),
    ROW(watch_s, "watch", 'w', "[SECONDS]", OPT_WATCH, OPTION_WATCH,
        "again every 2 or SECONDS seconds, until control-C"),
    ROW(limit, "limit", 'l', "N", OPT_LIMIT, OPTION_NUMBER, "at most N rows"),
    ROW(cancel, "cancel", 0, NULL, OPT_CANCEL, OPTION_FLAG, "end a recount that runs; the number stays as it was"),
    ROW(no_wait, "no-wait", 0, NULL, OPT_NO_WAIT, OPTION_FLAG, "start it and return"),
    ROW(output, "output", 'o', "FILE", OPT_OUTPUT, OPTION_TEXT, "write to FILE (mode 0600) instead of stdout"),
    ROW(mode, "mode", 'm', "N", OPT_MODE, OPTION_NUMBER,
        "0: add and update (the default), 1: only add, 2: update and disconnect"),
    ROW(scan, "scan", 0, NULL, OPT_SCAN, OPTION_FLAG, "recount what was restored"),
    ROW(socket, "socket", 'S', "PATH", OPT_ALL, OPTION_TEXT,
        "the administrators' socket, if not that of the configuration"),
    ROW(url, "url", 'U', "URL", OPT_ALL, OPTION_TEXT, "another machine's API: https://host:8080"),
    ROW(user, "user", 'u', "NAME", OPT_ALL, OPTION_TEXT, "log in at --url as this administrator"),
    ROW(password_file, "password-file", 'p', "FILE", OPT_ALL, OPTION_TEXT,
        "its first line is the password; - is stdin; without it the password is asked for"),
    ROW(otp, "otp", 0, "CODE", OPT_ALL, OPTION_TEXT, "the second factor's code"),
    ROW(token, "token", 0, "TOKEN", OPT_ALL, OPTION_TEXT, "a token instead of a login"),
    ROW(api_key, "api-key", 0, "KEY", OPT_ALL, OPTION_TEXT, "an API key instead of a login"),
    ROW(ca_file, "ca-file", 0, "FILE", OPT_ALL, OPTION_TEXT, "who signed the certificate of --url (PEM)"),
    ROW(profile, "profile", 0, "FILE", OPT_ALL, OPTION_TEXT, "instead of ~/.config/tally/profile.json"),
    ROW(config, "config", 'c', "FILE", OPT_ALL, OPTION_TEXT,
        "tallyd's configuration, instead of /etc/tally/tally.json"),
    ROW(help, "help", 'h', NULL, OPT_ALL, OPTION_FLAG, "how a command is used"),
    ROW(version, "version", 'V', NULL, OPT_ALL, OPTION_FLAG, "the version"),
};
const size_t option_rows_n = ARRAY_SIZE(option_rows);

/* ---- getopt's own tables, from the rows ---- */

struct getopt_tables {
    struct option longs[ARRAY_SIZE(option_rows) + 1];
    char shorts[4 * ARRAY_SIZE(option_rows) + 2];
};

static int argument_of(const struct option_row *row)
{
    return row->type == OPTION_FLAG ? no_argument : row->type == OPTION_WATCH ? optional_argument : required_argument;
}

static void tables_fill(struct getopt_tables *t)
{
    size_t at = 0;

    t->shorts[at++] = ':'; /* we say ourselves what is missing */
    for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        t->longs[i] = (struct option){ row->name, argument_of(row), NULL, LONG_ONLY + (int)i };
        if (row->letter == 0)
            continue;
        t->shorts[at++] = row->letter;
        for (int colons = argument_of(row); colons > 0; colons--)
            t->shorts[at++] = ':';
    }
    t->longs[ARRAY_SIZE(option_rows)] = (struct option){ 0 };
    t->shorts[at] = '\0';
}

static const struct option_row *row_of(int c)
{
    if (c >= LONG_ONLY)
        return &option_rows[c - LONG_ONLY];
    for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++)
        if (option_rows[i].letter == c && c != 0)
            return &option_rows[i];
    return NULL;
}

/* ---- values ---- */

static int take_number(const struct option_row *row, const char *text, uint32_t *to)
{
    int64_t n;

    if (str_int(text, 0, NUMBER_MAX, &n) < 0)
        return tool_fail(TOOL_USAGE, "--%s: \"%s\" is not a number from 0 to %d", row->name, text, NUMBER_MAX);
    *to = (uint32_t)n;
    return TOOL_OK;
}

static int take_watch(const struct option_row *row, const char *text, struct options *o)
{
    o->watch = true;
    o->watch_s = 2;
    int status = text != NULL ? take_number(row, text, &o->watch_s) : TOOL_OK;
    if (status == TOOL_OK && o->watch_s == 0)
        return tool_fail(TOOL_USAGE, "--watch: at least 1 second");
    return status;
}

static int take(const struct option_row *row, char *text, struct options *o)
{
    char *member = (char *)o + row->offset;

    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)member = true;
        return TOOL_OK;
    case OPTION_NUMBER:
        return take_number(row, text, (uint32_t *)(void *)member);
    case OPTION_WATCH:
        return take_watch(row, text, o);
    case OPTION_TEXT:
        *(const char **)(void *)member = text;
        return text[0] != '\0' ? TOOL_OK : tool_fail(TOOL_USAGE, "--%s: it is empty", row->name);
    }
    return TOOL_USAGE;
}

/* Copies the secrets out of argv and blanks them there. */
static int hide_secrets(struct options *o)
{
    const char **secrets[] = { &o->token, &o->api_key, &o->otp };

    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        if (*secrets[i] == NULL)
            continue;
        char *in_argv = (char *)(uintptr_t)*secrets[i];
        if (strings_add(&o->secrets, in_argv) < 0)
            return tool_fail(TOOL_REFUSED, "out of memory");
        *secrets[i] = o->secrets.v[o->secrets.n - 1];
        memset(in_argv, '*', strlen(in_argv));
    }
    return TOOL_OK;
}

void options_done(struct options *o)
{
    for (size_t i = 0; i < o->secrets.n; i++)
        explicit_bzero(o->secrets.v[i], strlen(o->secrets.v[i]));
    strings_done(&o->secrets);
}

static int complain(int c, char **argv)
{
    if (c == ':')
        return tool_fail(TOOL_USAGE, "%s wants a value; see tally --help", argv[optind - 1]);
    if (optopt > 0 && optopt < LONG_ONLY)
        return tool_fail(TOOL_USAGE, "-%c is not an option; see tally --help", optopt);
    return tool_fail(TOOL_USAGE, "%s is not an option, or short for several; see tally --help", argv[optind - 1]);
}

int options_parse(int argc, char **argv, struct options *ret, int *ret_first)
{
    struct getopt_tables tables;
    int c;
    int status = TOOL_OK;

    tables_fill(&tables);
    opterr = 0;
    while (status == TOOL_OK && (c = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1) {
        const struct option_row *row = c == '?' || c == ':' ? NULL : row_of(c);
        status = row != NULL ? take(row, optarg, ret) : complain(c, argv);
    }
    *ret_first = optind;
    return status == TOOL_OK ? hide_secrets(ret) : status;
}

static bool is_given(const struct options *o, const struct option_row *row)
{
    const char *member = (const char *)o + row->offset;

    switch (row->type) {
    case OPTION_FLAG:
        return *(const bool *)member;
    case OPTION_TEXT:
        return *(const char *const *)(const void *)member != NULL;
    case OPTION_NUMBER:
    case OPTION_WATCH:
        return *(const uint32_t *)(const void *)member != 0;
    }
    return false;
}

int options_refuse(const struct options *o, uint32_t taken, const char *command)
{
    for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++)
        if (option_rows[i].bit != OPT_ALL && (option_rows[i].bit & taken) == 0 && is_given(o, &option_rows[i]))
            return tool_fail(TOOL_USAGE, "--%s does not go with \"tally %s\"; see tally %s --help", option_rows[i].name,
                             command, command);
    return TOOL_OK;
}
