#include "sftp/ssh_cert.h"

#include <fcntl.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/proof.h"
#include "sftp/ssh_key.h"
#include "store/entities.h"
#include "store/public_key.h"

enum { USER_CERT = 1, PRINCIPALS_MAX = 256, OPTIONS_MAX = 64, SIGNATURE_DER_MAX = 256, SOURCES_MAX = 4096 };

/* Each kind: what it is for, and how many strings of the public key stand in it. */
static const struct kind {
    const char *type, *plain;
    unsigned strings;
} kinds[] = {
    { "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", 1 },
    { "ssh-rsa-cert-v01@openssh.com", "ssh-rsa", 2 },
    { "ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256", 2 },
    { "ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384", 2 },
    { "ecdsa-sha2-nistp521-cert-v01@openssh.com", "ecdsa-sha2-nistp521", 2 },
    { "sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com", 2 },
    { "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", 3 },
};

struct bytes {
    const uint8_t *p;
    size_t len;
};

struct cert {
    uint32_t type;
    uint64_t valid_after, valid_before;
    struct bytes principals, options, authority, signature;
    size_t signed_len; /* of the blob, from its start */
};

static struct bytes take(struct packet_in *in)
{
    struct bytes b;
    b.p = packet_bytes(in, &b.len);
    return b;
}

static const struct kind *kind_of(struct packet_in *in)
{
    struct bytes type = take(in);

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (type.p && strlen(kinds[i].type) == type.len && memcmp(kinds[i].type, type.p, type.len) == 0)
            return &kinds[i];
    return NULL;
}

bool ssh_cert_is(const uint8_t *blob, size_t len)
{
    struct packet_in in = { .p = blob, .left = len };
    return kind_of(&in) != NULL;
}

int ssh_cert_key(const uint8_t *blob, size_t len, struct queue *to)
{
    struct packet_in in = { .p = blob, .left = len };
    const struct kind *k = kind_of(&in);

    if (!k)
        return -EINVAL;
    take(&in); /* nonce */
    packet_put_text(to, k->plain);
    for (unsigned i = 0; i < k->strings; i++) {
        struct bytes part = take(&in);
        packet_put_bytes(to, part.p, part.len);
    }
    return packet_ok(&in) ? to->failed : -EINVAL;
}

static int cert_parse(const uint8_t *blob, size_t len, struct cert *ret)
{
    struct packet_in in = { .p = blob, .left = len };
    const struct kind *k = kind_of(&in);

    if (!k)
        return -EINVAL;
    for (unsigned i = 0; i < k->strings + 1; i++) /* nonce, key */
        take(&in);
    packet_u64(&in); /* serial */
    ret->type = packet_u32(&in);
    take(&in); /* key id */
    ret->principals = take(&in);
    ret->valid_after = packet_u64(&in);
    ret->valid_before = packet_u64(&in);
    ret->options = take(&in);
    take(&in); /* extensions: for shells and forwarding, which we do not have */
    take(&in); /* reserved */
    ret->authority = take(&in);
    ret->signed_len = len - in.left;
    ret->signature = take(&in);
    return packet_ok(&in) && in.left == 0 ? 0 : -EINVAL;
}

static bool names(struct bytes principals, const char *username)
{
    struct packet_in in = { .p = principals.p, .left = principals.len };

    for (unsigned i = 0; i < PRINCIPALS_MAX && in.left > 0; i++) {
        struct bytes b = take(&in);
        if (!b.p)
            return false;
        if (b.len == strlen(username) && memcmp(b.p, username, b.len) == 0)
            return true;
    }
    return false;
}

/* "10.0.0.0/8,::1": networks, and addresses, which are networks of one. */
static bool source_allows(struct bytes value, const char *address)
{
    struct packet_in in = { .p = value.p, .left = value.len };
    CLEANUP(mem_free) char *text = NULL;
    bool allows = false;
    char *rest;

    if (packet_text(&in, SOURCES_MAX, &text) < 0 || in.left > 0)
        return false;
    rest = text;
    for (const char *one; !allows && (one = strsep(&rest, ",")) != NULL;) {
        struct strbuf network = STRBUF(128);
        strbuf_adds(&network, one);
        if (!strchr(one, '/'))
            strbuf_adds(&network, strchr(one, ':') ? "/128" : "/32");
        struct strings list = { .v = &network.s, .n = 1 };
        allows = strbuf_ok(&network) == 0 && address_in(&list, address);
        strbuf_done(&network);
    }
    return allows;
}

static const char *options_refusal(struct bytes options, const char *address)
{
    struct packet_in in = { .p = options.p, .left = options.len };

    for (unsigned i = 0; in.left > 0; i++) {
        struct bytes name = take(&in), value = take(&in);
        if (!packet_ok(&in) || i == OPTIONS_MAX)
            return "the certificate is malformed";
        if (name.len != strlen("source-address") || memcmp(name.p, "source-address", name.len) != 0)
            return "the certificate has a critical option that is not supported";
        if (!source_allows(value, address))
            return "the certificate is not for this address";
    }
    return NULL;
}

/* ECDSA's two numbers, as OpenSSL wants them. */
static int ecdsa_der(struct bytes sig, uint8_t der[SIGNATURE_DER_MAX], size_t *ret_len)
{
    struct packet_in in = { .p = sig.p, .left = sig.len };
    struct bytes r = take(&in), s = take(&in);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *br = NULL, *bs = NULL;
    uint8_t *to = der;
    int n = -1;

    if (packet_ok(&in) && in.left == 0 && r.len <= 67 && s.len <= 67) {
        br = BN_bin2bn(r.p, (int)r.len, NULL);
        bs = BN_bin2bn(s.p, (int)s.len, NULL);
    }
    if (pair && br && bs && ECDSA_SIG_set0(pair, br, bs)) {
        br = bs = NULL;
        if (i2d_ECDSA_SIG(pair, NULL) <= SIGNATURE_DER_MAX)
            n = i2d_ECDSA_SIG(pair, &to);
    }
    BN_free(br);
    BN_free(bs);
    ECDSA_SIG_free(pair);
    *ret_len = n > 0 ? (size_t)n : 0;
    return n > 0 ? 0 : -EINVAL;
}

static bool signature_is_good(const uint8_t *blob, const struct cert *c)
{
    struct packet_in in = { .p = c->signature.p, .left = c->signature.len };
    struct packet_in key_in = { .p = c->authority.p, .left = c->authority.len };
    struct bytes name = take(&in), sig = take(&in), key_type = take(&key_in);
    const struct ssh_algorithm *a = name.p ? ssh_algorithm_find(name.p, name.len) : NULL;
    uint8_t der[SIGNATURE_DER_MAX];
    EVP_PKEY *key = NULL;

    if (!a || !packet_ok(&in) || in.left > 0 || !key_type.p || strlen(a->key_type) != key_type.len ||
        memcmp(a->key_type, key_type.p, key_type.len) != 0)
        return false;
    int r = ssh_key_from_blob(c->authority.p, c->authority.len, &key);
    if (r == 0 && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
        r = ecdsa_der(sig, der, &sig.len);
        sig.p = der;
    }
    if (r == 0)
        r = ssh_key_verify(key, a->digest, blob, c->signed_len, sig.p, sig.len);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return r == 0;
}

static bool is_trusted(const struct ssh_authorities *a, struct bytes key)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i].len == key.len && memcmp(queue_bytes(&a->v[i]), key.p, key.len) == 0)
            return true;
    return false;
}

const char *ssh_cert_refusal(const struct ssh_authorities *a, const uint8_t *blob, size_t len,
                             const struct ssh_cert_use *use)
{
    uint64_t now = use->now_s > 0 ? (uint64_t)use->now_s : 0;
    struct cert c = { 0 };

    if (cert_parse(blob, len, &c) < 0)
        return "the certificate is malformed";
    if (c.type != USER_CERT)
        return "the certificate is not for users";
    if (!is_trusted(a, c.authority))
        return "the certificate is of an authority that is not trusted";
    if (!signature_is_good(blob, &c))
        return "the certificate's signature is wrong";
    if (!names(c.principals, use->username))
        return "the certificate does not name this user";
    if (now < c.valid_after || now >= c.valid_before)
        return now < c.valid_after ? "the certificate is not valid yet" : "the certificate has expired";
    return options_refusal(c.options, use->address);
}

/* ---- authorities ---- */

static int authority_add(struct ssh_authorities *a, const char *line)
{
    char type[PUBLIC_KEY_TYPE_MAX];
    CLEANUP(mem_free) uint8_t *blob = NULL;
    EVP_PKEY *key = NULL;
    size_t len;
    int r = public_key_parse(line, type, &blob, &len);

    if (r == 0)
        r = ssh_key_from_blob(blob, len, &key); /* of a kind that we can verify */
    EVP_PKEY_free(key);
    if (r < 0)
        return r;
    if (a->n == SSH_AUTHORITIES_MAX)
        return -E2BIG;
    a->v[a->n] = (struct queue)QUEUE(SSH_KEY_BLOB_MAX);
    queue_add(&a->v[a->n], blob, len);
    return a->v[a->n++].failed;
}

static int file_add(int dir, const char *name, struct ssh_authorities *a)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK };
    CLEANUP(mem_free) char *text = calloc(1, SSH_AUTHORITY_FILE_MAX + 1);
    CLEANUP(fd_close) int fd = text ? sys->openat2(dir, name, &how) : -ENOMEM;
    ssize_t n = fd < 0 ? fd : sys->pread(fd, text, SSH_AUTHORITY_FILE_MAX + 1, 0);
    char *rest = text;
    size_t before = a->n;
    int r = n < 0 ? (int)n : n > SSH_AUTHORITY_FILE_MAX ? -E2BIG : 0;

    for (const char *line; r == 0 && (line = strsep(&rest, "\r\n")) != NULL;)
        if (line[strspn(line, " \t")] != '\0' && line[strspn(line, " \t")] != '#')
            r = authority_add(a, line);
    return r == 0 && a->n == before ? -EINVAL : r;
}

int ssh_authorities_read(const char *dir, const struct strings *files, struct ssh_authorities *ret,
                         struct why *reterr_why)
{
    const struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC };
    struct ssh_authorities a = { .v = files->n > 0 ? calloc(SSH_AUTHORITIES_MAX, sizeof(*a.v)) : NULL };
    int r = files->n == 0 || a.v ? 0 : -ENOMEM;
    CLEANUP(fd_close) int at = files->n > 0 ? sys->openat2(AT_FDCWD, dir, &how) : -1;

    for (size_t i = 0; r == 0 && i < files->n; i++) {
        r = file_add(at, files->v[i], &a);
        if (r < 0)
            IGNORE(why_set(reterr_why, r, "sftpd.trusted_user_ca_keys", "%.200s: %s", files->v[i],
                           r == -EINVAL ? "there is a line that is no public key (or none at all)" : error_text(r)),
                   "r is returned");
    }
    if (r < 0) {
        ssh_authorities_done(&a);
        return r;
    }
    *ret = a;
    return 0;
}

void ssh_authorities_done(struct ssh_authorities *a)
{
    for (size_t i = 0; i < a->n; i++)
        queue_done(&a->v[i]);
    free(a->v);
    *a = (struct ssh_authorities){ 0 };
}
