/* Live numbers from a usage map that the test writes as the ledger does. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/live.h"
#include "base/sys.h"
#include "tests/unit/api/row.h"

enum { SLOTS = 8 };

struct bed {
    char dir[64];
    char path[96];
    struct live *live;
};

static uint64_t now_ns = 1;

static uint64_t virtual_now(void)
{
    return now_ns;
}

static struct sys virtual;

static int bed_open(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    virtual = sys_real;
    virtual.now_ns = virtual_now;
    sys = &virtual;
    snprintf(b->dir, sizeof(b->dir), "/tmp/tally-live-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof(b->path), "%s/domains.map", b->dir);
    assert_int_equal(live_new(b->dir, &b->live), 0);
    *state = b;
    return 0;
}

static int bed_close(void **state)
{
    struct bed *b = *state;

    live_free(b->live);
    unlink(b->path);
    rmdir(b->dir);
    free(b);
    sys = &sys_real;
    return 0;
}

/* User 5 has been scanned, folder 5 is being scanned, user 6 has an adjustment below zero. */
static void map_write_of(const struct bed *b, const char *boot_id, uint32_t clean_stop)
{
    struct usage_header *head = NULL;
    struct usage_slot *slots = NULL;

    assert_int_equal(posix_memalign((void **)&head, 4096, sizeof(*head)), 0);
    memset(head, 0, sizeof(*head));
    assert_int_equal(posix_memalign((void **)&slots, 256, SLOTS * sizeof(*slots)), 0);
    memset(slots, 0, SLOTS * sizeof(*slots));
    memcpy(head->magic, USAGE_MAGIC, sizeof(head->magic));
    head->version = USAGE_VERSION;
    head->slot_bytes = sizeof(struct usage_slot);
    head->slots = SLOTS;
    head->clean_stop = clean_stop;
    memcpy(head->boot_id, boot_id, strlen(boot_id));
    slots[1] = (struct usage_slot){ .id = 5,
                                    .kind = DOMAIN_USER,
                                    .state = DOMAIN_DIRTY,
                                    .used_bytes = 1000,
                                    .used_files = 3,
                                    .held_bytes = 7,
                                    .adjust_bytes = 50,
                                    .changed_ms = 42,
                                    .scan = { .start_ms = 10, .end_ms = 20, .result = SCAN_DONE, .drift_bytes = -9 } };
    slots[2] = (struct usage_slot){ .id = 5,
                                    .kind = DOMAIN_FOLDER,
                                    .state = DOMAIN_COUNTING,
                                    .scan = { .start_ms = 30, .files_seen = 11, .dry_run = 1 } };
    slots[4] = (struct usage_slot){ .id = 6, .kind = DOMAIN_USER, .used_bytes = 10, .adjust_bytes = -20 };
    int fd = open(b->path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, head, sizeof(*head)), sizeof(*head));
    assert_int_equal(write(fd, slots, SLOTS * sizeof(*slots)), SLOTS * sizeof(*slots));
    close(fd);
    free(head);
    free(slots);
}

static void map_write(const struct bed *b)
{
    char boot_id[37];

    assert_int_equal(sys_boot_id(boot_id), 0);
    map_write_of(b, boot_id, 0);
}

/* After a power cut the map is there before the ledger has looked at it. */
static void numbers_of_another_life_are_stale_unless_it_ended_cleanly(void **state)
{
    struct bed *b = *state;
    uint64_t states[DOMAIN_COUNTING + 1];
    struct live_numbers n;

    map_write_of(b, "another boot", 0);
    live_read(b->live, DOMAIN_USER, 5, &n);
    assert_int_equal(n.state, DOMAIN_STALE);
    assert_int_equal(n.used_bytes, 1050); /* the last known number, and said to be one */
    live_states(b->live, states);
    assert_int_equal(states[DOMAIN_DIRTY] + states[DOMAIN_CLEAN] + states[DOMAIN_COUNTING], 0);
    live_free(b->live);
    map_write_of(b, "another boot", 1);
    assert_int_equal(live_new(b->dir, &b->live), 0);
    live_read(b->live, DOMAIN_USER, 5, &n);
    assert_int_equal(n.state, DOMAIN_DIRTY);
}

static void without_a_map_all_is_zero_and_stale_and_it_is_looked_for_once_a_second(void **state)
{
    struct bed *b = *state;
    struct live_numbers n;

    live_read(b->live, DOMAIN_USER, 5, &n);
    assert_int_equal(n.used_bytes, 0);
    assert_int_equal(n.state, DOMAIN_STALE);
    map_write(b);
    live_read(b->live, DOMAIN_USER, 5, &n); /* not yet: the second is not over */
    assert_int_equal(n.used_bytes, 0);
    now_ns += UINT64_C(1000000000);
    live_read(b->live, DOMAIN_USER, 5, &n);
    assert_int_equal(n.used_bytes, 1050);
}

static void numbers_are_those_of_the_domain_as_reported(void **state)
{
    struct bed *b = *state;
    struct live_numbers n;

    map_write(b);
    live_read(b->live, DOMAIN_USER, 5, &n);
    assert_int_equal(n.used_bytes, 1050);
    assert_int_equal(n.used_files, 3);
    assert_int_equal(n.held_bytes, 7);
    assert_int_equal(n.adjust_bytes, 50);
    assert_int_equal(n.changed_ms, 42);
    assert_int_equal(n.state, DOMAIN_DIRTY);
    assert_int_equal(n.scan.result, SCAN_DONE);
    assert_int_equal(n.scan.drift_bytes, -9);
    live_read(b->live, DOMAIN_USER, 6, &n);
    assert_int_equal(n.used_bytes, 0); /* never below zero */
    live_read(b->live, DOMAIN_USER, 7, &n);
    assert_int_equal(n.state, DOMAIN_STALE); /* nothing is known of it */
    live_read(b->live, DOMAIN_FOLDER, 6, &n);
    assert_int_equal(n.state, DOMAIN_STALE);
}

static void only_running_scans_of_a_kind_are_listed(void **state)
{
    struct bed *b = *state;
    struct live_numbers n[4];

    map_write(b);
    assert_int_equal(live_scans(b->live, DOMAIN_USER, n, 4), 0);
    assert_int_equal(live_scans(b->live, DOMAIN_FOLDER, n, 4), 1);
    assert_int_equal(n[0].id, 5);
    assert_int_equal(n[0].scan.start_ms, 30);
    assert_int_equal(n[0].scan.files_seen, 11);
    assert_true(n[0].scan.dry_run);
    assert_int_equal(live_scans(b->live, DOMAIN_FOLDER, n, 0), 0);
}

static void states_are_counted(void **state)
{
    struct bed *b = *state;
    uint64_t states[DOMAIN_COUNTING + 1];

    map_write(b);
    live_states(b->live, states);
    assert_int_equal(states[DOMAIN_CLEAN], 1);
    assert_int_equal(states[DOMAIN_DIRTY], 1);
    assert_int_equal(states[DOMAIN_STALE], 0);
    assert_int_equal(states[DOMAIN_COUNTING], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_of_another_life_are_stale_unless_it_ended_cleanly, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(without_a_map_all_is_zero_and_stale_and_it_is_looked_for_once_a_second,
                                        bed_open, bed_close),
        cmocka_unit_test_setup_teardown(numbers_are_those_of_the_domain_as_reported, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(only_running_scans_of_a_kind_are_listed, bed_open, bed_close),
        cmocka_unit_test_setup_teardown(states_are_counted, bed_open, bed_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
