/* The widths are found in three steps: as wide as the widest cell; then, while the least widths do not fit, a column is
 * dropped; then what is too much is taken from the columns that have slack, the widest first, one by one. */
#include "tool/table.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, BAR_WIDTH = 20, LEAST = 3 };

void table_done(struct table *t)
{
    for (size_t i = 0; i < t->rows_n * t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t->tones);
    t->cells = NULL;
    t->tones = NULL;
    t->rows_n = t->room = 0;
}

static int table_grow(struct table *t)
{
    if (t->rows_n < t->room)
        return 0;
    if (t->rows_n >= TABLE_ROWS_MAX)
        return -E2BIG;
    size_t room = t->room ? t->room * 2 : 64;
    char **cells = reallocarray(t->cells, room * t->n, sizeof *cells);
    if (cells == NULL)
        return -ENOMEM;
    t->cells = cells;
    uint8_t *tones = realloc(t->tones, room);
    if (tones == NULL)
        return -ENOMEM;
    t->tones = tones;
    t->room = room;
    return 0;
}

int table_add(struct table *t, enum tone tone, const char *const *cells)
{
    int r = table_grow(t);

    if (r < 0)
        return r;
    char **row = t->cells + t->rows_n * t->n;
    for (size_t i = 0; i < t->n; i++) {
        row[i] = strndup(cells[i] ? cells[i] : "", TABLE_CELL_MAX);
        if (row[i] == NULL) {
            while (i-- > 0)
                free(row[i]);
            return -ENOMEM;
        }
    }
    t->tones[t->rows_n++] = (uint8_t)tone;
    return 0;
}

/* ---- widths ---- */

static unsigned natural(const struct table *t, size_t column)
{
    const struct column *c = &t->columns[column];
    unsigned width = MAX(MAX(text_width(c->title), t->widths[column]), c->room);

    if ((c->flags & COLUMN_BAR) != 0)
        return MAX(width, (unsigned)BAR_WIDTH);
    for (size_t row = 0; row < t->rows_n; row++)
        width = MAX(width, text_width(t->cells[row * t->n + column]));
    return width;
}

static unsigned least(const struct table *t, size_t column, unsigned width)
{
    unsigned l = t->columns[column].least;

    return l > 0 && l < width ? l : width;
}

/* The column that goes next, or n. */
static size_t next_dropped(const struct table *t, const unsigned *widths)
{
    size_t found = t->n;

    for (size_t i = 0; i < t->n; i++)
        if (widths[i] > 0 && t->columns[i].drop > 0 && (found == t->n || t->columns[i].drop > t->columns[found].drop))
            found = i;
    return found;
}

static unsigned sum(const struct table *t, const unsigned *widths, bool at_least)
{
    unsigned total = 0;

    for (size_t i = 0; i < t->n; i++)
        if (widths[i] > 0)
            total += (at_least ? least(t, i, widths[i]) : widths[i]) + (total > 0 ? GAP : 0);
    return total;
}

/* Takes one column from where there is most above what it needs; false if nowhere. */
static bool squeeze(const struct table *t, unsigned *widths, bool beyond_least)
{
    size_t found = t->n;
    unsigned most = 0;

    for (size_t i = 0; i < t->n; i++) {
        unsigned floor = beyond_least ? MIN((unsigned)LEAST, widths[i]) : least(t, i, widths[i]);
        if (widths[i] > floor && widths[i] - floor > most) {
            most = widths[i] - floor;
            found = i;
        }
    }
    if (found < t->n)
        widths[found]--;
    return found < t->n;
}

static void layout(struct table *t, const struct paper *p, unsigned *widths)
{
    size_t gone;

    for (size_t i = 0; i < t->n; i++)
        widths[i] = natural(t, i);
    if (p->width == UINT_MAX) {
        memcpy(t->widths, widths, t->n * sizeof *widths);
        return;
    }
    while (sum(t, widths, true) > p->width && (gone = next_dropped(t, widths)) < t->n)
        widths[gone] = 0;
    while (sum(t, widths, false) > p->width && squeeze(t, widths, false))
        ;
    while (sum(t, widths, false) > p->width && squeeze(t, widths, true))
        ;
    memcpy(t->widths, widths, t->n * sizeof *widths);
}

/* ---- colours ---- */

static const char *const tone_codes[] = {
    [TONE_PLAIN] = NULL, [TONE_GOOD] = "32", [TONE_WARN] = "33", [TONE_BAD] = "31", [TONE_DIM] = "2",
};

void tone_begin(struct strbuf *to, const struct paper *p, enum tone tone)
{
    if (p->has_colours && tone_codes[tone] != NULL)
        strbuf_addf(to, "\033[%sm", tone_codes[tone]);
}

void tone_end(struct strbuf *to, const struct paper *p, enum tone tone)
{
    if (p->has_colours && tone_codes[tone] != NULL)
        strbuf_adds(to, "\033[0m");
}

enum tone tone_of_share(double share)
{
    return share >= 0.95 ? TONE_BAD : share >= 0.8 ? TONE_WARN : TONE_GOOD;
}

/* ---- printing ---- */

static void put_bar(struct strbuf *to, const struct paper *p, const char *cell, unsigned width)
{
    double share = strtod(cell, NULL);

    if (cell[0] == '\0') {
        text_pad(to, width);
        return;
    }
    tone_begin(to, p, tone_of_share(share));
    text_bar(to, p, share, width);
    tone_end(to, p, tone_of_share(share));
}

static void put_cell(struct strbuf *to, const struct paper *p, const struct column *c, const char *cell, unsigned width,
                     bool is_last)
{
    struct strbuf text = STRBUF(TABLE_CELL_MAX * 4);
    unsigned columns = text_put(&text, p, cell, width, (c->flags & COLUMN_PATH) != 0 ? CUT_BEGIN : CUT_END);

    if ((c->flags & COLUMN_RIGHT) != 0)
        text_pad(to, width - columns);
    strbuf_add(to, text.s ? text.s : "", text.len);
    if ((c->flags & COLUMN_RIGHT) == 0 && !is_last)
        text_pad(to, width - columns);
    strbuf_done(&text);
}

/* Nothing is behind the last word. */
static void end_line(struct strbuf *to)
{
    while (to->len > 0 && to->s[to->len - 1] == ' ')
        to->s[--to->len] = '\0';
    strbuf_addc(to, '\n');
}

static void put_row(const struct table *t, const struct paper *p, const unsigned *widths, char *const *cells,
                    enum tone tone, struct strbuf *to)
{
    bool first = true;

    for (size_t i = 0; i < t->n; i++) {
        const struct column *c = &t->columns[i];
        enum tone here = (c->flags & COLUMN_TONE) != 0 ? tone : TONE_PLAIN;
        if (widths[i] == 0)
            continue;
        if (!first)
            text_pad(to, GAP);
        first = false;
        tone_begin(to, p, here);
        if ((c->flags & COLUMN_BAR) != 0)
            put_bar(to, p, cells[i], widths[i]);
        else
            put_cell(to, p, c, cells[i], widths[i], i + 1 == t->n);
        tone_end(to, p, here);
    }
    end_line(to);
}

static void put_head(const struct table *t, const struct paper *p, const unsigned *widths, struct strbuf *to)
{
    bool first = true;
    size_t last = t->n;

    for (size_t i = 0; i < t->n; i++)
        last = widths[i] > 0 ? i : last;
    tone_begin(to, p, TONE_DIM);
    for (size_t i = 0; i < t->n; i++) {
        if (widths[i] == 0)
            continue;
        if (!first)
            text_pad(to, GAP);
        first = false;
        put_cell(to, p, &t->columns[i], t->columns[i].title, widths[i], i == last);
    }
    tone_end(to, p, TONE_DIM);
    end_line(to);
}

void table_print(struct table *t, const struct paper *p, struct strbuf *to)
{
    unsigned widths[TABLE_COLUMNS_MAX];

    layout(t, p, widths);
    if (!t->printed)
        put_head(t, p, widths, to);
    t->printed = true;
    for (size_t row = 0; row < t->rows_n; row++)
        put_row(t, p, widths, t->cells + row * t->n, (enum tone)t->tones[row], to);
    table_done(t);
}
