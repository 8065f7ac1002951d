/* SSH keys and OpenSSL's: public blobs, host key files, signatures.
 *
 * A blob is a public key as RFC 4253 §6.6 writes it. Known: ssh-ed25519, ecdsa-sha2-nistp256/384/521, ssh-rsa.
 *
 * Source: RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, OpenSSH's PROTOCOL.key. */
#pragma once

#include <openssl/evp.h>

#include "base/str.h"
#include "sftp/packet.h"

enum {
    SSH_KEY_BLOB_MAX = 8192,
    SSH_KEY_FILE_MAX = 64 * 1024,
    SSH_KEY_RSA_BITS_MIN = 2048,
    SSH_KEY_RSA_BITS_MAX = 16384
};

/* ssh_key_from_blob - *ret is owned: EVP_PKEY_free(). -EINVAL, -EOPNOTSUPP (another type), -ENOMEM. */
int ssh_key_from_blob(const uint8_t *blob, size_t len, EVP_PKEY **ret) MUST_CHECK;

/* ssh_key_blob - appends the public blob. 0, -EOPNOTSUPP. */
int ssh_key_blob(EVP_PKEY *key, struct queue *to) MUST_CHECK;

/* ssh_key_read - a private key from the text of a file: OpenSSH's own format, or PEM; not encrypted. -EINVAL. */
int ssh_key_read(const char *text, size_t len, EVP_PKEY **ret) MUST_CHECK;

/* ssh_key_write - the private key in OpenSSH's format. */
int ssh_key_write(EVP_PKEY *key, struct strbuf *to) MUST_CHECK;

/* ssh_key_write_shell - a key file with the true public half of `blob` and a random private half: libssh wants a host
 * key file, but the listener does not have the key. */
int ssh_key_write_shell(const uint8_t *blob, size_t len, struct strbuf *to) MUST_CHECK;

/* ssh_key_fingerprint - "SHA256:…" as ssh-keygen -l prints it, into at least 64 bytes. */
void ssh_key_fingerprint(const uint8_t *blob, size_t len, char to[64]);

/* ssh_key_sign, ssh_key_verify - as EVP_DigestSign() and EVP_DigestVerify() of the digest (NULL for ed25519). */
int ssh_key_sign(EVP_PKEY *key, const char *digest, const uint8_t *data, size_t len, uint8_t *sig,
                 size_t *sig_len) MUST_CHECK;
int ssh_key_verify(EVP_PKEY *key, const char *digest, const uint8_t *data, size_t len, const uint8_t *sig,
                   size_t sig_len) MUST_CHECK; /* 0, -EACCES */
