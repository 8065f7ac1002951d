/* The section httpd: where the API is served, its TLS, and what browsers may do with it. */
#include "base/address.h"
#include "base/config_inside.h"

enum { LISTS_MAX = 64, DAY_S = 24 * 60 * 60 };

static const struct field binding_keys[] = {
    F_STRING(struct httpd_binding, address, .valid = config_listener_is, .valid_text = LISTENER_TEXT,
             .help = "IP address to listen on, empty: all; or the absolute path of a Unix socket"),
    F_U32(struct httpd_binding, port, .max = PORT_MAX, .fallback = "0",
          .help = "TCP port; 0: this binding is off, unless it is a Unix socket"),
    F_BOOL(struct httpd_binding, enable_https, .fallback = "false", .help = "TLS; needs certificate_file"),
    F_U32(struct httpd_binding, client_auth_type, .max = 1, .fallback = "0",
          .help = "1: clients must show a certificate of ca_certificates, and then a token as always"),
    F_U32(struct httpd_binding, min_tls_version, .min = 12, .max = 13, .fallback = "12",
          .help = "12: TLS 1.2 and 1.3; 13: TLS 1.3 only"),
    F_STRINGS(struct httpd_binding, tls_cipher_suites, .max = LISTS_MAX,
              .help = "suites of TLS 1.2 by their IANA names (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); none: the usual"),
    F_STRINGS(struct httpd_binding, proxy_allowed, .max = LISTS_MAX, .valid = network_or_address_is,
              .valid_text = "must be an IP address or a network like 10.0.0.0/8",
              .help = "reverse proxies whose word on the client's address is believed"),
    F_STRING(struct httpd_binding, client_ip_proxy_header, .max = 64,
             .help = "the header in which they name it; empty: X-Forwarded-For, read from the right, or else "
                     "True-Client-IP, X-Real-IP, CF-Connecting-IP"),
    F_BOOL(struct httpd_binding, render_openapi, .fallback = "true", .help = "serve the schema at /openapi"),
};

static int binding_check(const void *obj, struct why *why)
{
    const struct httpd_binding *b = obj;

    if (b->client_auth_type != 0 && !b->enable_https)
        return why_set(why, -EINVAL, "client_auth_type", "needs enable_https");
    return 0;
}
static const struct schema binding_schema =
    SCHEMA("binding", struct httpd_binding, binding_keys, .check = binding_check);

static const struct field cors_keys[] = {
    F_BOOL(struct cors_config, enabled, .fallback = "false",
           .help = "whether pages of other origins may call the API from a browser"),
    F_STRINGS(struct cors_config, allowed_origins, .max = LISTS_MAX,
              .help = "origins, each with at most one *; none: all"),
    F_STRINGS(struct cors_config, allowed_methods, .max = LISTS_MAX, .help = "none: GET, POST, HEAD"),
    F_STRINGS(struct cors_config, allowed_headers, .max = LISTS_MAX,
              .help = "none: Accept, Content-Type, X-Requested-With; a page that shows a token needs Authorization"),
    F_STRINGS(struct cors_config, exposed_headers, .max = LISTS_MAX, .help = "headers of replies that pages may read"),
    F_BOOL(struct cors_config, allow_credentials, .fallback = "false", .help = "cookies and the like"),
    F_U32(struct cors_config, max_age_s, .wire = "max_age", .max = DAY_S, .fallback = "0",
          .help = "seconds for which a browser remembers; 0: its own habit"),
};
static const struct schema cors_schema = SCHEMA("cors", struct cors_config, cors_keys);

static const struct field httpd_keys[] = {
    F_OBJECTS(struct httpd_config, bindings, .sub = &binding_schema, .max = 16,
              .fallback = "[{\"address\":\"127.0.0.1\",\"port\":8080}]", .help = "where the REST API is served"),
    F_STRING(struct httpd_config, signing_passphrase, .max = 1024,
             .help = "tokens are signed with it; empty: a new random secret at each start"),
    F_STRING(struct httpd_config, certificate_file, .max = 4095, .valid = config_path_is, .valid_text = PATH_TEXT,
             .applies = AT_RELOAD,
             .help = "certificate chain (PEM); read by the account tally-api, and again at SIGHUP, like the next four"),
    F_STRING(struct httpd_config, certificate_key_file, .max = 4095, .valid = config_path_is, .valid_text = PATH_TEXT,
             .applies = AT_RELOAD, .help = "its private key (PEM)"),
    F_STRINGS(struct httpd_config, ca_certificates, .max = LISTS_MAX, .valid = config_path_is, .valid_text = PATH_TEXT,
              .applies = AT_RELOAD, .help = "authorities of client certificates (PEM)"),
    F_STRINGS(struct httpd_config, ca_revocation_lists, .max = LISTS_MAX, .valid = config_path_is,
              .valid_text = PATH_TEXT, .applies = AT_RELOAD, .help = "their revocation lists (PEM)"),
    F_OBJECT(struct httpd_config, cors, &cors_schema),
};

static bool is_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}

static int httpd_check(const void *obj, struct why *why)
{
    const struct httpd_config *c = obj;
    const struct httpd_binding *b = c->bindings.v;

    for (size_t i = 0; i < c->bindings.n; i++) {
        if (b[i].enable_https && (!is_set(c->certificate_file) || !is_set(c->certificate_key_file)))
            return why_set(why, -EINVAL, "certificate_file",
                           "and certificate_key_file are needed, because bindings[%zu].enable_https is true", i);
        if (b[i].client_auth_type != 0 && c->ca_certificates.n == 0)
            return why_set(why, -EINVAL, "ca_certificates",
                           "must name an authority, because bindings[%zu].client_auth_type is 1", i);
    }
    return 0;
}
const struct schema httpd_config_schema = SCHEMA("httpd", struct httpd_config, httpd_keys, .check = httpd_check);
