/* The shared state is one struct in a memfd, so its layout is its format; STATE_VERSION changes with it. Arrays are
 * sparse: pages that were never touched cost nothing. Lists are searched from their start; only activation and the
 * end of a home search them, and both are rare. */
#include "vfs/state.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"

enum { VIEW_NUMBER_MAX = 4095 };

int state_map(int fd, bool resume, struct state **ret)
{
    if (!resume && (ftruncate(fd, 0) < 0 || ftruncate(fd, sizeof(struct state)) < 0))
        return -errno;
    if (resume && lseek(fd, 0, SEEK_END) != sizeof(struct state))
        return -EPROTO;

    struct state *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED)
        return -errno;
    if (!resume) {
        memcpy(s->magic, STATE_MAGIC, sizeof s->magic);
        s->version = STATE_VERSION;
    } else if (memcmp(s->magic, STATE_MAGIC, sizeof s->magic) != 0 || s->version != STATE_VERSION || s->init_len == 0 ||
               s->init_len > STATE_INIT_MAX) {
        state_unmap(s);
        return -EPROTO;
    }
    for (size_t i = 0; i < STATE_JOURNAL; i++)
        if (s->journal[i].unique == STATE_CLAIMED)
            s->journal[i].unique = 0; /* its request had no effect yet */
    *ret = s;
    return 0;
}

void state_unmap(struct state *s)
{
    if (s != NULL)
        munmap(s, sizeof *s);
}

int state_home_add(struct state *s, int64_t user_id)
{
    size_t free_at = STATE_HOMES;

    for (size_t i = 0; i < STATE_HOMES; i++) {
        if (s->homes[i] == user_id)
            return 0;
        if (s->homes[i] == 0) {
            free_at = i;
            break; /* the list has no holes: see state_home_remove */
        }
    }
    if (free_at == STATE_HOMES)
        return -ENOSPC;
    s->homes[free_at] = user_id;
    return 0;
}

void state_home_remove(struct state *s, int64_t user_id)
{
    size_t n = 0;
    size_t at = STATE_HOMES;

    for (; n < STATE_HOMES && s->homes[n] != 0; n++)
        if (s->homes[n] == user_id)
            at = n;
    if (at == STATE_HOMES)
        return;
    s->homes[at] = s->homes[n - 1]; /* twice for a moment, never missing */
    s->homes[n - 1] = 0;
}

static struct state_view *view_find(struct state *s, int64_t folder_id, int64_t user_id)
{
    for (size_t i = 0; i < STATE_VIEWS; i++)
        if (s->views[i].folder_id == folder_id && s->views[i].user_id == user_id)
            return &s->views[i];
    return NULL;
}

/* The lowest number of a folder that nobody has; 0 if all are taken. */
static uint32_t view_number_free(const struct state *s, int64_t folder_id)
{
    uint64_t taken[(VIEW_NUMBER_MAX + 1) / 64] = { 1 }; /* 0 is a home's */

    for (size_t i = 0; i < STATE_VIEWS; i++)
        if (s->views[i].folder_id == folder_id && s->views[i].view <= VIEW_NUMBER_MAX)
            taken[s->views[i].view / 64] |= UINT64_C(1) << s->views[i].view % 64;
    for (uint32_t n = 0; n <= VIEW_NUMBER_MAX; n++)
        if ((taken[n / 64] & UINT64_C(1) << n % 64) == 0)
            return n;
    return 0;
}

int state_view_number(struct state *s, int64_t folder_id, int64_t user_id, uint32_t *ret)
{
    struct state_view *e = view_find(s, folder_id, user_id);

    if (e == NULL) {
        uint32_t number = view_number_free(s, folder_id);
        for (size_t i = 0; e == NULL && i < STATE_VIEWS; i++)
            if (s->views[i].folder_id == 0)
                e = &s->views[i];
        if (e == NULL || number == 0)
            return -ENOSPC;
        e->user_id = user_id;
        e->view = number;
        e->folder_id = folder_id;
    }
    *ret = e->view;
    return 0;
}

void state_view_forget(struct state *s, int64_t folder_id, int64_t user_id)
{
    struct state_view *e = view_find(s, folder_id, user_id);

    if (e != NULL)
        e->folder_id = 0;
}

int state_dir_number(struct state *s, int64_t user_id, const char *path, uint32_t *ret)
{
    size_t free_at = STATE_DIRS;

    if (strlen(path) > STATE_PATH_MAX)
        return -ENAMETOOLONG;
    for (size_t i = STATE_DIRS; i-- > 0;) {
        if (s->dirs[i].user_id == user_id && strcmp(s->dirs[i].path, path) == 0) {
            *ret = (uint32_t)i;
            return 0;
        }
        if (s->dirs[i].user_id == 0)
            free_at = i;
    }
    if (free_at == STATE_DIRS)
        return -ENOSPC;
    str_set(s->dirs[free_at].path, sizeof s->dirs[free_at].path, path);
    s->dirs[free_at].user_id = user_id;
    *ret = (uint32_t)free_at;
    return 0;
}

void state_dirs_forget(struct state *s, int64_t user_id)
{
    for (size_t i = 0; i < STATE_DIRS; i++)
        if (s->dirs[i].user_id == user_id)
            s->dirs[i].user_id = 0;
}
