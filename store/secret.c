/* payload: base64 of nonce (12), ciphertext, tag (16). The owner's name is additional data of the cipher, so a secret
 * that is copied to another row does not open there. */
#include "store/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "store/base64.h"

enum { KEY_BYTES = 32, NONCE_BYTES = 12, TAG_BYTES = 16, BOX_MAX = NONCE_BYTES + SECRET_TEXT_MAX + TAG_BYTES };

static const char status_ours[] = "AES-256-GCM", status_plain[] = "Plain";

void secret_done(struct secret *s)
{
    if (s->payload)
        OPENSSL_cleanse(s->payload, strlen(s->payload));
    if (s->key)
        OPENSSL_cleanse(s->key, strlen(s->key));
    free(s->status);
    free(s->payload);
    free(s->key);
    free(s->additional_data);
    *s = (struct secret){ 0 };
}

void secret_text_free(char **text)
{
    if (*text)
        OPENSSL_cleanse(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

static int box_close(const uint8_t *key, const char *text, const char *owner, uint8_t *box)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int len = (int)strlen(text), n = 0;

    sys->random(box, NONCE_BYTES);
    bool ok = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, box) == 1 &&
              EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)owner, (int)strlen(owner)) == 1 &&
              EVP_EncryptUpdate(c, box + NONCE_BYTES, &n, (const uint8_t *)text, len) == 1 &&
              EVP_EncryptFinal_ex(c, box + NONCE_BYTES + n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, box + NONCE_BYTES + len) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok ? NONCE_BYTES + len + TAG_BYTES : -EIO;
}

static int box_open(const uint8_t *key, const char *owner, uint8_t *box, size_t box_len, uint8_t *text)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int len = (int)box_len - NONCE_BYTES - TAG_BYTES, n = 0;
    bool ok = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, box) == 1 &&
              EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)owner, (int)strlen(owner)) == 1 &&
              EVP_DecryptUpdate(c, text, &n, box + NONCE_BYTES, len) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, box + NONCE_BYTES + len) == 1 &&
              EVP_DecryptFinal_ex(c, text + n, &n) == 1;

    EVP_CIPHER_CTX_free(c);
    return ok ? len : -EINVAL;
}

static char *base64_of(const uint8_t *bytes, size_t len)
{
    char *text = malloc(4 * ((len + 2) / 3) + 1);

    if (text)
        base64_encode(BASE64_STD, bytes, len, text);
    return text;
}

int secret_seal(const char *text, const char *owner, struct secret *ret)
{
    uint8_t key[KEY_BYTES], box[BOX_MAX];

    if (!*text || strlen(text) > SECRET_TEXT_MAX)
        return -EINVAL;
    sys->random(key, sizeof(key));
    int len = box_close(key, text, owner, box);
    if (len < 0)
        return len;
    struct secret s = { .status = strdup(status_ours),
                        .payload = base64_of(box, (size_t)len),
                        .key = base64_of(key, sizeof(key)),
                        .additional_data = strdup(owner),
                        .mode = 0 };
    OPENSSL_cleanse(key, sizeof(key));
    if (!s.status || !s.payload || !s.key || !s.additional_data) {
        secret_done(&s);
        return -ENOMEM;
    }
    secret_done(ret);
    *ret = s;
    return 0;
}

static int ours_open(const struct secret *s, char **ret)
{
    uint8_t key[KEY_BYTES], box[BOX_MAX];

    if (!s->payload || !s->key || !s->additional_data)
        return -EINVAL;
    ssize_t key_len = base64_decode(BASE64_STD, s->key, strlen(s->key), key, sizeof(key));
    ssize_t len = base64_decode(BASE64_STD, s->payload, strlen(s->payload), box, sizeof(box));
    if (key_len != KEY_BYTES || len <= NONCE_BYTES + TAG_BYTES)
        return -EINVAL;
    char *text = calloc(1, (size_t)len);
    if (!text)
        return -ENOMEM;
    int r = box_open(key, s->additional_data, box, (size_t)len, (uint8_t *)text);
    OPENSSL_cleanse(key, sizeof(key));
    if (r < 0) {
        free(text);
        return r;
    }
    text[r] = 0;
    *ret = text;
    return 0;
}

int secret_open(const struct secret *s, char **ret)
{
    if (s->status && strcmp(s->status, status_ours) == 0)
        return ours_open(s, ret);
    if (!s->status || strcmp(s->status, status_plain) != 0 || !s->payload || !*s->payload)
        return -EINVAL;
    *ret = strdup(s->payload);
    return *ret ? 0 : -ENOMEM;
}
