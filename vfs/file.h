/* Open files: the open table in shared memory, one object for each open inode, and what moves its size.
 *
 * A file handle of the kernel is a number in the open table and its generation; the table survives a crash, so
 * handles do. All opens of one inode share an object: how often it is open, its backing id (one until the last close,
 * as the kernel demands), its descriptors for reading and writing, made when first needed.
 *
 * Each change of a size: change_begin → record lock → fstat → reservation → the call → fstat → settle → unlock. A write
 * that cannot grow the file takes the lock shared and touches no counter.
 *
 * Threads: any. */
#pragma once

#include "vfs/call.h"
#include "vfs/node.h"

struct inode; /* an inode that is open */

struct file {
    struct state_open *entry; /* borrowed, like the next */
    struct inode *inode;      /* the open table's reference keeps it */
    uint32_t number;
    uint64_t node;
};

/* How an open file is served: what the reply to the kernel says. */
struct file_service {
    uint64_t fh;
    int32_t backing_id; /* 0: none */
    bool direct;
};

int files_new(struct vfs *v, struct files **ret) MUST_CHECK;
void files_free(struct files *f);

/* files_resume - tells the ledger of all entries of the open table and takes over backing ids; closes those that nobody
 * uses, also one that was lost between the kernel's reply and our note of it. Before any tree is opened: the ledger
 * repairs trees as they open, and releases what has no name and is not open. */
void files_resume(struct vfs *v);
uint64_t files_count(const struct vfs *v);

/* What opening needs to know. */
struct file_opening {
    uint32_t flags;  /* of open(2) */
    uint64_t unique; /* of the request, to find the entry again when it is sent again */
    int rw_fd;       /* open for reading and writing, if the caller has one (moved, also on failure); else -1 */
    bool is_born;    /* by CREATE or TMPFILE */
    struct caller who;
};

/* file_open - a new entry in the open table. -ENFILE: it is full; -EMFILE: this caller, or this home, has its share of
 * it (shares.h); -ESTALE: the inode is gone, or it has no name and
 * there is no room any more to charge it again: the kernel looks its path up once more. */
int file_open(struct vfs *v, const struct node *n, const struct file_opening *o, struct file_service *ret) MUST_CHECK;

/* file_reopened - the entry that this request has made already, before a crash; false if there is none. */
bool file_reopened(struct vfs *v, uint64_t unique, uint64_t *ret_node, struct file_service *ret);

/* file_find - *ret is valid until the file's release. -EBADF. */
int file_find(struct vfs *v, uint64_t fh, struct file *ret) MUST_CHECK;
/* file_find_to_change - for what changes content or size: -EIO if the handle was revoked (writers.h). */
int file_find_to_change(struct vfs *v, uint64_t fh, struct file *ret) MUST_CHECK;

/* file_written - notes for the list of writers who wrote and how much: two stores into a line that is warm. */
void file_written(const struct file *f, const struct caller *who, uint64_t bytes);

/* file_release - a handle that is free already, or of another generation, is none of ours: nothing. */
void file_release(struct vfs *v, uint64_t fh);

ssize_t file_read(struct vfs *v, const struct file *f, void *buf, size_t len, uint64_t off);
ssize_t file_write(struct call *c, const struct file *f, const void *buf, size_t len, uint64_t off, uint32_t flags);
int file_fallocate(struct call *c, const struct file *f, int mode, uint64_t off, uint64_t len);
ssize_t file_copy_range(struct call *c, const struct file *from, uint64_t from_off, const struct file *to,
                        uint64_t to_off, size_t len);
int64_t file_lseek(struct vfs *v, const struct file *f, int64_t off, int whence);
int file_fsync(struct vfs *v, const struct file *f, bool data_only);

/* file_truncate - by node, open or not. */
int file_truncate(struct vfs *v, const struct node *n, uint64_t size);

/* file_kill_privileges - takes suid and sgid from a file that was changed by somebody who may not keep them (the kernel
 * says who). file_kill_setgid - of a file that got an ACL: only sgid, and only if the caller may not keep it. */
int file_kill_privileges(int fd, const struct caller *who);
int file_kill_setgid(int fd, const struct caller *who);
