/* Another program, for its answer: run without a shell, with an end in time and size. */
#pragma once

#include "base/str.h"

enum { PROGRAM_OUTPUT_MAX = 64 << 10, PROGRAM_S = 20 };

/* program_run - argv[0] is looked for in PATH unless it has a slash; stdout and stderr go to *ret_said. Returns its
 * exit status, or a negative errno: -ENOENT, -ETIMEDOUT (it is killed), -ECANCELED (it died of a signal). */
int program_run(char *const argv[], struct strbuf *ret_said) MUST_CHECK;
