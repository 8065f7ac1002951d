/* The state directory's disk is full or fails: who deletes is not held up, nothing is silently wrong, and it heals. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metric.h"
#include "base/str.h"
#include "tests/integration/ledger/bed.h"

static char disk[] = "/tmp/tally-unwritable-XXXXXX";
static struct sys faulty; /* in use all the time: threads read `sys` */
static _Atomic bool msync_fails;

static int fail_msync(void *at, size_t len)
{
    return msync_fails ? -EIO : sys_real.msync(at, len);
}

static int make_disk(void **state)
{
    (void)state;
    faulty = sys_real;
    faulty.msync = fail_msync;
    sys = &faulty;
    bed_own_disk(disk, 48);
    return 0;
}

static int drop_disk(void **state)
{
    (void)state;
    sys = &sys_real;
    bed_own_disk_done(disk);
    return 0;
}

static int setup(void **state)
{
    struct bed *b = bed_new(2);

    assert_int_equal(bed_write(b, 0, "big", 0, 60000), 60000);
    assert_int_equal(bed_write(b, 0, "f", 0, 1000), 1000);
    assert_int_equal(bed_write(b, 1, "g", 0, 500), 500);
    bed_close(b);
    b->clean_after_ms = 20;
    bed_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    msync_fails = false;
    bed_free(*state);
    return 0;
}

static bool says_unwritable(void)
{
    struct strbuf text = { .max = 1 << 20 };

    metric_print(&text);
    bool is = strstr(text.s, "\ntally_ledger_unwritable 1\n") != NULL;
    strbuf_done(&text);
    return is;
}

static void await(bool (*is)(struct bed *b), struct bed *b, const char *what)
{
    for (unsigned i = 0; i < 20000 && !is(b); i++)
        poll(NULL, 0, 1);
    if (!is(b))
        fail_msg("%s: never", what);
}

static bool is_writable(struct bed *b)
{
    (void)b;
    return !says_unwritable();
}

static bool is_clean(struct bed *b)
{
    return bed_state(b->users[0]) == DOMAIN_CLEAN;
}

/* All of the disk, to the last block; and room again. */
static void fill(struct bed *b)
{
    bed_sh(b,
           "dd if=/dev/zero of=../full bs=64k status=none 2>/dev/null || dd if=/dev/zero of=../full2 bs=4k status=none "
           "2>/dev/null || sync -f ..");
}

static void make_room(struct bed *b)
{
    bed_sh(b, "rm -f ../full ../full2");
}

static void with_a_full_disk_everything_goes_on_and_it_heals(void **state)
{
    struct bed *b = *state;

    fill(b);
    assert_int_equal(bed_truncate(b, 0, "big", 50000), 0);
    assert_true(says_unwritable());
    assert_int_equal(bed_unlink(b, 0, "f"), 0);
    assert_int_equal(bed_write(b, 0, "big", 50000, 100), 100); /* a block that is there */
    assert_home(b, 0, "full");
    assert_int_equal(bed_state(b->users[0]), DOMAIN_DIRTY);
    make_room(b);
    await(is_writable, b, "room again");
    await(is_clean, b, "clean again");
    assert_int_equal(bed_write(b, 0, "big", 4000, 60000), 60000);
    assert_home(b, 0, "healed");
}

/* In a process of its own that dies with the ledger open, while the disk is full. */
static void change_and_die(struct bed *b)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        b->clean_after_ms = 60000; /* what it frees is room enough to heal */
        bed_open(b);
        fill(b);
        bool ok = bed_unlink(b, 0, "f") == 0 && bed_truncate(b, 0, "big", 10) == 0 && says_unwritable();
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_crash_of_the_machine_with_a_full_disk_leaves_no_number_that_is_wrong_and_clean(void **state)
{
    struct bed *b = *state;

    bed_close(b);
    change_and_die(b);
    make_room(b);
    b->boot_id = "the-next-boot";
    assert_int_equal(bed_try_open(b, &b->l), 0);
    assert_int_equal(ledger_started(b->l), LEDGER_STALE);
    assert_int_equal(bed_state(domain_find(b->l, DOMAIN_USER, 1)), DOMAIN_STALE); /* though its row is a clean one */
    ledger_close(b->l);
    bed_open(b);
    recount_wait(b->l);
    assert_home(b, 0, "counted again");
    assert_home(b, 1, "counted again, too");
    await(is_clean, b, "clean again");
}

static void a_crash_of_the_process_with_a_full_disk_loses_nothing(void **state)
{
    struct bed *b = *state;

    bed_close(b);
    change_and_die(b);
    bed_open(b);
    assert_int_equal(ledger_started(b->l), LEDGER_REPAIRED);
    assert_home(b, 0, "repaired");
    make_room(b);
    await(is_writable, b, "room again");
    await(is_clean, b, "clean again");
    bed_close(b);
    b->boot_id = "the-next-boot";
    bed_open(b);
    assert_int_equal(ledger_started(b->l), LEDGER_CLEAN);
    assert_home(b, 0, "in the end");
}

static void where_nothing_can_be_written_a_home_may_shrink_but_not_grow_and_is_stale(void **state)
{
    struct bed *b = *state;

    fill(b);
    msync_fails = true;
    assert_int_equal(bed_truncate(b, 0, "big", 50000), 0);
    assert_int_equal(bed_write(b, 0, "big", 50000, 100), -ENOSPC);
    assert_int_equal(bed_write(b, 0, "big", 0, 100), 100); /* over what is there */
    assert_int_equal(bed_unlink(b, 0, "f"), 0);
    assert_home(b, 0, "smaller");
    assert_int_equal(bed_state(b->users[0]), DOMAIN_STALE);
    assert_int_equal(bed_state(b->users[1]), DOMAIN_CLEAN);
    assert_int_equal(atomic_load(&domain_usage(b->users[0])->held_bytes), 0);
    msync_fails = false;
    make_room(b);
    await(is_writable, b, "room again");
    await(is_clean, b, "clean again");
    assert_int_equal(bed_write(b, 0, "big", 50000, 100), 100);
    assert_home(b, 0, "healed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(with_a_full_disk_everything_goes_on_and_it_heals, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_crash_of_the_machine_with_a_full_disk_leaves_no_number_that_is_wrong_and_clean, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crash_of_the_process_with_a_full_disk_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(where_nothing_can_be_written_a_home_may_shrink_but_not_grow_and_is_stale, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, make_disk, drop_disk);
}
