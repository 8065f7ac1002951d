/* The log: one JSON object a line on stderr (SFTPGo's member names), or plain text when stderr is a terminal. When
 * systemd's journal reads it, each line has its priority in front ("<6>").
 *
 * Rooms that return an error do not log it; whoever handles it logs once, with the context that it alone has.
 * Never logged: passwords, tokens, keys, Authorization headers.
 *
 * Threads: any; a line is one write(2), so lines of several processes do not mix.
 * Limits:  a line is cut at LOG_LINE_MAX bytes. */
#pragma once

#include <stdarg.h>

#include "base/defs.h"

enum { LOG_LINE_MAX = 8192 };

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* One member of a structured line. Ends with a row whose name is NULL. */
struct log_field {
    const char *name;
    const char *text; /* NULL: `number` is meant */
    int64_t number;
};

/* log_open - the name of this process in each line ("sender") and the lowest level that is written. */
void log_open(const char *sender, enum log_level lowest);

/* log_level_of - by its name in the configuration; LOG_INFO if it is none. log_level_set - from now on. */
enum log_level log_level_of(const char *name);
void log_level_set(enum log_level lowest);

/* log_sink - tests put their own function here; NULL restores stderr. */
void log_sink(void (*write_line)(const char *line, size_t len));

void log_debug(const char *fmt, ...) PRINTF(1, 2);
void log_info(const char *fmt, ...) PRINTF(1, 2);
void log_warn(const char *fmt, ...) PRINTF(1, 2);
void log_error(const char *fmt, ...) PRINTF(1, 2);

/* log_fields - a structured line: sender (e.g. "Upload"), fields, message (may be NULL). */
void log_fields(enum log_level level, const char *sender, const struct log_field *fields, const char *message);

/* log_fail - logs "text: reason of r" as an error and returns r (a negative errno). */
int log_fail(int r, const char *fmt, ...) PRINTF(2, 3);

/* error_text - the system's text for a negative (or positive) errno; static memory, any thread. */
const char *error_text(int r);
