/* Inode numbers that are used again, by another kind of inode, in another place, before anybody has seen the deletion:
 * what was charged for the old inode and for all that hung on it goes, whoever finds out, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/ledger/bed.h"

enum { FILLERS_MAX = 200 };

static char disk[] = "/tmp/tally-reuse-XXXXXX";

static int make_disk(void **state)
{
    (void)state;
    bed_own_disk(disk, 32);
    return 0;
}

static int drop_disk(void **state)
{
    (void)state;
    bed_own_disk_done(disk);
    return 0;
}

static uint64_t ino_at(int dir, const char *path)
{
    struct stat st;

    assert_int_equal(fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st.st_ino;
}

static void make(int dir, const char *path, bool is_dir)
{
    int fd = is_dir ? mkdirat(dir, path, 0700) : openat(dir, path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    if (!is_dir)
        close(fd);
}

/* Makes `path` with this inode number, the lowest but few that is free: inodes are made beside it until one has it. */
static void make_with_number(int home, const char *path, bool is_dir, uint64_t ino)
{
    char name[BED_PATH];
    int dir = (int)(strrchr(path, '/') - path);
    unsigned n = 0;

    do {
        assert_true(n < FILLERS_MAX);
        snprintf(name, sizeof name, "%.*s/filler%u", dir, path, n++);
        make(home, name, is_dir);
    } while (ino_at(home, name) != ino);
    assert_int_equal(renameat(home, name, home, path), 0);
    while (--n > 0) {
        snprintf(name, sizeof name, "%.*s/filler%u", dir, path, n - 1);
        assert_int_equal(unlinkat(home, name, is_dir ? AT_REMOVEDIR : 0), 0);
    }
}

/* Looks: D: look_dir of the new inode's parent, L: look at its name, M: looked up in the mount, R: a recount. */
static const struct {
    const char *name, *before, *gone, *old, *made, *after;
    unsigned home; /* of the new inode */
    bool is_dir;
    char look;
} rows[] = {
#define TREE "mkdir -p h0/d/e/a/b h0/x h1/x; echo 1 >h0/d/e/f; echo 22 >h0/d/e/a/b/h; echo 2 >h0/d/g"
    { "a directory's by a directory", TREE, "rm -r h0/d/e", "d/e", "d/k",
      "echo 4 >h0/d/k/f; echo 333 >h0/d/h; echo 55 >>h0/d/g", 0, true, 'D' },
    { "a directory's by a file", TREE, "rm -r h0/d/e", "d/e", "d/k", "echo 333 >h0/d/k; echo 1 >h0/d/h", 0, false,
      'D' },
    { "a file's by a directory", TREE, "rm h0/d/g", "d/g", "d/k", "echo 4 >h0/d/k/f", 0, true, 'D' },
    { "a file's by a file", TREE, "rm h0/d/g", "d/g", "d/k", "echo 4 >h0/d/k", 0, false, 'D' },
    { "a directory's by a directory elsewhere", TREE, "rm -r h0/d/e", "d/e", "x/k", "echo 4 >h0/x/k/f", 0, true, 'D' },
    { "a directory's by a file elsewhere", TREE, "rm -r h0/d/e", "d/e", "x/k", "echo 4 >h0/x/k", 0, false, 'L' },
    { "a file's by a file elsewhere", TREE, "rm h0/d/g", "d/g", "x/k", "echo 4 >h0/x/k", 0, false, 'L' },
    { "a directory's by one of the same name", TREE, "rm -r h0/d/e", "d/e", "d/e", "echo 4444 >h0/d/e/f", 0, true,
      'D' },
    { "a directory's by one of the same name, met alone", TREE, "rm -r h0/d/e", "d/e", "d/e", "echo 4444 >h0/d/e/f", 0,
      true, 'L' },
    { "a directory's deep in what is gone", TREE, "rm -r h0/d/e", "d/e/a/b", "d/e", "echo 4 >h0/d/e/f", 0, true, 'D' },
    { "a directory's in another home", TREE, "rm -r h0/d/e", "d/e", "x/k", "echo 4 >h1/x/k/f", 1, true, 'D' },
    { "a directory's by a file in another home", TREE, "rm -r h0/d/e", "d/e", "x/k", "echo 4 >h1/x/k", 1, false, 'L' },
    { "a directory's by a directory, met in the mount", TREE, "rm -r h0/d/e", "d/e", "d/k", "true", 0, true, 'M' },
    { "a directory's by a file, met in the mount", TREE, "rm -r h0/d/e", "d/e", "d/k", "echo 4 >h0/d/k", 0, false,
      'M' },
    { "a directory's from which a file moved on", TREE, "mv h0/d/e/f h0/x/f; rm -r h0/d/e", "d/e", "x/k",
      "echo 4 >h0/x/k/f", 0, true, 'D' },
    { "a directory's from which a directory moved on", TREE, "mv h0/d/e/a h0/x/a; rm -r h0/d/e", "d/e", "x/k",
      "echo 4 >h0/x/k/f", 0, true, 'L' },
    { "a directory's, found by a recount", TREE, "rm -r h0/d/e", "d/e", "d/k", "echo 4 >h0/d/k/f", 0, true, 'R' },
    { "a directory's by a file, found by a recount", TREE, "rm -r h0/d/e", "d/e", "d/k", "echo 4 >h0/d/k", 0, false,
      'R' },
    { "a file's by a directory, found by a recount", TREE, "rm h0/d/g", "d/g", "d/k", "echo 4 >h0/d/k/f", 0, true,
      'R' },
#undef TREE
};

static void recount(struct bed *b, unsigned home, const char *when)
{
    const struct usage_scan *scan = &domain_usage(b->users[home])->scan;
    struct sum before = bed_used(b->users[home]), truth = bed_walk(b, home, "");

    assert_int_equal(recount_start(b->users[home], false), 0);
    recount_wait(b->l);
    if (atomic_load(&scan->drift_bytes) != (int64_t)(before.bytes - truth.bytes) ||
        atomic_load(&scan->drift_files) != (int64_t)(before.files - truth.files))
        fail_msg("%s: a drift of %lld bytes, %lld files is reported", when, (long long)atomic_load(&scan->drift_bytes),
                 (long long)atomic_load(&scan->drift_files));
}

static void look_at(struct bed *b, size_t i)
{
    struct tree *t = b->trees[rows[i].home];
    const char *name = strrchr(rows[i].made, '/') + 1;
    char dir[16] = "";

    memcpy(dir, rows[i].made, (size_t)(name - 1 - rows[i].made));
    if (rows[i].look == 'M')
        assert_int_not_equal(bed_slot(b, rows[i].home, rows[i].made), SLOT_NONE);
    else if (rows[i].look == 'R')
        recount(b, rows[i].home, rows[i].name);
    else if (rows[i].look == 'L')
        assert_int_equal(look_named(t, bed_slot(b, rows[i].home, dir), name), 0);
    else
        assert_int_equal(look_dir(t, bed_slot(b, rows[i].home, dir)), 0);
}

static void look_at_both_roots(struct bed *b)
{
    for (unsigned home = 0; home < 2; home++)
        assert_int_equal(look_dir(b->trees[home], tree_root(b->trees[home])), 0);
    recount_wait(b->l);
}

static void one_row(struct bed *b, size_t i)
{
    bed_sh(b, rows[i].before);
    look_at_both_roots(b);
    assert_home(b, 0, rows[i].name);
    uint64_t ino = ino_at(b->homes[0], rows[i].old);
    bed_sh(b, rows[i].gone);
    make_with_number(b->homes[rows[i].home], rows[i].made, rows[i].is_dir, ino);
    bed_sh(b, rows[i].after);
    look_at(b, i);
    recount_wait(b->l);
    assert_home(b, 1, rows[i].name);
    if (strstr(rows[i].name, "moved on")) /* the other half of the move is looked at by its own event */
        assert_int_equal(look_dir(b->trees[0], bed_slot(b, 0, "x")), 0);
    assert_home(b, 0, rows[i].name);
    bed_sh(b, "rm -rf h0/* h1/*");
    look_at_both_roots(b);
    assert_home(b, 0, "empty again");
}

static void a_number_that_is_used_again_takes_nothing_along(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        one_row(*state, i);
}

/* A ledger that has only its first tree open yet. */
static void open_first(struct bed *b)
{
    int root = openat(b->homes[0], ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(bed_try_open(b, &b->l), 0);
    assert_int_equal(domain_get(b->l, DOMAIN_USER, 1, &b->users[0]), 0);
    assert_int_equal(tree_open(b->l, b->users[0], root, b->homes[0], &b->trees[0]), 0);
}

static void replace_a_root(struct bed *b)
{
    uint64_t ino = ino_at(b->homes[1], ".");

    close(b->homes[1]);
    bed_sh(b, "mkdir -p h0/x; rm -r h1");
    make_with_number(b->homes[0], "x/k", true, ino);
    bed_sh(b, "echo 4444 >h0/x/k/f; mkdir h1; echo 22 >h1/g");
    b->homes[1] = openat(b->homes[0], "../h1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void a_home_that_was_replaced_while_nobody_looked_leaves_its_number_to_another(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_write(b, 1, "f", 0, 1000), 1000);
    bed_close(b);
    replace_a_root(b);
    open_first(b);
    assert_int_equal(look_dir(b->trees[0], tree_root(b->trees[0])), 0);
    recount_wait(b->l);
    assert_home(b, 0, "with the other's number");
    ledger_close(b->l);
    open_first(b);
    assert_home(b, 0, "opened once more");
    ledger_close(b->l);
    bed_open(b);
    recount_wait(b->l);
    assert_home(b, 0, "both open");
    assert_home(b, 1, "the new one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_number_that_is_used_again_takes_nothing_along, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_home_that_was_replaced_while_nobody_looked_leaves_its_number_to_another,
                                        bed_up_two, bed_down),
    };

    return cmocka_run_group_tests(tests, make_disk, drop_disk);
}
