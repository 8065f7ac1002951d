/* From argv to an exit status, and what the handlers share. */
#include "tool/tool.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tool/command.h"
#include "tool/place.h"

enum { SAID_MAX = 4096, HELP_MAX = 1 << 20, JSON_MAX = 512 << 20 };

/* ---- errors ---- */

int tool_fail(enum tool_exit status, const char *fmt, ...)
{
    const struct paper stderr_paper = paper_of(STDERR_FILENO);
    struct strbuf clean = STRBUF(SAID_MAX * 4);
    char said[SAID_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said, sizeof said, fmt, ap);
    va_end(ap);
    text_put(&clean, &stderr_paper, said, UINT32_MAX, CUT_END);
    IGNORE(fflush(stdout), "so that both come in their order on a terminal");
    fprintf(stderr, "tally: %s\n", clean.s ? clean.s : "");
    strbuf_done(&clean);
    return (int)status;
}

int tool_failed(struct tool *t, int r)
{
    enum tool_exit status = r == -ENOTCONN ? TOOL_NOT_CONNECTED : r == -EACCES ? TOOL_NOT_PERMITTED : TOOL_REFUSED;

    return tool_fail(status, "%s", client_said(t->client));
}

/* ---- the server ---- */

int tool_client(struct tool *t)
{
    return t->client != NULL ? TOOL_OK : place_open(t, &t->client);
}

int tool_get(struct tool *t, struct json_object **ret, ...)
{
    struct call call = { .method = "GET" };
    va_list ap;
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    va_start(ap, ret);
    for (size_t i = 0; i < CLIENT_SEGMENTS_MAX && (call.path[i] = va_arg(ap, const char *)) != NULL; i++)
        ;
    va_end(ap);
    int r = client_call(t->client, &call, ret);
    return r < 0 ? tool_failed(t, r) : TOOL_OK;
}

/* ---- output ---- */

/* Written by hand, as json-c leaves DEL and what is no UTF-8 as they are. */
static void put_json(struct json_out *out, struct json_object *j);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX, which the parser holds */
static void put_json_list(struct json_out *out, struct json_object *j)
{
    json_begin(out, '[');
    for (size_t i = 0; i < json_object_array_length(j); i++)
        put_json(out, json_object_array_get_idx(j, i));
    json_end(out, ']');
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as JSON_DEPTH_MAX, which the parser holds */
static void put_json(struct json_out *out, struct json_object *j)
{
    const char *text;

    switch (json_object_get_type(j)) {
    case json_type_object:
        json_begin(out, '{');
        json_object_object_foreach (j, name, member) {
            json_name(out, name);
            put_json(out, member);
        }
        json_end(out, '}');
        break;
    case json_type_array:
        put_json_list(out, j);
        break;
    case json_type_string:
        json_str(out, json_object_get_string(j));
        break;
    default:
        text = json_object_to_json_string(j);
        json_raw(out, text, strlen(text));
    }
}

void tool_print_json(const struct tool *t, struct json_object *j)
{
    struct strbuf text = STRBUF(JSON_MAX);
    struct json_out out = { .to = &text, .first = true, .indent = t->options.watch ? 0 : 2 };

    put_json(&out, j);
    if (strbuf_ok(&text) == 0)
        printf("%s\n", text.s);
    else
        tool_fail(TOOL_REFUSED, "the answer is too large to be shown");
    strbuf_done(&text);
}

bool tool_confirms(const struct tool *t, const char *fmt, ...)
{
    char question[SAID_MAX];
    char answer[16];
    struct strbuf clean = STRBUF(SAID_MAX * 4);
    va_list ap;

    if (t->options.yes || isatty(STDIN_FILENO) != 1 || !t->paper.is_terminal)
        return true;
    va_start(ap, fmt);
    vsnprintf(question, sizeof question, fmt, ap);
    va_end(ap);
    text_put(&clean, &t->paper, question, UINT32_MAX, CUT_END);
    printf("%s [y/N] ", clean.s ? clean.s : "");
    IGNORE(fflush(stdout), "the answer tells");
    strbuf_done(&clean);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static int print_text(struct strbuf *text)
{
    int r = strbuf_ok(text);

    if (r == 0 && text->len > 0)
        fputs(text->s, stdout);
    strbuf_done(text);
    return r < 0 ? tool_fail(TOOL_REFUSED, "%s", error_text(r)) : TOOL_OK;
}

/* ---- dispatch ---- */

static int print_usage(void)
{
    struct strbuf text = STRBUF(HELP_MAX);

    command_print_usage(&text);
    return print_text(&text);
}

static int print_help(const struct command *c)
{
    struct strbuf text = STRBUF(HELP_MAX);

    command_print_help(c, &text);
    return print_text(&text);
}

static int refuse_word(char **words, size_t n)
{
    struct strbuf verbs = STRBUF(HELP_MAX);

    if (n == 0) {
        command_print_usage(&verbs);
        fprintf(stderr, "%s", verbs.s ? verbs.s : "");
    } else if (n > 1 && command_is_noun(words[0])) {
        tool_fail(TOOL_USAGE, "\"%s %s\" is not a command; there are:", words[0], words[1]);
        command_print_noun(words[0], &verbs);
        fprintf(stderr, "%s", verbs.s ? verbs.s : "");
    } else {
        tool_fail(TOOL_USAGE, "\"%s\" is not a command; see tally --help", words[0]);
    }
    strbuf_done(&verbs);
    return TOOL_USAGE;
}

static int run_command(struct tool *t, const struct command *c)
{
    if (t->options.help)
        return print_help(c);
    int status = options_refuse(&t->options, c->options, c->name);
    if (status != TOOL_OK)
        return status;
    if (t->args_n < c->least)
        return tool_fail(TOOL_USAGE, "something is missing: tally %s %s", c->name, c->args);
    if (t->args_n > c->most)
        return tool_fail(TOOL_USAGE, "\"%s\" is too much: tally %s %s", t->args[c->most], c->name, c->args);
    t->command = c;
    return c->run(t);
}

static int run(struct tool *t, int argc, char **argv)
{
    int first;
    size_t words = 0;
    int status = options_parse(argc, argv, &t->options, &first);

    if (status != TOOL_OK)
        return status;
    if (t->options.version) {
        printf("tally %s\n", TALLY_VERSION);
        return TOOL_OK;
    }
    size_t n = (size_t)(argc - first);
    const struct command *c = command_find(argv + first, n, &words);
    if (c == NULL)
        return n == 0 && t->options.help ? print_usage() : refuse_word(argv + first, n);
    t->args = argv + first + words;
    t->args_n = n - words;
    return run_command(t, c);
}

int tool_main(int argc, char **argv)
{
    struct tool t = { 0 };

    IGNORE(setlocale(LC_CTYPE, ""), "without it: C, which shows less");
    t.paper = paper_of(STDOUT_FILENO);
    int status = run(&t, argc, argv);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == TOOL_OK) /* an earlier failure has no errno any more */
        status = tool_fail(TOOL_REFUSED, "cannot write the output: %s", error_text(errno != 0 ? -errno : -ENOSPC));
    client_free(t.client);
    options_done(&t.options);
    return status;
}
