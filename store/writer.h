/* The writer: one thread, the only connection that changes a database, and group commit.
 *
 * Threads: any. A caller waits until its change is durable, or has failed and left nothing. */
#pragma once

#include "store/db.h"

struct writer;

/* A change, in the writer's thread and inside a savepoint of its own: a negative result undoes it alone. */
typedef int writer_fn(struct db *d, void *arg);

/* writer_start - opens, makes and migrates the database. Errors as db_open(). */
int writer_start(const char *path, const struct db_schema *schema, struct writer **ret) MUST_CHECK;

/* writer_stop - ends after what is queued. Nobody may call writer_run() any more. */
void writer_stop(struct writer *w);

/* writer_run - what `fn` returned, 0 or positive only once it is durable. */
int writer_run(struct writer *w, writer_fn *fn, void *arg) MUST_CHECK;
