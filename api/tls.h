/* TLS of the HTTP bindings: certificate, clients' certificates, revocation lists, and their reload.
 *
 * libmicrohttpd only carries the records; it neither verifies clients nor reloads. What a connection uses is a
 * generation: one set of files as they were read together. A reload makes a new one for new connections, those that are
 * open keep theirs, so nobody is cut off. A file that cannot be read, or does not fit the others, leaves the old
 * generation in place.
 *
 * Threads: any. Source: contract/rest.md §3.1 to §3.3; notes/http-db.md §A5. */
#pragma once

#include <gnutls/gnutls.h>

#include "base/config.h"

struct tls;
struct tls_generation;

/* tls_new - reads all files. `config` is borrowed. Failures are logged: file, cause, what to do. */
int tls_new(const struct httpd_config *config, struct tls **ret) MUST_CHECK;
void tls_free(struct tls *t); /* no session is left */

/* tls_reload - reads certificate, key, authorities and revocation lists anew. On failure the old ones stay. */
int tls_reload(struct tls *t);

/* tls_pem - the certificate and key of the present generation, for the library's own start; borrowed from it until
 * tls_generation_unref(*ret). */
void tls_pem(struct tls *t, const char **ret_certificate, const char **ret_key, struct tls_generation **ret);

/* tls_priorities - what a binding offers, as a GnuTLS priority string; owned. -EINVAL, logged: an unknown suite. */
int tls_priorities(const struct httpd_binding *b, char **ret) MUST_CHECK;

/* tls_begin - before the handshake: this session uses the present generation; *ret is a reference to it. */
int tls_begin(struct tls *t, gnutls_session_t session, bool wants_client, struct tls_generation **ret) MUST_CHECK;
void tls_generation_unref(struct tls_generation *g);
