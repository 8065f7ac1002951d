/* Virtual folders: where they appear, whom they charge, what may not be done to them; moves between trees. */
#include "tests/integration/vfs/mounted.h"

#include <dirent.h>
#include <errno.h>

/* A user with one folder; files and bytes -1: in the user's quota. */
static int64_t user_with_folder(struct vfs_bed *b, const char *name, const char *folder, const char *at, int64_t bytes,
                                int64_t files, uint64_t own_bytes)
{
    return bed_user(
        b,
        "{\"username\":\"%s\",\"password\":\"secret\",\"status\":1,\"home_dir\":\"%s/%s\","
        "\"permissions\":{\"/\":[\"*\"]},\"quota_size\":%llu,\"virtual_folders\":[{\"name\":\"%s\","
        "\"mapped_path\":\"%s/folder-%s\",\"virtual_path\":\"%s\",\"quota_size\":%lld,\"quota_files\":%lld}]}",
        name, b->data, name, (unsigned long long)own_bytes, folder, b->data, folder, at, (long long)bytes,
        (long long)files);
}

static bool lists(int dir, const char *path, const char *name)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY);
    DIR *d = fdopendir(fd);
    bool found = false;

    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        found |= strcmp(e->d_name, name) == 0;
    closedir(d);
    return found;
}

static void a_folder_appears_at_a_nested_path_through_synthetic_directories(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;
    struct stat st;

    home_open(b, &h, "nested", user_with_folder(b, "nested", "deep", "/a/b/deep", 0, 0, 0));
    int64_t folder = bed_folder_id(b, "deep");
    assert_int_equal(put(h.dir, "a/b/deep/f", 123), 123);
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 123, 1));
    assert_counts(&h, 0, 0);
    assert_true(lists(h.dir, ".", "a"));
    assert_true(lists(h.dir, "a", "b"));
    assert_true(lists(h.dir, "a/b", "deep"));
    assert_true(lists(h.dir, "a/b/deep", "f"));
    assert_int_equal(fstatat(h.dir, "a/b", &st, 0), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(put(h.dir, "a/b/new", 1), -EPERM);
    assert_int_equal(err(mkdirat(h.dir, "a", 0755)), -EEXIST);
    home_close(&h);
}

static int64_t rm_folder(int dir)
{
    return err(unlinkat(dir, "shared", AT_REMOVEDIR));
}
static int64_t mv_folder(int dir)
{
    return err(renameat(dir, "shared", dir, "elsewhere"));
}
static int64_t mv_over_folder(int dir)
{
    return err(mkdirat(dir, "e", 0755)) + err(renameat(dir, "e", dir, "shared"));
}
static int64_t mk_folder(int dir)
{
    return err(mkdirat(dir, "shared", 0755));
}
static int64_t create_folder(int dir)
{
    return put(dir, "shared", 1);
}

static const struct {
    const char *name;
    int64_t (*op)(int dir);
    int64_t r;
} busy[] = {
    { "rmdir", rm_folder, -EBUSY },  { "rename", mv_folder, -EBUSY },      { "rename over", mv_over_folder, -EBUSY },
    { "mkdir", mk_folder, -EEXIST }, { "create", create_folder, -EISDIR },
};

static void a_folder_cannot_be_removed_or_renamed_from_inside(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_open(b, &h, "busy", user_with_folder(b, "busy", "busyf", "/shared", 0, 0, 0));
    for (size_t i = 0; i < ARRAY_SIZE(busy); i++)
        rows_equal(busy[i].name, busy[i].op(h.dir), busy[i].r);
    home_close(&h);
}

static void a_folder_in_the_users_quota_moves_both_counters_and_obeys_the_users_limit(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_open(b, &h, "inside", user_with_folder(b, "inside", "infold", "/in", -1, -1, 1000));
    int64_t folder = bed_folder_id(b, "infold");
    assert_int_equal(put(h.dir, "f", 300), 300);
    assert_int_equal(put(h.dir, "in/g", 5000), 700);
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 700, 1));
    assert_counts(&h, 1000, 2);
    assert_int_equal(renameat(h.dir, "f", h.dir, "in/f"), 0); /* a full user moves within the own quota */
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 1000, 2));
    assert_counts(&h, 1000, 2);
    home_close(&h);
}

static void two_users_of_a_folder_share_its_counter_with_limits_of_their_own(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of one, two;
    struct stat st;

    home_open(b, &one, "one", user_with_folder(b, "one", "common", "/c", 1000, 0, 0));
    home_open(b, &two, "two", user_with_folder(b, "two", "common", "/c", 2000, 0, 0));
    int64_t folder = bed_folder_id(b, "common");
    assert_int_equal(size_of(two.dir, "c/f"), -ENOENT); /* the kernel remembers that, for a while */
    assert_int_equal(put(one.dir, "c/f", 3000), 1000);
    int fd = openat(two.dir, "c", O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(append(one.dir, "c/f", 1), -EDQUOT);
    assert_int_equal(put(two.dir, "c/g", 5000), 1000); /* 2000 are used then */
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 2000, 2));
    assert_int_equal(size_of(one.dir, "c/g"), 1000);
    assert_int_equal(write_at(one.dir, "c/g", 10, 0), 10);
    assert_int_equal(fstatat(one.dir, "c/g", &st, 0), 0);
    int g = openat(two.dir, "c/g", O_WRONLY);
    assert_int_equal(ftruncate(g, 7), 0);
    assert_int_equal(size_of(one.dir, "c/g"), 7); /* no stale size through the other view, at once */
    close(g);
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 1007, 2));
    home_close(&one);
    home_close(&two);
}

static void a_file_that_moves_into_another_tree_is_charged_there(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_open(b, &h, "mover", user_with_folder(b, "mover", "movef", "/m", 1000, 0, 0));
    int64_t folder = bed_folder_id(b, "movef");
    assert_int_equal(put(h.dir, "f", 600), 600);
    assert_int_equal(put(h.dir, "g", 600), 600);
    assert_int_equal(renameat(h.dir, "f", h.dir, "m/f"), 0);
    assert_counts(&h, 600, 1);
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 600, 1));
    assert_int_equal(err(renameat(h.dir, "g", h.dir, "m/g")), -EDQUOT);
    assert_int_equal(size_of(h.dir, "g"), 600);
    assert_int_equal(renameat(h.dir, "g", h.dir, "m/f"), 0); /* replaces as much as it brings */
    assert_counts(&h, 0, 0);
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 600, 1));
    assert_int_equal(append(h.dir, "m/f", 500), 400); /* it obeys the folder's limit now */
    assert_int_equal(renameat(h.dir, "m/f", h.dir, "back"), 0);
    assert_counts(&h, 1000, 1);
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 0, 0));
    home_close(&h);
}

static int64_t across_dir(int dir)
{
    return err(mkdirat(dir, "d", 0755)) + err(renameat(dir, "d", dir, "x/d"));
}
static int64_t across_link(int dir)
{
    return err(linkat(dir, "f", dir, "x/f", 0));
}
static int64_t across_linked(int dir)
{
    return err(linkat(dir, "f", dir, "f2", 0)) + err(renameat(dir, "f", dir, "x/f"));
}
static int64_t across_exchange(int dir)
{
    return err(renameat2(dir, "f", dir, "x/there", RENAME_EXCHANGE));
}

static const struct {
    const char *name;
    int64_t (*op)(int dir);
} across[] = {
    { "a directory", across_dir },
    { "a hard link", across_link },
    { "a file with two names", across_linked },
    { "an exchange", across_exchange },
};

static void what_cannot_be_charged_anew_does_not_cross_trees(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_open(b, &h, "crosser", user_with_folder(b, "crosser", "crossf", "/x", 0, 0, 0));
    assert_int_equal(put(h.dir, "f", 10), 10);
    assert_int_equal(put(h.dir, "x/there", 20), 20);
    for (size_t i = 0; i < ARRAY_SIZE(across); i++)
        rows_equal(across[i].name, across[i].op(h.dir), -EXDEV);
    assert_counts(&h, 10, 1);
    home_close(&h);
}

static void a_folder_that_is_taken_away_disappears_and_its_charge_with_it(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_open(b, &h, "leaver", user_with_folder(b, "leaver", "leavef", "/l", -1, -1, 0));
    assert_int_equal(put(h.dir, "l/f", 100), 100);
    assert_counts(&h, 100, 1);
    assert_int_equal(bed_quota(b, "leaver", 0, 0),
                     h.id); /* includes a nested list only if given: PUT without folders */
    assert_int_equal(
        bed_user(b,
                 "{\"username\":\"leaver\",\"password\":\"secret\",\"status\":1,\"home_dir\":\"%s/leaver\","
                 "\"permissions\":{\"/\":[\"*\"]},\"virtual_folders\":[]}",
                 b->data),
        h.id);
    assert_counts(&h, 0, 0);
    home_close(&h);
}

static void a_removed_users_home_is_gone(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_new(b, &h, 0, 0);
    assert_int_equal(put(h.dir, "f", 1), 1);
    int fd = openat(h.dir, "f", O_WRONLY);
    bed_user_remove(b, h.name);
    assert_true(write(fd, "x", 1) < 0);
    close(fd);
    home_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_appears_at_a_nested_path_through_synthetic_directories),
        cmocka_unit_test(a_folder_cannot_be_removed_or_renamed_from_inside),
        cmocka_unit_test(a_folder_in_the_users_quota_moves_both_counters_and_obeys_the_users_limit),
        cmocka_unit_test(two_users_of_a_folder_share_its_counter_with_limits_of_their_own),
        cmocka_unit_test(a_file_that_moves_into_another_tree_is_charged_there),
        cmocka_unit_test(what_cannot_be_charged_anew_does_not_cross_trees),
        cmocka_unit_test(a_folder_that_is_taken_away_disappears_and_its_charge_with_it),
        cmocka_unit_test(a_removed_users_home_is_gone),
    };

    return cmocka_run_group_tests(tests, mounted_setup, mounted_teardown);
}
