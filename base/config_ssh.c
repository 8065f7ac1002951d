/* Which algorithms of SSH an administrator may choose from: those that are safe, whether this libssh has them or not.
 *
 * Source: notes/ssh.md §1.6. */
#include <string.h>

#include "base/config_inside.h"

static bool is_one(const char *s, const char *const *names)
{
    while (*names != NULL && strcmp(s, *names) != 0)
        names++;
    return *names != NULL;
}

bool ssh_kex_is(const char *s)
{
    static const char *const names[] = { "mlkem768x25519-sha256",
                                         "sntrup761x25519-sha512@openssh.com",
                                         "sntrup761x25519-sha512",
                                         "curve25519-sha256",
                                         "curve25519-sha256@libssh.org",
                                         "ecdh-sha2-nistp256",
                                         "ecdh-sha2-nistp384",
                                         "ecdh-sha2-nistp521",
                                         NULL };

    return is_one(s, names);
}

bool ssh_cipher_is(const char *s)
{
    static const char *const names[] = { "aes128-gcm@openssh.com",
                                         "aes256-gcm@openssh.com",
                                         "chacha20-poly1305@openssh.com",
                                         "aes128-ctr",
                                         "aes192-ctr",
                                         "aes256-ctr",
                                         NULL };

    return is_one(s, names);
}

bool ssh_mac_is(const char *s)
{
    static const char *const names[] = { "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
                                         "hmac-sha2-256", "hmac-sha2-512", NULL };

    return is_one(s, names);
}
