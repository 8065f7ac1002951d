/* A script of file operations, run in a directory by a process of its own: what each step gave, as text. Two
 * directories behave the same if the texts are the same.
 *
 *   "put a 10; chmod a 04755; as 2001; open 0 a w; pwrite 0 0 1; as 0; stat a"
 *
 * Steps are separated by ';', words by blanks. "%255" is a name of 255 letters; numbers are decimal, octal with a 0.
 * The operations are the tables at the end of script_ops*.c. Each step says its result: a number or an errno. */
#pragma once

#include <stddef.h>

enum { SCRIPT_SAYS_MAX = 16384 };

/* script_run - as root, umask 022, in `dir`; *ret holds what it said. */
void script_run(int dir, const char *script, char ret[SCRIPT_SAYS_MAX]);
