/* The host keys here are shells: true public halves, random private halves. Signatures come from the broker. */
#include "sftp/listener_bind.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "sftp/broker_proto.h"
#include "sftp/io_shim.h"
#include "sftp/ssh_key.h"

enum { LOGIN_BANNER_MAX = 8192 };

/* Fetched once and kept, so that the children find them in OpenSSL's tables. */
static void warm_up_openssl(void)
{
    static const char *const ciphers[] = { "AES-128-GCM", "AES-256-GCM", "AES-128-CTR", "AES-256-CTR", "CHACHA20" };
    static const char *const digests[] = { "SHA1", "SHA256", "SHA384", "SHA512" };
    uint8_t bytes[32];

    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_CONFIG, NULL);
    IGNORE(RAND_bytes(bytes, sizeof(bytes)), "to start the generators");
    IGNORE(RAND_priv_bytes(bytes, sizeof(bytes)), "to start the generators");
    for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++)
        IGNORE(EVP_CIPHER_fetch(NULL, ciphers[i], NULL), "kept for the life of the process");
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
        IGNORE(EVP_MD_fetch(NULL, digests[i], NULL), "kept for the life of the process");
    IGNORE(EVP_MAC_fetch(NULL, "HMAC", NULL), "kept for the life of the process");
    IGNORE(EVP_KDF_fetch(NULL, "SSHKDF", NULL), "kept for the life of the process");
}

static void warm_up_keys(void)
{
    uint8_t sig[128], secret[32], data[32] = { 0 };
    size_t sig_len = sizeof(sig), secret_len = sizeof(secret);
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *one = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), *two = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    EVP_PKEY *p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY_CTX *derive = one ? EVP_PKEY_CTX_new(one, NULL) : NULL;

    if (ed)
        IGNORE(ssh_key_sign(ed, NULL, data, sizeof(data), sig, &sig_len), "only to warm up");
    if (derive && two && EVP_PKEY_derive_init(derive) == 1 && EVP_PKEY_derive_set_peer(derive, two) == 1)
        IGNORE(EVP_PKEY_derive(derive, secret, &secret_len), "only to warm up");
    EVP_PKEY_CTX_free(derive);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
    EVP_PKEY_free(p256);
}

static int bind_key(ssh_bind bind, const uint8_t *blob, size_t len)
{
    struct strbuf text = STRBUF(SSH_KEY_FILE_MAX);
    ssh_key key = NULL;
    int r = ssh_key_write_shell(blob, len, &text);

    if (r == 0 && ssh_pki_import_privkey_base64(text.s, NULL, NULL, NULL, &key) != SSH_OK)
        r = -EINVAL;
    if (r == 0 && ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK)
        r = -EINVAL;
    strbuf_done(&text);
    return r;
}

static int receive_host_keys(int broker, ssh_bind bind)
{
    CLEANUP(mem_free) uint8_t *buf = malloc(BROKER_MESSAGE_MAX);
    int fds[BROKER_FDS_MAX];
    ssize_t n = buf ? broker_receive(broker, buf, BROKER_MESSAGE_MAX, fds) : -ENOMEM;
    struct packet_in in = { .p = buf, .left = n > 0 ? (size_t)n : 0 };

    if (n <= 0 || packet_u8(&in) != SAY_HOST_KEYS)
        return n < 0 ? (int)n : -EBADMSG;
    uint32_t keys = packet_u32(&in), good = 0;
    for (uint32_t i = 0; i < keys && packet_ok(&in); i++) {
        size_t len;
        const uint8_t *blob = packet_bytes(&in, &len);
        int r = blob ? bind_key(bind, blob, len) : -EBADMSG;
        if (r < 0)
            log_fail(r, "host key %u cannot be used", i);
        good += r == 0;
    }
    return good > 0 ? 0 : -EINVAL;
}

/* A list of the configuration, or ours. What this libssh does not know it leaves out. */
static int set_list(ssh_bind bind, enum ssh_bind_options_e option, const struct strings *own, const char *ours)
{
    struct strbuf text = STRBUF(4096);

    for (size_t i = 0; i < own->n; i++)
        strbuf_addf(&text, "%s%s", i ? "," : "", own->v[i]);
    int r = strbuf_ok(&text);
    if (r == 0 && ssh_bind_options_set(bind, option, own->n > 0 ? text.s : ours) != SSH_OK)
        r = log_fail(-EINVAL, "this libssh knows none of the algorithms %s", own->n > 0 ? text.s : ours);
    strbuf_done(&text);
    return r;
}

/* No CBC, no SHA-1, no finite-field groups (libssh 0.10 does not check the peer's value); post-quantum first. */
static int set_algorithms(const struct sftpd_config *c, ssh_bind bind)
{
    static const char ciphers[] = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
                                  "aes128-ctr,aes192-ctr,aes256-ctr";
    static const char macs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,"
                               "hmac-sha2-512";
    static const char kex[] = "mlkem768x25519-sha256,sntrup761x25519-sha512@openssh.com,sntrup761x25519-sha512,"
                              "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
                              "ecdh-sha2-nistp521";
    const struct {
        enum ssh_bind_options_e option;
        const struct strings *own;
        const char *ours;
    } rows[] = {
        { SSH_BIND_OPTIONS_CIPHERS_C_S, &c->ciphers, ciphers },
        { SSH_BIND_OPTIONS_CIPHERS_S_C, &c->ciphers, ciphers },
        { SSH_BIND_OPTIONS_HMAC_C_S, &c->macs, macs },
        { SSH_BIND_OPTIONS_HMAC_S_C, &c->macs, macs },
        { SSH_BIND_OPTIONS_KEY_EXCHANGE, &c->kex_algorithms, kex },
    };
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(rows) && r == 0; i++)
        r = set_list(bind, rows[i].option, rows[i].own, rows[i].ours);
    return r;
}

static const char accepted_keys[] =
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256,"
    "sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,ssh-ed25519-cert-v01@openssh.com,"
    "ecdsa-sha2-nistp256-cert-v01@openssh.com,ecdsa-sha2-nistp384-cert-v01@openssh.com,"
    "ecdsa-sha2-nistp521-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,"
    "rsa-sha2-256-cert-v01@openssh.com,sk-ssh-ed25519-cert-v01@openssh.com,"
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com";

static int make_bind(const struct config *c, int broker, ssh_bind *ret)
{
    const char *own = c->sftpd.banner;
    ssh_bind bind = ssh_bind_new();
    int no = 0;

    if (!bind)
        return -ENOMEM;
    *ret = bind;
    if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, accepted_keys) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BANNER, own && own[0] ? own : "Tally_" TALLY_VERSION) != SSH_OK)
        return log_fail(-EINVAL, "libssh refuses an option");
    int r = set_algorithms(&c->sftpd, bind);
    return r < 0 ? r : receive_host_keys(broker, bind);
}

/* libssh imports the keys when the first connection comes: this one. A client's greeting is in it, so that libssh
 * reads: a build of libssh whose calls do not come to io_shim.c shows itself here. */
static int warm_up_bind(struct listener_bind *b)
{
    static const char greeting[] = "SSH-2.0-Warm_up\r\n";
    int pair[2];
    unsigned before = io_shim_calls();
    ssh_session s = ssh_new();

    if (!s || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -ENOMEM;
    int r = ssh_bind_accept_fd(b->bind, s, pair[0]) == SSH_OK ? 0 : -EINVAL;
    IGNORE(write(pair[1], greeting, strlen(greeting)), "then batching stays off");
    ssh_set_blocking(s, 0);
    if (r == 0)
        IGNORE(ssh_handle_key_exchange(s), "it begins and reads: that is all");
    ssh_free(s);
    close(pair[1]);
    b->batching = io_shim_calls() > before;
    if (!b->batching)
        log_warn("libssh does not use the program's recv(): uploads cost more");
    return r;
}

/* What people read before they log in. */
static int read_login_banner(const struct config *c, char **ret)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK };
    const struct open_how dir_how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC };
    const char *path = c->sftpd.login_banner_file;
    CLEANUP(mem_free) char *text = NULL;

    if (!path || !path[0])
        return 0;
    CLEANUP(fd_close) int dir = sys->openat2(AT_FDCWD, c->state_dir, &dir_how);
    CLEANUP(fd_close) int fd = dir < 0 ? dir : sys->openat2(dir, path, &how);
    text = calloc(1, LOGIN_BANNER_MAX + 1);
    ssize_t n = fd < 0 ? fd : text ? sys->pread(fd, text, LOGIN_BANNER_MAX, 0) : -ENOMEM;
    if (n < 0)
        return log_fail((int)n, "sftpd.login_banner_file: cannot read %s", path);
    *ret = TAKE_PTR(text);
    return 0;
}

int listener_bind_make(const struct config *c, int broker, struct listener_bind *ret)
{
    ssh_init();
    warm_up_openssl();
    warm_up_keys();
    IGNORE(read_login_banner(c, &ret->login_banner), "logged; people log in without reading it");
    int r = make_bind(c, broker, &ret->bind);
    return r < 0 ? r : warm_up_bind(ret);
}
