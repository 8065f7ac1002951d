/* Virtual folders: where they appear, whom they charge, what may not be done to them; moves between trees. */
#include "tests/integration/vfs/mounted.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

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

/* ---- folders in folders ----------------------------------------------------------------------------------------- */

static int64_t user_with_nested(struct vfs_bed *b, const char *name)
{
    return bed_user(b,
                    "{\"username\":\"%s\",\"password\":\"secret\",\"status\":1,\"home_dir\":\"%s/%s\","
                    "\"permissions\":{\"/\":[\"*\"]},\"virtual_folders\":["
                    "{\"name\":\"%s-in\",\"mapped_path\":\"%s/%s-in\",\"virtual_path\":\"/a/b/c\"},"
                    "{\"name\":\"%s-out\",\"mapped_path\":\"%s/%s-out\",\"virtual_path\":\"/a\"}]}",
                    name, b->data, name, name, b->data, name, name, b->data, name);
}

static int64_t rm_way(int dir)
{
    return err(unlinkat(dir, "a/b", AT_REMOVEDIR));
}
static int64_t mv_way(int dir)
{
    return err(renameat(dir, "a/b", dir, "elsewhere"));
}
static int64_t mv_over_way(int dir)
{
    return err(mkdirat(dir, "a/e", 0755)) + err(renameat(dir, "a/e", dir, "a/b"));
}
static int64_t mk_way(int dir)
{
    return err(mkdirat(dir, "a/b", 0755));
}
static int64_t rm_inner(int dir)
{
    return err(unlinkat(dir, "a/b/c", AT_REMOVEDIR));
}
static int64_t mv_inner(int dir)
{
    return err(renameat(dir, "a/b/c", dir, "c"));
}
static int64_t create_on_the_way(int dir)
{
    return put(dir, "a/b/x", 1);
}
static int64_t link_on_the_way(int dir)
{
    return err(symlinkat("x", dir, "a/b/x"));
}
static int64_t node_on_the_way(int dir)
{
    return err(mkdirat(dir, "a/b/x", 0755));
}

static const struct {
    const char *name;
    int64_t (*op)(int dir);
    int64_t synthetic, real; /* the same where the way to the folder is a directory that exists */
} on_the_way[] = {
    { "rmdir of the way", rm_way, -EBUSY, -EBUSY },
    { "rename of the way", mv_way, -EBUSY, -EBUSY },
    { "rename over the way", mv_over_way, -EBUSY, -EBUSY },
    { "mkdir of the way", mk_way, -EEXIST, -EEXIST },
    { "rmdir of the inner folder", rm_inner, -EBUSY, -EBUSY },
    { "rename of the inner folder", mv_inner, -EBUSY, -EBUSY },
    { "create", create_on_the_way, -EPERM, 1 },
    { "symlink", link_on_the_way, -EPERM, -EEXIST },
    { "mkdir", node_on_the_way, -EPERM, -EEXIST },
};

static void nested_checks(struct home_of *h, int64_t out, int64_t in)
{
    assert_int_equal(put(h->dir, "a/f", 10), 10);
    assert_int_equal(put(h->dir, "a/b/c/g", 200), 200);
    assert_true(bed_counts(h->bed, DOMAIN_FOLDER, out, 10, 1));
    assert_true(bed_counts(h->bed, DOMAIN_FOLDER, in, 200, 1));
    assert_counts(h, 0, 0);
    assert_true(lists(h->dir, ".", "a"));
    assert_true(lists(h->dir, "a", "b"));
    assert_true(lists(h->dir, "a", "f"));
    assert_true(lists(h->dir, "a/b", "c"));
    assert_true(lists(h->dir, "a/b/c", "g"));
    assert_int_equal(size_of(h->dir, "a/b/c/../../f"), 10);
    assert_int_equal(size_of(h->dir, "a/b/c/../../../a/f"), 10);
}

static void a_folder_in_a_folder_is_seen_through_directories_that_are_there_or_not(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;
    char real[256];

    home_open(b, &h, "nest", user_with_nested(b, "nest"));
    int64_t out = bed_folder_id(b, "nest-out"), in = bed_folder_id(b, "nest-in");
    nested_checks(&h, out, in);
    for (size_t i = 0; i < ARRAY_SIZE(on_the_way); i++)
        rows_equal(on_the_way[i].name, on_the_way[i].op(h.dir), on_the_way[i].synthetic);
    unlinkat(h.dir, "a/e", AT_REMOVEDIR);
    snprintf(real, sizeof real, "%s/nest-out/b", b->data);
    assert_int_equal(mkdir(real, 0755), 0);
    bed_crash(b); /* nothing watches here: the next life finds what came beneath */
    home_close(&h);
    home_open(b, &h, "nest", h.id);
    nested_checks(&h, out, in);
    for (size_t i = 0; i < ARRAY_SIZE(on_the_way); i++)
        rows_equal(on_the_way[i].name, on_the_way[i].op(h.dir), on_the_way[i].real);
    home_close(&h);
}

/* ---- changes while files are written ---------------------------------------------------------------------------- */

/* A process that writes, cuts, renames and removes files in a directory until it is killed; what fails because the
 * folder is gone is none of its business. */
static pid_t churn(int dir, const char *prefix)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0;; i++) {
        char name[32], other[32];
        snprintf(name, sizeof name, "%s%u", prefix, i % 7);
        snprintf(other, sizeof other, "%s%u", prefix, (i + 3) % 7);
        put(dir, name, 1000 + i % 5000);
        append(dir, other, i % 300);
        if (i % 5 == 0)
            IGNORE(renameat(dir, name, dir, other), "see above");
        if (i % 11 == 0)
            IGNORE(unlinkat(dir, other, 0), "see above");
    }
}

static void churn_end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int64_t with_folder(struct vfs_bed *b, const char *folder_json)
{
    return bed_user(b,
                    "{\"username\":\"live1\",\"password\":\"secret\",\"status\":1,\"home_dir\":\"%s/live1\","
                    "\"permissions\":{\"/\":[\"*\"]},\"virtual_folders\":[%s]}",
                    b->data, folder_json);
}

static void a_folder_that_comes_goes_and_changes_its_quota_while_files_are_written_never_drifts(void **state)
{
    static const int64_t quotas[] = { -1, 0, -1, 50000, -2 }; /* -2: not included */
    struct vfs_bed *b = *state;
    struct home_of one, two;
    char folder[512] = "", path[256];

    snprintf(path, sizeof path, "%s/folder-live", b->data);
    home_open(b, &two, "live2", user_with_folder(b, "live2", "live", "/s", 0, 0, 0));
    home_open(b, &one, "live1", with_folder(b, ""));
    int64_t id = bed_folder_id(b, "live");
    int shared = openat(two.dir, "s", O_RDONLY | O_DIRECTORY);
    pid_t own = churn(one.dir, "o"), theirs = churn(shared, "t");
    for (size_t i = 0; i < 30; i++) {
        int64_t quota = quotas[i % ARRAY_SIZE(quotas)];
        snprintf(folder, sizeof folder,
                 "{\"name\":\"live\",\"virtual_path\":\"/%s\",\"quota_size\":%lld,\"quota_files\":%lld}",
                 i % 2 ? "s" : "x/y", (long long)quota, (long long)MIN(quota, 0));
        assert_int_equal(with_folder(b, quota == -2 ? "" : folder), one.id);
        IGNORE(put(one.dir, i % 2 ? "s/mine" : "x/y/mine", 100 + i), "it may be over the limit, or not there");
    }
    snprintf(folder, sizeof folder, "{\"name\":\"live\",\"virtual_path\":\"/s\",\"quota_size\":-1,\"quota_files\":-1}");
    assert_int_equal(with_folder(b, folder), one.id);
    churn_end(own);
    churn_end(theirs);
    close(shared);
    assert_true(bed_agrees(b, DOMAIN_FOLDER, id, path));
    struct bed_used in = bed_walked(path), mine = bed_walked(one.backing);
    assert_counts(&one, in.bytes + mine.bytes, in.files + mine.files);
    assert_agrees(&two);
    home_close(&one);
    home_close(&two);
}

static void a_file_that_is_open_in_a_folder_that_goes_says_so_and_charges_nobody(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;

    home_open(b, &h, "open1", user_with_folder(b, "open1", "openf", "/s", -1, -1, 0));
    int fd = openat(h.dir, "s/f", O_CREAT | O_WRONLY, 0644);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_counts(&h, 10, 1);
    assert_int_equal(bed_user(b,
                              "{\"username\":\"open1\",\"password\":\"secret\",\"status\":1,"
                              "\"home_dir\":\"%s/open1\",\"permissions\":{\"/\":[\"*\"]},\"virtual_folders\":[]}",
                              b->data),
                     h.id);
    assert_int_equal(err(write(fd, "x", 1)), -ESTALE);
    assert_counts(&h, 0, 0);
    close(fd);
    assert_int_equal(size_of(h.dir, "s"), -ENOENT);
    home_close(&h);
}

static void a_folder_that_is_mapped_elsewhere_shows_the_other_directory_at_once(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;
    char other[256];

    home_open(b, &h, "mapper", user_with_folder(b, "mapper", "mapf", "/s", -1, -1, 0));
    int64_t folder = bed_folder_id(b, "mapf");
    int fd = openat(h.dir, "s/f", O_CREAT | O_WRONLY, 0644);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    snprintf(other, sizeof other, "%s/elsewhere", b->data);
    assert_int_equal(mkdir(other, 0755), 0);
    int beneath = open(other, O_RDONLY | O_DIRECTORY);
    assert_int_equal(put(beneath, "g", 77), 77);
    bed_folder(b, "{\"name\":\"mapf\",\"mapped_path\":\"%s\"}", other);
    assert_int_equal(size_of(h.dir, "s/f"), -ENOENT);
    assert_int_equal(size_of(h.dir, "s/g"), 77);
    assert_true(bed_counts(b, DOMAIN_FOLDER, folder, 77, 1));
    assert_counts(&h, 77, 1);
    assert_int_equal(err(write(fd, "x", 1)), -ESTALE);
    assert_int_equal(append(h.dir, "s/g", 3), 3);
    assert_counts(&h, 80, 1);
    close(fd);
    close(beneath);
    home_close(&h);
}

static void a_home_that_moves_shows_the_other_directory_at_once(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of h;
    char path[256];

    home_new(b, &h, 0, 0);
    assert_int_equal(put(h.dir, "f", 10), 10);
    int fd = openat(h.dir, "f", O_WRONLY);
    assert_int_equal(bed_user(b,
                              "{\"username\":\"%s\",\"password\":\"secret\",\"status\":1,"
                              "\"home_dir\":\"%s/moved\",\"permissions\":{\"/\":[\"*\"]}}",
                              h.name, b->data),
                     h.id);
    assert_int_equal(err(write(fd, "x", 1)), -ESTALE);
    assert_int_equal(put(h.dir, "g", 1), -ESTALE); /* who sits in the old one */
    snprintf(path, sizeof path, "%s/%s", b->mnt, h.name);
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(size_of(dir, "f"), -ENOENT);
    assert_int_equal(put(dir, "g", 5), 5);
    assert_counts(&h, 5, 1);
    close(fd);
    close(dir);
    home_close(&h);
}

/* ---- what the other view remembers ------------------------------------------------------------------------------ */

enum { OTHER_VIEW_MS = 500, ROUNDS = 20 }; /* within a second names are asked again anyway: that must not be it */

static bool shows_soon(int dir, const char *name, int64_t size)
{
    for (int ms = 0; ms < OTHER_VIEW_MS; ms++) {
        if (size_of(dir, name) == size)
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return false;
}

static void names_and_sizes_in_the_other_view_are_right_soon(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of one, two;

    home_open(b, &one, "seer1", user_with_folder(b, "seer1", "seen", "/s", 0, 0, 0));
    home_open(b, &two, "seer2", user_with_folder(b, "seer2", "seen", "/t", 0, 0, 0));
    for (int i = 0; i < ROUNDS; i++) {
        char here[32], there[32], moved[32];
        snprintf(here, sizeof here, "s/n%d", i);
        snprintf(there, sizeof there, "t/n%d", i);
        snprintf(moved, sizeof moved, "t/m%d", i);
        assert_int_equal(size_of(two.dir, there), -ENOENT);
        assert_int_equal(put(one.dir, here, 100), 100);
        assert_true(shows_soon(two.dir, there, 100));
        assert_int_equal(append(one.dir, here, 1), 1);
        assert_int_equal(size_of(two.dir, there), 101); /* at once */
        assert_int_equal(renameat(two.dir, there, two.dir, moved), 0);
        assert_true(shows_soon(one.dir, here, -ENOENT));
        assert_int_equal(unlinkat(two.dir, moved, 0), 0);
    }
    assert_true(bed_counts(b, DOMAIN_FOLDER, bed_folder_id(b, "seen"), 0, 0));
    home_close(&one);
    home_close(&two);
}

static int64_t user_with_two(struct vfs_bed *b, const char *name, const char *one, const char *two)
{
    return bed_user(b,
                    "{\"username\":\"%s\",\"password\":\"secret\",\"status\":1,\"home_dir\":\"%s/%s\","
                    "\"permissions\":{\"/\":[\"*\"]},\"virtual_folders\":["
                    "{\"name\":\"%s\",\"mapped_path\":\"%s/folder-%s\",\"virtual_path\":\"/s\"},"
                    "{\"name\":\"%s\",\"mapped_path\":\"%s/folder-%s\",\"virtual_path\":\"/t\"}]}",
                    name, b->data, name, one, b->data, one, two, b->data, two);
}

static void what_others_remember_is_right_after_a_crash_too(void **state)
{
    struct vfs_bed *b = *state;
    struct home_of one, two, three;

    home_open(b, &one, "again1", user_with_two(b, "again1", "ga", "gx"));
    home_open(b, &two, "again2", user_with_two(b, "again2", "gb", "ga"));
    home_open(b, &three, "again3", user_with_two(b, "again3", "gy", "gb"));
    assert_int_equal(put(one.dir, "s/f", 100), 100);
    assert_int_equal(put(two.dir, "s/g", 100), 100);
    assert_int_equal(size_of(two.dir, "t/f"), 100);
    assert_int_equal(size_of(three.dir, "t/g"), 100);
    int f = openat(one.dir, "s/f", O_WRONLY | O_APPEND), g = openat(two.dir, "s/g", O_WRONLY | O_APPEND);
    bed_crash(b); /* the kernel may keep these sizes for a day; nobody but the requests below activates homes */
    assert_int_equal(size_of(one.dir, "nothing"), -ENOENT);
    assert_int_equal(write(f, "x", 1), 1);
    assert_int_equal(write(g, "x", 1), 1);
    assert_int_equal(size_of(two.dir, "t/f"), 101);
    assert_int_equal(size_of(three.dir, "t/g"), 101);
    close(f);
    close(g);
    home_close(&one);
    home_close(&two);
    home_close(&three);
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
        cmocka_unit_test(a_folder_in_a_folder_is_seen_through_directories_that_are_there_or_not),
        cmocka_unit_test(a_folder_that_comes_goes_and_changes_its_quota_while_files_are_written_never_drifts),
        cmocka_unit_test(a_file_that_is_open_in_a_folder_that_goes_says_so_and_charges_nobody),
        cmocka_unit_test(a_folder_that_is_mapped_elsewhere_shows_the_other_directory_at_once),
        cmocka_unit_test(a_home_that_moves_shows_the_other_directory_at_once),
        cmocka_unit_test(names_and_sizes_in_the_other_view_are_right_soon),
        cmocka_unit_test(what_others_remember_is_right_after_a_crash_too),
    };

    return cmocka_run_group_tests(tests, mounted_setup, mounted_teardown);
}
