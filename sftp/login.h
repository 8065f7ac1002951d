/* Who may log in: passwords, public keys, certificates, codes, and the rules of a user's record, by the store alone.
 *
 * Unknown users cost the same time as known ones: their password is verified against a hash that nobody has. A password
 * that was right is remembered for a short time as a keyed hash over name, password and stored hash, so that many short
 * connections do not cost a slow hash each; a changed password or record is another key. Never the password itself.
 *
 * Several steps: a key is not enough, and one more step is asked for, when the user's denied_login_methods leave no
 * single step but "publickey+password" or "publickey+keyboard-interactive". The caller keeps the step of a connection
 * and shows it with the next attempt.
 *
 * Threads: any. A password may cost 50 ms of CPU.
 * Source:  contract/sftp-quota.md §2.7; RFC 4252 §7; notes/http-db.md §C. */
#pragma once

#include "sftp/login_hook.h"
#include "sftp/proof.h"
#include "store/store.h"

struct login;

/* login_new - all borrowed; `hooks` may be NULL. */
int login_new(const struct config *config, struct store *store, struct login_hooks *hooks,
              struct login **ret) MUST_CHECK;
void login_free(struct login *l);

/* login_settings - which methods are on and which authorities are trusted, from another configuration; from any
 * thread. On failure (logged) the authorities stay as they were. */
int login_settings(struct login *l, const struct config *c);

enum login_next { LOGIN_PASSWORD = 1, LOGIN_INTERACTIVE = 2 };

/* What a connection has shown so far. All zero: nothing. */
struct login_step {
    char *username; /* whose key was good; owned */
    unsigned next;  /* enum login_next */
};
void login_step_done(struct login_step *s);

/* Who asks. */
struct login_from {
    const char *username, *address;
    const struct login_step *step;
};

struct login_result {
    struct user user;   /* owned after a success: user_done() */
    unsigned next;      /* not 0: the key is good, and one of these steps must follow */
    const char *method; /* for the log and the metrics, static: "password", "publickey+password", … */
    const char *reason; /* of a refusal, for the log; static */
    bool is_unknown;    /* a refusal: nobody has this name */
};

/* All of these: 0; -EACCES with the reason; others: the store failed. `method` is set in any case. */
int login_by_password(struct login *l, const struct login_from *from, const char *password,
                      struct login_result *ret) MUST_CHECK;

/* login_by_line - the same for a password that was asked for line by line. A user with a second factor is not in yet:
 * login_wants_code(), login_by_code(). */
int login_by_line(struct login *l, const struct login_from *from, const char *password,
                  struct login_result *ret) MUST_CHECK;
bool login_wants_code(const struct user *u);
int login_by_code(struct login *l, const struct user *u, const char *code) MUST_CHECK; /* each code once */

/* login_key_known - would this key or certificate do, if it were proved? */
int login_key_known(struct login *l, const struct login_from *from, const uint8_t *blob, size_t len,
                    struct login_result *ret) MUST_CHECK;
int login_by_signature(struct login *l, const struct login_from *from, const struct login_proof *p,
                       struct login_result *ret) MUST_CHECK;

/* login_interactive_is_on - may somebody be asked line by line? */
bool login_interactive_is_on(const struct login *l);
