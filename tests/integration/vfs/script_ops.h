/* What script.c and script_ops.c share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { SCRIPT_FDS = 6, SCRIPT_WORDS = 8, SCRIPT_BLOCK = 1 << 20 };

struct run {
    FILE *out;
    int fds[SCRIPT_FDS];
    char *map;
    size_t map_len;
    char *block; /* SCRIPT_BLOCK bytes, aligned */
    int home;    /* where it began */
};

/* An operation: its result, or -errno. w[0] is the first word after the name; words that are missing are "". */
struct script_op {
    const char *name;
    int64_t (*run)(struct run *r, char **w);
};

const struct script_op *script_op_find(const char *name);
const struct script_op *script_op_find_more(const char *name); /* script_ops_more.c */

int64_t script_result(int64_t r); /* -errno if it is -1 */
int64_t script_number(const char *word);
int script_fd(struct run *r, const char *word);
