/* Between the files of the configuration: sections that stand in files of their own. */
#pragma once

#include "base/config.h"

extern const struct schema httpd_config_schema, defender_config_schema, rate_limiter_config_schema;

enum { PORT_MAX = 65535 };

#define PATH_TEXT     "must be an absolute path without \".\" and \"..\""
#define ADDRESS_TEXT  "must be an IP address, or empty for all"
#define LISTENER_TEXT "must be an IP address, empty for all, or the absolute path of a Unix socket (at most 107 bytes)"

bool config_path_is(const char *s);     /* absolute, without "." and ".." */
bool config_listener_is(const char *s); /* an address, or such a path that fits a Unix socket */

/* For field rows: algorithms of SSH (config_ssh.c). */
bool ssh_kex_is(const char *s);
bool ssh_cipher_is(const char *s);
bool ssh_mac_is(const char *s);

#define SSH_KEX_TEXT    "must be one of curve25519-sha256, ecdh-sha2-nistp256/384/521, mlkem768x25519-sha256, sntrup761"
#define SSH_CIPHER_TEXT "must be one of aes128/256-gcm@openssh.com, chacha20-poly1305@openssh.com, aes128/192/256-ctr"
#define SSH_MAC_TEXT    "must be one of hmac-sha2-256, hmac-sha2-512 and these with -etm@openssh.com"
