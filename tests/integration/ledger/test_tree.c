/* Trees, charge sets, totals, and looking again at what changed beneath. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/ledger/bed.h"

static const struct {
    const char *name;
    uint64_t size, limit, off;
    size_t len;
    ssize_t wrote;
} writes[] = {
    { "grows within the limit", 4096, 8192, 4096, 1024, 1024 },
    { "grows to the limit", 4096, 8192, 4096, 4096, 4096 },
    { "writes the part that fits", 4096, 5120, 4096, 4096, 1024 },
    { "refuses the byte after the last", 5120, 5120, 5120, 1, -EDQUOT },
    { "refuses a hole that does not fit", 4096, 8192, 9000, 1, -EDQUOT },
    { "writes up to the limit across the end", 4096, 5000, 4000, 4096, 1000 },
    { "overwrites at the limit", 4096, 4096, 0, 4096, 4096 },
    { "overwrites above a lowered limit", 8192, 1024, 0, 4096, 4096 },
    { "does not grow above a lowered limit", 8192, 1024, 8192, 1, -EDQUOT },
    { "has no limit when it is 0", 4096, 0, 4096, 60000, 60000 },
};

static void writes_use_the_last_byte_and_never_pass_the_limit(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
        domain_set_limits(b->users[0], 0, 0);
        assert_true(bed_write(b, 0, "f", 0, 1) >= 0);
        assert_int_equal(bed_truncate(b, 0, "f", writes[i].size), 0);
        domain_set_limits(b->users[0], writes[i].limit, 0);
        ssize_t n = bed_write(b, 0, "f", writes[i].off, writes[i].len);
        if (n != writes[i].wrote)
            fail_msg("%s: %zd, not %zd", writes[i].name, n, writes[i].wrote);
        assert_home(b, 0, writes[i].name);
        assert_int_equal(atomic_load(&domain_usage(b->users[0])->held_bytes), 0);
    }
}

static void the_last_file_can_be_made_and_no_more(void **state)
{
    struct bed *b = *state;

    domain_set_limits(b->users[0], 0, 2);
    assert_int_equal(bed_write(b, 0, "a", 0, 1), 1);
    assert_int_equal(bed_write(b, 0, "b", 0, 1), 1);
    assert_int_equal(bed_write(b, 0, "c", 0, 1), -EDQUOT);
    assert_int_equal(bed_unlink(b, 0, "a"), 0);
    assert_int_equal(bed_write(b, 0, "c", 0, 1), 1);
    assert_home(b, 0, "after all");
    assert_int_equal(atomic_load(&domain_usage(b->users[0])->held_files), 0);
}

static void settling_again_changes_nothing(void **state)
{
    struct bed *b = *state;
    struct stat st;

    assert_int_equal(bed_write(b, 0, "f", 0, 1000), 1000);
    slot_t slot = bed_slot(b, 0, "f");
    assert_int_equal(fstatat(b->homes[0], "f", &st, 0), 0);
    for (int i = 0; i < 3; i++) {
        record_lock(b->l, slot);
        settle_locked(b->l, slot, &st);
        record_unlock(b->l, slot);
        assert_home(b, 0, "settled again");
    }
    assert_int_equal(look_slot(b->l, slot), 0);
    assert_home(b, 0, "looked at");
}

static void totals_follow_files_and_directories(void **state)
{
    struct bed *b = *state;
    static const char *const dirs[] = { "a", "a/b", "a/b/c", "x", "x/y" };

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        assert_int_equal(bed_mkdir(b, 0, dirs[i]), 0);
    assert_int_equal(bed_write(b, 0, "a/b/c/f", 0, 1000), 1000);
    assert_int_equal(bed_write(b, 0, "a/g", 0, 10), 10);
    assert_sum("a/b", bed_total(b, 0, "a/b"), ((struct sum){ 1000, 1 }));
    assert_int_equal(bed_rename(b, 0, "a/b", 0, "x/y/b"), 0);
    assert_int_equal(bed_rename(b, 0, "a/g", 0, "x/y/b/c/g"), 0);
    assert_int_equal(bed_write(b, 0, "x/y/b/c/f", 1000, 500), 500);
    assert_sum("a", bed_total(b, 0, "a"), ((struct sum){ 0, 0 }));
    assert_sum("x", bed_total(b, 0, "x"), ((struct sum){ 1510, 2 }));
    assert_sum("x/y/b/c", bed_total(b, 0, "x/y/b/c"), ((struct sum){ 1510, 2 }));
    assert_int_equal(bed_rmdir(b, 0, "a"), 0);
    assert_home(b, 0, "after all");
}

static void a_second_domain_gets_and_gives_back_the_totals(void **state)
{
    struct bed *b = *state;
    struct domain *v[4];

    assert_int_equal(bed_write(b, 0, "f", 0, 5000), 5000);
    assert_int_equal(tree_include(b->trees[0], b->users[1]), 0);
    assert_int_equal(tree_include(b->trees[0], b->users[1]), 0);
    assert_int_equal(tree_domains(b->trees[0], v, 4), 2);
    assert_ptr_equal(v[0], b->users[0]);
    assert_int_equal(bed_write(b, 1, "own", 0, 77), 77);
    assert_int_equal(bed_write(b, 0, "g", 0, 100), 100);
    assert_sum("both", bed_used(b->users[1]), sum_add(bed_walk(b, 0, ""), bed_walk(b, 1, "")));
    assert_home(b, 0, "owner");
    tree_exclude(b->trees[0], b->users[1]);
    tree_exclude(b->trees[0], b->users[1]);
    assert_home(b, 1, "given back");
    assert_int_equal(bed_write(b, 0, "h", 0, 100), 100);
    assert_home(b, 0, "owner alone");
    assert_home(b, 1, "not moved any more");
}

static void a_room_of_two_domains_holds_in_both_or_in_none(void **state)
{
    struct bed *b = *state;
    const struct room_row rows[] = { { .domain = b->users[0] },
                                     { .domain = b->users[1], .own_limits = true, .limit_bytes = 300 } };
    struct room *room = room_new(b->l, rows, 2);
    struct reservation rsv = { 0 };
    struct room_left left;

    domain_set_limits(b->users[0], 1000, 0);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 500 }, 301, &rsv), -EDQUOT);
    assert_int_equal(atomic_load(&domain_usage(b->users[0])->held_bytes), 0);
    assert_int_equal(reservation_take(room, (struct charge){ .bytes = 500 }, 300, &rsv), 0);
    assert_int_equal(rsv.held.bytes, 300);
    room_left(room, &left);
    assert_int_equal(left.limit_bytes, 300);
    assert_int_equal(left.used_bytes, 300);
    reservation_drop(&rsv);
    reservation_drop(&rsv);
    assert_int_equal(atomic_load(&domain_usage(b->users[1])->held_bytes), 0);
    room_unref(room);
}

static void a_file_moves_its_charge_into_another_tree(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_write(b, 0, "f", 0, 700), 700);
    assert_int_equal(tree_include(b->trees[1], b->users[2]), 0);
    assert_int_equal(bed_rename(b, 0, "f", 1, "g"), 0);
    assert_home(b, 0, "left");
    assert_home(b, 1, "came");
    assert_sum("included", bed_used(b->users[2]), bed_walk(b, 1, ""));
    assert_int_equal(bed_mkdir(b, 0, "d"), 0);
    assert_int_equal(bed_write(b, 0, "d/f", 0, 1), 1);
    slot_t d = bed_slot(b, 0, "d");
    struct stat st;
    assert_int_equal(fstatat(b->homes[0], "d", &st, 0), 0);
    record_lock(b->l, d);
    assert_int_equal(settle_moved_locked(b->l, d, tree_root(b->trees[1]), &st), -EXDEV);
    record_unlock(b->l, d);
    assert_home(b, 0, "a directory with content stays");
}

static void an_inode_counts_once_however_many_names_it_has(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_mkdir(b, 0, "d"), 0);
    assert_int_equal(bed_write(b, 0, "f", 0, 900), 900);
    assert_int_equal(bed_link(b, 0, "f", "d/g"), 0);
    assert_home(b, 0, "linked");
    assert_int_equal(bed_write(b, 0, "d/g", 900, 100), 100);
    assert_home(b, 0, "written by its other name");
    assert_int_equal(bed_unlink(b, 0, "f"), 0);
    assert_home(b, 0, "one name less");
    assert_sum("d", bed_total(b, 0, "d"), ((struct sum){ 1000, 1 }));
    assert_int_equal(bed_unlink(b, 0, "d/g"), 0);
    assert_home(b, 0, "gone");
}

static void an_open_file_counts_until_it_is_closed(void **state)
{
    struct bed *b = *state;
    struct stat st;
    struct record_view v;

    assert_int_equal(bed_mkdir(b, 0, "d"), 0);
    assert_int_equal(bed_write(b, 0, "d/f", 0, 900), 900);
    slot_t slot = bed_slot(b, 0, "d/f");
    CLEANUP(fd_close) int fd = openat(b->homes[0], "d/f", O_RDWR | O_CLOEXEC);
    record_lock(b->l, slot);
    record_opened_locked(b->l, slot);
    record_unlock(b->l, slot);
    assert_int_equal(bed_unlink(b, 0, "d/f"), 0);
    assert_int_equal(bed_rmdir(b, 0, "d"), 0);
    assert_sum("open", bed_used(b->users[0]), ((struct sum){ 900, 1 }));
    assert_int_equal(recount_start(b->users[0], false), 0);
    recount_wait(b->l);
    assert_sum("open, recounted", bed_used(b->users[0]), ((struct sum){ 900, 1 }));
    assert_int_equal(ftruncate(fd, 1234), 0);
    assert_int_equal(fstat(fd, &st), 0);
    record_lock(b->l, slot);
    settle_locked(b->l, slot, &st);
    record_unlock(b->l, slot);
    assert_sum("grown", bed_used(b->users[0]), ((struct sum){ 1234, 1 }));
    record_lock(b->l, slot);
    record_closed_locked(b->l, slot, &st);
    record_unlock(b->l, slot);
    assert_home(b, 0, "closed");
    assert_false(record_view(b->l, slot, 0, &v));
}

static void a_pinned_file_is_not_charged_and_may_be_opened_again(void **state)
{
    struct bed *b = *state;
    struct reservation rsv = { 0 };
    struct record_view v;
    struct stat st;

    assert_int_equal(bed_write(b, 0, "f", 0, 900), 900);
    slot_t slot = bed_slot(b, 0, "f");
    CLEANUP(fd_close) int fd = openat(b->homes[0], "f", O_RDWR | O_CLOEXEC);
    record_lock(b->l, slot);
    record_pin_locked(b->l, slot);
    record_unlock(b->l, slot);
    assert_int_equal(bed_unlink(b, 0, "f"), 0);
    assert_home(b, 0, "pinned");
    assert_int_equal(look_slot(b->l, slot), 0);
    assert_int_equal(recount_start(b->users[0], false), 0);
    recount_wait(b->l);
    assert_true(record_view(b->l, slot, 0, &v));
    assert_true(v.is_nameless && !v.is_charged);

    record_lock(b->l, slot);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(reservation_take(b->rooms[0], (struct charge){ 900, 1 }, 900, &rsv), 0);
    record_reopened_locked(b->l, slot, &st, &rsv);
    assert_sum("open again", bed_used(b->users[0]), ((struct sum){ 900, 1 }));
    record_closed_locked(b->l, slot, NULL);
    assert_home(b, 0, "closed");
    record_unpin_locked(b->l, slot, v.generation + 1);
    assert_true(record_view(b->l, slot, v.generation, &v));
    record_unpin_locked(b->l, slot, v.generation);
    record_unlock(b->l, slot);
    assert_false(record_view(b->l, slot, 0, &v));
    assert_home(b, 0, "released");
}

static void a_tree_in_memory_is_counted(void **state)
{
    struct bed *b = *state;
    char dir[] = "/dev/shm/tally-ledger-XXXXXX"; /* tmpfs: file handles of another layout */
    struct domain *d;
    struct tree *t;

    assert_non_null(mkdtemp(dir));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(fd, "d", 0700), 0);
    CLEANUP(fd_close) int f = openat(fd, "d/f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(f, 1234), 0);
    assert_int_equal(domain_get(b->l, DOMAIN_USER, 77, &d), 0);
    assert_int_equal(tree_open(b->l, d, openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), fd, &t), 0);
    recount_wait(b->l);
    assert_sum("counted", bed_used(d), ((struct sum){ 1234, 1 }));
    assert_int_equal(ftruncate(f, 99), 0);
    assert_int_equal(linkat(fd, "d/f", fd, "g", 0), 0);
    assert_int_equal(look_dir(t, tree_root(t)), 0);
    assert_sum("looked at", bed_used(d), ((struct sum){ 99, 1 }));
    assert_int_equal(unlinkat(fd, "g", 0), 0);
    assert_int_equal(unlinkat(fd, "d/f", 0), 0);
    assert_int_equal(unlinkat(fd, "d", AT_REMOVEDIR), 0);
    assert_int_equal(recount_start(d, false), 0);
    recount_wait(b->l);
    assert_sum("gone", bed_used(d), ((struct sum){ 0, 0 }));
    bed_close(b);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void orphans_go_when_nobody_tells_of_them_again(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_write(b, 0, "f", 0, 900), 900);
    slot_t slot = bed_slot(b, 0, "f");
    record_lock(b->l, slot);
    record_opened_locked(b->l, slot);
    record_unlock(b->l, slot);
    assert_int_equal(bed_unlink(b, 0, "f"), 0);
    records_reset_opens(b->l);
    assert_sum("still charged", bed_used(b->users[0]), ((struct sum){ 900, 1 }));
    orphans_settle(b->l);
    assert_home(b, 0, "released");
}

static void a_slot_is_reused_with_another_generation(void **state)
{
    struct bed *b = *state;
    struct record_view before, after;

    assert_int_equal(bed_write(b, 0, "f", 0, 1), 1);
    slot_t slot = bed_slot(b, 0, "f");
    assert_true(record_view(b->l, slot, 0, &before));
    assert_int_equal(bed_unlink(b, 0, "f"), 0);
    for (unsigned i = 0; i < 20000; i++) { /* it rests until others have been used */
        assert_int_equal(bed_write(b, 0, "g", 0, 1), 1);
        if (bed_slot(b, 0, "g") == slot)
            break;
        assert_int_equal(bed_unlink(b, 0, "g"), 0);
    }
    assert_int_equal(bed_slot(b, 0, "g"), slot);
    assert_true(record_view(b->l, slot, 0, &after));
    assert_int_not_equal(before.generation, after.generation);
    assert_false(record_view(b->l, slot, before.generation, &after));
    assert_int_equal(record_open_fd(b->l, slot, before.generation, O_PATH), -ESTALE);
}

static int open_at(struct bed *b, const char *path, struct domain *d)
{
    struct tree *t;
    int root = openat(b->homes[0], path, O_PATH | O_CLOEXEC);

    assert_true(root >= 0);
    return tree_open(b->l, d, root, b->homes[0], &t);
}

static void trees_do_not_nest(void **state)
{
    struct bed *b = *state;
    struct domain *d;

    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 9, &d), 0);
    bed_sh(b, "mkdir -p h0/in/deep; touch h0/file");
    assert_int_equal(open_at(b, "in/deep", d), -EXDEV);
    assert_int_equal(open_at(b, "..", d), -EXDEV);
    assert_int_equal(open_at(b, ".", d), -EEXIST);
    assert_int_equal(open_at(b, "file", d), -ENOTDIR);
    assert_int_equal(open_at(b, ".", b->users[0]), 0);
}

static void a_forgotten_tree_gives_everything_back(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_mkdir(b, 0, "d"), 0);
    assert_int_equal(bed_write(b, 0, "d/f", 0, 4000), 4000);
    assert_int_equal(tree_include(b->trees[0], b->users[1]), 0);
    slot_t slot = bed_slot(b, 0, "d/f");
    struct record_view v;
    tree_forget(b->trees[0]);
    assert_sum("owner", bed_used(b->users[0]), ((struct sum){ 0, 0 }));
    assert_sum("other", bed_used(b->users[1]), ((struct sum){ 0, 0 }));
    assert_false(record_view(b->l, slot, 0, &v));
    int root = openat(b->homes[0], ".", O_PATH | O_CLOEXEC);
    assert_int_equal(tree_open(b->l, b->users[0], root, b->homes[0], &b->trees[0]), 0);
    recount_wait(b->l);
    assert_home(b, 0, "opened anew");
}

/* ---- beneath the mount ------------------------------------------------------------------------------------------- */

/* What a foreign program does, and the events that come of it, in some order. L: look_named, G: look_gone, S:
 * look_slot of what the path was before, D: look_dir. */
static const struct {
    const char *name, *before, *foreign, *events;
} foreign[] = {
    { "a file appears", "true", "head -c 500 /dev/zero >h0/n", "L n" },
    { "a file grows", "head -c 5 /dev/zero >h0/n", "head -c 500 /dev/zero >>h0/n", "L n" },
    { "a file grows, known by handle", "head -c 5 /dev/zero >h0/n", "head -c 500 /dev/zero >>h0/n", "S n" },
    { "a file goes, known by handle", "head -c 5 /dev/zero >h0/n", "rm h0/n", "S n" },
    { "a file goes, known by directory", "head -c 5 /dev/zero >h0/n", "rm h0/n", "L n,G ." },
    { "a tree of directories appears", "true", "mkdir -p h0/a/b; head -c 9 /dev/zero >h0/a/b/f", "L a" },
    { "a tree of directories goes", "mkdir -p h0/a/b; head -c 9 /dev/zero >h0/a/b/f", "rm -r h0/a", "G ." },
    { "a directory goes, known by handle", "mkdir -p h0/a/b; head -c 9 /dev/zero >h0/a/b/f", "rm -r h0/a", "S a" },
    { "a file moves, source first", "mkdir h0/d; head -c 9 /dev/zero >h0/n", "mv h0/n h0/d/n", "G .,L d/n" },
    { "a file moves, target first", "mkdir h0/d; head -c 9 /dev/zero >h0/n", "mv h0/n h0/d/n", "L d/n,G ." },
    { "a file leaves", "head -c 9 /dev/zero >h0/n", "mv h0/n n", "G ." },
    { "a file comes", "head -c 9 /dev/zero >n", "mv n h0/n", "L n" },
    { "a directory leaves", "mkdir -p h0/a/b; head -c 9 /dev/zero >h0/a/b/f", "mv h0/a a", "G ." },
    { "a directory moves", "mkdir -p h0/a/b h0/d; echo >h0/a/b/f", "mv h0/a h0/d/a", "G .,L d/a" },
    { "a directory moves, target first", "mkdir -p h0/a/b h0/d; echo >h0/a/b/f", "mv h0/a h0/d/a", "L d/a,G ." },
    { "a directory moves into another home", "mkdir -p h0/a/b; echo >h0/a/b/f", "mv h0/a h1/a", "G .,1L a" },
    { "a directory moves into another home, target first", "mkdir -p h0/a/b; echo >h0/a/b/f", "mv h0/a h1/a",
      "1L a,G ." },
    { "two directories change places", "mkdir -p h0/a/b; echo >h0/a/b/f", "mv h0/a/b h0/b; mv h0/a h0/b/a",
      "L b/a,L b,G .,G b" },
    { "a file is replaced", "echo 1 >h0/n; head -c 70 /dev/zero >h0/m", "mv h0/m h0/n", "L n,G ." },
    { "one of two names goes", "echo 1 >h0/n; mkdir h0/d; ln h0/n h0/d/n", "rm h0/n", "G ." },
    { "a directory is listed again", "mkdir -p h0/d/e; echo 1 >h0/d/e/f; echo 2 >h0/d/g",
      "rm -r h0/d/e; echo 333 >h0/d/h; mkdir h0/d/k; echo 4 >h0/d/k/f; echo 55 >>h0/d/g", "D d" },
    { "a file leaves a directory that goes", "mkdir -p h0/d/e; echo 1 >h0/d/e/f; echo 2 >h0/d/g",
      "rm h0/d/g; mv h0/d/e/f n; rm -r h0/d/e", "G d" },
    { "a file leaves a directory that goes, known by handle", "mkdir -p h0/e; echo 1 >h0/e/f",
      "mv h0/e/f n; rm -r h0/e", "S e" },
};

static void one_event(struct bed *b, const char *event, slot_t known)
{
    unsigned home = event[0] == '1' ? 1 : 0;
    char verb = event[home], dir[64] = "";
    const char *path = strcmp(event + home + 2, ".") == 0 ? "" : event + home + 2;
    const char *name = strrchr(path, '/');

    if (name)
        memcpy(dir, path, (size_t)(name - path));
    name = name ? name + 1 : path;
    int r = verb == 'L'   ? look_named(b->trees[home], bed_slot(b, home, dir), name)
            : verb == 'G' ? look_gone(b->trees[home], bed_slot(b, home, path))
            : verb == 'D' ? look_dir(b->trees[home], bed_slot(b, home, path))
                          : look_slot(b->l, known);
    assert_int_equal(r, 0);
}

static void events_from_beneath_lead_to_the_truth(void **state)
{
    struct bed *b = *state;
    char events[128], *rest;

    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        bed_sh(b, foreign[i].before);
        for (unsigned home = 0; home < 2; home++)
            assert_int_equal(look_dir(b->trees[home], tree_root(b->trees[home])), 0);
        recount_wait(b->l);
        assert_home(b, 0, foreign[i].name);
        slot_t known = bed_slot(b, 0, foreign[i].events + 2);
        bed_sh(b, foreign[i].foreign);
        snprintf(events, sizeof events, "%s", foreign[i].events);
        for (char *e = strtok_r(events, ",", &rest); e; e = strtok_r(NULL, ",", &rest))
            one_event(b, e, known);
        recount_wait(b->l);
        assert_home(b, 0, foreign[i].name);
        assert_home(b, 1, foreign[i].name);
        bed_sh(b, "rm -rf h0/* h1/* n a");
        for (unsigned home = 0; home < 2; home++)
            assert_int_equal(look_dir(b->trees[home], tree_root(b->trees[home])), 0);
        assert_home(b, 0, "empty again");
    }
}

struct told {
    unsigned n;
    char name[64];
};

static void note_change(void *arg, slot_t slot, slot_t parent, const char *name)
{
    struct told *t = arg;

    (void)slot;
    (void)parent;
    t->n++;
    snprintf(t->name, sizeof t->name, "%s", name ? name : "");
}

static void subscribers_hear_of_differences_only(void **state)
{
    struct bed *b = *state;
    struct told told = { 0 };

    ledger_subscribe(b->l, note_change, &told);
    assert_int_equal(bed_write(b, 0, "f", 0, 10), 10);
    assert_int_equal(look(b->trees[0], tree_root(b->trees[0]), "f"), 0);
    assert_int_equal(told.n, 0);
    bed_put(b, 0, "f", 99);
    assert_int_equal(look(b->trees[0], tree_root(b->trees[0]), "f"), 0);
    assert_int_equal(told.n, 1);
    assert_string_equal(told.name, "f");
    bed_sh(b, "rm h0/f");
    assert_int_equal(look(b->trees[0], tree_root(b->trees[0]), "f"), 0);
    assert_int_equal(told.n, 2);
}

static void subscribers_hear_what_a_recount_finds_by_its_name(void **state)
{
    static const struct {
        const char *unseen, *name;
    } rows[] = {
        { "echo > h0/f", "f" },
        { "mkdir h0/d && echo > h0/d/deep", "d" }, /* nobody can have asked for what is in it */
        { "echo > h0/d/g", "g" },
        { "ln -s x h0/l", "l" },
    };
    struct bed *b = *state;
    struct told told = { 0 };

    ledger_subscribe(b->l, note_change, &told);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        bed_sh(b, rows[i].unseen);
        assert_int_equal(recount_start(b->users[0], false), 0);
        recount_wait(b->l);
        assert_int_equal(told.n, i + 1);
        assert_string_equal(told.name, rows[i].name);
    }
}

static void an_adjustment_is_reported_limits_hold_for_it_and_a_recount_drops_it(void **state)
{
    struct bed *b = *state;
    struct domain *d = b->users[0];

    assert_int_equal(bed_write(b, 0, "f", 0, 1000), 1000);
    domain_adjust(d, false, 1500, 7);
    assert_int_equal(usage_reported_bytes(domain_usage(d)), 1500);
    assert_int_equal(usage_reported_files(domain_usage(d)), 7);
    domain_adjust(d, true, 100, 1);
    assert_int_equal(usage_reported_bytes(domain_usage(d)), 1600);
    domain_set_limits(d, 1600, 0);
    assert_int_equal(bed_write(b, 0, "f", 1000, 1), -EDQUOT);
    assert_int_equal(recount_start(d, false), 0);
    recount_wait(b->l);
    assert_int_equal(usage_reported_bytes(domain_usage(d)), 1000);
    assert_int_equal(bed_write(b, 0, "f", 1000, 1000), 600);
}

static void a_dropped_domain_leaves_its_slot_to_the_next(void **state)
{
    struct bed *b = *state;
    struct domain *d, *e;

    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 50, &d), 0);
    const struct usage_slot *u = domain_usage(d);
    assert_int_equal(tree_include(b->trees[0], d), 0);
    tree_exclude(b->trees[0], d);
    domain_drop(d);
    assert_null(domain_find(b->l, DOMAIN_FOLDER, 50));
    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 51, &e), 0);
    assert_ptr_equal(domain_usage(e), u);
    assert_int_equal(domain_get(b->l, DOMAIN_FOLDER, 0, &e), -EINVAL);
}

static void a_file_with_several_names_counts_where_one_is_left(void **state)
{
    struct bed *b = *state;
    const struct sum nothing = { 0 };
    static const char *const dirs[] = { "d1", "d2", "d3" };
    struct sum full = { 4096, 1 };

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        assert_int_equal(bed_mkdir(b, 0, dirs[i]), 0);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(bed_write(b, 0, "d1/f", 0, 4096), 4096);
        assert_int_equal(bed_link(b, 0, "d1/f", "d2/g"), 0);
        assert_int_equal(bed_link(b, 0, "d1/f", "d3/h"), 0);
        bed_slot(b, 0, "d2/g"); /* the mount meets what it has linked */
        bed_slot(b, 0, "d3/h");
        if (round == 0)
            assert_int_equal(bed_unlink(b, 0, "d1/f"), 0);
        else
            bed_sh(b, "rm h0/d1/f");
        if (round == 1) {
            struct stat st;
            assert_int_equal(fstatat(b->homes[0], "d1", &st, 0), 0);
            assert_int_equal(look_gone(b->trees[0], record_find(b->l, st.st_dev, st.st_ino)), 0);
            recount_wait(b->l);
        }
        assert_sum("d1", bed_total(b, 0, "d1"), nothing);
        assert_sum("d2 and d3", sum_add(bed_total(b, 0, "d2"), bed_total(b, 0, "d3")), full);
        assert_int_equal(bed_unlink(b, 0, "d2/g"), 0);
        assert_sum("d2", bed_total(b, 0, "d2"), nothing);
        assert_sum("d3", bed_total(b, 0, "d3"), full);
        assert_int_equal(bed_unlink(b, 0, "d3/h"), 0);
        assert_sum("d3", bed_total(b, 0, "d3"), nothing);
        assert_home(b, 0, "in the end");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_use_the_last_byte_and_never_pass_the_limit, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(the_last_file_can_be_made_and_no_more, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(settling_again_changes_nothing, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(totals_follow_files_and_directories, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_second_domain_gets_and_gives_back_the_totals, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_room_of_two_domains_holds_in_both_or_in_none, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_file_moves_its_charge_into_another_tree, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(an_inode_counts_once_however_many_names_it_has, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(an_open_file_counts_until_it_is_closed, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_pinned_file_is_not_charged_and_may_be_opened_again, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_tree_in_memory_is_counted, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(orphans_go_when_nobody_tells_of_them_again, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_slot_is_reused_with_another_generation, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(trees_do_not_nest, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_forgotten_tree_gives_everything_back, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(events_from_beneath_lead_to_the_truth, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(subscribers_hear_of_differences_only, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(subscribers_hear_what_a_recount_finds_by_its_name, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(an_adjustment_is_reported_limits_hold_for_it_and_a_recount_drops_it,
                                        bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_dropped_domain_leaves_its_slot_to_the_next, bed_up_three, bed_down),
        cmocka_unit_test_setup_teardown(a_file_with_several_names_counts_where_one_is_left, bed_up_three, bed_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
