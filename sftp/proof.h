/* The proof that a client has a key: a signature over what RFC 4252 §7 says, for this session.
 *
 * A session hands over what libssh verifies: the signature, and the bytes that it is made over. With ordinary keys
 * these name session, user, algorithm and key. A security key signs a hash of them, so the bytes are made again here,
 * from the session id that the broker knows and from the user and the key that the session names: a session that lies
 * about one of them has another hash.
 *
 * Source: RFC 4252 §7; OpenSSH's PROTOCOL.u2f. */
#pragma once

#include "base/defs.h"
#include "sftp/packet.h"

/* A signature algorithm, the key type that it wants, and its digest (NULL: ed25519's own). */
struct ssh_algorithm {
    const char *name, *key_type, *digest;
};

/* ssh_algorithm_find - NULL: none that we accept. Certificates and security keys have names of their own, which are not
 * among these. */
const struct ssh_algorithm *ssh_algorithm_find(const uint8_t *name, size_t len);

struct login_proof {
    const uint8_t *session_id, *sig, *data; /* borrowed; `data` is what was signed */
    size_t session_id_len, sig_len, data_len;
    const char *username; /* as the session says */
    const uint8_t *blob;  /* the key's, or its certificate's */
    size_t blob_len;
};

/* proof_check - 0; -EACCES with a static reason for the log. */
int proof_check(const struct login_proof *p, const char **reterr_reason) MUST_CHECK;
