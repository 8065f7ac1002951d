#include "tallyd/fd_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"

bool fd_store_is_there(void)
{
    const char *max = getenv("FDSTORE"); /* systemd 254 says how many it keeps */

    return getenv("NOTIFY_SOCKET") != NULL && (max == NULL || strcmp(max, "0") != 0);
}

void fd_store_put(const char *name, int fd)
{
    char text[128];

    if (!fd_store_is_there())
        return;
    snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
    int r = sd_pid_notify_with_fds(0, 0, text, &fd, 1);
    if (r < 0)
        log_warn("systemd does not keep the descriptor %s: %s", name, error_text(r));
}

void fd_store_remove(const char *name)
{
    char text[128];

    if (!fd_store_is_there())
        return;
    snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
    IGNORE(sd_notify(0, text), "it is closed with the unit");
}

static void take_one(const char *name, int fd, const char *const *names, int *ret_fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0 && ret_fds[i] < 0) {
            ret_fds[i] = fd;
            return;
        }
    }
    close(fd);
}

void fd_store_take(const char *const *names, int *ret_fds, size_t n)
{
    char **kept = NULL;
    int count = sd_listen_fds_with_names(1, &kept);

    for (size_t i = 0; i < n; i++)
        ret_fds[i] = -1;
    for (int i = 0; i < count; i++) {
        take_one(kept[i], SD_LISTEN_FDS_START + i, names, ret_fds, n);
        free(kept[i]);
    }
    free(kept);
}
