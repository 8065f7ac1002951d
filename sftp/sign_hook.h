/* Key separation: libssh's two calls of libcrypto that need a key, answered by somebody else.
 *
 * libssh calls EVP_DigestSign() once a key exchange, with the exchange hash, and EVP_DigestVerify() once a signed
 * login. This file defines both names, so that libssh's calls come here (its PLT binds to the program first). While a
 * hook is set they go to it, else on to libcrypto. Everything else in the process that uses these two gets libcrypto,
 * too.
 *
 * Threads: a hook is set in a session, which has one thread.
 * Source:  notes/session-process.md §3, "Key separation". */
#pragma once

#include "base/defs.h"

struct sign_hook {
    /* signs; *len is the room before and the length after. `digest` NULL: ed25519. 0 or a negative errno. */
    int (*sign)(void *arg, int key_type, const char *digest, const uint8_t *data, size_t data_len, uint8_t *sig,
                size_t *len);
    /* is told of a login's signature and what it signs. libssh is told that it is good in any case, since it answers a
     * bad one with silence; whoever asks for the verdict later must not believe libssh. */
    void (*verify)(void *arg, const char *digest, const uint8_t *sig, size_t sig_len, const uint8_t *data,
                   size_t data_len);
    void *arg;
};

void sign_hook_set(const struct sign_hook *h); /* copied; NULL: none */
