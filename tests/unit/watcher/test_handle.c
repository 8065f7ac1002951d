/* Inode numbers in file handles: known layouts, and the real handle of a real file. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sys.h"
#include "watcher/handle.h"

static const uint8_t bytes[] = { 0x78, 0x56, 0x34, 0x12, 0x01, 0x00, 0x00, 0x00, 0xef, 0xbe, 0xad, 0xde, 0, 0,
                                 0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0,
                                 0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0 };

static const struct {
    const char *name;
    int type;
    size_t len;
    uint64_t ino; /* 0: an unknown layout */
} rows[] = {
    { "32 bits and generation (ext4)", 0x01, 8, 0x12345678 },
    { "the same with the parent", 0x02, 16, 0x12345678 },
    { "tmpfs", 0x01, 12, 0xdeadbeef00000001 },
    { "64 bits and generation (XFS)", 0x81, 12, 0x112345678 },
    { "the same with the parent", 0x82, 24, 0x112345678 },
    { "btrfs", 0x4d, 20, 0x112345678 },
    { "btrfs with the parent", 0x4e, 32, 0x112345678 },
    { "btrfs with the parent in another subvolume", 0x4f, 40, 0x112345678 },
    { "cut short", 0x81, 8, 0 },
    { "empty", 0x01, 0, 0 },
    { "overlay", 0xf8, 20, 0 },
    { "invalid", 0xff, 8, 0 },
};

static void known_layouts_give_the_number_and_others_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t ino = 0;
        bool known = handle_ino(rows[i].type, bytes, rows[i].len, &ino);
        if (known != (rows[i].ino != 0) || ino != rows[i].ino)
            fail_msg("%s: %s, %llx", rows[i].name, known ? "known" : "unknown", (unsigned long long)ino);
    }
}

static void the_handle_of_a_file_has_the_number_that_stat_gives(void **state)
{
    char path[] = "/tmp/tally-handle-XXXXXX";
    int fd = mkstemp(path);
    struct handle h;
    struct stat st;
    uint64_t ino = 0;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(sys->fstatat(fd, "", &st, AT_EMPTY_PATH), 0);
    int r = sys->name_to_handle(fd, "", &h, AT_EMPTY_PATH);
    unlink(path);
    close(fd);
    if (r == -EOPNOTSUPP) {
        print_message("/tmp has no file handles\n");
        skip();
    }
    assert_int_equal(r, 0);
    assert_true(handle_ino(h.type, h.data, h.bytes, &ino));
    assert_int_equal(ino, st.st_ino);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_layouts_give_the_number_and_others_none),
        cmocka_unit_test(the_handle_of_a_file_has_the_number_that_stat_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
