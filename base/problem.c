#include "base/problem.h"

/* The texts are read by people at SFTP clients: each names the cause and, where there is one, what to do. */
static const struct problem problems[] = {
    { -ENOENT, 404, 2, "not-found", "Not Found", "no such file or directory" },
    { -ESTALE, 404, 2, "stale", "Not Found", "the file is gone" },
    { -EACCES, 403, 3, "forbidden", "Forbidden", "permission denied" },
    { -EPERM, 403, 3, "forbidden", "Forbidden", "permission denied" },
    { -EXDEV, 400, 4, "cross-tree", "Bad Request", "cannot move or link between different folders" },
    { -EROFS, 403, 3, "read-only", "Forbidden", "the file system is read-only" },
    { -EINVAL, 400, 4, "invalid", "Bad Request", "invalid request" },
    { -ENAMETOOLONG, 400, 4, "name-too-long", "Bad Request", "the name is too long" },
    { -EEXIST, 409, 4, "exists", "Conflict", "a file of that name exists already" },
    { -ENOTEMPTY, 409, 4, "not-empty", "Conflict", "the directory is not empty" },
    { -ENOTDIR, 400, 4, "not-a-directory", "Bad Request", "not a directory" },
    { -EISDIR, 400, 4, "is-a-directory", "Bad Request", "this is a directory" },
    { -EBUSY, 409, 4, "busy", "Conflict", "in use, try again later" },
    { -EALREADY, 409, 4, "already", "Conflict", "already in progress" },
    { -EDQUOT, 413, 4, "quota-exceeded", "Quota exceeded", "quota exceeded: delete something or ask for more space" },
    { -ENOSPC, 507, 4, "disk-full", "Insufficient Storage", "the server's disk is full" },
    { -EFBIG, 413, 4, "too-large", "Request Entity Too Large", "the file would be too large" },
    { -E2BIG, 413, 4, "too-large", "Request Entity Too Large", "the request is too large" },
    { -EMFILE, 503, 4, "too-many-open", "Service Unavailable", "too many open files" },
    { -ENFILE, 503, 4, "too-many-open", "Service Unavailable", "too many files are open on the server" },
    { -EAGAIN, 503, 4, "overloaded", "Service Unavailable", "the server is busy, try again later" },
    { -ETIMEDOUT, 503, 4, "timeout", "Service Unavailable", "the server did not answer in time" },
    { -ENOTCONN, 503, 7, "unavailable", "Service Unavailable", "the service is not available at the moment" },
    { -EIO, 500, 4, "io-error", "Internal Server Error", "input/output error on the server" },
    { -ELOOP, 400, 4, "loop", "Bad Request", "too many symbolic links" },
    { -ETXTBSY, 409, 4, "busy", "Conflict", "the file is being executed" },
    { -EOPNOTSUPP, 501, 8, "unsupported", "Not Implemented", "not supported" },
    { -ENOSYS, 501, 8, "unsupported", "Not Implemented", "not supported" },
    { -ENOMEM, 500, 4, "out-of-memory", "Internal Server Error", "the server is out of memory" },
    { 0, 500, 4, "internal", "Internal Server Error", "internal error" },
};

const struct problem *problem_of(int r)
{
    const struct problem *p = problems;

    while (p->error != 0 && p->error != r)
        p++;
    return p;
}
