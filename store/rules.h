/* Rules that several files of store/ share: forms of names, paths, addresses and patterns. Inside store/ only. */
#pragma once

#include "store/entities.h"

enum { PERMS_MAX = 16 };

/* perm_of - the bits of one name; 0: unknown. perms_write - names of bits, at most PERMS_MAX; borrowed, static. */
uint32_t perm_of(const struct perm_row *rows, const char *name);
size_t perms_write(const struct perm_row *rows, uint32_t bits, const char **to);

bool is_name(const char *s);     /* ^[a-zA-Z0-9-_.~]+$ */
bool is_email(const char *s);    /* as browsers check it (HTML, "valid e-mail address") */
bool is_absolute(const char *s); /* begins with '/' */
bool is_network(const char *s);  /* CIDR, IPv4 or IPv6 */

/* pattern_is_valid, pattern_match - a shell pattern: * ? [a-z] [^a-z] and \ before a character; text is UTF-8. */
bool pattern_is_valid(const char *pattern);
bool pattern_match(const char *pattern, const char *name);

/* Names in the lists of a user's filters. */
bool is_login_method(const char *s);
bool is_protocol(const char *s);
bool is_web_client_option(const char *s);

/* filesystem_check - only the local file system is ours; the text names another one. */
int filesystem_check(const struct filesystem *f, const char *field, struct why *w) MUST_CHECK;

/* lower_ascii - in place. */
void lower_ascii(char *s);

/* path_is_within - is it the directory itself or below it? Both absolute and clean. */
bool path_is_within(const char *path, const char *dir);

/* path_clean_in_place - *path (owned) becomes its clean form. */
int path_clean_in_place(char **path) MUST_CHECK;

/* The entities as stored: normalised (clean paths, lower-cased patterns, defaults) and validated. Each changes *u and
 * checks it in the order of the contract. -EINVAL with reterr_why, -ENOMEM. Passwords are only looked at. */
int user_check(struct user *u, const char *users_base_dir, struct why *reterr_why) MUST_CHECK;
int folder_check(struct folder *f, struct why *reterr_why) MUST_CHECK;
int admin_check(struct admin *a, struct why *reterr_why) MUST_CHECK;
int api_key_check(const struct api_key *k, struct why *reterr_why) MUST_CHECK;
