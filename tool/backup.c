/* `tally backup`, `tally restore` and `tally import`: dumps go out and come in.
 *
 * A dump has password hashes and keys, so a file is made with mode 0600, beside its name, and takes it when it is
 * whole. Before something is restored it is compared with what the server has (its own dump), object by object and
 * member by member, and the differences are shown; on a terminal they are asked for. What the API never takes over from
 * a dump (ids, usage, times) is no difference. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "tool/client.h"
#include "tool/command.h"
#include "tool/preview.h"
#include "tool/secret.h"

enum { DUMP_MAX = 1 << 30, QUERY_MAX = 128 };

/* ---- backup ---- */

static int dump_get(struct tool *t, struct strbuf *to)
{
    const struct call call = { .method = "GET", .path = { "dumpdata" }, .query = "output-data=1", .is_long = true };
    int status = tool_client(t);

    if (status != TOOL_OK)
        return status;
    int r = client_call_raw(t->client, &call, to);
    return r < 0 ? tool_failed(t, r) : TOOL_OK;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return sys->fsync(fd, false);
}

/* FILE.new, then FILE: whoever reads FILE has a whole one. */
static int file_replace(const char *path, const struct strbuf *text)
{
    const struct open_how how = { .flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, .mode = 0600 };
    struct strbuf aside = STRBUF(PATH_MAX);

    strbuf_addf(&aside, "%s.new", path);
    if (strbuf_ok(&aside) < 0) {
        strbuf_done(&aside);
        return -ENAMETOOLONG;
    }
    sys->unlinkat(AT_FDCWD, aside.s, 0); /* of a backup that was killed, with another mode perhaps */
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, aside.s, &how);
    int r = fd < 0 ? fd : write_all(fd, text->s, text->len);
    if (r == 0)
        r = sys->renameat2(AT_FDCWD, aside.s, AT_FDCWD, path, 0);
    if (r < 0 && fd >= 0)
        sys->unlinkat(AT_FDCWD, aside.s, 0);
    strbuf_done(&aside);
    return r;
}

static int backup_to_file(const struct tool *t, const struct strbuf *text)
{
    char size[TEXT_NUMBER_MAX];
    int r = file_replace(t->options.output, text);

    if (r < 0)
        return tool_fail(TOOL_REFUSED, "cannot write %s: %s", t->options.output, error_text(r));
    if (!t->options.json)
        printf("%s in %s; it has password hashes: keep it where nobody else reads it\n", text_bytes(size, text->len),
               t->options.output);
    return TOOL_OK;
}

int on_backup(struct tool *t)
{
    struct strbuf text = STRBUF(DUMP_MAX);
    int status;

    if (t->options.output == NULL && t->paper.is_terminal)
        return tool_fail(TOOL_USAGE,
                         "a backup has secrets, which a terminal is no place for: --output FILE, or a pipe");
    status = dump_get(t, &text);
    if (status == TOOL_OK && t->options.output != NULL)
        status = backup_to_file(t, &text);
    else if (status == TOOL_OK)
        fwrite(text.s, 1, text.len, stdout);
    strbuf_done(&text);
    return status;
}

/* ---- restore ---- */

static int read_dump(const char *path, struct strbuf *text, struct json_object **ret)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };
    struct why why = { 0 };
    bool is_stdin = strcmp(path, "-") == 0;
    CLEANUP(fd_close) int fd = is_stdin ? -1 : sys->openat2(AT_FDCWD, path, &how);
    int r = !is_stdin && fd < 0 ? fd : secret_read_fd(is_stdin ? STDIN_FILENO : fd, text);

    if (r < 0)
        return tool_fail(TOOL_USAGE, "cannot read %s: %s", path, error_text(r));
    if (json_in(text->s ? text->s : "", text->len, JSON_WHOLE, ret, &why) < 0)
        return tool_fail(TOOL_USAGE, "%s is no dump: %s", path, why.text);
    if (!json_object_is_type(json_member(*ret, "users"), json_type_array) &&
        !json_object_is_type(json_member(*ret, "folders"), json_type_array) &&
        !json_object_is_type(json_member(*ret, "admins"), json_type_array))
        return tool_fail(TOOL_USAGE, "%s is no dump: it has neither users, folders nor admins", path);
    return TOOL_OK;
}

static void print_left_out(const struct tool *t, struct json_object *answer)
{
    struct json_object *list = json_member(answer, "left_out");
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        const char *section = json_text(o, "section");
        const char *name = json_text(o, "name");
        const char *reason = json_text(o, "reason");
        struct strbuf line = STRBUF(1 << 16);
        text_put(&line, &t->paper, name ? name : "?", UINT_MAX, CUT_END);
        strbuf_adds(&line, ": ");
        text_put(&line, &t->paper, reason ? reason : "", UINT_MAX, CUT_END);
        printf("left out: %s %s\n", section ? section : "", line.s ? line.s : "");
        strbuf_done(&line);
    }
}

static void print_result(const struct tool *t, struct json_object *answer)
{
    static const char *const sections[] = { "users", "folders", "admins", "api_keys" };

    if (t->options.json) {
        tool_print_json(t, answer);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        struct json_object *o = json_member(answer, sections[i]);
        if (o != NULL)
            printf("%s: %lld added, %lld replaced, %lld left as they were\n", sections[i],
                   (long long)json_number(o, "added", 0), (long long)json_number(o, "updated", 0),
                   (long long)json_number(o, "kept", 0));
    }
    print_left_out(t, answer);
}

static int load(struct tool *t, const struct strbuf *text, bool skips)
{
    CLEANUP(json_put_p) struct json_object *answer = NULL;
    char query[QUERY_MAX];
    const struct call call = { .method = "POST",
                               .path = { "loaddata" },
                               .query = query,
                               .raw_body = text->s,
                               .raw_len = text->len,
                               .is_long = true };

    snprintf(query, sizeof query, "mode=%u&scan-quota=%d%s", t->options.mode, t->options.scan ? 1 : 0,
             skips ? "&skip-unsupported=1" : "");
    int r = client_call(t->client, &call, &answer);
    if (r < 0) {
        int status = tool_failed(t, r);
        if (strstr(client_said(t->client), "skip-unsupported") != NULL)
            tool_fail(TOOL_OK, "tally import sftpgo does so");
        if (r != -ENOTCONN)
            tool_fail(TOOL_OK, "nothing was changed");
        return status;
    }
    print_result(t, answer);
    return TOOL_OK;
}

/* What would change; TOOL_OK with *ret_n differences. */
static int show_preview(struct tool *t, struct json_object *dump, size_t *ret_n)
{
    CLEANUP(json_put_p) struct json_object *now = NULL;
    struct strbuf text = STRBUF(DUMP_MAX);
    struct why why = { 0 };
    int status = dump_get(t, &text);

    if (status == TOOL_OK && json_in(text.s ? text.s : "", text.len, JSON_WHOLE, &now, &why) < 0)
        status = tool_fail(TOOL_REFUSED, "the server's own dump cannot be read: %s", why.text);
    strbuf_done(&text);
    if (status == TOOL_OK)
        status = preview_print(t, now, dump, t->options.mode == 1, ret_n);
    return status;
}

static int restore(struct tool *t, const char *path, bool skips)
{
    CLEANUP(json_put_p) struct json_object *dump = NULL;
    struct strbuf text = STRBUF(DUMP_MAX);
    size_t n = 0;
    int status = read_dump(path, &text, &dump);

    if (status == TOOL_OK && t->options.mode > 2)
        status = tool_fail(TOOL_USAGE, "--mode %u: there are 0, 1 and 2; see tally restore --help", t->options.mode);
    if (status == TOOL_OK && (!t->options.json || t->options.dry_run))
        status = show_preview(t, dump, &n);
    if (status == TOOL_OK && !t->options.dry_run) {
        if (tool_confirms(t, "Restore it? What is not in the dump stays."))
            status = load(t, &text, skips);
        else
            status = tool_fail(TOOL_REFUSED, "nothing was changed");
    }
    strbuf_done(&text);
    return status;
}

int on_restore(struct tool *t)
{
    int status = tool_client(t);

    return status == TOOL_OK ? restore(t, t->args[0], false) : status;
}

int on_import(struct tool *t)
{
    if (strcmp(t->args[0], "sftpgo") != 0)
        return tool_fail(TOOL_USAGE, "dumps of sftpgo can be imported, not of \"%s\"", t->args[0]);
    int status = tool_client(t);
    return status == TOOL_OK ? restore(t, t->args[1], true) : status;
}
