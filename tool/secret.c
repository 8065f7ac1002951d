/* The terminal is read byte by byte with signals off, so that control-C gives the terminal back as it was. */
#include "tool/secret.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "tool/tool.h"

enum { KEY_INTERRUPT = 3, KEY_END = 4, KEY_BACKSPACE = 8, KEY_KILL = 21, KEY_DELETE = 127 };

int secret_read_fd(int fd, struct strbuf *to)
{
    char block[4096];

    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0)
            return -errno;
        if (n == 0)
            return strbuf_ok(to);
        strbuf_add(to, block, (size_t)n);
        if (strbuf_ok(to) < 0)
            return strbuf_ok(to);
    }
}

static int first_line(const char *path, struct strbuf *text, char **ret)
{
    size_t len = text->len > 0 ? strcspn(text->s, "\r\n") : 0;

    if (len == 0)
        return tool_fail(TOOL_USAGE, "%s: the first line is empty; it must be the password", path);
    *ret = strndup(text->s, len);
    return *ret != NULL ? TOOL_OK : tool_fail(TOOL_REFUSED, "%s", error_text(-ENOMEM));
}

int secret_from_file(const char *path, char **ret)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };
    bool is_stdin = strcmp(path, "-") == 0;
    struct strbuf text = STRBUF(SECRET_MAX);
    CLEANUP(fd_close) int fd = is_stdin ? -1 : sys->openat2(AT_FDCWD, path, &how);

    int r = is_stdin ? secret_read_fd(STDIN_FILENO, &text) : fd < 0 ? fd : secret_read_fd(fd, &text);
    int status =
        r < 0 ? tool_fail(TOOL_USAGE, "cannot read the password from %s: %s", is_stdin ? "stdin" : path, error_text(r))
              : first_line(is_stdin ? "stdin" : path, &text, ret);
    if (text.s != NULL)
        explicit_bzero(text.s, text.len);
    strbuf_done(&text);
    return status;
}

/* One key into the line. 1: the line is complete, 0: go on, -ECANCELED. */
static int take_key(struct strbuf *line, char key)
{
    switch (key) {
    case '\r':
    case '\n':
        return 1;
    case KEY_INTERRUPT:
    case KEY_END:
        return -ECANCELED;
    case KEY_KILL:
        strbuf_reset(line);
        return 0;
    case KEY_BACKSPACE:
    case KEY_DELETE:
        if (line->len > 0)
            line->s[--line->len] = '\0';
        return 0;
    default:
        strbuf_addc(line, key);
        return strbuf_ok(line);
    }
}

static int type_line(int tty, struct strbuf *line)
{
    int r = 0;
    char key;

    while (r == 0)
        r = read(tty, &key, 1) == 1 ? take_key(line, key) : -ECANCELED;
    return r < 0 ? r : 0;
}

static int ask_on(int tty, const char *prompt, struct strbuf *line)
{
    struct termios before;
    struct termios quiet;

    if (tcgetattr(tty, &before) < 0)
        return -errno;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0)
        return -errno;
    int r = write(tty, prompt, strlen(prompt)) < 0 ? -errno : type_line(tty, line);
    if (tcsetattr(tty, TCSAFLUSH, &before) < 0 || write(tty, "\n", 1) < 0)
        return -errno;
    return r;
}

int secret_ask(const char *prompt, char **ret)
{
    const struct open_how how = { .flags = O_RDWR | O_CLOEXEC | O_NOCTTY };
    struct strbuf line = STRBUF(SECRET_MAX);
    CLEANUP(fd_close) int tty = sys->openat2(AT_FDCWD, "/dev/tty", &how);

    if (tty < 0)
        return tool_fail(TOOL_USAGE, "no terminal to ask for the password: use --password-file FILE");
    int r = ask_on(tty, prompt, &line);
    if (r == 0)
        r = strbuf_take(&line, ret);
    if (line.s != NULL)
        explicit_bzero(line.s, line.room);
    strbuf_done(&line);
    if (r == -ECANCELED)
        return tool_fail(TOOL_REFUSED, "stopped");
    return r < 0 ? tool_fail(TOOL_REFUSED, "cannot ask for the password: %s", error_text(r)) : TOOL_OK;
}
