/* `tally status`: what runs, and whether the numbers can be trusted. */
#include <limits.h>
#include <string.h>

#include "tool/client.h"
#include "tool/command.h"
#include "tool/table.h"

enum { LINE_MAX_BYTES = 64 << 10, LABEL_WIDTH = 12 };

static void print_line(const struct tool *t, enum tone tone, const char *label, const char *text)
{
    struct strbuf line = STRBUF(LINE_MAX_BYTES);

    strbuf_addf(&line, "%-*s", LABEL_WIDTH, label);
    tone_begin(&line, &t->paper, tone);
    text_put(&line, &t->paper, text, UINT_MAX, CUT_END);
    tone_end(&line, &t->paper, tone);
    if (strbuf_ok(&line) == 0)
        printf("%s\n", line.s);
    strbuf_done(&line);
}

/* "127.0.0.1:2022, [::1]:2022" */
static void put_bindings(struct json_object *list, struct strbuf *to)
{
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < n; i++) {
        struct json_object *b = json_object_array_get_idx(list, i);
        const char *address = json_text(b, "address");
        bool is_six = address != NULL && strchr(address, ':') != NULL;
        strbuf_addf(to, "%s%s%s%s:%lld", i > 0 ? ", " : "", is_six ? "[" : "",
                    address == NULL || address[0] == '\0' ? "*" : address, is_six ? "]" : "",
                    (long long)json_number(b, "port", 0));
    }
}

static void show_ssh(const struct tool *t, struct json_object *part)
{
    struct strbuf text = STRBUF(LINE_MAX_BYTES);
    bool active = json_truth(part, "is_active");

    strbuf_adds(&text, active ? "serves at " : "does not answer");
    if (active)
        put_bindings(json_member(part, "bindings"), &text);
    print_line(t, active ? TONE_GOOD : TONE_BAD, "SFTP", text.s ? text.s : "");
    strbuf_done(&text);
}

static void show_store(const struct tool *t, struct json_object *part)
{
    char text[600];
    const char *driver = json_text(part, "driver");
    const char *error = json_text(part, "error");
    bool active = json_truth(part, "is_active");

    snprintf(text, sizeof text, "%s%s%s", driver ? driver : "?", active ? "" : ": ", active ? "" : error ? error : "");
    print_line(t, active ? TONE_GOOD : TONE_BAD, "store", text);
}

static void show_vfs(const struct tool *t, struct json_object *part)
{
    char text[PATH_MAX + 200];
    const char *mount = json_text(part, "mount");
    const char *libfuse = json_text(part, "libfuse");
    const char *watcher = json_text(part, "watcher");

    if (!json_truth(part, "is_active")) {
        print_line(t, TONE_BAD, "homes", "the vfs role does not answer: is it being restarted? See the log");
        return;
    }
    print_line(t, TONE_GOOD, "homes", mount ? mount : "?");
    snprintf(text, sizeof text, "%s (libfuse %s)",
             json_truth(part, "passthrough") ? "yes" : "no: right, but slower; tally check says why",
             libfuse ? libfuse : "?");
    print_line(t, json_truth(part, "passthrough") ? TONE_GOOD : TONE_WARN, "passthrough", text);
    print_line(t, TONE_PLAIN, "watcher", watcher ? watcher : "off");
}

static void show_trust(const struct tool *t, struct json_object *domains)
{
    long long stale = json_number(domains, "stale", 0);
    long long counting = json_number(domains, "counting", 0);
    long long right = json_number(domains, "clean", 0) + json_number(domains, "dirty", 0);
    char text[200];

    if (stale + counting == 0)
        snprintf(text, sizeof text, "all certain (%lld homes and folders in use)", right);
    else
        snprintf(text, sizeof text, "%lld certain, %lld stale, %lld counting: tally usage marks them", right, stale,
                 counting);
    print_line(t, stale + counting == 0 ? TONE_GOOD : TONE_WARN, "numbers", text);
}

static void show_defender(const struct tool *t, struct json_object *part)
{
    print_line(t, TONE_PLAIN, "defender", json_truth(part, "is_active") ? "on" : "off");
}

int on_status(struct tool *t)
{
    CLEANUP(json_put_p) struct json_object *status = NULL;
    CLEANUP(json_put_p) struct json_object *version = NULL;
    char text[200];
    int r = tool_get(t, &status, "status", NULL);

    if (r == TOOL_OK)
        r = tool_get(t, &version, "version", NULL);
    if (r != TOOL_OK)
        return r;
    const char *number = json_text(version, "version");
    if (t->options.json) {
        json_object_object_add(status, "version", json_object_get(json_member(version, "version")));
        tool_print_json(t, status);
        return TOOL_OK;
    }
    snprintf(text, sizeof text, "%.150s", number ? number : "?");
    print_line(t, TONE_PLAIN, "tallyd", text);
    show_ssh(t, json_member(status, "ssh"));
    show_vfs(t, json_member(status, "vfs"));
    show_store(t, json_member(status, "data_provider"));
    show_trust(t, json_member(json_member(status, "vfs"), "domains"));
    show_defender(t, json_member(status, "defender"));
    return TOOL_OK;
}
