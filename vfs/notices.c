/* Two ways out. An attribute notice is written to /dev/fuse at once. A name goes to the notifier's socket: with
 * MSG_DONTWAIT, since a handler must never wait for a notifier that waits for a directory lock of that handler's
 * client. When the socket is full the notice is lost; that is bounded by the short times that the kernel may keep
 * names in shared folders (KEEP_SHORT_S), and only there do handlers send any.
 *
 * Changes beneath are queued as small messages on a socket pair to a thread of our own: its sender waits when it is
 * full, which is right for a watcher, and the thread itself takes no lock of the kernel's but the connection's. */
#include "vfs/notices.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "vfs/call.h"
#include "vfs/mount.h"
#include "vfs/node.h"
#include "vfs/transport.h"

struct changed {
    slot_t slot;
    slot_t parent;
    uint32_t len; /* of the name; 0: none */
    char name[NOTICE_NAME_MAX + 1];
};

struct notices {
    struct vfs *vfs;
    int notify_fd;
    int in_fd, out_fd; /* the queue's ends */
    pthread_t thread;
};

void notice_name(struct vfs *v, uint64_t parent, const char *name)
{
    struct entry_notice n = { .parent = parent, .len = (uint32_t)strnlen(name, NOTICE_NAME_MAX) };

    memcpy(n.name, name, n.len);
    if (v->notices != NULL && v->notices->notify_fd >= 0)
        IGNORE(send(v->notices->notify_fd, &n, sizeof n, MSG_DONTWAIT | MSG_NOSIGNAL), "see the top of this file");
}

void notice_attr(struct vfs *v, uint64_t node)
{
    if (v->transport != NULL)
        IGNORE(fuse_lowlevel_notify_inval_inode(transport_session(v->transport), node, -1, 0),
               "the kernel need not know this node id");
}

void notice_listing(struct vfs *v, uint64_t node)
{
    if (v->transport != NULL)
        IGNORE(fuse_lowlevel_notify_inval_inode(transport_session(v->transport), node, 0, 0),
               "the kernel need not know this node id");
}

/* ---- other branches --------------------------------------------------------------------------------------------- */

struct others {
    struct vfs *vfs;
    slot_t slot;
    uint32_t generation;
    const char *name; /* NULL: attributes */
};

static void others_one(void *arg, uint32_t view)
{
    struct others *o = arg;
    uint64_t node = node_id(view, o->generation, o->slot);

    if (o->name != NULL)
        notice_name(o->vfs, node, o->name);
    else
        notice_attr(o->vfs, node);
}

void notice_others_attr(struct vfs *v, struct tree *tree, uint32_t not_view, slot_t slot, uint32_t generation)
{
    struct others o = { .vfs = v, .slot = slot, .generation = generation };

    branches_each(v, tree, not_view, others_one, &o);
}

void notice_others_name(struct vfs *v, struct tree *tree, uint32_t not_view, slot_t dir, uint32_t generation,
                        const char *name)
{
    struct others o = { .vfs = v, .slot = dir, .generation = generation, .name = name };

    branches_each(v, tree, not_view, others_one, &o);
    o.name = NULL;
    branches_each(v, tree, not_view, others_one, &o);
}

/* ---- changes beneath -------------------------------------------------------------------------------------------- */

enum { ALL_VIEWS = UINT32_MAX };

static void changed_inode(struct vfs *v, slot_t slot, const char *name)
{
    struct record_view rec;

    if (slot == SLOT_NONE || !record_view(v->ledger, slot, 0, &rec) || rec.tree == NULL)
        return;
    if (name != NULL)
        notice_others_name(v, rec.tree, ALL_VIEWS, slot, rec.generation, name);
    else
        notice_others_attr(v, rec.tree, ALL_VIEWS, slot, rec.generation);
}

static void changed_tell(struct vfs *v, const struct changed *c)
{
    changed_inode(v, c->slot, NULL);
    if (c->len > 0)
        changed_inode(v, c->parent, c->name);
    if (c->slot != SLOT_NONE)
        fd_cache_drop(v->fds, c->slot); /* it may be gone: then our descriptor is what keeps its blocks */
}

static void *notices_main(void *arg)
{
    struct notices *n = arg;
    struct changed c;

    for (;;) {
        ssize_t got = recv(n->out_fd, &c, sizeof c, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got != sizeof c)
            return NULL;
        changed_tell(n->vfs, &c);
    }
}

/* A subscription to the ledger lasts as long as the ledger, which outlives the vfs: what it calls must, too. */
static struct tap {
    bool is_made;
    struct rwlock lock; /* RANK_QUEUE */
    struct notices *to; /* NULL: nobody listens */
} tap;

static void tap_open(struct notices *to)
{
    if (!tap.is_made)
        rwlock_init(&tap.lock, RANK_QUEUE);
    tap.is_made = true;
    rwlock_lock(&tap.lock);
    tap.to = to;
    rwlock_unlock(&tap.lock);
}

static void ledger_says(void *arg, slot_t slot, slot_t parent, const char *name)
{
    struct tap *t = arg;
    struct changed c = { .slot = slot, .parent = parent };

    if (name != NULL) {
        str_set(c.name, sizeof c.name, name);
        c.len = (uint32_t)strlen(c.name);
    }
    rwlock_lock_shared(&t->lock);
    if (t->to != NULL)
        IGNORE(send(t->to->in_fd, &c, sizeof c, MSG_NOSIGNAL), "the vfs is ending");
    rwlock_unlock(&t->lock);
}

int notices_start(struct vfs *v, int notify_fd, struct notices **ret)
{
    struct notices *n = calloc(1, sizeof *n);
    int pair[2];

    if (n == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        fd_close(&notify_fd);
        int r = n == NULL ? -ENOMEM : -errno;
        free(n);
        return r;
    }
    *n = (struct notices){ .vfs = v, .notify_fd = notify_fd, .in_fd = pair[0], .out_fd = pair[1] };
    int r = -pthread_create(&n->thread, NULL, notices_main, n);
    if (r < 0) {
        fd_close(&n->in_fd);
        fd_close(&n->out_fd);
        fd_close(&n->notify_fd);
        free(n);
        return r;
    }
    tap_open(n);
    ledger_subscribe(v->ledger, ledger_says, &tap);
    *ret = n;
    return 0;
}

void notices_stop(struct notices *n)
{
    if (n == NULL)
        return;
    shutdown(n->in_fd, SHUT_RDWR); /* who waits to send is told first */
    tap_open(NULL);
    pthread_join(n->thread, NULL);
    fd_close(&n->in_fd);
    fd_close(&n->out_fd);
    fd_close(&n->notify_fd);
    free(n);
}
