/* One-time passwords as a second factor, and the codes for those who lost their phone.
 *
 * Threads: any; microseconds. Source: RFC 6238 (30 s, six digits), RFC 4226; contract/rest.md §1.1 rows 36-42, §2.1. */
#pragma once

#include "base/config.h"
#include "store/entities.h"

enum {
    TOTP_STEP_S = 30,
    TOTP_SECRET_TEXT_MAX = 128, /* base32 */
    TOTP_PASSCODE_MAX = 6,
    RECOVERY_CODES = 12,
};

/* totp_provider_find - a row of mfa.totp; NULL if there is none. Borrowed. */
const struct totp_provider *totp_provider_find(const struct config *c, const char *name);

/* totp_secret_new - 160 random bits in base32; owned, to be wiped with secret_text_free(). */
int totp_secret_new(char **ret) MUST_CHECK;
bool totp_secret_is_valid(const char *base32);

/* totp_check - is this the passcode of now, or of one step before or after it? 0 and its step; -EACCES: no; -EINVAL:
 * the secret is none. A caller that remembers the last step it took refuses the same or an earlier one (RFC 6238 §5.2).
 */
int totp_check(const struct totp_provider *p, const char *base32, const char *passcode, int64_t now_s,
               int64_t *ret_step) MUST_CHECK;

/* totp_config_check - the same for the second factor of an administrator or user. -ENOENT: the provider was taken out
 * of the configuration. */
int totp_config_check(const struct config *c, const struct totp_config *t, const char *passcode, int64_t now_s,
                      int64_t *ret_step) MUST_CHECK;

/* totp_config_done, recovery_codes_done - empty; recovery_codes_new - RECOVERY_CODES new ones, sealed, instead of those
 * that are there; *ret_texts (may be NULL) gets them in clear. */
void totp_config_done(struct totp_config *t);
void recovery_codes_done(struct objects *codes);
int recovery_codes_new(const char *owner, struct objects *codes, struct strings *ret_texts) MUST_CHECK;
