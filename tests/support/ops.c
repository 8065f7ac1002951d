/* See ops.h. */
#include "tests/support/ops.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

static const char zeros[65536];

/* ---- operations -------------------------------------------------------------------------------------------------- */

/* A name in its directory, the directory's record, and, if it exists, the inode's. */
struct spot {
    unsigned home;
    int dir_fd, fd; /* O_PATH */
    slot_t dir, slot;
    struct stat st;
    char name[256];
};

static void spot_done(struct spot *s)
{
    fd_close(&s->dir_fd);
    fd_close(&s->fd);
}

static int spot_enter_held(struct ops *b, struct spot *s, struct reservation *rsv)
{
    s->fd = openat(s->dir_fd, s->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (s->fd < 0)
        return -errno;
    if (fstat(s->fd, &s->st) < 0)
        return -errno;
    if (rsv)
        return record_create(b->trees[s->home], s->dir, s->fd, &s->st, rsv, &s->slot);
    return record_get(b->trees[s->home], s->dir, s->fd, &s->st, &s->slot);
}

static int spot_enter(struct ops *b, struct spot *s)
{
    return spot_enter_held(b, s, NULL);
}

/* Walks down the path by look-ups, as the kernel makes the mount do. 0 even if the last name is not there. */
static int spot_find(struct ops *b, unsigned home, const char *path, struct spot *s)
{
    char copy[PATH_MAX], *rest = NULL;
    int r = 0;

    *s = (struct spot){ .home = home,
                        .dir_fd = openat(b->homes[home], ".", O_PATH | O_DIRECTORY | O_CLOEXEC),
                        .fd = -1 };
    s->dir = tree_root(b->trees[home]);
    IGNORE(str_set(copy, sizeof copy, path), "short");
    char *name = strtok_r(copy, "/", &rest);
    while (r == 0 && name) {
        char *next = strtok_r(NULL, "/", &rest);

        IGNORE(str_set(s->name, sizeof s->name, name), "short");
        r = spot_enter(b, s);
        if (next && r == 0) {
            fd_close(&s->dir_fd);
            s->dir_fd = take_fd(&s->fd);
            s->dir = s->slot;
            s->slot = SLOT_NONE;
        }
        name = next;
        if (r == -ENOENT && next == NULL)
            return 0;
    }
    return r;
}

static int spot_create(struct ops *b, struct spot *s)
{
    struct change c = { 0 };
    struct reservation rsv = { 0 };
    int r = change_begin(b->l, &s->dir, 1, &c);

    if (r == 0)
        r = reservation_take(b->rooms[s->home], (struct charge){ .files = 1 }, 0, &rsv);
    if (r == 0) {
        int fd = openat(s->dir_fd, s->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        r = fd < 0 ? -errno : 0;
        fd_close(&fd);
    }
    if (r == 0 || r == -EEXIST)
        r = spot_enter_held(b, s, &rsv);
    reservation_drop(&rsv);
    change_end(&c);
    return r;
}

static bool is_alive(struct ops *b, const struct spot *s)
{
    struct record_view v;

    return record_view(b->l, s->slot, 0, &v) && v.ino == s->st.st_ino;
}

static ssize_t write_locked(struct ops *b, struct spot *s, int fd, uint64_t off, size_t len)
{
    struct reservation rsv = { 0 };
    struct stat st;

    if (!is_alive(b, s))
        return -ESTALE;
    assert_int_equal(fstat(fd, &st), 0);
    uint64_t size = (uint64_t)st.st_size;
    uint64_t grow = off + len > size ? off + len - size : 0, least = off >= size ? off - size + 1 : 0;
    int r = reservation_take(b->rooms[s->home], (struct charge){ .bytes = grow }, least, &rsv);
    if (r < 0)
        return r;
    ssize_t n = pwrite(fd, zeros, len - (size_t)(grow - rsv.held.bytes), (off_t)off);
    assert_int_equal(fstat(fd, &st), 0);
    if (rsv.room)
        reservation_commit_locked(&rsv, b->l, s->slot, &st);
    else
        settle_locked(b->l, s->slot, &st);
    return n < 0 ? -errno : n;
}

static ssize_t on_file(struct ops *b, struct spot *s, uint64_t off, size_t len, bool truncate_it)
{
    char path[64];
    struct change c = { 0 };
    struct stat st;

    snprintf(path, sizeof path, "/proc/self/fd/%d", s->fd);
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = change_begin(b->l, &s->slot, 1, &c);
    if (r < 0)
        return r;
    record_lock(b->l, s->slot);
    ssize_t n = 0;
    if (!truncate_it) {
        n = write_locked(b, s, fd, off, len);
    } else if (!is_alive(b, s)) {
        n = -ESTALE;
    } else {
        assert_int_equal(ftruncate(fd, (off_t)off), 0); /* the tests only shrink with it, or have room */
        assert_int_equal(fstat(fd, &st), 0);
        settle_locked(b->l, s->slot, &st);
    }
    record_unlock(b->l, s->slot);
    change_end(&c);
    return n;
}

static ssize_t file_op(struct ops *b, unsigned home, const char *path, uint64_t off, size_t len, bool truncate_it)
{
    CLEANUP(spot_done) struct spot s = { .dir_fd = -1, .fd = -1 };
    int r = spot_find(b, home, path, &s);

    if (r == 0 && s.fd < 0)
        r = spot_create(b, &s);
    if (r == 0 && !S_ISREG(s.st.st_mode))
        r = -EISDIR;
    return r < 0 ? r : on_file(b, &s, off, len, truncate_it);
}

ssize_t ops_write(struct ops *b, unsigned home, const char *path, uint64_t off, size_t len)
{
    return file_op(b, home, path, off, len, false);
}

int ops_truncate(struct ops *b, unsigned home, const char *path, uint64_t size)
{
    return (int)file_op(b, home, path, size, 0, true);
}

static void settle_after(struct ops *b, const struct spot *s)
{
    struct stat st;

    if (s->fd < 0 || !is_alive(b, s))
        return;
    assert_int_equal(fstat(s->fd, &st), 0);
    if (st.st_nlink == 0)
        settle_gone_locked(b->l, s->slot);
    else
        settle_locked(b->l, s->slot, &st);
}

static int remove_op(struct ops *b, unsigned home, const char *path, int flags)
{
    CLEANUP(spot_done) struct spot s = { .dir_fd = -1, .fd = -1 };
    struct change c = { 0 };
    int r = spot_find(b, home, path, &s);

    if (r < 0 || s.fd < 0)
        return r < 0 ? r : -ENOENT;
    const slot_t slots[] = { s.dir, s.slot };
    r = change_begin(b->l, slots, 2, &c);
    if (r < 0)
        return r;
    record_lock(b->l, s.slot);
    r = !is_alive(b, &s) ? -ESTALE : unlinkat(s.dir_fd, s.name, flags) < 0 ? -errno : 0;
    settle_after(b, &s);
    record_unlock(b->l, s.slot);
    change_end(&c);
    return r;
}

int ops_unlink(struct ops *b, unsigned home, const char *path)
{
    return remove_op(b, home, path, 0);
}

int ops_rmdir(struct ops *b, unsigned home, const char *path)
{
    return remove_op(b, home, path, AT_REMOVEDIR);
}

int ops_mkdir(struct ops *b, unsigned home, const char *path)
{
    CLEANUP(spot_done) struct spot s = { .dir_fd = -1, .fd = -1 };
    struct change c = { 0 };
    int r = spot_find(b, home, path, &s);

    if (r < 0)
        return r;
    r = change_begin(b->l, &s.dir, 1, &c);
    if (r < 0)
        return r;
    r = mkdirat(s.dir_fd, s.name, 0700) < 0 ? -errno : 0;
    if (r == 0)
        r = spot_enter(b, &s);
    change_end(&c);
    return r;
}

int ops_link(struct ops *b, unsigned home, const char *from, const char *to)
{
    CLEANUP(spot_done) struct spot f = { .dir_fd = -1, .fd = -1 }, t = { .dir_fd = -1, .fd = -1 };
    struct change c = { 0 };
    struct stat st;
    int r = spot_find(b, home, from, &f);

    if (r == 0)
        r = spot_find(b, home, to, &t);
    if (r == 0 && f.fd < 0)
        r = -ENOENT;
    const slot_t slots[] = { t.dir, f.slot };
    if (r == 0)
        r = change_begin(b->l, slots, 2, &c);
    if (r < 0)
        return r;
    record_lock(b->l, f.slot);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", f.fd);
    r = !is_alive(b, &f) ? -ESTALE : linkat(AT_FDCWD, path, t.dir_fd, t.name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
    if (r == 0 && is_alive(b, &f) && fstat(f.fd, &st) == 0)
        settle_locked(b->l, f.slot, &st);
    record_unlock(b->l, f.slot);
    change_end(&c);
    return r;
}

int ops_rename(struct ops *b, unsigned from_home, const char *from, unsigned to_home, const char *to)
{
    CLEANUP(spot_done) struct spot f = { .dir_fd = -1, .fd = -1 }, t = { .dir_fd = -1, .fd = -1 };
    struct change c = { 0 };
    struct stat st;
    int r = spot_find(b, from_home, from, &f);

    if (r == 0)
        r = spot_find(b, to_home, to, &t);
    if (r == 0 && f.fd < 0)
        r = -ENOENT;
    const slot_t slots[] = { f.dir, t.dir, f.slot, t.slot };
    if (r == 0)
        r = change_begin(b->l, slots, 4, &c);
    if (r < 0)
        return r;
    record_lock_many(b->l, slots + 2, 2);
    if (!is_alive(b, &f) || (t.fd >= 0 && !is_alive(b, &t)))
        r = -ESTALE; /* the mount would have it looked up again */
    if (r == 0)
        r = renameat(f.dir_fd, f.name, t.dir_fd, t.name) < 0 ? -errno : 0;
    if (r == 0 && f.st.st_ino != t.st.st_ino) {
        assert_int_equal(fstat(f.fd, &st), 0);
        if (is_alive(b, &f))
            r = settle_moved_locked(b->l, f.slot, t.dir, &st);
        settle_after(b, &t);
    }
    record_unlock_many(b->l, slots + 2, 2);
    change_end(&c);
    return r;
}

slot_t ops_slot(struct ops *b, unsigned home, const char *path)
{
    CLEANUP(spot_done) struct spot s = { .dir_fd = -1, .fd = -1 };

    if (*path == '\0')
        return tree_root(b->trees[home]);
    if (spot_find(b, home, path, &s) < 0)
        s.slot = SLOT_NONE;
    return s.slot;
}

/* ---- random work ------------------------------------------------------------------------------------------------- */

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % below;
}

/* Files of one writer in directories of all of them. */
static void storm_name(char *to, unsigned who, uint64_t *seed)
{
    unsigned depth = draw(seed, 3);

    if (depth == 0)
        snprintf(to, 64, "f%u-%u", who, draw(seed, 20));
    else if (depth == 1)
        snprintf(to, 64, "d%u/f%u-%u", draw(seed, 4), who, draw(seed, 20));
    else
        snprintf(to, 64, "d%u/e%u/f%u-%u", draw(seed, 4), draw(seed, 3), who, draw(seed, 20));
}

static void storm_dir(char *to, uint64_t *seed)
{
    if (draw(seed, 2) == 0)
        snprintf(to, 64, "d%u", draw(seed, 4));
    else
        snprintf(to, 64, "d%u/e%u", draw(seed, 4), draw(seed, 3));
}

void ops_storm(struct ops *b, unsigned home, unsigned who, uint64_t *seed)
{
    char from[64], to[64];

    storm_name(from, who, seed);
    storm_name(to, who, seed);
    switch (draw(seed, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        ops_write(b, home, from, draw(seed, 100000), 1 + draw(seed, 20000));
        break;
    case 4:
        ops_truncate(b, home, from, draw(seed, 50000));
        break;
    case 5:
    case 6:
        ops_unlink(b, home, from);
        break;
    case 7:
    case 8:
        ops_rename(b, home, from, home, to);
        break;
    case 9:
        storm_dir(to, seed);
        ops_mkdir(b, home, to);
        break;
    case 10:
        storm_dir(to, seed);
        storm_dir(from, seed);
        if (draw(seed, 3) == 0)
            ops_rmdir(b, home, to);
        else
            ops_rename(b, home, from, home, to);
        break;
    default:
        if (b->links_too)
            ops_link(b, home, from, to);
        else
            ops_truncate(b, home, from, draw(seed, 100));
    }
}
