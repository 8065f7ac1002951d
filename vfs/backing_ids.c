/* Backing ids live in the kernel's connection and survive us, so each is noted in the state. The note is written in two
 * steps around the ioctl: first "an id not below `lowest` is being made for this inode", then the id. Ids are given
 * out in rising order, so a successor that finds the first step alone opens a dummy, learns how far ids have come,
 * and closes all in between that nobody has noted. */
#include "vfs/backing_ids.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vfs/vacant.h"

/* linux/fuse.h of 6.9; Debian 12 has an older one */
struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define DEV_IOC_BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define DEV_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

struct backing_ids {
    struct vacant vacant;
    _Atomic bool said_fallback;
};

int backing_ids_new(struct backing_ids **ret)
{
    struct backing_ids *b = calloc(1, sizeof *b);
    int r = b == NULL ? -ENOMEM : vacant_init(&b->vacant, STATE_BACKINGS);

    if (r < 0)
        free(b);
    else
        *ret = b;
    return r;
}

void backing_ids_free(struct backing_ids *b)
{
    if (b != NULL)
        vacant_done(&b->vacant);
    free(b);
}

static int ioctl_open(struct vfs *v, int fd)
{
    struct backing_map map = { .fd = fd };
    int id = ioctl(v->fuse_fd, DEV_IOC_BACKING_OPEN, &map);

    return id < 0 ? -errno : id;
}

static void ioctl_close(struct vfs *v, int32_t id)
{
    uint32_t which = (uint32_t)id;

    IGNORE(ioctl(v->fuse_fd, DEV_IOC_BACKING_CLOSE, &which), "an id that is gone is what we want");
}

static void note_clear(struct state_backing *b)
{
    b->id = 0;
    b->lowest = 0;
    b->slot = SLOT_NONE;
}

static void highest_raise(struct state *s, int32_t id)
{
    int32_t was = s->highest_backing;

    while (was < id && !atomic_compare_exchange_weak(&s->highest_backing, &was, id))
        ;
}

static int32_t make_noted(struct vfs *v, struct state_backing *b, slot_t slot, uint32_t generation, int fd)
{
    b->generation = generation;
    b->lowest = v->state->highest_backing + 1;
    b->slot = slot;
    int id = ioctl_open(v, fd);
    if (id > 0) {
        b->id = id;
        highest_raise(v->state, id);
    } else {
        note_clear(b);
    }
    return id != 0 ? id : -EIO;
}

int32_t backing_id_make(struct vfs *v, slot_t slot, uint32_t generation, int fd, uint32_t *ret_at)
{
    struct vacant *n = &v->backing_ids->vacant;
    int32_t id = -ENOSPC;
    uint32_t at;

    if (vacant_take(n, &at)) {
        state_raise(&v->state->backings_end, at + 1);
        id = make_noted(v, &v->state->backings[at], slot, generation, fd);
        if (id > 0)
            *ret_at = at;
        else
            vacant_give(n, at);
    }
    if (id <= 0 && !atomic_exchange(&v->backing_ids->said_fallback, true))
        log_warn("no passthrough for a file: %s; such files are read and written through the daemon", error_text(id));
    return id;
}

void backing_id_drop(struct vfs *v, int32_t id, uint32_t at)
{
    ioctl_close(v, id);
    note_clear(&v->state->backings[at]);
    vacant_give(&v->backing_ids->vacant, at);
}

/* ---- after a crash ---------------------------------------------------------------------------------------------- */

static bool is_known(const struct state *s, int32_t id)
{
    for (uint32_t at = 0; at < s->backings_end; at++)
        if (s->backings[at].slot != SLOT_NONE && s->backings[at].id == id)
            return true;
    return false;
}

/* Ids from `lowest` up that were made, but not noted. */
static void close_lost(struct vfs *v, int32_t lowest)
{
    CLEANUP(fd_close) int dummy = memfd_create("tally-dummy", MFD_CLOEXEC);
    int now = dummy < 0 ? -EMFILE : ioctl_open(v, dummy);

    for (int32_t id = lowest; id < now; id++)
        if (!is_known(v->state, id))
            ioctl_close(v, id);
    if (now > 0) {
        ioctl_close(v, now);
        highest_raise(v->state, now);
    }
}

void backing_ids_resume(struct vfs *v, backing_adopt *adopt)
{
    struct vacant *n = &v->backing_ids->vacant;
    int32_t lowest = INT32_MAX;

    vacant_resume(n, v->state->backings_end);
    for (uint32_t at = 0; at < v->state->backings_end; at++) {
        struct state_backing *b = &v->state->backings[at];
        if (b->slot != SLOT_NONE && b->id > 0 && adopt(v, b->slot, b->generation, b->id, at))
            continue;
        if (b->id > 0)
            ioctl_close(v, b->id);
        else if (b->lowest > 0)
            lowest = MIN(lowest, b->lowest);
        note_clear(b);
        vacant_give(n, at);
    }
    if (lowest < INT32_MAX)
        close_lost(v, lowest);
}
