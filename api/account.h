/* An administrator or a user as stored, for operations that both have: profile, password, second factor.
 *
 * Threads: a worker's; account_save() blocks. */
#pragma once

#include "api/auth.h"
#include "api/request.h"

struct account {
    enum holder kind;
    union {
        struct admin admin;
        struct user user;
    };
};

/* account_load - by name. account_load_own - of who asks; on the administrators' socket nobody has one: 400. 0, a
 * negative errno or REPLIED. */
int account_load(struct http_request *rq, enum holder kind, const char *username, struct account *ret) MUST_CHECK;
int account_load_own(struct http_request *rq, struct account *ret) MUST_CHECK;
void account_done(struct account *a);

/* account_save - stores what was changed and tells everybody. 0, a negative errno or REPLIED. */
int account_save(struct http_request *rq, const struct account *a) MUST_CHECK;

/* Members that both have. Borrowed; to be changed in place. */
const char *account_name(const struct account *a);
char **account_password(struct account *a);
char **account_email(struct account *a);
char **account_description(struct account *a);
bool *account_takes_api_keys(struct account *a);
struct totp_config *account_totp(struct account *a);
struct objects *account_recovery_codes(struct account *a);
