/* The hook is NOTIFY_CONNECTION: it runs after gnutls_init() and before the handshake, so credentials, the demand for a
 * client certificate and its verification are set there, on the session itself.
 *
 * A client certificate must be for clients (extended key usage), of one of our authorities, and not revoked; a
 * revocation list past its next update still revokes (a warning says so), since to ignore it would let revoked
 * certificates back in. */
#include "api/tls.h"

#include <gnutls/x509.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/sys.h"

enum { FILE_MAX = 1 << 20, CRL_MAX = 16 << 20, NAME_MAX_LEN = 128, PRIORITIES_MAX = 4096 };

struct tls_generation {
    _Atomic unsigned refs;
    gnutls_certificate_credentials_t credentials;
    char *certificate, *key; /* PEM */
};

struct tls {
    const struct httpd_config *config;
    struct mutex lock;
    struct tls_generation *now; /* lock */
};

void tls_generation_unref(struct tls_generation *g)
{
    if (g == NULL || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (g->credentials != NULL)
        gnutls_certificate_free_credentials(g->credentials);
    if (g->key != NULL)
        OPENSSL_cleanse(g->key, strlen(g->key));
    free(g->certificate);
    free(g->key);
    free(g);
}

/* ---- files ---- */

static int file_read_fd(int fd, size_t max, struct strbuf *to)
{
    char block[4096];
    uint64_t at = 0;
    ssize_t n;

    while ((n = sys->pread(fd, block, sizeof(block), at)) > 0 && at < max) {
        strbuf_add(to, block, (size_t)n);
        at += (uint64_t)n;
    }
    OPENSSL_cleanse(block, sizeof(block));
    return n < 0 ? (int)n : strbuf_ok(to);
}

static int file_read(const char *key, const char *path, size_t max, char **ret)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(max);
    CLEANUP(fd_close) int fd = sys->openat2(AT_FDCWD, path, &(struct open_how){ .flags = O_RDONLY | O_CLOEXEC });

    int r = fd < 0 ? fd : file_read_fd(fd, max, &text);
    if (r == 0 && text.len == 0)
        r = -ENODATA;
    if (r == -EACCES)
        return log_fail(r, "httpd.%s: %s must be readable for the account tally-api", key, path);
    if (r < 0)
        return log_fail(r, "httpd.%s: cannot read %s", key, path);
    return strbuf_take(&text, ret);
}

static int problem(const char *key, const char *path, int code)
{
    return log_fail(-EINVAL, "httpd.%s: %s: %s", key, path, gnutls_strerror(code));
}

static gnutls_datum_t datum(char *text)
{
    return (gnutls_datum_t){ (unsigned char *)text, text != NULL ? (unsigned)strlen(text) : 0 };
}

static int pair_load(const struct httpd_config *c, struct tls_generation *g)
{
    int r = file_read("certificate_file", c->certificate_file, FILE_MAX, &g->certificate);

    if (r == 0)
        r = file_read("certificate_key_file", c->certificate_key_file, FILE_MAX, &g->key);
    if (r < 0)
        return r;
    gnutls_datum_t certificate = datum(g->certificate), key = datum(g->key);
    int code = gnutls_certificate_set_x509_key_mem2(g->credentials, &certificate, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    return code < 0 ? problem("certificate_file", c->certificate_file, code) : 0;
}

static int authorities_load(const struct httpd_config *c, struct tls_generation *g)
{
    for (size_t i = 0; i < c->ca_certificates.n; i++) {
        CLEANUP(mem_free) char *text = NULL;
        const char *path = c->ca_certificates.v[i];
        int r = file_read("ca_certificates", path, FILE_MAX, &text);
        if (r < 0)
            return r;
        gnutls_datum_t d = datum(text);
        int n = gnutls_certificate_set_x509_trust_mem(g->credentials, &d, GNUTLS_X509_FMT_PEM);
        if (n <= 0)
            return problem("ca_certificates", path, n < 0 ? n : GNUTLS_E_NO_CERTIFICATE_FOUND);
    }
    return 0;
}

static void list_warn(const gnutls_datum_t *d, const char *path)
{
    gnutls_x509_crl_t crl;

    if (gnutls_x509_crl_init(&crl) < 0)
        return;
    if (gnutls_x509_crl_import(crl, d, GNUTLS_X509_FMT_PEM) == 0) {
        time_t until = gnutls_x509_crl_get_next_update(crl);
        if (until != (time_t)-1 && until < (time_t)(sys->wall_ms() / 1000))
            log_warn("httpd.ca_revocation_lists: %s should have been renewed; what it revokes stays revoked", path);
    }
    gnutls_x509_crl_deinit(crl);
}

static int lists_load(const struct httpd_config *c, struct tls_generation *g)
{
    for (size_t i = 0; i < c->ca_revocation_lists.n; i++) {
        CLEANUP(mem_free) char *text = NULL;
        const char *path = c->ca_revocation_lists.v[i];
        int r = file_read("ca_revocation_lists", path, CRL_MAX, &text);
        if (r < 0)
            return r;
        gnutls_datum_t d = datum(text);
        int n = gnutls_certificate_set_x509_crl_mem(g->credentials, &d, GNUTLS_X509_FMT_PEM);
        if (n <= 0)
            return problem("ca_revocation_lists", path, n < 0 ? n : GNUTLS_E_BASE64_UNEXPECTED_HEADER_ERROR);
        list_warn(&d, path);
    }
    return 0;
}

static int generation_load(const struct httpd_config *c, struct tls_generation **ret)
{
    struct tls_generation *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return -ENOMEM;

    atomic_init(&g->refs, 1);
    int r = gnutls_certificate_allocate_credentials(&g->credentials) == 0 ? pair_load(c, g) : -ENOMEM;
    if (r == 0)
        r = authorities_load(c, g);
    if (r == 0)
        r = lists_load(c, g);
    if (r < 0)
        tls_generation_unref(g);
    else
        *ret = g;
    return r;
}

/* ---- life ---- */

int tls_new(const struct httpd_config *config, struct tls **ret)
{
    struct tls *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;

    t->config = config;
    mutex_init(&t->lock, RANK_INDEX);
    int r = generation_load(config, &t->now);
    if (r < 0)
        tls_free(t);
    else
        *ret = t;
    return r;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    tls_generation_unref(t->now);
    mutex_done(&t->lock);
    free(t);
}

int tls_reload(struct tls *t)
{
    struct tls_generation *next;

    int r = generation_load(t->config, &next);
    if (r < 0)
        return log_fail(r, "the certificates are not taken over; those of before are still in use");
    mutex_lock(&t->lock);
    struct tls_generation *former = t->now;
    t->now = next;
    mutex_unlock(&t->lock);
    tls_generation_unref(former);
    log_info("certificates and revocation lists are taken over");
    return 0;
}

static struct tls_generation *generation_get(struct tls *t)
{
    mutex_lock(&t->lock);
    struct tls_generation *g = t->now;
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    mutex_unlock(&t->lock);
    return g;
}

void tls_pem(struct tls *t, const char **ret_certificate, const char **ret_key, struct tls_generation **ret)
{
    *ret = generation_get(t);
    *ret_certificate = (*ret)->certificate;
    *ret_key = (*ret)->key;
}

/* ---- a session ---- */

static int client_verify(gnutls_session_t session)
{
    static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st wanted = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose };
    unsigned status = 0;

    int code = gnutls_certificate_verify_peers(session, &wanted, 1, &status);
    return code < 0 || status != 0 ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

int tls_begin(struct tls *t, gnutls_session_t session, bool wants_client, struct tls_generation **ret)
{
    struct tls_generation *g = generation_get(t);

    if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, g->credentials) < 0) {
        tls_generation_unref(g);
        return -ENOMEM;
    }
    gnutls_certificate_server_set_request(session, wants_client ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
    if (wants_client)
        gnutls_session_set_verify_function(session, client_verify);
    *ret = g;
    return 0;
}

/* ---- what a binding offers ---- */

/* GnuTLS's name of a suite is IANA's without "WITH_", with SHA1 for SHA, and without SHA256 behind POLY1305. */
static bool suite_is(const char *iana, const char *ours)
{
    char name[NAME_MAX_LEN];
    const char *with = strstr(iana, "_WITH_");

    if (with == NULL || strlen(iana) >= sizeof(name))
        return false;
    size_t len = (size_t)(with - iana) + 1;
    memcpy(name, iana, len);
    str_set(name + len, sizeof(name) - len, with + strlen("_WITH_"));
    size_t n = strlen(name);
    if (strcmp(name, ours) == 0)
        return true;
    if (n > 4 && strcmp(name + n - 4, "_SHA") == 0)
        return strncmp(name, ours, n) == 0 && strcmp(ours + n, "1") == 0;
    return n > 7 && strcmp(name + n - 7, "_SHA256") == 0 && strncmp(name, ours, n - 7) == 0 && ours[n - 7] == '\0';
}

static int suite_add(const char *iana, struct strbuf *to)
{
    gnutls_kx_algorithm_t kx;
    gnutls_cipher_algorithm_t cipher;
    gnutls_mac_algorithm_t mac;
    gnutls_protocol_t version;
    const char *name;

    for (size_t i = 0; (name = gnutls_cipher_suite_info(i, NULL, &kx, &cipher, &mac, &version)) != NULL; i++) {
        if (!suite_is(iana, name))
            continue;
        strbuf_addf(to, ":+%s:+%s:+%s", gnutls_kx_get_name(kx), gnutls_cipher_get_name(cipher),
                    gnutls_mac_get_name(mac));
        return 0;
    }
    return log_fail(-EINVAL, "httpd.bindings: tls_cipher_suites: \"%.64s\" is no suite of TLS 1.2 that GnuTLS knows",
                    iana);
}

/* Suites of TLS 1.3 are always all there, as they are in SFTPGo: each of them is good. */
int tls_priorities(const struct httpd_binding *b, char **ret)
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(PRIORITIES_MAX);
    int r = 0;

    strbuf_adds(&text, "NORMAL:-VERS-ALL:+VERS-TLS1.3");
    if (b->min_tls_version < 13)
        strbuf_adds(&text, ":+VERS-TLS1.2");
    if (b->tls_cipher_suites.n > 0)
        strbuf_adds(&text, ":-KX-ALL:-CIPHER-ALL:-MAC-ALL");
    for (size_t i = 0; r == 0 && i < b->tls_cipher_suites.n; i++)
        r = suite_add(b->tls_cipher_suites.v[i], &text);
    if (b->tls_cipher_suites.n > 0)
        strbuf_adds(&text, ":+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AEAD");
    return r < 0 ? r : strbuf_take(&text, ret);
}
