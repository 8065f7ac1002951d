#include "tool/command.h"

#include "base/defs.h"
#include "tests/unit/base/row.h"

static const struct {
    const char *name;
    const char *words[3];
    size_t n;
    const char *found; /* NULL: nothing */
    size_t taken;
} rows[] = {
    { "one word", { "status" }, 1, "status", 1 },
    { "two words", { "users", "add", "x" }, 3, "users add", 2 },
    { "a noun alone is its list", { "users" }, 1, "users list", 1 },
    { "an unknown verb is no name of a user", { "users", "ad" }, 2, NULL, 0 },
    { "a beginning is no command", { "user" }, 1, NULL, 0 },
    { "what follows one word is an argument", { "usage", "users" }, 2, "usage", 1 },
    { "unknown", { "frobnicate" }, 1, NULL, 0 },
    { "empty", { "" }, 1, NULL, 0 },
    { "none", { NULL }, 0, NULL, 0 },
};

static void commands_are_found_by_whole_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *words[3] = { (char *)rows[i].words[0], (char *)rows[i].words[1], (char *)rows[i].words[2] };
        size_t taken = 0;
        const struct command *c = command_find(words, rows[i].n, &taken);
        if (rows[i].found == NULL) {
            row_equal(rows[i].name, c == NULL, 1);
            continue;
        }
        row_same(rows[i].name, c ? c->name : NULL, rows[i].found);
        row_equal(rows[i].name, (int64_t)taken, (int64_t)rows[i].taken);
    }
}

static void every_command_has_help_and_examples_that_name_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < commands_n; i++) {
        const struct command *c = &commands[i];
        struct strbuf help = STRBUF(100000);
        char noun[64];
        command_print_help(c, &help);
        snprintf(noun, sizeof noun, "tally %.*s", (int)strcspn(c->name, " "), c->name);
        row_equal(c->name, c->run != NULL && c->help[0] != '\0' && c->least <= c->most, 1);
        if (strcmp(c->name, "complete") != 0)
            row_equal(c->name, strstr(c->examples, noun) != NULL, 1);
        row_equal(c->name, strbuf_ok(&help), 0);
        for (size_t k = i + 1; k < commands_n; k++)
            row_equal(c->name, strcmp(c->name, commands[k].name) != 0, 1);
        strbuf_done(&help);
    }
}

static void no_two_options_share_a_name_or_a_letter(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_rows_n; i++)
        for (size_t k = i + 1; k < option_rows_n; k++) {
            row_equal(option_rows[i].name, strcmp(option_rows[i].name, option_rows[k].name) != 0, 1);
            row_equal(option_rows[i].name, option_rows[i].letter == 0 || option_rows[i].letter != option_rows[k].letter,
                      1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_found_by_whole_words),
        cmocka_unit_test(every_command_has_help_and_examples_that_name_it),
        cmocka_unit_test(no_two_options_share_a_name_or_a_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
