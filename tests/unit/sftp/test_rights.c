/* Rights on paths as contract/sftp-quota.md §2.2 has them, renaming, and links that lead elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/sftp/bed.h"

enum { READ = 1, WRITE = 2, CREATE = 8, TRUNCATE = 16 };

/* Each request on a fresh /d/f, with exactly one right. */
static uint32_t do_list(struct bed *b)
{
    return bed_path(b, FXP_OPENDIR, "/d");
}
static uint32_t do_stat(struct bed *b)
{
    return bed_path(b, FXP_STAT, "/d/f");
}
static uint32_t do_download(struct bed *b)
{
    char h[8];
    return bed_open(b, "/d/f", READ, h);
}
static uint32_t do_upload(struct bed *b)
{
    char h[8];
    return bed_open(b, "/d/new", WRITE | CREATE | TRUNCATE, h);
}
static uint32_t do_overwrite(struct bed *b)
{
    char h[8];
    return bed_open(b, "/d/f", WRITE | CREATE | TRUNCATE, h);
}
static uint32_t do_remove(struct bed *b)
{
    return bed_path(b, FXP_REMOVE, "/d/f");
}
static uint32_t do_rmdir(struct bed *b)
{
    return bed_path(b, FXP_RMDIR, "/d/empty");
}
static uint32_t do_mkdir(struct bed *b)
{
    return bed_path(b, FXP_MKDIR, "/d/made");
}
static uint32_t do_rename_file(struct bed *b)
{
    return bed_two(b, FXP_RENAME, "/d/f", "/d/g");
}
static uint32_t do_rename_dir(struct bed *b)
{
    return bed_two(b, FXP_RENAME, "/d/empty", "/d/other");
}
static uint32_t do_symlink(struct bed *b)
{
    return bed_two(b, FXP_SYMLINK, "f", "/d/l");
}
static uint32_t setstat(struct bed *b, uint32_t flags)
{
    bed_ask(b, FXP_SETSTAT);
    packet_put_text(&b->request, "/d/f");
    packet_put_u32(&b->request, flags);
    packet_put_u64(&b->request, flags & 0xc || flags & 2 ? 0x1a4 * 0x100000001ULL : 3);
    bed_send(b);
    return b->status;
}
static uint32_t do_chtimes(struct bed *b)
{
    return setstat(b, 8);
}
static uint32_t do_truncate(struct bed *b)
{
    return setstat(b, 1);
}
static uint32_t do_chmod(struct bed *b)
{
    return setstat(b, 4);
}

static const struct {
    const char *name;
    uint32_t (*request)(struct bed *b);
    uint32_t any_of;
} rows[] = {
    { "opendir", do_list, MAY_LIST },
    { "stat", do_stat, MAY_LIST },
    { "open for reading", do_download, MAY_DOWNLOAD },
    { "open a new file", do_upload, MAY_UPLOAD },
    { "open an existing file for writing", do_overwrite, MAY_OVERWRITE },
    { "remove", do_remove, MAY_DELETE | MAY_DELETE_FILES },
    { "rmdir", do_rmdir, MAY_DELETE | MAY_DELETE_DIRS },
    { "mkdir", do_mkdir, MAY_CREATE_DIRS },
    { "rename a file", do_rename_file, MAY_RENAME | MAY_RENAME_FILES },
    { "rename a directory", do_rename_dir, MAY_RENAME | MAY_RENAME_DIRS },
    { "symlink", do_symlink, MAY_CREATE_SYMLINKS },
    { "chtimes", do_chtimes, MAY_CHTIMES },
    { "chmod", do_chmod, MAY_CHMOD },
    { "truncate", do_truncate, MAY_OVERWRITE },
};

static void fresh(struct bed *b)
{
    bed_run(b, (const char *const[]){ "rm", "-rf", "d", NULL });
    bed_run(b, (const char *const[]){ "mkdir", "-p", "d/empty", NULL });
    bed_file(b, "d/f", "content");
}

static void each_request_needs_its_right_and_no_other(void **state)
{
    struct bed *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (uint32_t bit = 1; bit <= MAY_CHTIMES; bit <<= 1) {
            fresh(b);
            bed_allow(b, "/", 0);
            bed_allow(b, "/d", bit);
            uint32_t expected = bit & rows[i].any_of ? FX_OK : FX_PERMISSION_DENIED;
            if (rows[i].request(b) != expected)
                fail_msg("%s with right %#x: status %u, %s", rows[i].name, bit, b->status, b->text);
        }
}

static void renaming_follows_its_rules(void **state)
{
    static const struct {
        const char *name;
        uint32_t from, to;
        const char *source, *target;
        uint32_t status;
    } renames[] = {
        { "rename on both", MAY_RENAME, MAY_RENAME, "/a/f", "/b/new", FX_OK },
        { "rename on one only", MAY_RENAME, MAY_LIST, "/a/f", "/b/new", FX_PERMISSION_DENIED },
        { "delete here, upload there", MAY_DELETE, MAY_UPLOAD, "/a/f", "/b/new", FX_OK },
        { "delete_files here, upload there", MAY_DELETE_FILES, MAY_UPLOAD, "/a/f", "/b/new", FX_OK },
        { "delete_dirs is no right on files", MAY_DELETE_DIRS, MAY_UPLOAD, "/a/f", "/b/new", FX_PERMISSION_DENIED },
        { "onto a file without overwrite", MAY_RENAME, MAY_RENAME, "/a/f", "/b/old", FX_PERMISSION_DENIED },
        { "onto a file with overwrite", MAY_RENAME, MAY_RENAME | MAY_OVERWRITE, "/a/f", "/b/old", FX_OK },
        { "onto a directory", MAY_ALL, MAY_ALL, "/a/f", "/b/dir", FX_OP_UNSUPPORTED },
        { "a directory by rename_dirs", MAY_RENAME_DIRS, MAY_RENAME_DIRS, "/a/dir", "/b/new", FX_OK },
        { "a directory by rename_files", MAY_RENAME_FILES, MAY_RENAME_FILES, "/a/dir", "/b/new", FX_PERMISSION_DENIED },
        { "a directory by delete and create", MAY_DELETE, MAY_CREATE_DIRS, "/a/dir", "/b/new", FX_OK },
        { "a link by delete and create_symlinks", MAY_DELETE, MAY_CREATE_SYMLINKS, "/a/link", "/b/new", FX_OK },
        { "a link by delete and upload", MAY_DELETE, MAY_UPLOAD, "/a/link", "/b/new", FX_PERMISSION_DENIED },
        { "to itself", MAY_RENAME | MAY_OVERWRITE, 0, "/a/f", "/a/f", FX_OK },
        { "what is not there", MAY_ALL, MAY_ALL, "/a/none", "/b/new", FX_NO_SUCH_FILE },
        { "the root", MAY_ALL, MAY_ALL, "/", "/b/new", FX_PERMISSION_DENIED },
    };
    struct bed *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(renames); i++) {
        bed_run(b, (const char *const[]){ "rm", "-rf", "a", "b", NULL });
        bed_run(b, (const char *const[]){ "mkdir", "-p", "a/dir", "b/dir", NULL });
        bed_run(b, (const char *const[]){ "ln", "-s", "f", "a/link", NULL });
        bed_file(b, "a/f", "source");
        bed_file(b, "b/old", "target");
        bed_allow(b, "/", 0);
        bed_allow(b, "/a", renames[i].from);
        bed_allow(b, "/b", renames[i].to);
        if (bed_two(b, FXP_RENAME, renames[i].source, renames[i].target) != renames[i].status)
            fail_msg("%s: status %u, %s", renames[i].name, b->status, b->text);
        bed_content(b, "b/old",
                    renames[i].status == FX_OK && strcmp(renames[i].target, "/b/old") == 0 ? "source" : "target");
    }
}

static void a_directory_with_stricter_rules_inside_does_not_move(void **state)
{
    struct bed *b = *state;
    bed_run(b, (const char *const[]){ "mkdir", "-p", "a/closed", NULL });
    bed_allow(b, "/", MAY_ALL);
    bed_allow(b, "/a/closed", MAY_LIST);
    assert_int_equal(bed_two(b, FXP_RENAME, "/a", "/b"), FX_PERMISSION_DENIED);
    bed_allow(b, "/", MAY_ALL);
    assert_int_equal(bed_two(b, FXP_RENAME, "/a", "/b"), FX_OK);
}

static void links_give_no_more_than_their_target(void **state)
{
    struct bed *b = *state;
    char h[8];
    bed_run(b, (const char *const[]){ "mkdir", "-p", "open", "closed/sub", NULL });
    bed_file(b, "closed/secret", "secret");
    bed_file(b, "closed/sub/secret", "secret");
    bed_run(b, (const char *const[]){ "ln", "-s", "../closed/secret", "open/link", NULL });
    bed_run(b, (const char *const[]){ "ln", "-s", "/closed", "open/dir", NULL });
    bed_run(b, (const char *const[]){ "ln", "-s", "..", "open/up", NULL });
    bed_allow(b, "/", MAY_ALL);
    bed_allow(b, "/closed", MAY_LIST);
    static const char *const ways[] = { "/open/link", "/open/dir/secret", "/open/dir/sub/secret",
                                        "/open/up/closed/secret", "/open/up/open/dir/secret" };
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        if (bed_open(b, ways[i], READ, h) != FX_PERMISSION_DENIED || bed_open(b, ways[i], WRITE, h) == FX_OK)
            fail_msg("%s", ways[i]);
    }
    assert_int_equal(bed_open(b, "/open/dir/new", WRITE | CREATE, h), FX_PERMISSION_DENIED);
    assert_int_equal(bed_path(b, FXP_REMOVE, "/open/dir/secret"), FX_PERMISSION_DENIED);
    assert_int_equal(bed_extended(b, "hardlink@openssh.com", "/closed/secret", "/open/hard"), FX_PERMISSION_DENIED);
    bed_content(b, "closed/secret", "secret");
}

static void nothing_leads_out_of_the_home(void **state)
{
    struct bed *b = *state;
    char h[8];
    static const struct {
        const char *target, *name;
    } links[] = { { "/etc", "abs" },         { "../../../../../../etc", "rel" },
                  { "/etc/passwd", "file" }, { "/tmp/tally-no", "dangling" },
                  { "loop", "loop" },        { "/proc/self/root", "magic" } };
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        bed_run(b, (const char *const[]){ "ln", "-s", links[i].target, links[i].name, NULL });
    static const char *const paths[] = { "/abs/passwd",           "/rel/passwd",    "/file",
                                         "/magic/etc/passwd",     "/../etc/passwd", "../../../../etc/passwd",
                                         "/abs/../../etc/passwd", "/loop",          "//etc/passwd" };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (bed_open(b, paths[i], READ, h) == FX_OK || bed_path(b, FXP_STAT, paths[i]) == FX_OK)
            fail_msg("%s", paths[i]);
    }
    /* a dangling link's target is inside: there is no /tmp in this home, so nothing is made anywhere */
    assert_int_equal(bed_open(b, "/dangling", WRITE | CREATE, h), FX_NO_SUCH_FILE);
    assert_int_equal(access("/tmp/tally-no", F_OK), -1);
    assert_int_equal(bed_entries(b), ARRAY_SIZE(links));
}

static void links_of_a_migrated_home_mean_the_home(void **state)
{
    struct bed *b = *state;
    char h[8], target[128];
    bed_run(b, (const char *const[]){ "mkdir", "docs", NULL });
    bed_file(b, "docs/f", "content");
    snprintf(target, sizeof(target), "%s/docs/f", b->dir);
    bed_run(b, (const char *const[]){ "ln", "-s", target, "link", NULL });
    assert_int_equal(bed_open(b, "/link", READ, h), FX_NO_SUCH_FILE);
    b->account.home.outside[0] = b->dir;
    assert_int_equal(bed_open(b, "/link", READ, h), FX_OK);
    assert_int_equal(bed_path(b, FXP_READLINK, "/link"), FX_OK);
    struct packet_in in = { .p = b->data + 4, .left = b->data_len - 4 };
    size_t len;
    assert_memory_equal(packet_bytes(&in, &len), "/docs/f", 7);
}

static void symlinks_are_stored_relative_and_inside(void **state)
{
    static const struct {
        const char *target, *link, *stored;
    } links[] = {
        { "/docs/a", "/x/l", "../docs/a" },
        { "/docs/a", "/l", "docs/a" },
        { "a", "/x/l", "a" },
        { "../../../etc", "/x/l", "../etc" },
        { "/x/y/z", "/x/l", "y/z" },
        { "/xy/z", "/x/l", "../xy/z" },
        { "/x", "/x/l", "." },
        { "../x/./a//b", "/x/l", "a/b" },
    };
    struct bed *b = *state;
    bed_run(b, (const char *const[]){ "mkdir", "x", NULL });
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        size_t len;
        assert_int_equal(bed_two(b, FXP_SYMLINK, links[i].target, links[i].link), FX_OK);
        assert_int_equal(bed_path(b, FXP_READLINK, links[i].link), FX_OK);
        struct packet_in in = { .p = b->data + 4, .left = b->data_len - 4 };
        const uint8_t *text = packet_bytes(&in, &len);
        if (len != strlen(links[i].stored) || memcmp(text, links[i].stored, len) != 0)
            fail_msg("%s at %s: %.*s", links[i].target, links[i].link, (int)len, (const char *)text);
        assert_int_equal(bed_path(b, FXP_REMOVE, links[i].link), FX_OK);
    }
    assert_int_equal(bed_two(b, FXP_SYMLINK, "/", "/x/l"), FX_PERMISSION_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_request_needs_its_right_and_no_other, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(renaming_follows_its_rules, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(a_directory_with_stricter_rules_inside_does_not_move, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(links_give_no_more_than_their_target, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(nothing_leads_out_of_the_home, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(links_of_a_migrated_home_mean_the_home, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(symlinks_are_stored_relative_and_inside, bed_setup, bed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
