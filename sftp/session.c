#include "sftp/session.h"

#include <grp.h>
#include <linux/landlock.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/filter.h"

enum { HANDLES_LIMIT = 2048, MEMORY_LIMIT = 512 << 20, LANDLOCK_TRUNCATE = 1 << 14, LANDLOCK_BITS_V1 = (1 << 13) - 1 };

static void note_close(struct broker_link *l, struct packet_in *in)
{
    CLEANUP(mem_free) char *reason = NULL;
    l->close_asked = true;
    if (packet_text(in, sizeof(l->close_reason) - 1, &reason) == 0)
        str_set(l->close_reason, sizeof(l->close_reason), reason);
}

static void note_broker_gone(struct broker_link *l)
{
    l->close_asked = true;
    str_set(l->close_reason, sizeof(l->close_reason), "the server is being stopped");
}

void broker_hear(struct broker_link *l)
{
    uint8_t buf[4096];
    struct pollfd p = { .fd = l->fd, .events = POLLIN };

    if (poll(&p, 1, 0) != 1)
        return;
    ssize_t n = broker_receive(l->fd, buf, sizeof(buf), NULL);
    struct packet_in in = { .p = buf, .left = n > 0 ? (size_t)n : 0 };
    if (n <= 0)
        note_broker_gone(l);
    else if (packet_u8(&in) == SAY_CLOSE)
        note_close(l, &in);
}

static ssize_t receive_answer(struct broker_link *l, uint8_t type, uint8_t *buf, size_t room,
                              int ret_fds[BROKER_FDS_MAX])
{
    struct pollfd p = { .fd = l->fd, .events = POLLIN };
    uint64_t end = sys->now_ns() + (uint64_t)BROKER_WAIT_MS * 1000000;

    while (sys->now_ns() < end) {
        int ready = poll(&p, 1, BROKER_WAIT_MS);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        ssize_t n = broker_receive(l->fd, buf, room, l->logged_in ? NULL : ret_fds);
        if (n <= 0)
            note_broker_gone(l);
        if (n <= 0)
            return n < 0 ? n : -EPIPE;
        if (buf[0] == type)
            return n;
        for (size_t i = 0; i < BROKER_FDS_MAX; i++)
            fd_close(&ret_fds[i]);
        struct packet_in in = { .p = buf + 1, .left = (size_t)n - 1 };
        if (buf[0] != SAY_CLOSE)
            return -EBADMSG;
        note_close(l, &in);
    }
    return -ETIMEDOUT;
}

/* Descriptors come with a login only; after it they are not even received. */
ssize_t broker_ask(struct broker_link *l, const struct queue *question, uint8_t answer_type, void *buf, size_t room,
                   int ret_fds[BROKER_FDS_MAX])
{
    int r = broker_send(l->fd, question, NULL, 0);
    for (size_t i = 0; i < BROKER_FDS_MAX; i++)
        ret_fds[i] = -1;
    return r < 0 ? r : receive_answer(l, answer_type, buf, room, ret_fds);
}

static int record_read(int fd, struct user *ret)
{
    struct why why = { 0 };
    struct json_object *j = NULL;
    int64_t size = sys->size(fd);
    char *text = size > 0 && size <= BROKER_RECORD_MAX ? malloc((size_t)size) : NULL;
    int r = text ? 0 : -EINVAL;

    if (r == 0 && sys->pread(fd, text, (size_t)size, 0) != size)
        r = -EIO;
    if (r == 0)
        r = json_in(text, (size_t)size, JSON_WHOLE, &j, &why);
    if (r == 0)
        r = schema_init(&user_schema, ret);
    if (r == 0)
        r = schema_parse(&user_schema, j, USE_LOAD, ret, &why);
    if (r < 0)
        log_fail(r, "cannot read the user's record: %s %s", why.field, why.text);
    json_object_put(j);
    free(text);
    return r;
}

int identity_parse(struct packet_in *in, int fds[BROKER_FDS_MAX], struct identity *ret)
{
    struct identity i = { .home = take_fd(&fds[0]) };
    CLEANUP(fd_close) int record = take_fd(&fds[1]);
    CLEANUP(mem_free) char *id = NULL;

    int r = packet_text(in, sizeof(i.connection_id) - 1, &id);
    i.uid = packet_u32(in);
    i.gid = packet_u32(in);
    if (r == 0)
        r = packet_text(in, PATH_MAX - 1, &i.host_path);
    if (r == 0 && (i.home < 0 || record < 0))
        r = -EBADMSG;
    if (r == 0)
        r = record_read(record, &i.user);
    if (r < 0) {
        identity_done(&i);
        return r;
    }
    str_set(i.connection_id, sizeof(i.connection_id), id);
    *ret = i;
    return 0;
}

void identity_done(struct identity *i)
{
    user_done(&i->user);
    free(i->host_path);
    fd_close(&i->home);
    *i = (struct identity){ .home = -1 };
}

/* The sanitizers of a test build reserve terabytes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_IS_LIMITED false
#else
#define MEMORY_IS_LIMITED true
#endif

static void limit(__rlimit_resource_t what, rlim_t to)
{
    const struct rlimit l = { to, to };
    IGNORE(setrlimit(what, &l), "the hard limit may be lower already");
}

void session_confine(void)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, HANDLES_LIMIT);
    limit(RLIMIT_NPROC, 0);
    if (MEMORY_IS_LIMITED)
        limit(RLIMIT_DATA, MEMORY_LIMIT);
    IGNORE(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "always possible");
    IGNORE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "always possible");
}

/* From here on no path but those beneath the home can be opened, by any means. */
static int landlock_home(int home)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return 0; /* not in this kernel, or switched off */
    uint64_t bits = LANDLOCK_BITS_V1;
    if (abi >= 2)
        bits |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        bits |= LANDLOCK_TRUNCATE;
    struct landlock_ruleset_attr attr = { .handled_access_fs = bits };
    struct landlock_path_beneath_attr rule = { .allowed_access = bits, .parent_fd = home };
    CLEANUP(fd_close) int set = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (set < 0 || syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, set, 0) < 0)
        return -errno;
    return 0;
}

int session_become(const struct identity *i)
{
    if (geteuid() == 0) {
        gid_t own = i->gid;
        if (i->uid == 0 || setgroups(1, &own) < 0 || setresgid(i->gid, i->gid, i->gid) < 0 ||
            setresuid(i->uid, i->uid, i->uid) < 0)
            return i->uid == 0 ? -EPERM : -errno;
        if (geteuid() == 0 || setresuid(0, 0, 0) == 0)
            return -EPERM;
        IGNORE(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "a change of uid sets it anew");
    }
    umask(022);
    int r = landlock_home(i->home);
    return r < 0 ? r : filter_login();
}
