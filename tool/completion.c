/* Completion: the shells' scripts are a few lines that ask `tally complete -- WORD...` for what may come next, so that
 * what a shell offers is the tables as they are, and names are those of the server.
 *
 * The last word is the one that is being written; it may be empty. Each answer is a line: the word, a tab, what it
 * means. A server that does not answer gives no names, and no error in the middle of a command line. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/client.h"
#include "tool/command.h"
#include "tool/member.h"
#include "tool/place.h"

enum { NAMES_MAX = 500 };

static void offer(const char *typed, const char *word, const char *means)
{
    if (str_has_prefix(word, typed))
        printf("%s\t%s\n", word, means);
}

static void offer_first_words(const char *typed)
{
    for (size_t i = 0; i < commands_n; i++) {
        const char *name = commands[i].name;
        size_t len = strcspn(name, " ");
        char word[64];
        bool is_new = i == 0 || strncmp(commands[i - 1].name, name, len + 1) != 0;
        if (!is_new || commands[i].examples[0] == '\0')
            continue;
        snprintf(word, sizeof word, "%.*s", (int)len, name);
        offer(typed, word, commands[i].help);
    }
}

static void offer_verbs(const char *noun, const char *typed)
{
    size_t len = strlen(noun);

    for (size_t i = 0; i < commands_n; i++)
        if (strncmp(commands[i].name, noun, len) == 0 && commands[i].name[len] == ' ')
            offer(typed, commands[i].name + len + 1, commands[i].help);
}

static void offer_options(const struct command *c, const char *typed)
{
    for (size_t i = 0; i < option_rows_n; i++) {
        char word[64];
        if (option_rows[i].bit != OPT_ALL && (c == NULL || (c->options & option_rows[i].bit) == 0))
            continue;
        snprintf(word, sizeof word, "--%s", option_rows[i].name);
        offer(typed, word, option_rows[i].help);
    }
}

static void offer_members(const struct command *c, const char *typed)
{
    unsigned of = str_has_prefix(c->name, "users")     ? OF_USERS
                  : str_has_prefix(c->name, "folders") ? OF_FOLDERS
                  : str_has_prefix(c->name, "admins")  ? OF_ADMINS
                                                       : OF_KEYS;

    for (size_t i = 0; i < member_rows_n; i++) {
        char word[160];
        if ((member_rows[i].of & of) == 0 || member_rows[i].read_only)
            continue;
        snprintf(word, sizeof word, "%s=", member_rows[i].name);
        offer(typed, word, member_rows[i].help);
    }
}

/* Names are lines of the answer and words of a shell: what would be neither is left out. */
static bool is_plain(const char *name)
{
    for (; *name != '\0'; name++)
        if ((unsigned char)*name <= ' ' || *name == 0x7f || strchr("'\"\\$`;&|<>(){}*?[]!#~", *name) != NULL)
            return false;
    return true;
}

/* stderr is silent while the server is asked. */
static struct json_object *ask(struct tool *t, const char *noun, const char *part)
{
    struct json_object *list = NULL;
    char query[32];
    const struct call call = { .method = "GET", .path = { noun, part }, .query = query };
    int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int stderr_before = dup(STDERR_FILENO);

    snprintf(query, sizeof query, "limit=%d", NAMES_MAX);
    if (quiet >= 0)
        IGNORE(dup2(quiet, STDERR_FILENO), "then an error is seen");
    if (tool_client(t) != TOOL_OK || client_call(t->client, &call, &list) < 0)
        list = NULL;
    if (stderr_before >= 0)
        IGNORE(dup2(stderr_before, STDERR_FILENO), "nothing follows");
    fd_close(&quiet);
    fd_close(&stderr_before);
    return json_object_is_type(list, json_type_array) ? list : NULL;
}

static const struct {
    enum words words;
    const char *noun, *part, *key, *means;
} name_rows[] = {
    { WORDS_USERS, "users", NULL, "username", "description" },
    { WORDS_FOLDERS, "folders", NULL, "name", "description" },
    { WORDS_ADMINS, "admins", NULL, "username", "description" },
    { WORDS_KEYS, "apikeys", NULL, "id", "name" },
    { WORDS_CONNECTIONS, "connections", NULL, "connection_id", "username" },
    { WORDS_HOSTS, "defender", "hosts", "ip", "ban_time" },
};

static void offer_names(struct tool *t, enum words words, const char *typed)
{
    for (size_t i = 0; i < ARRAY_SIZE(name_rows); i++) {
        if (name_rows[i].words != words)
            continue;
        struct json_object *list = ask(t, name_rows[i].noun, name_rows[i].part);
        for (size_t k = 0; list != NULL && k < json_object_array_length(list); k++) {
            struct json_object *entry = json_object_array_get_idx(list, k);
            const char *name = json_text(entry, name_rows[i].key);
            const char *means = json_text(entry, name_rows[i].means);
            if (name != NULL && is_plain(name))
                offer(typed, name, means != NULL && is_plain(means) ? means : "");
        }
        json_object_put(list);
    }
}

static void offer_arguments(struct tool *t, const struct command *c, size_t given, const char *typed)
{
    static const char *const shells[] = { "bash", "zsh", "fish" };

    if (c->words == WORDS_FIELDS && given > 0)
        offer_members(c, typed);
    else if (c->words == WORDS_FIELDS && strstr(c->name, " set") != NULL)
        offer_names(t,
                    str_has_prefix(c->name, "users")     ? WORDS_USERS
                    : str_has_prefix(c->name, "folders") ? WORDS_FOLDERS
                    : str_has_prefix(c->name, "admins")  ? WORDS_ADMINS
                                                         : WORDS_KEYS,
                    typed);
    else if (c->words == WORDS_SHELLS)
        for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
            offer(typed, shells[i], "");
    else if (given < c->most)
        offer_names(t, c->words, typed);
}

int on_complete(struct tool *t)
{
    const char *typed = t->args_n > 0 ? t->args[t->args_n - 1] : "";
    size_t before = t->args_n > 0 ? t->args_n - 1 : 0;
    size_t words = 0;
    const struct command *c = command_find(t->args, before, &words);

    if (typed[0] == '-')
        offer_options(c, typed);
    else if (before == 0)
        offer_first_words(typed);
    else if (before == 1 && command_is_noun(t->args[0]) && (c == NULL || strchr(c->name, ' ') != NULL))
        offer_verbs(t->args[0], typed);
    else if (c != NULL)
        offer_arguments(t, c, before - words, typed);
    return TOOL_OK;
}

/* ---- the scripts ---- */

static const struct {
    const char *shell, *script;
} scripts[] = {
    { "bash", "# bash completion of tally; made by: tally completion bash\n"
              "_tally() {\n"
              "    local line words=(\"${COMP_WORDS[@]:1:COMP_CWORD}\")\n"
              "    COMPREPLY=()\n"
              "    while IFS= read -r line; do\n"
              "        COMPREPLY+=(\"${line%%$'\\t'*}\")\n"
              "    done < <(tally complete -- \"${words[@]}\" 2>/dev/null)\n"
              "    if [ \"${#COMPREPLY[@]}\" = 1 ] && [ \"${COMPREPLY[0]: -1}\" = \"=\" ]; then\n"
              "        compopt -o nospace 2>/dev/null\n"
              "    fi\n"
              "}\n"
              "complete -o default -F _tally tally\n" },
    { "zsh", "#compdef tally\n"
             "# zsh completion of tally; made by: tally completion zsh\n"
             "_tally() {\n"
             "    local line\n"
             "    local -a plain described\n"
             "    while IFS= read -r line; do\n"
             "        plain+=(\"${line%%$'\\t'*}\")\n"
             "        described+=(\"${line%%$'\\t'*}  -- ${line#*$'\\t'}\")\n"
             "    done < <(tally complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
             "    if (( ${#plain} )); then\n"
             "        compadd -S '' -l -d described -a plain\n"
             "    else\n"
             "        _files\n"
             "    fi\n"
             "}\n"
             "if [ \"$funcstack[1]\" = _tally ]; then\n"
             "    _tally \"$@\"\n"
             "else\n"
             "    compdef _tally tally\n"
             "fi\n" },
    { "fish", "# fish completion of tally; made by: tally completion fish\n"
              "function __tally_complete\n"
              "    set -l words (commandline -opc)\n"
              "    set -l current (commandline -ct)\n"
              "    tally complete -- $words[2..-1] \"$current\" 2>/dev/null\n"
              "end\n"
              "complete -c tally -a '(__tally_complete)'\n" },
};

int on_completion(struct tool *t)
{
    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
        if (strcmp(scripts[i].shell, t->args[0]) == 0) {
            fputs(scripts[i].script, stdout);
            return TOOL_OK;
        }
    return tool_fail(TOOL_USAGE, "there are scripts for bash, zsh and fish, not for \"%s\"", t->args[0]);
}
