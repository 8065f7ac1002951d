/* Who may log in: passwords, public keys and the rules of a user's record, by the store alone.
 *
 * Unknown users cost the same time as known ones: their password is verified against a hash that nobody has. A password
 * that was right is remembered for a short time as a keyed hash over name, password and stored hash, so that many short
 * connections do not cost a slow hash each; a changed password or record is another key. Never the password itself.
 *
 * Threads: any. A password may cost 50 ms of CPU.
 * Source:  contract/sftp-quota.md §2.7; RFC 4252 §7; notes/http-db.md §C. */
#pragma once

#include "sftp/packet.h"
#include "store/store.h"

struct login;

int login_new(const struct config *config, struct store *store, struct login **ret) MUST_CHECK; /* both borrowed */
void login_free(struct login *l);

/* login_allow_passwords - from any thread; at first as the configuration says. */
void login_allow_passwords(struct login *l, bool yes);

/* Results: 0 and *ret is owned (user_done()); -EACCES with *reterr_reason for the log, static; others: the store
 *          failed. */
int login_by_password(struct login *l, const char *username, const char *password, const char *address,
                      struct user *ret, const char **reterr_reason) MUST_CHECK;

/* login_key_known - would this key do, if it were proved? 0 or as above. */
int login_key_known(struct login *l, const char *username, const uint8_t *blob, size_t len, const char *address,
                    struct user *ret, const char **reterr_reason) MUST_CHECK;

/* login_by_signature - `data` is what the client signed: it names session, user, algorithm and key. `session_id` is the
 * one that this connection really has. */
struct login_proof {
    const uint8_t *session_id, *sig, *data;
    size_t session_id_len, sig_len, data_len;
};
int login_by_signature(struct login *l, const struct login_proof *p, const char *address, struct user *ret,
                       const char **reterr_reason) MUST_CHECK;

/* login_proof_user - the user whom the signed data names; owned. -EBADMSG. */
int login_proof_user(const struct login_proof *p, char **ret) MUST_CHECK;
