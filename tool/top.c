/* The screen of `tally top`. It is drawn whole each second and after each key; ncurses sends what changed.
 *
 *     tally top  /run/tally/api.sock                      12:33:01
 *     up 12.0 MiB/s  down 0 B/s  3 connected  2 transfers
 *
 *     USER  PROTOCOL  FROM  RATE  DOES                    half of the rest
 *     NAME  [bar]  FULL  USED  LIMIT                      what is left
 *     q quit  s sort: rate  up/down choose  c close       or a question, or what went wrong
 *
 * The keyboard is raw, so control-C is a key like q and the terminal is always given back; SIGTERM is ncurses' own
 * handler. A lost connection leaves the last picture, says since when it is old, and is tried again each second. Who is
 * no longer permitted (a token of 20 minutes) is told so after the screen is gone. */
#include <curses.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "tool/command.h"
#include "tool/table.h"
#include "tool/terminfo.h"
#include "tool/top.h"

enum { LOOK_MS = 1000, TEXT_MAX = 1 << 20, ROWS_LEAST = 3, KEY_INTERRUPT = 3, KEY_ESCAPE = 27 };
enum { PAIR_HEAD = 1, PAIR_WARN, PAIR_BAD };

struct top {
    struct tool *t;
    struct picture picture;
    struct paper paper;
    enum live_order order;
    char chosen[128];   /* the connection's id; empty: none */
    char closing[128];  /* the one that is asked about */
    char whose[400];    /* its user and address, for the question */
    char said[600];     /* the last line, if not the keys */
    uint64_t failed_ns; /* since when there is no connection; 0: there is */
    bool quits;
};

static const struct column live_columns[] = {
    { "USER", 0, 8, 0, 8 },           { "PROTOCOL", 0, 0, 4, 0 },         { "FROM", 0, 9, 5, 15 },
    { "UP", COLUMN_RIGHT, 0, 2, 12 }, { "DOWN", COLUMN_RIGHT, 0, 3, 12 }, { "DOES", COLUMN_PATH, 10, 1, 0 },
};

static const struct column home_columns[] = {
    { "HOME", 0, 8, 0, 8 },
    { "", COLUMN_BAR, 6, 2, 0 },
    { "FULL", COLUMN_RIGHT, 0, 0, 0 },
    { "USED", COLUMN_RIGHT, 0, 1, 10 },
    { "LIMIT", COLUMN_RIGHT, 0, 3, 0 },
    { "FILES", COLUMN_RIGHT, 0, 4, 0 },
};

/* ---- drawing ---- */

/* One line of our own text at a row, in an attribute. */
static void put_line(const struct top *top, int y, const char *line, size_t len, attr_t attributes)
{
    struct strbuf copy = STRBUF(TEXT_MAX);
    struct strbuf cut = STRBUF(TEXT_MAX);

    strbuf_add(&copy, line, len);
    text_put(&cut, &top->paper, copy.s ? copy.s : "", top->paper.width, CUT_END);
    attrset((int)attributes);
    mvaddstr(y, 0, cut.s ? cut.s : "");
    clrtoeol();
    attrset(A_NORMAL);
    strbuf_done(&copy);
    strbuf_done(&cut);
}

static attr_t pair(int n, attr_t otherwise)
{
    return has_colors() ? (attr_t)COLOR_PAIR(n) : otherwise;
}

/* The lines of a table from row y on; attribute_of() tells how the i-th is shown. Returns the row behind. */
static int put_table(const struct top *top, struct table *table, int y, int bottom,
                     attr_t (*attribute_of)(const struct top *top, size_t i))
{
    struct strbuf text = STRBUF(TEXT_MAX);
    size_t i = 0;

    table_print(table, &top->paper, &text);
    for (const char *line = text.s; line != NULL && *line != '\0' && y < bottom; y++, i++) {
        size_t len = strcspn(line, "\n");
        put_line(top, y, line, len, i == 0 ? A_BOLD : attribute_of(top, i - 1));
        line += len + (line[len] == '\n');
    }
    table_done(table);
    strbuf_done(&text);
    return y;
}

static attr_t live_attribute(const struct top *top, size_t i)
{
    return i < top->picture.lives_n && strcmp(top->picture.lives[i].id, top->chosen) == 0 ? A_REVERSE : A_NORMAL;
}

static attr_t home_attribute(const struct top *top, size_t i)
{
    double share = i < top->picture.homes.n ? home_share(&top->picture.homes.v[i]) : 0;

    return share >= 0.95 ? pair(PAIR_BAD, A_BOLD) : share >= 0.8 ? pair(PAIR_WARN, A_NORMAL) : A_NORMAL;
}

static int draw_lives(const struct top *top, int y, int bottom)
{
    struct table table = TABLE(live_columns);
    int r = 0;

    for (size_t i = 0; r == 0 && i < top->picture.lives_n && (int)i < bottom - y - 1; i++) {
        const struct live *l = &top->picture.lives[i];
        char up[TEXT_NUMBER_MAX], down[TEXT_NUMBER_MAX];
        const char *cells[] = { l->username,
                                l->protocol,
                                l->from,
                                l->up_rate > 0 ? text_rate(up, (double)l->up_rate) : "-",
                                l->down_rate > 0 ? text_rate(down, (double)l->down_rate) : "-",
                                l->does };
        r = table_add(&table, TONE_PLAIN, cells);
    }
    return put_table(top, &table, y, bottom, live_attribute);
}

static int draw_homes(const struct top *top, int y, int bottom)
{
    struct table table = TABLE(home_columns);
    int r = 0;

    for (size_t i = 0; r == 0 && i < top->picture.homes.n && (int)i < bottom - y - 1; i++) {
        const struct home *h = &top->picture.homes.v[i];
        double share = home_share(h);
        char bar[32] = "", full[TEXT_NUMBER_MAX], used[TEXT_NUMBER_MAX], limit[TEXT_NUMBER_MAX], files[TEXT_NUMBER_MAX];
        if (share >= 0)
            snprintf(bar, sizeof bar, "%.6f", share);
        snprintf(full, sizeof full, "%d%%", (int)(share * 100));
        const char *cells[] = { h->name,
                                bar,
                                share >= 0 ? full : "-",
                                text_bytes(used, h->bytes),
                                h->limit_bytes > 0 ? text_bytes(limit, h->limit_bytes) : "-",
                                text_count(files, h->files) };
        r = table_add(&table, TONE_PLAIN, cells);
    }
    return put_table(top, &table, y, bottom, home_attribute);
}

static void draw_head(const struct top *top)
{
    const struct picture *p = &top->picture;
    char line[600], clock[32] = "", up[TEXT_NUMBER_MAX], down[TEXT_NUMBER_MAX];
    time_t now = (time_t)(sys->wall_ms() / 1000);
    struct tm tm;

    if (localtime_r(&now, &tm) != NULL)
        strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    snprintf(line, sizeof line, "tally top  %s  %.300s", clock, client_where(top->t->client));
    put_line(top, 0, line, strlen(line), A_REVERSE);
    snprintf(line, sizeof line, "up %s  down %s  %zu connected  %zu transfer%s", text_rate(up, (double)p->up_rate),
             text_rate(down, (double)p->down_rate), p->lives_n, p->transfers_n, p->transfers_n == 1 ? "" : "s");
    put_line(top, 1, line, strlen(line), A_NORMAL);
    line[0] = '\0';
    if (p->stale + p->counting > 0)
        snprintf(line, sizeof line, "%llu numbers are stale, %llu are counted", (unsigned long long)p->stale,
                 (unsigned long long)p->counting);
    put_line(top, 2, line, strlen(line), pair(PAIR_WARN, A_BOLD));
}

static void draw_foot(const struct top *top, int y)
{
    char line[800];

    if (top->closing[0] != '\0')
        snprintf(line, sizeof line, "close %s? y or n", top->whose);
    else if (top->failed_ns != 0)
        snprintf(line, sizeof line, "no answer for %llu s, trying again: %.600s",
                 (unsigned long long)((sys->now_ns() - top->failed_ns) / 1000000000U), top->said);
    else if (top->said[0] != '\0')
        snprintf(line, sizeof line, "%s", top->said);
    else
        snprintf(line, sizeof line, "q quit  s sort: %s  up/down choose  c close", live_order_name(top->order));
    put_line(top, y, line, strlen(line),
             top->failed_ns != 0       ? pair(PAIR_BAD, A_BOLD)
             : top->closing[0] != '\0' ? A_BOLD
                                       : A_DIM);
}

static void draw(struct top *top)
{
    int rows = getmaxy(stdscr);
    int last = rows - 1;
    int middle = 3 + MAX((last - 3) / 2, (int)ROWS_LEAST);

    top->paper.width = (unsigned)getmaxx(stdscr);
    erase();
    draw_head(top);
    int y = draw_lives(top, 3, MIN(middle, last));
    draw_homes(top, MIN(y + 1, last), last);
    draw_foot(top, last);
    move(last, 0);
    refresh();
}

/* ---- keys ---- */

/* The chosen one's place in the list, or lives_n. */
static size_t chosen_at(const struct top *top)
{
    size_t i = 0;

    while (i < top->picture.lives_n && strcmp(top->picture.lives[i].id, top->chosen) != 0)
        i++;
    return i;
}

static void choose(struct top *top, int step)
{
    size_t n = top->picture.lives_n;
    size_t at = chosen_at(top);

    top->chosen[0] = '\0';
    if (n == 0)
        return;
    if (at == n)
        at = step > 0 ? 0 : n - 1;
    else
        at = step > 0 ? MIN(at + 1, n - 1) : at - (at > 0);
    str_set(top->chosen, sizeof top->chosen, top->picture.lives[at].id);
}

static void close_chosen(struct top *top)
{
    const struct call call = { .method = "DELETE", .path = { "connections", top->closing } };
    int r = client_call(top->t->client, &call, NULL);

    if (r == -ENOENT)
        snprintf(top->said, sizeof top->said, "%s was gone already", top->whose);
    else if (r < 0)
        snprintf(top->said, sizeof top->said, "%.590s", client_said(top->t->client));
    else
        snprintf(top->said, sizeof top->said, "closed: %s", top->whose);
    top->closing[0] = '\0';
}

static void ask_to_close(struct top *top)
{
    size_t at = chosen_at(top);

    if (at == top->picture.lives_n) {
        snprintf(top->said, sizeof top->said, "choose a connection with up and down first");
        return;
    }
    const struct live *l = &top->picture.lives[at];
    str_set(top->closing, sizeof top->closing, l->id);
    snprintf(top->whose, sizeof top->whose, "%.250s's %.15s from %.80s", l->username, l->protocol, l->from);
}

static void on_key(struct top *top, int key)
{
    top->said[0] = '\0';
    if (top->closing[0] != '\0' && key != KEY_RESIZE && key != KEY_INTERRUPT) {
        if (key == 'y' || key == 'Y')
            close_chosen(top);
        top->closing[0] = '\0';
        return;
    }
    switch (key) {
    case 'q':
    case KEY_INTERRUPT:
        top->quits = true;
        break;
    case 's':
        top->order = (top->order + 1) % LIVE_ORDERS;
        picture_sort(&top->picture, top->order);
        break;
    case KEY_DOWN:
    case 'j':
        choose(top, 1);
        break;
    case KEY_UP:
    case 'k':
        choose(top, -1);
        break;
    case 'c':
        ask_to_close(top);
        break;
    default:
        break;
    }
}

/* Keys while a call waits: the way out must work then, too. */
static bool wants_out(void *arg)
{
    struct top *top = arg;

    timeout(0);
    int key = getch();
    if (key == 'q' || key == KEY_INTERRUPT)
        top->quits = true;
    return top->quits;
}

/* ---- the loop ---- */

static int look(struct top *top)
{
    int r = picture_look(&top->picture, top->t->client);

    if (top->quits)
        return 0;
    if (r == 0) {
        if (top->failed_ns != 0)
            top->said[0] = '\0';
        top->failed_ns = 0;
        picture_sort(&top->picture, top->order);
    } else if (r != -EACCES) {
        top->failed_ns = top->failed_ns != 0 ? top->failed_ns : sys->now_ns();
        snprintf(top->said, sizeof top->said, "%.590s", client_said(top->t->client));
        r = 0;
    }
    return r;
}

static int loop(struct top *top)
{
    uint64_t next_ns = 0;
    int r = 0;

    while (r == 0 && !top->quits) {
        uint64_t now = sys->now_ns();
        if (now >= next_ns) {
            r = look(top);
            next_ns = sys->now_ns() + LOOK_MS * UINT64_C(1000000);
        }
        draw(top);
        now = sys->now_ns();
        timeout(now < next_ns ? (int)((next_ns - now) / 1000000) + 1 : 0);
        int key = top->quits || r < 0 ? ERR : getch();
        if (key != ERR)
            on_key(top, key);
    }
    return r;
}

static void screen_set_up(void)
{
    raw(); /* control-C is a key */
    noecho();
    keypad(stdscr, TRUE);
    IGNORE(curs_set(0), "some terminals cannot");
    set_escdelay(50);
    if (!has_colors())
        return;
    start_color();
    use_default_colors();
    init_pair(PAIR_HEAD, COLOR_CYAN, -1);
    init_pair(PAIR_WARN, COLOR_YELLOW, -1);
    init_pair(PAIR_BAD, COLOR_RED, -1);
}

static int run(struct top *top)
{
    SCREEN *screen = terminfo_has() ? newterm(NULL, stdout, stdin) : NULL;

    if (screen == NULL)
        return tool_fail(TOOL_USAGE, "the terminal \"%s\" is not known here: set TERM, e.g. to xterm-256color",
                         getenv("TERM") ? getenv("TERM") : "");
    screen_set_up();
    client_stop_when(top->t->client, wants_out, top);
    int r = loop(top);
    client_stop_when(top->t->client, NULL, NULL);
    endwin();
    delscreen(screen);
    return r < 0 ? tool_failed(top->t, r) : TOOL_OK;
}

int on_top(struct tool *t)
{
    struct top top = { .t = t, .paper = { .is_terminal = true, .is_utf8 = t->paper.is_utf8 } };

    if (!t->paper.is_terminal || isatty(STDIN_FILENO) != 1)
        return tool_fail(TOOL_USAGE,
                         "top wants a terminal; for programs: tally connections --json, tally usage --json");
    int status = tool_client(t);
    if (status != TOOL_OK)
        return status;
    int r = picture_look(&top.picture, t->client); /* what is wrong from the start is said without a screen */
    if (r < 0)
        return tool_failed(t, r);
    status = run(&top);
    picture_done(&top.picture);
    return status;
}
