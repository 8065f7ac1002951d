/* Every kind of change beneath the mount ends in the counters, in both modes: the same rows, the same numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/watcher/bed.h"

static const char setup[] = "printf 0123456789 >h/old; mkdir -p h/dir/sub out/dir/sub h/empty; printf abc >h/dir/x;"
                            "printf abcde >h/dir/sub/y; printf foreign >out/f; printf 12 >out/dir/z;"
                            "printf 123456 >out/dir/sub/w; printf g >g/own";

static const struct {
    const char *name, *script;
} rows[] = {
    { "a new file", "printf hello >h/new" },
    { "a new empty file", ": >h/new" },
    { "an append", "printf more >>h/old" },
    { "a write in place that grows", "printf 0123456789abcdef | dd of=h/old conv=notrunc status=none" },
    { "a file cut short", "truncate -s 3 h/old" },
    { "a sparse file", "truncate -s 1000000 h/old" },
    { "a file emptied by open", ": >h/old" },
    { "a file in a deeper directory", "printf hello >h/dir/sub/new; printf + >>h/dir/sub/y" },
    { "a delete", "rm h/old" },
    { "a rename", "mv h/old h/renamed" },
    { "a rename and a write", "mv h/old h/renamed; printf more >>h/renamed" },
    { "a rename into another directory", "mv h/old h/dir/sub/old" },
    { "a rename over a file", "printf x >h/tmp; mv h/tmp h/old" },
    { "a rename over a file that somebody has open", "exec 3<h/old; printf x >h/tmp; mv h/tmp h/old; exec 3<&-" },
    { "an exchange", "\"$SELF\" exchange h/old h/dir/sub/y" },
    { "an exchange of a file and a directory", "\"$SELF\" exchange h/old h/dir" },
    { "a delete of an open file that grows on", "exec 3>>h/old; rm h/old; printf unseen >&3; exec 3>&-" },
    { "deep directories with files at once", "mkdir -p h/1/2/3/4; printf a >h/1/2/3/4/f; printf bc >h/1/2/g" },
    { "deep directories that vanish at once", "mkdir -p h/1/2/3; printf a >h/1/2/3/f; rm -r h/1" },
    { "a directory made again under its name", "rm -r h/dir; mkdir h/dir; printf again >h/dir/x" },
    { "a hard link", "ln h/old h/dir/link; printf more >>h/dir/link" },
    { "a hard link whose first name goes", "ln h/old h/dir/link; rm h/old; printf more >>h/dir/link" },
    { "a hard link made and moved into place", "printf lock >h/tmp; ln h/tmp h/lock; rm h/tmp" },
    { "all links gone", "ln h/old h/dir/link; ln h/old h/link2; rm h/old h/link2 h/dir/link" },
    { "a tree removed", "rm -r h/dir" },
    { "everything removed", "rm -r h/dir h/empty h/old" },
    { "a file moved in", "mv out/f h/f" },
    { "a file moved in and changed", "mv out/f h/f; printf more >>h/f" },
    { "a file moved out", "mv h/old out/old" },
    { "a file moved out and changed", "mv h/old out/old; printf more >>out/old" },
    { "a file moved out and in again", "mv h/old out/old; printf x >out/old; mv out/old h/dir/back" },
    { "a directory moved in", "mv out/dir h/in" },
    { "a directory moved in and changed", "mv out/dir h/in; printf more >>h/in/sub/w; rm h/in/z" },
    { "an empty directory moved out", "mv h/empty out/empty" },
    { "a directory moved out", "mv h/dir out/moved" },
    { "a directory moved out and changed", "mv h/dir out/moved; printf more >>out/moved/sub/y; rm out/moved/x" },
    { "a directory moved out and in again", "mv h/dir out/moved; rm out/moved/x; mv out/moved h/back" },
    { "a directory renamed", "mv h/dir h/other; printf more >>h/other/sub/y; printf n >h/other/sub/new" },
    { "a directory moved within", "mv h/dir/sub h/empty/; printf more >>h/empty/sub/y; printf n >h/empty/sub/new" },
    { "a file moved to another home", "mv h/old g/old" },
    { "a file moved to another home and changed", "mv h/old g/old; printf more >>g/old" },
    { "a directory moved to another home", "mv h/dir g/dir; printf more >>g/dir/sub/y" },
    { "a directory copied", "cp -r out/dir h/copied; cp -r out/dir g/copied" },
    { "things that do not count", "ln -s old h/link; mkfifo h/fifo; printf x >h/real" },
    { "many files", "seq -f h/dir/%.0f 2000 | xargs touch; seq 500 | split -l 1 -a 4 - h/empty/" },
    { "foreign changes around", "cp -r h/dir out/copy; rm -r out/copy; printf more >>out/f; rm out/f" },
    { "odd names", "printf 1 >'h/ a\nb'; printf 12 >h/-; printf 123 >'h/\377'; mkdir 'h/...'; : >'h/.../.x'" },
};

static int tear_down(void **state)
{
    struct bed *b = *state;
    bed_free(b);
    return 0;
}

static struct bed *begin(void **state, const char *with)
{
    const char *mode = *state;
    struct bed *b = bed_new(mode, with);
    *state = b;
    return b;
}

static void reset(struct bed *b)
{
    bed_run(b, "find h g out -mindepth 1 -delete");
    bed_run(b, setup);
    bed_await_right(b, "made anew");
}

static void each_change_beneath_is_counted(void **state)
{
    struct bed *b = begin(state, setup);

    bed_watch(b);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bed_run(b, rows[i].script);
        bed_await_right(b, rows[i].name);
        reset(b);
    }
    AWAIT("trusted at the end", bed_state(b, 0) <= DOMAIN_DIRTY && bed_state(b, 1) <= DOMAIN_DIRTY);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void a_change_is_counted_within_a_second(void **state)
{
    struct bed *b = begin(state, setup);
    uint64_t took[9];

    bed_watch(b);
    for (size_t i = 0; i < ARRAY_SIZE(took); i++) {
        bed_run(b, "printf more >>h/dir/sub/y");
        uint64_t since = now_ms();
        AWAIT("an append", bed_is_right(b));
        took[i] = now_ms() - since;
    }
    qsort(took, ARRAY_SIZE(took), sizeof took[0], compare);
    assert_in_range(took[ARRAY_SIZE(took) / 2], 0, 1000);
}

static void changes_just_before_the_stop_are_counted(void **state)
{
    struct bed *b = begin(state, setup);

    bed_watch(b);
    bed_run(b, "printf last >h/last; rm -r h/dir; mv h/old h/older");
    watcher_stop(b->watcher);
    b->watcher = NULL;
    assert_true(bed_is_right(b));
}

/* What this process does itself, and what others write through its private mount (passthrough), is counted by who does
 * it: the watcher must not take it for foreign. */
static void own_changes_are_not_looked_at(void **state)
{
    struct bed *b = begin(state, setup);
    char script[96];

    bed_watch(b);
    const struct usage_slot *u = domain_usage(b->homes[0].domain);
    uint64_t bytes = u->used_bytes, files = u->used_files;
    int created = openat(b->homes[0].dir, "created", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(created >= 0);
    close(created);
    int fd = openat(b->homes[0].dir, "old", O_WRONLY | O_APPEND); /* inherited */
    assert_int_equal(write(fd, "own", 3), 3);
    snprintf(script, sizeof script, "printf passed-through >>/proc/self/fd/%d", fd);
    bed_run(b, script);
    close(fd);
    bed_run(b, "printf foreign >h/foreign");
    AWAIT("a foreign change behind them", u->used_bytes >= bytes + 7);
    assert_int_equal(u->used_bytes, bytes + 7);
    assert_int_equal(u->used_files, files + 1);
    bed_run(b, "printf + >>h/old; printf + >>h/created");
    bed_await_right(b, "the same files, written by others");
}

/* inotify hears nothing of it: there a recount finds it. */
static void a_write_through_a_cold_handle_is_counted(void **state)
{
    struct bed *b = begin(state, setup);

    b->tuning.recount_every_ms = strcmp(b->mode, "inotify") == 0 ? 200 : 0;
    bed_watch(b);
    bed_run(b, "\"$SELF\" write-cold h/dir/sub/y 0123456789012345678901234567890123456789");
    AWAIT("the write", bed_is_right(b));
}

static void trees_on_another_file_system_are_watched_too(void **state)
{
    struct bed *b = begin(state, "truncate -s 8M disk; mkfs.ext4 -q disk; mount -o loop disk g; printf 123 >g/own");

    b->has_mount = true;
    bed_watch(b);
    bed_run(b, "mkdir -p g/a/b; printf 12345 >g/a/b/f; printf 1 >h/f; printf + >>g/own");
    bed_await_right(b, "changes on both");
    bed_run(b, "rm -r g/a; mv g/own g/renamed");
    bed_await_right(b, "deletes on both");
}

int main(int argc, char **argv)
{
    static char fanotify[] = "fanotify", inotify[] = "inotify", both[] = "auto";
    int status;

#define IN_MODE(test, mode)                                                                                            \
    {                                                                                                                  \
#test " (" #mode ")", test, NULL, tear_down, mode                                                              \
    }
    const struct CMUnitTest tests[] = {
        IN_MODE(each_change_beneath_is_counted, fanotify),
        IN_MODE(each_change_beneath_is_counted, inotify),
        IN_MODE(a_change_is_counted_within_a_second, both),
        IN_MODE(a_change_is_counted_within_a_second, inotify),
        IN_MODE(changes_just_before_the_stop_are_counted, fanotify),
        IN_MODE(changes_just_before_the_stop_are_counted, inotify),
        IN_MODE(own_changes_are_not_looked_at, fanotify),
        IN_MODE(a_write_through_a_cold_handle_is_counted, fanotify),
        IN_MODE(a_write_through_a_cold_handle_is_counted, inotify),
        IN_MODE(trees_on_another_file_system_are_watched_too, both),
        IN_MODE(trees_on_another_file_system_are_watched_too, inotify),
    };
    if (bed_main(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
