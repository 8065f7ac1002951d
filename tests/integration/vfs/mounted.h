/* What the tests on a mount share: one bed for a file's tests, a fresh home for each, short calls that say -errno. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/vfs_bed.h"

/* A home: its directory on the mount (open), its backing directory, its user. */
struct home_of {
    struct vfs_bed *bed;
    char name[32];
    char backing[256];
    int64_t id;
    int dir; /* on the mount */
};

int mounted_setup(void **state); /* group: *state is the bed */
int mounted_teardown(void **state);

/* home_new - a user of his own with these limits (0: none), touched. */
void home_new(struct vfs_bed *b, struct home_of *h, uint64_t bytes, uint64_t files);
void home_open(struct vfs_bed *b, struct home_of *h, const char *name, int64_t id);
void home_close(struct home_of *h);

/* The numbers are those of the backing directory, and nothing is held. */
#define assert_agrees(h)               assert_true(bed_agrees((h)->bed, DOMAIN_USER, (h)->id, (h)->backing))
#define assert_counts(h, bytes, files) assert_true(bed_counts((h)->bed, DOMAIN_USER, (h)->id, (bytes), (files)))

/* Calls that give a negative errno. */
int64_t put(int dir, const char *name, size_t len); /* creates or overwrites, writes len bytes; how many */
int64_t append(int dir, const char *name, size_t len);
int64_t write_at(int dir, const char *name, size_t len, off_t off); /* of an existing file */
int64_t size_of(int dir, const char *name);
int err(int64_t r); /* r, or -errno if it is -1 */

void rows_equal(const char *name, int64_t is, int64_t should); /* fails with the row's name */
