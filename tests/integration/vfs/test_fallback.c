/* Without passthrough everything works, through the daemon. */
#include "tests/integration/vfs/mounted.h"

#include <errno.h>
#include <sys/mman.h>

static int setup(void **state)
{
    static struct vfs_bed bed = { .no_passthrough = true };

    bed_start(&bed);
    *state = &bed;
    return 0;
}

static int teardown(void **state)
{
    bed_stop(*state);
    return 0;
}

static void files_are_read_written_mapped_and_counted(void **state)
{
    struct home_of h;
    char buf[8] = "";

    home_new(*state, &h, 5000, 0);
    assert_int_equal(put(h.dir, "f", 4096), 4096);
    int w = openat(h.dir, "f", O_RDWR);
    int r = openat(h.dir, "f", O_RDONLY);
    assert_int_equal(pwrite(w, "abc", 3, 0), 3);
    assert_int_equal(pread(r, buf, 3, 0), 3);
    assert_memory_equal(buf, "abc", 3);
    assert_int_equal(pread(w, buf, 3, 0), 3);
    char *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, r, 0);
    assert_true(m != MAP_FAILED);
    assert_memory_equal(m, "abc", 3);
    munmap(m, 4096);
    assert_int_equal(append(h.dir, "f", 2000), 904);
    assert_int_equal(append(h.dir, "f", 1), -EDQUOT);
    assert_counts(&h, 5000, 1);
    close(w);
    close(r);
    home_close(&h);
}

static void a_crash_costs_nothing_without_passthrough_either(void **state)
{
    struct home_of h;

    home_new(*state, &h, 0, 0);
    int fd = openat(h.dir, "f", O_CREAT | O_RDWR, 0644);
    assert_int_equal(write(fd, "before", 6), 6);
    assert_int_equal(unlinkat(h.dir, "f", 0), 0);
    bed_crash(*state);
    assert_counts(&h, 6, 1);
    home_close(&h);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_written_mapped_and_counted),
        cmocka_unit_test(a_crash_costs_nothing_without_passthrough_either),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
