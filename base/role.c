#include "base/role.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int role_take_fd(struct role *r, const char *name)
{
    for (size_t i = 0; i < r->fds_n; i++)
        if (r->fds[i].fd >= 0 && strcmp(r->fds[i].name, name) == 0)
            return take_fd(&r->fds[i].fd);
    return -1;
}

/* "name=number", up to the next comma or the end. */
static int role_parse_fd(struct role *r, const char *text, size_t len)
{
    char item[64];
    int64_t fd;

    if (len >= sizeof item || r->fds_n == ROLE_FDS_MAX)
        return -EINVAL;
    memcpy(item, text, len);
    item[len] = '\0';
    char *equals = strchr(item, '=');
    if (equals == NULL || equals == item)
        return -EINVAL;
    *equals = '\0';
    struct role_fd *row = &r->fds[r->fds_n];
    if (str_int(equals + 1, 0, 1 << 20, &fd) < 0 || !str_set(row->name, sizeof row->name, item))
        return -EINVAL;
    if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return -EINVAL;
    row->fd = (int)fd;
    r->fds_n++;
    return 0;
}

int role_parse_fds(struct role *r, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        int ret = role_parse_fd(r, text, len);
        if (ret < 0)
            return ret;
        text += len;
        text += *text == ',';
    }
    return 0;
}

/* The title is what argv pointed at: one stretch of memory that ps reads. Longer names than there is room are cut. */
void process_set_name(int argc, char **argv, const char *name)
{
    char *end = argv[0];

    IGNORE(prctl(PR_SET_NAME, name, 0, 0, 0), "a name is a help for people, nothing depends on it");
    for (int i = 0; i < argc; i++)
        if (argv[i] == end || argv[i] == end + 1)
            end = argv[i] + strlen(argv[i]);
    size_t room = (size_t)(end - argv[0]);
    size_t len = MIN(strlen(name), room);
    memset(argv[0], 0, room);
    memcpy(argv[0], name, len);
}
