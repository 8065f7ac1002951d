/* The host keys: in the broker only. Read from sftpd.host_keys, else made in the state directory at the first start.
 *
 * Source: contract/sftp-quota.md §2.8. */
#pragma once

#include "base/config.h"
#include "sftp/ssh_key.h"

enum { HOST_KEYS_MAX = 8 };

struct host_key {
    EVP_PKEY *key; /* owned */
    char *path;    /* owned */
    uint8_t blob[SSH_KEY_BLOB_MAX];
    size_t blob_len;
    char fingerprint[64];
};

struct host_keys {
    struct host_key *v; /* at most HOST_KEYS_MAX; one a type */
    size_t n;
};

/* host_keys_load - reterr_why names the file. */
int host_keys_load(const struct config *config, struct host_keys *ret, struct why *reterr_why) MUST_CHECK;
void host_keys_done(struct host_keys *k);

/* host_key_of_type - by OpenSSL's base id (EVP_PKEY_ED25519, …); NULL: none. */
const struct host_key *host_key_of_type(const struct host_keys *k, int base_id);
