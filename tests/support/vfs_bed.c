#include "tests/support/vfs_bed.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "ledger/ledger.h"
#include "store/store.h"
#include "tests/support/faults.h"
#include "vfs/mount.h"
#include "vfs/vfs.h"

enum { AWAIT_MS = 5000, FAULT_MS = 10000, TALK_MAX = 16384 };

enum ask { ASK_USER, ASK_USER_REMOVE, ASK_FOLDER, ASK_FOLDER_ID, ASK_RECOUNT, ASK_STOP };

struct talk {
    enum ask ask;
    enum domain_kind kind;
    int64_t id;
    bool dry_run;
    char text[TALK_MAX];
};

static void die(const char *what, int r)
{
    fprintf(stderr, "vfs_bed: %s: %s\n", what, error_text(r));
    exit(1);
}

static void must(const char *what, int r)
{
    if (r < 0)
        die(what, r);
}

/* ---- the guard -------------------------------------------------------------------------------------------------- */

/* A test that waits for a mount whose server is gone waits for ever, in a call that no signal ends. The guard is a
 * process of its own that aborts the connection when the server has died unasked, when the test is gone, or after
 * GUARD_S. */
struct guarded {
    _Atomic pid_t server; /* 0: being stopped or started */
};
static struct guarded *guarded;

enum { GUARD_S = 280, GUARD_LOOK_MS = 50 };

/* The number of the connection is the minor number of the mount's device: mountinfo has it without touching the
 * mount. */
static void connection_abort(const char *mnt)
{
    char line[1024], at[512], path[96];
    unsigned major_of, minor_of;
    FILE *f = fopen("/proc/self/mountinfo", "re");

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%*d %*d %u:%u %*s %511s", &major_of, &minor_of, at) != 3 || strcmp(at, mnt) != 0)
            continue;
        snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", minor_of);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "1", 1) != 1)
            fprintf(stderr, "vfs_bed: %s cannot be aborted\n", path);
        fd_close(&fd);
    }
    if (f != NULL)
        fclose(f);
}

static bool is_dead(pid_t pid)
{
    char path[64], state = 'Z';

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return true;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(f);
    return state == 'Z' || state == 'X';
}

static void guard_main(struct vfs_bed *b, int test_fd)
{
    struct pollfd test = { .fd = test_fd, .events = POLLIN };
    int looks = GUARD_S * 1000 / GUARD_LOOK_MS;

    setsid();
    while (looks-- > 0 && poll(&test, 1, GUARD_LOOK_MS) == 0) {
        pid_t server = guarded->server;
        if (server != 0 && is_dead(server) && guarded->server == server)
            break;
    }
    bool test_is_gone = test.revents != 0;
    connection_abort(b->mnt);
    if (!test_is_gone)
        fprintf(stderr, "vfs_bed: the connection was aborted: the server is %s\n", looks <= 0 ? "too slow" : "dead");
    else if (unmount_homes(b->mnt) == 0)
        fprintf(stderr, "vfs_bed: the test left its mount behind\n");
    _exit(0);
}

static void guard_start(struct vfs_bed *b)
{
    int ends[2];

    if (access("/sys/fs/fuse/connections", F_OK) == 0 && access("/sys/fs/fuse/connections/.", F_OK) == 0)
        IGNORE(mount("none", "/sys/fs/fuse/connections", "fusectl", 0, NULL), "mounted already");
    guarded = mmap(NULL, sizeof *guarded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must("pipe", guarded == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0);
    fflush(NULL);
    b->guard = fork();
    if (b->guard == 0) {
        close(ends[1]);
        guard_main(b, ends[0]);
    }
    close(ends[0]);
    b->guard_fd = ends[1];
}

/* Only after the mount is gone. */
static void guard_stop(struct vfs_bed *b)
{
    fd_close(&b->guard_fd);
    if (b->guard > 0)
        waitpid(b->guard, NULL, 0);
    b->guard = 0;
}

/* ---- the server ------------------------------------------------------------------------------------------------- */

struct server {
    struct config config;
    struct store *store;
    struct ledger *ledger;
    struct vfs *vfs;
};

static void server_config(struct vfs_bed *b, struct config *ret)
{
    char state[160], mnt[160], data[160], pass[64], open_files[64];
    struct why why = { 0 };
    char *env[] = { state, mnt, data, pass, b->max_open_files != 0 ? open_files : NULL, NULL };

    snprintf(state, sizeof state, "TALLY_STATE_DIR=%s", b->state);
    snprintf(mnt, sizeof mnt, "TALLY_VFS__MOUNT=%s", b->mnt);
    snprintf(data, sizeof data, "TALLY_DATA_PROVIDER__USERS_BASE_DIR=%s", b->data);
    snprintf(pass, sizeof pass, "TALLY_VFS__PASSTHROUGH=%s", b->no_passthrough ? "false" : "true");
    snprintf(open_files, sizeof open_files, "TALLY_VFS__MAX_OPEN_FILES=%u", b->max_open_files);
    if (config_load(NULL, env, ret, &why) < 0) {
        fprintf(stderr, "vfs_bed: configuration: %s %s\n", why.field, why.text);
        exit(1);
    }
}

static int64_t serve_user(struct server *s, const char *text)
{
    struct json_object *json = NULL;
    struct user u = { 0 }, there = { 0 };
    struct why why = { 0 };
    int64_t id = 0;
    int r = json_in(text, strlen(text), JSON_WHOLE, &json, &why);

    if (r == 0)
        r = schema_init(&user_schema, &u);
    if (r == 0)
        r = schema_parse(&user_schema, json, USE_CREATE, &u, &why);
    if (r == 0 && user_load(s->store, u.username, &there) == 0) {
        id = there.id;
        r = user_update(s->store, &u, &why);
    } else if (r == 0) {
        r = user_add(s->store, &u, &id, &why);
    }
    if (r < 0)
        fprintf(stderr, "vfs_bed: user: %s: %s %s\n", error_text(r), why.field, why.text);
    else
        vfs_user_changed(s->vfs, u.username, id);
    user_done(&u);
    user_done(&there);
    json_object_put(json);
    return r < 0 ? r : id;
}

static int64_t serve_folder(struct server *s, const char *text)
{
    struct json_object *json = NULL;
    struct folder f = { 0 }, there = { 0 };
    struct why why = { 0 };
    int r = json_in(text, strlen(text), JSON_WHOLE, &json, &why);

    if (r == 0)
        r = schema_init(&folder_schema, &f);
    if (r == 0)
        r = schema_parse(&folder_schema, json, USE_CREATE, &f, &why);
    if (r == 0)
        r = folder_load(s->store, f.name, &there);
    if (r == 0)
        r = folder_update(s->store, &f, &why);
    if (r < 0)
        fprintf(stderr, "vfs_bed: folder: %s: %s %s\n", error_text(r), why.field, why.text);
    else
        vfs_folder_changed(s->vfs, f.name, there.id);
    folder_done(&f);
    folder_done(&there);
    json_object_put(json);
    return r;
}

static int64_t serve_user_remove(struct server *s, const char *name)
{
    struct user u = { 0 };
    int r = user_load(s->store, name, &u);
    int64_t id = u.id;

    if (r == 0)
        r = user_remove(s->store, name);
    if (r == 0)
        vfs_user_changed(s->vfs, name, id);
    user_done(&u);
    return r;
}

static int64_t serve_folder_id(struct server *s, const char *name)
{
    struct folder f = { 0 };
    int r = folder_load(s->store, name, &f);
    int64_t id = f.id;

    folder_done(&f);
    return r < 0 ? r : id;
}

static int64_t serve_recount(struct server *s, const struct talk *t)
{
    struct domain *d = domain_find(s->ledger, t->kind, t->id);
    int r = d == NULL ? -ENOENT : recount_start(d, t->dry_run);

    if (r < 0)
        return r;
    recount_wait(s->ledger);
    return domain_usage(d)->scan.drift_bytes;
}

static int64_t serve_one(struct server *s, const struct talk *t)
{
    switch (t->ask) {
    case ASK_USER:
        return serve_user(s, t->text);
    case ASK_FOLDER:
        return serve_folder(s, t->text);
    case ASK_USER_REMOVE:
        return serve_user_remove(s, t->text);
    case ASK_FOLDER_ID:
        return serve_folder_id(s, t->text);
    case ASK_RECOUNT:
        return serve_recount(s, t);
    default:
        return 0;
    }
}

static void server_start(struct vfs_bed *b, struct server *s, bool resume)
{
    struct ledger_options lo = { .state_dir = b->state };
    struct vfs_options o = { .config = &s->config,
                             .fuse_fd = b->fuse_fd,
                             .state_fd = b->state_fd,
                             .notify_fd = b->notify_fd,
                             .resume = resume };

    server_config(b, &s->config);
    log_open("vfs_bed", getenv("BED_LOG") != NULL ? LOG_DEBUG : LOG_WARN);
    must("store", store_open(&s->config, STORE_WRITE, &s->store));
    must("ledger", ledger_open(&lo, &s->ledger));
    o.store = s->store;
    o.ledger = s->ledger;
    must("vfs", vfs_start(&o, &s->vfs));
}

static int fd_compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The test's own open files are not the server's: it would keep them from being released. */
static void descriptors_inherit(const struct vfs_bed *b, int talk)
{
    const struct rlimit limit = { b->max_descriptors, b->max_descriptors };
    int kept[] = { STDERR_FILENO, b->fuse_fd, b->state_fd, b->notify_fd, talk };

    qsort(kept, ARRAY_SIZE(kept), sizeof kept[0], fd_compare);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        unsigned last = i + 1 < ARRAY_SIZE(kept) ? (unsigned)kept[i + 1] - 1 : ~0U;
        if ((unsigned)kept[i] + 1 <= last)
            close_range((unsigned)kept[i] + 1, last, 0);
    }
    must("RLIMIT_NOFILE", b->max_descriptors != 0 && setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0);
}

static void server_main(struct vfs_bed *b, int talk, bool resume)
{
    static struct talk t;
    struct server s = { 0 };
    int64_t r = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0); /* a signal to the test's group is not for us: the test needs us to end */
    descriptors_inherit(b, talk);
    faults_install();
    server_start(b, &s, resume);
    do {
        if (send(talk, &r, sizeof r, 0) < 0 || recv(talk, &t, sizeof t, 0) <= 0)
            break;
        r = serve_one(&s, &t);
    } while (t.ask != ASK_STOP);
    vfs_stop(s.vfs);
    recount_wait(s.ledger);
    ledger_close(s.ledger);
    store_close(s.store);
    config_done(&s.config);
    send(talk, &r, sizeof r, 0);
}

static int64_t hear(struct vfs_bed *b)
{
    int64_t r;

    return recv(b->talk_fd, &r, sizeof r, 0) == sizeof r ? r : -EPIPE;
}

static int64_t ask(struct vfs_bed *b, const struct talk *t)
{
    return send(b->talk_fd, t, sizeof *t, MSG_NOSIGNAL) < 0 ? -errno : hear(b);
}

static void server_fork(struct vfs_bed *b, bool resume)
{
    int pair[2];

    must("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    fflush(NULL);
    b->server = fork();
    must("fork", b->server < 0 ? -errno : 0);
    if (b->server == 0) {
        close(pair[0]);
        server_main(b, pair[1], resume);
        exit(0);
    }
    close(pair[1]);
    b->talk_fd = pair[0];
    guarded->server = b->server;
    if (hear(b) < 0)
        die("the server has not started", -EPIPE);
}

static int server_reap(struct vfs_bed *b)
{
    int status = 0;

    guarded->server = 0;
    if (b->server > 0)
        waitpid(b->server, &status, 0);
    b->server = 0;
    fd_close(&b->talk_fd);
    return status;
}

static void server_stop(struct vfs_bed *b)
{
    static struct talk t = { .ask = ASK_STOP };

    if (b->server <= 0)
        return;
    guarded->server = 0;
    ask(b, &t);
    int status = server_reap(b);
    if (status != 0) {
        fprintf(stderr, "vfs_bed: the server ended with status %#x\n", (unsigned)status);
        abort();
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void bed_mount(struct vfs_bed *b)
{
    struct why why = { 0 };

    if (mount_homes(b->mnt, "tally", &b->fuse_fd, &why) < 0) {
        fprintf(stderr, "skipped: %s\n", why.text);
        exit(77);
    }
    b->state_fd = memfd_create("tally-state", MFD_CLOEXEC);
}

static void notifier_start(struct vfs_bed *b)
{
    int pair[2];

    must("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    b->notify_fd = pair[0];
    b->notified_fd = pair[1];
    fflush(NULL);
    b->notifier = fork();
    if (b->notifier == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0);
        close(pair[0]);
        fd_close(&b->guard_fd);
        notifier_run(b->fuse_fd, pair[1]);
        _exit(0);
    }
    fd_close(&b->notified_fd);
}

static void notifier_stop(struct vfs_bed *b)
{
    fd_close(&b->notify_fd);
    if (b->notifier > 0)
        waitpid(b->notifier, NULL, 0);
    b->notifier = 0;
}

void bed_start(struct vfs_bed *b)
{
    bool no_passthrough = b->no_passthrough;
    unsigned max_open_files = b->max_open_files, max_descriptors = b->max_descriptors;

    *b = (struct vfs_bed){ .dir = "/tmp/tally-bed-XXXXXX",
                           .fuse_fd = -1,
                           .state_fd = -1,
                           .notify_fd = -1,
                           .notified_fd = -1,
                           .talk_fd = -1,
                           .guard_fd = -1,
                           .no_passthrough = no_passthrough,
                           .max_open_files = max_open_files,
                           .max_descriptors = max_descriptors };
    if (getuid() != 0) {
        fprintf(stderr, "skipped: not root\n");
        exit(77);
    }
    if (mkdtemp(b->dir) == NULL)
        die(b->dir, -errno);
    chmod(b->dir, 0755);
    snprintf(b->mnt, sizeof b->mnt, "%s/mnt", b->dir);
    snprintf(b->data, sizeof b->data, "%s/data", b->dir);
    snprintf(b->state, sizeof b->state, "%s/state", b->dir);
    mkdir(b->mnt, 0755);
    mkdir(b->data, 0755);
    mkdir(b->state, 0700);
    guard_start(b);
    faults_prepare();
    bed_mount(b);
    notifier_start(b);
    server_fork(b, false);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void bed_stop(struct vfs_bed *b)
{
    usage_close(b->usage);
    b->usage = NULL;
    server_stop(b);
    notifier_stop(b);
    fd_close(&b->fuse_fd);
    fd_close(&b->state_fd);
    bool unmounted = unmount_homes(b->mnt) == 0;
    guard_stop(b);
    if (unmounted)
        nftw(b->dir, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void bed_crash(struct vfs_bed *b)
{
    guarded->server = 0;
    kill(b->server, SIGKILL);
    server_reap(b);
    server_fork(b, true);
}

void bed_fault(struct vfs_bed *b, unsigned points)
{
    (void)b;
    guarded->server = 0; /* it dies as it is asked to */
    faults_arm(points);
}

void bed_revive(struct vfs_bed *b)
{
    CLEANUP(fd_close) int pid_fd = (int)syscall(SYS_pidfd_open, b->server, 0);
    struct pollfd ended = { .fd = pid_fd, .events = POLLIN };

    if (poll(&ended, 1, FAULT_MS) != 1) {
        fprintf(stderr, "vfs_bed: the server did not come to its fault point\n");
        kill(b->server, SIGKILL);
    }
    faults_arm(0);
    server_reap(b);
    server_fork(b, true);
}

void bed_restart(struct vfs_bed *b)
{
    server_stop(b);
    server_fork(b, true);
}

void bed_remount(struct vfs_bed *b)
{
    server_stop(b);
    notifier_stop(b);
    fd_close(&b->fuse_fd);
    fd_close(&b->state_fd);
    must("unmount", unmount_homes(b->mnt));
    bed_mount(b);
    notifier_start(b);
    server_fork(b, false);
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

int64_t bed_user(struct vfs_bed *b, const char *fmt, ...)
{
    static struct talk t = { .ask = ASK_USER };
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(t.text, sizeof t.text, fmt, ap);
    va_end(ap);
    return ask(b, &t);
}

void bed_folder(struct vfs_bed *b, const char *fmt, ...)
{
    static struct talk t = { .ask = ASK_FOLDER };
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(t.text, sizeof t.text, fmt, ap);
    va_end(ap);
    must("change a folder", (int)ask(b, &t));
}

void bed_user_remove(struct vfs_bed *b, const char *name)
{
    static struct talk t = { .ask = ASK_USER_REMOVE };

    snprintf(t.text, sizeof t.text, "%s", name);
    must("remove a user", (int)ask(b, &t));
}

int64_t bed_quota(struct vfs_bed *b, const char *name, uint64_t bytes, uint64_t files)
{
    return bed_user(b,
                    "{\"username\":\"%s\",\"password\":\"secret\",\"status\":1,\"home_dir\":\"%s/%s\","
                    "\"permissions\":{\"/\":[\"*\"]},\"quota_size\":%llu,\"quota_files\":%llu}",
                    name, b->data, name, (unsigned long long)bytes, (unsigned long long)files);
}

int64_t bed_folder_id(struct vfs_bed *b, const char *name)
{
    static struct talk t = { .ask = ASK_FOLDER_ID };

    snprintf(t.text, sizeof t.text, "%s", name);
    return ask(b, &t);
}

int64_t bed_recount(struct vfs_bed *b, enum domain_kind kind, int64_t id, bool dry_run)
{
    static struct talk t = { .ask = ASK_RECOUNT };

    t.kind = kind;
    t.id = id;
    t.dry_run = dry_run;
    return ask(b, &t);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static const struct usage_slot *bed_slot(struct vfs_bed *b, enum domain_kind kind, int64_t id)
{
    if (b->usage == NULL)
        must("usage map", usage_open(b->state, &b->usage));
    return usage_find(b->usage, kind, id);
}

struct bed_used bed_counted(struct vfs_bed *b, enum domain_kind kind, int64_t id)
{
    const struct usage_slot *s = bed_slot(b, kind, id);

    if (s == NULL)
        return (struct bed_used){ UINT64_MAX, UINT64_MAX };
    return (struct bed_used){ s->used_bytes, s->used_files };
}

uint64_t bed_held(struct vfs_bed *b, enum domain_kind kind, int64_t id)
{
    const struct usage_slot *s = bed_slot(b, kind, id);

    return s == NULL ? 0 : s->held_bytes + s->held_files;
}

/* Inodes with several names count once. */
enum { LINKED_MAX = 4096 };
static struct {
    struct bed_used sum;
    ino_t linked[LINKED_MAX];
    size_t n;
} walk;

static int walk_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)ftw;
    if (type != FTW_F || !S_ISREG(st->st_mode))
        return 0;
    for (size_t i = 0; st->st_nlink > 1 && i < walk.n; i++)
        if (walk.linked[i] == st->st_ino)
            return 0;
    if (st->st_nlink > 1 && walk.n < LINKED_MAX)
        walk.linked[walk.n++] = st->st_ino;
    walk.sum.bytes += (uint64_t)st->st_size;
    walk.sum.files++;
    return 0;
}

struct bed_used bed_walked(const char *dir)
{
    walk.sum = (struct bed_used){ 0, 0 };
    walk.n = 0;
    nftw(dir, walk_one, 32, FTW_PHYS);
    return walk.sum;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool bed_await(bool (*fn)(void *arg), void *arg)
{
    int64_t until = now_ms() + AWAIT_MS;

    while (!fn(arg)) {
        if (now_ms() > until)
            return false;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return true;
}

struct wanted {
    struct vfs_bed *b;
    enum domain_kind kind;
    int64_t id;
    struct bed_used used;
};

static bool is_counted(void *arg)
{
    struct wanted *w = arg;
    struct bed_used is = bed_counted(w->b, w->kind, w->id);

    return is.bytes == w->used.bytes && is.files == w->used.files && bed_held(w->b, w->kind, w->id) == 0;
}

bool bed_counts(struct vfs_bed *b, enum domain_kind kind, int64_t id, uint64_t bytes, uint64_t files)
{
    struct wanted w = { .b = b, .kind = kind, .id = id, .used = { bytes, files } };
    bool ok = bed_await(is_counted, &w);
    struct bed_used is = bed_counted(b, kind, id);

    if (!ok)
        fprintf(stderr, "counted %lld bytes, %lld files, held %llu; expected %llu, %llu\n", (long long)is.bytes,
                (long long)is.files, (unsigned long long)bed_held(b, kind, id), (unsigned long long)bytes,
                (unsigned long long)files);
    return ok;
}

bool bed_agrees(struct vfs_bed *b, enum domain_kind kind, int64_t id, const char *dir)
{
    struct bed_used real = bed_walked(dir);

    return bed_counts(b, kind, id, real.bytes, real.files);
}
