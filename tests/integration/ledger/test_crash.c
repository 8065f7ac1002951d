/* Deaths: of the process at any instant, of the machine, of a map; and clean stops. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/ledger/bed.h"

enum { KILLS = 50, WRITERS = 3 };

struct writer {
    struct bed *b;
    unsigned who;
    uint64_t seed;
};

static void *storm_for_ever(void *arg)
{
    struct writer *w = arg;

    for (;;)
        bed_storm(w->b, 0, w->who, &w->seed);
    return NULL;
}

/* Opens the ledger, says so, and works until it is killed. */
static void victim(struct bed *b, int ready, uint64_t seed)
{
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];

    bed_open(b);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .b = b, .who = i, .seed = seed * 1000 + i };
        if (pthread_create(&threads[i], NULL, storm_for_ever, &writers[i]) != 0)
            _exit(1);
    }
    if (write(ready, "r", 1) != 1)
        _exit(1);
    pause();
}

/* Kills a working process after a while of `after_us`. */
static void kill_a_worker(struct bed *b, uint64_t seed, long after_us)
{
    int ready[2];
    char c;
    const struct timespec ts = { .tv_nsec = after_us * 1000 };

    assert_int_equal(pipe(ready), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        victim(b, ready[1], seed);
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    nanosleep(&ts, NULL); /* the instant of the kill is what is random here, nothing is awaited */
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void counters_are_exact_after_a_kill_at_any_instant(void **state)
{
    struct bed *b = *state;

    bed_close(b);
    for (unsigned i = 0; i < KILLS; i++) {
        kill_a_worker(b, i, 500 + (long)(i * 7919 % 20000));
        bed_open(b);
        assert_int_equal(ledger_started(b->l), LEDGER_REPAIRED);
        recount_wait(b->l); /* only where a file with several names was in doubt */
        assert_home(b, 0, "after the kill");
        assert_int_equal(atomic_load(&domain_usage(b->users[0])->held_bytes), 0);
        assert_int_equal(bed_state(b->users[0]) == DOMAIN_STALE, 0);
        if (i % 10 == 9) { /* does the repaired ledger agree with a recount, too? */
            assert_int_equal(recount_start(b->users[0], true), 0);
            recount_wait(b->l);
            assert_int_equal(atomic_load(&domain_usage(b->users[0])->scan.drift_bytes), 0);
            assert_int_equal(atomic_load(&domain_usage(b->users[0])->scan.drift_files), 0);
        }
        bed_close(b);
    }
}

static void a_second_death_before_the_tree_is_opened_forgets_nothing(void **state)
{
    struct bed *b = *state;
    struct domain *d;

    bed_close(b);
    for (unsigned i = 0; i < 5; i++) {
        kill_a_worker(b, 100 + i, 3000);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct ledger *l;
            _exit(bed_try_open(b, &l) == 0 ? 0 : 1); /* dies with the ledger open */
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(bed_try_open(b, &b->l), 0);
        assert_int_equal(domain_get(b->l, DOMAIN_USER, 1, &d), 0);
        ledger_close(b->l);
        b->l = NULL;
        bed_open(b);
        recount_wait(b->l);
        assert_home(b, 0, "after two deaths");
        bed_close(b);
    }
}

static void a_clean_stop_keeps_slots_numbers_and_the_state_clean(void **state)
{
    struct bed *b = *state;
    struct record_view before, after;

    assert_int_equal(bed_mkdir(b, 0, "d"), 0);
    assert_int_equal(bed_write(b, 0, "d/f", 0, 777), 777);
    assert_int_equal(tree_include(b->trees[0], b->users[1]), 0);
    domain_adjust(b->users[0], false, 1000, 1);
    slot_t slot = bed_slot(b, 0, "d/f");
    assert_true(record_view(b->l, slot, 0, &before));
    b->boot_id = "another-boot";
    bed_close(b);
    bed_open(b);
    assert_int_equal(ledger_started(b->l), LEDGER_CLEAN);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_CLEAN);
    assert_int_equal(bed_slot(b, 0, "d/f"), slot);
    assert_true(record_view(b->l, slot, before.generation, &after));
    assert_int_equal(before.nfs_generation, after.nfs_generation);
    assert_home(b, 0, "reopened");
    assert_int_equal(usage_reported_bytes(domain_usage(b->users[0])), 1000);
    assert_sum("included", bed_used(b->users[1]), bed_walk(b, 0, ""));
}

/* The machine loses power: the process is gone, its maps are those of another boot. */
static void lose_power(struct bed *b, const char *next_boot)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bed_open(b);
        if (bed_write(b, 0, "last", 0, 4000) != 4000)
            _exit(1);
        _exit(0); /* without closing it */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    b->boot_id = next_boot;
}

static void after_a_crash_of_the_machine_the_last_number_is_served_stale_and_then_healed(void **state)
{
    struct bed *b = *state;
    struct domain *d, *clean;

    assert_int_equal(bed_write(b, 0, "f", 0, 1000), 1000);
    assert_int_equal(bed_write(b, 1, "g", 0, 55), 55);
    bed_close(b);
    lose_power(b, "the-next-boot");
    assert_int_equal(bed_try_open(b, &b->l), 0);
    assert_int_equal(ledger_started(b->l), LEDGER_STALE);
    d = domain_find(b->l, DOMAIN_USER, 1);
    clean = domain_find(b->l, DOMAIN_USER, 2);
    assert_non_null(d);
    assert_non_null(clean);
    assert_int_equal(bed_state(d), DOMAIN_STALE);
    struct sum last = bed_used(d); /* as of its dirty mark, or as of a row that was written since */
    if (last.files != 1)
        assert_sum("the last number", last, ((struct sum){ 5000, 2 }));
    else
        assert_sum("the last number", last, ((struct sum){ 1000, 1 }));
    assert_int_equal(bed_state(clean), DOMAIN_CLEAN);
    assert_sum("the clean number", bed_used(clean), ((struct sum){ 55, 1 }));
    ledger_close(b->l);
    b->l = NULL;
    bed_open(b);
    recount_wait(b->l);
    assert_home(b, 0, "healed");
    assert_home(b, 1, "counted anew");
    assert_int_equal(bed_state(b->users[0]), DOMAIN_DIRTY);
    bed_close(b);
    bed_open(b);
    assert_int_equal(ledger_started(b->l), LEDGER_CLEAN);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_CLEAN);
}

static void while_it_is_counted_the_number_never_doubles(void **state)
{
    struct bed *b = *state;

    bed_sh(b, "for i in 1 2 3 4 5 6 7 8 9; do mkdir h0/d$i; for j in 1 2 3 4; do "
              "head -c 1000 /dev/zero >h0/d$i/f$j; done; done");
    assert_int_equal(recount_start(b->users[0], false), 0);
    recount_wait(b->l);
    bed_close(b);
    lose_power(b, "the-next-boot");
    struct sum truth = bed_walk(b, 0, "");
    bed_open(b); /* counts in the background */
    for (unsigned i = 0; i < 1000; i++)
        assert_true(bed_used(b->users[0]).bytes <= truth.bytes);
    recount_wait(b->l);
    assert_home(b, 0, "healed");
}

static const struct {
    const char *name, *damage;
} damages[] = {
    { "no inodes.map", "rm ../state/inodes.map" },
    { "no domains.map", "rm ../state/domains.map" },
    { "no trees.map", "rm ../state/trees.map" },
    { "an empty inodes.map", ": >../state/inodes.map" },
    { "magic", "printf X | dd of=../state/inodes.map bs=1 seek=0 conv=notrunc status=none" },
    { "instance", "printf X | dd of=../state/trees.map bs=1 seek=18 conv=notrunc status=none" },
    { "instance of domains", "printf X | dd of=../state/domains.map bs=1 seek=58 conv=notrunc status=none" },
    { "checksum", "printf XXXX | dd of=../state/inodes.map bs=1 seek=33 conv=notrunc status=none" },
    { "half of inodes.map", "truncate -s 524288 ../state/inodes.map" },
    { "an inodes.map with a header and no more", "truncate -s 69632 ../state/inodes.map" },
    { "half of trees.map", "truncate -s 4352 ../state/trees.map" },
    { "half of domains.map", "truncate -s 4100 ../state/domains.map" },
    { "magic of trees", "printf X | dd of=../state/trees.map bs=1 seek=0 conv=notrunc status=none" },
    { "checksum of trees", "printf XXXX | dd of=../state/trees.map bs=1 seek=33 conv=notrunc status=none" },
    { "magic of domains", "printf X | dd of=../state/domains.map bs=1 seek=0 conv=notrunc status=none" },
    { "noise over the trees",
      "dd if=/dev/urandom of=../state/trees.map bs=1k seek=0 count=8 conv=notrunc status=none" },
    { "noise over domains", "dd if=/dev/urandom of=../state/domains.map bs=1k count=4 conv=notrunc status=none" },
    { "slot size", "printf Y | dd of=../state/inodes.map bs=1 seek=12 conv=notrunc status=none" },
};

static void a_damaged_map_is_made_anew_and_everything_counted(void **state)
{
    struct bed *b = *state;

    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        assert_true(bed_write(b, 0, "f", 0, 1000 + i) > 0);
        bed_close(b);
        bed_sh(b, damages[i].damage);
        bed_open(b);
        if (ledger_started(b->l) != LEDGER_STALE)
            fail_msg("%s: not noticed", damages[i].name);
        recount_wait(b->l);
        assert_home(b, 0, damages[i].name);
    }
}

static void damaged_records_do_no_harm(void **state)
{
    struct bed *b = *state;

    for (unsigned i = 0; i < 8; i++) { /* noise over the slab: whatever it says, opening survives and a recount heals */
        char command[256];

        for (unsigned k = 0; k < 10; k++) {
            char name[16];
            snprintf(name, sizeof name, "d%u", k);
            bed_mkdir(b, 0, name);
            snprintf(name, sizeof name, "d%u/f", k);
            assert_true(bed_write(b, 0, name, 0, 10 + k) > 0);
        }
        size_t slab = 65536 + 4096; /* the header's pages and intents come first; noise may hit them, too */
        bed_close(b);
        snprintf(command, sizeof command,
                 "dd if=/dev/urandom of=../state/inodes.map bs=1 count=500 seek=%zu conv=notrunc status=none",
                 slab + 1024 + i * 211);
        bed_sh(b, command);
        bed_open(b);
        domain_mark_stale(b->users[0]);
        int r = recount_start(b->users[0], false);
        assert_true(r == 0 || r == -EALREADY);
        recount_wait(b->l);
        assert_home(b, 0, "healed");
    }
}

static void a_map_of_a_newer_version_is_refused(void **state)
{
    static const char *const maps[] = { "inodes", "trees", "domains" };
    struct bed *b = *state;
    struct ledger *l;
    char command[256];

    bed_close(b);
    for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
        snprintf(command, sizeof command,
                 "cp ../state/%s.map kept; printf '\\011' | dd of=../state/%s.map bs=1 seek=8 conv=notrunc status=none",
                 maps[i], maps[i]);
        bed_sh(b, command);
        assert_int_equal(bed_try_open(b, &l), -EPROTO);
        snprintf(command, sizeof command, "cp kept ../state/%s.map", maps[i]);
        bed_sh(b, command);
    }
    bed_open(b);
    assert_int_equal(ledger_started(b->l), LEDGER_CLEAN);
}

static void two_ledgers_never_have_one_directory_and_newer_files_are_refused(void **state)
{
    struct bed *b = *state;
    struct ledger *l;

    assert_int_equal(bed_try_open(b, &l), -EBUSY);
    bed_close(b);
    bed_sh(b, "printf '\\011' | dd of=../state/inodes.map bs=1 seek=8 conv=notrunc status=none");
    assert_int_equal(bed_try_open(b, &l), -EPROTO);
    bed_sh(b, "printf '\\002' | dd of=../state/inodes.map bs=1 seek=8 conv=notrunc status=none");
    bed_open(b);
    assert_int_equal(ledger_started(b->l), LEDGER_CLEAN);
}

static bool becomes(struct domain *d, enum domain_state state, unsigned within_ms)
{
    for (unsigned i = 0; i < within_ms; i++) {
        if (bed_state(d) == state)
            return true;
        poll(NULL, 0, 1);
    }
    return false;
}

static void an_idle_domain_becomes_clean_and_the_next_change_marks_it_again(void **state)
{
    struct bed *b = *state;

    bed_close(b);
    b->clean_after_ms = 20;
    bed_open(b);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bed_write(b, 0, "f", i, 1), 1);
        assert_true(becomes(b->users[0], DOMAIN_CLEAN, 10000));
    }
    bed_put(b, 0, "foreign", 10);
    assert_int_equal(look(b->trees[0], tree_root(b->trees[0]), "foreign"), 0);
    assert_int_equal(bed_state(b->users[0]), DOMAIN_DIRTY);
    assert_true(becomes(b->users[0], DOMAIN_CLEAN, 10000));
    b->boot_id = "the-next-boot";
    bed_close(b);
    bed_open(b);
    assert_home(b, 0, "in the end");
}

static void a_new_state_directory_is_said_to_be_new(void **state)
{
    struct bed *b = *state;

    assert_int_equal(ledger_started(b->l), LEDGER_NEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_state_directory_is_said_to_be_new, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_clean_stop_keeps_slots_numbers_and_the_state_clean, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(counters_are_exact_after_a_kill_at_any_instant, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_second_death_before_the_tree_is_opened_forgets_nothing, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(after_a_crash_of_the_machine_the_last_number_is_served_stale_and_then_healed,
                                        bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(while_it_is_counted_the_number_never_doubles, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_damaged_map_is_made_anew_and_everything_counted, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(damaged_records_do_no_harm, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(a_map_of_a_newer_version_is_refused, bed_up_two, bed_down),
        cmocka_unit_test_setup_teardown(two_ledgers_never_have_one_directory_and_newer_files_are_refused, bed_up_two,
                                        bed_down),
        cmocka_unit_test_setup_teardown(an_idle_domain_becomes_clean_and_the_next_change_marks_it_again, bed_up_two,
                                        bed_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
