/* The shared state is one struct in a memfd, so its layout is its format; STATE_VERSION changes with it. Arrays are
 * sparse: pages that were never touched cost nothing.
 *
 * Homes, views and synthetic directories are open hash tables: an entry is searched from the place that its id gives to
 * the first place that was never used. Only activation and the end of a home search them, one at a time. */
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

void state_raise(_Atomic uint32_t *end, uint32_t least)
{
    uint32_t was = *end;

    while (was < least && !atomic_compare_exchange_weak(end, &was, least))
        ;
}

static size_t place_of(int64_t id, size_t size)
{
    return (size_t)(((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (size - 1);
}

int state_home_add(struct state *s, int64_t user_id)
{
    size_t free_at = STATE_HOMES, i = place_of(user_id, STATE_HOMES);

    for (size_t n = 0; n < STATE_HOMES; n++, i = (i + 1) & (STATE_HOMES - 1)) {
        if (s->homes[i] == user_id)
            return 0;
        if (s->homes[i] <= 0 && free_at == STATE_HOMES)
            free_at = i;
        if (s->homes[i] == 0)
            break;
    }
    if (free_at == STATE_HOMES)
        return -ENOSPC;
    s->homes[free_at] = user_id;
    return 0;
}

void state_home_remove(struct state *s, int64_t user_id)
{
    size_t i = place_of(user_id, STATE_HOMES);

    for (size_t n = 0; n < STATE_HOMES && s->homes[i] != 0; n++, i = (i + 1) & (STATE_HOMES - 1))
        if (s->homes[i] == user_id)
            s->homes[i] = STATE_GONE;
}

/* What is known of the views of a folder. */
struct views {
    struct state_view *mine; /* the user's, or NULL */
    struct state_view *free; /* where a new one may be */
    uint32_t number;         /* the lowest that nobody has; 0: all are taken */
};

static struct views views_of(struct state *s, int64_t folder_id, int64_t user_id)
{
    uint64_t taken[(VIEW_NUMBER_MAX + 1) / 64] = { 1 }; /* 0 is a home's */
    struct views v = { .number = 0 };
    size_t i = place_of(folder_id, STATE_VIEWS);

    for (size_t n = 0; n < STATE_VIEWS; n++, i = (i + 1) & (STATE_VIEWS - 1)) {
        struct state_view *e = &s->views[i];
        int64_t id = e->folder_id;

        if (id <= 0 && v.free == NULL)
            v.free = e;
        if (id == 0)
            break;
        if (id == folder_id && e->view <= VIEW_NUMBER_MAX)
            taken[e->view / 64] |= UINT64_C(1) << e->view % 64;
        if (id == folder_id && e->user_id == user_id)
            v.mine = e;
    }
    for (uint32_t n = VIEW_NUMBER_MAX; n > 0; n--)
        if ((taken[n / 64] & UINT64_C(1) << n % 64) == 0)
            v.number = n;
    return v;
}

int state_view_number(struct state *s, int64_t folder_id, int64_t user_id, uint32_t *ret)
{
    struct views v = views_of(s, folder_id, user_id);

    if (v.mine == NULL) {
        if (v.free == NULL || v.number == 0)
            return -ENOSPC;
        v.mine = v.free;
        v.mine->user_id = user_id;
        v.mine->view = v.number;
        v.mine->folder_id = folder_id;
    }
    *ret = v.mine->view;
    return 0;
}

void state_view_forget(struct state *s, int64_t folder_id, int64_t user_id)
{
    struct state_view *e = views_of(s, folder_id, user_id).mine;

    if (e != NULL)
        e->folder_id = STATE_GONE;
}

int64_t state_viewer(struct state *s, int64_t folder_id, uint32_t view)
{
    size_t i = place_of(folder_id, STATE_VIEWS);

    for (size_t n = 0; n < STATE_VIEWS && s->views[i].folder_id != 0; n++, i = (i + 1) & (STATE_VIEWS - 1))
        if (s->views[i].folder_id == folder_id && s->views[i].view == view)
            return s->views[i].user_id;
    return 0;
}

size_t state_viewers(struct state *s, int64_t folder_id, int64_t *ret_users, size_t room)
{
    size_t i = place_of(folder_id, STATE_VIEWS);
    size_t found = 0;

    for (size_t n = 0; n < STATE_VIEWS && s->views[i].folder_id != 0 && found < room; n++) {
        if (s->views[i].folder_id == folder_id)
            ret_users[found++] = s->views[i].user_id;
        i = (i + 1) & (STATE_VIEWS - 1);
    }
    return found;
}

int state_dir_number(struct state *s, int64_t user_id, const char *path, uint32_t *ret)
{
    size_t free_at = STATE_DIRS, i = place_of(user_id, STATE_DIRS);

    if (strlen(path) > STATE_PATH_MAX)
        return -ENAMETOOLONG;
    for (size_t n = 0; n < STATE_DIRS; n++, i = (i + 1) & (STATE_DIRS - 1)) {
        const struct state_dir *d = &s->dirs[i];

        if (d->user_id == user_id && strcmp(d->path, path) == 0) {
            *ret = (uint32_t)i;
            return 0;
        }
        if (d->user_id <= 0 && free_at == STATE_DIRS)
            free_at = i;
        if (d->user_id == 0)
            break;
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
    size_t i = place_of(user_id, STATE_DIRS);

    for (size_t n = 0; n < STATE_DIRS && s->dirs[i].user_id != 0; n++, i = (i + 1) & (STATE_DIRS - 1))
        if (s->dirs[i].user_id == user_id)
            s->dirs[i].user_id = STATE_GONE;
}
