/* `tally recount`: starts a recount, shows it going on, and reports the drift.
 *
 * A running scan is in GET /quotas/users/scans with its progress; a finished one is `last_scan` of the usage. A scan of
 * a small home is over before the first look at the list, so the end is: a last_scan that began at another time than
 * the one before the start. Control-C ends the display; the scan goes on. */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "tool/client.h"
#include "tool/command.h"
#include "tool/homes.h"
#include "tool/table.h"

enum { LOOK_MS = 200, LOST_LOOKS = 15, BAR_WIDTH = 20, LINE_BYTES = 8192 };

struct recount {
    struct tool *t;
    bool folder;
    const char *name;
    int64_t before_ms; /* start of the last scan before ours; 0: none */
    uint64_t began_ns;
    unsigned lost; /* looks in a row that saw neither the scan nor its report */
    int signals;   /* a signalfd for SIGINT; -1 where there is no display */
};

static const char *kind_of(const struct recount *rc)
{
    return rc->folder ? "folders" : "users";
}

static const char *one_of(const struct recount *rc)
{
    return rc->folder ? "folder" : "user";
}

static int explain(const struct recount *rc, int r)
{
    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "there is no %s \"%s\"; tally %s lists them", one_of(rc), rc->name, kind_of(rc));
    return tool_failed(rc->t, r);
}

static int usage_get(const struct recount *rc, struct json_object **ret)
{
    const struct call call = { .method = "GET", .path = { "quotas", kind_of(rc), rc->name } };

    return client_call(rc->t->client, &call, ret);
}

/* ---- the report ---- */

static void print_drift(const struct recount *rc, struct json_object *scan)
{
    char bytes[TEXT_NUMBER_MAX], files[TEXT_NUMBER_MAX], seen[TEXT_NUMBER_MAX], count[TEXT_NUMBER_MAX];
    char duration[TEXT_NUMBER_MAX];
    struct strbuf name = STRBUF(LINE_BYTES);
    int64_t drift_bytes = json_number(scan, "drift_size", 0);
    int64_t drift_files = json_number(scan, "drift_files", 0);
    int64_t took_ms = json_number(scan, "end_time", 0) - json_number(scan, "start_time", 0);

    text_put(&name, &rc->t->paper, rc->name, UINT_MAX, CUT_END);
    printf("%s: %s in %s files, ", name.s ? name.s : "", text_bytes(seen, (uint64_t)json_number(scan, "bytes_seen", 0)),
           text_count(count, (uint64_t)json_number(scan, "files_seen", 0)));
    if (took_ms < 1000)
        printf("counted in %lld ms; ", (long long)MAX(took_ms, (int64_t)0));
    else
        printf("counted in %s; ", text_duration(duration, (uint64_t)took_ms / 1000));
    if (drift_bytes == 0 && drift_files == 0)
        printf("the number was right\n");
    else
        printf("the number was off by %s and %s files%s\n", text_signed_bytes(bytes, drift_bytes),
               text_signed_count(files, drift_files),
               rc->t->options.dry_run ? " and was left so" : " and is right now");
    strbuf_done(&name);
}

static void print_json(const struct recount *rc, struct json_object *scan)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, rc->folder ? "name" : "username", json_object_new_string(rc->name));
    json_object_object_add(o, "scan", json_object_get(scan));
    tool_print_json(rc->t, o);
    json_object_put(o);
}

static int report(const struct recount *rc, struct json_object *scan)
{
    const char *result = json_text(scan, "result");
    const char *error = json_text(scan, "error");

    if (rc->t->options.json)
        print_json(rc, scan);
    if (result == NULL || strcmp(result, "done") == 0) {
        if (!rc->t->options.json)
            print_drift(rc, scan);
        return TOOL_OK;
    }
    if (strcmp(result, "cancelled") == 0)
        return tool_fail(TOOL_REFUSED, "%s: the recount was cancelled", rc->name);
    return tool_fail(TOOL_REFUSED, "%s: the recount failed: %s", rc->name, error ? error : result);
}

/* ---- progress ---- */

/* Bar, share, rate, time left. What is expected is what the counter says, so a share above 1 stays at 99 %. */
static void put_progress(const struct recount *rc, struct json_object *scan, struct strbuf *to)
{
    const struct paper *p = &rc->t->paper;
    double seconds = (double)(sys->now_ns() - rc->began_ns) / 1e9;
    double seen = (double)json_number(scan, "files_seen", 0);
    double expected = (double)json_number(scan, "files_expected", 0);
    double share = expected > 0 ? MIN(seen / expected, 0.99) : 0;
    double rate = seconds > 0.2 ? seen / seconds : 0;
    char count[TEXT_NUMBER_MAX], left[TEXT_NUMBER_MAX];
    unsigned width = p->width;

    unsigned used = text_put(to, p, rc->name, width / 4, CUT_END);
    text_pad(to, 1);
    unsigned bar = MIN((unsigned)BAR_WIDTH, width / 4);
    text_bar(to, p, share, bar);
    used += 1 + bar;
    strbuf_addf(to, " %3.0f%%", share * 100);
    used += 5;
    if (used + 14 < width && rate > 0)
        strbuf_addf(to, " %s/s", text_count(count, (uint64_t)rate));
    if (used + 34 < width && rate > 0 && expected > seen)
        strbuf_addf(to, " files, %s left", text_duration(left, (uint64_t)((expected - seen) / rate) + 1));
}

static void show_progress(const struct recount *rc, struct json_object *scan)
{
    struct strbuf line = STRBUF(LINE_BYTES);

    if (rc->signals < 0)
        return;
    strbuf_adds(&line, "\r\033[K");
    if (scan != NULL)
        put_progress(rc, scan, &line);
    if (strbuf_ok(&line) == 0)
        fputs(line.s, stdout);
    IGNORE(fflush(stdout), "the end tells");
    strbuf_done(&line);
}

/* The entry of this home in the list of running scans; owned. NULL if it is not there. */
static int scan_find(const struct recount *rc, struct json_object **ret)
{
    const struct call call = { .method = "GET", .path = { "quotas", kind_of(rc), "scans" } };
    CLEANUP(json_put_p) struct json_object *list = NULL;
    int r = client_call(rc->t->client, &call, &list);

    *ret = NULL;
    for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++) {
        struct json_object *entry = json_object_array_get_idx(list, i);
        const char *name = json_text(entry, rc->folder ? "name" : "username");
        if (name != NULL && strcmp(name, rc->name) == 0)
            *ret = json_object_get(entry);
    }
    return r;
}

/* Waits for the next look. true: control-C. */
static bool wait_or_stop(const struct recount *rc)
{
    struct pollfd fd = { .fd = rc->signals, .events = POLLIN };

    return poll(&fd, 1, LOOK_MS) > 0;
}

/* One look. TOOL_OK with *ret_over, or an exit status. */
static int look(struct recount *rc, bool *ret_over)
{
    CLEANUP(json_put_p) struct json_object *scan = NULL;
    CLEANUP(json_put_p) struct json_object *usage = NULL;
    int r = scan_find(rc, &scan);

    *ret_over = false;
    if (r < 0)
        return explain(rc, r);
    show_progress(rc, scan);
    rc->lost = scan != NULL ? 0 : rc->lost + 1;
    if (scan != NULL)
        return TOOL_OK;
    r = usage_get(rc, &usage);
    if (r < 0)
        return explain(rc, r);
    struct json_object *last = json_member(usage, "last_scan");
    if (last == NULL || json_number(last, "start_time", 0) == rc->before_ms || json_number(last, "end_time", 0) == 0)
        return rc->lost < LOST_LOOKS ? TOOL_OK /* it is between the list and the report */
                                     : tool_fail(TOOL_REFUSED,
                                                 "%s: the recount ended without a report: was the vfs "
                                                 "role restarted? See the log, and start it again",
                                                 rc->name);
    show_progress(rc, NULL);
    *ret_over = true;
    return report(rc, last);
}

static int follow(struct recount *rc)
{
    bool over = false;
    int status = TOOL_OK;

    while (status == TOOL_OK && !over) {
        status = look(rc, &over);
        if (status == TOOL_OK && !over && wait_or_stop(rc)) {
            show_progress(rc, NULL);
            return tool_fail(TOOL_REFUSED, "the recount of %s goes on; tally recount %s%s --cancel ends it", rc->name,
                             rc->folder ? "--folder " : "", rc->name);
        }
    }
    return status;
}

/* ---- start ---- */

static int start(struct recount *rc)
{
    CLEANUP(json_put_p) struct json_object *usage = NULL;
    const struct call call = { .method = "POST",
                               .path = { "quotas", kind_of(rc), rc->name, "scan" },
                               .query = rc->t->options.dry_run ? "dry_run=1" : NULL };
    int r = usage_get(rc, &usage);

    if (r < 0)
        return r;
    struct json_object *last = json_member(usage, "last_scan");
    rc->before_ms = json_number(last, "end_time", 0) != 0 ? json_number(last, "start_time", 0) : 0;
    rc->began_ns = sys->now_ns();
    r = client_call(rc->t->client, &call, NULL);
    /* one that runs already is followed: its report is as good, unless it only reports and this one should not */
    return r == -EEXIST && !rc->t->options.dry_run && !rc->t->options.no_wait ? 0 : r;
}

static int cancel(struct recount *rc)
{
    const struct call call = { .method = "DELETE", .path = { "quotas", kind_of(rc), rc->name, "scan" } };
    int r = client_call(rc->t->client, &call, NULL);

    if (r == -ENOENT)
        return tool_fail(TOOL_REFUSED, "no recount of %s \"%s\" runs", one_of(rc), rc->name);
    if (r < 0)
        return tool_failed(rc->t, r);
    printf("the recount of %s is cancelled\n", rc->name);
    return TOOL_OK;
}

static int recount_one(struct tool *t, bool folder, const char *name, int signals)
{
    struct recount rc = { .t = t, .folder = folder, .name = name, .signals = signals };

    if (t->options.cancel)
        return cancel(&rc);
    int r = start(&rc);
    if (r < 0)
        return explain(&rc, r);
    if (!t->options.no_wait)
        return follow(&rc);
    if (!t->options.json)
        printf("%s: the recount has begun\n", name);
    return TOOL_OK;
}

static int recount_all(struct tool *t, bool folders, int signals)
{
    struct homes h = { 0 };
    int r = homes_load(t->client, folders, NULL, &h);
    int status = TOOL_OK;

    if (r < 0)
        return tool_failed(t, r);
    homes_sort(&h, BY_NAME);
    for (size_t i = 0; i < h.n && (status == TOOL_OK || status == TOOL_REFUSED); i++) {
        int one = recount_one(t, folders, h.v[i].name, signals);
        status = one != TOOL_OK ? one : status;
        if (one == TOOL_REFUSED && signals >= 0 && wait_or_stop(&(struct recount){ .signals = signals }))
            break;
    }
    homes_done(&h);
    return status;
}

/* Control-C is read, where there is a display that it ends; elsewhere it ends the process. */
static int signals_open(const struct tool *t)
{
    sigset_t set;

    if (!t->paper.is_terminal || t->options.json)
        return -1;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int recount_named(struct tool *t, int signals)
{
    int status = TOOL_OK;

    if (t->options.folder != NULL)
        return recount_one(t, true, t->options.folder, signals);
    for (size_t i = 0; status == TOOL_OK && i < t->args_n; i++)
        status = recount_one(t, false, t->args[i], signals);
    return status;
}

int on_recount(struct tool *t)
{
    int ways = (t->args_n > 0) + (t->options.folder != NULL) + t->options.all;

    if (ways != 1)
        return tool_fail(TOOL_USAGE, "one of USER, --folder NAME and --all");
    int status = tool_client(t);
    if (status != TOOL_OK)
        return status;
    CLEANUP(fd_close) int signals = signals_open(t);
    if (!t->options.all)
        return recount_named(t, signals);
    status = recount_all(t, false, signals);
    int folders = status == TOOL_OK || status == TOOL_REFUSED ? recount_all(t, true, signals) : TOOL_OK;
    return folders != TOOL_OK ? folders : status;
}
