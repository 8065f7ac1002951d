/* Secrets at rest: the seed of a second factor, recovery codes.
 *
 * A secret is AES-256-GCM ciphertext under a key of its own, bound to its owner's name. The key stands beside it in the
 * database (FIELD_HIDDEN), so that the API shows ciphertext that is worth nothing alone; who reads the database has
 * both.
 *
 * Threads: any. Source: contract/rest.md §4.4, §4.11; NIST SP 800-38D. */
#pragma once

#include "store/entities.h"

enum { SECRET_TEXT_MAX = 1024 };

/* secret_seal - *ret (zeroed, or a former secret, which is released) becomes the ciphertext of `text`. -EINVAL: empty
 * or longer than SECRET_TEXT_MAX; -ENOMEM; -EIO. */
int secret_seal(const char *text, const char *owner, struct secret *ret) MUST_CHECK;

/* secret_open - the text; owned, to be wiped with secret_text_free(). A secret that came in as "Plain" is its text.
 * -EINVAL: it is none of ours, or was changed. */
int secret_open(const struct secret *s, char **ret) MUST_CHECK;
void secret_text_free(char **text); /* for CLEANUP */
void secret_done(struct secret *s);
