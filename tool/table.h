/* Tables for people: columns as wide as what is in them, on paper that may be too narrow for that.
 *
 * When they do not fit, columns give up their slack first (.least), then whole columns go, the one with the highest
 * .drop first; those with 0 stay. So 40 columns still show who and how much.
 *
 * Lifetime: cells are copied. table_print() may be called for each page of a long list; later pages keep the widths of
 * the first, or take more.
 * Limits: TABLE_ROWS_MAX rows between two prints. */
#pragma once

#include "tool/text.h"

enum { TABLE_COLUMNS_MAX = 12, TABLE_ROWS_MAX = 1 << 20, TABLE_CELL_MAX = 8192 };

enum tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_DIM };

enum column_flags {
    COLUMN_RIGHT = 1 << 0, /* numbers */
    COLUMN_BAR = 1 << 1,   /* the cell is a share, "0.53"; empty: no limit */
    COLUMN_PATH = 1 << 2,  /* loses its beginning when cut */
    COLUMN_TONE = 1 << 3,  /* has the row's tone */
};

struct column {
    const char *title;
    unsigned flags;
    unsigned least; /* columns it may be squeezed to; 0: none of it */
    unsigned drop;
    unsigned room; /* columns that it has even when nothing is in it, so that a live table stands still */
};

struct table {
    const struct column *columns;
    size_t n;
    char **cells; /* rows_n * n, owned */
    uint8_t *tones;
    size_t rows_n, room;
    unsigned widths[TABLE_COLUMNS_MAX];
    bool printed; /* the head */
};

#define TABLE(rows)                                                                                                    \
    {                                                                                                                  \
        .columns = (rows), .n = ARRAY_SIZE(rows)                                                                       \
    }

void table_done(struct table *t);

/* table_add - a row: one cell a column. 0, -ENOMEM, -E2BIG. */
int table_add(struct table *t, enum tone tone, const char *const *cells) MUST_CHECK;

/* table_print - adds what was added since the last print, with the head at the first. */
void table_print(struct table *t, const struct paper *p, struct strbuf *to);

/* tone_begin, tone_end - escape sequences, or nothing on paper without colours. */
void tone_begin(struct strbuf *to, const struct paper *p, enum tone tone);
void tone_end(struct strbuf *to, const struct paper *p, enum tone tone);

/* tone_of_share - of a home that is full to a share: nothing, warning from 80 %, bad from 95 %. */
enum tone tone_of_share(double share);
