/* The vfs role: store (reading), ledger, file system, watcher; and the questions that others ask about domains.
 *
 * Control messages are handled by a table. They arrive on control's own thread; all of them are short (activating a
 * home reads one row and opens a few descriptors; counts run in the background). */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/ledger.h"
#include "tallyd/service.h"
#include "vfs/vfs.h"
#include "watcher/watcher.h"

enum { COVERED_MS = 10000 }; /* how long "ready" waits for the views over all homes */

struct vfs_role {
    const struct config *config;
    const char *config_path;
    struct store *store;
    struct ledger *ledger;
    struct vfs *vfs;
    struct watcher *watcher;
    struct control *control;
    pthread_t waiter, verifier;
    bool resume;
    _Atomic bool mount_gone, stopping;
};

/* Which domain a question is about; its home or folder is activated first. */
static int domain_asked(struct vfs_role *v, struct json_object *args, struct domain **ret)
{
    const char *kind = json_text(args, "kind");
    const char *name = json_text(args, "name");
    int64_t id = json_number(args, "id", 0);
    bool is_user = kind != NULL && strcmp(kind, "user") == 0;

    if (name == NULL || id <= 0)
        return -EINVAL;
    int r = is_user ? vfs_activate_user(v->vfs, name) : vfs_activate_folder(v->vfs, name);
    if (r < 0)
        return r;
    *ret = domain_find(v->ledger, is_user ? DOMAIN_USER : DOMAIN_FOLDER, id);
    return *ret == NULL ? -ENOENT : 0;
}

static int ask_scan_start(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    struct domain *d;
    int r = domain_asked(v, args, &d);

    (void)ret;
    return r < 0 ? r : recount_start(d, json_number(args, "dry_run", 0) != 0);
}

static int ask_scan_cancel(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    struct domain *d;
    int r = domain_asked(v, args, &d);

    (void)ret;
    return r < 0 ? r : recount_cancel(d);
}

static int ask_usage_set(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    struct domain *d;
    int64_t size = json_number(args, "size", -1);
    int64_t files = json_number(args, "files", -1);
    int r = size < 0 || files < 0 ? -EINVAL : domain_asked(v, args, &d);

    (void)ret;
    if (r < 0)
        return r;
    if (recount_is_by_person(d)) /* its first count, and those after lost events, go on and drop it in the end */
        return -EALREADY;
    domain_adjust(d, json_number(args, "add", 0) != 0, (uint64_t)size, (uint64_t)files);
    return 0;
}

static int ask_status(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    struct vfs_status st;

    (void)args;
    vfs_status(v->vfs, &st);
    *ret = control_args("mount", 's', v->config->vfs.mount, "libfuse", 's', st.libfuse, "watcher", 's',
                        watcher_kind(v->watcher), "passthrough", 'b', st.passthrough, NULL);
    return 0;
}

/* One page of the list: entries from "pos" on, as many as a message surely takes, and where to go on (0: that was all).
 * JSON makes up to six bytes of one. */
enum { PAGE_BYTES = CONTROL_MAX - 4096, ENTRY_BYTES = 256, JSON_ESCAPED = 6 };

static void text_printable(char *s)
{
    if (!str_is_utf8(s, strlen(s)))
        for (; *s != '\0'; s++)
            *s = (unsigned char)*s < 0x80 ? *s : '?';
}

static size_t writer_bytes(const struct vfs_writer *w)
{
    return ENTRY_BYTES + JSON_ESCAPED * (strlen(w->username) + strlen(w->path) + strlen(w->process));
}

static struct json_object *writer_json(struct vfs_writer *w)
{
    text_printable(w->username);
    text_printable(w->path);
    text_printable(w->process);
    return control_args("handle", 'i', (int64_t)w->handle, "username", 's', w->username, "path", 's', w->path,
                        "process", 's', w->process, "pid", 'i', (int64_t)w->pid, "uid", 'i', (int64_t)w->uid, "bytes",
                        'i', (int64_t)w->bytes, "since_ms", 'i', w->since_ms, "active_ms", 'i', w->active_ms, NULL);
}

static int ask_writers(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    struct json_object *list = json_object_new_array();
    uint32_t pos = (uint32_t)json_number(args, "pos", 0), next = pos;
    struct vfs_writer w;
    size_t bytes = 0;
    bool more;

    while ((more = vfs_writer_next(v->vfs, &next, &w)) && (bytes += writer_bytes(&w)) <= PAGE_BYTES) {
        json_object_array_add(list, writer_json(&w));
        pos = next;
    }
    *ret = control_args("pos", 'i', more ? (int64_t)pos : INT64_C(0), NULL);
    if (*ret == NULL) {
        json_object_put(list);
        return -ENOMEM;
    }
    return json_object_object_add(*ret, "writers", list) < 0 ? -ENOMEM : 0;
}

static int ask_writer_close(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    (void)ret;
    return vfs_writer_close(v->vfs, (uint64_t)json_number(args, "handle", 0));
}

static int tell_user_changed(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    const char *name = json_text(args, "username");

    (void)ret;
    if (name != NULL)
        vfs_user_changed(v->vfs, name, json_number(args, "id", 0));
    return 0;
}

static int tell_folder_changed(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    const char *name = json_text(args, "name");

    (void)ret;
    if (name != NULL)
        vfs_folder_changed(v->vfs, name, json_number(args, "id", 0));
    return 0;
}

/* A restore: the same, many at once. */
static int tell_each(struct vfs_role *v, struct json_object *args,
                     int (*tell)(struct vfs_role *v, struct json_object *args, struct json_object **ret))
{
    struct json_object *list = json_member(args, "list");

    for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++)
        IGNORE(tell(v, json_object_array_get_idx(list, i), NULL), "it cannot fail");
    return 0;
}

static int tell_users_changed(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    (void)ret;
    return tell_each(v, args, tell_user_changed);
}

static int tell_folders_changed(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    (void)ret;
    return tell_each(v, args, tell_folder_changed);
}

static int tell_reload(struct vfs_role *v, struct json_object *args, struct json_object **ret)
{
    (void)args;
    (void)ret;
    return level_reload(v->config_path);
}

static const struct {
    const char *name;
    int (*handle)(struct vfs_role *v, struct json_object *args, struct json_object **ret);
} messages[] = {
    { "scan_start", ask_scan_start },
    { "scan_cancel", ask_scan_cancel },
    { "usage_set", ask_usage_set },
    { "status", ask_status },
    { "user_changed", tell_user_changed },
    { "folder_changed", tell_folder_changed },
    { "users_changed", tell_users_changed },
    { "folders_changed", tell_folders_changed },
    { "reload", tell_reload },
    { "writers", ask_writers },
    { "writer_close", ask_writer_close },
};

static void message(void *arg, struct control *c, const struct control_message *m)
{
    struct vfs_role *v = arg;
    struct json_object *answer = NULL;
    int r = -EOPNOTSUPP;

    for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
        if (strcmp(messages[i].name, m->name) == 0)
            r = messages[i].handle(v, m->args, &answer);
    if (m->id != 0)
        IGNORE(control_answer(c, m->from, m->id, r, answer), "who asked is gone");
    else
        json_object_put(answer);
}

/* The session ended by itself: somebody unmounted it. */
static void *await_unmount(void *arg)
{
    struct vfs_role *v = arg;

    IGNORE(vfs_wait(v->vfs), "the end is what counts");
    atomic_store(&v->mount_gone, true);
    role_end();
    return NULL;
}

/* Nobody watched while this process was not there. After a downtime the ledger believes no tree before it was counted;
 * after a mere crash of this process the numbers are good but for what changed beneath in those moments. */
static void *verify(void *arg)
{
    struct vfs_role *v = arg;

    vfs_verify(v->vfs, v->resume, &v->stopping);
    return NULL;
}

static const enum ledger_track tracks[] = { TRACK_NONE, TRACK_ALL, TRACK_LIMITED };

static int open_ledger(struct vfs_role *v)
{
    const struct config *c = v->config;
    struct ledger_options o = { .state_dir = c->state_dir,
                                .refuse_stale_growth = strcmp(c->ledger.stale_growth, "refuse") == 0,
                                .track = tracks[c->data_provider.track_quota],
                                .unwatched = !v->resume,
                                .recounts = c->ledger.recounts,
                                .recount_threads = c->ledger.recount_threads,
                                .recount_rate = c->ledger.recount_rate,
                                .recounts_idle = c->ledger.recounts_idle };
    int r = ledger_open(&o, &v->ledger);

    if (r == -EPROTO)
        return log_fail(r, "the ledger in %s was made by a newer version of Tally: use that one, or another state_dir",
                        c->state_dir);
    return r < 0 ? log_fail(r, "cannot open the ledger in %s", c->state_dir) : 0;
}

static int start_vfs(struct vfs_role *v, struct role *role)
{
    struct vfs_options o = { .config = v->config,
                             .store = v->store,
                             .ledger = v->ledger,
                             .fuse_fd = role_take_fd(role, "fuse"),
                             .state_fd = role_take_fd(role, "state"),
                             .notify_fd = role_take_fd(role, "notify"),
                             .cover_fd = role_take_fd(role, "cover"),
                             .resume = role->resume };
    const char *dev = getenv(COVER_DEV);
    int64_t number = 0;
    int r = dev == NULL ? 0 : str_int(dev, 0, INT64_MAX, &number);

    o.cover_dev = (dev_t)number;
    if (r == 0)
        r = vfs_start(&o, &v->vfs);
    return r < 0 ? log_fail(r, "cannot serve the mount %s", v->config->vfs.mount) : 0;
}

static int start_all(struct vfs_role *v, struct role *role)
{
    int r = store_open(v->config, STORE_READ, &v->store);

    if (r < 0)
        return log_fail(r, "cannot open the store");
    r = open_ledger(v);
    if (r < 0)
        return r;
    r = watcher_start(v->config, v->ledger, &v->watcher); /* first: what is counted is watched already */
    if (r < 0)
        return log_fail(r, "cannot watch for changes beneath the mount");
    r = start_vfs(v, role);
    if (r < 0)
        return r;
    r = -pthread_create(&v->waiter, NULL, await_unmount, v);
    if (r == 0)
        r = -pthread_create(&v->verifier, NULL, verify, v);
    if (r < 0)
        return log_fail(r, "cannot start a thread");
    return role_control(role, message, v, &v->control);
}

int role_vfs(struct role *role)
{
    struct vfs_role v = { .config = role->config, .config_path = role->config_path, .resume = role->resume };

    if (start_all(&v, role) < 0)
        return 1; /* the process ends, and with it everything that was opened */
    if (!v.resume && !vfs_covered(v.vfs, COVERED_MS))
        log_info("homes are still being covered by their views; it goes on in the background");
    role_ready_and_wait(v.control);
    control_stop(v.control);
    bool mount_gone = atomic_load(&v.mount_gone);
    atomic_store(&v.stopping, true);
    pthread_join(v.verifier, NULL);
    vfs_wake(v.vfs);
    pthread_join(v.waiter, NULL);
    vfs_stop(v.vfs); /* before the watcher: it may open trees, which the watcher is told of */
    watcher_stop(v.watcher);
    ledger_close(v.ledger);
    store_close(v.store);
    return mount_gone ? EXIT_MOUNT_GONE : 0;
}
