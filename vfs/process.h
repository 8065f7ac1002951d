/* Processes that ask: what /proc knows and the requests do not say.
 *
 * Threads: any. */
#pragma once

#include "vfs/call.h"

/* process_read - a file of /proc/<pid>, as text. false: there is none. */
bool process_read(uint32_t pid, const char *name, char *ret, size_t room);

uint32_t process_of(uint32_t thread); /* itself, if the thread is gone */

/* process_started_ms - on the wall clock; INT64_MAX: there is no such process. */
int64_t process_started_ms(uint32_t pid);

/* process_keeps_setid - it has CAP_FSETID: what it changes keeps set-id bits. process_keeps_setgid - or it is in the
 * group. One that is gone: root keeps them, others do not. */
bool process_keeps_setid(const struct caller *who);
bool process_keeps_setgid(const struct caller *who, gid_t gid);
