/* Requests on names: attributes, removing, making, renaming, links.
 *
 * Symbolic links are stored relative, whatever the client sends: "/docs/a" from "/x" becomes "../docs/a". So a link
 * means the same file to SFTP clients, to programs on the host and over NFS; its text never leads out of the home. */
#include <linux/fs.h> /* RENAME_NOREPLACE, without stdio.h */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/sys.h"
#include "sftp/request.h"
#include "sftp/setstat.h"

static bool is_root(const char *path)
{
    return path[1] == '\0';
}

/* What the client is uploading is shown while it still has its temporary name. */
static int stat_at(struct engine *e, struct request *rq)
{
    struct stat st;
    struct home_file *f = handles_uploading(&e->handles, rq->at.path);
    int r = f ? sys->fstatat(f->fd, "", &st, AT_EMPTY_PATH) : place_stat(&rq->at, &st);
    return r < 0 ? r : reply_attrs(e, rq, &st);
}

int op_lstat(struct engine *e, struct request *rq)
{
    return stat_at(e, rq);
}

int op_stat(struct engine *e, struct request *rq)
{
    return stat_at(e, rq);
}

static int setstat_at(struct engine *e, struct request *rq)
{
    struct attrs at;
    int r = attrs_parse(&rq->in, &at);
    if (r < 0)
        return r;
    struct home_file *f = handles_uploading(&e->handles, rq->at.path);
    struct setstat_target t = {
        .fd = f ? f->fd : rq->at.dir,
        .name = f ? "" : rq->at.name,
        .path = rq->path,
        .file = f,
        .writing = handles_writing(&e->handles, rq->at.path),
        .rights = rq->rights,
        .at = &rq->at,
    };
    return setstat(e->account, &t, &at);
}

int op_setstat(struct engine *e, struct request *rq)
{
    return setstat_at(e, rq);
}

int ext_lsetstat(struct engine *e, struct request *rq)
{
    return setstat_at(e, rq);
}

/* A hook may remove the file itself; then its success is ours. */
static int remove_now(struct engine *e, struct request *rq)
{
    struct activity *a = e->account->activity;
    struct stat st = { 0 };

    if (is_root(rq->at.path))
        return -EISDIR;
    a->size_bytes = 0;
    if (activity_wants(a, ACTION_DELETE) || activity_wants(a, ACTION_PRE_DELETE)) {
        int r = place_stat(&rq->at, &st);
        if (r < 0 || S_ISDIR(st.st_mode))
            return r < 0 ? r : -EISDIR;
        a->size_bytes = (uint64_t)st.st_size;
    }
    if (activity_ask(a, ACTION_PRE_DELETE, rq->path, a->size_bytes, 0)) {
        activity_command(a, "Remove", rq->path, NULL, NULL); /* who did it need not be told */
        return 0;
    }
    int r = sys->unlinkat(rq->at.dir, rq->at.name, 0);
    if (r == 0)
        activity_changed(a, "Remove", rq->path, NULL);
    return r;
}

int op_remove(struct engine *e, struct request *rq)
{
    int r = account_file_allowed(e->account, rq->path, rq->at.path);
    return r < 0 ? r : remove_now(e, rq);
}

int op_rmdir(struct engine *e, struct request *rq)
{
    int r = is_root(rq->at.path) ? -EACCES : sys->unlinkat(rq->at.dir, rq->at.name, AT_REMOVEDIR);
    if (r == 0)
        activity_changed(e->account->activity, "Rmdir", rq->path, NULL);
    return r;
}

int op_mkdir(struct engine *e, struct request *rq)
{
    struct attrs at;
    if (attrs_parse(&rq->in, &at) < 0)
        return -EBADMSG;
    if (is_root(rq->at.path))
        return -EEXIST;
    mode_t mode = creation_mode(e->account, rq->path, &at);
    int r = sys->mkdirat(rq->at.dir, rq->at.name, mode ? mode : 0777);
    if (r == 0)
        activity_changed(e->account->activity, "Mkdir", rq->path, NULL);
    return r;
}

int op_realpath(struct engine *e, struct request *rq)
{
    return reply_name(e, rq, rq->path);
}

/* An unseen target stays untouched: without the right to overwrite nothing that appeared in between is replaced. */
static int rename_now(const struct place *from, const struct place *to, bool exists)
{
    int r = sys->renameat2(from->dir, from->name, to->dir, to->name, exists ? 0 : RENAME_NOREPLACE);
    if (r == -EINVAL && !exists)
        r = sys->renameat2(from->dir, from->name, to->dir, to->name, 0); /* a file system without the flag */
    return r;
}

static int rename_to(struct engine *e, struct request *rq, const char *to_path, const struct place *to)
{
    struct stat from_st, to_st = { 0 };
    int r = place_stat(&rq->at, &from_st);
    if (r < 0)
        return r;
    r = place_stat(to, &to_st);
    if (r < 0 && r != -ENOENT)
        return r;
    bool exists = r == 0;
    if (strcmp(rq->at.path, to->path) == 0)
        return 0;
    r = account_may_rename(e->account, &(struct rename_ends){ .from = rq->path,
                                                              .from_real = rq->at.path,
                                                              .to = to_path,
                                                              .to_real = to->path,
                                                              .from_type = from_st.st_mode & S_IFMT,
                                                              .to_type = exists ? to_st.st_mode & S_IFMT : 0 });
    if (r == -EOPNOTSUPP)
        rq->text = "the target is an existing directory";
    return r < 0 ? r : rename_now(&rq->at, to, exists);
}

int op_rename(struct engine *e, struct request *rq)
{
    CLEANUP(mem_free) char *to_path = NULL;
    CLEANUP(home_place_done) struct place to = { .dir = -1 };

    int r = request_path(rq, &to_path);
    if (r == 0)
        r = home_place(&e->account->home, to_path, false, &to);
    if (r == 0)
        r = rename_to(e, rq, to_path, &to);
    if (r == 0)
        activity_changed(e->account->activity, "Rename", rq->path, to_path);
    return r;
}

/* The clean virtual path that a link's text means, from the link's directory. */
static int link_target(const char *link_path, const char *text, char **ret)
{
    char parent[PATH_MAX];
    struct strbuf b = STRBUF((size_t)2 * PATH_MAX);

    path_parent(link_path, parent);
    if (text[0] != '/')
        strbuf_addf(&b, "%s/", parent);
    strbuf_adds(&b, text);
    int r = strbuf_ok(&b);
    if (r == 0)
        r = path_clean(b.s, ret);
    strbuf_done(&b);
    return r;
}

static const char *from_outside(const struct home *h, const char *text)
{
    for (size_t i = 0; i < HOME_OUTSIDE_MAX; i++)
        if (h->outside[i] && h->outside[i][1] && path_is_beneath(text, h->outside[i])) {
            const char *rest = text + strlen(h->outside[i]);
            return *rest ? rest : "/";
        }
    return text;
}

int op_readlink(struct engine *e, struct request *rq)
{
    char text[PATH_MAX];
    CLEANUP(mem_free) char *target = NULL;

    ssize_t n = sys->readlinkat(rq->at.dir, rq->at.name, text, sizeof(text));
    if (n < 0) {
        rq->text = n == -EINVAL ? "not a symbolic link" : NULL;
        return (int)n;
    }
    if ((size_t)n == sizeof(text))
        return -ENAMETOOLONG;
    text[n] = '\0';
    const char *shown = from_outside(&e->account->home, text);
    int r = link_target(rq->at.path, shown, &target);
    if (r < 0)
        return r;
    if (!(account_rights(e->account, target, target) & MAY_LIST))
        return -EACCES;
    return reply_name(e, rq, shown);
}

/* From the directory of `link` to `target`, both clean. */
static int link_text(const char *link, const char *target, char **ret)
{
    char dir[PATH_MAX];
    struct strbuf b = STRBUF((size_t)2 * PATH_MAX);
    size_t common = 0;

    path_parent(link, dir);
    if (dir[1] == '\0')
        dir[0] = '\0';
    for (size_t i = 0;; i++) {
        if ((dir[i] == '/' || dir[i] == '\0') && (target[i] == '/' || target[i] == '\0'))
            common = i;
        if (dir[i] != target[i] || dir[i] == '\0')
            break;
    }
    for (const char *s = dir + common; *s; s++)
        if (*s == '/')
            strbuf_adds(&b, "../");
    strbuf_adds(&b, target + common + (target[common] == '/'));
    if (b.len > 1 && b.s[b.len - 1] == '/')
        b.s[--b.len] = '\0';
    if (b.len == 0)
        strbuf_adds(&b, ".");
    return strbuf_take(&b, ret);
}

static int symlink_at(struct engine *e, const char *target_text, const char *path, const struct place *at)
{
    CLEANUP(mem_free) char *target = NULL, *text = NULL;

    if (is_root(at->path) || !(account_rights(e->account, path, at->path) & MAY_CREATE_SYMLINKS))
        return -EACCES;
    if (!target_text[0])
        return -ENOENT;
    int r = link_target(at->path, target_text, &target);
    if (r == 0)
        r = is_root(target) ? -EACCES : link_text(at->path, target, &text);
    return r < 0 ? r : sys->symlinkat(text, at->dir, at->name);
}

/* OpenSSH sends the target first, against the draft, and so does everybody else. */
int op_symlink(struct engine *e, struct request *rq)
{
    CLEANUP(mem_free) char *target = NULL, *path = NULL;
    CLEANUP(home_place_done) struct place at = { .dir = -1 };

    int r = packet_text(&rq->in, PATH_MAX - 1, &target);
    if (r == 0)
        r = request_path(rq, &path);
    if (r == 0)
        r = home_place(&e->account->home, path, false, &at);
    if (r == 0)
        r = symlink_at(e, target, path, &at);
    if (r == 0)
        activity_command(e->account->activity, "Symlink", target, path, NULL);
    return r;
}

static int hardlink_to(struct engine *e, struct request *rq, const char *path, const struct place *to)
{
    struct stat st;
    int r = place_stat(&rq->at, &st);
    if (r < 0)
        return r;
    if (!S_ISREG(st.st_mode))
        return -EPERM;
    if (!(account_rights(e->account, path, to->path) & MAY_UPLOAD))
        return -EACCES;
    r = account_may_link(e->account, path, rq->path);
    if (r == 0)
        r = account_may_link(e->account, to->path, rq->at.path);
    return r < 0 ? r : sys->linkat(rq->at.dir, rq->at.name, to->dir, to->name, 0);
}

int ext_hardlink(struct engine *e, struct request *rq)
{
    CLEANUP(mem_free) char *path = NULL;
    CLEANUP(home_place_done) struct place to = { .dir = -1 };

    int r = request_path(rq, &path);
    if (r == 0)
        r = home_place(&e->account->home, path, false, &to);
    return r < 0 ? r : hardlink_to(e, rq, path, &to);
}
