/* Looking up a command, and what --help prints of the table. */
#include "tool/command.h"

#include <string.h>

enum { HELP_WIDTH = 34 };

/* Length of the first word. */
static size_t noun_len(const char *name)
{
    return strcspn(name, " ");
}

static bool noun_is(const struct command *c, const char *word)
{
    size_t len = noun_len(c->name);

    return strncmp(c->name, word, len) == 0 && word[len] == '\0';
}

static const char *verb_of(const struct command *c)
{
    size_t len = noun_len(c->name);

    return c->name[len] == '\0' ? NULL : c->name + len + 1;
}

bool command_is_noun(const char *word)
{
    for (size_t i = 0; i < commands_n; i++)
        if (noun_is(&commands[i], word))
            return true;
    return false;
}

const struct command *command_find(char **words, size_t n, size_t *ret_words)
{
    const struct command *first = NULL;

    if (n == 0)
        return NULL;
    for (size_t i = 0; i < commands_n; i++) {
        const char *verb = verb_of(&commands[i]);
        if (!noun_is(&commands[i], words[0]))
            continue;
        if (verb == NULL || (n > 1 && strcmp(verb, words[1]) == 0)) {
            *ret_words = verb != NULL ? 2 : 1;
            return &commands[i];
        }
        first = first ? first : &commands[i];
    }
    if (n > 1) /* an unknown verb */
        return NULL;
    *ret_words = 1;
    return first;
}

/* ---- help ---- */

static void put_lines(struct strbuf *to, const char *lines)
{
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");
        strbuf_addf(to, "  %.*s\n", (int)len, lines);
        lines += len + (lines[len] == '\n');
    }
}

static void put_option(struct strbuf *to, const struct option_row *o)
{
    char left[80];

    if (o->letter != 0)
        snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name, o->arg ? o->arg[0] == '[' ? "" : " " : "",
                 o->arg ? o->arg : "");
    else
        snprintf(left, sizeof left, "    --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    strbuf_addf(to, "  %-28s %s\n", left, o->help);
}

static void put_options(struct strbuf *to, const char *title, uint32_t taken, bool general)
{
    bool any = false;

    for (size_t i = 0; i < option_rows_n; i++) {
        const struct option_row *o = &option_rows[i];
        if (general ? o->bit != OPT_ALL : (o->bit & taken) == 0)
            continue;
        if (!any)
            strbuf_addf(to, "\n%s:\n", title);
        any = true;
        put_option(to, o);
    }
}

void command_print_help(const struct command *c, struct strbuf *to)
{
    strbuf_addf(to, "Usage: tally %s%s%s\n\n  %s\n", c->name, c->args[0] ? " " : "", c->args, c->help);
    if (c->more != NULL) {
        strbuf_addc(to, '\n');
        put_lines(to, c->more);
    }
    put_options(to, "Options", c->options, false);
    strbuf_adds(to, "\nExamples:\n");
    put_lines(to, c->examples);
    put_options(to, "Options of every command", 0, true);
}

static void put_command(struct strbuf *to, const struct command *c)
{
    char left[200];

    snprintf(left, sizeof left, "%s%s%s", c->name, c->args[0] ? " " : "", c->args);
    if (strlen(left) > HELP_WIDTH)
        strbuf_addf(to, "  %s\n  %-*s %s\n", left, HELP_WIDTH, "", c->help);
    else
        strbuf_addf(to, "  %-*s %s\n", HELP_WIDTH, left, c->help);
}

void command_print_noun(const char *noun, struct strbuf *to)
{
    for (size_t i = 0; i < commands_n; i++)
        if (noun_is(&commands[i], noun) && commands[i].examples[0] != '\0')
            put_command(to, &commands[i]);
}

void command_print_usage(struct strbuf *to)
{
    strbuf_adds(to, "Usage: tally COMMAND [ARGUMENTS] [OPTIONS]\n\n"
                    "  Asks and steers tallyd, over the administrators' socket of this machine or --url.\n"
                    "  tally COMMAND --help says more, with examples.\n\nCommands:\n");
    for (size_t i = 0; i < commands_n; i++)
        if (commands[i].examples[0] != '\0')
            put_command(to, &commands[i]);
    put_options(to, "Options of every command", 0, true);
    strbuf_adds(to, "\nExit status: 0 done, 1 refused or failed, 2 wrong usage, 3 cannot connect, 4 not permitted.\n");
}
