/* Requests carry the thread that asks. The rest is in /proc, and read only where it matters: when writers are listed,
 * and when a file with set-id bits is changed. */
#include "vfs/process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/sys.h"

enum { STATUS_ROOM = 1 << 20 }; /* 65,536 groups of ten digits and a blank */

bool process_read(uint32_t pid, const char *name, char *ret, size_t room)
{
    char path[48];

    snprintf(path, sizeof path, "/proc/%u/%s", pid, name);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, room - 1);
    ret[MAX(n, 0)] = '\0';
    return n > 0;
}

/* A number that ends at a blank or the line's end. */
static bool number_at(char *s, int64_t *ret)
{
    s[strcspn(s, " \n")] = '\0';
    return str_int(s, 0, INT64_MAX, ret) == 0;
}

uint32_t process_of(uint32_t thread)
{
    char status[1024];
    char *at = process_read(thread, "status", status, sizeof status) ? strstr(status, "\nTgid:\t") : NULL;
    int64_t pid;

    return at != NULL && number_at(at + 7, &pid) ? (uint32_t)pid : thread;
}

/* Field 22 of stat, counted behind the name. */
int64_t process_started_ms(uint32_t pid)
{
    char stat[1024];
    struct timespec up;
    char *at = process_read(pid, "stat", stat, sizeof stat) ? strrchr(stat, ')') : NULL;
    int64_t ticks;

    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL || !number_at(at + 1, &ticks) || clock_gettime(CLOCK_BOOTTIME, &up) < 0)
        return INT64_MAX;
    return sys->wall_ms() - (up.tv_sec * 1000 + up.tv_nsec / 1000000) + ticks * 1000 / sysconf(_SC_CLK_TCK);
}

/* The line of that name; "" if it is not there. */
static char *status_line(char *status, const char *name)
{
    char *at = strstr(status, name);

    if (at == NULL)
        return status + strlen(status);
    at += strlen(name);
    return at;
}

static bool groups_have(char *line, gid_t gid)
{
    char *save = NULL, text[16];

    snprintf(text, sizeof text, "%u", gid);
    line[strcspn(line, "\n")] = '\0';
    for (char *word = strtok_r(line, " \t", &save); word != NULL; word = strtok_r(NULL, " \t", &save))
        if (strcmp(word, text) == 0)
            return true;
    return false;
}

/* Sixteen hexadecimal digits; CAP_FSETID is in the second from the right. */
static bool caps_have_fsetid(const char *line)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = strspn(line, digits);
    const char *at = n >= 2 ? strchr(digits, line[n - 2]) : NULL;

    return at != NULL && ((at - digits) & (1 << (CAP_FSETID - 4))) != 0;
}

bool process_keeps_setgid(const struct caller *who, gid_t gid)
{
    CLEANUP(mem_free) char *status = calloc(1, STATUS_ROOM);

    if (process_keeps_setid(who) || gid == who->gid)
        return true;
    return status != NULL && process_read(who->pid, "status", status, STATUS_ROOM) &&
           groups_have(status_line(status, "\nGroups:\t"), gid);
}

bool process_keeps_setid(const struct caller *who)
{
    CLEANUP(mem_free) char *status = calloc(1, STATUS_ROOM);

    if (status == NULL || !process_read(who->pid, "status", status, STATUS_ROOM))
        return who->uid == 0;
    return caps_have_fsetid(status_line(status, "\nCapEff:\t"));
}
