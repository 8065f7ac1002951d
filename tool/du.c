/* `tally du`: the totals that the file system keeps for each directory (user.tally.rbytes, user.tally.rfiles), of a
 * path and of the directories in it. Nothing is walked: one look at each entry of one directory. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "tool/command.h"
#include "tool/table.h"

enum { TEXT_MAX = 64 << 20, VALUE_MAX = 32 };

struct total {
    char *name;
    uint64_t bytes, files;
};

struct totals {
    struct total *v;
    size_t n;
};

static void totals_done(struct totals *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].name);
    free(l->v);
    *l = (struct totals){ 0 };
}

static int totals_add(struct totals *l, const char *name, uint64_t bytes, uint64_t files)
{
    struct total *v = reallocarray(l->v, l->n + 1, sizeof *v);

    if (v == NULL)
        return -ENOMEM;
    l->v = v;
    v[l->n] = (struct total){ .name = strdup(name), .bytes = bytes, .files = files };
    if (v[l->n].name == NULL)
        return -ENOMEM;
    l->n++;
    return 0;
}

static int number_get(int fd, const char *attribute, uint64_t *ret)
{
    char text[VALUE_MAX];
    int64_t n;
    ssize_t len = sys->getxattr(fd, attribute, text, sizeof text - 1);

    if (len < 0)
        return (int)len;
    text[len] = '\0';
    if (str_int(text, 0, INT64_MAX, &n) < 0)
        return -EIO;
    *ret = (uint64_t)n;
    return 0;
}

static int total_get(int fd, uint64_t *ret_bytes, uint64_t *ret_files)
{
    int r = number_get(fd, "user.tally.rbytes", ret_bytes);

    return r < 0 ? r : number_get(fd, "user.tally.rfiles", ret_files);
}

/* One entry of a directory: what is no directory has no total of its own. */
static int entry_add(int dir, const char *name, struct totals *l)
{
    const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
    uint64_t bytes, files;
    CLEANUP(fd_close) int fd = sys->openat2(dir, name, &how);

    if (fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT || fd == -EACCES)
        return 0;
    int r = fd < 0 ? fd : total_get(fd, &bytes, &files);
    return r < 0 ? r : totals_add(l, name, bytes, files);
}

static int entries_add(DIR *d, struct totals *l)
{
    const struct dirent *e;
    int r = 0;

    while (r == 0 && (e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN))
            r = entry_add(dirfd(d), e->d_name, l);
    return r;
}

static int children_get(int fd, struct totals *l)
{
    const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
    int again = sys->openat2(fd, ".", &how); /* fdopendir takes it */
    DIR *d = again < 0 ? NULL : fdopendir(again);

    if (d == NULL) {
        fd_close(&again);
        return again < 0 ? again : -ENOMEM;
    }
    int r = entries_add(d, l);
    closedir(d);
    return r;
}

static int by_bytes(const void *a, const void *b)
{
    const struct total *x = a;
    const struct total *y = b;
    int order = (x->bytes < y->bytes) - (x->bytes > y->bytes);

    return order != 0 ? order : strcmp(x->name, y->name);
}

/* ---- output ---- */

static const struct column columns[] = {
    { "SIZE", COLUMN_RIGHT, 0, 0, 0 },
    { "FILES", COLUMN_RIGHT, 0, 1, 0 },
    { "", COLUMN_BAR, 6, 2, 0 },
    { "DIRECTORY", COLUMN_PATH, 8, 0, 0 },
};

static int add_row(struct table *table, const char *name, uint64_t bytes, uint64_t files, uint64_t of)
{
    char size[TEXT_NUMBER_MAX], count[TEXT_NUMBER_MAX], bar[32];

    snprintf(bar, sizeof bar, "%.6f", of > 0 ? (double)bytes / (double)of * 0.79 : 0); /* a part is no warning */
    const char *cells[] = { text_bytes(size, bytes), text_count(count, files), bar, name };
    return table_add(table, TONE_PLAIN, cells);
}

static int print_table(const struct tool *t, const char *path, const struct total *all, const struct totals *l,
                       size_t n)
{
    struct table table = TABLE(columns);
    struct strbuf text = STRBUF(TEXT_MAX);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = add_row(&table, l->v[i].name, l->v[i].bytes, l->v[i].files, all->bytes);
    if (r == 0)
        r = add_row(&table, path, all->bytes, all->files, all->bytes);
    table_print(&table, &t->paper, &text);
    if (r == 0)
        r = strbuf_ok(&text);
    if (r == 0)
        fputs(text.s, stdout);
    table_done(&table);
    strbuf_done(&text);
    return r;
}

static struct json_object *total_json(const char *name, uint64_t bytes, uint64_t files)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "path", json_object_new_string(name));
    json_object_object_add(o, "size", json_object_new_int64((int64_t)bytes));
    json_object_object_add(o, "files", json_object_new_int64((int64_t)files));
    return o;
}

static void print_json(const struct tool *t, const char *path, const struct total *all, const struct totals *l,
                       size_t n)
{
    struct json_object *o = total_json(path, all->bytes, all->files);
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < n; i++)
        json_object_array_add(list, total_json(l->v[i].name, l->v[i].bytes, l->v[i].files));
    json_object_object_add(o, "directories", list);
    tool_print_json(t, o);
    json_object_put(o);
}

static int explain(const char *path, int r)
{
    if (r == -ENODATA || r == -EOPNOTSUPP)
        return tool_fail(TOOL_REFUSED,
                         "%s is not in Tally's mount of homes, so nobody keeps its total: use du, or the "
                         "path beneath the mount (tally status names it)",
                         path);
    if (r == -ENOTDIR)
        return tool_fail(TOOL_REFUSED, "%s is a file: only directories have totals", path);
    return tool_fail(r == -EACCES ? TOOL_NOT_PERMITTED : TOOL_REFUSED, "cannot read %s: %s", path, error_text(r));
}

static int du_one(struct tool *t, const char *path)
{
    const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
    struct total all = { 0 };
    struct totals l = { 0 };
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path, &how);

    int r = fd < 0 ? fd : total_get(fd, &all.bytes, &all.files);
    if (r == 0)
        r = children_get(fd, &l);
    if (r < 0) {
        totals_done(&l);
        return explain(path, r);
    }
    if (l.n > 1)
        qsort(l.v, l.n, sizeof *l.v, by_bytes);
    size_t n = t->options.limit > 0 ? MIN((size_t)t->options.limit, l.n) : l.n;
    if (t->options.json)
        print_json(t, path, &all, &l, n);
    else
        r = print_table(t, path, &all, &l, n);
    totals_done(&l);
    return r < 0 ? tool_fail(TOOL_REFUSED, "%s", error_text(r)) : TOOL_OK;
}

int on_du(struct tool *t)
{
    int status = TOOL_OK;

    for (size_t i = 0; i < t->args_n; i++) {
        int one = du_one(t, t->args[i]);
        status = one != TOOL_OK ? one : status;
    }
    return status;
}
