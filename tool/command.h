/* The commands: one table gives dispatch, usage, --help, completion and the manual page. */
#pragma once

#include "tool/options.h"

typedef int command_fn(struct tool *t);

/* What a command's words are, for completion. */
enum words {
    WORDS_NONE,
    WORDS_USERS,
    WORDS_FOLDERS,
    WORDS_ADMINS,
    WORDS_KEYS,
    WORDS_CONNECTIONS,
    WORDS_HOSTS,
    WORDS_FILES,
    WORDS_SHELLS,
    WORDS_FIELDS
};

struct command {
    const char *name; /* one word or two */
    const char *args; /* "USER FIELD=VALUE..." */
    unsigned least, most;
    uint32_t options;
    enum words words;
    const char *help;     /* one line, without a full stop */
    const char *more;     /* further lines; may be NULL */
    const char *examples; /* lines, each a command; then blanks and what it does */
    command_fn *run;
};
extern const struct command commands[];
extern const size_t commands_n;

/* command_find - by the first words of argv; *ret_words is how many they were. A noun alone is its list. NULL if there
 * is none. */
const struct command *command_find(char **words, size_t n, size_t *ret_words);

/* command_is_noun - is it the first word of some command? */
bool command_is_noun(const char *word);

void command_print_help(const struct command *c, struct strbuf *to);
void command_print_usage(struct strbuf *to); /* of all */
void command_print_noun(const char *noun, struct strbuf *to);

/* The handlers, by file. */
command_fn on_status, on_check, on_backup, on_restore, on_import, on_usage, on_top, on_recount, on_du;
command_fn on_users_list, on_users_show, on_users_add, on_users_set, on_users_remove;
command_fn on_folders_list, on_folders_show, on_folders_add, on_folders_set, on_folders_remove;
command_fn on_admins_list, on_admins_show, on_admins_add, on_admins_set, on_admins_remove;
command_fn on_keys_list, on_keys_show, on_keys_add, on_keys_set, on_keys_remove;
command_fn on_defender_list, on_defender_unban;
command_fn on_connections_list, on_connections_close;
command_fn on_completion, on_complete, on_manual;
