/* One line a mount: "36 35 98:0 /root /mount/point rw,noatime shared:1 - ext3 /dev/root rw". The number of optional
 * words before the "-" varies, so the words behind it are found from there. */
#include "vfs/mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* The octal escapes that stand for blanks and backslashes, undone in place. */
static void unescape(char *s)
{
    char *to = s;

    while (*s != '\0') {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
}

/* The n-th word from here, unescaped; NULL: there are fewer. *line moves behind it. */
static char *word(char **line, int n)
{
    char *w = NULL;

    while (n-- > 0) {
        w = strsep(line, " \n");
        if (w == NULL)
            return NULL;
    }
    unescape(w);
    return w;
}

static bool line_read(char *line, struct mounted *ret)
{
    char *rest = strstr(line, " - ");
    int64_t id;

    if (rest == NULL)
        return false;
    *rest = '\0';
    rest += 3;
    const char *number = word(&line, 1);
    if (number == NULL || str_int(number, 0, INT64_MAX, &id) < 0)
        return false;
    *ret = (struct mounted){ .id = (uint64_t)id, .root = word(&line, 3), .at = word(&line, 1) };
    ret->type = word(&rest, 1);
    ret->source = word(&rest, 1);
    return ret->at != NULL && ret->source != NULL;
}

int mounts_each(int (*fn)(void *arg, const struct mounted *m), void *arg)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    struct mounted m;
    char *line = NULL;
    size_t room = 0;
    int r = 0;

    if (f == NULL)
        return -errno;
    while (r == 0 && getline(&line, &room, f) >= 0)
        if (line_read(line, &m))
            r = fn(arg, &m);
    free(line);
    fclose(f);
    return r;
}
