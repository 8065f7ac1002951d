#include "sftp/notice.h"

#include <string.h>

#include "base/problem.h"
#include "base/str.h"

enum { PATH_SHOWN_MAX = 255 };

static const int wanted[] = { -EDQUOT, -ENOSPC, -EFBIG };

bool notice_wanted(int r)
{
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (wanted[i] == r)
            return true;
    return false;
}

/* It goes to a terminal: no control characters; of a long path the end, which has the name. */
static void path_shown(const char *path, char to[PATH_SHOWN_MAX + 1])
{
    size_t len = strlen(path);

    str_set(to, PATH_SHOWN_MAX + 1, len > PATH_SHOWN_MAX ? path + len - PATH_SHOWN_MAX : path);
    for (char *s = to; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

void notice_add(struct notices *n, const char *path, int r, const char *text)
{
    char shown[PATH_SHOWN_MAX + 1];
    struct strbuf line = STRBUF(NOTICE_BYTES_MAX);

    if (n->n == NOTICES_MAX)
        return;
    path_shown(path, shown);
    strbuf_addf(&line, "tally: %s: %s\n", shown, text ? text : problem_of(r)->text);
    if (strbuf_ok(&line) == 0 && n->lines.len + line.len <= n->lines.max) {
        queue_add(&n->lines, line.s, line.len);
        n->n++;
    }
    strbuf_done(&line);
}

void notices_done(struct notices *n)
{
    queue_done(&n->lines);
}
