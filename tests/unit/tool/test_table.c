#include "tool/table.h"

#include <limits.h>
#include <locale.h>

#include "tests/unit/base/row.h"

static const struct column columns[] = {
    { "NAME", 0, 6, 0, 0 },
    { "", COLUMN_BAR, 6, 2, 0 },
    { "USED", COLUMN_RIGHT, 0, 0, 0 },
    { "WHERE", COLUMN_PATH, 8, 1, 0 },
};

static void fill(struct table *t)
{
    assert_int_equal(table_add(t, TONE_PLAIN, (const char *[]){ "ann", "0.5", "1.0 GiB", "/srv/data/ann" }), 0);
    assert_int_equal(table_add(t, TONE_PLAIN, (const char *[]){ "somebody-long", "", "9 B", "/srv/data/somebody" }), 0);
    assert_int_equal(table_add(t, TONE_PLAIN, (const char *[]){ "日本\033[2J", "1", "0 B", NULL }), 0);
}

/* The widest line. */
static unsigned widest(const char *text)
{
    unsigned most = 0;
    char line[1000];

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)len, text);
        most = MAX(most, text_width(line));
        text += len + 1;
    }
    return most;
}

static void no_line_is_wider_than_the_paper(void **state)
{
    (void)state;
    for (unsigned width = 20; width <= 200; width++) {
        const struct paper p = { .width = width, .is_utf8 = true };
        struct table t = TABLE(columns);
        struct strbuf to = STRBUF(100000);
        fill(&t);
        table_print(&t, &p, &to);
        row_equal("fits", widest(to.s) <= width, 1);
        row_equal("has who", strstr(to.s, "ann") != NULL, 1);
        row_equal("has how much", strstr(to.s, "1.0 GiB") != NULL, 1);
        strbuf_done(&to);
        table_done(&t);
    }
}

static void what_is_no_terminal_gets_everything(void **state)
{
    const struct paper p = { .width = UINT_MAX, .is_utf8 = true };
    struct table t = TABLE(columns);
    struct strbuf to = STRBUF(100000);

    (void)state;
    fill(&t);
    table_print(&t, &p, &to);
    assert_non_null(strstr(to.s, "somebody-long"));
    assert_non_null(strstr(to.s, "/srv/data/somebody"));
    assert_null(strchr(to.s, '\033'));
    strbuf_done(&to);
    table_done(&t);
}

static void narrow_paper_loses_columns_in_their_order(void **state)
{
    static const struct {
        unsigned width;
        bool bar, where;
    } rows[] = { { 80, true, true }, { 42, true, true }, { 30, false, true }, { 20, false, false } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct paper p = { .width = rows[i].width, .is_utf8 = true };
        struct table t = TABLE(columns);
        struct strbuf to = STRBUF(100000);
        fill(&t);
        table_print(&t, &p, &to);
        row_equal("bar", strstr(to.s, "█") != NULL, rows[i].bar);
        row_equal("where", strstr(to.s, "WHERE") != NULL, rows[i].where);
        strbuf_done(&to);
        table_done(&t);
    }
}

static void the_head_comes_once_and_later_pages_keep_the_widths(void **state)
{
    const struct paper p = { .width = UINT_MAX, .is_utf8 = true };
    struct table t = TABLE(columns);
    struct strbuf to = STRBUF(100000);

    (void)state;
    fill(&t);
    table_print(&t, &p, &to);
    strbuf_reset(&to);
    assert_int_equal(table_add(&t, TONE_PLAIN, (const char *[]){ "x", "", "1 B", "/y" }), 0);
    table_print(&t, &p, &to);
    assert_string_equal(to.s, "x                                        1 B  /y\n");
    strbuf_done(&to);
    table_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_line_is_wider_than_the_paper),
        cmocka_unit_test(what_is_no_terminal_gets_everything),
        cmocka_unit_test(narrow_paper_loses_columns_in_their_order),
        cmocka_unit_test(the_head_comes_once_and_later_pages_keep_the_widths),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
