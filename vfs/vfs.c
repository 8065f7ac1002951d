/* The service: its parts are made from the inside out and end in the reverse order.
 *
 * At the start, in this order, because each needs the one before: the state (what an earlier incarnation left), the
 * session (INIT), the open table (the ledger learns what is open before it repairs anything), then requests: each
 * activates the home that it is about, if that was active before (homes_resume.c). */
#include "vfs/vfs.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vfs/backing_ids.h"
#include "vfs/call.h"
#include "vfs/cover.h"
#include "vfs/file.h"
#include "vfs/homes.h"
#include "vfs/journal.h"
#include "vfs/notices.h"
#include "vfs/pins.h"
#include "vfs/transport.h"

enum { COVER_LOOK_MS = 5 };

/* Descriptors are what this process lives on: one for each file that is open for writing. */
static void descriptors_raise(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
        return;
    l.rlim_cur = l.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &l) < 0)
        log_warn("the limit of open files cannot be raised: %s", error_text(errno));
}

static void vfs_free(struct vfs *v)
{
    notices_stop(v->notices);
    transport_free(v->transport);
    files_free(v->files);
    backing_ids_free(v->backing_ids);
    homes_free(v->homes);
    pins_free(v->pins);
    fd_cache_free(v->fds);
    backings_free(v->backings);
    state_unmap(v->state);
    fd_close(&v->state_fd);
    for (size_t i = 0; i < DIR_LOCKS; i++)
        mutex_done(&v->dir_locks[i]);
    free(v);
}

static int parts_new(struct vfs *v, bool resume, dev_t cover_dev)
{
    int r = state_map(v->state_fd, resume, &v->state);

    if (r == 0)
        r = backings_new(v->config->vfs.mount, cover_dev, &v->backings);
    if (r == 0)
        r = fd_cache_new(&v->fds);
    if (r == 0)
        r = pins_new(&v->pins);
    if (r == 0)
        r = homes_new(v, &v->homes);
    if (r == 0)
        r = backing_ids_new(&v->backing_ids);
    if (r == 0)
        r = files_new(v, &v->files);
    return r;
}

/* fuse_fd and notify_fd are moved. */
static int session_begin(struct vfs *v, const struct vfs_options *o)
{
    int notify_fd = o->notify_fd;
    int r = transport_open(v, o->fuse_fd, o->resume, &v->transport);

    if (r == 0)
        r = notices_start(v, take_fd(&notify_fd), &v->notices);
    fd_close(&notify_fd);
    if (r == 0 && o->cover_fd > 0)
        r = covers_start(o->cover_fd, &v->covers);
    if (r < 0)
        return r;
    files_resume(v);
    if (o->resume)
        homes_resume_begin(v);
    orphans_settle(v->ledger);
    return transport_start(v->transport, o->resume, o->threads);
}

int vfs_start(const struct vfs_options *o, struct vfs **ret)
{
    struct vfs *v = calloc(1, sizeof *v);
    int fds[] = { o->fuse_fd, o->notify_fd, o->state_fd };

    if (v == NULL) {
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
            fd_close(&fds[i]);
        return -ENOMEM;
    }
    *v = (struct vfs){ .config = o->config, .store = o->store, .ledger = o->ledger, .state_fd = o->state_fd };
    v->fuse_fd = o->fuse_fd;
    for (size_t i = 0; i < DIR_LOCKS; i++)
        mutex_init(&v->dir_locks[i], RANK_CONNECTIONS);
    descriptors_raise();
    int r = parts_new(v, o->resume, o->cover_dev);
    if (r < 0) {
        fd_close(&fds[0]);
        fd_close(&fds[1]);
    } else {
        r = session_begin(v, o);
    }
    if (r < 0) {
        vfs_stop(v);
        return log_fail(r, "the file system of homes cannot start");
    }
    *ret = v;
    return 0;
}

void vfs_stop(struct vfs *v)
{
    if (v == NULL)
        return;
    covers_stop(v->covers); /* first: the binder may wait for an answer of the transport */
    transport_stop(v->transport);
    covers_free(v->covers);
    vfs_free(v);
}

int vfs_wait(struct vfs *v)
{
    return transport_wait(v->transport);
}

void vfs_wake(struct vfs *v)
{
    transport_wake(v->transport);
}

int vfs_activate_user(struct vfs *v, const char *username)
{
    return home_activate(v, username);
}

int vfs_activate_folder(struct vfs *v, const char *name)
{
    return folder_activate(v, name);
}

void vfs_user_changed(struct vfs *v, const char *username, int64_t id)
{
    home_refresh(v, username, id);
}

void vfs_folder_changed(struct vfs *v, const char *name, int64_t id)
{
    folder_refresh(v, name, id);
}

void vfs_verify(struct vfs *v, bool resume, const _Atomic bool *stop)
{
    if (resume)
        homes_resume(v, stop);
    homes_cover(v, stop);
    v->has_covered = true;
    homes_verify(v, resume, stop);
}

bool vfs_covered(struct vfs *v, unsigned ms)
{
    uint64_t until_ns = sys->now_ns() + ms * UINT64_C(1000000);

    while (v->covers != NULL && !(v->has_covered && covers_wait(v->covers, ms)) && sys->now_ns() < until_ns)
        poll(NULL, 0, COVER_LOOK_MS);
    return v->covers == NULL || v->has_covered;
}

void vfs_status(const struct vfs *v, struct vfs_status *ret)
{
    *ret = (struct vfs_status){ .passthrough = v->passthrough,
                                .libfuse = fuse_pkgversion(),
                                .open_files = files_count(v) };
}
