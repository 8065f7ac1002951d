/* See bed.h. */
#include "tests/integration/watcher/bed.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "watcher/kernel.h"

enum { INODES_MAX = 200000, RECORDS_SAID_MAX = 11000 };

void bed_pause(void)
{
    poll(NULL, 0, 2);
}

uint64_t now_ms(void)
{
    return sys->now_ns() / 1000000;
}

int64_t bed_metric(enum metric_id m)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(1 << 20);
    char key[128];
    int64_t n = 0;

    metric_print(&text);
    snprintf(key, sizeof key, "\n%s ", metrics[m].name);
    const char *at = text.s ? strstr(text.s, key) : NULL;
    if (at)
        n = strtoll(at + strlen(key), NULL, 10);
    return n;
}

/* ---- other processes -------------------------------------------------------------------------------------------- */

pid_t bed_spawn(struct bed *b, const char *script)
{
    char *argv[] = { (char[]){ "sh" }, (char[]){ "-euc" }, strdup(script), NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, b->root);
    assert_int_equal(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    free(argv[2]);
    return pid;
}

void bed_join(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

void bed_run(struct bed *b, const char *script)
{
    bed_join(bed_spawn(b, script));
}

/* ---- helper commands -------------------------------------------------------------------------------------------- */

static int helper_exchange(char **argv)
{
    return sys->renameat2(AT_FDCWD, argv[0], AT_FDCWD, argv[1], RENAME_EXCHANGE);
}

/* An NFS server after a restart: it has a handle, and the kernel's cache has no name for it. */
static int helper_write_cold(char **argv)
{
    struct handle h;
    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int drop = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    int r = sys->name_to_handle(dir, argv[0], &h, 0);

    if (r < 0 || drop < 0)
        return -1;
    sync();
    if (write(drop, "2", 1) != 1)
        return -1;
    int fd = sys->open_by_handle(dir, &h, O_WRONLY);
    return fd < 0 ? fd : (int)sys->pwrite(fd, argv[1], strlen(argv[1]), 0);
}

enum { STORM_NAMES = 12 };

static void storm_path(unsigned *seed, char *to, size_t room)
{
    static const char *const dirs[] = { "h", "h/d0", "h/d0/d1", "h/d2", "g", "g/d0", "out", "out/d0" };
    unsigned dir = (unsigned)rand_r(seed) % ARRAY_SIZE(dirs), n = (unsigned)rand_r(seed) % STORM_NAMES;
    snprintf(to, room, "%s/%s%u", dirs[dir], n < 3 ? "d" : "f", n);
}

static void storm_step(unsigned *seed)
{
    char a[64], b[64];
    int fd;

    storm_path(seed, a, sizeof a);
    storm_path(seed, b, sizeof b);
    switch (rand_r(seed) % 10) {
    case 0:
    case 1:
    case 2:
        fd = open(a, O_WRONLY | O_CREAT | O_CLOEXEC | (rand_r(seed) % 2 ? O_TRUNC : O_APPEND), 0644);
        if (fd >= 0 && write(fd, "0123456789012345678901234567890123456789", (size_t)(rand_r(seed) % 40)) < 0)
            _exit(1);
        if (fd >= 0)
            close(fd);
        break;
    case 3:
        IGNORE(truncate(a, rand_r(seed) % 10000), "a storm");
        break;
    case 4:
    case 5:
        IGNORE(rename(a, b), "a storm");
        break;
    case 6:
        IGNORE(mkdir(a, 0755), "a storm");
        break;
    case 7:
        IGNORE(rmdir(a), "a storm");
        break;
    default:
        IGNORE(unlink(a), "a storm");
        break;
    }
}

static int helper_storm(char **argv)
{
    int64_t first, steps;
    int r = str_int(argv[0], 0, INT32_MAX, &first);

    if (r == 0)
        r = str_int(argv[1], 0, INT32_MAX, &steps);
    if (r < 0)
        return r;
    unsigned seed = (unsigned)first;
    for (int64_t i = 0; i < steps; i++)
        storm_step(&seed);
    return 0;
}

static const struct helper {
    const char *name;
    int (*run)(char **argv);
} helpers[] = {
    { "exchange", helper_exchange },
    { "write-cold", helper_write_cold },
    { "storm", helper_storm },
};

bool bed_main(int argc, char **argv, int *ret_status)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    for (size_t i = 0; i < ARRAY_SIZE(helpers) && argc > 3; i++)
        if (strcmp(argv[1], helpers[i].name) == 0) {
            *ret_status = helpers[i].run(argv + 2) < 0;
            return true;
        }
    if (geteuid() != 0) {
        print_message("skipped: fanotify and file handles need root\n");
        *ret_status = 77;
        return true;
    }
    if (n <= 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        abort();
    self[n] = '\0';
    setenv("SELF", self, 1);
    return false;
}

/* ---- a walk of our own ------------------------------------------------------------------------------------------ */

struct walk {
    struct bed *bed;
    dev_t dev;
    uint64_t bytes, files;
    uint64_t inodes[INODES_MAX]; /* with more than one link, met already */
    size_t n;
    bool links; /* some: then it is open to which directory they belong */
    bool right; /* of the subtree totals */
};

static bool met_before(struct walk *k, const struct stat *st)
{
    if (st->st_nlink < 2)
        return false;
    k->links = true;
    for (size_t i = 0; i < k->n; i++)
        if (k->inodes[i] == st->st_ino)
            return true;
    assert_true(k->n < INODES_MAX);
    k->inodes[k->n++] = st->st_ino;
    return false;
}

static void check_totals(struct walk *k, const struct stat *st, uint64_t bytes, uint64_t files)
{
    slot_t slot = record_find(k->bed->ledger, st->st_dev, st->st_ino);
    struct record_view v;

    if (slot == SLOT_NONE || !record_view(k->bed->ledger, slot, 0, &v))
        k->right = false;
    else if (!k->links && (v.bytes != bytes || v.files != files))
        k->right = false;
}

static void walk_dir(struct walk *k, int fd /* moved */)
{
    uint64_t bytes = k->bytes, files = k->files;
    DIR *d = fdopendir(fd);
    struct dirent *e;
    struct stat st, self;

    assert_non_null(d);
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (sub >= 0)
                walk_dir(k, sub);
        } else if (S_ISREG(st.st_mode) && !met_before(k, &st)) {
            k->bytes += (uint64_t)st.st_size;
            k->files++;
        }
    }
    assert_int_equal(fstat(dirfd(d), &self), 0);
    check_totals(k, &self, k->bytes - bytes, k->files - files);
    closedir(d);
}

static void find_unknown(struct bed *b, const struct home *h, int fd /* moved */, const char *path)
{
    DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *e;

    close(fd);
    while (d && (e = readdir(d))) {
        struct record_view v = { 0 };
        struct stat st;
        char below[4096];

        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        slot_t slot = record_find(b->ledger, st.st_dev, st.st_ino);
        bool known = slot && record_view(b->ledger, slot, 0, &v) && v.tree == h->tree;
        if (S_ISDIR(st.st_mode))
            find_unknown(b, h, openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), below);
        if (!known || (S_ISREG(st.st_mode) && !v.is_charged))
            print_error("%s: record %u, %s%s%s%s, under %u\n", below, slot, known ? "of this tree" : "not of this tree",
                        v.is_dir ? ", a directory's" : "", v.is_charged ? ", charged" : "",
                        v.is_nameless ? ", nameless" : "", v.parent);
    }
    if (d)
        closedir(d);
}

static bool home_is_right(struct bed *b, const struct home *h, char *said, size_t room)
{
    struct walk *k = calloc(1, sizeof *k);
    int fd = openat(h->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_non_null(k);
    assert_true(fd >= 0);
    k->bed = b;
    k->right = true;
    walk_dir(k, fd);
    const struct usage_slot *u = domain_usage(h->domain);
    uint64_t bytes = u->used_bytes, files = u->used_files;
    bool right = bytes == k->bytes && files == k->files && k->right;
    if (!right)
        snprintf(said, room, "%s: counted %llu bytes in %llu files, found %llu in %llu%s (%s)", h->name,
                 (unsigned long long)bytes, (unsigned long long)files, (unsigned long long)k->bytes,
                 (unsigned long long)k->files, k->right ? "" : ", subtree totals differ",
                 domain_state_name((enum domain_state)u->state));
    free(k);
    return right;
}

static bool all_are_right(struct bed *b, char *said, size_t room)
{
    for (size_t i = 0; i < ARRAY_SIZE(b->homes); i++)
        if (b->homes[i].tree && !home_is_right(b, &b->homes[i], said, room))
            return false;
    return true;
}

bool bed_is_right(struct bed *b)
{
    char said[256];
    return all_are_right(b, said, sizeof said);
}

/* Says which records are not what is there. */
static void say_wrong_records(struct bed *b)
{
    for (slot_t slot = 1; slot < RECORDS_SAID_MAX; slot++) {
        struct record_view v;
        struct stat st = { 0 };
        char link[64], path[4096] = "";

        if (!record_view(b->ledger, slot, 0, &v) || v.is_dir || !v.is_charged)
            continue;
        CLEANUP(fd_close) int fd = record_open_fd(b->ledger, slot, 0, O_PATH);
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (fd >= 0 && (fstat(fd, &st) < 0 || readlink(link, path, sizeof path - 1) < 0))
            path[0] = '\0';
        const char *home = v.tree == b->homes[0].tree ? "h" : "g";
        size_t root = strlen(b->root);
        bool in = st.st_nlink > 1 || (strlen(path) > root + 2 && path[root + 1] == home[0]);
        if (fd < 0 || st.st_nlink == 0 || (uint64_t)st.st_size != v.bytes || !in)
            print_error("record %u of %s, under %u: charged %llu, is %lld, links %lu, at %s\n", slot, home, v.parent,
                        (unsigned long long)v.bytes, (long long)st.st_size, (unsigned long)st.st_nlink, path);
    }
}

static void say_unknown_files(struct bed *b)
{
    for (size_t i = 0; i < ARRAY_SIZE(b->homes); i++)
        if (b->homes[i].tree)
            find_unknown(b, &b->homes[i], dup(b->homes[i].dir), b->homes[i].name);
}

static void await_once(struct bed *b, const char *what)
{
    uint64_t end = now_ms() + DEADLINE_MS;
    char said[256];

    while (!all_are_right(b, said, sizeof said)) {
        if (now_ms() > end) {
            say_wrong_records(b);
            say_unknown_files(b);
            fail_msg("%s: %s: %s", b->mode, what, said);
        }
        bed_pause();
    }
}

void bed_await_right(struct bed *b, const char *what)
{
    char script[128];

    await_once(b, what);
    for (int i = 0; i < 2; i++) {
        b->cookie++;
        snprintf(script, sizeof script, "truncate -s %u h/cookie; [ ! -d g ] || truncate -s %u g/cookie", b->cookie,
                 b->cookie);
        bed_run(b, script);
        await_once(b, what);
    }
}

enum domain_state bed_state(const struct bed *b, unsigned home)
{
    return (enum domain_state)domain_usage(b->homes[home].domain)->state;
}

/* ---- set-up ----------------------------------------------------------------------------------------------------- */

/* Up to the root of the mount on which `fd` (moved) lies. */
static int mount_root(int fd)
{
    uint64_t id, above;

    for (;;) {
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct stat here, there;
        assert_true(up >= 0);
        assert_int_equal(kernel_mount_id(fd, &id), 0);
        assert_int_equal(kernel_mount_id(up, &above), 0);
        assert_int_equal(fstat(fd, &here) + fstat(up, &there), 0);
        if (id != above || here.st_ino == there.st_ino) {
            close(up);
            return fd;
        }
        close(fd);
        fd = up;
    }
}

/* The root of a private clone of the mount; not O_PATH, which open_by_handle_at(2) would refuse. */
static int clone_of(int dir)
{
    int root = mount_root(dup(dir));
    int tree = (int)syscall(SYS_open_tree, root, "", AT_EMPTY_PATH | 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
    int fd = tree < 0 ? -1 : openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    close(tree);
    close(root);
    return fd;
}

static int reopen_in(int clone, int fd)
{
    struct handle h;

    assert_int_equal(sys->name_to_handle(fd, "", &h, AT_EMPTY_PATH), 0);
    return sys->open_by_handle(clone, &h, O_PATH | O_DIRECTORY);
}

void bed_open_home(struct bed *b, unsigned home)
{
    static const char *const names[] = { "h", "g" };
    struct home *h = &b->homes[home];
    char path[96];

    h->name = names[home];
    snprintf(path, sizeof path, "%s/%s", b->root, h->name);
    CLEANUP(fd_close) int public = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(public >= 0);
    h->clone = clone_of(public);
    assert_true(h->clone >= 0);
    int fd = reopen_in(h->clone, public);
    assert_true(fd >= 0);
    h->dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(domain_get(b->ledger, home ? DOMAIN_FOLDER : DOMAIN_USER, 7 + home, &h->domain), 0);
    assert_int_equal(tree_open(b->ledger, h->domain, fd, h->clone, &h->tree), 0);
}

struct bed *bed_new(const char *mode, const char *setup)
{
    struct bed *b = calloc(1, sizeof *b);
    char state[96];

    assert_non_null(b);
    b->mode = mode;
    b->tuning = (struct watcher_tuning){ .settle_ms = SETTLE_MS, .places_max = PLACES_MAX };
    snprintf(b->root, sizeof b->root, "/tmp/tally-watch-XXXXXX");
    assert_non_null(mkdtemp(b->root));
    bed_run(b, "mkdir h g out state");
    bed_run(b, setup);
    snprintf(state, sizeof state, "%s/state", b->root);
    const struct ledger_options o = { .state_dir = state, .recount_threads = 1 };
    assert_int_equal(ledger_open(&o, &b->ledger), 0);
    bed_open_home(b, 0);
    recount_wait(b->ledger);
    return b;
}

void bed_watch(struct bed *b)
{
    char mode[16];
    struct config config = { .watcher = { .mode = mode, .max_watches = b->max_watches } };

    snprintf(mode, sizeof mode, "%s", b->mode);
    assert_int_equal(watcher_start_tuned(&config, b->ledger, &b->tuning, &b->watcher), 0);
    assert_string_equal(watcher_kind(b->watcher), strcmp(b->mode, "auto") == 0 ? "fanotify" : b->mode);
    if (!b->homes[1].tree)
        bed_open_home(b, 1); /* one tree is there before the watcher, one comes later */
    bed_await_right(b, "at the start");
}

void bed_free(struct bed *b)
{
    if (!b)
        return;
    watcher_stop(b->watcher);
    ledger_close(b->ledger);
    for (size_t i = 0; i < ARRAY_SIZE(b->homes); i++)
        if (b->homes[i].tree) {
            close(b->homes[i].dir);
            close(b->homes[i].clone);
        }
    if (b->has_mount)
        bed_run(b, "umount g");
    pid_t pid = bed_spawn(b, "rm -rf ./h ./g ./out ./state ./disk");
    waitpid(pid, NULL, 0);
    rmdir(b->root);
    free(b);
}
