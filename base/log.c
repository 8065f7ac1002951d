/* A line is built in a buffer on the stack and written with one write(2); what does not fit is cut and the line still
 * ends as valid JSON, since the closing bytes are kept in reserve. Plain text on a terminal, JSON everywhere else. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TAIL_RESERVE = 8 }; /* closing quote, brace, newline */

static struct {
    char sender[32];
    enum log_level lowest;
    bool plain, journal; /* stderr is a terminal; systemd's journal */
    void (*write_line)(const char *line, size_t len);
} sink = { .sender = "tallyd", .lowest = LOG_INFO };

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *const priorities[] = { "<7>", "<6>", "<4>", "<3>" }; /* sd-daemon(3) */

struct line {
    char s[LOG_LINE_MAX];
    size_t len;
};

static void line_add(struct line *l, const char *s, size_t n)
{
    size_t room = sizeof l->s - TAIL_RESERVE - l->len;

    n = MIN(n, room);
    memcpy(l->s + l->len, s, n);
    l->len += n;
}

static void line_adds(struct line *l, const char *s)
{
    line_add(l, s, strlen(s));
}

/* Escapes for a JSON string; never leaves half an escape at the cut. */
static void line_add_escaped(struct line *l, const char *s)
{
    for (; *s != '\0'; s++) {
        char esc[8];
        unsigned char c = (unsigned char)*s;
        int n = 1;

        esc[0] = (char)c;
        if (c == '"' || c == '\\')
            n = snprintf(esc, sizeof esc, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            n = snprintf(esc, sizeof esc, "\\u%04x", c);
        if (l->len + (size_t)n > sizeof l->s - TAIL_RESERVE)
            return;
        line_add(l, esc, (size_t)n);
    }
}

static void line_add_time(struct line *l)
{
    struct timespec now;
    struct tm tm;
    char text[48];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(text + n, sizeof text - n, ".%03ldZ", now.tv_nsec / 1000000);
    line_add(l, text, n);
}

static void line_add_field_json(struct line *l, const struct log_field *f)
{
    char number[32];

    line_adds(l, ",\"");
    line_adds(l, f->name);
    line_adds(l, "\":");
    if (f->text != NULL) {
        line_adds(l, "\"");
        line_add_escaped(l, f->text);
        line_adds(l, "\"");
        return;
    }
    snprintf(number, sizeof number, "%lld", (long long)f->number);
    line_adds(l, number);
}

static void line_build_json(struct line *l, enum log_level level, const char *sender, const struct log_field *fields,
                            const char *message)
{
    line_adds(l, "{\"level\":\"");
    line_adds(l, level_names[level]);
    line_adds(l, "\",\"time\":\"");
    line_add_time(l);
    line_adds(l, "\",\"sender\":\"");
    line_add_escaped(l, sender);
    line_adds(l, "\"");
    for (; fields != NULL && fields->name != NULL; fields++)
        line_add_field_json(l, fields);
    if (message != NULL) {
        line_adds(l, ",\"message\":\"");
        line_add_escaped(l, message);
        l->s[l->len++] = '"'; /* from the reserve */
    }
    l->s[l->len++] = '}';
    l->s[l->len++] = '\n';
}

static void line_build_plain(struct line *l, enum log_level level, const char *sender, const struct log_field *fields,
                             const char *message)
{
    line_add_time(l);
    line_adds(l, " ");
    line_adds(l, level_names[level]);
    line_adds(l, " ");
    line_adds(l, sender);
    line_adds(l, ": ");
    if (message != NULL)
        line_add_escaped(l, message);
    for (; fields != NULL && fields->name != NULL; fields++) {
        char number[32];

        snprintf(number, sizeof number, "%lld", (long long)fields->number);
        line_adds(l, " ");
        line_adds(l, fields->name);
        line_adds(l, "=");
        line_add_escaped(l, fields->text ? fields->text : number);
    }
    l->s[l->len++] = '\n';
}

static void line_write(enum log_level level, const char *sender, const struct log_field *fields, const char *message)
{
    struct line l;

    if (level < sink.lowest)
        return;
    l.len = 0;
    if (sink.journal)
        line_add(&l, priorities[level], strlen(priorities[level]));
    if (sink.plain)
        line_build_plain(&l, level, sender, fields, message);
    else
        line_build_json(&l, level, sender, fields, message);
    if (sink.write_line != NULL)
        sink.write_line(l.s, l.len);
    else
        IGNORE(write(STDERR_FILENO, l.s, l.len), "there is nowhere to report that the log is gone");
}

/* systemd names the device and inode of the stream that it reads; our stderr may be another by now. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char own[64];

    if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
        return false;
    snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    return strcmp(stream, own) == 0;
}

void log_open(const char *sender, enum log_level lowest)
{
    snprintf(sink.sender, sizeof sink.sender, "%s", sender);
    sink.lowest = lowest;
    sink.plain = isatty(STDERR_FILENO) == 1;
    sink.journal = is_journal();
}

enum log_level log_level_of(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(level_names); i++)
        if (strcmp(level_names[i], name) == 0)
            return (enum log_level)i;
    return LOG_INFO;
}

void log_level_set(enum log_level lowest)
{
    sink.lowest = lowest;
}

void log_sink(void (*write_line)(const char *line, size_t len))
{
    sink.write_line = write_line;
}

static void log_text(enum log_level level, const char *fmt, va_list ap) PRINTF(2, 0);
static void log_text(enum log_level level, const char *fmt, va_list ap)
{
    char text[2048];

    vsnprintf(text, sizeof text, fmt, ap);
    line_write(level, sink.sender, NULL, text);
}

#define DEFINE_LOG(name, level)                                                                                        \
    void name(const char *fmt, ...)                                                                                    \
    {                                                                                                                  \
        va_list ap;                                                                                                    \
        va_start(ap, fmt);                                                                                             \
        log_text(level, fmt, ap);                                                                                      \
        va_end(ap);                                                                                                    \
    }
DEFINE_LOG(log_debug, LOG_DEBUG)
DEFINE_LOG(log_info, LOG_INFO)
DEFINE_LOG(log_warn, LOG_WARN)
DEFINE_LOG(log_error, LOG_ERROR)

void log_fields(enum log_level level, const char *sender, const struct log_field *fields, const char *message)
{
    line_write(level, sender, fields, message);
}

int log_fail(int r, const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_error("%s: %s", text, error_text(r));
    return r;
}

const char *error_text(int r)
{
    const char *text = strerrordesc_np(r < 0 ? -r : r);

    return text ? text : "unknown error";
}
