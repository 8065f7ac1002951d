/* OpenSSH's user certificates: a public key, who may use it, when and from where, signed by an authority.
 *
 * Accepted: user certificates of an authority that is trusted, whose principals name the user, valid now. Of critical
 * options only source-address is known; a certificate with another one (force-command, verify-required) is refused.
 * One without principals is nobody's.
 *
 * Source: OpenSSH's PROTOCOL.certkeys; contract/sftp-quota.md §2.7. */
#pragma once

#include "base/str.h"
#include "base/why.h"
#include "sftp/packet.h"

/* Authorities: blobs of their public keys. All zero: none. */
struct ssh_authorities {
    struct queue *v; /* owned */
    size_t n;
};

enum { SSH_AUTHORITIES_MAX = 64, SSH_AUTHORITY_FILE_MAX = 64 * 1024 };

/* ssh_authorities_read - from files of public keys, one a line; relative paths are in `dir`. reterr_why names the
 * file. */
int ssh_authorities_read(const char *dir, const struct strings *files, struct ssh_authorities *ret,
                         struct why *reterr_why) MUST_CHECK;
void ssh_authorities_done(struct ssh_authorities *a);

/* ssh_cert_is - is this blob a certificate of a kind we know? */
bool ssh_cert_is(const uint8_t *blob, size_t len);

/* ssh_cert_key - appends the blob of the key that a certificate is for. -EINVAL. */
int ssh_cert_key(const uint8_t *blob, size_t len, struct queue *to) MUST_CHECK;

struct ssh_cert_use {
    const char *username, *address;
    int64_t now_s;
};

/* ssh_cert_refusal - NULL: good for this use; else the reason, static. */
const char *ssh_cert_refusal(const struct ssh_authorities *a, const uint8_t *blob, size_t len,
                             const struct ssh_cert_use *use);
