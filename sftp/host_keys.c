#include "sftp/host_keys.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fs.h> /* RENAME_NOREPLACE, without stdio.h */
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"

static EVP_PKEY *make_ed25519(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static EVP_PKEY *make_ecdsa(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
}

static EVP_PKEY *make_rsa(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
}

/* What is made when the configuration names no keys. */
static const struct {
    const char *name;
    EVP_PKEY *(*make)(void);
} made[] = {
    { "id_ed25519", make_ed25519 },
    { "id_ecdsa", make_ecdsa },
    { "id_rsa", make_rsa },
};

static int open_path(int dir, const char *path, int flags, mode_t mode)
{
    struct open_how how = { .flags = (uint64_t)(uint32_t)(flags | O_CLOEXEC), .mode = mode };
    return sys->openat2(dir, path, &how);
}

static int read_file(int dir, const char *name, char *buf, size_t room, size_t *ret_len)
{
    CLEANUP(fd_close) int fd = open_path(dir, name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    size_t len = 0;
    ssize_t n;
    while ((n = sys->pread(fd, buf + len, room - len, len)) > 0)
        len += (size_t)n;
    *ret_len = len;
    return n < 0 ? (int)n : 0;
}

/* Whole or not at all: a file of another name is moved to its place when it is on the disk. */
static int write_file(int dir, const char *name, const char *text, size_t len, mode_t mode)
{
    static const char temp[] = ".host-key.new";
    IGNORE(sys->unlinkat(dir, temp, 0), "left over from an interrupted start");
    CLEANUP(fd_close) int fd = open_path(dir, temp, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return fd;
    ssize_t n = sys->pwrite(fd, text, len, 0);
    int r = n < 0 ? (int)n : (size_t)n < len ? -ENOSPC : sys->fsync(fd, false);
    if (r == 0)
        r = sys->renameat2(dir, temp, dir, name, RENAME_NOREPLACE);
    if (r < 0)
        IGNORE(sys->unlinkat(dir, temp, 0), "the first error counts");
    return r;
}

static int write_public(int dir, const char *name, EVP_PKEY *key)
{
    struct queue blob = QUEUE(SSH_KEY_BLOB_MAX);
    struct strbuf line = STRBUF(2 * SSH_KEY_BLOB_MAX), file = STRBUF(256);
    uint8_t base64[SSH_KEY_BLOB_MAX * 4 / 3 + 8];
    int r = ssh_key_blob(key, &blob);

    if (r == 0) {
        struct packet_in in = { .p = queue_bytes(&blob), .left = blob.len };
        size_t len;
        const uint8_t *type = packet_bytes(&in, &len);
        strbuf_add(&line, type, len);
        strbuf_addc(&line, ' ');
        strbuf_add(&line, base64, (size_t)EVP_EncodeBlock(base64, queue_bytes(&blob), (int)blob.len));
        strbuf_adds(&line, " tally\n");
        strbuf_addf(&file, "%s.pub", name);
        r = strbuf_ok(&line);
        if (r == 0)
            r = write_file(dir, file.s, line.s, line.len, 0644);
    }
    queue_done(&blob);
    strbuf_done(&line);
    strbuf_done(&file);
    return r == -EEXIST ? 0 : r;
}

static int make_file(int dir, const char *name, EVP_PKEY *(*make)(void))
{
    struct strbuf text = STRBUF(SSH_KEY_FILE_MAX);
    EVP_PKEY *key = make();
    int r = key ? ssh_key_write(key, &text) : -ENOMEM;
    if (r == 0)
        r = write_file(dir, name, text.s, text.len, 0600);
    if (r == 0)
        r = write_public(dir, name, key);
    if (text.s)
        OPENSSL_cleanse(text.s, text.len);
    strbuf_done(&text);
    EVP_PKEY_free(key);
    return r;
}

static int key_set(struct host_key *k, EVP_PKEY *key, const char *dir, const char *name)
{
    struct strbuf path = STRBUF(PATH_MAX), *p = &path;
    struct queue blob = QUEUE(SSH_KEY_BLOB_MAX);

    assert(k != NULL);
    int r = ssh_key_blob(key, &blob);
    if (r == 0) {
        memcpy(k->blob, queue_bytes(&blob), blob.len);
        k->blob_len = blob.len;
        ssh_key_fingerprint(k->blob, k->blob_len, k->fingerprint);
        if (name[0] != '/')
            strbuf_addf(p, "%s/", dir);
        strbuf_adds(p, name);
        r = strbuf_take(p, &k->path);
    }
    queue_done(&blob);
    strbuf_done(p);
    if (r == 0)
        k->key = key;
    return r;
}

static int load_one(int dir, const char *dir_name, const char *name, struct host_keys *to, struct why *reterr_why)
{
    char *text = malloc(SSH_KEY_FILE_MAX);
    EVP_PKEY *key = NULL;
    size_t len = 0;
    int r = text ? read_file(dir, name, text, SSH_KEY_FILE_MAX, &len) : -ENOMEM;
    if (r == 0)
        r = ssh_key_read(text, len, &key);
    if (text)
        OPENSSL_cleanse(text, SSH_KEY_FILE_MAX);
    free(text);
    if (r == 0 && host_key_of_type(to, EVP_PKEY_get_base_id(key)))
        r = -EEXIST;
    if (r == 0 && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) < SSH_KEY_RSA_BITS_MIN)
        r = -EINVAL;
    if (r == 0)
        r = key_set(&to->v[to->n], key, dir_name, name);
    if (r == 0)
        to->n++;
    else
        EVP_PKEY_free(key);
    return r < 0 ? why_set(reterr_why, r, "sftpd.host_keys", "cannot use %s: %s", name,
                           r == -EEXIST ? "there is a key of this type already" : error_text(r))
                 : 0;
}

static int load_made(int dir, const char *dir_name, struct host_keys *to, struct why *reterr_why)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(made) && r == 0; i++) {
        struct stat st;
        r = sys->fstatat(dir, made[i].name, &st, 0);
        if (r == -ENOENT) {
            r = make_file(dir, made[i].name, made[i].make);
            if (r < 0)
                return why_set(reterr_why, r, "state_dir", "cannot make %s: %s", made[i].name, error_text(r));
            log_info("made host key %s", made[i].name);
        }
        if (r == 0)
            r = load_one(dir, dir_name, made[i].name, to, reterr_why);
    }
    return r;
}

int host_keys_load(const struct config *config, struct host_keys *ret, struct why *reterr_why)
{
    struct host_keys k = { .v = calloc(HOST_KEYS_MAX, sizeof(*k.v)) };
    CLEANUP(fd_close) int dir = open_path(AT_FDCWD, config->state_dir, O_RDONLY | O_DIRECTORY, 0);
    int r = k.v ? 0 : -ENOMEM;

    if (dir < 0)
        r = why_set(reterr_why, dir, "state_dir", "cannot open %s: %s", config->state_dir, error_text(dir));
    else if (config->sftpd.host_keys.n > HOST_KEYS_MAX)
        r = why_set(reterr_why, -EINVAL, "sftpd.host_keys", "more than %d keys", HOST_KEYS_MAX);
    else if (r == 0 && config->sftpd.host_keys.n == 0)
        r = load_made(dir, config->state_dir, &k, reterr_why);
    for (size_t i = 0; r == 0 && i < config->sftpd.host_keys.n; i++)
        r = load_one(dir, config->state_dir, config->sftpd.host_keys.v[i], &k, reterr_why);
    if (r < 0) {
        host_keys_done(&k);
        return r;
    }
    *ret = k;
    return 0;
}

void host_keys_done(struct host_keys *k)
{
    for (size_t i = 0; i < k->n; i++) {
        EVP_PKEY_free(k->v[i].key);
        free(k->v[i].path);
    }
    free(k->v);
    *k = (struct host_keys){ 0 };
}

const struct host_key *host_key_of_type(const struct host_keys *k, int base_id)
{
    for (size_t i = 0; i < k->n; i++)
        if (EVP_PKEY_get_base_id(k->v[i].key) == base_id)
            return &k->v[i];
    return NULL;
}
