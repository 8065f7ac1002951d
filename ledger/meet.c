/* Meeting inodes by name: what the walker and the events have in common.
 *
 * Which inode a name means can change at any time. So the name is looked up, the record of that inode is locked, and
 * the name is looked up again inside the lock: only if it still means the same inode does the record become what that
 * second stat says. Else it begins anew with the inode that is there now. */
#include <dirent.h>
#include <string.h>

#include "base/dirs.h"
#include "ledger/inside.h"

enum { MEET_TRIES = 16, DENTS_BYTES = 32768 };

struct charge charge_of(const struct record *r)
{
    uint64_t word = record_head(r) & RECORD_FILE ? record_word(r) : 0; /* of a directory it is something else */

    return (struct charge){ word & ~RECORD_CHARGED, word & RECORD_CHARGED ? 1 : 0 };
}

int stat_slot(struct ledger *l, slot_t slot, struct stat *ret)
{
    CLEANUP(fd_close) int fd = record_open_fd(l, slot, 0, O_PATH | O_NOFOLLOW);

    if (fd < 0)
        return fd;
    int r = sys->fstatat(fd, "", ret, AT_EMPTY_PATH);
    return r == 0 && ret->st_ino != record_at(l, slot)->ino ? -ESTALE : r;
}

/* The handle of the inode that *st says. Handles of the common layout (ext4, XFS) begin with the inode number, so a
 * name that changed its meaning in between is noticed; for others the inode is held by a descriptor meanwhile. tmpfs
 * uses the same type for a longer handle in which the generation comes first. */
static int handle_by_name(int dir_fd, const char *name, const struct stat *st, struct handle *ret)
{
    enum { INO32_GEN = 1, INO32_GEN_BYTES = 8 };
    uint32_t ino;
    int r = record_handle(dir_fd, name, ret);

    if (r < 0)
        return r;
    memcpy(&ino, ret->data, sizeof ino);
    if (ret->type == INO32_GEN && ret->bytes == INO32_GEN_BYTES)
        return ino == (uint32_t)st->st_ino ? 0 : -EAGAIN;
    CLEANUP(fd_close) int fd = sys_open_beneath(dir_fd, name, O_PATH | O_NOFOLLOW, 0);
    struct stat now;
    r = fd < 0 ? fd : sys->fstatat(fd, "", &now, AT_EMPTY_PATH);
    if (r == 0)
        r = now.st_ino == st->st_ino ? record_handle(fd, "", ret) : -EAGAIN;
    return r;
}

/* The record of what *st says. -EAGAIN: the name means something else by now. */
static int intern(struct tree *t, slot_t dir, int dir_fd, const char *name, struct met *m)
{
    struct handle h;
    struct meeting meeting = { .parent = dir, .st = &m->st };
    int r = record_intern(t, &meeting, &m->slot, &m->is_new);

    if (r == -ENODATA && (r = handle_by_name(dir_fd, name, &m->st, &h)) == 0) {
        meeting.handle = &h;
        r = record_intern(t, &meeting, &m->slot, &m->is_new);
    }
    m->lost.bytes += meeting.lost.bytes;
    m->lost.files += meeting.lost.files;
    return r;
}

/* The same with the handle compared: a directory is listed by it, so it must be the right one. */
static int intern_exactly(struct tree *t, slot_t dir, int dir_fd, const char *name, struct met *m)
{
    struct handle h;
    struct meeting meeting = { .parent = dir, .st = &m->st, .handle = &h };
    int r = handle_by_name(dir_fd, name, &m->st, &h);

    if (r == 0)
        r = record_intern(t, &meeting, &m->slot, &m->is_new);
    m->lost.bytes += meeting.lost.bytes;
    m->lost.files += meeting.lost.files;
    return r;
}

/* A record that is where it should be, and with nothing to find out: it needs no stat before its lock. */
static bool is_settled_here(struct tree *t, slot_t dir, slot_t slot)
{
    const struct record *r = record_at(t->l, slot);
    uint32_t odd = RECORD_LOST | RECORD_NONAME | RECORD_SUSPECT | RECORD_DIR;

    return slot != SLOT_NONE && (record_head(r) & (odd | RECORD_LIVE | RECORD_FILE)) == (RECORD_LIVE | RECORD_FILE) &&
           record_place(r) == place_of(t->index, dir);
}

static int find_file(struct tree *t, slot_t dir, int dir_fd, const char *name, uint64_t ino, struct met *m)
{
    m->slot = ino ? index_find(&t->l->index, t->fs, ino) : SLOT_NONE;
    if (is_settled_here(t, dir, m->slot))
        return 0;
    int r = sys->fstatat(dir_fd, name, &m->st, AT_SYMLINK_NOFOLLOW);
    if (r < 0)
        return r;
    if (!S_ISREG(m->st.st_mode) || m->st.st_dev != t->dev)
        return -ENOENT;
    slot_t slot = index_find(&t->l->index, t->fs, m->st.st_ino);
    m->differed = !is_settled_here(t, dir, slot) && m->st.st_nlink == 1;
    return intern(t, dir, dir_fd, name, m);
}

/* The number of an inode that was deleted beneath the mount, unseen, may be that of another one now. */
static bool is_other_generation(int dir_fd, const char *name, const struct record *r)
{
    struct handle h;

    return record_handle(dir_fd, name, &h) == 0 && !record_has_handle(r, &h);
}

/* Looks the name up again inside the lock. -EAGAIN: it means another inode. */
static int settle_named_locked(struct tree *t, slot_t dir, int dir_fd, const char *name, struct met *m)
{
    struct record *r = record_at(t->l, m->slot);
    uint32_t epoch = atomic_load_explicit(&t->s->epoch, memory_order_relaxed);
    int e = sys->fstatat(dir_fd, name, &m->st, AT_SYMLINK_NOFOLLOW);

    if (e < 0)
        return e;
    if (!(record_head(r) & RECORD_LIVE) || m->st.st_dev != t->dev || m->st.st_ino != r->ino || !S_ISREG(m->st.st_mode))
        return S_ISREG(m->st.st_mode) ? -EAGAIN : -ENOENT;
    if (!m->is_new && is_other_generation(dir_fd, name, r)) {
        record_flag_set(r, RECORD_SUSPECT); /* the next try compares handles and makes a new record */
        return -EAGAIN;
    }
    bool ours = place_tree(record_place(r)) == t->index;
    m->was = charge_of(r);
    m->again =
        !ours || (!m->is_new && m->st.st_nlink > 1 && atomic_load_explicit(&r->seen, memory_order_relaxed) == epoch);
    enum settle_how how = !ours ? SETTLE_BY_HANDLE : m->is_new ? SETTLE_FIRST : SETTLE_BY_NAME;
    if (settle_stat(t->l, m->slot, &m->st, how, NULL))
        m->differed = true;
    m->now = charge_of(r);
    if (ours && !m->again && m->st.st_nlink > 1 && place_parent(record_place(r)) != dir)
        place_move(t->l, m->slot, 0, t, dir); /* once an epoch it hangs where it was seen: so totals cannot rot */
    return 0;
}

int meet_file(struct tree *t, slot_t dir, int dir_fd, const char *name, uint64_t ino, struct met *ret)
{
    struct charge lost = { 0 };

    for (unsigned i = 0; i < MEET_TRIES; i++) {
        struct met m = { .slot = SLOT_NONE, .lost = lost };
        int r = find_file(t, dir, dir_fd, name, i == 0 ? ino : 0, &m);

        if (r == 0) {
            record_lock(t->l, m.slot);
            r = settle_named_locked(t, dir, dir_fd, name, &m);
            record_unlock(t->l, m.slot);
        }
        lost = m.lost;
        if (r == -EAGAIN)
            continue;
        if (r == 0)
            *ret = m;
        return r;
    }
    return -ENOENT; /* a name that changes faster than we look: whoever changes it settles it */
}

int meet_dir(struct tree *t, slot_t dir, int dir_fd, const char *name, struct met *ret)
{
    struct ledger *l = t->l;
    struct charge lost = { 0 };

    for (unsigned i = 0; i < MEET_TRIES; i++) {
        struct met m = { .slot = SLOT_NONE, .lost = lost };
        int r = sys->fstatat(dir_fd, name, &m.st, AT_SYMLINK_NOFOLLOW);

        if (r < 0)
            return r;
        if (!S_ISDIR(m.st.st_mode) || m.st.st_dev != t->dev)
            return -ENOENT;
        slot_t slot = index_find(&l->index, t->fs, m.st.st_ino);
        uint64_t before = slot ? record_place(record_at(l, slot)) : 0;
        r = intern_exactly(t, dir, dir_fd, name, &m);
        lost = m.lost;
        if (r == -EAGAIN)
            continue;
        if (r < 0)
            return r;
        bool unlisted = record_head(record_at(l, m.slot)) & RECORD_UNLISTED; /* events from in it were not for us */
        m.differed = m.is_new || unlisted || m.slot != slot || record_place(record_at(l, m.slot)) != before;
        *ret = m;
        return 0;
    }
    return -ENOENT;
}

int entries_each(int fd, int (*fn)(void *arg, const struct entry *e), void *arg)
{
    _Alignas(8) uint8_t buf[DENTS_BYTES];

    for (;;) {
        ssize_t n = sys->getdents(fd, buf, sizeof buf);

        if (n <= 0)
            return n == -ENOENT ? 0 : (int)n; /* ENOENT: the directory was removed while it is open */
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *d = (const struct dirent64 *)(const void *)(buf + at);
            const struct entry e = { .name = d->d_name, .ino = d->d_ino, .type = d->d_type };
            int r = name_is_dot(d->d_name) ? 0 : fn(arg, &e);

            if (r != 0)
                return r;
            at += d->d_reclen;
        }
    }
}
