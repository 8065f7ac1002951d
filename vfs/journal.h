/* The journal: what names were before a request changed them, so that a request which is sent again after a crash is
 * answered once and done once.
 *
 * journal_begin() notes the pre-image before the first effect; the slot is free again after the reply (call_end does
 * that). A resent request that finds its slot compares: journal_done() tells whether the effect has happened already.
 *
 * Threads:  any.
 * Source:   notes/fuse-recovery.md §1.3 item 6. */
#pragma once

#include "vfs/call.h"

/* journal_begin - a and b: what the operation's row says (0: no such inode). For a resent request that has a slot
 * already the noted values are kept. */
void journal_begin(struct call *c, uint64_t a, uint64_t b);

/* journal_a, journal_b - the pre-image; only if journal_found(). */
bool journal_found(const struct call *c); /* resent, and its slot was there: an earlier incarnation has begun it */
uint64_t journal_a(const struct call *c);
uint64_t journal_b(const struct call *c);
void journal_end(struct call *c);
