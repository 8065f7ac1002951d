/* How an open for writing decides: look at the target (a link is followed first), then rights by what is there, then
 * open without following anything. What is most often uploaded is a new file, so that is tried first: O_EXCL follows
 * nothing and opens nothing that was there, and whatever hinders it is looked at properly. Between the look and the
 * open somebody may change the target; the open's own flags (O_EXCL for what was absent, no O_CREAT for what was there)
 * turn that into an error or a second look, never into a file that the rights did not cover. */
#include "sftp/home_file.h"

#include <fcntl.h>
#include <linux/fs.h> /* RENAME_NOREPLACE, without stdio.h */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/sys.h"

enum { OPEN_TRIES = 4, NAME_LIMIT = 255 };
enum { DEFAULT_FILE_MODE = 0666 };

#define SIZE_TEXT "the file would be larger than this account may upload"

int open_set_mode(int fd, mode_t mode)
{
    return fchmod(fd, mode) < 0 ? -errno : 0;
}

int open_set_times(int fd, const struct timespec ts[2])
{
    return futimens(fd, ts) < 0 ? -errno : 0;
}

static void home_file_free(struct home_file *f)
{
    if (!f)
        return;
    fd_close(&f->fd);
    home_place_done(&f->at);
    free(f->path);
    free(f->temp);
    free(f);
}

int home_file_size_allowed(const struct account *a, uint64_t size)
{
    int64_t most = a->user->filters.max_upload_file_size;
    return most > 0 && size > (uint64_t)most ? -EFBIG : 0;
}

/* Opens the place itself; anything but a regular file is refused at once, a FIFO without waiting for its other end. */
static int open_regular(struct home_file *f, const char *name, int flags, mode_t mode)
{
    struct place at = f->at;
    struct stat st;

    at.name = name;
    int fd = place_open(&at, flags | O_NONBLOCK | O_NOCTTY, mode);
    if (fd < 0)
        return fd == -ENXIO ? -EINVAL : fd;
    f->fd = fd;
    int r = sys->fstatat(fd, "", &st, AT_EMPTY_PATH);
    if (r == 0 && S_ISDIR(st.st_mode))
        r = -EISDIR;
    else if (r == 0 && !S_ISREG(st.st_mode))
        r = -EINVAL;
    if (r < 0)
        fd_close(&f->fd);
    return r;
}

static int access_flags(unsigned how)
{
    int flags = how & FILE_WRITE ? (how & FILE_READ ? O_RDWR : O_WRONLY) : O_RDONLY;
    return flags | (how & FILE_APPEND ? O_APPEND : 0);
}

/* A temporary name beside the target; a long target name is cut. */
static int temp_name(struct home_file *f)
{
    uint8_t random[8];
    char hex[2 * sizeof(random) + 1], name[NAME_LIMIT + 1];
    struct strbuf b = STRBUF(2 * NAME_LIMIT);

    sys->random(random, sizeof(random));
    str_hex(hex, random, sizeof(random));
    strbuf_addf(&b, "%s%s.%s", UPLOAD_PREFIX, hex, f->at.name);
    if (strbuf_ok(&b) == 0)
        str_set(name, sizeof(name), b.s);
    int r = strbuf_ok(&b);
    strbuf_done(&b);
    return r < 0 ? r : str_copy(&f->temp, name);
}

static int open_temp(struct home_file *f, mode_t mode, const struct stat *old)
{
    int r = temp_name(f);
    if (r == 0)
        r = open_regular(f, f->temp, access_flags(f->how) | O_CREAT | O_EXCL, mode);
    if (r == 0 && old)
        IGNORE(open_set_mode(f->fd, old->st_mode & 0777), "a mode that cannot be kept is no reason to refuse");
    if (r < 0)
        mem_free(&f->temp);
    return r;
}

static int rights_to_write(const struct account *a, const struct home_file *f, bool exists)
{
    uint32_t rights = account_rights(a, f->path, f->at.path);
    if (a->read_only)
        return -EROFS;
    return rights & (exists ? MAY_OVERWRITE : MAY_UPLOAD) ? 0 : -EACCES;
}

/* What stands at the target: 0 and *ret_exists, or why it cannot be written. */
static int look(const struct home_file *f, struct stat *ret, bool *ret_exists)
{
    int r = place_stat(&f->at, ret);
    *ret_exists = r == 0;
    if (r == -ENOENT)
        return f->how & FILE_CREATE ? 0 : -ENOENT;
    if (r < 0)
        return r;
    if (S_ISDIR(ret->st_mode))
        return -EISDIR;
    if (!S_ISREG(ret->st_mode))
        return S_ISLNK(ret->st_mode) ? -EAGAIN : -EINVAL;
    return f->how & FILE_EXCLUSIVE && f->how & FILE_CREATE ? -EEXIST : 0;
}

/* Nothing can be added to it any more: said before the client sends what it wants to add. */
static bool is_full(const struct account *a, const struct stat *st)
{
    return home_file_size_allowed(a, (uint64_t)st->st_size + 1) < 0;
}

static int open_to_write(struct account *a, struct home_file *f, mode_t mode)
{
    struct stat st;
    bool exists;
    int r = look(f, &st, &exists);
    if (r < 0)
        return r;
    r = rights_to_write(a, f, exists);
    if (r < 0)
        return r;
    if (exists && !(f->how & FILE_TRUNCATE) && is_full(a, &st))
        return -EFBIG;
    if (!activity_ask(a->activity, ACTION_PRE_UPLOAD, f->path, exists ? (uint64_t)st.st_size : 0,
                      exists && f->how & FILE_TRUNCATE ? O_TRUNC : 0))
        return -EACCES;
    if (a->upload_mode != UPLOAD_STANDARD && (!exists || f->how & FILE_TRUNCATE))
        return open_temp(f, mode, exists ? &st : NULL);
    int flags = access_flags(f->how);
    if (!exists)
        flags |= O_CREAT | O_EXCL;
    else if (f->how & FILE_TRUNCATE)
        flags |= O_TRUNC;
    r = open_regular(f, f->at.name, flags, mode);
    return r == -EEXIST && !(f->how & FILE_EXCLUSIVE) ? -EAGAIN : r;
}

static int open_to_read(struct account *a, struct home_file *f)
{
    if (!(account_rights(a, f->path, f->at.path) & MAY_DOWNLOAD))
        return -EACCES;
    if (!(f->how & FILE_SUM) && !activity_ask(a->activity, ACTION_PRE_DOWNLOAD, f->path, 0, 0))
        return -EACCES;
    return open_regular(f, f->at.name, O_RDONLY, 0);
}

static int find_place(struct account *a, struct home_file *f, bool follow)
{
    home_place_done(&f->at);
    int r = home_place(&a->home, f->path, follow, &f->at);
    if (r == 0)
        r = account_file_allowed(a, f->path, f->at.path);
    f->may_read = r == 0 && f->how & FILE_READ && account_rights(a, f->path, f->at.path) & MAY_DOWNLOAD;
    return r;
}

static int open_once(struct account *a, struct home_file *f, mode_t mode)
{
    int r = find_place(a, f, true);
    if (r < 0)
        return r;
    return f->how & FILE_WRITE ? open_to_write(a, f, mode) : open_to_read(a, f);
}

/* A file that is not there yet, in as few calls as can be. Any error: look properly. */
static int open_new(struct account *a, struct home_file *f, mode_t mode)
{
    const unsigned creates = FILE_WRITE | FILE_CREATE;

    if ((f->how & creates) != creates || a->upload_mode != UPLOAD_STANDARD ||
        activity_wants(a->activity, ACTION_PRE_UPLOAD)) /* it is told what is there */
        return -EAGAIN;
    int r = find_place(a, f, false);
    if (r == 0)
        r = rights_to_write(a, f, false);
    if (r == 0)
        r = place_open(&f->at, access_flags(f->how) | O_CREAT | O_EXCL | O_NOCTTY, mode);
    if (r < 0)
        return r;
    f->fd = r;
    return 0;
}

/* Where the errno alone would mislead. */
static const char *open_text(int r, unsigned how)
{
    if (r == -EINVAL)
        return "not a regular file";
    if (r == -EFBIG)
        return SIZE_TEXT;
    return r == -EISDIR && how & FILE_WRITE ? "cannot write to a directory" : NULL;
}

static uint64_t start_offset(const struct home_file *f)
{
    int64_t size = f->how & FILE_WRITE && !f->temp && !(f->how & FILE_TRUNCATE) ? sys->size(f->fd) : 0;
    return size > 0 ? (uint64_t)size : 0;
}

int home_file_open(struct account *a, const char *path, unsigned how, mode_t mode, struct home_file **ret,
                   const char **reterr_text)
{
    struct home_file *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct home_file){ .fd = -1, .how = how, .at.dir = -1 };
    int r = str_copy(&f->path, path);
    mode = mode ? mode : DEFAULT_FILE_MODE;
    if (r == 0 && open_new(a, f, mode) < 0)
        r = -EAGAIN;
    for (int i = 0; i < OPEN_TRIES && r == -EAGAIN; i++)
        r = open_once(a, f, mode);
    if (r < 0) {
        if (reterr_text)
            *reterr_text = open_text(r, how);
        home_file_free(f);
        return r;
    }
    if (!(how & FILE_SUM))
        f->transfer = activity_begin(a->activity, how & FILE_WRITE, path, start_offset(f));
    *ret = f;
    return 0;
}

/* Reading ahead is the kernel's: the mount passes reads through to the backing file, whose own window grows with a
 * sequential reader. A hint of ours (posix_fadvise) was tried and was worse: it filled the FUSE inode's cache through
 * the daemon, where no read looks. */
ssize_t home_file_read(struct account *a, struct home_file *f, void *buf, size_t len, uint64_t off)
{
    if (!f->may_read)
        return -EACCES;
    if (off > INT64_MAX)
        return 0;
    ssize_t n = sys->pread(f->fd, buf, len, off);
    if (n <= 0)
        return n;
    bucket_take(&a->down, (uint64_t)n);
    if (!(f->how & (FILE_WRITE | FILE_SUM)))
        activity_moved(a->activity, &f->transfer, (uint64_t)n);
    return n;
}

static int write_all(struct home_file *f, const uint8_t *buf, size_t len, uint64_t off, size_t *ret_done)
{
    size_t done = 0;
    int r = 0;
    while (done < len && r == 0) {
        ssize_t n = sys->pwrite(f->fd, buf + done, len - done, off + done);
        if (n <= 0)
            r = n < 0 ? (int)n : -EIO;
        else
            done += (size_t)n;
    }
    *ret_done = done;
    return r;
}

int home_file_write(struct account *a, struct home_file *f, const void *buf, size_t len, uint64_t off,
                    const char **reterr_text)
{
    uint64_t end;
    size_t done = 0;

    if (!(f->how & FILE_WRITE))
        return -EACCES;
    if (__builtin_add_overflow(off, len, &end) || end > INT64_MAX)
        return -EFBIG;
    int r = home_file_size_allowed(a, end);
    if (r < 0 && reterr_text)
        *reterr_text = SIZE_TEXT;
    if (r == 0)
        r = write_all(f, buf, len, off, &done);
    bucket_take(&a->up, done);
    activity_moved(a->activity, &f->transfer, done);
    if (r < 0 && !f->failed)
        f->failed = r;
    return r;
}

int home_file_resize(struct account *a, struct home_file *f, uint64_t size)
{
    if (!(f->how & FILE_WRITE))
        return -EACCES;
    if (size > INT64_MAX)
        return -EFBIG;
    int r = home_file_size_allowed(a, size);
    return r < 0 ? r : sys->ftruncate(f->fd, size);
}

/* close(2) tells the write errors that the file system had kept (NFS, a quota behind a cache). */
static int close_descriptor(struct home_file *f)
{
    return close(take_fd(&f->fd)) < 0 && errno != EINTR ? -errno : 0;
}

static int put_into_place(struct home_file *f)
{
    unsigned flags = f->how & FILE_EXCLUSIVE && f->how & FILE_CREATE ? RENAME_NOREPLACE : 0;
    return sys->renameat2(f->at.dir, f->temp, f->at.dir, f->at.name, flags);
}

static int finish(struct account *a, struct home_file *f, bool keep)
{
    if (f->how & FILE_WRITE && activity_wants(a->activity, ACTION_UPLOAD))
        f->transfer.size_bytes = (uint64_t)MAX(sys->size(f->fd), (int64_t)0);
    if (f->has_times)
        IGNORE(open_set_times(f->fd, f->times), "the content counts");
    int r = close_descriptor(f);
    if (f->failed)
        r = f->failed;
    if (f->temp) {
        if (r == 0 && keep)
            r = put_into_place(f);
        if (r < 0 || !keep)
            IGNORE(sys->unlinkat(f->at.dir, f->temp, 0), "it may be gone already");
    }
    return r;
}

static void tell_end(struct account *a, struct home_file *f, int r)
{
    if (!(f->how & FILE_SUM))
        activity_end(a->activity, &f->transfer, f->path, r);
}

int home_file_close(struct account *a, struct home_file *f)
{
    int r = finish(a, f, true);
    tell_end(a, f, r);
    home_file_free(f);
    return r;
}

void home_file_abort(struct account *a, struct home_file *f)
{
    int r = finish(a, f, a->upload_mode == UPLOAD_ATOMIC_RESUME);
    tell_end(a, f, r < 0 ? r : f->how & FILE_WRITE ? -ECONNABORTED : 0);
    home_file_free(f);
}
