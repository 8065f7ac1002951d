/* Secrets that a person gives: the first line of a file or of stdin, or typed without an echo.
 *
 * Ownership: *ret is owned; wipe it with explicit_bzero() before free().
 * Limits: SECRET_MAX bytes. Both functions return TOOL_OK, or the exit status of what they printed. */
#pragma once

#include "base/str.h"

enum { SECRET_MAX = 4096 };

int secret_from_file(const char *path, char **ret) MUST_CHECK; /* "-": stdin */

/* secret_ask - on the terminal of the process, also when stdin is something else. */
int secret_ask(const char *prompt, char **ret) MUST_CHECK;

/* secret_read_fd - all of a file, up to the buffer's maximum. 0 or a negative errno. */
int secret_read_fd(int fd, struct strbuf *to) MUST_CHECK;
