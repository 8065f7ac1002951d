#include "tests/integration/ledger/bed.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int path_to(char *to, const struct bed *b, unsigned home, const char *path)
{
    return snprintf(to, PATH_MAX, "%s/homes/h%u%s%s", b->dir, home, *path ? "/" : "", path);
}

void bed_own_disk(char *dir, unsigned mib)
{
    char command[PATH_MAX];

    assert_int_equal(unshare(CLONE_NEWNS), 0); /* so it is gone with the process, however that ends */
    assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_non_null(mkdtemp(dir));
    snprintf(command, sizeof command,
             "cd '%s' && truncate -s %uM disk && mke2fs -q -F -t ext4 -b 4096 -N 1024 disk && mount -o loop disk .",
             dir, mib);
    assert_int_equal(system(command), 0); /* banned system: mke2fs is a program */
    assert_int_equal(setenv("TMPDIR", dir, 1), 0);
}

void bed_own_disk_done(const char *dir)
{
    char command[PATH_MAX];

    snprintf(command, sizeof command, "umount -l '%s' && rm -r '%s'", dir, dir);
    assert_int_equal(system(command), 0); /* banned system: removes our own directory */
}

struct bed *bed_new(unsigned n_trees)
{
    struct bed *b = calloc(1, sizeof *b);
    char path[PATH_MAX];

    assert_non_null(b);
    snprintf(b->dir, sizeof b->dir, "%s/tally-ledger-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(b->dir));
    snprintf(path, sizeof path, "%s/state", b->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/homes", b->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    b->n_trees = n_trees;
    b->ops.links_too = true;
    for (unsigned i = 0; i < n_trees; i++) {
        path_to(path, b, i, "");
        assert_int_equal(mkdir(path, 0700), 0);
        b->homes[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(b->homes[i] >= 0);
    }
    bed_open(b);
    return b;
}

int bed_try_open(struct bed *b, struct ledger **ret)
{
    char state[PATH_MAX];
    struct ledger_options o = {
        .state_dir = state,
        .boot_id = b->boot_id,
        .clean_after_ms = b->clean_after_ms,
        .unwatched = b->unwatched,
        .refuse_stale_growth = b->refuse_stale_growth,
        .track = b->track,
        .recounts = b->recounts,
        .recount_rate = b->recount_rate,
    };

    snprintf(state, sizeof state, "%s/state", b->dir);
    return ledger_open(&o, ret);
}

void bed_open(struct bed *b)
{
    assert_int_equal(bed_try_open(b, &b->l), 0);
    for (unsigned i = 0; i < b->n_trees; i++) {
        int root = openat(b->homes[i], ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(domain_get(b->l, DOMAIN_USER, i + 1, &b->users[i]), 0);
        assert_int_equal(tree_open(b->l, b->users[i], root, b->homes[i], &b->trees[i]), 0);
        const struct room_row row = { .domain = b->users[i] };
        b->rooms[i] = room_new(b->l, &row, 1);
        assert_non_null(b->rooms[i]);
    }
}

void bed_close(struct bed *b)
{
    for (unsigned i = 0; i < b->n_trees; i++) {
        room_unref(b->rooms[i]);
        b->rooms[i] = NULL;
    }
    ledger_close(b->l);
    b->l = NULL;
}

void bed_free(struct bed *b)
{
    char command[PATH_MAX];

    if (b->l)
        bed_close(b);
    for (unsigned i = 0; i < b->n_trees; i++)
        close(b->homes[i]);
    snprintf(command, sizeof command, "rm -rf '%s'", b->dir);
    assert_int_equal(system(command), 0); /* banned system: removes our own directory */
    free(b);
}

void bed_sh(struct bed *b, const char *command)
{
    char text[PATH_MAX];

    snprintf(text, sizeof text, "cd '%s/homes' && { %s; }", b->dir, command);
    assert_int_equal(system(text), 0); /* banned system: a foreign program that changes files beneath */
}

/* ---- beneath ----------------------------------------------------------------------------------------------------- */

void bed_put(struct bed *b, unsigned home, const char *path, uint64_t size)
{
    char full[PATH_MAX];

    path_to(full, b, home, path);
    CLEANUP(fd_close) int fd = open(full, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
}

/* ---- the truth --------------------------------------------------------------------------------------------------- */

struct truth {
    struct sum sum;
    uint64_t links[4096]; /* inodes with several names that were seen */
    size_t n_links;
};

static bool seen_before(struct truth *t, const struct stat *st)
{
    if (st->st_nlink == 1)
        return false;
    for (size_t i = 0; i < t->n_links; i++)
        if (t->links[i] == st->st_ino)
            return true;
    assert_true(t->n_links < ARRAY_SIZE(t->links));
    t->links[t->n_links++] = st->st_ino;
    return false;
}

static void walk_dir(int fd, struct truth *t)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    struct stat st;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            assert_true(sub >= 0);
            walk_dir(sub, t);
        } else if (S_ISREG(st.st_mode) && !seen_before(t, &st)) {
            t->sum.bytes += (uint64_t)st.st_size;
            t->sum.files++;
        }
    }
    closedir(d);
}

struct sum bed_walk(struct bed *b, unsigned home, const char *path)
{
    struct truth *t = calloc(1, sizeof *t);
    int fd = openat(b->homes[home], *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_non_null(t);
    assert_true(fd >= 0);
    walk_dir(fd, t);
    struct sum sum = t->sum;
    free(t);
    return sum;
}

struct sum bed_used(const struct domain *d)
{
    const struct usage_slot *u = domain_usage(d);

    return (struct sum){ atomic_load(&u->used_bytes), atomic_load(&u->used_files) };
}

struct sum bed_total(struct bed *b, unsigned home, const char *path)
{
    struct record_view v = { 0 };

    assert_true(record_view(b->l, bed_slot(b, home, path), 0, &v));
    assert_true(v.is_dir);
    return (struct sum){ v.bytes, v.files };
}

enum domain_state bed_state(const struct domain *d)
{
    return (enum domain_state)atomic_load(&domain_usage(d)->state);
}

struct sum sum_add(struct sum a, struct sum b)
{
    return (struct sum){ a.bytes + b.bytes, a.files + b.files };
}

void assert_home(struct bed *b, unsigned home, const char *when)
{
    assert_sum(when, bed_used(b->users[home]), bed_walk(b, home, ""));
    assert_sum(when, bed_total(b, home, ""), bed_walk(b, home, ""));
}

int bed_up_two(void **state)
{
    *state = bed_new(2);
    return 0;
}

int bed_up_three(void **state)
{
    *state = bed_new(3);
    return 0;
}

int bed_down(void **state)
{
    bed_free(*state);
    return 0;
}
