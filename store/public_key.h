/* OpenSSH public keys as users have them: one line in the format of authorized_keys.
 *
 * Threads: any.
 * Source:  sshd(8), "AUTHORIZED_KEYS FILE FORMAT"; RFC 4253 §6.6; OpenSSH PROTOCOL.u2f. */
#pragma once

#include "base/defs.h"

enum { PUBLIC_KEY_TYPE_MAX = 64, PUBLIC_KEY_BLOB_MAX = 8192 };

/* public_key_parse - the type and the blob of one line; options before the type and a comment behind the blob are
 * allowed and skipped. ret_type has PUBLIC_KEY_TYPE_MAX bytes; *ret_blob is owned: free(). -EINVAL: no key of a known
 * type, or the blob is not base64, or it is of another type than the line says; -ENOMEM. */
int public_key_parse(const char *line, char *ret_type, uint8_t **ret_blob, size_t *ret_len) MUST_CHECK;
