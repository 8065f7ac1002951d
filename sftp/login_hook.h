/* Hooks of connections and logins: programs or URLs that are asked or told. The broker runs them, never a session;
 * programs run as the service account, with a time limit (base/hook.h).
 *
 * Threads: any. Those that ask block for as long as their hook runs, at most LOGIN_HOOK_MS or CONNECT_HOOK_MS.
 * Source:  contract/sftp-quota.md §4.3. */
#pragma once

#include "base/config.h"
#include "base/hook.h"
#include "store/entities.h"

enum { LOGIN_HOOK_MS = 30000, CONNECT_HOOK_MS = 20000 };

struct login_hooks;

/* login_hooks_new - `config` is borrowed; uid and gid are those of programs. login_hooks_free - waits for those that
 * run. */
int login_hooks_new(const struct config *config, uid_t uid, gid_t gid, struct login_hooks **ret) MUST_CHECK;
void login_hooks_free(struct login_hooks *h);

/* login_hooks_block - is one of them asked while somebody waits? */
bool login_hooks_block(const struct login_hooks *h);

/* hook_post_connect - may this address connect? true without a hook. */
bool hook_post_connect(struct login_hooks *h, const char *ip);

/* hook_post_disconnect, hook_post_login - told later. `user` has at least a username. */
void hook_post_disconnect(struct login_hooks *h, const char *ip, const char *username, int64_t duration_ms);
void hook_post_login(struct login_hooks *h, const struct user *user, const char *ip, const char *method, bool is_ok);

/* hook_check_password - HOOK_NONE: there is none for this user; HOOK_YES, HOOK_NO: it has decided; HOOK_OTHER: the
 * password to verify is *ret_other instead (owned, secret). A hook that fails says no. */
enum hook_says { HOOK_NONE, HOOK_YES, HOOK_NO, HOOK_OTHER };
enum hook_says hook_check_password(struct login_hooks *h, const struct user *u, const char *password, const char *ip,
                                   char **ret_other);
