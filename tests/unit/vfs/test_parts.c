/* The parts of the vfs that need no mount: node ids, the descriptor cache, the shared state, mount points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/metric.h"
#include "vfs/mount.h"
#include "vfs/node.h"

static const struct {
    uint32_t view, generation;
    slot_t slot;
    uint64_t id;
} ids[] = {
    { 0, 1, 1, UINT64_C(0x0000000100000001) },
    { 1, 0xfffff, 7, UINT64_C(0x001fffff00000007) },
    { 4095, 0xabcde, UINT32_MAX, UINT64_C(0xfffabcdeffffffff) },
};

static void node_ids_hold_view_generation_and_slot(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        uint64_t id = node_id(ids[i].view, ids[i].generation, ids[i].slot);
        assert_true(id == ids[i].id);
        assert_int_equal(node_view(id), ids[i].view);
        assert_int_equal(node_generation(id), ids[i].generation);
        assert_int_equal(node_slot(id), ids[i].slot);
        assert_true(id != NODE_ROOT);
    }
}

static int some_fd(void)
{
    int fd = open("/", O_PATH | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void the_cache_finds_only_the_generation_that_was_put_in(void **state)
{
    struct fd_cache *c = NULL;
    struct fd_ref a, b;

    (void)state;
    assert_int_equal(fd_cache_new(&c), 0);
    fd_cache_add(c, 5, 1, some_fd(), &a);
    assert_true(fd_cache_find(c, 5, 1, &b));
    assert_int_equal(a.fd, b.fd);
    fd_ref_put(&b);
    assert_false(fd_cache_find(c, 5, 2, &b));
    assert_false(fd_cache_find(c, 6, 1, &b));
    fd_ref_put(&a);
    fd_cache_free(c);
}

static void a_dropped_descriptor_stays_open_until_its_last_user_is_done(void **state)
{
    struct fd_cache *c = NULL;
    struct fd_ref a, b;

    (void)state;
    assert_int_equal(fd_cache_new(&c), 0);
    fd_cache_add(c, 5, 1, some_fd(), &a);
    int fd = a.fd;
    fd_cache_drop(c, 5);
    assert_false(fd_cache_find(c, 5, 1, &b));
    assert_true(is_open(fd));
    fd_ref_put(&a);
    assert_false(is_open(fd));
    fd_cache_free(c);
}

enum { MANY = 20000 };

static void the_cache_is_bounded(void **state)
{
    struct fd_cache *c = NULL;
    struct fd_ref r;
    int highest = 0;

    (void)state;
    assert_int_equal(fd_cache_new(&c), 0);
    for (slot_t slot = 1; slot <= MANY; slot++) {
        fd_cache_add(c, slot, 1, some_fd(), &r);
        highest = MAX(highest, r.fd);
        fd_ref_put(&r);
    }
    assert_true(highest < 4096 + 64);
    fd_cache_free(c);
}

static void views_keep_their_numbers_and_never_share_one(void **state)
{
    int fd = memfd_create("state", MFD_CLOEXEC);
    struct state *s = NULL;
    uint32_t a, b, again;

    (void)state;
    assert_int_equal(state_map(fd, true, &s), -EPROTO); /* nothing to resume */
    assert_int_equal(state_map(fd, false, &s), 0);
    assert_int_equal(state_view_number(s, 1, 10, &a), 0);
    assert_int_equal(state_view_number(s, 1, 11, &b), 0);
    assert_int_not_equal(a, b);
    assert_int_not_equal(a, 0);
    assert_int_equal(state_view_number(s, 1, 10, &again), 0);
    assert_int_equal(a, again);
    state_view_forget(s, 1, 10);
    assert_int_equal(state_view_number(s, 1, 12, &again), 0);
    assert_int_equal(a, again);
    assert_int_equal(state_dir_number(s, 10, "/a", &a), 0);
    assert_int_equal(state_dir_number(s, 10, "/a/b", &b), 0);
    assert_int_equal(state_dir_number(s, 10, "/a", &again), 0);
    assert_int_equal(a, again);
    assert_int_not_equal(a, b);
    state_unmap(s);
    close(fd);
}

static void the_set_of_homes_has_each_once_and_none_that_is_gone(void **state)
{
    int fd = memfd_create("state", MFD_CLOEXEC);
    struct state *s = NULL;

    (void)state;
    assert_int_equal(state_map(fd, false, &s), 0);
    for (int64_t id = 1; id <= 5; id++)
        assert_int_equal(state_home_add(s, id), 0);
    assert_int_equal(state_home_add(s, 3), 0);
    state_home_remove(s, 2);
    state_home_remove(s, 5);
    state_home_remove(s, 99);
    int64_t sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < STATE_HOMES; i++) {
        n += s->homes[i] > 0;
        sum += s->homes[i] > 0 ? s->homes[i] : 0;
    }
    assert_int_equal(n, 3);
    assert_int_equal(sum, 1 + 3 + 4);
    state_unmap(s);
    close(fd);
}

static void thousands_of_homes_may_have_names_on_the_way_to_folders(void **state)
{
    int fd = memfd_create("state", MFD_CLOEXEC);
    struct state *s = NULL;
    uint32_t first, second, again;

    (void)state;
    assert_int_equal(state_map(fd, false, &s), 0);
    for (int64_t id = 1; id <= MANY; id++) {
        assert_int_equal(state_dir_number(s, id, "/a", &first), 0);
        assert_int_equal(state_dir_number(s, id, "/a/b", &second), 0);
        assert_int_not_equal(first, second);
        if (id % 2)
            state_dirs_forget(s, id);
    }
    for (int64_t id = 2; id <= MANY; id += 2) {
        assert_int_equal(state_dir_number(s, id, "/a/b", &second), 0);
        assert_int_equal(s->dirs[second].user_id, id);
        assert_int_equal(state_dir_number(s, id, "/a/b", &again), 0);
        assert_int_equal(second, again);
    }
    state_unmap(s);
    close(fd);
}

static void a_mount_point_is_made_and_something_alive_on_it_is_left_alone(void **state)
{
    char dir[] = "/tmp/tally-mount-XXXXXX";
    char path[64];
    struct why why = { 0 };

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/b", dir);
    assert_int_equal(mount_clean(path, &why), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(mount_clean("/proc", &why), -EBUSY);
    assert_non_null(why.text);
    rmdir(path);
    snprintf(path, sizeof path, "%s/a", dir);
    rmdir(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_ids_hold_view_generation_and_slot),
        cmocka_unit_test(the_cache_finds_only_the_generation_that_was_put_in),
        cmocka_unit_test(a_dropped_descriptor_stays_open_until_its_last_user_is_done),
        cmocka_unit_test(the_cache_is_bounded),
        cmocka_unit_test(views_keep_their_numbers_and_never_share_one),
        cmocka_unit_test(the_set_of_homes_has_each_once_and_none_that_is_gone),
        cmocka_unit_test(thousands_of_homes_may_have_names_on_the_way_to_folders),
        cmocka_unit_test(a_mount_point_is_made_and_something_alive_on_it_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
