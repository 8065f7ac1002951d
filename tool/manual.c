/* What the manual pages have from the tables, as roff: commands and options of tally(1), keys of tally.json(5).
 * contrib/manual puts them into docs/man/NAME.in. */
#include <string.h>

#include "base/config.h"
#include "tool/command.h"
#include "tool/member.h"

enum { TEXT_MAX = 4 << 20 };

/* Text as roff takes it: '\' and '-' escaped, a leading '.' or ''' hidden. */
static void put_roff(struct strbuf *to, const char *s)
{
    if (*s == '.' || *s == '\'')
        strbuf_adds(to, "\\&");
    for (; *s != '\0'; s++)
        if (*s == '\\')
            strbuf_adds(to, "\\e");
        else if (*s == '-')
            strbuf_adds(to, "\\-");
        else
            strbuf_addc(to, *s);
}

static void put_line(struct strbuf *to, const char *s)
{
    put_roff(to, s);
    strbuf_addc(to, '\n');
}

/* ---- tally(1) ---- */

static void put_option(struct strbuf *to, const struct option_row *o)
{
    strbuf_adds(to, ".TP\n");
    if (o->letter != 0)
        strbuf_addf(to, "\\fB\\-%c\\fR, ", o->letter);
    strbuf_adds(to, "\\fB\\-\\-");
    put_roff(to, o->name);
    strbuf_adds(to, "\\fR");
    if (o->arg != NULL) {
        strbuf_addf(to, "%s\\fI", o->arg[0] == '[' ? "" : " ");
        put_roff(to, o->arg);
        strbuf_adds(to, "\\fR");
    }
    strbuf_addc(to, '\n');
    put_line(to, o->help);
}

static void put_lines(struct strbuf *to, const char *text)
{
    char line[400];

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)len, text);
        put_line(to, line);
        text += len + (text[len] == '\n');
    }
}

static void put_command(struct strbuf *to, const struct command *c)
{
    strbuf_adds(to, ".SS \"");
    put_roff(to, c->name);
    strbuf_addf(to, "%s", c->args[0] ? " " : "");
    put_roff(to, c->args);
    strbuf_adds(to, "\"\n");
    put_line(to, c->help);
    if (c->more != NULL) {
        strbuf_adds(to, ".PP\n");
        put_lines(to, c->more);
    }
    for (size_t i = 0; i < option_rows_n; i++)
        if ((option_rows[i].bit & c->options) != 0)
            put_option(to, &option_rows[i]);
    strbuf_adds(to, ".PP\n.RS 4\n.nf\n");
    put_lines(to, c->examples);
    strbuf_adds(to, ".fi\n.RE\n");
}

static void put_member(struct strbuf *to, const struct member_row *m)
{
    static const char *const of[] = { "users", "folders", "administrators", "API keys" };
    bool first = true;

    strbuf_adds(to, ".TP\n.B ");
    put_line(to, m->name);
    put_roff(to, m->help);
    strbuf_adds(to, " (");
    for (unsigned i = 0; i < ARRAY_SIZE(of); i++)
        if ((m->of & (1U << i)) != 0) {
            strbuf_addf(to, "%s%s", first ? "" : ", ", of[i]);
            first = false;
        }
    strbuf_adds(to, ")\n");
}

static void manual_tally(struct strbuf *to)
{
    strbuf_adds(to, ".SH COMMANDS\n");
    for (size_t i = 0; i < commands_n; i++)
        if (commands[i].examples[0] != '\0')
            put_command(to, &commands[i]);
    strbuf_adds(to, ".SH FIELDS\nWhat\n.BR \"tally users set\" ,\n.B folders set\nand\n.B admins set\nchange:\n");
    for (size_t i = 0; i < member_rows_n; i++)
        if (!member_rows[i].read_only)
            put_member(to, &member_rows[i]);
    strbuf_adds(to, ".SH OPTIONS\nOf every command:\n");
    for (size_t i = 0; i < option_rows_n; i++)
        if (option_rows[i].bit == OPT_ALL)
            put_option(to, &option_rows[i]);
}

static const struct {
    const char *page;
    void (*put)(struct strbuf *to);
} pages[] = {
    { "tally.1", manual_tally },
    { "tally.json.5", config_print_manual },
};

int on_manual(struct tool *t)
{
    struct strbuf text = STRBUF(TEXT_MAX);

    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        if (strcmp(pages[i].page, t->args[0]) != 0)
            continue;
        pages[i].put(&text);
        int r = strbuf_ok(&text);
        if (r == 0)
            fputs(text.s, stdout);
        strbuf_done(&text);
        return r == 0 ? TOOL_OK : tool_fail(TOOL_REFUSED, "the page is too long");
    }
    return tool_fail(TOOL_USAGE, "there are tally.1 and tally.json.5, not \"%s\"", t->args[0]);
}
