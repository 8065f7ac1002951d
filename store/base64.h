/* Base64 in the forms that password hashes and keys use: with padding (RFC 4648 §4), and without (the PHC format).
 *
 * Threads: any. */
#pragma once

#include "base/defs.h"

enum base64_form { BASE64_STD, BASE64_UNPADDED };

/* base64_decode - the bytes' number; -EINVAL if a character, the padding or a left-over bit is wrong, -E2BIG if `room`
 * is too small. */
ssize_t base64_decode(enum base64_form form, const char *s, size_t len, uint8_t *to, size_t room) MUST_CHECK;

/* base64_encode - with NUL; `to` needs 4 * ((len + 2) / 3) + 1. */
void base64_encode(enum base64_form form, const uint8_t *bytes, size_t len, char *to);
