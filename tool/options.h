/* The options: one table gives parsing, --help, completion and the manual page. */
#pragma once

#include "tool/tool.h"

/* Which commands take an option: a row's bit is in the command's mask; OPT_ALL rows go with every command. */
enum {
    OPT_ALL = 0,
    OPT_YES = 1 << 0,
    OPT_DRY_RUN = 1 << 1,
    OPT_EVERY = 1 << 2,
    OPT_FOLDER = 1 << 3,
    OPT_SORT = 1 << 4,
    OPT_WATCH = 1 << 5,
    OPT_LIMIT = 1 << 6,
    OPT_CANCEL = 1 << 7,
    OPT_NO_WAIT = 1 << 8,
    OPT_OUTPUT = 1 << 9,
    OPT_MODE = 1 << 10,
    OPT_SCAN = 1 << 11,
};

enum option_type { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER, OPTION_WATCH };

struct option_row {
    const char *name;
    char letter;     /* 0: none */
    const char *arg; /* its name in help; NULL for flags */
    uint32_t bit;
    enum option_type type;
    size_t offset; /* in struct options */
    const char *help;
};
extern const struct option_row option_rows[];
extern const size_t option_rows_n;

/* options_parse - over argv; what is no option is moved behind them, and *ret_first is the first of it. TOOL_OK or
 * TOOL_USAGE, with the reason printed. */
int options_parse(int argc, char **argv, struct options *ret, int *ret_first) MUST_CHECK;

/* options_done - wipes the secrets. */
void options_done(struct options *o);

/* options_refuse - TOOL_USAGE if an option was given that the command does not take. */
int options_refuse(const struct options *o, uint32_t taken, const char *command) MUST_CHECK;
