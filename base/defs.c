#include "base/defs.h"

#include <stdlib.h>
#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
        *fd = -1;
    }
}

void mem_free(void *pp)
{
    void **p = pp;
    free(*p);
    *p = NULL;
}
